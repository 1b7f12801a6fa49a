//! One checkpoint, opened for reading: what its manifest says.
//!
//! Always: opened means that its manifest is whole; its files are read when their entries are asked for. Blocking, without any lock.

use std::path::PathBuf;

use super::listing::Summary;
use crate::api::Store;
use crate::codec;
use crate::error::Result;
use crate::ids::{CheckpointId, Uid};
use crate::snapshot::{CheckpointDir, CheckpointKind, JobDir, OperatorManifest, Section};
use crate::state::{StateDescriptor, StateKind};
use crate::time::Timestamp;

/// A complete checkpoint in a store.
#[derive(Clone, Debug)]
pub struct StoredCheckpoint {
    pub(super) dir: CheckpointDir,
}

/// An operator that was part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredOperator {
    /// The operator's uid.
    pub uid: Uid,
    /// How many instances it had.
    pub parallelism: u32,
    /// True where the input of all of them had ended.
    pub ended: bool,
    /// The lowest watermark of all instances.
    pub watermark: Timestamp,
    /// Its states.
    pub states: Vec<StoredState>,
}

/// What describes a state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredState {
    /// The name under which the operator registered it.
    pub name: String,
    /// Its kind, as manifests spell it: `value`, `timers`, `window`, `list` and so on.
    pub kind: String,
    /// The schema version of its values.
    pub version: u32,
}

impl StoredCheckpoint {
    /// Opens the checkpoint in this directory of a store, such as `orders/chk-7`. A copy of a checkpoint's directory can be opened
    /// as well, whatever its name.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) where there is no complete checkpoint, [`Error::Corrupt`](crate::Error::Corrupt) where
    /// its manifest is damaged or another checkpoint's, [`Error::StateMismatch`](crate::Error::StateMismatch) where it is of a newer
    /// format.
    pub fn open(store: &Store, dir: &str) -> Result<Self> {
        CheckpointDir::open(store.backend.clone(), dir).map(|dir| StoredCheckpoint { dir })
    }

    /// Opens a job's latest complete checkpoint; where it has none since it was begun from a savepoint, or stopped with one, that
    /// savepoint. It is what the job's next start goes on from. `None` where there is neither.
    ///
    /// # Errors
    /// Those of [`StoredCheckpoint::open`]; [`Error::Corrupt`](crate::Error::Corrupt) also where the latest one is missing: it names
    /// the older ones that are usable.
    pub fn latest(store: &Store, job: &str) -> Result<Option<Self>> {
        let job = JobDir::new(store.backend.clone(), job);
        match job.latest()? {
            Some(latest) => StoredCheckpoint::open(store, &latest.dir).map(Some),
            None => Ok(job.begins_from()?.map(|dir| StoredCheckpoint { dir })),
        }
    }

    /// Its number.
    pub fn id(&self) -> CheckpointId {
        self.dir.manifest().id()
    }

    /// The job that took it.
    pub fn job(&self) -> &str {
        &self.dir.manifest().job.job
    }

    /// Whose it is.
    pub fn kind(&self) -> CheckpointKind {
        self.dir.manifest().note.kind
    }

    /// The number of key groups: the job's maximum parallelism.
    pub fn max_parallelism(&self) -> u16 {
        self.dir.manifest().job.max_parallelism
    }

    /// Where it is.
    pub fn located(&self) -> PathBuf {
        self.dir.located()
    }

    /// What its manifest says of it as a whole.
    pub fn summary(&self) -> Summary {
        let manifest = self.dir.manifest();
        Summary {
            kind: manifest.note.kind,
            created: manifest.note.created,
            epoch: manifest.note.epoch,
            operators: manifest.operators.keys().cloned().collect(),
            entries: self.dir.sections().map(|(_, section)| section.entries).fold(0, u64::saturating_add),
        }
    }

    /// The operators that were part of it, by uid.
    pub fn operators(&self) -> Vec<StoredOperator> {
        self.dir.manifest().operators.iter().map(|(uid, operator)| described(uid, operator)).collect()
    }

    /// The description of the state that a section belongs to.
    pub(super) fn descriptor(&self, section: &Section) -> Option<&StateDescriptor> {
        let operator = self.dir.manifest().operators.get(&section.operator)?;
        operator.states.iter().find(|state| state.name == section.state)
    }
}

fn described(uid: &Uid, operator: &OperatorManifest) -> StoredOperator {
    let state =
        |state: &StateDescriptor| StoredState { name: state.name.clone(), kind: kind_name(state.kind), version: state.version };
    StoredOperator {
        uid: uid.clone(),
        parallelism: operator.parallelism,
        ended: operator.parts.iter().all(|part| part.ended),
        watermark: operator.watermark,
        states: operator.states.iter().map(state).collect(),
    }
}

/// A kind as manifests spell it.
pub(super) fn kind_name(kind: StateKind) -> String {
    let mut bytes = Vec::new();
    let written = codec::encode(&kind, &mut bytes).and_then(|()| codec::decode(&bytes));
    written.unwrap_or_else(|_| format!("{kind:?}"))
}
