//! What the factory of a keyed operator is handed.
//!
//! Always: a state has a name of its own, and the factory sees no key, so it can touch no value. Made when a task
//! is opened, on a thread that may block.

use std::fmt;

use super::open_expiring::ExpiringStates;
use super::side::{Side, SideOutput, Sides};
use crate::error::{BoxError, Error, Result};
use crate::ids::{Attempt, CheckpointId};
use crate::key::Key;
use crate::state::{
    Aggregate, AggregatingState, KeyedState, ListState, MapState, ReducingState, StateKind, Stored, Ttl, ValueState, Versions,
};

/// Which instance of an operator it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    pub(crate) attempt: Attempt,
    pub(crate) index: u32,
    pub(crate) parallelism: u32,
    /// The checkpoint that the attempt begins from.
    pub(crate) checkpoint: Option<CheckpointId>,
    /// Whether it knows the operator.
    pub(crate) restored: bool,
}

/// What the factory of a keyed operator is handed: it registers the operator's states, and opens its side outputs.
///
/// What was registered in an earlier run and is not now stays in the checkpoints.
pub struct OpenContext<'a, K: 'static> {
    states: &'a mut KeyedState<K>,
    sides: &'a mut Sides,
    instance: Instance,
}

impl<'a, K: Key> OpenContext<'a, K> {
    /// For one instance.
    pub(crate) fn new(states: &'a mut KeyedState<K>, sides: &'a mut Sides, instance: Instance) -> Self {
        OpenContext { states, sides, instance }
    }

    /// Registers the state `name`, a value of type `V` for each key, and reads what the last checkpoint kept of it.
    ///
    /// # Errors
    /// [`Error::StateMismatch`](crate::Error::StateMismatch) where the name is in use with another kind or type, or what was stored
    /// cannot be read as this one.
    pub fn value<V: Stored>(&mut self, name: &str) -> Result<ValueState<V>> {
        self.states.register(name, None).value()
    }

    /// Registers the state `name`, a value of type `V` for each key, whose values were of other types in earlier versions, and makes
    /// those that the last checkpoint kept of the earlier ones: all of them, now. See [`Versions`], which has an example.
    ///
    /// # Errors
    /// Those of [`OpenContext::value`], and where what was stored is in a version that is not known, or cannot be made into the newest.
    pub fn value_versioned<V: Stored>(&mut self, name: &str, versions: Versions<V>) -> Result<ValueState<V>> {
        self.states.register(name, None).in_version_of(StateKind::Value, &versions)?.value()
    }

    /// Registers the state `name`, a list of elements of type `T` for each key, and reads what the last checkpoint kept of it.
    ///
    /// # Errors
    /// Those of [`OpenContext::value`].
    pub fn list<T: Stored>(&mut self, name: &str) -> Result<ListState<T>> {
        self.states.register(name, None).list()
    }

    /// Registers the state `name`, a list for each key, whose elements were of other types in earlier versions, and makes those that the
    /// last checkpoint kept of the earlier ones, one by one. See [`Versions`].
    ///
    /// # Errors
    /// Those of [`OpenContext::value_versioned`].
    pub fn list_versioned<T: Stored>(&mut self, name: &str, versions: Versions<T>) -> Result<ListState<T>> {
        self.states.register(name, None).in_version_of(StateKind::KeyedList, &versions)?.list()
    }

    /// Registers the state `name`, a map from `UK` to `UV` for each key, and reads what the last checkpoint kept of it.
    ///
    /// # Errors
    /// Those of [`OpenContext::value`].
    pub fn map<UK: Key, UV: Stored>(&mut self, name: &str) -> Result<MapState<UK, UV>> {
        self.states.register(name, None).map()
    }

    /// Registers the state `name`, a map for each key, whose values were of other types in earlier versions, and makes those that the
    /// last checkpoint kept of the earlier ones, one by one. See [`Versions`]. The keys of the map are of the same type in all versions.
    ///
    /// # Errors
    /// Those of [`OpenContext::value_versioned`].
    pub fn map_versioned<UK: Key, UV: Stored>(&mut self, name: &str, versions: Versions<UV>) -> Result<MapState<UK, UV>> {
        self.states.register(name, None).in_version_of(StateKind::Map, &versions)?.map()
    }

    /// Registers the state `name`, what the values of each key reduce to, and reads what the last checkpoint kept of it. The
    /// function is no part of the state: what was reduced by another one stays as it is.
    ///
    /// # Errors
    /// Those of [`OpenContext::value`], and where the name is registered a second time: which function should hold?
    pub fn reducing<T: Stored>(&mut self, name: &str, reduce: impl Fn(&T, T) -> T + Send + 'static) -> Result<ReducingState<T>> {
        self.states.register(name, None).reducing(Box::new(reduce))
    }

    /// Registers the state `name`, what the values of each key reduce to, which was of other types in earlier versions, and makes what
    /// the last checkpoint kept of the earlier ones. See [`Versions`].
    ///
    /// # Errors
    /// Those of [`OpenContext::value_versioned`].
    pub fn reducing_versioned<T: Stored>(
        &mut self,
        name: &str,
        versions: Versions<T>,
        reduce: impl Fn(&T, T) -> T + Send + 'static,
    ) -> Result<ReducingState<T>> {
        self.states.register(name, None).in_version_of(StateKind::Reducing, &versions)?.reducing(Box::new(reduce))
    }

    /// Registers the state `name`, the accumulator of each key, and reads what the last checkpoint kept of it.
    ///
    /// # Errors
    /// Those of [`OpenContext::reducing`].
    pub fn aggregating<A: Aggregate>(&mut self, name: &str, aggregate: A) -> Result<AggregatingState<A>> {
        self.states.register(name, None).aggregating(aggregate)
    }

    /// Registers the state `name`, the accumulator of each key, which was of other types in earlier versions, and makes those that the
    /// last checkpoint kept of the earlier ones. See [`Versions`].
    ///
    /// # Errors
    /// Those of [`OpenContext::value_versioned`].
    pub fn aggregating_versioned<A: Aggregate>(
        &mut self,
        name: &str,
        versions: Versions<A::Acc>,
        aggregate: A,
    ) -> Result<AggregatingState<A>> {
        self.states.register(name, None).in_version_of(StateKind::Aggregating, &versions)?.aggregating(aggregate)
    }

    /// What is registered with this expires: see [`Ttl`].
    pub fn with_ttl(&mut self, ttl: Ttl) -> ExpiringStates<'_, K> {
        ExpiringStates::new(self.states, ttl)
    }

    /// Refuses to register a state under a name that is in use.
    pub(super) fn refuse_registered(&self, name: &str) -> Result<()> {
        if !self.states.names().any(|registered| registered == name) {
            return Ok(());
        }
        Err(Error::StateMismatch {
            problem: format!("the operator registers the state '{name}' twice"),
            advice: "give each of its states its own name, or copy the handle".into(),
        })
    }

    /// The names of the states that were registered.
    pub(super) fn registered(&self) -> impl Iterator<Item = &str> {
        self.states.names()
    }

    /// The right to emit to a side output.
    ///
    /// # Errors
    /// Where nothing consumes it.
    pub fn side<T: Send + 'static>(&mut self, output: &SideOutput<T>) -> Result<Side<T>, BoxError> {
        self.sides.open(output)
    }

    /// Whether the operator goes on from a checkpoint; else it begins: because the job does, or because it is new in the job.
    pub fn is_restored(&self) -> bool {
        self.instance.restored
    }

    /// The checkpoint that the job goes on from in this attempt, whether or not it knows this operator. None where the job begins.
    pub fn restored_checkpoint(&self) -> Option<CheckpointId> {
        self.instance.checkpoint
    }

    /// Which attempt of the job this is.
    pub fn attempt(&self) -> Attempt {
        self.instance.attempt
    }

    /// Which of the operator's instances this is, counted from 0.
    pub fn index(&self) -> u32 {
        self.instance.index
    }

    /// How many instances of the operator run side by side.
    pub fn parallelism(&self) -> u32 {
        self.instance.parallelism
    }
}

impl<K: 'static> fmt::Debug for OpenContext<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenContext").field("instance", &self.instance).field("states", &self.states).finish_non_exhaustive()
    }
}
