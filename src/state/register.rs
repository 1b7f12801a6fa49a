//! How states are registered, and what a checkpoint kept of them is read: five kinds, with a time to live or without one.
//!
//! Always: a name is one state, of one kind and type; what was stored with times and is registered without, or the other way round,
//! is carried over entry by entry. Called when a task is opened, on a thread that may block.

use std::any::{Any, type_name};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::Key;

use super::Aggregate;
use super::asked::OpenState;
use super::carried::CarriedState;
use super::chunks::Chunks;
use super::expiring::{Expires, ExpiringView};
use super::handles::{AggregatingState, ListState, MapState, ReducingState, ValueState};
use super::key_map::{Scratch, hash_within};
use super::keyed::KeyedState;
use super::pieces::{Pairs, Pieces};
use super::registered::{Expiring, Lasting, Reads, Registered, Shows, ShowsLive};
use super::restore;
use super::sweep::Sweeper;
use super::table::KeyedTable;
use super::table_view::{DescribedView, TableView};
use super::timers::TIMERS;
use super::ttl::{Lapse, Stamped, Ttl};
use super::versions::Versions;
use super::view::{Kept, StateDescriptor, StateKind, StateView};

/// The schema version under which values are written whose versions nobody has given.
pub(super) const VERSION: u32 = 1;

/// What a state can keep: any value that can be cloned and that serde can write and read.
///
/// Implemented for every type that has what it takes.
pub trait Stored: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Stored for T {}

/// The function of a reducing state.
pub(super) type Reduce<T> = Box<dyn Fn(&T, T) -> T + Send>;

/// The registration of one state: what it is called, and how long what is in it lives.
pub(crate) struct Registering<'a, K: 'static> {
    states: &'a mut KeyedState<K>,
    name: &'a str,
    ttl: Option<Ttl>,
    version: u32,
}

/// How the content of a table is made of what was stored: of the same form, and of the one with times, or without.
struct Reading<Same, Other> {
    same: Same,
    other: Other,
}

impl<K: 'static> KeyedState<K> {
    /// Begins to register the state `name`.
    pub(crate) fn register<'a>(&'a mut self, name: &'a str, ttl: Option<Ttl>) -> Registering<'a, K> {
        Registering { states: self, name, ttl, version: VERSION }
    }
}

impl<K: Key> KeyedState<K> {
    /// Registers the state `name`, a value for each key that lasts, and reads what a checkpoint kept of it.
    ///
    /// # Errors
    /// Those of [`Registering`].
    #[cfg(test)]
    pub(crate) fn value<V: Stored>(&mut self, name: &str) -> Result<ValueState<V>> {
        self.register(name, None).value()
    }
}

/// All of them read what a checkpoint kept, and fail with [`Error::StateMismatch`] where the name is in use with another kind or type,
/// or what was stored cannot be read as this one. The same name with the same kind and type is the same state.
impl<K: Key> Registering<'_, K> {
    /// With values in the newest of these versions: what a checkpoint kept of this kind in an older one is rewritten first.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where that cannot be done.
    pub(crate) fn in_version_of<V: Stored>(mut self, kind: StateKind, versions: &Versions<V>) -> Result<Self> {
        self.version = versions.newest();
        let stored = self.states.carried.get(self.name).map(|carried| carried.descriptor().clone());
        if let Some(stored) = stored.filter(|stored| stored.kind == kind && stored.version != self.version) {
            let kept = self.states.carried.remove(self.name).map_or(Kept::NOTHING, Kept::View);
            let blocks = versions.upgrade(&stored, restore::blocks(self.name, kept)?)?;
            let upgraded = StateDescriptor { version: self.version, ..stored };
            self.states.carried.insert(self.name.to_owned(), CarriedState::carry(upgraded, Kept::Blocks(blocks)));
        }
        Ok(self)
    }

    /// A value for each key.
    pub(crate) fn value<V: Stored>(self) -> Result<ValueState<V>> {
        let expires = self.ttl.is_some();
        self.single::<V, ()>(StateKind::Value, ()).map(|index| ValueState::new(index, expires))
    }

    /// What the values of each key reduce to.
    pub(crate) fn reducing<T: Stored>(self, reduce: Reduce<T>) -> Result<ReducingState<T>> {
        let expires = self.ttl.is_some();
        self.single::<T, Reduce<T>>(StateKind::Reducing, reduce).map(|index| ReducingState::new(index, expires))
    }

    /// The accumulator of each key.
    pub(crate) fn aggregating<A: Aggregate>(self, aggregate: A) -> Result<AggregatingState<A>> {
        let expires = self.ttl.is_some();
        self.single::<A::Acc, A>(StateKind::Aggregating, aggregate).map(|index| AggregatingState::new(index, expires))
    }

    /// A list for each key.
    pub(crate) fn list<T: Stored>(mut self) -> Result<ListState<T>> {
        let now = self.states.now;
        let index = match self.ttl {
            None => {
                let same = |_, list: Vec<T>| of_list(list.into_iter());
                let other = |_, list: Vec<Stamped<T>>| of_list(list.into_iter().map(|Stamped(_, value)| value));
                let shows: Shows<K, Chunks<T>> = |name, table| {
                    OpenState::showing(name, table, |list: &Chunks<T>| Some(list.iter().cloned().collect::<Vec<T>>()))
                };
                self.lasting::<Chunks<T>, _, _, _>(StateKind::KeyedList, (), Reading { same, other }, shows)
            }
            Some(ttl) => {
                let same = |_, list: Vec<Stamped<T>>| of_list(list.into_iter());
                let other = move |_, list: Vec<T>| of_list(list.into_iter().map(|value| Stamped(now, value)));
                let shows: ShowsLive<K, Chunks<Stamped<T>>> =
                    |name, table, lapse| OpenState::showing(name, table, move |list| live_list::<T>(list, lapse));
                self.expiring::<Chunks<Stamped<T>>, _, _, _>(StateKind::KeyedList, (), ttl, Reading { same, other }, shows)
            }
        };
        Ok(ListState::new(index?, self.ttl.is_some()))
    }

    /// A map for each key.
    pub(crate) fn map<UK: Key, UV: Stored>(mut self) -> Result<MapState<UK, UV>> {
        let now = self.states.now;
        let index = match self.ttl {
            None => {
                let same = |hash, map: Pairs<UK, UV>| of_map(hash, map, |value| value);
                let other = |hash, map: Pairs<UK, Stamped<UV>>| of_map(hash, map, |Stamped(_, value)| value);
                let shows: Shows<K, Pieces<UK, UV>> = |name, table| OpenState::showing(name, table, all_of_map::<UK, UV>);
                self.lasting::<Pieces<UK, UV>, _, _, _>(StateKind::Map, Scratch::default(), Reading { same, other }, shows)
            }
            Some(ttl) => {
                let same = |hash, map: Pairs<UK, Stamped<UV>>| of_map(hash, map, |value| value);
                let other = move |hash, map: Pairs<UK, UV>| of_map(hash, map, |value| Stamped(now, value));
                let (reading, scratch) = (Reading { same, other }, Scratch::default());
                let shows: ShowsLive<K, Pieces<UK, Stamped<UV>>> =
                    |name, table, lapse| OpenState::showing(name, table, move |map| live_map::<UK, UV>(map, lapse));
                self.expiring::<Pieces<UK, Stamped<UV>>, _, _, _>(StateKind::Map, scratch, ttl, reading, shows)
            }
        };
        Ok(MapState::new(index?, self.ttl.is_some()))
    }

    /// One value for each key, whatever is done with it.
    fn single<V: Stored, F: Send + 'static>(mut self, kind: StateKind, with: F) -> Result<usize> {
        let now = self.states.now;
        match self.ttl {
            None => {
                let reading = Reading { same: |_, value: V| Some(value), other: |_, Stamped(_, value): Stamped<V>| Some(value) };
                self.lasting::<V, F, _, _>(kind, with, reading, |name, table| OpenState::of(name, table))
            }
            Some(ttl) => {
                let same = |_, stamped: Stamped<V>| Some(stamped);
                let other = move |_, value: V| Some(Stamped(now, value));
                let shows: ShowsLive<K, Stamped<V>> =
                    |name, table, lapse| OpenState::showing(name, table, move |value| live::<V>(value, lapse));
                self.expiring::<Stamped<V>, F, _, _>(kind, with, ttl, Reading { same, other }, shows)
            }
        }
    }

    fn lasting<C, F, W, O>(
        &mut self,
        kind: StateKind,
        with: F,
        reading: Reading<impl Fn(u64, W) -> Option<C>, impl Fn(u64, O) -> Option<C>>,
        shows: Shows<K, C>,
    ) -> Result<usize>
    where
        C: Clone + Send + Sync + Serialize + 'static,
        F: Send + 'static,
        W: DeserializeOwned,
        O: DeserializeOwned,
    {
        if let Some(index) = self.found::<Lasting<K, C, F>>(kind)? {
            return Ok(index);
        }
        let descriptor = StateDescriptor::new(self.name, kind, self.version).keyed_by::<K>();
        let table = self.read::<DescribedView<K, C>, C, W, O>(&descriptor, |kept| &kept.view, reading)?;
        Ok(self.add(Lasting { descriptor, table, copies: 0, with, shows }))
    }

    fn expiring<C, F, W, O>(
        &mut self,
        kind: StateKind,
        with: F,
        ttl: Ttl,
        reading: Reading<impl Fn(u64, W) -> Option<C>, impl Fn(u64, O) -> Option<C>>,
        shows: ShowsLive<K, C>,
    ) -> Result<usize>
    where
        C: Expires,
        F: Send + 'static,
        W: DeserializeOwned,
        O: DeserializeOwned,
    {
        if !ttl.is_possible() {
            return Err(too_short(self.name, ttl));
        }
        if let Some(index) = self.found::<Expiring<K, C, F>>(kind)? {
            return Ok(index);
        }
        let descriptor = StateDescriptor::new(self.name, kind, self.version).keyed_by::<K>();
        let descriptor = StateDescriptor { stamped: true, ..descriptor };
        let table = self.read::<ExpiringView<K, C>, C, W, O>(&descriptor, |kept| &kept.view, reading)?;
        let (sweeper, reads) = (Sweeper::new(), Reads::default());
        Ok(self.add(Expiring { descriptor, table, copies: 0, with, ttl, sweeper, reads, shows }))
    }

    fn add<S: Registered<K>>(&mut self, state: S) -> usize {
        self.states.states.push(Box::new(state));
        self.states.states.len() - 1
    }

    /// The state of this name, if it is registered already.
    fn found<S: Registered<K>>(&self, kind: StateKind) -> Result<Option<usize>> {
        if self.name == TIMERS {
            return Err(reserved(self.name));
        }
        let states = &self.states.states;
        let Some(index) = states.iter().position(|state| state.descriptor().name == self.name) else { return Ok(None) };
        match states.get(index) {
            Some(found) if found.descriptor().kind != kind => Err(other_kind(self.name, found.descriptor().kind, kind)),
            Some(found) if found.descriptor().version != self.version => Err(other_version(self.name)),
            Some(found) if (&**found as &dyn Any).is::<S>() && found.ttl() == self.ttl => match kind {
                StateKind::Reducing | StateKind::Aggregating => Err(two_functions(self.name)),
                _ => Ok(Some(index)),
            },
            _ => Err(registered_twice::<S>(self.name)),
        }
    }

    /// What a checkpoint kept of the state: the view, if it is in memory and of this form, or what can be made of its blocks.
    fn read<View, C, W, O>(
        &mut self,
        descriptor: &StateDescriptor,
        of_view: impl Fn(&View) -> &TableView<K, C>,
        reading: Reading<impl Fn(u64, W) -> Option<C>, impl Fn(u64, O) -> Option<C>>,
    ) -> Result<KeyedTable<K, C>>
    where
        View: StateView,
        C: Clone,
        W: DeserializeOwned,
        O: DeserializeOwned,
    {
        let KeyedState { carried, groups, owned, hasher, .. } = &mut *self.states;
        let Some(stored) = carried.get(self.name) else {
            return Ok(KeyedTable::new(*groups, owned.clone(), hasher.clone()));
        };
        stored.descriptor().expect(descriptor)?;
        let as_it_is = stored.descriptor().stamped == descriptor.stamped;
        let kept = carried.remove(self.name).map_or(Kept::NOTHING, Kept::View);
        if let Some(view) = kept.view::<View>().filter(|view| of_view(view).is_of(*groups, owned)) {
            return Ok(KeyedTable::of_view(of_view(&view), hasher.clone()));
        }
        let blocks = restore::blocks(self.name, kept)?;
        if as_it_is {
            restore::read_table(self.name, blocks, *groups, owned.clone(), hasher, reading.same)
        } else {
            restore::read_table(self.name, blocks, *groups, owned.clone(), hasher, reading.other)
        }
    }
}

/// A list of these elements; none where there are none.
fn of_list<T>(elements: impl ExactSizeIterator<Item = T>) -> Option<Chunks<T>> {
    (elements.len() > 0).then(|| elements.collect())
}

/// A map of these entries, for the key with this hash; none where there are none.
fn of_map<UK: Key, A, B: Clone>(hash: u64, map: Pairs<UK, A>, value: impl Fn(A) -> B) -> Option<Pieces<UK, B>> {
    let (mut pieces, scratch) = (Pieces::new(), Scratch::default());
    for (key, stored) in map.0 {
        pieces.insert(hash_within(hash, &key, &scratch), &key, value(stored), &mut 0);
    }
    (!pieces.is_empty()).then_some(pieces)
}

/// What a question is shown: what has not expired, and nothing where nothing is left.
fn live<V: Clone>(Stamped(at, value): &Stamped<V>, lapse: Lapse) -> Option<V> {
    (!lapse.has_expired(*at)).then(|| value.clone())
}

fn live_list<T: Clone>(list: &Chunks<Stamped<T>>, lapse: Lapse) -> Option<Vec<T>> {
    let live: Vec<T> = list.iter().filter_map(|element| live(element, lapse)).collect();
    (!live.is_empty()).then_some(live)
}

fn all_of_map<UK: Key, UV: Clone>(map: &Pieces<UK, UV>) -> Option<Vec<(UK, UV)>> {
    Some(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn live_map<UK: Key, UV: Clone>(map: &Pieces<UK, Stamped<UV>>, lapse: Lapse) -> Option<Vec<(UK, UV)>> {
    let live = map.iter().filter_map(|(key, value)| live(value, lapse).map(|value| (key.clone(), value)));
    let live: Vec<(UK, UV)> = live.collect();
    (!live.is_empty()).then_some(live)
}

fn mismatch(problem: String, advice: &str) -> Error {
    Error::StateMismatch { problem, advice: advice.into() }
}

fn reserved(name: &str) -> Error {
    let problem = format!("no state may be called '{name}': an operator's timers are kept under this name");
    mismatch(problem, "give the state another name")
}

fn other_kind(name: &str, before: StateKind, now: StateKind) -> Error {
    let problem = format!("state '{name}' is registered as {now:?}, and was registered as {before:?} before");
    mismatch(problem, "give each state of an operator its own name")
}

fn registered_twice<S>(name: &str) -> Error {
    let problem = format!(
        "state '{name}' is registered twice, with different types or times to live; the second time it is {}",
        type_name::<S>()
    );
    mismatch(problem, "give each state of an operator its own name")
}

fn other_version(name: &str) -> Error {
    let problem = format!("state '{name}' is registered twice, in different versions");
    mismatch(problem, "register it once, and copy the handle; or give each state its own name")
}

fn two_functions(name: &str) -> Error {
    let problem = format!("state '{name}' is registered twice, each time with a function of its own");
    mismatch(problem, "register it once, and copy the handle; or give each state its own name")
}

fn too_short(name: &str, ttl: Ttl) -> Error {
    let problem = format!("state '{name}' is registered with a time to live of {:?}, which is below a millisecond", ttl.after());
    mismatch(problem, "give it a time to live of at least a millisecond, or none")
}
