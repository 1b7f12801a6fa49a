//! The entries of a broadcast state: a map in the order of its keys, in chunks, so that freezing it copies nothing.
//!
//! Always: chunks are not empty, and ascend; a chunk is written to in place where no view holds it, and copied first where one does.
//! The order is the keys' own, so that all instances, in each attempt and process, go through it alike. Owned by the operator's
//! state, on its task's thread.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries of a chunk at most: what the first write after a barrier copies at most, for each chunk that it touches.
pub(super) const CHUNK_ENTRIES: usize = 64;

/// The entries of a chunk.
pub(super) type Entries<K, V> = Arc<Vec<(K, V)>>;

/// The entries of a [`BroadcastState`](crate::BroadcastState): a map that is gone through in the order of its keys, which is the same
/// in all instances.
///
/// What it costs: a look-up is two binary searches. A barrier freezes the map by cloning one `Arc` for each chunk of up to 64 entries; the
/// first change of an entry that a checkpoint still holds copies the 64 entries around it.
pub struct BroadcastMap<K, V> {
    chunks: Vec<Entries<K, V>>,
    len: usize,
}

impl<K, V> Default for BroadcastMap<K, V> {
    fn default() -> Self {
        BroadcastMap { chunks: Vec::new(), len: 0 }
    }
}

impl<K, V> BroadcastMap<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = BroadcastMap::default();
    }

    /// All entries, frozen.
    pub(super) fn freeze(&self) -> Vec<Entries<K, V>> {
        self.chunks.clone()
    }

    /// The map of these chunks, which ascend.
    pub(super) fn of_chunks(chunks: Vec<Entries<K, V>>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len()).sum();
        BroadcastMap { chunks, len }
    }
}

impl<K: Ord, V> BroadcastMap<K, V> {
    /// The chunk in which a key is or would be, and its place there.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let begins_by = |chunk: &Entries<K, V>| chunk.first().is_some_and(|(first, _)| first.borrow() <= key);
        let at = self.chunks.partition_point(begins_by).saturating_sub(1);
        let entries = self.chunks.get(at).map_or(&[][..], |chunk| chunk.as_slice());
        (at, entries.binary_search_by(|(other, _)| other.borrow().cmp(key)))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (at, found) = self.place(key);
        self.chunks.get(at)?.get(found.ok()?).map(|(_, value)| value)
    }

    /// Whether the key has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K: Ord + Clone, V: Clone> BroadcastMap<K, V> {
    /// The value of a key, to be changed in place.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, found) = self.place(key);
        let found = found.ok()?;
        Arc::make_mut(self.chunks.get_mut(at)?).get_mut(found).map(|(_, value)| value)
    }

    /// Sets the value of a key, and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, found) = self.place(&key);
        let Some(chunk) = self.chunks.get_mut(at).map(Arc::make_mut) else {
            (self.chunks, self.len) = (vec![Arc::new(vec![(key, value)])], 1);
            return None;
        };
        match found {
            Ok(found) => chunk.get_mut(found).map(|(_, before)| std::mem::replace(before, value)),
            Err(place) => {
                chunk.insert(place, (key, value));
                self.len += 1;
                if chunk.len() > CHUNK_ENTRIES {
                    let upper = chunk.split_off(CHUNK_ENTRIES / 2);
                    self.chunks.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Removes a key, and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, found) = self.place(key);
        let found = found.ok()?;
        let chunk = Arc::make_mut(self.chunks.get_mut(at)?);
        let (_, value) = chunk.remove(found);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        Some(value)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for BroadcastMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn contents(chunks: &[Entries<u16, u32>]) -> BTreeMap<u16, u32> {
        chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn a_map_is_as_a_btree_map_and_its_views_stay_as_they_were(
            steps in proptest::collection::vec((0..40u8, 0..400u16, any::<u32>()), 1..1500),
        ) {
            let (mut map, mut model, mut views) = (BroadcastMap::default(), BTreeMap::new(), Vec::new());
            for (step, key, value) in steps {
                match step {
                    0 if key == 0 => {
                        map.clear();
                        model.clear();
                    }
                    0 => views.push((map.freeze(), model.clone())),
                    1..12 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    12..16 => {
                        map.get_mut(&key).into_iter().for_each(|value| *value ^= 1);
                        model.get_mut(&key).into_iter().for_each(|value| *value ^= 1);
                    }
                    _ => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                }
                prop_assert_eq!((map.len(), map.is_empty(), map.get(&key)), (model.len(), model.is_empty(), model.get(&key)));
            }
            prop_assert!(map.iter().eq(&model), "in the order of the keys");
            for (view, then) in views {
                prop_assert!(view.iter().all(|chunk| (1..=CHUNK_ENTRIES).contains(&chunk.len())));
                prop_assert_eq!(contents(&view), then);
            }
        }
    }

    #[test]
    fn a_change_copies_its_chunk_and_no_other() {
        let mut map = BroadcastMap::default();
        (0..1000u32).for_each(|key| assert_eq!(map.insert(key, key), None));
        let before = map.freeze();
        map.insert(500, 0);
        let after = map.freeze();
        let same = before.iter().zip(&after).filter(|(before, after)| Arc::ptr_eq(before, after)).count();
        assert_eq!((before.len(), same), (after.len(), after.len() - 1));
    }

    #[test]
    fn strings_are_found_by_str() {
        let mut map = BroadcastMap::default();
        map.insert("one".to_owned(), 1);
        assert_eq!(map.get("one"), Some(&1));
        assert_eq!((map.remove("two"), map.remove("one"), map.len()), (None, Some(1), 0));
    }
}
