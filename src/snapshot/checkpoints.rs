//! The checkpoints of a job in its store: `chk-<n>/` with one file for each task, and the manifest last.
//!
//! Always: a directory without a manifest is no checkpoint; the head names the latest one before anyone hears that it is complete; a
//! snapshot's name carries its attempt, so that a late write of an old attempt touches no other's file; a manifest is never overwritten
//! by another one, and is the first file to go when a checkpoint is deleted. A write whose outcome is unknown deletes nothing. Blocking
//! calls.

use std::path::Path;
use std::sync::Arc;

use super::file::{EmitSection, FileEntry, SnapshotHeader};
use super::folder::{Folder, parse_savepoint};
use super::job_files::{JobRecord, JobStore, read_sealed};
use super::manifest::{Manifest, TaskEntry};
use super::restore::RestoredOperator;
use super::sealed::corrupt;
use super::store::StoreBackend;
use crate::error::{BoxError, Error, Result};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::state::{Kept, RestoredStates, StateView};
use crate::time::Timestamp;

pub(super) const MANIFEST_FORMAT: &str = "tidegate-manifest";
pub(super) const MANIFEST: &str = "manifest";

/// One operator of a task, frozen at a barrier.
#[derive(Clone, Debug)]
pub(crate) struct OperatorSnapshot {
    /// The operator.
    pub(crate) uid: Uid,
    /// True when this instance's input has ended and `finish` has run.
    pub(crate) ended: bool,
    /// The watermark that this instance has reached.
    pub(crate) watermark: Timestamp,
    /// Its states.
    pub(crate) views: Vec<Arc<dyn StateView>>,
}

impl OperatorSnapshot {
    /// What an instance that takes its place begins with, without anything being read.
    pub(crate) fn restored(&self) -> RestoredOperator {
        let state = |view: &Arc<dyn StateView>| {
            let descriptor = view.descriptor().clone();
            (descriptor.name.clone(), (descriptor, Kept::View(Arc::clone(view))))
        };
        let states = RestoredStates { states: self.views.iter().map(state).collect() };
        RestoredOperator { ended: self.ended, watermark: self.watermark, states }
    }
}

/// A task, frozen at a barrier.
#[derive(Clone, Debug)]
pub(crate) struct TaskSnapshot {
    /// The barrier's checkpoint.
    pub(crate) checkpoint: CheckpointId,
    /// The task.
    pub(crate) task: TaskId,
    /// The task's attempt.
    pub(crate) attempt: Attempt,
    /// Its operators, in the order of the chain.
    pub(crate) operators: Vec<OperatorSnapshot>,
}

impl JobStore {
    /// The directory of a checkpoint.
    pub(super) fn folder(&self, id: CheckpointId) -> Folder {
        Folder::new(self.store.clone(), self.path(&directory_name(id)))
    }

    /// Writes a task's snapshot file, durably, and returns the task's ack. Where no operator has a state, no file is written.
    pub(crate) fn write_snapshot(&self, snapshot: &TaskSnapshot) -> Result<TaskEntry> {
        self.folder(snapshot.checkpoint).write_snapshot(&self.record().job, snapshot)
    }

    /// Writes a snapshot file that consists of the sections that `fill` hands out, durably.
    ///
    /// # Errors
    /// [`Error::Store`], also where `fill` fails.
    pub(crate) fn write_sections(
        &self,
        checkpoint: CheckpointId,
        task: TaskId,
        attempt: Attempt,
        fill: &mut dyn FnMut(&mut EmitSection<'_>) -> Result<(), BoxError>,
    ) -> Result<FileEntry> {
        let header = SnapshotHeader { job: self.record().job.clone(), checkpoint, attempt, task };
        self.folder(checkpoint).write_sections(&header, fill)
    }

    /// Completes a checkpoint: once this returns, and only then, it is known to exist.
    ///
    /// # Errors
    /// [`Error::Store`]; where it says `maybe_done`, no file of the checkpoint may be deleted, because it may exist.
    /// [`Error::Fenced`] where a newer process start has taken the job over: it does not exist.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        let id = manifest.id();
        self.folder(id).write_manifest(manifest)?;
        match self.name_latest(id) {
            Err(Error::Fenced { path }) => {
                if let Err(error) = self.delete_checkpoint(id) {
                    tracing::debug!(%error, "what a fenced process wrote stays until the job's next start");
                }
                Err(Error::Fenced { path })
            }
            // Its manifest is there, so it may be found.
            named => named.map_err(Error::maybe_done),
        }
    }

    /// Makes the head name a checkpoint as the latest, unless it names a newer one.
    pub(super) fn name_latest(&self, id: CheckpointId) -> Result<()> {
        self.head.change(|head| head.latest = head.latest.max(Some(id))).map(drop)
    }

    /// The ids of all complete checkpoints, oldest first. Whether they can be read is not looked at.
    pub(crate) fn list(&self) -> Result<Vec<CheckpointId>> {
        self.complete_of(&self.directories()?)
    }

    /// Those of these ids that are complete.
    pub(super) fn complete_of(&self, ids: &[CheckpointId]) -> Result<Vec<CheckpointId>> {
        let mut complete = Vec::new();
        for id in ids {
            if self.is_complete(*id)? {
                complete.push(*id);
            }
        }
        Ok(complete)
    }

    /// The latest complete checkpoint since the job was last begun from a chosen point; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it, or one of its files, is damaged or missing: it names the older checkpoints that are usable,
    /// and none is taken in its place.
    pub(crate) fn latest(&self) -> Result<Option<Manifest>> {
        let (head, past) = (self.head.document(), self.past()?);
        for id in self.list()?.into_iter().rev().take_while(|id| id.0 > past && Some(*id) >= head.latest) {
            let manifest = self.checkpoint(id)?;
            // What the head does not name is complete where its process died in between; from an older epoch, it is what a process
            // wrote that did not know that the job had been taken over.
            if head.latest == Some(id) || manifest.note.epoch == head.epoch {
                return Ok(Some(manifest));
            }
        }
        match head.latest.filter(|id| id.0 > past) {
            None => Ok(None),
            Some(id) => Err(self.with_usable(lost(&self.store.locate(&self.checkpoint_path(id, MANIFEST)), id), id)),
        }
    }

    /// The latest complete checkpoint, to be gone on from. Its manifest is made durable once more: the process that wrote it may
    /// have been killed between renaming and syncing, and what is built on a checkpoint must not outlive it.
    ///
    /// # Errors
    /// Those of [`JobStore::latest`], and of writing.
    pub(crate) fn latest_for_good(&self) -> Result<Option<Manifest>> {
        let latest = self.latest()?;
        if let Some(manifest) = &latest {
            self.rewrite_manifest(manifest)?;
        }
        Ok(latest)
    }

    /// The complete checkpoint with this id.
    ///
    /// # Errors
    /// Those of [`JobStore::latest`].
    pub(crate) fn checkpoint(&self, id: CheckpointId) -> Result<Manifest> {
        self.read_manifest(id).map_err(|error| self.with_usable(error, id))
    }

    /// Deletes a checkpoint. Its manifest goes first, so that what an interruption leaves is no checkpoint. Files that others name stay
    /// until they are named no more.
    ///
    /// # Errors
    /// [`Error::Fenced`] where a newer process start may go on from it; [`Error::Store`].
    pub(crate) fn delete_checkpoint(&self, id: CheckpointId) -> Result<()> {
        self.head.may_delete(id)?;
        if self.head.document().latest == Some(id) {
            let older = self.list()?.into_iter().rfind(|other| *other < id);
            self.head.change(|head| head.latest = older)?;
        }
        self.store.delete(&self.checkpoint_path(id, MANIFEST))?;
        self.delete_unnamed(id)
    }

    /// Deletes the snapshot file of a task whose checkpoint was not completed, and with the last one the checkpoint's directory. One that
    /// another checkpoint names stays: an ack may come once more after its checkpoint was deleted.
    pub(crate) fn discard(&self, entry: &TaskEntry) -> Result<()> {
        if let Some(file) = &entry.file
            && self.is_carried(entry.checkpoint, &file.name)?
        {
            return Ok(());
        }
        self.folder(entry.checkpoint).discard(entry)
    }

    /// Deletes what is left of checkpoints before `below` that were not completed, or that a process wrote which had been taken over:
    /// they are newer than the latest. The same of savepoints beside them that were not completed.
    pub(crate) fn clean_incomplete(&self, below: CheckpointId) -> Result<()> {
        for name in self.store.list(&self.record().job)? {
            if parse_savepoint(&name).is_some_and(|id| id < below) {
                self.beside(&name).delete_unless_complete()?;
            }
        }
        let (latest, past) = (self.head.document().latest, self.past()?);
        for id in self.directories()?.into_iter().filter(|id| *id < below) {
            if (Some(id) > latest && id.0 > past) || !self.is_complete(id)? {
                self.delete_checkpoint(id)?;
            }
        }
        Ok(())
    }

    /// The store's path of a file of a checkpoint.
    pub(super) fn checkpoint_path(&self, id: CheckpointId, name: &str) -> String {
        self.folder(id).path(name)
    }

    /// The highest id that has a directory, complete or not; 0 where there is none.
    pub(super) fn highest_directory(&self) -> Result<u64> {
        Ok(self.directories()?.last().map_or(0, |id| id.0))
    }

    /// Completes an error about damage with the checkpoints before `id` that are usable.
    pub(super) fn with_usable(&self, error: Error, id: CheckpointId) -> Error {
        match error {
            Error::Corrupt { path, what, .. } => Error::Corrupt { path, what, usable: self.usable_below(id) },
            error => error,
        }
    }

    /// Ends a doubt: a manifest that may have been written is made durable where it is there, and removed with all that belongs
    /// to it where it is not or can't be read. Returns whether it is there.
    pub(crate) fn settle(&self, id: CheckpointId) -> Result<bool> {
        if !self.is_complete(id)? {
            return self.delete_checkpoint(id).map(|()| false);
        }
        match self.read_manifest(id) {
            Ok(manifest) => self.rewrite_manifest(&manifest).and_then(|()| self.name_latest(id)).map(|()| true),
            Err(Error::Corrupt { .. }) => self.delete_checkpoint(id).map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// The same for all checkpoints: whoever wrote them has failed, and none of its calls is under way. Returns the latest one, where it
    /// is none of the past.
    pub(crate) fn settle_all(&self) -> Result<Option<CheckpointId>> {
        let (known, past) = (self.head.document().latest, self.past()?);
        for id in self.directories()? {
            let is_new = Some(id) > known && id.0 > past;
            // One that was complete and is no more is not the doing of whoever failed: it stays an error.
            if is_new || (Some(id) != known && !self.is_complete(id)?) {
                self.settle(id)?;
            }
        }
        Ok(self.head.document().latest.filter(|id| id.0 > past))
    }

    /// Makes a manifest durable that is there.
    fn rewrite_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.folder(manifest.id()).rewrite_manifest(manifest)
    }

    fn usable_below(&self, id: CheckpointId) -> Vec<CheckpointId> {
        usable_below(&*self.store, &self.record().job, self.record(), id)
    }

    pub(super) fn directories(&self) -> Result<Vec<CheckpointId>> {
        directories(&*self.store, &self.record().job)
    }

    fn is_complete(&self, id: CheckpointId) -> Result<bool> {
        self.folder(id).is_complete()
    }

    /// Reads a manifest, and checks that its files are there and whole in size.
    fn read_manifest(&self, id: CheckpointId) -> Result<Manifest> {
        read_manifest(&*self.store, &self.record().job, self.record(), id)
    }
}

/// Reads the manifest of checkpoint `id` below a job's directory, and checks that its files are there and whole in size.
fn read_manifest(store: &dyn StoreBackend, job_dir: &str, record: &JobRecord, id: CheckpointId) -> Result<Manifest> {
    let dir = format!("{job_dir}/{}", directory_name(id));
    let located = store.locate(&format!("{dir}/{MANIFEST}"));
    let manifest = manifest_in(store, &dir)?.ok_or_else(|| corrupt(&located, format!("checkpoint {id} has no manifest")))?;
    check_owner(&manifest, &located, id, record)?;
    for file in &manifest.files {
        check_size(store, &dir, id, file)?;
    }
    Ok(manifest)
}

/// The manifest in a checkpoint's directory; `None` where there is none. Its files are not looked at.
pub(super) fn manifest_in(store: &dyn StoreBackend, dir: &str) -> Result<Option<Manifest>> {
    read_sealed(store, MANIFEST_FORMAT, &format!("{dir}/{MANIFEST}"))
}

/// Refuses the manifest of another checkpoint or job.
pub(super) fn check_owner(manifest: &Manifest, located: &Path, id: CheckpointId, record: &JobRecord) -> Result<()> {
    if manifest.id() == id && manifest.job == *record {
        return Ok(());
    }
    Err(corrupt(located, format!("it is that of checkpoint {} of job '{}'", manifest.id(), manifest.job.job)))
}

/// The error for a latest checkpoint that is not there.
pub(super) fn lost(manifest: &Path, id: CheckpointId) -> Error {
    corrupt(manifest, format!("the file is missing, and checkpoint {id} is the latest that was complete"))
}

/// Checks that a file of a checkpoint is there and whole in size.
pub(super) fn check_size(store: &dyn StoreBackend, dir: &str, id: CheckpointId, file: &FileEntry) -> Result<()> {
    let path = file.path(dir);
    let what = match store.size(&path)? {
        Some(size) if size == file.bytes => return Ok(()),
        Some(size) => format!("it has {size} bytes, and the manifest of checkpoint {id} says {}", file.bytes),
        None => format!("the file is missing, and the manifest of checkpoint {id} names it"),
    };
    Err(corrupt(&store.locate(&path), what))
}

/// The ids of the checkpoints below a job's directory that have a directory, complete or not, oldest first.
pub(super) fn directories(store: &dyn StoreBackend, job_dir: &str) -> Result<Vec<CheckpointId>> {
    let names = store.list(job_dir)?;
    let mut ids: Vec<CheckpointId> = names.iter().filter_map(|name| parse_directory(name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The job's complete checkpoints before `id` whose manifests can be read and whose files are there, newest first.
pub(super) fn usable_below(store: &dyn StoreBackend, job_dir: &str, record: &JobRecord, id: CheckpointId) -> Vec<CheckpointId> {
    let mut older = directories(store, job_dir).unwrap_or_default();
    older.retain(|other| *other < id && read_manifest(store, job_dir, record, *other).is_ok());
    older.reverse();
    older
}

pub(super) fn directory_name(id: CheckpointId) -> String {
    format!("chk-{id}")
}

pub(super) fn parse_directory(name: &str) -> Option<CheckpointId> {
    let id = name.strip_prefix("chk-")?.parse().ok().map(CheckpointId)?;
    (directory_name(id) == name).then_some(id)
}
