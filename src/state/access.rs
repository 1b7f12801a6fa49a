//! Accesses to a key's states: what [`KeyState`] can do.
//!
//! Always: an access is one look-up of the key's hash; a handle says by itself whether what it is for expires, so that states which
//! last know nothing of time. Writes never build on what has expired. Called from callbacks, on the task's thread.

use crate::key::Key;

use super::Aggregate;
use super::handles::{AggregatingState, ListState, MapState, ReducingState, ValueState};
use super::key_list::{self, KeyList};
use super::key_map::{self, KeyMap};
use super::of_key::KeyState;
use super::register::{Reduce, Stored};
use super::registered::{At, Expiring, Lasting};
use super::table::KeyedTable;
use super::ttl::{Lapse, Stamped};

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
            let (hash, key) = (self.hash, self.key);
            self.lasting_mut(state).insert(hash, key, value);
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
        let (hash, key) = (self.hash, self.key);
        self.lasting_mut(state).get_mut(hash, key)
    }

    /// The key's value, to be changed in place; made first where there is none.
    #[inline]
    #[track_caller]
    pub fn get_or_insert_with<V: Stored>(&mut self, state: ValueState<V>, make: impl FnOnce() -> V) -> &mut V {
        if state.expires {
            let (at, lapse) = self.written(state);
            return live_or_insert_with(at, lapse, make);
        }
        let (hash, key) = (self.hash, self.key);
        self.lasting_mut(state).get_or_insert_with(hash, key, make)
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
        &mut self.states.state_mut::<Lasting<K, S::Value, S::With>>(state.index(), &state).table
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
        let found = self.states.state_mut::<Expiring<K, Stamped<S::Value>, S::With>>(state.index(), &state);
        let lapse = found.write(now);
        let Expiring { table, copies, with, .. } = found;
        (At { table, copies, hash, key }, lapse, with)
    }
}

fn renewed<V>(found: &mut Stamped<V>, lapse: Lapse) -> &mut V {
    found.0 = lapse.now;
    &mut found.1
}

/// What has not expired of a key, made anew where it has or is not there.
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
    let found = state.states.state::<Lasting<K, S::Value, S::With>>(handle.index(), &handle);
    found.table.get(state.hash, state.key).map(|value| (value, &found.with))
}

#[inline(never)]
#[track_caller]
fn read_expiring<'a, K: Key, S: Single>(handle: S, state: &'a KeyState<'_, K>) -> Option<(&'a S::Value, &'a S::With)> {
    let found = state.states.state::<Expiring<K, Stamped<S::Value>, S::With>>(handle.index(), &handle);
    state.states.read.set(true);
    let (lapse, seen) = (found.ttl.at(state.states.now), found.reads.all());
    let Stamped(at, value) = found.table.get(state.hash, state.key)?;
    lapse.shows(*at, seen).then_some((value, &found.with))
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
        let (hash, key) = (state.hash, state.key);
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
        let Lasting { table, with: reduce, .. } = state.states.state_mut::<Lasting<K, T, Reduce<T>>>(self.index, &self);
        match table.get_mut(hash, key) {
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
        let (hash, key) = (state.hash, state.key);
        if self.expires {
            let (at, lapse, aggregate) = state.written_with(self);
            aggregate.add(live_or_insert_with(at, lapse, || aggregate.create()), value);
            return;
        }
        let Lasting { table, with: aggregate, .. } = state.states.state_mut::<Lasting<K, A::Acc, A>>(self.index, &self);
        aggregate.add(table.get_or_insert_with(hash, key, || aggregate.create()), value);
    }
}
