//! The states of one operator instance that belong to no key: its lists, and its copies of broadcast states.
//!
//! Always: a name is one state, of one kind and type; state that was restored and is not registered stays, and is part of every view.
//! Callbacks reach it through [`super::OperatorState`] and the two sides of a broadcast state only. Owned by the task and used on its
//! thread.

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{Error, Result};

use super::counted::is_count;
use super::items::ListItems;
use super::register::{Stored, VERSION};
use super::restore;
use super::sorted::BroadcastMap;
use super::timers::TIMERS;
use super::unkeyed_view::{BroadcastView, ItemsView, read_items, read_map};
use super::versions::Versions;
use super::view::{Kept, RestoredStates, StateDescriptor, StateKind, StateView};

/// A handle to a list of an operator without keys. Small, and copied freely.
pub struct OperatorList<T> {
    index: usize,
    item: PhantomData<fn() -> T>,
}

impl<T> Clone for OperatorList<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OperatorList<T> {}

impl<T> fmt::Debug for OperatorList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorList<{}>({})", type_name::<T>(), self.index)
    }
}

/// A handle to a broadcast state: a map that is the same in all instances of its operator. Small, and copied freely.
pub struct BroadcastState<K, V> {
    index: usize,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for BroadcastState<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for BroadcastState<K, V> {}

impl<K, V> fmt::Debug for BroadcastState<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BroadcastState<{}, {}>({})", type_name::<K>(), type_name::<V>(), self.index)
    }
}

/// The states of one operator instance that belong to no key.
#[derive(Default)]
pub(crate) struct UnkeyedStates {
    states: Vec<Box<dyn Registered>>,
    /// What a checkpoint kept and nobody has registered so far; nothing any more once a view was taken.
    unread: RestoredStates,
    /// What nobody has registered.
    carried: Vec<Arc<dyn StateView>>,
    /// What the checkpoint kept for keys, elsewhere: no state here may have one of these names.
    keyed: Vec<StateDescriptor>,
}

impl UnkeyedStates {
    /// As a checkpoint kept them. They are read when they are registered.
    pub(crate) fn new(restored: RestoredStates) -> Self {
        UnkeyedStates { unread: restored, ..UnkeyedStates::default() }
    }

    /// Beside these states of keys.
    pub(crate) fn beside(self, keyed: &RestoredStates) -> Self {
        let keyed = keyed.states.values().map(|(descriptor, _)| descriptor.clone()).collect();
        UnkeyedStates { keyed, ..self }
    }

    /// Registers a list: of this instance's own items, or of those of all. The same name with the same type is the same state. What a
    /// checkpoint kept in an older one of these versions is rewritten first.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where the name is in use or reserved, or what was stored cannot be read as this one.
    pub(crate) fn list<T: Stored>(
        &mut self,
        name: &str,
        kind: StateKind,
        versions: Option<&Versions<T>>,
    ) -> Result<OperatorList<T>> {
        let index = self.index(name, kind, versions, read_items::<T>)?;
        Ok(OperatorList { index, item: PhantomData })
    }

    /// Registers a broadcast state. The same name with the same types is the same state. What a checkpoint kept of its values in an older
    /// one of these versions is rewritten first.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where the name is in use or reserved, or what was stored cannot be read as this one.
    pub(crate) fn broadcast<K: Ord + Stored, V: Stored>(
        &mut self,
        name: &str,
        versions: Option<&Versions<V>>,
    ) -> Result<BroadcastState<K, V>> {
        let index = self.index(name, StateKind::Broadcast, versions, read_map::<K, V>)?;
        Ok(BroadcastState { index, entry: PhantomData })
    }

    /// Where the state is, after it was read if it is new.
    fn index<C: Freezes, V: Stored>(
        &mut self,
        name: &str,
        kind: StateKind,
        versions: Option<&Versions<V>>,
        read: impl FnOnce(&StateDescriptor, Kept) -> Result<C>,
    ) -> Result<usize> {
        refuse_reserved(name)?;
        let descriptor = StateDescriptor::new(name, kind, versions.map_or(VERSION, Versions::newest));
        if let Some(index) = self.states.iter().position(|state| state.descriptor().name == name) {
            let same = self
                .states
                .get(index)
                .is_some_and(|state| *state.descriptor() == descriptor && (&**state as &dyn Any).is::<State<C>>());
            return if same { Ok(index) } else { Err(registered_twice(name)) };
        }
        if let Some(versions) = versions {
            self.upgrade(&descriptor, versions)?;
        }
        let of_keys = self.keyed.iter().find(|stored| stored.name == name);
        let stored = self.unread.states.get(name).map(|(stored, _)| stored);
        of_keys.or(stored).map_or(Ok(()), |stored| stored.expect(&descriptor))?;
        let kept = self.unread.take(name).map_or(Kept::NOTHING, |(_, kept)| kept);
        let content = read(&descriptor, kept)?;
        self.states.push(Box::new(State { descriptor, content }));
        Ok(self.states.len() - 1)
    }

    /// Rewrites what was kept of a state of this kind in an older version.
    fn upgrade<V: Stored>(&mut self, to: &StateDescriptor, versions: &Versions<V>) -> Result<()> {
        let older = |(stored, _): &&mut (StateDescriptor, Kept)| stored.kind == to.kind && stored.version != to.version;
        let Some((stored, kept)) = self.unread.states.get_mut(&to.name).filter(older) else { return Ok(()) };
        let blocks = restore::blocks(&to.name, std::mem::replace(kept, Kept::NOTHING))?;
        *kept = Kept::Blocks(versions.upgrade(stored, blocks)?);
        stored.version = to.version;
        Ok(())
    }

    /// Refuses to have a keyed state under a name that has one here.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where there is one, registered or stored.
    pub(crate) fn refuse_keyed(&self, name: &str) -> Result<()> {
        if self.states.iter().any(|state| state.descriptor().name == name) {
            return Err(registered_twice(name));
        }
        match self.unread.states.get(name) {
            Some((stored, _)) => stored.expect(&StateDescriptor { kind: StateKind::Value, ..stored.clone() }),
            None => Ok(()),
        }
    }

    /// All states, frozen: the registered ones and those that were restored and not registered.
    pub(crate) fn view(&mut self) -> Vec<Arc<dyn StateView>> {
        self.carried.append(&mut std::mem::take(&mut self.unread).carried());
        let mut views: Vec<Arc<dyn StateView>> = self.states.iter_mut().map(|state| state.view()).collect();
        views.extend(self.carried.iter().map(Arc::clone));
        views
    }

    /// The items of a list.
    #[inline]
    #[track_caller]
    pub(super) fn items<T: 'static>(&self, list: OperatorList<T>) -> &ListItems<T> {
        self.content(list.index).unwrap_or_else(|| foreign(&list))
    }

    /// The items of a list, to be changed.
    #[inline]
    #[track_caller]
    pub(super) fn items_mut<T: 'static>(&mut self, list: OperatorList<T>) -> &mut ListItems<T> {
        self.content_mut(list.index).unwrap_or_else(|| foreign(&list))
    }

    /// The entries of a broadcast state.
    #[inline]
    #[track_caller]
    pub(super) fn map<K: 'static, V: 'static>(&self, state: BroadcastState<K, V>) -> &BroadcastMap<K, V> {
        self.content(state.index).unwrap_or_else(|| foreign(&state))
    }

    /// The entries of a broadcast state, to be changed.
    #[inline]
    #[track_caller]
    pub(super) fn map_mut<K: 'static, V: 'static>(&mut self, state: BroadcastState<K, V>) -> &mut BroadcastMap<K, V> {
        self.content_mut(state.index).unwrap_or_else(|| foreign(&state))
    }

    #[inline]
    fn content<C: 'static>(&self, index: usize) -> Option<&C> {
        let found = (&**self.states.get(index)? as &dyn Any).downcast_ref::<State<C>>();
        found.map(|state| &state.content)
    }

    #[inline]
    fn content_mut<C: 'static>(&mut self, index: usize) -> Option<&mut C> {
        let found = (&mut **self.states.get_mut(index)? as &mut dyn Any).downcast_mut::<State<C>>();
        found.map(|state| &mut state.content)
    }
}

impl fmt::Debug for UnkeyedStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.states.iter().map(|state| &state.descriptor().name);
        f.debug_struct("UnkeyedStates")
            .field("registered", &names.collect::<Vec<_>>())
            .field("unread", &self.unread.states.keys().collect::<Vec<_>>())
            .field("carried", &self.carried)
            .finish()
    }
}

/// The content of a state, which can be frozen.
trait Freezes: Send + 'static {
    fn view(&mut self, descriptor: &StateDescriptor) -> Arc<dyn StateView>;
}

impl<T: Stored> Freezes for ListItems<T> {
    fn view(&mut self, descriptor: &StateDescriptor) -> Arc<dyn StateView> {
        Arc::new(ItemsView::new(descriptor.clone(), self.freeze()))
    }
}

impl<K: Stored, V: Stored> Freezes for BroadcastMap<K, V> {
    fn view(&mut self, descriptor: &StateDescriptor) -> Arc<dyn StateView> {
        Arc::new(BroadcastView::new(descriptor.clone(), self.freeze()))
    }
}

/// A registered state, whatever its content.
trait Registered: Any + Send {
    fn descriptor(&self) -> &StateDescriptor;
    fn view(&mut self) -> Arc<dyn StateView>;
}

struct State<C> {
    descriptor: StateDescriptor,
    content: C,
}

impl<C: Freezes> Registered for State<C> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn view(&mut self) -> Arc<dyn StateView> {
        self.content.view(&self.descriptor)
    }
}

#[cold]
#[track_caller]
fn foreign(handle: &dyn fmt::Debug) -> ! {
    panic!("the handle {handle:?} was used with an operator that did not register it")
}

fn registered_twice(name: &str) -> Error {
    Error::StateMismatch {
        problem: format!(
            "the operator registers the state '{name}' twice, as different kinds or types, or in different versions"
        ),
        advice: "give each of its states its own name, or copy the handle".into(),
    }
}

fn refuse_reserved(name: &str) -> Result<()> {
    if name != TIMERS && !is_count(name) {
        return Ok(());
    }
    Err(Error::StateMismatch {
        problem: format!("no state may be called '{name}': the engine keeps something of its own under this name"),
        advice: "give the state another name".into(),
    })
}
