//! The keyed states of one operator instance: for each name and key a value, a list, a map or what was added up.
//!
//! Always: state that was restored and is not registered stays, and is part of every view. Callbacks reach it through a
//! [`super::KeyState`] only, which is that of one key. Owned by the task and used on its thread.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::key::KeyGroups;
use crate::time::Timestamp;

use super::asked::OpenState;
use super::carried::CarriedState;
use super::registered::Registered;
use super::table::{KeyHasher, LOOK_AHEAD};
use super::view::{RestoredStates, StateView};

/// The keyed states of one operator instance, over all its keys.
pub(crate) struct KeyedState<K: 'static> {
    pub(super) states: Vec<Box<dyn Registered<K>>>,
    pub(super) carried: BTreeMap<String, Arc<dyn StateView>>,
    pub(super) groups: KeyGroups,
    pub(super) owned: Range<u16>,
    pub(super) hasher: KeyHasher<K>,
    /// The wall time of the task's step.
    pub(super) now: Timestamp,
    /// The callback that is under way has accessed a state that expires.
    pub(super) read: Cell<bool>,
    /// Which of the keys that were looked ahead for comes next; its callback's is the one before.
    next_ahead: usize,
}

impl<K: 'static> KeyedState<K> {
    /// The states of an instance that owns these key groups, as a checkpoint kept them. They are read when they are registered.
    pub(crate) fn new(groups: KeyGroups, owned: Range<u16>, hasher: KeyHasher<K>, restored: RestoredStates) -> Self {
        let carried = restored.states.into_iter();
        let carried = carried.map(|(name, (descriptor, kept))| (name, CarriedState::carry(descriptor, kept)));
        let (states, carried) = (Vec::new(), carried.collect());
        KeyedState { states, carried, groups, owned, hasher, now: Timestamp::NONE, read: Cell::new(false), next_ahead: 0 }
    }

    /// The same, as of this wall time: it decides what has expired.
    #[inline]
    pub(crate) fn at(&mut self, now: Timestamp) -> &mut Self {
        self.now = now;
        self
    }

    /// All states, frozen: the registered ones and those that were restored and not registered.
    pub(crate) fn view(&mut self) -> Vec<Arc<dyn StateView>> {
        let mut views: Vec<Arc<dyn StateView>> = self.states.iter_mut().map(|state| state.view(self.now)).collect();
        views.extend(self.carried.values().map(Arc::clone));
        views
    }

    /// The names of the registered states.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|state| &*state.descriptor().name)
    }

    /// The registered states, as a question finds them.
    pub(crate) fn open_states(&self) -> Vec<OpenState<'_>> {
        self.states.iter().map(|state| state.open(self.now)).collect()
    }
}

impl<K: 'static> KeyedState<K> {
    /// How many pieces of all states were cloned so far because a view still held them.
    pub(crate) fn copies(&self) -> u64 {
        self.states.iter().map(|state| state.copies()).sum()
    }

    /// Looks for these keys before the callbacks for them come, of which each does too much for the processor to look ahead by itself. As
    /// many keys as [`LOOK_AHEAD`] says.
    #[inline]
    pub(crate) fn look_ahead<'k>(&mut self, keys: impl Iterator<Item = (u64, &'k K)>) {
        self.next_ahead = 0;
        if self.states.iter().any(|state| state.is_large()) {
            let mut ahead = [None; LOOK_AHEAD];
            ahead.iter_mut().zip(keys).for_each(|(place, key)| *place = Some(key));
            self.states.iter_mut().filter(|state| state.is_large()).for_each(|state| state.look_ahead(&ahead));
        }
    }

    /// The callback for the next of the keys comes that were looked ahead for.
    #[inline]
    pub(crate) fn go_on_ahead(&mut self) {
        self.next_ahead += 1;
    }

    /// Which of the keys that were looked ahead for the callback under way is for. Only a hint.
    #[inline]
    pub(super) fn ahead(&self) -> usize {
        self.next_ahead.wrapping_sub(1)
    }

    /// A callback for this key is over: what it read of states that expire is acted upon.
    #[inline(never)]
    pub(super) fn settle(&mut self, hash: u64, key: &K) {
        self.read.set(false);
        self.states.iter_mut().for_each(|state| state.settle(hash, key, self.now));
    }

    /// Removes some of what has expired, if it is time for that; false where there was nothing to do.
    pub(crate) fn sweep(&mut self, places: usize) -> bool {
        let now = self.now;
        self.states.iter_mut().any(|state| state.sweep(places, now))
    }

    /// When [`KeyedState::sweep`] will have something to do, in wall time.
    pub(crate) fn sweep_at(&self) -> Timestamp {
        self.states.iter().map(|state| state.sweep_at()).min().unwrap_or(Timestamp::MAX)
    }
}

impl<K: 'static> KeyedState<K> {
    /// The state of a handle.
    #[inline]
    #[track_caller]
    pub(super) fn state<S: Registered<K>>(&self, index: usize, handle: impl fmt::Debug) -> &S {
        let found = self.states.get(index).and_then(|found| (&**found as &dyn Any).downcast_ref::<S>());
        found.unwrap_or_else(|| foreign(&handle))
    }

    /// The state of a handle, to be changed.
    #[inline]
    #[track_caller]
    pub(super) fn state_mut<S: Registered<K>>(&mut self, index: usize, handle: impl fmt::Debug) -> &mut S {
        let found = self.states.get_mut(index).and_then(|found| (&mut **found as &mut dyn Any).downcast_mut::<S>());
        found.unwrap_or_else(|| foreign(&handle))
    }
}

impl<K: 'static> fmt::Debug for KeyedState<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.states.iter().map(|state| &state.descriptor().name);
        f.debug_struct("KeyedState")
            .field("owned", &self.owned)
            .field("registered", &names.collect::<Vec<_>>())
            .field("carried", &self.carried.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cold]
#[track_caller]
fn foreign(handle: &dyn fmt::Debug) -> ! {
    panic!("the handle {handle:?} was used with an operator that did not register it")
}
