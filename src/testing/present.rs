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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_attempts_of_one_region_are_seen_and_those_of_two_regions_may_be() {
        let (mut present, mut task) = (Present::default(), 0);
        let mut came = |present: &mut Present, region, n| {
            task += 1;
            present.came(RegionId(region), TaskId { chain: task, index: 0 }, Attempt { epoch: 1, n })
        };
        assert_eq!(came(&mut present, 0, 0), None);
        assert_eq!(came(&mut present, 1, 3), None);
        assert_eq!(came(&mut present, 0, 1), Some(Attempt { epoch: 1, n: 0 }));
        present.gone(RegionId(1), TaskId { chain: 2, index: 0 }, Attempt { epoch: 1, n: 3 });
        assert_eq!(came(&mut present, 1, 4), None);
    }
}
