//! The views that stay in memory, shared by the keeper, which puts them in, and the region supervisors, which restore from them.
//!
//! Always: what is not needed any more is dropped outside of the lock, on a thread that may block. Locked once for a task's part,
//! for the end of a checkpoint, and for a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::{Carried, KeptViews};
use crate::config::Checkpoints;
use crate::ids::{CheckpointId, RegionId, TaskId};
use crate::snapshot::{TaskEntry, TaskSnapshot};

/// The views of a job that stay in memory.
#[derive(Debug)]
pub(crate) struct Views {
    kept: Mutex<KeptViews<Arc<TaskSnapshot>>>,
    regions: BTreeMap<TaskId, RegionId>,
}

impl Views {
    /// None yet, for tasks in these regions.
    pub(super) fn new(options: &Checkpoints, regions: &[Vec<TaskId>]) -> Self {
        let numbered = (0..).map(RegionId).zip(regions);
        let regions = numbered.flat_map(|(id, tasks)| tasks.iter().map(move |task| (*task, id))).collect();
        Views { kept: Mutex::new(KeptViews::new(options.views_bytes(), options.concurrent())), regions }
    }

    fn kept(&self) -> MutexGuard<'_, KeptViews<Arc<TaskSnapshot>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task's part is durable. Its keys and values may own memory beside the tables: as much as they take in the file, about.
    pub(super) fn add(&self, entry: &TaskEntry, snapshot: Arc<TaskSnapshot>) {
        let Some(region) = self.regions.get(&entry.task) else { return };
        let views = snapshot.operators.iter().flat_map(|operator| &operator.views);
        let tables: u64 = views.map(|view| view.held_bytes()).sum();
        let bytes = tables + entry.file.as_ref().map_or(0, |file| file.bytes);
        let dropped = self.kept().add(entry.checkpoint, *region, entry.task, bytes, snapshot);
        drop(dropped);
    }

    /// The checkpoint is complete.
    pub(super) fn completed(&self, id: CheckpointId, carried: &Carried) {
        let dropped = self.kept().completed(id, carried);
        drop(dropped);
    }

    /// The checkpoint was given up, or nobody knows yet whether it is complete.
    pub(super) fn given_up(&self, id: CheckpointId) {
        let dropped = self.kept().given_up(id);
        drop(dropped);
    }

    /// The last complete checkpoint.
    pub(super) fn latest(&self) -> Option<CheckpointId> {
        self.kept().latest()
    }

    /// A task's part of a checkpoint is not wanted.
    pub(super) fn refused(&self, entry: &TaskEntry) {
        let Some(region) = self.regions.get(&entry.task) else { return };
        let dropped = self.kept().refused(entry.checkpoint, *region);
        drop(dropped);
    }

    /// What the tasks of a region left at a complete checkpoint, if all of it is here.
    pub(super) fn of(&self, id: CheckpointId, region: RegionId, tasks: &[TaskId]) -> Option<Vec<Arc<TaskSnapshot>>> {
        self.kept().of(id, region, tasks)
    }
}
