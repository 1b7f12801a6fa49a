//! Which complete checkpoints are kept.
//!
//! Always: a checkpoint is given up for deletion only after a newer one was published. One whose manifest may or may not have been
//! written is kept until then, like one that was.

use std::collections::BTreeSet;

use crate::config::UNCERTAIN_KEPT;
use crate::ids::CheckpointId;

/// The checkpoints that are kept.
#[derive(Debug)]
pub(crate) struct Retention {
    keep: usize,
    complete: BTreeSet<CheckpointId>,
    uncertain: BTreeSet<CheckpointId>,
}

impl Retention {
    /// Keeps the newest `keep`, to begin with of those that are there.
    pub(crate) fn new(keep: usize, complete: impl IntoIterator<Item = CheckpointId>) -> Self {
        Retention { keep, complete: complete.into_iter().collect(), uncertain: BTreeSet::new() }
    }

    /// A checkpoint was published; returns those to delete, oldest first.
    pub(crate) fn published(&mut self, id: CheckpointId) -> Vec<CheckpointId> {
        self.uncertain.remove(&id);
        self.complete.insert(id);
        let surplus = self.complete.len().saturating_sub(self.keep);
        let mut dropped: BTreeSet<_> = self.complete.iter().copied().take(surplus).collect();
        self.complete.retain(|id| !dropped.contains(id));
        let oldest = self.complete.first().copied().unwrap_or(id);
        dropped.extend(self.uncertain.iter().copied().filter(|id| *id < oldest));
        self.uncertain.retain(|id| *id >= oldest);
        dropped.into_iter().collect()
    }

    /// A checkpoint's manifest may have been written.
    pub(crate) fn uncertain(&mut self, id: CheckpointId) {
        self.uncertain.insert(id);
        if self.uncertain.len() > UNCERTAIN_KEPT {
            self.uncertain.pop_first();
        }
    }

    /// A manifest that was uncertain is not there; true if it was uncertain.
    pub(crate) fn absent(&mut self, id: CheckpointId) -> bool {
        self.uncertain.remove(&id)
    }

    /// The newest that may have been published after `latest`.
    pub(crate) fn uncertain_above(&self, latest: Option<CheckpointId>) -> Option<CheckpointId> {
        self.uncertain.last().copied().filter(|id| Some(*id) > latest)
    }

    /// True if a manifest names the files of this checkpoint, or may.
    pub(crate) fn holds(&self, id: CheckpointId) -> bool {
        self.complete.contains(&id) || self.uncertain.contains(&id)
    }
}
