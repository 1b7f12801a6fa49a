//! The directory of one checkpoint or savepoint, wherever it lies: how it is written, and how it goes.
//!
//! Always: its manifest is written last and deleted first, so what an interruption leaves is no checkpoint; nothing in it is
//! overwritten. A snapshot's name carries its attempt, so that a late write of an old attempt touches no other's file. Blocking calls.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoints::{MANIFEST, MANIFEST_FORMAT, OperatorSnapshot, TaskSnapshot, check_size, manifest_in};
use super::file::{EmitSection, FileEntry, OperatorViews, SnapshotHeader, write_sections, write_snapshot};
use super::job_files::write_sealed;
use super::manifest::{Manifest, OperatorEntry, TaskEntry};
use super::place::Where;
use super::restore::{RestoredOperator, Share};
use super::store::{Put, StoreBackend};
use crate::error::{BoxError, Error, Result};
use crate::ids::{CheckpointId, Uid};

/// The directory of a checkpoint or a savepoint.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    store: Arc<dyn StoreBackend>,
    /// Its path in the store.
    dir: String,
}

/// Writes a snapshot file to where it is told, under this name.
type WriteFile<'a> = dyn FnMut(&mut dyn Write, String) -> Result<FileEntry, BoxError> + 'a;

impl Folder {
    /// The directory with this path in a store.
    pub(crate) fn new(store: Arc<dyn StoreBackend>, dir: String) -> Self {
        Folder { store, dir }
    }

    pub(super) fn store(&self) -> &dyn StoreBackend {
        &*self.store
    }

    pub(super) fn shared_store(&self) -> Arc<dyn StoreBackend> {
        self.store.clone()
    }

    /// The store's path of a file in it.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    /// Where it is, as the user knows it.
    pub(crate) fn located(&self) -> PathBuf {
        self.store.locate(&self.dir)
    }

    /// Its path in its store.
    pub(super) fn dir(&self) -> &str {
        &self.dir
    }

    /// Whether it is a directory of the local file system, which any process finds by its path.
    pub(super) fn is_local(&self) -> bool {
        self.located().is_absolute()
    }

    /// As a place.
    pub(super) fn into_where(self) -> Where {
        Where::Store(self.store, self.dir)
    }

    /// Whether nothing lies in it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn is_empty(&self) -> Result<bool> {
        Ok(self.store.list(&self.dir)?.is_empty())
    }

    /// Writes a task's snapshot file, durably, and returns the task's ack. Where no operator has a state, no file is written.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn write_snapshot(&self, job: &str, snapshot: &TaskSnapshot) -> Result<TaskEntry> {
        let TaskSnapshot { checkpoint, task, attempt, operators } = snapshot;
        let header = SnapshotHeader { job: job.to_owned(), checkpoint: *checkpoint, attempt: *attempt, task: *task };
        let stateless = operators.iter().all(|operator| operator.views.is_empty());
        let file = if stateless { None } else { Some(self.write_views(&header, operators)?) };
        let operators = operators.iter().map(operator_entry).collect();
        Ok(TaskEntry { checkpoint: *checkpoint, task: *task, attempt: *attempt, operators, file })
    }

    fn write_views(&self, header: &SnapshotHeader, operators: &[OperatorSnapshot]) -> Result<FileEntry> {
        self.write_task(header, &mut |out, name| {
            let operators = operators.iter().map(|operator| OperatorViews { uid: &operator.uid, views: &operator.views });
            write_snapshot(out, name, header, operators)
        })
    }

    /// Writes a snapshot file that consists of the sections that `fill` hands out, durably.
    ///
    /// # Errors
    /// [`Error::Store`], also where `fill` fails.
    pub(super) fn write_sections(
        &self,
        header: &SnapshotHeader,
        fill: &mut dyn FnMut(&mut EmitSection<'_>) -> Result<(), BoxError>,
    ) -> Result<FileEntry> {
        self.write_task(header, &mut |out, name| write_sections(out, name, header, fill))
    }

    fn write_task(&self, header: &SnapshotHeader, write: &mut WriteFile<'_>) -> Result<FileEntry> {
        let name = format!("task-{}-attempt-{}.snap", header.task, header.attempt);
        let path = self.path(&name);
        let mut file = None;
        let put = self.store.put(&path, Put::New, &mut |out| {
            file = Some(write(out, name.clone())?);
            Ok(())
        });
        put.inspect_err(|_| self.tidy())?;
        file.ok_or_else(|| Error::Engine(format!("the store has not written '{path}'")))
    }

    /// Completes it: once this returns, and only then, the checkpoint exists.
    ///
    /// # Errors
    /// [`Error::Store`]; where it says `maybe_done`, no file in it may be deleted, because it may exist.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        write_sealed(&*self.store, MANIFEST_FORMAT, &self.path(MANIFEST), Put::New, manifest)
    }

    /// Makes the manifest durable that is there.
    pub(super) fn rewrite_manifest(&self, manifest: &Manifest) -> Result<()> {
        write_sealed(&*self.store, MANIFEST_FORMAT, &self.path(MANIFEST), Put::Replace, manifest)
    }

    /// Whether its manifest is there. Whether it can be read is not looked at.
    pub(super) fn is_complete(&self) -> Result<bool> {
        Ok(self.store.size(&self.path(MANIFEST))?.is_some())
    }

    /// Whether it holds this checkpoint, complete; its manifest is made durable then. One that can't be read is none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn settle(&self, id: CheckpointId) -> Result<bool> {
        match manifest_in(&*self.store, &self.dir) {
            Ok(Some(manifest)) if manifest.id() == id => self.rewrite_manifest(&manifest).map(|()| true),
            Ok(_) | Err(Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes it with all that is in it, the manifest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn delete(&self) -> Result<()> {
        self.store.delete(&self.path(MANIFEST))?;
        self.store.delete_all(&self.dir)
    }

    /// Deletes the files in it but those with these names.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(super) fn delete_but(&self, kept: &BTreeSet<String>) -> Result<()> {
        if kept.is_empty() {
            return self.store.delete_all(&self.dir);
        }
        let names = self.store.list(&self.dir)?;
        names.iter().filter(|name| !kept.contains(*name)).try_for_each(|name| self.store.delete(&self.path(name)))
    }

    /// Deletes what an interruption has left.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(super) fn delete_unless_complete(&self) -> Result<()> {
        if self.is_complete()? { Ok(()) } else { self.store.delete_all(&self.dir) }
    }

    /// Deletes the snapshot file of a task whose checkpoint was not completed, and with the last one the directory.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn discard(&self, entry: &TaskEntry) -> Result<()> {
        let Some(file) = &entry.file else { return Ok(()) };
        self.store.delete(&self.path(&file.name))?;
        self.tidy();
        Ok(())
    }

    /// A directory in which nothing is left is of no use. One that stays does no harm.
    fn tidy(&self) {
        if let Err(error) = self.store.delete_empty(&self.dir) {
            tracing::debug!(%error, "an empty directory stays");
        }
    }
}

fn operator_entry(operator: &OperatorSnapshot) -> OperatorEntry {
    OperatorEntry {
        uid: operator.uid.clone(),
        ended: operator.ended,
        watermark: operator.watermark,
        states: operator.views.iter().map(|view| view.descriptor().clone()).collect(),
    }
}

/// The name of a savepoint's directory beside a job's checkpoints.
pub(super) fn savepoint_name(id: CheckpointId) -> String {
    format!("{SAVEPOINT}{id}")
}

/// The number of a savepoint beside a job's checkpoints, by the name of its directory.
pub(super) fn parse_savepoint(name: &str) -> Option<CheckpointId> {
    let id = name.strip_prefix(SAVEPOINT)?.parse().ok().map(CheckpointId)?;
    (savepoint_name(id) == name).then_some(id)
}

/// What the name of such a directory begins with.
const SAVEPOINT: &str = "sp-";

/// A complete savepoint or checkpoint that a job begins from, wherever it lies.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    folder: Folder,
    manifest: Manifest,
}

impl Found {
    /// Reads the manifest in a directory, and checks that its files are there and whole in size.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where there is none, [`Error::Corrupt`], [`Error::Store`].
    pub(crate) fn open(folder: Folder) -> Result<Found> {
        let manifest = manifest_in(&*folder.store, &folder.dir)?.ok_or_else(|| Error::StateMismatch {
            problem: format!("there is no complete savepoint or checkpoint in '{}'", folder.located().display()),
            advice: "name the directory in which its file 'manifest' lies now, with Job::restore_from(Restore::savepoint(…))"
                .into(),
        })?;
        for file in &manifest.files {
            check_size(&*folder.store, &folder.dir, manifest.id(), file)?;
        }
        Ok(Found { folder, manifest })
    }

    /// Its number.
    pub(crate) fn id(&self) -> CheckpointId {
        self.manifest.id()
    }

    /// What it consists of.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Reads what it holds for one instance of an operator; `None` where the operator was not part of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`], [`Error::StateMismatch`] where the parallelism is above the number of key groups.
    pub(crate) fn load_operator(&self, uid: &Uid, share: Share) -> Result<Option<RestoredOperator>> {
        self.folder.load_operator(&self.manifest, uid, share)
    }
}
