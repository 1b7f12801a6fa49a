//! When a task that does not move, and a job that does not get on, count as ill.

use std::time::Duration;

use super::STUCK_AFTER;
use crate::error::{Error, Result};

/// What the watchdog of a job does about a task that has input and makes no progress, and when a job counts as ill.
///
/// ```
/// use tidegate::{Watchdog, minutes, secs};
/// let watchdog = Watchdog::default().report_after(secs(10)).fail_after(minutes(2));
///
/// // The same from a service's configuration; what is left out is the default. Times are texts with their units.
/// # #[derive(serde::Deserialize)] struct Config { watchdog: Watchdog }
/// let config: Config = toml::from_str(r#"
///     [watchdog]
///     report-after = "10s"
///     fail-after = "2m"
/// "#)?;
/// assert_eq!(config.watchdog, watchdog);
/// # Ok::<(), toml::de::Error>(())
/// ```
///
/// The other fields: `give-up-after` (a duration) and `overdue-after` (checkpoint intervals).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    pub(super) report_after: Duration,
    pub(super) fail_after: Duration,
    pub(super) give_up_after: Duration,
    pub(super) overdue_after: u32,
}

impl Default for Watchdog {
    fn default() -> Self {
        Watchdog {
            report_after: Duration::from_secs(30),
            fail_after: Duration::from_secs(600),
            give_up_after: STUCK_AFTER,
            overdue_after: 3,
        }
    }
}

impl Watchdog {
    /// Reports a task that has been in one and the same step for so long, as an event and as a warning. A step handles a batch of
    /// records at most, and some milliseconds' worth of them once the task knows how long they take. It is also how long nothing may move
    /// before the job counts as unhealthy. Default: 30 seconds.
    #[must_use]
    pub fn report_after(mut self, time: Duration) -> Self {
        self.report_after = time;
        self
    }

    /// Fails the region of a task that has been in one step for so long: its restart strategy is asked, as after any failure. Default: 10
    /// minutes.
    #[must_use]
    pub fn fail_after(mut self, time: Duration) -> Self {
        self.fail_after = time;
        self
    }

    /// Fails the job where a task that was told to stop is still there after so long. A thread can't be killed, and a second attempt
    /// beside it could write the same output twice, so none is ever started. Default: 3 minutes.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    /// The job counts as unhealthy when no checkpoint was complete for so many checkpoint intervals, and for no less time than a task
    /// may stand still before it is [reported](Watchdog::report_after). Default: 3.
    #[must_use]
    pub fn overdue_after(mut self, intervals: u32) -> Self {
        self.overdue_after = intervals;
        self
    }

    /// When a task is reported, and when its region fails.
    pub(crate) fn bounds(&self) -> (Duration, Duration) {
        (self.report_after, self.fail_after)
    }

    /// From one look at the tasks to the next: a quarter of the shortest bound, and no more than a second.
    pub(crate) fn period(&self) -> Duration {
        let shortest = self.report_after.min(self.fail_after);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    pub(crate) fn gives_up_after(&self) -> Duration {
        self.give_up_after
    }

    /// How long there may be no complete checkpoint, where one is taken every `interval`.
    pub(crate) fn overdue(&self, interval: Duration) -> Duration {
        interval.saturating_mul(self.overdue_after).max(self.report_after)
    }

    /// Refuses options that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |problem: &str, advice: &str| Err(Error::InvalidFlow { problem: problem.into(), advice: advice.into() });
        if self.report_after.is_zero() || self.fail_after.is_zero() || self.give_up_after.is_zero() {
            return refused("a time of the watchdog is zero", "give tasks some time, or a very long one to have no watchdog");
        }
        if self.overdue_after == 0 {
            return refused("checkpoints would be overdue at once", "use overdue_after(1) or more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{millis, minutes, secs};

    #[test]
    fn a_watchdog_that_cannot_work_is_refused() {
        assert!(Watchdog::default().check().is_ok());
        let none = Watchdog::default();
        for zero in [none.report_after(secs(0)), none.fail_after(secs(0)), none.give_up_after(secs(0)), none.overdue_after(0)] {
            assert!(zero.check().is_err(), "{zero:?}");
        }
    }

    #[test]
    fn it_looks_often_enough_for_its_bounds_and_seldom_enough_to_cost_nothing() {
        assert_eq!(Watchdog::default().period(), secs(1));
        assert_eq!(Watchdog::default().report_after(millis(200)).period(), millis(50));
        assert_eq!(Watchdog::default().fail_after(millis(1)).period(), millis(5));
        assert_eq!(Watchdog::default().overdue_after(4).overdue(minutes(1)), minutes(4));
        assert_eq!(Watchdog::default().overdue(secs(1)), secs(30), "one checkpoint that takes some seconds makes no job ill");
    }
}
