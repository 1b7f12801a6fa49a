//! Restart strategies as data: what a user asks for. `supervision` decides by them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

/// What happens after a failure.
///
/// A failure is an error or a panic of a running or starting task. Its whole region is stopped, confirmed gone, restored from the last
/// complete checkpoint, and started again when the delay that the strategy says is over. An error that no restart mends fails the
/// job at once, whatever the strategy: state that is damaged or does not fit the flow, and what is marked as [`Fatal`](crate::Fatal).
///
/// ```
/// use tidegate::{ExponentialDelay, Restart, hours, millis, minutes, secs};
///
/// let three_times = Restart::fixed_delay(3, secs(10));
/// let not_too_often = Restart::failure_rate(3, minutes(5), secs(1));
/// let ever_slower: Restart = ExponentialDelay::from(millis(100)).up_to(secs(30)).reset_after(hours(1)).into();
/// let own = Restart::custom(|failure| (failure.ran > secs(60)).then_some(secs(1)));
/// ```
///
/// In a service's configuration, a strategy goes by its name, and its fields by those of its methods: `never`; `fixed-delay` with
/// `restarts` and `delay`; `failure-rate` with `failures`, `per` and `delay`; `exponential-delay` with any of `initial`, `up-to`,
/// `multiplier`, `jitter`, `reset-after` and `at-most`.
///
/// ```
/// let restart: tidegate::Restart = toml::from_str(r#"
///     strategy = "exponential-delay"
///     initial = "100ms"
///     up-to = "30s"
/// "#)?;
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Restart(pub(crate) RestartPolicy);

/// The ways to restart.
#[derive(Clone, Debug)]
pub(crate) enum RestartPolicy {
    Never,
    FixedDelay { restarts: u32, delay: Duration },
    FailureRate { failures: u32, per: Duration, delay: Duration },
    Exponential(ExponentialDelay),
    Custom(Custom),
}

impl Restart {
    /// The first failure fails the job.
    pub fn never() -> Self {
        Restart(RestartPolicy::Never)
    }

    /// At most `restarts` times in the life of the process, each after `delay`.
    pub fn fixed_delay(restarts: u32, delay: Duration) -> Self {
        Restart(RestartPolicy::FixedDelay { restarts, delay })
    }

    /// As long as there are no more than `failures` failures in any time `per`; each restart after `delay`.
    pub fn failure_rate(failures: u32, per: Duration, delay: Duration) -> Self {
        Restart(RestartPolicy::FailureRate { failures, per, delay })
    }

    /// As a function says: the delay before the restart, or `None` to fail the job. It is called once for each failed attempt, and
    /// should look at nothing but its argument, so that it decides the same for the same failures. (`check_exactly_once` draws
    /// strategies of its own.)
    pub fn custom(decide: impl Fn(&Failure<'_>) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Restart(RestartPolicy::Custom(Custom(Arc::new(decide))))
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            RestartPolicy::Exponential(delay) => delay.check(),
            RestartPolicy::FailureRate { failures: 0, .. } => {
                Err(refused("the failure rate allows no failure", "allow one or more, or use Restart::never()"))
            }
            _ => Ok(()),
        }
    }
}

fn refused(problem: &str, advice: &str) -> Error {
    Error::InvalidFlow { problem: problem.to_owned(), advice: advice.to_owned() }
}

/// What a strategy of the user's own decides from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// What failed.
    pub cause: &'a Error,
    /// How often the region was restarted before, in this process.
    pub restarts: u32,
    /// How long it went well: the time since the attempt that has failed was to begin.
    pub ran: Duration,
}

/// A strategy of the user's own.
#[derive(Clone)]
pub(crate) struct Custom(Arc<Decide>);

type Decide = dyn Fn(&Failure<'_>) -> Option<Duration> + Send + Sync;

impl Custom {
    pub(crate) fn decide(&self, failure: &Failure<'_>) -> Option<Duration> {
        (self.0)(failure)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

/// Restarts after delays that grow with each failure, until it goes well for long enough: the kindest way to treat what is down and
/// will be up again, and the default of a job that takes checkpoints periodically.
///
/// The n-th delay in a row is `initial × multiplier^(n-1)`, give or take the jitter, never below the initial one nor above the longest.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialDelay {
    pub(crate) initial: Duration,
    pub(crate) longest: Duration,
    pub(crate) multiplier: f64,
    pub(crate) jitter: f64,
    pub(crate) reset_after: Duration,
    pub(crate) at_most: Option<u32>,
}

impl Default for ExponentialDelay {
    /// From a second up to a minute, half as long again each time, give or take a tenth; from the beginning after an hour without a
    /// failure; without end.
    fn default() -> Self {
        ExponentialDelay {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            multiplier: 1.5,
            jitter: 0.1,
            reset_after: Duration::from_secs(3600),
            at_most: None,
        }
    }
}

impl ExponentialDelay {
    /// With this first delay, above zero.
    pub fn from(initial: Duration) -> Self {
        let default = ExponentialDelay::default();
        ExponentialDelay { initial, longest: default.longest.max(initial), ..default }
    }

    /// The longest delay. Default: a minute.
    #[must_use]
    pub fn up_to(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// By how much each delay is longer than the one before, at least 1. Default: 1.5.
    #[must_use]
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// By which part a delay is made shorter or longer at random, from 0 to 1, so that many jobs do not all come at once. Default: 0.1.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Begins again with the first delay, and with no restart counted, where it went well for so long. Default: an hour.
    #[must_use]
    pub fn reset_after(mut self, quiet: Duration) -> Self {
        self.reset_after = quiet;
        self
    }

    /// How many restarts in a row there may be. Default: any number.
    #[must_use]
    pub fn at_most(mut self, restarts: u32) -> Self {
        self.at_most = Some(restarts);
        self
    }

    fn check(&self) -> Result<()> {
        if self.initial.is_zero() {
            return Err(refused(
                "the first delay of the restart strategy is zero",
                "use one above zero: a product of zero never grows",
            ));
        }
        if self.longest < self.initial {
            return Err(refused(
                "the longest restart delay is below the first one",
                "raise .up_to(..), or lower the first delay",
            ));
        }
        if !(self.multiplier >= 1.0 && self.multiplier.is_finite()) {
            return Err(refused("the restart delays' multiplier is below 1 or no number", "use .multiplier(1.0) or more"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(refused("the restart delays' jitter is not from 0 to 1", "use .jitter(0.1), or .jitter(0.0) for none"));
        }
        Ok(())
    }
}

impl From<ExponentialDelay> for Restart {
    fn from(delay: ExponentialDelay) -> Self {
        Restart(RestartPolicy::Exponential(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{minutes, secs};

    #[test]
    fn strategies_that_cannot_work_are_refused() {
        let exponential = ExponentialDelay::default;
        let sound = [exponential(), ExponentialDelay::from(minutes(2)), exponential().jitter(0.0).multiplier(1.0)];
        for delay in sound {
            assert!(Restart::from(delay.clone()).check().is_ok(), "{delay:?}");
        }
        let unsound = [
            ExponentialDelay::from(secs(0)),
            exponential().up_to(Duration::from_millis(999)),
            exponential().multiplier(0.99),
            exponential().multiplier(f64::NAN),
            exponential().multiplier(f64::INFINITY),
            exponential().jitter(-0.1),
            exponential().jitter(1.1),
        ];
        for delay in unsound {
            assert!(matches!(Restart::from(delay.clone()).check(), Err(Error::InvalidFlow { .. })), "{delay:?}");
        }
        assert!(Restart::failure_rate(0, secs(1), secs(1)).check().is_err());
    }
}
