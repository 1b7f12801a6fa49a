//! Where each region stands with the job's complete checkpoints.
//!
//! Always: a region that has neither taken part in one nor been restored from one begins anew, whatever checkpoints there are; what a
//! region is being restored from is known until it runs, or fails. Kept by the coordinator, and once more by what outlives it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{CheckpointId, RegionId};

/// What is known of the regions of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The latest complete checkpoint that a region took part in, or was restored from.
    heard: BTreeMap<RegionId, CheckpointId>,
    /// What regions are being restored from.
    restoring: BTreeMap<RegionId, CheckpointId>,
    /// Regions that have run.
    ran: BTreeSet<RegionId>,
}

impl Standing {
    /// Of regions that all begin from this checkpoint.
    pub(crate) fn at(regions: impl IntoIterator<Item = RegionId>, point: Option<CheckpointId>) -> Self {
        let heard = regions.into_iter().filter_map(|region| Some((region, point?))).collect();
        Standing { heard, ..Standing::default() }
    }

    /// All tasks of a region run.
    pub(crate) fn runs(&mut self, region: RegionId) {
        self.restoring.remove(&region);
        self.ran.insert(region);
    }

    /// A region does not run; it waits for its restore point.
    pub(crate) fn fails(&mut self, region: RegionId) {
        self.restoring.remove(&region);
    }

    /// A region is restored from there, or begins anew.
    pub(crate) fn is_restored(&mut self, region: RegionId, point: Option<CheckpointId>) {
        let Some(point) = point else { return };
        self.heard.insert(region, point);
        self.restoring.insert(region, point);
    }

    /// A checkpoint is complete in which these regions took part.
    pub(crate) fn is_complete(&mut self, id: CheckpointId, regions: &BTreeSet<RegionId>) {
        self.heard.extend(regions.iter().map(|region| (*region, id)));
    }

    /// Whether a complete checkpoint holds anything of a region.
    pub(super) fn is_in_any(&self, region: RegionId) -> bool {
        self.heard.contains_key(&region)
    }

    pub(super) fn has_run(&self, region: RegionId) -> bool {
        self.ran.contains(&region)
    }

    /// The latest complete checkpoint that each of these took part in, or was restored from.
    pub(super) fn heard_by(&self, regions: &BTreeSet<RegionId>) -> BTreeMap<RegionId, Option<CheckpointId>> {
        regions.iter().map(|region| (*region, self.heard.get(region).copied())).collect()
    }

    /// The regions that are being restored.
    pub(super) fn restoring(&self) -> impl Iterator<Item = RegionId> {
        self.restoring.keys().copied()
    }

    /// The checkpoints that regions are being restored from.
    pub(super) fn being_restored(&self) -> BTreeSet<CheckpointId> {
        self.restoring.values().copied().collect()
    }
}
