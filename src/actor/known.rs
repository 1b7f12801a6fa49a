//! What is known of a job from its events: what its regions do, how its checkpoints go, and what failed last.
//!
//! A pure fold over events, so that status, tree and probes can never say anything that no event has said.

use std::collections::BTreeMap;

use super::event::JobEvent;
use crate::config::RESTARTS_PARDONED;
use crate::ids::{Attempt, CheckpointId, RegionId};
use crate::time::Moment;

/// What a region does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionState {
    /// Its tasks are being opened for the first time.
    Starting,
    /// All its tasks run.
    Running,
    /// It has failed; its tasks are stopped, its state is restored, or a delay is waited for.
    Restarting,
    /// It has come to its end.
    Ended,
    /// It has failed for good.
    Failed,
}

impl std::fmt::Display for RegionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RegionState::Starting => "starting",
            RegionState::Running => "running",
            RegionState::Restarting => "restarting",
            RegionState::Ended => "ended",
            RegionState::Failed => "failed",
        })
    }
}

/// The last failure of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointFailure {
    /// The checkpoint; none where it got no number.
    pub id: Option<CheckpointId>,
    /// Why, as a sentence.
    pub reason: String,
}

/// The last failure of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionFailure {
    /// The region.
    pub region: RegionId,
    /// The task that is to blame, where one is.
    pub task: Option<String>,
    /// The operator that is to blame, where one is.
    pub operator: Option<String>,
    /// The cause, as a sentence.
    pub cause: String,
}

/// What is known of a region.
#[derive(Clone, Debug)]
pub(crate) struct KnownRegion {
    pub(crate) state: RegionState,
    pub(crate) attempt: Option<Attempt>,
    /// How often it was restarted in this process.
    pub(crate) restarts: u32,
    pub(crate) last_failure: Option<String>,
}

/// The coordinator and the snapshot actor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PairNode {
    /// Whether they are there; else they are being replaced, and no checkpoint is taken meanwhile.
    pub serves: bool,
    /// How many there were, these included.
    pub tenure: u64,
    /// Which of them failed last, and why, as a sentence.
    pub last_failure: Option<String>,
}

/// What is known of a job.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) regions: BTreeMap<RegionId, KnownRegion>,
    pub(crate) pair: PairNode,
    /// Since when a checkpoint may be expected: when the latest one was complete, or a region ran again.
    pub(crate) fresh_since: Moment,
    /// How often regions were restarted since a checkpoint was complete.
    pub(crate) restarts_since: u32,
    /// The failure of a checkpoint after which none was complete.
    pub(crate) failing: Option<CheckpointFailure>,
    pub(crate) checkpoint_failure: Option<CheckpointFailure>,
    pub(crate) region_failure: Option<RegionFailure>,
}

impl Known {
    /// Of a job with so many regions, which begins now.
    pub(crate) fn new(regions: usize, now: Moment) -> Self {
        let fresh = KnownRegion { state: RegionState::Starting, attempt: None, restarts: 0, last_failure: None };
        Known {
            regions: (0..regions as u32).map(|id| (RegionId(id), fresh.clone())).collect(),
            pair: PairNode { serves: true, tenure: 1, last_failure: None },
            fresh_since: now,
            restarts_since: 0,
            failing: None,
            checkpoint_failure: None,
            region_failure: None,
        }
    }

    /// Whether all regions run, or have come to a good end.
    pub(crate) fn all_run(&self) -> bool {
        self.regions.values().all(|region| matches!(region.state, RegionState::Running | RegionState::Ended))
    }

    /// Learns of an event.
    pub(crate) fn learn(&mut self, event: &JobEvent, now: Moment) {
        match event {
            JobEvent::CheckpointCompleted { .. } => {
                (self.fresh_since, self.restarts_since, self.failing) = (now, 0, None);
            }
            JobEvent::CheckpointFailed { id, reason, counts: true } => {
                let failure = CheckpointFailure { id: *id, reason: reason.clone() };
                (self.failing, self.checkpoint_failure) = (Some(failure.clone()), Some(failure));
            }
            JobEvent::RegionFailed { region, task, operator, cause } => {
                let cause = cause.to_string();
                self.region(*region, |known| {
                    (known.state, known.last_failure) = (RegionState::Failed, Some(cause.clone()));
                });
                let (region, task, operator) = (*region, task.clone(), operator.clone());
                self.region_failure = Some(RegionFailure { region, task, operator, cause });
            }
            JobEvent::RegionRestarting { region, restarts, .. } => {
                self.region(*region, |known| (known.state, known.restarts) = (RegionState::Restarting, *restarts));
                self.restarts_since += 1;
            }
            JobEvent::RegionRestored { region, attempt, .. } => self.region(*region, |known| known.attempt = Some(*attempt)),
            JobEvent::RegionRunning { region, attempt } => {
                self.region(*region, |known| (known.state, known.attempt) = (RegionState::Running, Some(*attempt)));
                if self.restarts_since <= RESTARTS_PARDONED {
                    self.fresh_since = now;
                }
            }
            JobEvent::PairFailed { cause } => {
                (self.pair.serves, self.pair.last_failure) = (false, Some(cause.to_string()));
            }
            JobEvent::PairReplaced { tenure } => (self.pair.serves, self.pair.tenure) = (true, *tenure),
            JobEvent::RegionEnded { region } => self.region(*region, |known| known.state = RegionState::Ended),
            _ => {}
        }
    }

    fn region(&mut self, id: RegionId, learn: impl FnOnce(&mut KnownRegion)) {
        if let Some(region) = self.regions.get_mut(&id) {
            learn(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Error;
    use crate::time::secs;

    const REGION: RegionId = RegionId(1);

    fn after(events: &[JobEvent]) -> Known {
        let mut known = Known::new(2, Moment::default());
        events.iter().zip(1..).for_each(|(event, second)| known.learn(event, Moment(secs(second))));
        known
    }

    fn running(region: u32) -> JobEvent {
        JobEvent::RegionRunning { region: RegionId(region), attempt: Attempt { epoch: 1, n: 0 } }
    }

    fn failed() -> JobEvent {
        let (operator, task, message) = ("count".into(), "1.0".into(), "boom".into());
        JobEvent::region_failed(REGION, Error::Panic { operator, task, message })
    }

    fn checkpoint_failed(counts: bool) -> JobEvent {
        JobEvent::CheckpointFailed { id: Some(CheckpointId(4)), reason: "the disk is full".into(), counts }
    }

    #[test]
    fn regions_are_known_from_their_events() {
        assert!(!after(&[running(0)]).all_run());
        assert!(after(&[running(0), running(1)]).all_run());
        let restarting = JobEvent::RegionRestarting { region: REGION, after: Duration::ZERO, restarts: 3 };
        let known = after(&[running(0), running(1), failed(), restarting.clone()]);
        let region = &known.regions[&REGION];
        assert_eq!((region.state, region.restarts), (RegionState::Restarting, 3));
        assert_eq!(region.last_failure.as_deref(), Some("operator 'count' (task 1.0) panicked: boom"));
        let last = known.region_failure.as_ref().unwrap();
        assert_eq!((last.task.as_deref(), last.operator.as_deref()), (Some("1.0"), Some("count")));
        let again = after(&[running(0), running(1), failed(), restarting, running(1)]);
        assert!(again.all_run() && again.region_failure.is_some(), "the last failure stays known");
        let over = after(&[running(0), failed(), JobEvent::RegionEnded { region: RegionId(0) }]);
        let states: Vec<RegionState> = over.regions.values().map(|region| region.state).collect();
        assert_eq!(states, [RegionState::Ended, RegionState::Failed]);
    }

    #[test]
    fn a_checkpoints_failure_is_forgotten_for_health_and_kept_for_the_status() {
        let done = JobEvent::CheckpointCompleted { id: CheckpointId(5), took: secs(1), bytes: 7 };
        let failing = after(&[running(0), running(1), checkpoint_failed(true)]);
        assert_eq!((failing.failing.clone(), failing.fresh_since), (failing.checkpoint_failure, Moment(secs(2))));
        assert!(failing.failing.is_some());
        let well = after(&[checkpoint_failed(true), done]);
        assert_eq!(
            (well.failing, well.checkpoint_failure.map(|failure| failure.reason)),
            (None, Some("the disk is full".into()))
        );
        assert_eq!(well.fresh_since, Moment(secs(2)));
        assert!(after(&[checkpoint_failed(false)]).checkpoint_failure.is_none(), "that one did not count");
    }
}
