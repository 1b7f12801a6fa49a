//! Keyed state that is written: whole, or key by key.
//!
//! Always: each key lies in the group that its hash names; a key comes once, and so does a key within a map; and no entry is written
//! for an empty list or map, which is none. Blocking, under the job's lock.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use super::edits::Edits;
use super::grouped::Grouped;
use super::writer::{Fate, StateWriter, refused};
use crate::codec::{encode, shown};
use crate::error::{BoxError, Result};
use crate::ids::Uid;
use crate::key::Key;
use crate::snapshot::SectionOf;
use crate::state::{StateDescriptor, StateKind};

/// How the values of a state are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) kind: StateKind,
    /// Whether each has its time beside it.
    pub(super) stamped: bool,
}

/// The entries of one key's map.
pub(super) struct Pairs<UK, UV>(Vec<(UK, UV)>);

impl<UK: Serialize, UV: Serialize> Serialize for Pairs<UK, UV> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl StateWriter {
    /// Writes the whole state `state` of the operator with this uid, a value for each key, in the place of what it held. Returns how
    /// many entries there are.
    ///
    /// The entries are taken one by one; about 64 MiB of them are in memory at a time, and 8 bytes for each key.
    ///
    /// # Errors
    /// [`Error::StateRefused`](crate::Error::StateRefused) where the state was written before or is of another kind;
    /// [`Error::Store`](crate::Error::Store), also where a key comes twice, or a key or value cannot be written.
    pub fn values<K: Key, V: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        self.singles(operator, state, Form { kind: StateKind::Value, stamped: false }, entries)
    }

    /// Writes the whole state `state` of the operator with this uid, a list for each key, in the place of what it held. Returns how many
    /// keys have one: an empty list is none.
    ///
    /// # Errors
    /// Those of [`values`](StateWriter::values).
    pub fn lists<K: Key, T: Serialize, L: IntoIterator<Item = T>>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, L)>,
    ) -> Result<u64> {
        self.lists_of(operator, state, false, entries)
    }

    /// Writes the whole state `state` of the operator with this uid, a map for each key, in the place of what it held. Returns how many
    /// keys have one: an empty map is none.
    ///
    /// # Errors
    /// Those of [`values`](StateWriter::values), and where a key comes twice in a map.
    pub fn maps<K: Key, UK: Key, UV: Serialize, M: IntoIterator<Item = (UK, UV)>>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, M)>,
    ) -> Result<u64> {
        self.maps_of(operator, state, false, entries)
    }

    /// Writes the whole reducing state `state` of the operator with this uid, what the values of each key have been reduced to, in the
    /// place of what it held. Returns how many entries there are.
    ///
    /// # Errors
    /// Those of [`values`](StateWriter::values).
    pub fn reduced<K: Key, V: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        self.singles(operator, state, Form { kind: StateKind::Reducing, stamped: false }, entries)
    }

    /// Writes the whole aggregating state `state` of the operator with this uid, the accumulator of each key, in the place of what it
    /// held. Returns how many entries there are.
    ///
    /// # Errors
    /// Those of [`values`](StateWriter::values).
    pub fn accumulators<K: Key, A: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, A)>,
    ) -> Result<u64> {
        self.singles(operator, state, Form { kind: StateKind::Aggregating, stamped: false }, entries)
    }

    /// Sets what one key has: its value or accumulator, or the whole of its list (as a `Vec`) or its map (as a map). A state that the
    /// checkpoint does not have yet is made one of values.
    ///
    /// # Errors
    /// [`Error::StateRefused`](crate::Error::StateRefused) where the state was written whole, is not keyed, or is kept with times, or
    /// the key or value cannot be written. That the entries beside it are of the same types is seen in
    /// [`finish`](StateWriter::finish).
    pub fn put<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        operator: &str,
        state: &str,
        key: &K,
        value: &V,
    ) -> Result<()> {
        self.put_as(operator, state, false, key, value)
    }

    /// Removes what one key has, if it is there; of any keyed state, with times or without.
    ///
    /// # Errors
    /// [`Error::StateRefused`](crate::Error::StateRefused) where the state was written whole or is not keyed, or the key cannot be
    /// written.
    pub fn remove<K: Key>(&mut self, operator: &str, state: &str, key: &K) -> Result<()> {
        let (places, stamped) = (self.places, self.known(operator, state).is_some_and(|known| known.stamped));
        self.edits_of::<K>(operator, state, stamped)?.remove(&places, key)
    }

    /// One value for each key.
    pub(super) fn singles<K: Key, V: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        form: Form,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        self.keyed(operator, state, form, entries.into_iter().map(|(key, value)| (key, Ok(Some(value)))))
    }

    pub(super) fn lists_of<K: Key, T: Serialize, L: IntoIterator<Item = T>>(
        &mut self,
        operator: &str,
        state: &str,
        stamped: bool,
        entries: impl IntoIterator<Item = (K, L)>,
    ) -> Result<u64> {
        let list = |(key, list): (K, L)| {
            let list: Vec<T> = list.into_iter().collect();
            (key, Ok((!list.is_empty()).then_some(list)))
        };
        self.keyed(operator, state, Form { kind: StateKind::KeyedList, stamped }, entries.into_iter().map(list))
    }

    pub(super) fn maps_of<K: Key, UK: Key, UV: Serialize, M: IntoIterator<Item = (UK, UV)>>(
        &mut self,
        operator: &str,
        state: &str,
        stamped: bool,
        entries: impl IntoIterator<Item = (K, M)>,
    ) -> Result<u64> {
        let map = |(key, map): (K, M)| (key, pairs(map.into_iter()));
        self.keyed(operator, state, Form { kind: StateKind::Map, stamped }, entries.into_iter().map(map))
    }

    pub(super) fn put_as<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        operator: &str,
        state: &str,
        stamped: bool,
        key: &K,
        value: &V,
    ) -> Result<()> {
        let places = self.places;
        self.edits_of::<K>(operator, state, stamped)?.put(&places, key, value)
    }

    /// Writes a whole state; what is nothing has no entry.
    fn keyed<K: Key, V: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        form: Form,
        entries: impl Iterator<Item = (K, Result<Option<V>, BoxError>)>,
    ) -> Result<u64> {
        let descriptor = StateDescriptor::new(state, form.kind, self.version).keyed_by::<K>();
        let of = self.write_whole(operator, StateDescriptor { stamped: form.stamped, ..descriptor })?;
        let (places, mut entries, mut count) = (self.places, Some(entries), 0);
        self.write_file(&mut |emit| {
            let (mut grouped, mut scratch, mut seen) = (Grouped::default(), Vec::new(), HashSet::new());
            let section = SectionOf { operator: &of.0, state: &of.1, part: 0 };
            for (at, (key, value)) in (1..).zip(entries.take().into_iter().flatten()) {
                let (hash, group) = places.of(&key, &mut scratch)?;
                if !seen.insert(hash) {
                    return Err(unfit(&of, at, &key, "came before; hand over each key once"));
                }
                let value = value.map_err(|error| unfit(&of, at, &key, &error.to_string()))?;
                let Some(value) = value else { continue };
                grouped.add(group, (&key, &value), &mut |block| emit(section, block))?;
                count += 1;
            }
            grouped.finish(&mut |block| emit(section, block))
        })?;
        self.not_copied.insert(of, Fate::WrittenWhole);
        self.added += count;
        Ok(count)
    }

    /// What is known of a state.
    fn known(&self, operator: &str, state: &str) -> Option<&StateDescriptor> {
        self.operators.get(&Uid::new(operator))?.states.iter().find(|known| known.name == state)
    }

    /// The changes of a state's single keys.
    fn edits_of<K: Key>(&mut self, operator: &str, state: &str, stamped: bool) -> Result<&mut Edits> {
        let kind = self.known(operator, state).map(|known| known.kind);
        let kind = kind.filter(|kind| kind.is_of_user() && kind.is_keyed()).unwrap_or(StateKind::Value);
        let descriptor = StateDescriptor::new(state, kind, self.version).keyed_by::<K>();
        self.describe(operator, StateDescriptor { stamped, ..descriptor })?;
        let of = (Uid::new(operator), state.to_owned());
        if self.not_copied.get(&of) == Some(&Fate::WrittenWhole) {
            return Err(refused(
                format!("a key of the state '{state}' of operator '{operator}' is changed, and the state was written whole"),
                "hand the changed entries over with the others",
            ));
        }
        Ok(self.edits.entry(of).or_insert_with(Edits::of_keys::<K>))
    }
}

/// A key's map; none where it is empty.
fn pairs<UK: Serialize, UV>(entries: impl Iterator<Item = (UK, UV)>) -> Result<Option<Pairs<UK, UV>>, BoxError> {
    let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
    for (key, value) in entries {
        let mut bytes = Vec::new();
        encode(&key, &mut bytes)?;
        if let Some(bytes) = seen.replace(bytes) {
            return Err(format!("has the key {} twice in its map", shown(&bytes).join(", ")).into());
        }
        pairs.push((key, value));
    }
    Ok((!pairs.is_empty()).then_some(Pairs(pairs)))
}

/// What is wrong with a key's entry.
pub(super) fn unfit<K: Serialize>(of: &(Uid, String), at: u64, key: &K, what: &str) -> BoxError {
    let mut bytes = Vec::new();
    let key = encode(key, &mut bytes).map(|()| shown(&bytes).join(", ")).unwrap_or_default();
    format!("operator '{}', state '{}': the key of entry {at}, {key}, {what}", of.0, of.1).into()
}
