//! The registration of states that expire.
//!
//! Always: what is registered here has the time to live that was given for it. Made by the factory of a keyed operator, when a task is
//! opened.

use std::fmt;

use crate::error::Result;
use crate::key::Key;
use crate::state::{
    Aggregate, AggregatingState, KeyedState, ListState, MapState, ReducingState, StateKind, Stored, Ttl, ValueState, Versions,
};

/// Registers states whose content expires: what [`OpenContext::with_ttl`](crate::OpenContext::with_ttl) gives. The handles are used
/// as those of other states are.
///
/// # Errors
/// All fail as those of [`OpenContext`](crate::OpenContext) do, and where the time to live is below a millisecond.
pub struct ExpiringStates<'a, K: 'static> {
    states: &'a mut KeyedState<K>,
    ttl: Ttl,
}

impl<'a, K: 'static> ExpiringStates<'a, K> {
    pub(super) fn new(states: &'a mut KeyedState<K>, ttl: Ttl) -> Self {
        ExpiringStates { states, ttl }
    }
}

impl<K: Key> ExpiringStates<'_, K> {
    /// Registers the state `name`, a value of type `V` for each key. A write renews it.
    ///
    /// # Errors
    /// Those of [`OpenContext::value`](crate::OpenContext::value), and where the time to live is too short.
    pub fn value<V: Stored>(self, name: &str) -> Result<ValueState<V>> {
        self.states.register(name, Some(self.ttl)).value()
    }

    /// Registers the state `name` as [`OpenContext::value_versioned`](crate::OpenContext::value_versioned) does. A write renews it; to be
    /// made into a newer version does not.
    ///
    /// # Errors
    /// Those of [`OpenContext::value_versioned`](crate::OpenContext::value_versioned), and where the time to live is too short.
    pub fn value_versioned<V: Stored>(self, name: &str, versions: Versions<V>) -> Result<ValueState<V>> {
        self.states.register(name, Some(self.ttl)).in_version_of(StateKind::Value, &versions)?.value()
    }

    /// Registers the state `name`, a list of elements of type `T` for each key. Each element expires by itself.
    ///
    /// # Errors
    /// Those of [`OpenContext::list`](crate::OpenContext::list), and where the time to live is too short.
    pub fn list<T: Stored>(self, name: &str) -> Result<ListState<T>> {
        self.states.register(name, Some(self.ttl)).list()
    }

    /// Registers the state `name` as [`OpenContext::list_versioned`](crate::OpenContext::list_versioned) does. Each element keeps its time when it is made into a newer version.
    ///
    /// # Errors
    /// Those of [`OpenContext::list_versioned`](crate::OpenContext::list_versioned), and where the time to live is too short.
    pub fn list_versioned<T: Stored>(self, name: &str, versions: Versions<T>) -> Result<ListState<T>> {
        self.states.register(name, Some(self.ttl)).in_version_of(StateKind::KeyedList, &versions)?.list()
    }

    /// Registers the state `name`, a map from `UK` to `UV` for each key. Each entry expires by itself.
    ///
    /// # Errors
    /// Those of [`OpenContext::map`](crate::OpenContext::map), and where the time to live is too short.
    pub fn map<UK: Key, UV: Stored>(self, name: &str) -> Result<MapState<UK, UV>> {
        self.states.register(name, Some(self.ttl)).map()
    }

    /// Registers the state `name` as [`OpenContext::map_versioned`](crate::OpenContext::map_versioned) does. Each entry keeps its time when its value is made into a newer version.
    ///
    /// # Errors
    /// Those of [`OpenContext::map_versioned`](crate::OpenContext::map_versioned), and where the time to live is too short.
    pub fn map_versioned<UK: Key, UV: Stored>(self, name: &str, versions: Versions<UV>) -> Result<MapState<UK, UV>> {
        self.states.register(name, Some(self.ttl)).in_version_of(StateKind::Map, &versions)?.map()
    }

    /// Registers the state `name`, what the values of each key reduce to. Each value that is added renews it.
    ///
    /// # Errors
    /// Those of [`OpenContext::reducing`](crate::OpenContext::reducing), and where the time to live is too short.
    pub fn reducing<T: Stored>(self, name: &str, reduce: impl Fn(&T, T) -> T + Send + 'static) -> Result<ReducingState<T>> {
        self.states.register(name, Some(self.ttl)).reducing(Box::new(reduce))
    }

    /// Registers the state `name` as [`OpenContext::reducing_versioned`](crate::OpenContext::reducing_versioned) does. To be made into a newer version does not renew it.
    ///
    /// # Errors
    /// Those of [`OpenContext::reducing_versioned`](crate::OpenContext::reducing_versioned), and where the time to live is too short.
    pub fn reducing_versioned<T: Stored>(
        self,
        name: &str,
        versions: Versions<T>,
        reduce: impl Fn(&T, T) -> T + Send + 'static,
    ) -> Result<ReducingState<T>> {
        self.states.register(name, Some(self.ttl)).in_version_of(StateKind::Reducing, &versions)?.reducing(Box::new(reduce))
    }

    /// Registers the state `name`, the accumulator of each key. Each record that is added renews it.
    ///
    /// # Errors
    /// Those of [`OpenContext::aggregating`](crate::OpenContext::aggregating), and where the time to live is too short.
    pub fn aggregating<A: Aggregate>(self, name: &str, aggregate: A) -> Result<AggregatingState<A>> {
        self.states.register(name, Some(self.ttl)).aggregating(aggregate)
    }

    /// Registers the state `name` as [`OpenContext::aggregating_versioned`](crate::OpenContext::aggregating_versioned) does. To be made into a newer version does not renew it.
    ///
    /// # Errors
    /// Those of [`OpenContext::aggregating_versioned`](crate::OpenContext::aggregating_versioned), and where the time to live is too short.
    pub fn aggregating_versioned<A: Aggregate>(
        self,
        name: &str,
        versions: Versions<A::Acc>,
        aggregate: A,
    ) -> Result<AggregatingState<A>> {
        self.states.register(name, Some(self.ttl)).in_version_of(StateKind::Aggregating, &versions)?.aggregating(aggregate)
    }
}

impl<K: 'static> fmt::Debug for ExpiringStates<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiringStates").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
