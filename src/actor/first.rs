//! What becomes of a job's first attempt: whoever starts a job hears of a stored state that does not fit the flow by the start itself.
//!
//! Always: told once, and at the latest when the job has ended. Noted by the supervisors of the regions, waited for by who starts the
//! job, on any thread.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::ids::RegionId;
use crate::supervision::{Action, Outcome};

/// What has become of the first attempts of all regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstAttempt {
    /// Some region is still being opened.
    UnderWay,
    /// Every region runs, or is to be restarted, or has come to its end.
    Made,
    /// The stored state does not fit the flow: the job ends.
    Refused,
}

/// The regions of which nothing is known yet, and what is to be told.
#[derive(Debug)]
pub(crate) struct FirstAttempts {
    open: Mutex<BTreeSet<RegionId>>,
    told: watch::Sender<FirstAttempt>,
}

impl FirstAttempts {
    /// Of so many regions.
    pub(super) fn new(regions: usize) -> Self {
        let open = (0..regions as u32).map(RegionId).collect();
        FirstAttempts { open: Mutex::new(open), told: watch::Sender::new(FirstAttempt::UnderWay) }
    }

    /// A region's supervisor is about to do something.
    pub(super) fn note(&self, region: RegionId, action: &Action) {
        match action {
            Action::Over(Outcome::Failed(error)) if error.is_for_good() => self.tell(FirstAttempt::Refused),
            Action::ReportRunning { .. } | Action::ReportRestart { .. } | Action::Over(_) => self.settled(region),
            _ => {}
        }
    }

    fn settled(&self, region: RegionId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&region);
        if open.is_empty() {
            self.tell(FirstAttempt::Made);
        }
    }

    /// The job is over: nothing more will be heard of it.
    pub(super) fn over(&self) {
        self.tell(FirstAttempt::Made);
    }

    /// The first word counts.
    fn tell(&self, word: FirstAttempt) {
        self.told.send_if_modified(|now| {
            let first = *now == FirstAttempt::UnderWay;
            if first {
                *now = word;
            }
            first
        });
    }

    /// What became of them, once that is known.
    pub(crate) async fn outcome(&self) -> FirstAttempt {
        let mut told = self.told.subscribe();
        told.wait_for(|now| *now != FirstAttempt::UnderWay).await.map_or(FirstAttempt::Made, |now| *now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::ids::Attempt;

    const RUNNING: Action = Action::ReportRunning { attempt: Attempt { epoch: 1, n: 0 } };

    fn failed(cause: Error) -> Action {
        Action::Over(Outcome::Failed(Error::RestartsExhausted { strategy: "never".into(), cause: Box::new(cause) }))
    }

    fn told(actions: &[(u32, Action)]) -> FirstAttempt {
        let attempts = FirstAttempts::new(2);
        actions.iter().for_each(|(region, action)| attempts.note(RegionId(*region), action));
        *attempts.told.borrow()
    }

    #[test]
    fn it_is_made_when_something_is_known_of_every_region() {
        assert_eq!(told(&[(0, RUNNING), (0, RUNNING)]), FirstAttempt::UnderWay);
        assert_eq!(told(&[(0, RUNNING), (1, Action::ReportRestart { cause: Error::Ended, restarts: 1 })]), FirstAttempt::Made);
        assert_eq!(told(&[(1, failed(Error::Ended)), (0, RUNNING)]), FirstAttempt::Made);
    }

    #[test]
    fn state_that_does_not_fit_refuses_it_whatever_other_regions_do() {
        let refused = || failed(Error::StateMismatch { problem: "it is another".into(), advice: "take it".into() });
        assert_eq!(told(&[(1, refused())]), FirstAttempt::Refused);
        assert_eq!(told(&[(0, RUNNING), (1, refused()), (0, Action::Over(Outcome::Cancelled))]), FirstAttempt::Refused);
        assert_eq!(told(&[(0, RUNNING), (1, RUNNING), (1, refused())]), FirstAttempt::Made, "a later attempt is not the first");
    }
}
