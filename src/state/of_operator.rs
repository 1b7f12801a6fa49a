//! What callbacks see of an operator's state without keys: its lists, and the two sides of a broadcast state.
//!
//! Always: whoever handles records of one instance's share may only read a broadcast state, by type; only what reaches all instances
//! may change it. Made by the engine for each callback, on the task's thread.

use super::items::ListItems;
use super::sorted::BroadcastMap;
use super::unkeyed::{BroadcastState, OperatorList, UnkeyedStates};

/// The state of one instance of an operator without keys.
///
/// # Panics
/// Every access panics where the handle comes from another operator. A panic in a callback fails the operator's region.
#[derive(Debug)]
pub struct OperatorState<'a> {
    states: &'a mut UnkeyedStates,
}

impl<'a> OperatorState<'a> {
    /// For one callback.
    #[inline]
    pub(crate) fn new(states: &'a mut UnkeyedStates) -> Self {
        OperatorState { states }
    }

    /// The items of a list.
    #[inline]
    #[track_caller]
    pub fn list<T: 'static>(&self, list: OperatorList<T>) -> &ListItems<T> {
        self.states.items(list)
    }

    /// The items of a list, to be changed.
    #[inline]
    #[track_caller]
    pub fn list_mut<T: 'static>(&mut self, list: OperatorList<T>) -> &mut ListItems<T> {
        self.states.items_mut(list)
    }
}

/// The broadcast states of an operator, to be read: what the callbacks for records and timers of a key have.
///
/// They cannot change it, because what they see reaches one instance only:
///
/// ```compile_fail,E0599
/// use tidegate::{BroadcastOperator, BroadcastState, KeyedSideContext};
///
/// fn on_record<O: BroadcastOperator>(ctx: &mut KeyedSideContext<'_, O>, limits: BroadcastState<String, u64>) {
///     ctx.broadcast.map_mut(limits).insert("north".into(), 5);
/// }
/// ```
///
/// # Panics
/// Every access panics where the handle comes from another operator. A panic in a callback fails the operator's region.
#[derive(Clone, Copy, Debug)]
pub struct BroadcastReader<'a> {
    states: &'a UnkeyedStates,
}

impl<'a> BroadcastReader<'a> {
    /// For one callback.
    #[inline]
    pub(crate) fn new(states: &'a UnkeyedStates) -> Self {
        BroadcastReader { states }
    }

    /// The entries of a state.
    #[inline]
    #[track_caller]
    pub fn map<K: 'static, V: 'static>(&self, state: BroadcastState<K, V>) -> &'a BroadcastMap<K, V> {
        self.states.map(state)
    }
}

/// The broadcast states of an operator, to be changed: what the callback for broadcast records has.
///
/// # Panics
/// Every access panics where the handle comes from another operator. A panic in a callback fails the operator's region.
#[derive(Debug)]
pub struct BroadcastWriter<'a> {
    states: &'a mut UnkeyedStates,
}

impl<'a> BroadcastWriter<'a> {
    /// For one callback.
    #[inline]
    pub(crate) fn new(states: &'a mut UnkeyedStates) -> Self {
        BroadcastWriter { states }
    }

    /// The entries of a state.
    #[inline]
    #[track_caller]
    pub fn map<K: 'static, V: 'static>(&self, state: BroadcastState<K, V>) -> &BroadcastMap<K, V> {
        self.states.map(state)
    }

    /// The entries of a state, to be changed. The change must be the same in all instances: it may depend on the broadcast record
    /// and on broadcast state, and on nothing that is the instance's own.
    #[inline]
    #[track_caller]
    pub fn map_mut<K: 'static, V: 'static>(&mut self, state: BroadcastState<K, V>) -> &mut BroadcastMap<K, V> {
        self.states.map_mut(state)
    }
}
