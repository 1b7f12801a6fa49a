//! Which jobs a store has, and which checkpoints each of them.
//!
//! Always: one damaged file spoils its own line only; the rest is listed. Blocking, without any lock.

use std::fmt;

use super::checkpoint::StoredCheckpoint;
use crate::api::Store;
use crate::error::{Error, Result};
use crate::ids::{CheckpointId, Uid};
use crate::snapshot::{CheckpointKind, FoundDir, JobDir};
use crate::time::Timestamp;

/// A job that has kept something in a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredJob {
    /// Its name, which is that of its directory.
    pub name: String,
    /// Its final checkpoint, if the job has finished.
    pub finished: Option<CheckpointId>,
    /// Its checkpoints, oldest first.
    pub checkpoints: Vec<ListedCheckpoint>,
    /// The savepoints that lie beside them, oldest first. Those that lie elsewhere only their user knows.
    pub savepoints: Vec<ListedCheckpoint>,
    /// What is wrong with the files of the job itself. [`StateMismatch`](Error::StateMismatch) where they are of a newer format.
    pub faults: Vec<Error>,
}

/// A checkpoint's directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListedCheckpoint {
    /// Its number.
    pub id: CheckpointId,
    /// Its path in the store, by which it is [opened](StoredCheckpoint::open).
    pub dir: String,
    /// The bytes of all files in it.
    pub bytes: u64,
    /// Whether it is a checkpoint at all.
    pub condition: Condition,
}

/// What a checkpoint's directory is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Condition {
    /// A checkpoint: its manifest is there and can be read. Whether its files can is for [`StoredCheckpoint::verify`] to see.
    Complete(Summary),
    /// None, or none yet: it has no manifest. A job that runs is writing it, or a process died over it; the job's next start removes
    /// it then.
    Incomplete,
    /// Its manifest cannot be read.
    Damaged(Error),
}

/// What a checkpoint's manifest says of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Whose it is.
    pub kind: CheckpointKind,
    /// When it was begun, in wall time.
    pub created: Timestamp,
    /// The process start of the job that took it.
    pub epoch: u64,
    /// The operators that were part of it.
    pub operators: Vec<Uid>,
    /// The entries of all states.
    pub entries: u64,
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckpointKind::Checkpoint => "checkpoint",
            CheckpointKind::Savepoint => "savepoint",
        })
    }
}

/// All jobs that have kept something in a store, by name. A store that is not there has none.
///
/// # Errors
/// [`Error::Store`] where the store cannot be listed.
pub fn jobs(store: &Store) -> Result<Vec<StoredJob>> {
    JobDir::all(&store.backend)?.iter().map(|dir| listed(store, dir)).collect()
}

/// One job of a store; `None` where it has kept nothing.
///
/// # Errors
/// [`Error::Store`] where its directory cannot be listed.
pub fn job(store: &Store, name: &str) -> Result<Option<StoredJob>> {
    let dir = JobDir::new(store.backend.clone(), name);
    if dir.is_there()? { listed(store, &dir).map(Some) } else { Ok(None) }
}

fn listed(store: &Store, dir: &JobDir) -> Result<StoredJob> {
    let checkpoints = dir.checkpoints()?.into_iter().map(|found| listed_checkpoint(store, found));
    let checkpoints: Vec<ListedCheckpoint> = checkpoints.collect();
    let savepoints = dir.savepoints()?.into_iter().map(|found| listed_checkpoint(store, found)).collect();
    let mut faults = Vec::new();
    match dir.record() {
        Ok(None) => faults.push(Error::Corrupt {
            path: dir.located().join("job"),
            what: "the file is missing, and no state of the job can be used without it; bring it back, or use another store to begin \
                   anew"
                .into(),
            usable: Vec::new(),
        }),
        Ok(Some(_)) => {}
        Err(error) => faults.push(error),
    }
    faults.extend(dir.latest().err());
    let finished = dir.finished().unwrap_or_else(|error| {
        faults.push(error);
        None
    });
    Ok(StoredJob { name: dir.name().into(), finished, checkpoints, savepoints, faults })
}

fn listed_checkpoint(store: &Store, found: FoundDir) -> ListedCheckpoint {
    let condition = match found.complete {
        false => Condition::Incomplete,
        true => match StoredCheckpoint::open(store, &found.dir) {
            Ok(checkpoint) => Condition::Complete(checkpoint.summary()),
            Err(error) => Condition::Damaged(error),
        },
    };
    ListedCheckpoint { id: found.id, dir: found.dir, bytes: found.bytes, condition }
}
