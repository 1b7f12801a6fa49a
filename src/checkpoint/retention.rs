//! Which complete checkpoints are kept.
//!
//! Always: a checkpoint is given up for deletion only after a newer one was published. One whose manifest may or may not have been
//! written is kept until then, like one that was. One that a region is being restored from is kept until that is over.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::UNCERTAIN_KEPT;
use crate::ids::{CheckpointId, RegionId};

/// The checkpoints that are kept.
#[derive(Debug)]
pub(crate) struct Retention {
    keep: usize,
    complete: BTreeSet<CheckpointId>,
    /// With the regions that took part.
    uncertain: BTreeMap<CheckpointId, BTreeSet<RegionId>>,
}

impl Retention {
    /// Keeps the newest `keep`, to begin with of those that are there.
    pub(crate) fn new(keep: usize, complete: impl IntoIterator<Item = CheckpointId>) -> Self {
        Retention { keep, complete: complete.into_iter().collect(), uncertain: BTreeMap::new() }
    }

    /// A checkpoint was published, while these are being restored from; returns those to delete, oldest first.
    pub(crate) fn published(&mut self, id: CheckpointId, restored: &BTreeSet<CheckpointId>) -> Vec<CheckpointId> {
        self.uncertain.remove(&id);
        self.complete.insert(id);
        let surplus = self.complete.len().saturating_sub(self.keep);
        let mut dropped: BTreeSet<_> = self.complete.iter().copied().take(surplus).filter(|id| !restored.contains(id)).collect();
        self.complete.retain(|id| !dropped.contains(id));
        let oldest = self.complete.first().copied().unwrap_or(id);
        let newer = self.uncertain.split_off(&oldest);
        dropped.extend(std::mem::replace(&mut self.uncertain, newer).into_keys());
        dropped.into_iter().collect()
    }

    /// A checkpoint's manifest may have been written, in which these regions took part.
    pub(crate) fn uncertain(&mut self, id: CheckpointId, regions: BTreeSet<RegionId>) {
        self.uncertain.insert(id, regions);
        if self.uncertain.len() > UNCERTAIN_KEPT {
            self.uncertain.pop_first();
        }
    }

    /// It was found out whether a manifest is there; if it was uncertain, the regions that took part.
    pub(crate) fn resolved(&mut self, id: CheckpointId) -> Option<BTreeSet<RegionId>> {
        self.uncertain.remove(&id)
    }

    /// The newest that may have been published after `latest`.
    pub(crate) fn uncertain_above(&self, latest: Option<CheckpointId>) -> Option<CheckpointId> {
        self.uncertain.keys().next_back().copied().filter(|id| Some(*id) > latest)
    }

    /// True if a manifest names the files of this checkpoint, or may.
    pub(crate) fn holds(&self, id: CheckpointId) -> bool {
        self.complete.contains(&id) || self.uncertain.contains_key(&id)
    }
}
