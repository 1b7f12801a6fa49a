//! The restart strategies: whether a region is restarted after a failure, and how long after it. None is restarted to find again that
//! the stored state does not fit the flow.
//!
//! Always: only failures of running or starting tasks are asked about, one for each attempt; so what a teardown causes is never
//! counted. Owned by the region's machine.

use std::time::Duration;

use crate::config::{Restart, RestartPolicy};
use crate::error::Error;

/// What the strategy says of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Restart, not before this delay is over.
    RestartIn(Duration),
    /// Fail the job; why, as the end of a sentence.
    GiveUp(String),
}

/// A strategy with what it remembers.
#[derive(Debug)]
pub(crate) struct Restarts {
    policy: RestartPolicy,
    /// Restarts that were granted.
    granted: u32,
}

impl Restarts {
    /// The strategy before any failure.
    pub(crate) fn new(restart: &Restart) -> Self {
        Restarts { policy: restart.0.clone(), granted: 0 }
    }

    /// An attempt failed, for this cause.
    #[must_use]
    pub(crate) fn failed(&mut self, cause: &Error) -> Decision {
        match self.policy {
            _ if cause.is_for_good() => Decision::GiveUp("a restart would find the same".into()),
            RestartPolicy::Never => Decision::GiveUp("restarts are off".into()),
            RestartPolicy::FixedDelay { restarts, .. } if self.granted >= restarts => {
                Decision::GiveUp(format!("all {restarts} restarts are used up"))
            }
            RestartPolicy::FixedDelay { delay, .. } => {
                self.granted += 1;
                Decision::RestartIn(delay)
            }
        }
    }

    /// How many restarts were granted.
    pub(crate) fn granted(&self) -> u32 {
        self.granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::secs;

    #[test]
    fn e1_a_fixed_delay_grants_its_restarts_and_no_more() {
        let mut restarts = Restarts::new(&Restart::fixed_delay(2, secs(10)));
        let mut failed = || restarts.failed(&Error::Ended);
        assert_eq!(failed(), Decision::RestartIn(secs(10)));
        assert_eq!(failed(), Decision::RestartIn(secs(10)));
        assert_eq!(failed(), Decision::GiveUp("all 2 restarts are used up".into()));
        assert_eq!(failed(), Decision::GiveUp("all 2 restarts are used up".into()));
        assert_eq!(restarts.granted(), 2);
    }

    #[test]
    fn c21_state_that_does_not_fit_is_not_tried_again() {
        let mut restarts = Restarts::new(&Restart::fixed_delay(2, secs(10)));
        let cause = Error::StateMismatch { problem: "it is another".into(), advice: "take it".into() };
        assert_eq!(restarts.failed(&cause), Decision::GiveUp("a restart would find the same".into()));
        assert_eq!(restarts.granted(), 0);
    }

    #[test]
    fn e1_never_gives_up_at_the_first_failure() {
        assert_eq!(Restarts::new(&Restart::never()).failed(&Error::Ended), Decision::GiveUp("restarts are off".into()));
    }
}
