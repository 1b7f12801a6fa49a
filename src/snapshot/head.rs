//! The head of a job: which process start is the latest, which checkpoint is, and which checkpoint ids may have been used.
//!
//! Always: it changes by [`StoreBackend::swap`], from what this process wrote or read last; so whoever is not the latest process
//! start of the job can neither complete a checkpoint nor take an id, whatever became of its lock. A number is durably counted
//! before it is used. Blocking calls, from any thread that may.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::job_files::{read_sealed, refuse_lost};
use super::sealed::{seal, unseal};
use super::store::StoreBackend;
use crate::error::{Error, Result};
use crate::ids::CheckpointId;

pub(super) const HEAD_FORMAT: &str = "tidegate-head";

/// The content of the file `head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadDocument {
    /// The last process start.
    pub(super) epoch: u64,
    /// The last checkpoint id that may have been used.
    pub(super) reserved: u64,
    /// The latest complete checkpoint.
    pub(super) latest: Option<CheckpointId>,
}

/// What the file was when this process last saw it; without bytes where it was not there.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    document: HeadDocument,
    bytes: Option<Vec<u8>>,
}

/// The file `head` of a job.
#[derive(Debug)]
pub(super) struct Head {
    store: Arc<dyn StoreBackend>,
    job: Arc<str>,
    seen: Mutex<Seen>,
}

impl Head {
    /// Reads the file. It may be missing only where there is no checkpoint.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::StateMismatch`] for a newer format, [`Error::Store`].
    pub(super) fn read(store: Arc<dyn StoreBackend>, job: &str) -> Result<Self> {
        let seen = Mutex::new(look(&*store, job)?);
        Ok(Head { store, job: job.into(), seen })
    }

    /// Whether the file is there, so that a process start of the job has got as far as that.
    pub(super) fn is_there(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bytes.is_some()
    }

    /// What it says.
    pub(super) fn document(&self) -> HeadDocument {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).document
    }

    /// Begins an epoch, above every earlier one, that goes on from this checkpoint.
    ///
    /// # Errors
    /// [`Error::Fenced`] where another process has changed the head since it was read; [`Error::Store`].
    pub(super) fn begin(&self, latest: Option<CheckpointId>) -> Result<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let document = HeadDocument { epoch: seen.document.epoch + 1, latest, ..seen.document };
        if self.swap(&mut seen, document)? { Ok(document.epoch) } else { Err(self.fenced()) }
    }

    /// Changes what it says, in the epoch of this process, and returns what it says now.
    ///
    /// # Errors
    /// [`Error::Fenced`] where a newer process start has taken the job over; [`Error::Store`]: where it says `maybe_done`, the
    /// change may have been made, and making it once more does no harm.
    pub(super) fn change(&self, change: impl Fn(&mut HeadDocument)) -> Result<HeadDocument> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut document = seen.document;
            change(&mut document);
            if self.swap(&mut seen, document)? {
                return Ok(document);
            }
            let found = look(&*self.store, &self.job)?;
            if found.document.epoch != seen.document.epoch {
                return Err(self.fenced());
            }
            if found == *seen {
                return Err(Error::Engine(format!("the store does not swap '{}', which is as expected", self.path())));
            }
            // An earlier change of this process, whose outcome was not known, has been made.
            *seen = found;
        }
    }

    /// Looks whether this process may delete a checkpoint. One that was taken over may delete only what its successor does not go on
    /// from: a checkpoint that this process has written, and not named, may have become the latest one of the next.
    ///
    /// # Errors
    /// [`Error::Fenced`] where it may not; [`Error::Store`].
    pub(super) fn may_delete(&self, id: CheckpointId) -> Result<()> {
        let found = look(&*self.store, &self.job)?.document;
        if found.latest < Some(id) { Ok(()) } else { self.is_ours(&found) }
    }

    /// Looks whether the epoch of this process is still the latest.
    ///
    /// # Errors
    /// [`Error::Fenced`] where it is not; [`Error::Store`].
    pub(super) fn confirm(&self) -> Result<()> {
        self.is_ours(&look(&*self.store, &self.job)?.document)
    }

    fn is_ours(&self, found: &HeadDocument) -> Result<()> {
        if found.epoch == self.document().epoch { Ok(()) } else { Err(self.fenced()) }
    }

    fn swap(&self, seen: &mut Seen, document: HeadDocument) -> Result<bool> {
        let bytes = seal(HEAD_FORMAT, &document).map_err(|error| Error::Engine(format!("a head cannot be encoded: {error}")))?;
        let swapped = self.store.swap(&self.path(), seen.bytes.as_deref(), &bytes)?;
        if swapped {
            *seen = Seen { document, bytes: Some(bytes) };
        }
        Ok(swapped)
    }

    fn path(&self) -> String {
        path_of(&self.job)
    }

    fn fenced(&self) -> Error {
        Error::Fenced { path: self.store.locate(&self.path()) }
    }
}

fn path_of(job: &str) -> String {
    format!("{job}/head")
}

fn look(store: &dyn StoreBackend, job: &str) -> Result<Seen> {
    let path = path_of(job);
    match store.get(&path)? {
        Some(bytes) => Ok(Seen { document: unseal(HEAD_FORMAT, &store.locate(&path), &bytes)?, bytes: Some(bytes) }),
        None => refuse_lost(store, job, &path).map(|()| Seen { document: HeadDocument::default(), bytes: None }),
    }
}

/// What the head of a job says, for whoever only looks; `None` where it is not there.
pub(super) fn head_of(store: &dyn StoreBackend, job: &str) -> Result<Option<HeadDocument>> {
    read_sealed(store, HEAD_FORMAT, &path_of(job))
}
