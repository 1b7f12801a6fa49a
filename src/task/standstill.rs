//! Behind which barrier the tasks of an attempt are to stand still.
//!
//! Always: it is said before the barrier's checkpoint is triggered, so each task knows when it takes the barrier, and does nothing
//! between the two. Written by the region's supervisor, read by tasks, once for each barrier.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::CheckpointId;

/// The barrier; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standstill(Arc<AtomicU64>);

impl Standstill {
    /// Behind the barrier of this checkpoint.
    pub(crate) fn behind(&self, id: CheckpointId) {
        self.0.store(id.0, Ordering::Release);
    }

    /// Behind none.
    pub(crate) fn nowhere(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether it is behind this one.
    pub(crate) fn is_behind(&self, id: CheckpointId) -> bool {
        self.0.load(Ordering::Acquire) == id.0
    }
}
