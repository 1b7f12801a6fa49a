//! The keyed states of one operator instance: a value for each name and key.
//!
//! Always: every access is to the current key, which the engine sets before each callback; without one there is no access. State
//! that was restored and is not registered stays, and is part of every view. Owned by the task and used on its thread.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::KeyGroups;

use super::carried::CarriedState;
use super::restore;
use super::table::{KeyHasher, KeyedTable};
use super::timers::TIMERS;
use super::view::{RestoredStates, StateDescriptor, StateKind, StateView};

/// The schema version under which values are written.
const VERSION: u32 = 1;

/// A handle to one registered state: a value of type `V` for each key. Small, and copied freely.
pub struct ValueState<V> {
    index: usize,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for ValueState<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for ValueState<V> {}

impl<V> fmt::Debug for ValueState<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueState<{}>({})", type_name::<V>(), self.index)
    }
}

/// The keyed states of an operator, seen from the current key.
///
/// An operator registers its states when it opens and keeps the handles; in each callback it reads and writes the values that
/// belong to the key of the record, or of the timer, that it was called for. Values of other keys are out of reach.
///
/// A large value that is changed in place, such as a map, should sit in an [`Arc`] and be changed with [`Arc::make_mut`]: then a
/// checkpoint that is being written never makes a copy of more than the values that change meanwhile.
///
/// # Panics
/// Every access panics where there is no current key, and where the handle comes from another operator. A panic in a callback
/// fails the operator's region.
pub struct KeyedState<K> {
    current: Option<(u64, K)>,
    states: Vec<Box<dyn Registered>>,
    carried: BTreeMap<String, Arc<CarriedState>>,
    groups: KeyGroups,
    owned: Range<u16>,
    hasher: KeyHasher<K>,
}

impl<K> KeyedState<K> {
    /// The states of an instance that owns these key groups, as a checkpoint kept them. They are read when they are registered.
    pub(crate) fn new(groups: KeyGroups, owned: Range<u16>, hasher: KeyHasher<K>, restored: RestoredStates) -> Self {
        let carried = restored.states.into_iter();
        let carried = carried.map(|(name, (descriptor, blocks))| (name, Arc::new(CarriedState::new(descriptor, blocks))));
        KeyedState { current: None, states: Vec::new(), carried: carried.collect(), groups, owned, hasher }
    }

    /// Sets the key that every access is to, until it is set again or cleared.
    #[inline]
    pub(crate) fn set_current(&mut self, hash: u64, key: K) {
        self.current = Some((hash, key));
    }

    /// Ends the access to a key, and hands it back.
    #[inline]
    pub(crate) fn clear_current(&mut self) -> Option<(u64, K)> {
        self.current.take()
    }

    /// The current key and its hash.
    #[inline]
    pub(crate) fn current(&self) -> Option<(u64, &K)> {
        self.current.as_ref().map(|(hash, key)| (*hash, key))
    }

    /// The current key.
    ///
    /// # Panics
    /// Where there is none.
    #[inline]
    #[track_caller]
    pub fn key(&self) -> &K {
        current(&self.current).1
    }

    /// How many segments were cloned so far because a view still held them: a step that copied many should end early.
    pub(crate) fn copies(&self) -> u64 {
        self.states.iter().map(|state| state.copies()).sum()
    }

    /// All states, frozen: the registered ones and those that were restored and not registered.
    pub(crate) fn view(&mut self) -> Vec<Arc<dyn StateView>> {
        let mut views: Vec<Arc<dyn StateView>> = self.states.iter_mut().map(|state| state.view()).collect();
        views.extend(self.carried.values().map(|carried| Arc::clone(carried) as Arc<dyn StateView>));
        views
    }
}

impl<K> KeyedState<K>
where
    K: Clone + Eq + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    /// Registers the state `name` and reads what a checkpoint kept of it. The same name with the same type is the same state.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where the name is in use with another type, or what was stored cannot be read as this one.
    pub(crate) fn value<V>(&mut self, name: &str) -> Result<ValueState<V>>
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        let index = match self.states.iter().position(|state| state.descriptor().name == name) {
            Some(index) => index,
            None => self.register::<V>(name)?,
        };
        match self.states.get(index).map(|state| (&**state as &dyn Any).is::<State<K, V>>()) {
            Some(true) => Ok(ValueState { index, value: PhantomData }),
            _ => Err(registered_twice::<V>(name)),
        }
    }

    fn register<V>(&mut self, name: &str) -> Result<usize>
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        if name == TIMERS {
            return Err(reserved(name));
        }
        let descriptor = StateDescriptor { name: name.into(), kind: StateKind::Value, version: VERSION };
        if let Some(carried) = self.carried.get(name) {
            carried.descriptor.expect(&descriptor)?;
        }
        let blocks = self.carried.remove(name).map(|carried| Arc::unwrap_or_clone(carried).blocks).unwrap_or_default();
        let table = restore::table::<K, V>(name, blocks, self.groups, self.owned.clone(), &self.hasher)?;
        self.states.push(Box::new(State { descriptor, table }));
        Ok(self.states.len() - 1)
    }
}

impl<K: Clone + Eq + 'static> KeyedState<K> {
    /// The table of a state, for built-in operators: they look it up once a batch instead of once a record.
    #[track_caller]
    pub(crate) fn table<V: 'static>(&mut self, state: ValueState<V>) -> &mut KeyedTable<K, V> {
        table(&mut self.states, state)
    }

    /// The value of the current key.
    #[inline]
    #[track_caller]
    pub fn get<V: 'static>(&self, state: ValueState<V>) -> Option<&V> {
        let (hash, key) = current(&self.current);
        let found = self.states.get(state.index).and_then(|found| (&**found as &dyn Any).downcast_ref::<State<K, V>>());
        found.unwrap_or_else(|| foreign::<V>()).table.get(hash, key)
    }

    /// Sets the value of the current key.
    #[inline]
    #[track_caller]
    pub fn set<V: Clone + 'static>(&mut self, state: ValueState<V>, value: V) {
        let (hash, key) = current(&self.current);
        table::<K, V>(&mut self.states, state).insert(hash, key, value);
    }

    /// Removes the value of the current key, and returns it.
    #[inline]
    #[track_caller]
    pub fn clear<V: Clone + 'static>(&mut self, state: ValueState<V>) -> Option<V> {
        let (hash, key) = current(&self.current);
        table::<K, V>(&mut self.states, state).remove(hash, key)
    }

    /// The value of the current key, to be changed in place.
    #[inline]
    #[track_caller]
    pub fn get_mut<V: Clone + 'static>(&mut self, state: ValueState<V>) -> Option<&mut V> {
        let (hash, key) = current(&self.current);
        table::<K, V>(&mut self.states, state).get_mut(hash, key)
    }

    /// The value of the current key, to be changed in place; made first where there is none.
    #[inline]
    #[track_caller]
    pub fn get_or_insert_with<V: Clone + 'static>(&mut self, state: ValueState<V>, make: impl FnOnce() -> V) -> &mut V {
        let (hash, key) = current(&self.current);
        table::<K, V>(&mut self.states, state).get_or_insert_with(hash, key, make)
    }

    /// Changes the value of the current key, beginning with the default where there is none.
    #[inline]
    #[track_caller]
    pub fn update<V: Clone + Default + 'static, R>(&mut self, state: ValueState<V>, change: impl FnOnce(&mut V) -> R) -> R {
        change(self.get_or_insert_with(state, V::default))
    }
}

impl<K> fmt::Debug for KeyedState<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.states.iter().map(|state| &state.descriptor().name);
        f.debug_struct("KeyedState")
            .field("owned", &self.owned)
            .field("registered", &names.collect::<Vec<_>>())
            .field("carried", &self.carried.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[inline]
#[track_caller]
fn current<K>(current: &Option<(u64, K)>) -> (u64, &K) {
    match current {
        Some((hash, key)) => (*hash, key),
        None => panic!("keyed state was used where there is no key: it belongs to records and timers, not to opening or closing"),
    }
}

#[inline]
#[track_caller]
fn table<K: 'static, V: 'static>(states: &mut [Box<dyn Registered>], state: ValueState<V>) -> &mut KeyedTable<K, V> {
    let found = states.get_mut(state.index).and_then(|found| (&mut **found as &mut dyn Any).downcast_mut::<State<K, V>>());
    &mut found.unwrap_or_else(|| foreign::<V>()).table
}

#[cold]
#[track_caller]
fn foreign<V>() -> ! {
    panic!("a handle of type ValueState<{}> was used with an operator that did not register it", type_name::<V>())
}

fn registered_twice<V>(name: &str) -> Error {
    Error::StateMismatch {
        problem: format!("state '{name}' was registered with another type before it was registered with {}", type_name::<V>()),
        advice: "give each state of an operator its own name".into(),
    }
}

fn reserved(name: &str) -> Error {
    Error::StateMismatch {
        problem: format!("no state may be called '{name}': an operator's timers are kept under this name"),
        advice: "give the state another name".into(),
    }
}

/// A registered state, whatever its value type.
trait Registered: Any + Send {
    fn descriptor(&self) -> &StateDescriptor;
    fn copies(&self) -> u64;
    fn view(&mut self) -> Arc<dyn StateView>;
}

struct State<K, V> {
    descriptor: StateDescriptor,
    table: KeyedTable<K, V>,
}

impl<K, V> Registered for State<K, V>
where
    K: Send + Sync + Serialize + 'static,
    V: Send + Sync + Serialize + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn copies(&self) -> u64 {
        self.table.copies()
    }

    fn view(&mut self) -> Arc<dyn StateView> {
        Arc::new(self.table.view().described(self.descriptor.clone()))
    }
}
