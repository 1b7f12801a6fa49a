//! Who is there: the tasks of each region with their attempts, so that two attempts of one region are seen.

use std::collections::BTreeSet;

use crate::ids::{Attempt, RegionId, TaskId};

/// All tasks of which something is there: a driver, or a call under way.
#[derive(Debug, Default)]
pub(super) struct Present(BTreeSet<(RegionId, Attempt, TaskId)>);

impl Present {
    /// A task comes; returns another attempt of its region that is still there.
    pub(super) fn came(&mut self, region: RegionId, task: TaskId, attempt: Attempt) -> Option<Attempt> {
        self.0.insert((region, attempt, task));
        self.0.iter().find(|(other, is, _)| *other == region && *is != attempt).map(|(_, other, _)| *other)
    }

    /// A task goes.
    pub(super) fn gone(&mut self, region: RegionId, task: TaskId, attempt: Attempt) {
        self.0.remove(&(region, attempt, task));
    }
}
