//! The mark of a new beginning: the savepoint or checkpoint that a job goes on from until it has a checkpoint of its own again.
//!
//! It is written when a job is started from a chosen point, and when it is stopped with a savepoint, before anything of that savepoint
//! is committed. Always: while the mark is there, checkpoints up to the number in it, and a `finished` that names one of those, belong
//! to what was before and are never gone on from by themselves: their output would be repeated. So a plain start finds the same
//! beginning however often it is made. Blocking calls.

use serde::{Deserialize, Serialize};

use super::folder::{Folder, Found};
use super::job_files::{JobStore, read_sealed, write_sealed};
use super::place::Place;
use super::store::Put;
use crate::error::{Error, Result};
use crate::ids::CheckpointId;

pub(super) const ORIGIN_FORMAT: &str = "tidegate-origin";
/// The name of the file.
pub(super) const ORIGIN: &str = "origin";

/// Where the savepoint lies, so that another process finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Lies {
    /// In this directory of the job's own.
    Beside(String),
    /// In this directory.
    Directory(String),
    /// In a store that only the user can name; how it shows the place.
    Elsewhere(String),
}

impl Lies {
    fn shown(&self) -> &str {
        match self {
            Lies::Beside(place) | Lies::Directory(place) | Lies::Elsewhere(place) => place,
        }
    }
}

/// The file `origin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginMark {
    /// The savepoint's number.
    checkpoint: CheckpointId,
    lies: Lies,
    /// The job's own checkpoints up to this one are of the past.
    pub(super) above: u64,
    /// The savepoint is the job's from now on.
    pub(crate) claimed: bool,
}

impl JobStore {
    /// A directory beside the job's checkpoints.
    pub(super) fn beside(&self, name: &str) -> Folder {
        Folder::new(self.store.clone(), self.path(name))
    }

    /// Notes that the job goes on from a point, and from none of its own checkpoints up to `above`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn begin_from(&self, folder: &Folder, checkpoint: CheckpointId, above: u64, claimed: bool) -> Result<()> {
        self.confirm_epoch()?;
        let origin = OriginMark { checkpoint, lies: self.lies(folder), above, claimed };
        write_sealed(&*self.store, ORIGIN_FORMAT, &self.path(ORIGIN), Put::Replace, &origin)
    }

    /// Notes that the job ends with a savepoint, and goes on from it. Once this returns, and only then, it may be committed: no newer
    /// process start goes on from anything else, as it would have to change the head that it has read before.
    ///
    /// # Errors
    /// [`Error::Fenced`] where a newer process start has taken the job over; [`Error::Store`]: where it says `maybe_done`, the mark
    /// may be there, and writing it once more does no harm.
    pub(crate) fn end_with(&self, folder: &Folder, savepoint: CheckpointId) -> Result<()> {
        self.begin_from(folder, savepoint, savepoint.0, false)?;
        self.head.change(|head| head.reserved += 1).map(drop).map_err(Error::maybe_done)
    }

    /// The same for a checkpoint of its own.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn begin_from_own(&self, checkpoint: CheckpointId, above: u64) -> Result<()> {
        self.begin_from(&self.folder(checkpoint), checkpoint, above, false)
    }

    fn lies(&self, folder: &Folder) -> Lies {
        let located = folder.located();
        let own = folder.dir().strip_prefix(&self.path("")).filter(|name| self.beside(name).located() == located);
        match (own, folder.is_local()) {
            (Some(name), _) => Lies::Beside(name.to_owned()),
            (None, true) => Lies::Directory(located.to_string_lossy().into_owned()),
            (None, false) => Lies::Elsewhere(located.to_string_lossy().into_owned()),
        }
    }

    /// What the job goes on from, if not only from its own checkpoints.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub(crate) fn origin(&self) -> Result<Option<OriginMark>> {
        read_sealed(&*self.store, ORIGIN_FORMAT, &self.path(ORIGIN))
    }

    /// The number up to which the job's own checkpoints are of the past; 0 where none is.
    pub(super) fn past(&self) -> Result<u64> {
        Ok(self.origin()?.map_or(0, |origin| origin.above))
    }

    /// Opens the savepoint that the mark names.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where it does not lie there any more, or only the user can name its store; [`Error::Corrupt`];
    /// [`Error::Store`].
    pub(crate) fn open_origin(&self, origin: &OriginMark) -> Result<Found> {
        let elsewhere = || origin.lost(format!("'{}', in a store that only its user can name", origin.lies.shown()));
        let folder = origin.folder(|name| self.beside(name))?.ok_or_else(elsewhere)?;
        let located = folder.located();
        let found = Found::open(folder).map_err(|error| match error {
            Error::StateMismatch { .. } => {
                origin.lost(format!("'{}', where no complete savepoint lies any more", located.display()))
            }
            error => error,
        })?;
        if found.id() == origin.checkpoint {
            return Ok(found);
        }
        Err(origin.lost(format!("'{}', where savepoint {} lies now", located.display(), found.id())))
    }
}

impl OriginMark {
    /// The savepoint's number.
    pub(crate) fn checkpoint(&self) -> CheckpointId {
        self.checkpoint
    }

    /// The savepoint's directory; `None` where only the user can name its store.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`] where there is no such place.
    pub(super) fn folder(&self, beside: impl FnOnce(&str) -> Folder) -> Result<Option<Folder>> {
        match &self.lies {
            Lies::Beside(name) => Ok(Some(beside(name))),
            Lies::Directory(path) => Place::directory(path).folder(None, self.checkpoint).map(Some),
            Lies::Elsewhere(_) => Ok(None),
        }
    }

    fn lost(&self, place: String) -> Error {
        Error::StateMismatch {
            problem: format!(
                "the job goes on from savepoint {}, and has no newer checkpoint of its own; the savepoint was in {place}",
                self.checkpoint
            ),
            advice: "start the job with Job::restore_from(Restore::savepoint(…)) and where it lies now".into(),
        }
    }
}
