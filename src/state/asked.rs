//! Keyed state as questions from outside of its operator see it: read only, by handle for the operator's own answers, by name and
//! types for queries.
//!
//! Always: what is shown is what an access of the operator would find, and nothing is changed by it. Made for one question, on the
//! task's thread.

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use super::access::Readable;
use super::handles::{ListState, MapState};
use super::key_list;
use super::key_map;
use super::keyed::KeyedState;
use super::page::Page;
use super::register::Stored;
use super::table::KeyedTable;
use crate::key::Key;

/// The state of the key that an operator is asked about, to be read.
///
/// # Panics
/// Every access panics where the handle comes from another operator.
pub struct AskedState<'a, K: 'static> {
    pub(super) states: &'a KeyedState<K>,
    pub(super) hash: u64,
    pub(super) key: &'a K,
}

impl<'a, K: 'static> AskedState<'a, K> {
    /// What these states have for a key.
    pub(crate) fn new(states: &'a KeyedState<K>, hash: u64, key: &'a K) -> Self {
        AskedState { states, hash, key }
    }

    /// The key.
    pub fn key(&self) -> &'a K {
        self.key
    }
}

impl<'a, K: Key> AskedState<'a, K> {
    /// The key's value; what its values were reduced to; or what its accumulator says. None where nothing was written, or it has
    /// expired.
    #[track_caller]
    pub fn get<S: Readable>(&self, state: S) -> Option<S::Read<'a>> {
        state.peek(self)
    }

    /// The elements of the key's list that have not expired, in the order in which they were added.
    #[track_caller]
    pub fn list<T: Stored>(&self, state: ListState<T>) -> impl Iterator<Item = &'a T> + use<'a, K, T> {
        key_list::peek(self, state)
    }

    /// The entries of the key's map that have not expired, in the order of their keys' hashes.
    #[track_caller]
    pub fn map<UK: Key, UV: Stored>(
        &self,
        state: MapState<UK, UV>,
    ) -> impl Iterator<Item = (&'a UK, &'a UV)> + use<'a, K, UK, UV> {
        key_map::peek(self, state)
    }
}

impl<K: 'static> fmt::Debug for AskedState<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedState").field("hash", &self.hash).field("states", &self.states).finish_non_exhaustive()
    }
}

/// A state of an operator instance that is open, as a query finds it.
pub(crate) struct OpenState<'a> {
    pub(crate) name: &'a str,
    /// What it shows, for people.
    pub(crate) holds: String,
    table: &'a dyn Any,
    /// A `Box<dyn Shows<K, V>>` of the keys and values that are shown.
    shows: Box<dyn Any>,
}

impl<'a> OpenState<'a> {
    /// A state that shows its values as they are in its table.
    pub(crate) fn of<K: Clone + Eq + 'static, V: Clone + 'static>(name: &'a str, table: &'a KeyedTable<K, V>) -> Self {
        OpenState::showing(name, table, |value: &V| Some(value.clone()))
    }

    /// A state that shows of what its table keeps for a key what `show` makes of it, if anything.
    pub(crate) fn showing<K, C, V>(name: &'a str, table: &'a KeyedTable<K, C>, show: impl Fn(&C) -> Option<V> + 'static) -> Self
    where
        K: Clone + Eq + 'static,
        C: 'static,
        V: 'static,
    {
        let shows: Box<dyn Shows<K, V>> = Box::new(ShowsAs(show, PhantomData));
        OpenState { name, holds: holds::<K, V>(), table, shows: Box::new(shows) }
    }

    /// Its entries, if it shows such keys and values.
    pub(crate) fn entries<K: 'static, V: 'static>(&self) -> Option<OpenEntries<'_, K, V>> {
        let shows = self.shows.downcast_ref::<Box<dyn Shows<K, V>>>()?;
        Some(OpenEntries { table: self.table, shows: &**shows })
    }
}

/// What a state with these keys and values shows, for people.
pub(crate) fn holds<K, V>() -> String {
    format!("a {} for each {}", type_name::<V>(), type_name::<K>())
}

/// The entries of an open state.
pub(crate) struct OpenEntries<'a, K, V> {
    table: &'a dyn Any,
    shows: &'a dyn Shows<K, V>,
}

impl<K, V> OpenEntries<'_, K, V> {
    /// The value of a key.
    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<V> {
        self.shows.get(self.table, hash, key)
    }

    /// The first entries with such hashes: see [`KeyedTable::page`].
    pub(crate) fn page(&self, hashes: RangeInclusive<u64>, limit: usize) -> Page<K, V> {
        self.shows.page(self.table, hashes, limit)
    }
}

/// Knows what a table keeps, and shows it.
trait Shows<K, V> {
    fn get(&self, table: &dyn Any, hash: u64, key: &K) -> Option<V>;
    fn page(&self, table: &dyn Any, hashes: RangeInclusive<u64>, limit: usize) -> Page<K, V>;
}

struct ShowsAs<C, F>(F, PhantomData<fn(C)>);

impl<K, C, V, F> Shows<K, V> for ShowsAs<C, F>
where
    K: Clone + Eq + 'static,
    C: 'static,
    F: Fn(&C) -> Option<V>,
{
    fn get(&self, table: &dyn Any, hash: u64, key: &K) -> Option<V> {
        let table: &KeyedTable<K, C> = table.downcast_ref()?;
        table.get(hash, key).and_then(&self.0)
    }

    fn page(&self, table: &dyn Any, hashes: RangeInclusive<u64>, limit: usize) -> Page<K, V> {
        let table: Option<&KeyedTable<K, C>> = table.downcast_ref();
        table.map_or(Page { entries: Vec::new(), next: None }, |table| table.page(hashes, limit, &self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::key::KeyGroups;

    #[test]
    fn a_state_shows_what_is_made_of_its_entries_to_those_who_know_its_types() {
        let mut table = KeyedTable::<u64, String>::new(KeyGroups::new(4), 0..4, Arc::new(|key: &u64| key << 60));
        for key in 0..10u64 {
            table.insert(key << 60, &key, "x".repeat(key as usize));
        }
        let open = OpenState::showing("lengths", &table, |text: &String| (text.len() % 2 == 1).then_some(text.len()));
        assert_eq!((open.name, &*open.holds), ("lengths", "a usize for each u64"));
        assert!(open.entries::<u64, String>().is_none() && open.entries::<u32, usize>().is_none());
        let entries = open.entries::<u64, usize>().unwrap();
        assert_eq!((entries.get(3 << 60, &3), entries.get(4 << 60, &4), entries.get(11 << 60, &11)), (Some(3), None, None));
        let page = entries.page(0..=u64::MAX, 3);
        assert_eq!((page.entries, page.next), (vec![(1, 1), (3, 3), (5, 5)], Some(7 << 60)), "what is not shown takes no room");
    }
}
