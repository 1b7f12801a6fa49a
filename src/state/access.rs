//! Accesses to a key's states: what [`KeyState`] can do.
//!
//! Always: an access is one look-up of the key's hash; a handle says by itself whether what it is for expires, so that states which
//! last know nothing of time. Writes never build on what has expired. Called from callbacks, on the task's thread.

use crate::key::Key;

use super::Aggregate;
use super::asked::AskedState;
use super::handles::{AggregatingState, ListState, MapState, ReducingState, ValueState};
use super::key_list::{self, KeyList};
use super::key_map::{self, KeyMap};
use super::keyed::KeyedState;
use super::of_key::KeyState;
use super::register::{Reduce, Stored};
use super::registered::{At, Expiring, Lasting};
use super::table::KeyedTable;
use super::ttl::{Lapse, Stamped};
use super::walk::Cursor;

/// A state of which [`KeyState::get`] reads one thing, and [`KeyState::clear`] forgets it: [`ValueState`], [`ReducingState`] and
/// [`AggregatingState`]. Implemented by them only.
pub trait Readable: Copy + sealed::Sealed {
    /// What is read.
    type Read<'a>;
    /// What is left when it is forgotten.
    type Cleared;

    #[doc(hidden)]
    fn read<'a, K: Key>(self, state: &'a KeyState<'_, K>) -> Option<Self::Read<'a>>;

    #[doc(hidden)]
    fn peek<'a, K: Key>(self, state: &AskedState<'a, K>) -> Option<Self::Read<'a>>;

    #[doc(hidden)]
    fn clear<K: Key>(self, state: &mut KeyState<'_, K>) -> Option<Self::Cleared>;
}

/// A state to which [`KeyState::add`] adds: [`ReducingState`] and [`AggregatingState`]. Implemented by them only.
pub trait Adding: Copy + sealed::Sealed {
    /// What is added.
    type In;

    #[doc(hidden)]
    fn add<K: Key>(self, state: &mut KeyState<'_, K>, value: Self::In);
}

mod sealed {
    pub trait Sealed {}
    impl<V> Sealed for super::ValueState<V> {}
    impl<T> Sealed for super::ReducingState<T> {}
    impl<A> Sealed for super::AggregatingState<A> {}
}

impl<K: Key> KeyState<'_, K> {
    /// The key's value; what its values were reduced to; or what its accumulator says. None where nothing was written.
    #[inline]
    #[track_caller]
    pub fn get<S: Readable>(&self, state: S) -> Option<S::Read<'_>> {
        state.read(self)
    }

    /// Forgets what the state has for the key, and returns it.
    #[inline]
    #[track_caller]
    pub fn clear<S: Readable>(&mut self, state: S) -> Option<S::Cleared> {
        state.clear(self)
    }

    /// Adds a value to what the key's values were reduced to, or to its accumulator.
    #[inline]
    #[track_caller]
    pub fn add<S: Adding>(&mut self, state: S, value: S::In) {
        state.add(self, value);
    }

    /// The key's list.
    #[inline]
    #[track_caller]
    pub fn list<T: Stored>(&mut self, state: ListState<T>) -> KeyList<'_, K, T> {
        key_list::open(self, state)
    }

    /// The key's map.
    #[inline]
    #[track_caller]
    pub fn map<UK: Key, UV: Stored>(&mut self, state: MapState<UK, UV>) -> KeyMap<'_, K, UK, UV> {
        key_map::open(self, state)
    }

    /// Sets the key's value.
    #[inline]
    #[track_caller]
    pub fn set<V: Stored>(&mut self, state: ValueState<V>, value: V) {
        if state.expires {
            let (at, lapse) = self.written(state);
            at.table.insert(at.hash, at.key, Stamped(lapse.now, value));
        } else {
            let mut value = Some(value);
            let place = self.get_or_insert_with(state, || value.take().expect("made once"));
            if let Some(value) = value {
                *place = value;
            }
        }
    }

    /// The key's value, to be changed in place.
    #[inline]
    #[track_caller]
    pub fn get_mut<V: Stored>(&mut self, state: ValueState<V>) -> Option<&mut V> {
        if state.expires {
            let (at, lapse) = self.written(state);
            return at
                .table
                .get_mut(at.hash, at.key)
                .filter(|found| !lapse.has_expired(found.0))
                .map(|found| renewed(found, lapse));
        }
        let sought = self.sought();
        find_mut(self.lasting_mut(state), sought)
    }

    /// The key's value, to be changed in place; made first where there is none.
    #[inline]
    #[track_caller]
    pub fn get_or_insert_with<V: Stored>(&mut self, state: ValueState<V>, make: impl FnOnce() -> V) -> &mut V {
        if state.expires {
            let (at, lapse) = self.written(state);
            return live_or_insert_with(at, lapse, make);
        }
        let sought = self.sought();
        find_or_insert_with(self.lasting_mut(state), sought, make)
    }

    /// Changes the key's value, beginning with the default where there is none.
    #[inline]
    #[track_caller]
    pub fn update<V: Stored + Default, R>(&mut self, state: ValueState<V>, change: impl FnOnce(&mut V) -> R) -> R {
        change(self.get_or_insert_with(state, V::default))
    }

    #[inline]
    #[track_caller]
    fn lasting_mut<S: Single>(&mut self, state: S) -> &mut KeyedTable<K, S::Value> {
        &mut self.states.state_mut::<Lasting<K, S::Value, S::With>>(state.index(), state).table
    }

    #[inline(never)]
    #[track_caller]
    fn written<S: Single>(&mut self, state: S) -> (At<'_, K, Stamped<S::Value>>, Lapse) {
        let (at, lapse, _) = self.written_with(state);
        (at, lapse)
    }

    #[track_caller]
    fn written_with<S: Single>(&mut self, state: S) -> Written<'_, K, S> {
        let (hash, key, now) = (self.hash, self.key, self.states.now);
        self.states.read.set(true);
        let found = self.states.state_mut::<Expiring<K, Stamped<S::Value>, S::With>>(state.index(), state);
        let lapse = found.write(now);
        let Expiring { table, copies, with, .. } = found;
        (At { table, copies, hash, key }, lapse, with)
    }
}

/// A key's value, where it was found ahead or wherever it is.
#[inline]
fn find_mut<'a, K: Key, V: Stored>(table: &'a mut KeyedTable<K, V>, (nth, hash, key): (usize, u64, &K)) -> Option<&'a mut V> {
    match table.found_ahead(nth, key) {
        Some(found) => Some(table.ahead_mut(found)),
        None => table.get_mut(hash, key),
    }
}

/// The same; made first where there is none.
#[inline]
fn find_or_insert_with<'a, K: Key, V: Stored>(
    table: &'a mut KeyedTable<K, V>,
    (nth, hash, key): (usize, u64, &K),
    make: impl FnOnce() -> V,
) -> &'a mut V {
    match table.found_ahead(nth, key) {
        Some(found) => table.ahead_mut(found),
        None => unforeseen(table, (hash, key), make),
    }
}

/// What was not found ahead; apart, so that callbacks whose keys mostly are stay small.
#[inline(never)]
fn unforeseen<'a, K: Key, V: Stored>(
    table: &'a mut KeyedTable<K, V>,
    (hash, key): (u64, &K),
    make: impl FnOnce() -> V,
) -> &'a mut V {
    table.get_or_insert_with(hash, key, make)
}

fn renewed<V>(found: &mut Stamped<V>, lapse: Lapse) -> &mut V {
    found.0 = lapse.now;
    &mut found.1
}

/// What has not expired of a key, made anew where it has or is not there.
#[inline(never)]
fn live_or_insert_with<'a, K: Key, V: Stored>(at: At<'a, K, Stamped<V>>, lapse: Lapse, make: impl FnOnce() -> V) -> &'a mut V {
    let mut make = Some(make);
    let mut made = || (make.take().expect("made once"))();
    let found = at.table.get_or_insert_with(at.hash, at.key, || Stamped(lapse.now, made()));
    if lapse.has_expired(found.0) {
        found.1 = made();
    }
    renewed(found, lapse)
}

/// What a state that expires has for a key, to be written; as of now; and what its accesses need.
type Written<'a, K, S> = (At<'a, K, Stamped<<S as Single>::Value>>, Lapse, &'a <S as Single>::With);

/// A handle of a state with one value for each key, and what its accesses need.
trait Single: Copy + std::fmt::Debug {
    type Value: Stored;
    type With: Send + 'static;

    fn index(self) -> usize;
    fn expires(self) -> bool;
}

macro_rules! single {
    ($name:ident<$type:ident: $bound:path>, $value:ty, $with:ty) => {
        impl<$type: $bound> Single for $name<$type> {
            type Value = $value;
            type With = $with;

            #[inline]
            fn index(self) -> usize {
                self.index
            }

            #[inline]
            fn expires(self) -> bool {
                self.expires
            }
        }
    };
}

single!(ValueState<V: Stored>, V, ());
single!(ReducingState<T: Stored>, T, Reduce<T>);
single!(AggregatingState<A: Aggregate>, A::Acc, A);

/// Reads the value of a key, and what is needed beside it.
#[inline]
#[track_caller]
fn read<'a, K: Key, S: Single>(handle: S, state: &'a KeyState<'_, K>) -> Option<(&'a S::Value, &'a S::With)> {
    if handle.expires() {
        return read_expiring(handle, state);
    }
    let found = state.states.state::<Lasting<K, S::Value, S::With>>(handle.index(), handle);
    let (nth, hash, key) = state.sought();
    let value = found.table.get_ahead(nth, key).or_else(|| found.table.get(hash, key));
    value.map(|value| (value, &found.with))
}

#[inline(never)]
#[track_caller]
fn read_expiring<'a, K: Key, S: Single>(handle: S, state: &'a KeyState<'_, K>) -> Option<(&'a S::Value, &'a S::With)> {
    let found = state.states.state::<Expiring<K, Stamped<S::Value>, S::With>>(handle.index(), handle);
    state.states.read.set(true);
    let (lapse, seen) = (found.ttl.at(state.states.now), found.reads.all());
    let Stamped(at, value) = found.table.get(state.hash, state.key)?;
    lapse.shows(*at, seen).then_some((value, &found.with))
}

/// The same for a question, which changes nothing, nor is it noted as a read.
#[track_caller]
fn peek<'a, K: Key, S: Single>(handle: S, state: &AskedState<'a, K>) -> Option<(&'a S::Value, &'a S::With)> {
    if handle.expires() {
        let found = state.states.state::<Expiring<K, Stamped<S::Value>, S::With>>(handle.index(), handle);
        let Stamped(at, value) = found.table.get(state.hash, state.key)?;
        return (!found.lapse(state.states.now).has_expired(*at)).then_some((value, &found.with));
    }
    let found = state.states.state::<Lasting<K, S::Value, S::With>>(handle.index(), handle);
    found.table.get(state.hash, state.key).map(|value| (value, &found.with))
}

#[inline]
#[track_caller]
fn clear<K: Key, S: Single>(handle: S, state: &mut KeyState<'_, K>) -> Option<S::Value> {
    let (hash, key) = (state.hash, state.key);
    if handle.expires() {
        let (at, lapse) = state.written(handle);
        return at.table.remove(hash, key).filter(|found| !lapse.has_expired(found.0)).map(|found| found.1);
    }
    state.lasting_mut(handle).remove(hash, key)
}

impl<V: Stored> Readable for ValueState<V> {
    type Read<'a> = &'a V;
    type Cleared = V;

    #[inline]
    #[track_caller]
    fn read<'a, K: Key>(self, state: &'a KeyState<'_, K>) -> Option<&'a V> {
        read(self, state).map(|(value, ())| value)
    }

    #[track_caller]
    fn peek<'a, K: Key>(self, state: &AskedState<'a, K>) -> Option<Self::Read<'a>> {
        peek(self, state).map(|(value, ())| value)
    }

    #[inline]
    #[track_caller]
    fn clear<K: Key>(self, state: &mut KeyState<'_, K>) -> Option<V> {
        clear(self, state)
    }
}

impl<T: Stored> Readable for ReducingState<T> {
    type Read<'a> = &'a T;
    type Cleared = T;

    #[inline]
    #[track_caller]
    fn read<'a, K: Key>(self, state: &'a KeyState<'_, K>) -> Option<&'a T> {
        read(self, state).map(|(value, _)| value)
    }

    #[track_caller]
    fn peek<'a, K: Key>(self, state: &AskedState<'a, K>) -> Option<Self::Read<'a>> {
        peek(self, state).map(|(value, _)| value)
    }

    #[inline]
    #[track_caller]
    fn clear<K: Key>(self, state: &mut KeyState<'_, K>) -> Option<T> {
        clear(self, state)
    }
}

impl<A: Aggregate> Readable for AggregatingState<A> {
    type Read<'a> = A::Out;
    type Cleared = A::Acc;

    #[inline]
    #[track_caller]
    fn read<K: Key>(self, state: &KeyState<'_, K>) -> Option<A::Out> {
        read(self, state).map(|(acc, aggregate)| aggregate.result(acc))
    }

    #[track_caller]
    fn peek<'a, K: Key>(self, state: &AskedState<'a, K>) -> Option<Self::Read<'a>> {
        peek(self, state).map(|(acc, aggregate)| aggregate.result(acc))
    }

    #[inline]
    #[track_caller]
    fn clear<K: Key>(self, state: &mut KeyState<'_, K>) -> Option<A::Acc> {
        clear(self, state)
    }
}

impl<T: Stored> Adding for ReducingState<T> {
    type In = T;

    #[inline]
    #[track_caller]
    fn add<K: Key>(self, state: &mut KeyState<'_, K>, value: T) {
        let sought @ (_, hash, key) = state.sought();
        if self.expires {
            let (at, lapse, reduce) = state.written_with(self);
            let mut value = Some(value);
            let found = at.table.get_or_insert_with(hash, key, || Stamped(lapse.now, value.take().expect("made once")));
            if let Some(value) = value {
                found.1 = if lapse.has_expired(found.0) { value } else { reduce(&found.1, value) };
            }
            found.0 = lapse.now;
            return;
        }
        let Lasting { table, with: reduce, .. } = state.states.state_mut::<Lasting<K, T, Reduce<T>>>(self.index, self);
        match find_mut(table, sought) {
            Some(so_far) => *so_far = reduce(so_far, value),
            None => drop(table.insert(hash, key, value)),
        }
    }
}

impl<A: Aggregate> Adding for AggregatingState<A> {
    type In = A::In;

    #[inline]
    #[track_caller]
    fn add<K: Key>(self, state: &mut KeyState<'_, K>, value: A::In) {
        let sought = state.sought();
        if self.expires {
            let (at, lapse, aggregate) = state.written_with(self);
            aggregate.add(live_or_insert_with(at, lapse, || aggregate.create()), value);
            return;
        }
        let Lasting { table, with: aggregate, .. } = state.states.state_mut::<Lasting<K, A::Acc, A>>(self.index, self);
        aggregate.add(find_or_insert_with(table, sought, || aggregate.create()), value);
    }
}

/// Walks over the values of all keys, for who may touch them all.
impl<K: Key> KeyedState<K> {
    /// Visits a piece of a state's values: see [`KeyedTable::walk`]. What has expired is passed over.
    #[track_caller]
    pub(crate) fn walk<V: Stored>(
        &self,
        state: ValueState<V>,
        cursor: &mut Cursor,
        mut visit: impl FnMut(&K, &V) -> bool,
    ) -> bool {
        if !state.expires {
            return self.state::<Lasting<K, V, ()>>(state.index, state).table.walk(cursor, visit);
        }
        let found = self.state::<Expiring<K, Stamped<V>, ()>>(state.index, state);
        let lapse = found.lapse(self.now);
        found.table.walk(cursor, |key, Stamped(at, value)| lapse.has_expired(*at) || visit(key, value))
    }

    /// The same, with values that may be changed, which is a write to each of them, or removed: see [`KeyedTable::walk_and_prune`].
    #[track_caller]
    pub(crate) fn walk_and_prune<V: Stored>(
        &mut self,
        state: ValueState<V>,
        cursor: &mut Cursor,
        mut visit: impl FnMut(&K, &mut V) -> (bool, bool),
    ) -> bool {
        if !state.expires {
            return self.state_mut::<Lasting<K, V, ()>>(state.index, state).table.walk_and_prune(cursor, visit);
        }
        let now = self.now;
        let found = self.state_mut::<Expiring<K, Stamped<V>, ()>>(state.index, state);
        let lapse = found.write(now);
        found.table.walk_and_prune(cursor, |key, found| match lapse.has_expired(found.0) {
            true => (false, true),
            false => visit(key, renewed(found, lapse)),
        })
    }
}
