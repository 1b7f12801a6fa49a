//! What a harness's checkpoint holds: to look at, and to restore from.
//!
//! Always: it was written as a job writes it, and is read as a restarted job reads it.

use std::sync::Arc;

use crate::codec::Reader;
use crate::error::{BoxError, Error, Result};
use crate::ids::{CheckpointId, Uid};
use crate::key::Key;
use crate::snapshot::{JobStore, Manifest, Share};
use crate::state::{Block, StateDescriptor, StateKind, TIMERS};
use crate::timer::{Timer, TimerSet};

use serde::de::DeserializeOwned;

/// The one instance that gets everything.
const WHOLE: Share = Share { index: 0, parallelism: 1 };

/// The state of an operator under test, as a checkpoint keeps it. Taken by [`OpenOperator::snapshot`](super::OpenOperator::snapshot)
/// and restored by [`OperatorHarness::restore`](super::OperatorHarness::restore). A clone is the same checkpoint.
#[derive(Clone, Debug)]
pub struct TakenSnapshot {
    pub(super) store: Arc<JobStore>,
    pub(super) manifest: Manifest,
}

impl TakenSnapshot {
    /// The number of its checkpoint.
    pub fn id(&self) -> CheckpointId {
        self.manifest.id()
    }

    /// The value of a key in the state `name`; none where the key has none.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where there is no state of that name, or it holds keys or values of other types.
    pub fn state<K: Key, V: DeserializeOwned>(&self, name: &str, key: &K) -> Result<Option<V>> {
        let found = self.states::<K, V>(name)?.into_iter().find(|(other, _)| other == key);
        Ok(found.map(|(_, value)| value))
    }

    /// All keys and values of the state `name`, in no order that means anything. A list is read as a `Vec`, a map as a map; with a
    /// time to live, each value, element or value of a map as a pair of the [`Timestamp`](crate::Timestamp) at which it was written
    /// and itself.
    ///
    /// # Errors
    /// Those of [`TakenSnapshot::state`].
    pub fn states<K: Key, V: DeserializeOwned>(&self, name: &str) -> Result<Vec<(K, V)>> {
        let (descriptor, blocks) = self.find(name)?;
        if let StateKind::Timers | StateKind::Window | StateKind::List = descriptor.kind {
            return Err(mismatch(format!("the state '{name}' has no value for each key: it is {:?}", descriptor.kind)));
        }
        entries(&blocks).map_err(|error| mismatch(format!("the state '{name}' holds keys or values of other types: {error}")))
    }

    /// The timers that are registered and have not fired, in the order in which they will: by domain and time.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where there is no operator with timers, or it has keys of another type.
    pub fn timers<K: Key>(&self) -> Result<Vec<(K, Timer)>> {
        let (_, blocks) = self.find(TIMERS)?;
        let sets: Vec<(K, TimerSet)> =
            entries(&blocks).map_err(|error| mismatch(format!("the timers have keys of another type: {error}")))?;
        let of_key = |(key, set): (K, TimerSet)| -> Vec<_> {
            set.as_slice().iter().map(|pending| (pending.turn, key.clone(), pending.timer)).collect()
        };
        let mut timers: Vec<(u64, K, Timer)> = sets.into_iter().flat_map(of_key).collect();
        timers.sort_by_key(|(turn, _, timer)| (*timer, *turn));
        Ok(timers.into_iter().map(|(_, key, timer)| (key, timer)).collect())
    }

    /// The one state of this name, of whichever operator.
    fn find(&self, name: &str) -> Result<(StateDescriptor, Vec<Block>)> {
        let operators = self.manifest.operators.iter();
        let having: Vec<&Uid> = operators
            .filter(|(_, operator)| operator.states.iter().any(|state| state.name == name))
            .map(|(uid, _)| uid)
            .collect();
        let uid = match having.as_slice() {
            [one] => *one,
            [] => return Err(mismatch(format!("no operator has a state '{name}'; there are: {}", self.names()))),
            _ => return Err(mismatch(format!("several operators have a state '{name}': test one operator at a time"))),
        };
        let restored = self.store.load_operator(&self.manifest, uid, WHOLE)?;
        let state = restored.and_then(|mut restored| restored.states.take(name));
        let missing = || Error::Engine(format!("the checkpoint names the state '{name}' and does not hold it"));
        let (descriptor, kept) = state.ok_or_else(missing)?;
        let blocks = kept.into_blocks().map_err(|error| Error::Engine(format!("the state '{name}' cannot be read: {error}")))?;
        Ok((descriptor, blocks))
    }

    fn names(&self) -> String {
        let operators = self.manifest.operators.values();
        let names: Vec<String> =
            operators.flat_map(|operator| &operator.states).map(|state| format!("'{}'", state.name)).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}

/// The keys and values of some blocks.
fn entries<K: DeserializeOwned, V: DeserializeOwned>(blocks: &[Block]) -> Result<Vec<(K, V)>, BoxError> {
    let mut entries = Vec::new();
    for block in blocks {
        let mut reader = Reader::new(&block.bytes);
        while !reader.is_empty() {
            entries.push((reader.next()?, reader.next()?));
        }
    }
    Ok(entries)
}

fn mismatch(problem: String) -> Error {
    Error::StateMismatch { problem, advice: "ask for a state by the name and with the types with which it is registered".into() }
}
