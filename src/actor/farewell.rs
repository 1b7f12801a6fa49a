//! How the tasks of a region go at the end: with the job's final checkpoint, or with a savepoint that the job is stopped with.
//!
//! Always: no task goes before all of its region have committed what that allows. Part of the region's supervisor.

use super::region::RegionState;
use crate::ids::CheckpointId;
use crate::task::Command;

/// With what the tasks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    NotYet,
    /// The final checkpoint.
    Final(CheckpointId),
    /// A savepoint with which the job ends.
    Savepoint(CheckpointId),
}

impl Farewell {
    /// What has to be committed before.
    pub(super) fn last(self) -> Option<CheckpointId> {
        match self {
            Farewell::NotYet => None,
            Farewell::Final(id) | Farewell::Savepoint(id) => Some(id),
        }
    }

    /// The final checkpoint, behind which the job has finished for good.
    pub(super) fn final_checkpoint(self) -> Option<CheckpointId> {
        match self {
            Farewell::Final(id) => Some(id),
            Farewell::NotYet | Farewell::Savepoint(_) => None,
        }
    }
}

impl RegionState {
    /// The tasks go with this, once they have committed it.
    pub(super) fn say_farewell(&mut self, farewell: Farewell) {
        self.finishing = farewell;
        farewell.last().into_iter().for_each(|last| self.remind(last));
    }

    /// Lets all tasks go once each has committed what the final checkpoint allows: one that went before would take with it those
    /// that still read from it, and what they have to say of a commit that fails.
    pub(super) fn release(&self) {
        let Some(last) = self.finishing.last() else { return };
        let restored_there = self.point >= Some(last);
        if restored_there || self.entrants.values().all(|entrant| entrant.committed >= Some(last)) {
            self.entrants.values().for_each(|entrant| entrant.reach.tell(Command::Release));
        }
    }

    /// Tells the tasks once more that their last checkpoint is complete: no later one makes up for a message that was lost.
    fn remind(&self, last: CheckpointId) {
        let waiting = self.entrants.values().filter(|entrant| entrant.committed < Some(last));
        waiting.for_each(|entrant| entrant.reach.tell(Command::Complete(last)));
    }
}
