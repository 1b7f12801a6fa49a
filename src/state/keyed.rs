//! The keyed states of one operator instance: a value for each name and key.
//!
//! Always: state that was restored and is not registered stays, and is part of every view. Callbacks reach it through a
//! [`super::KeyState`] only, which is that of one key. Owned by the task and used on its thread.

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

use super::asked::OpenState;
use super::carried::CarriedState;
use super::restore;
use super::table::{KeyHasher, KeyedTable};
use super::timers::TIMERS;
use super::view::{Kept, RestoredStates, StateDescriptor, StateKind, StateView};

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

/// The keyed states of one operator instance, over all its keys.
pub(crate) struct KeyedState<K> {
    states: Vec<Box<dyn Registered>>,
    carried: BTreeMap<String, Arc<dyn StateView>>,
    groups: KeyGroups,
    owned: Range<u16>,
    hasher: KeyHasher<K>,
}

impl<K> KeyedState<K> {
    /// The states of an instance that owns these key groups, as a checkpoint kept them. They are read when they are registered.
    pub(crate) fn new(groups: KeyGroups, owned: Range<u16>, hasher: KeyHasher<K>, restored: RestoredStates) -> Self {
        let carried = restored.states.into_iter();
        let carried = carried.map(|(name, (descriptor, kept))| (name, CarriedState::carry(descriptor, kept)));
        KeyedState { states: Vec::new(), carried: carried.collect(), groups, owned, hasher }
    }

    /// All states, frozen: the registered ones and those that were restored and not registered.
    pub(crate) fn view(&mut self) -> Vec<Arc<dyn StateView>> {
        let mut views: Vec<Arc<dyn StateView>> = self.states.iter_mut().map(|state| state.view()).collect();
        views.extend(self.carried.values().map(Arc::clone));
        views
    }

    /// The registered states, as a question finds them.
    pub(crate) fn open_states(&self) -> Vec<OpenState<'_>> {
        self.states.iter().map(|state| state.open()).collect()
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
            carried.descriptor().expect(&descriptor)?;
        }
        let kept = self.carried.remove(name).map_or(Kept::NOTHING, Kept::View);
        let table = restore::table::<K, V>(name, kept, self.groups, self.owned.clone(), &self.hasher)?;
        self.states.push(Box::new(State { descriptor, table }));
        Ok(self.states.len() - 1)
    }
}

impl<K: 'static> KeyedState<K> {
    /// The table of a state.
    #[inline]
    #[track_caller]
    pub(crate) fn table<V: 'static>(&self, state: ValueState<V>) -> &KeyedTable<K, V> {
        let found = self.states.get(state.index).and_then(|found| (&**found as &dyn Any).downcast_ref::<State<K, V>>());
        &found.unwrap_or_else(|| foreign::<V>()).table
    }

    /// The table of a state, to be changed.
    #[inline]
    #[track_caller]
    pub(crate) fn table_mut<V: 'static>(&mut self, state: ValueState<V>) -> &mut KeyedTable<K, V> {
        let found = self.states.get_mut(state.index);
        let found = found.and_then(|found| (&mut **found as &mut dyn Any).downcast_mut::<State<K, V>>());
        &mut found.unwrap_or_else(|| foreign::<V>()).table
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
    fn view(&mut self) -> Arc<dyn StateView>;
    fn open(&self) -> OpenState<'_>;
}

struct State<K, V> {
    descriptor: StateDescriptor,
    table: KeyedTable<K, V>,
}

impl<K, V> Registered for State<K, V>
where
    K: Clone + Eq + Send + Sync + Serialize + 'static,
    V: Clone + Send + Sync + Serialize + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn view(&mut self) -> Arc<dyn StateView> {
        Arc::new(self.table.view().described(self.descriptor.clone()))
    }

    fn open(&self) -> OpenState<'_> {
        OpenState::of(&self.descriptor.name, &self.table)
    }
}
