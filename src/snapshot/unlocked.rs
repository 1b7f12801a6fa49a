//! What lies in a store, read from outside of the job: without its lock, and beside a job that runs.
//!
//! Always: nothing is written, and no byte is trusted. A job that runs may delete a checkpoint at any moment; whoever was reading it
//! is told so, and not that it is damaged. Blocking calls, from any thread.

use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoints::{
    MANIFEST, check_owner, check_size, directories, directory_name, lost, manifest_in, parse_directory, usable_below,
};
use super::file::{FileEntry, Section};
use super::folder::{Folder, parse_savepoint};
use super::head::{HeadDocument, head_of};
use super::job_files::{FINISHED, FINISHED_FORMAT, Finished, JOB_FORMAT, JobRecord, read_sealed};
use super::manifest::Manifest;
use super::origin::{ORIGIN, ORIGIN_FORMAT, OriginMark};
use super::reader::SnapshotReader;
use super::restore::open_file;
use super::store::StoreBackend;
use crate::error::{BoxError, Error, Result};
use crate::ids::CheckpointId;
use crate::state::Block;

/// The directory of a job.
#[derive(Clone, Debug)]
pub(crate) struct JobDir {
    store: Arc<dyn StoreBackend>,
    /// Its path in the store.
    dir: String,
}

/// The directory of a checkpoint, complete or not.
#[derive(Clone, Debug)]
pub(crate) struct FoundDir {
    /// The checkpoint's number.
    pub(crate) id: CheckpointId,
    /// Its path in the store.
    pub(crate) dir: String,
    /// Its manifest's bytes, if it has one, and those of all its files.
    pub(crate) bytes: u64,
    /// Whether it has a manifest.
    pub(crate) complete: bool,
}

impl JobDir {
    /// The job with this name.
    pub(crate) fn new(store: Arc<dyn StoreBackend>, dir: &str) -> Self {
        JobDir { store, dir: dir.into() }
    }

    /// All jobs of a store, by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn all(store: &Arc<dyn StoreBackend>) -> Result<Vec<JobDir>> {
        let mut jobs = Vec::new();
        for name in store.list("")? {
            let job = JobDir::new(store.clone(), &name);
            if job.is_there()? {
                jobs.push(job);
            }
        }
        Ok(jobs)
    }

    /// Its path in the store, which is the job's name.
    pub(crate) fn name(&self) -> &str {
        &self.dir
    }

    /// Where it is, as the user knows it.
    pub(crate) fn located(&self) -> PathBuf {
        self.store.locate(&self.dir)
    }

    /// Whether a job has ever kept something here.
    pub(crate) fn is_there(&self) -> Result<bool> {
        Ok(self.store.size(&format!("{}/job", self.dir))?.is_some() || !directories(&*self.store, &self.dir)?.is_empty())
    }

    /// What was fixed at the job's first start; `None` where the file is not there.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::StateMismatch`] for a newer format, [`Error::Store`].
    pub(crate) fn record(&self) -> Result<Option<JobRecord>> {
        read_sealed(&*self.store, JOB_FORMAT, &format!("{}/job", self.dir))
    }

    /// The final checkpoint of a job that has finished.
    ///
    /// # Errors
    /// Those of [`JobDir::record`].
    pub(crate) fn finished(&self) -> Result<Option<CheckpointId>> {
        let finished: Option<Finished> = read_sealed(&*self.store, FINISHED_FORMAT, &format!("{}/{FINISHED}", self.dir))?;
        let past = self.past()?;
        Ok(finished.map(|finished| finished.checkpoint()).filter(|id| id.0 > past))
    }

    /// The number up to which its checkpoints are of the past, because it was begun anew since; 0 where none is.
    fn past(&self) -> Result<u64> {
        let origin: Option<OriginMark> = read_sealed(&*self.store, ORIGIN_FORMAT, &format!("{}/{ORIGIN}", self.dir))?;
        Ok(origin.map_or(0, |origin| origin.above))
    }

    /// The latest complete checkpoint: what the job's next start goes on from.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the head names one that is not there, or is itself damaged; [`Error::StateMismatch`] for a newer
    /// format; [`Error::Store`].
    pub(crate) fn latest(&self) -> Result<Option<FoundDir>> {
        let head = head_of(&*self.store, &self.dir)?.unwrap_or_default();
        let past = self.past()?;
        let latest =
            self.checkpoints()?.into_iter().rfind(|found| found.complete && found.id.0 > past && self.counts(found, &head));
        match head.latest.filter(|id| id.0 > past) {
            Some(id) if latest.as_ref().is_none_or(|latest| latest.id < id) => {
                let manifest = self.store.locate(&format!("{}/{}/{MANIFEST}", self.dir, directory_name(id)));
                let usable = |record: JobRecord| usable_below(&*self.store, &self.dir, &record, id);
                Err(with_usable(lost(&manifest, id), || self.record().ok().flatten().map_or_else(Vec::new, usable)))
            }
            _ => Ok(latest),
        }
    }

    /// Whether a complete checkpoint is the job's: what was written in an older epoch and never named is left of a process that was
    /// taken over. One that can't be read counts, so that it is heard of.
    fn counts(&self, found: &FoundDir, head: &HeadDocument) -> bool {
        let written_now =
            || manifest_in(&*self.store, &found.dir).map_or(true, |read| read.is_none_or(|of| of.note.epoch == head.epoch));
        Some(found.id) <= head.latest || written_now()
    }

    /// The savepoint that the job's next start goes on from, where it has no newer checkpoint of its own; `None` also where only the
    /// user can name the store in which it lies.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::StateMismatch`] for a newer format, [`Error::Store`].
    pub(crate) fn begins_from(&self) -> Result<Option<CheckpointDir>> {
        let origin: Option<OriginMark> = read_sealed(&*self.store, ORIGIN_FORMAT, &format!("{}/{ORIGIN}", self.dir))?;
        let folder = origin
            .and_then(|origin| origin.folder(|name| Folder::new(self.store.clone(), format!("{}/{name}", self.dir))).transpose());
        folder.transpose()?.map(|folder| CheckpointDir::open(folder.shared_store(), folder.dir())).transpose()
    }

    /// The directories of its checkpoints, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn checkpoints(&self) -> Result<Vec<FoundDir>> {
        let ids = directories(&*self.store, &self.dir)?;
        ids.into_iter().map(|id| self.found(id, format!("{}/{}", self.dir, directory_name(id)))).collect()
    }

    /// The directories of the savepoints that lie beside them, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn savepoints(&self) -> Result<Vec<FoundDir>> {
        let names = self.store.list(&self.dir)?;
        let mut found: Vec<(CheckpointId, String)> =
            names.into_iter().filter_map(|name| Some((parse_savepoint(&name)?, format!("{}/{name}", self.dir)))).collect();
        found.sort();
        found.into_iter().map(|(id, dir)| self.found(id, dir)).collect()
    }

    fn found(&self, id: CheckpointId, dir: String) -> Result<FoundDir> {
        let (mut bytes, mut complete) = (0, false);
        for name in self.store.list(&dir)? {
            bytes += self.store.size(&format!("{dir}/{name}"))?.unwrap_or(0);
            complete |= name == MANIFEST;
        }
        Ok(FoundDir { id, dir, bytes, complete })
    }
}

/// A complete checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointDir {
    store: Arc<dyn StoreBackend>,
    dir: String,
    manifest: Manifest,
}

impl CheckpointDir {
    /// Reads the manifest in a checkpoint's directory. Where the directory has the name that a job gives to one, and lies in a job's
    /// directory, it has to be that job's; a copy may lie anywhere.
    ///
    /// # Errors
    /// [`Error::Store`] where there is no complete checkpoint; [`Error::Corrupt`]; [`Error::StateMismatch`] for a newer format.
    pub(crate) fn open(store: Arc<dyn StoreBackend>, dir: &str) -> Result<Self> {
        let (job_dir, name) = split(dir);
        let id = parse_directory(name);
        let record = match job_dir {
            Some(job_dir) => JobDir::new(store.clone(), job_dir).record()?,
            None => None,
        };
        let read = manifest_in(&*store, dir).and_then(|manifest| {
            let manifest = manifest.ok_or_else(|| incomplete(&*store, dir))?;
            if let (Some(id), Some(record)) = (id, &record) {
                check_owner(&manifest, &store.locate(&format!("{dir}/{MANIFEST}")), id, record)?;
            }
            Ok(manifest)
        });
        match (read, job_dir, id, record) {
            (Ok(manifest), ..) => Ok(CheckpointDir { store, dir: dir.into(), manifest }),
            (Err(error), Some(job_dir), Some(id), Some(record)) => {
                Err(with_usable(error, || usable_below(&*store, job_dir, &record, id)))
            }
            (Err(error), ..) => Err(error),
        }
    }

    /// What it consists of.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it is, as the user knows it.
    pub(crate) fn located(&self) -> PathBuf {
        self.store.locate(&self.dir)
    }

    /// All sections, each with its file, in the order of the files.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&FileEntry, &Section)> {
        self.manifest.files.iter().flat_map(|file| file.sections.iter().map(move |section| (file, section)))
    }

    /// Checks that a file is there, and is the one that the manifest means; its sections are not read.
    ///
    /// # Errors
    /// Those of [`CheckpointDir::explained`].
    pub(crate) fn check_file(&self, file: &FileEntry) -> Result<()> {
        self.open_file(file).map(drop)
    }

    /// What reads its sections.
    pub(crate) fn reader(&self) -> SectionReader<'_> {
        SectionReader { checkpoint: self, open: None }
    }

    fn open_file(&self, file: &FileEntry) -> Result<SnapshotReader<'_>> {
        let path = file.path(&self.dir);
        let sized = check_size(&*self.store, &self.dir, self.manifest.id(), file);
        let opened = sized.and_then(|()| open_file(&*self.store, path, &self.manifest, file));
        opened.map_err(|error| self.explained(error))
    }

    /// An error that came of reading, with what it comes from: that the checkpoint was deleted meanwhile, where it was; and with the
    /// older checkpoints that are usable, where it is damaged.
    pub(crate) fn explained(&self, error: Error) -> Error {
        if let Ok(None) = self.store.size(&format!("{}/{MANIFEST}", self.dir)) {
            return Error::Store {
                action: "read",
                path: self.located(),
                cause:
                    "the checkpoint was deleted while it was read: its job has newer ones; look which there are, and take one of \
                        those"
                        .into(),
                maybe_done: false,
            };
        }
        let of_job = |job_dir| usable_below(&*self.store, job_dir, &self.manifest.job, self.manifest.id());
        with_usable(error, || split(&self.dir).0.map_or_else(Vec::new, of_job))
    }
}

/// Reads sections one after another, and keeps the file of the last one open.
#[derive(Debug)]
pub(crate) struct SectionReader<'a> {
    checkpoint: &'a CheckpointDir,
    open: Option<(&'a FileEntry, SnapshotReader<'a>)>,
}

impl<'a> SectionReader<'a> {
    /// Reads a section.
    ///
    /// # Errors
    /// [`Error::Corrupt`], naming the file, and within it the operator, the state and the key group; [`Error::Store`].
    pub(crate) fn read(&mut self, file: &'a FileEntry, section: &Section) -> Result<Block> {
        let reader = match self.open.take() {
            Some((of, reader)) if std::ptr::eq(of, file) => reader,
            _ => self.checkpoint.open_file(file)?,
        };
        let (_, reader) = self.open.insert((file, reader));
        reader.read(section).map_err(|error| self.checkpoint.explained(error))
    }

    /// The error for what was found in the section that was read last.
    pub(crate) fn damaged(&self, section: &Section, error: &BoxError) -> Error {
        match &self.open {
            Some((_, reader)) => self.checkpoint.explained(reader.damaged(section, &**error)),
            None => Error::Engine(format!("no file is open while a section is read: {error}")),
        }
    }
}

/// The job's directory, unless the store's root takes its place, and the name of the checkpoint's.
fn split(dir: &str) -> (Option<&str>, &str) {
    dir.rsplit_once('/').map_or((None, dir), |(job_dir, name)| (Some(job_dir), name))
}

fn incomplete(store: &dyn StoreBackend, dir: &str) -> Error {
    let there = store.list(dir).is_ok_and(|names| !names.is_empty());
    let cause = if there {
        "it has no manifest, so it is no complete checkpoint: it is being written, or was given up and goes with the job's next start; \
         take a complete one"
    } else {
        "there is no checkpoint: look which there are, and take one of those"
    };
    Error::Store { action: "read", path: store.locate(dir), cause: cause.into(), maybe_done: false }
}

fn with_usable(error: Error, usable: impl FnOnce() -> Vec<CheckpointId>) -> Error {
    match error {
        Error::Corrupt { path, what, .. } => Error::Corrupt { path, what, usable: usable() },
        error => error,
    }
}
