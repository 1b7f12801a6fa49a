//! A keyed table: the entries of one keyed state of one task, by key group, copy-on-write.
//!
//! Each key group has 2^depth slots, and each slot a small hash table. An access looks into its slot's table and, if the key is
//! there, looks nowhere else; only a key that is not there asks whether the slot's segment is shared with a view or joined with
//! another slot's. (Measured: an enum looked at first cost a fifth of an update, a directory nearly as much again.)
//!
//! Owned by a task and touched on its thread only. Callers give each key's hash; entries keep none.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::ids::KeyGroup;
use crate::key::KeyGroups;

use super::segment::{Entries, SEGMENT_ENTRIES, Segment, slot_hash};
use super::table_view::TableView;

/// Computes a key's hash again, when its segment splits or grows.
pub(crate) type KeyHasher<K> = Arc<dyn Fn(&K) -> u64 + Send + Sync>;

/// How many keys [`KeyedTable::look_ahead`] looks for at once: their tags and the beginnings of their entries fit the first-level cache.
pub(crate) const LOOK_AHEAD: usize = 128;

/// Keys with their hashes, as many as there are.
pub(crate) type Ahead<'a, K> = [Option<(u64, &'a K)>; LOOK_AHEAD];

/// Where a key may be, by its hash alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint {
    slot: usize,
    bucket: usize,
}

/// The entries of one keyed state of one task.
pub(crate) struct KeyedTable<K, V> {
    /// The number of slots that all key groups together would have.
    pub(super) scale: u64,
    /// The first owned slot among them.
    pub(super) base: u64,
    /// For each owned slot, the entries of its segment if it is owned; else it is empty.
    pub(super) tables: Vec<Entries<K, V>>,
    /// For each owned slot, where its entries are. The slots of a segment are neighbours, of one key group, the first one leads.
    pub(super) segments: Vec<Segment<K, V>>,
    /// The hash of the key that filled a segment: it is split before the next key is added.
    pub(super) full: Option<u64>,
    pub(super) copies: u64,
    /// Where the keys may be that were last looked ahead for.
    pub(super) ahead: Vec<Hint>,
    /// A key group has 2^depth slots.
    pub(super) depth: u32,
    pub(super) owned: Range<u16>,
    pub(super) groups: KeyGroups,
    pub(super) hasher: KeyHasher<K>,
}

impl<K, V> KeyedTable<K, V> {
    /// An empty table for the keys of the groups in `owned`.
    pub(crate) fn new(groups: KeyGroups, owned: Range<u16>, hasher: KeyHasher<K>) -> Self {
        KeyedTable::with_room(groups, owned, hasher, |_| 0)
    }

    /// The slot of a hash: its key group and the top `depth` bits of its place there, in one multiplication.
    #[inline]
    pub(super) fn slot(&self, hash: u64) -> usize {
        let slot = (u128::from(hash) * u128::from(self.scale)) >> 64;
        (slot as u64).wrapping_sub(self.base) as usize
    }

    /// The segments' entries with their slots.
    fn slots(&self) -> impl Iterator<Item = (usize, &Entries<K, V>)> {
        self.segments.iter().zip(&self.tables).map(|(segment, table)| segment.entries(table)).enumerate()
    }

    pub(super) fn group(&self, slot: usize) -> KeyGroup {
        KeyGroup(self.owned.start + (slot >> self.depth) as u16)
    }

    /// The number of entries. Takes a pass over the segments.
    pub(crate) fn len(&self) -> usize {
        self.slots().map(|(_, entries)| entries.len()).sum()
    }

    /// True where there is no entry. Takes a pass over the segments.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots().all(|(_, entries)| entries.is_empty())
    }

    /// How many segments were cloned so far because a view still held them.
    pub(crate) fn copies(&self) -> u64 {
        self.copies
    }

    /// All entries, key groups ascending, in no particular order within a group.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyGroup, &K, &V)> {
        self.slots().flat_map(|(slot, entries)| {
            let group = self.group(slot);
            entries.iter().map(move |(key, value)| (group, key, value))
        })
    }

    /// Removes all entries and keeps what was allocated for them.
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        for (segment, table) in self.segments.iter_mut().zip(&mut self.tables) {
            segment.clear(table);
        }
    }

    /// The table as it is now, frozen. Takes a pass over the segments and copies no entry.
    pub(crate) fn view(&mut self) -> TableView<K, V> {
        let segments = self.segments.iter_mut().zip(&mut self.tables).map(|(segment, table)| segment.share(table)).collect();
        TableView::new(segments, self.depth, self.groups, self.owned.clone())
    }
}

impl<K: Eq, V> KeyedTable<K, V> {
    /// The value of a key.
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<&V> {
        let slot = self.slot(hash);
        let Some(table) = self.tables.get(slot) else { refuse(self.groups, &self.owned, hash) };
        match find(table, hash, key) {
            None => self.get_elsewhere(slot, hash, key),
            found => found,
        }
    }

    /// Whether the table is far larger than a cache, so that hints pay.
    pub(crate) fn is_large(&self) -> bool {
        self.depth > 0
    }

    /// Where the key of a hash may be: reads the tags of its slot's table and no entry. Taken for many keys before the first of
    /// their entries is read, hints let the entries' memory latencies overlap: what is left to do for each is so little that the
    /// processor looks many records ahead.
    #[inline]
    pub(crate) fn hint(&self, hash: u64) -> Hint {
        let slot = self.slot(hash);
        let bucket = self.tables.get(slot).and_then(|table| table.find_bucket_index(slot_hash(hash), |_| true));
        Hint { slot, bucket: bucket.unwrap_or(usize::MAX) }
    }

    /// Looks for keys before they are accessed, one after another, by code that does so much with each that the processor would not look
    /// ahead to the next one: their entries are in the cache then, and most are known by [`KeyedTable::found_ahead`]. Returns how many it
    /// has come upon: not all that are there.
    pub(crate) fn look_ahead(&mut self, keys: &Ahead<'_, K>) -> usize {
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.clear();
        ahead.extend(keys.iter().flatten().map(|(hash, _)| self.hint(*hash)));
        let found = ahead.iter().zip(keys.iter().flatten()).filter(|(hint, (_, key))| self.hinted(**hint, key).is_some()).count();
        self.ahead = ahead;
        found
    }

    /// Where the n-th of the keys is that were looked ahead for, if it was come upon and is there still.
    #[inline]
    pub(crate) fn found_ahead(&self, n: usize, key: &K) -> Option<Hint> {
        self.ahead.get(n).copied().filter(|hint| self.hinted(*hint, key).is_some())
    }

    /// The value of the n-th of the keys that were looked ahead for, if it was come upon and is there still.
    #[inline]
    pub(crate) fn get_ahead(&self, n: usize, key: &K) -> Option<&V> {
        self.hinted(*self.ahead.get(n)?, key)
    }

    #[inline]
    fn hinted(&self, hint: Hint, key: &K) -> Option<&V> {
        let (found, value) = self.tables.get(hint.slot)?.get_bucket(hint.bucket)?;
        (found == key).then_some(value)
    }

    /// The value of a key that was found ahead.
    ///
    /// # Panics
    /// Where the table has been changed since.
    #[inline]
    pub(crate) fn ahead_mut(&mut self, found: Hint) -> &mut V {
        let entry = self.tables.get_mut(found.slot).and_then(|table| table.get_bucket_mut(found.bucket));
        &mut entry.expect("found just now").1
    }

    /// The value of a key, to be changed, if it is where the hint says; else it has to be looked for.
    #[inline]
    pub(crate) fn hinted_mut(&mut self, hint: Hint, key: &K) -> Option<&mut V> {
        match self.tables.get_mut(hint.slot)?.get_bucket_mut(hint.bucket) {
            Some((found, value)) if found == key => Some(value),
            _ => None,
        }
    }

    #[inline(never)]
    fn get_elsewhere(&self, slot: usize, hash: u64, key: &K) -> Option<&V> {
        let leader = match self.segments.get(slot)? {
            Segment::Owned => return None,
            segment => segment.leader(slot),
        };
        find(self.segments.get(leader)?.entries(self.tables.get(leader)?), hash, key)
    }
}

#[cold]
#[inline(never)]
fn refuse(groups: KeyGroups, owned: &Range<u16>, hash: u64) -> ! {
    let (group, Range { start, end }) = (groups.of(hash), owned);
    panic!("fault of the engine: a key of group {group} reached a table of the groups {start}..{end}")
}

#[inline]
fn find<'a, K: Eq, V>(table: &'a Entries<K, V>, hash: u64, key: &K) -> Option<&'a V> {
    table.find(slot_hash(hash), |(other, _)| other == key).map(|(_, value)| value)
}

impl<K: Clone, V: Clone> KeyedTable<K, V> {
    /// The value of a key, made first where there is none. The key is cloned only then.
    #[inline]
    pub(crate) fn get_or_insert_with(&mut self, hash: u64, key: &K, make: impl FnOnce() -> V) -> &mut V
    where
        K: Eq,
    {
        if let Some(hash) = self.full {
            self.make_room(hash);
        }
        let slot = self.slot(hash);
        let Some((left, [table, ..])) = self.tables.split_at_mut_checked(slot) else { refuse(self.groups, &self.owned, hash) };
        match table.find_entry(slot_hash(hash), |(other, _)| other == key) {
            Ok(found) => &mut found.into_mut().1,
            Err(absent) => {
                let place = elsewhere(&mut self.segments, left, absent.into_table(), slot);
                let Some(place) = place else { refuse(self.groups, &self.owned, hash) };
                let entries = place.own(&mut self.copies);
                get_or_insert_with(entries, &mut self.full, (hash, key), &self.hasher, make)
            }
        }
    }

    /// The entries of a hash, to be written.
    pub(super) fn entries_mut(&mut self, hash: u64) -> Option<&mut Entries<K, V>> {
        let slot = self.slot(hash);
        let leader = self.segments.get(slot)?.leader(slot);
        let table = self.tables.get_mut(leader)?;
        self.segments.get_mut(leader)?.take_back(table, &mut self.copies);
        Some(table)
    }

    /// The value of a key, to be changed. A key that is not there copies nothing.
    #[inline]
    pub(crate) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut V>
    where
        K: Eq,
    {
        let slot = self.slot(hash);
        let Some((left, [table, ..])) = self.tables.split_at_mut_checked(slot) else { refuse(self.groups, &self.owned, hash) };
        match table.find_entry(slot_hash(hash), |(other, _)| other == key) {
            Ok(found) => Some(&mut found.into_mut().1),
            Err(absent) => elsewhere(&mut self.segments, left, absent.into_table(), slot)?.get_mut(hash, key, &mut self.copies),
        }
    }

    /// Sets the value of a key, and returns the one it had.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, key: &K, value: V) -> Option<V>
    where
        K: Eq,
    {
        let mut new = Some(value);
        let place = self.get_or_insert_with(hash, key, || new.take().expect("made once"));
        new.map(|value| std::mem::replace(place, value))
    }

    /// Removes a key, and returns its value. A key that is not there copies nothing.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, key: &K) -> Option<V>
    where
        K: Eq,
    {
        self.get(hash, key)?;
        let found = self.entries_mut(hash)?.find_entry(slot_hash(hash), |(other, _)| other == key).ok()?;
        let ((_, value), _) = found.remove();
        Some(value)
    }

    /// Keeps the entries for which `keep` says so, and may change them. Every segment with entries counts as written to.
    #[cfg(test)]
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for (segment, table) in self.segments.iter_mut().zip(&mut self.tables) {
            segment.take_back(table, &mut self.copies);
            table.retain(|(key, value)| keep(key, value));
        }
    }
}

/// Where a key is that its slot's own table does not have, if it is anywhere.
struct Elsewhere<'a, K, V> {
    segment: &'a mut Segment<K, V>,
    table: &'a mut Entries<K, V>,
}

/// The segment to which a slot belongs. Its leader is to the left of what it leads.
#[inline(never)]
fn elsewhere<'a, K, V>(
    segments: &'a mut [Segment<K, V>],
    left: &'a mut [Entries<K, V>],
    table: &'a mut Entries<K, V>,
    slot: usize,
) -> Option<Elsewhere<'a, K, V>> {
    let leader = segments.get(slot)?.leader(slot);
    Some(Elsewhere { segment: segments.get_mut(leader)?, table: left.get_mut(leader).unwrap_or(table) })
}

impl<'a, K: Clone, V: Clone> Elsewhere<'a, K, V> {
    /// The segment's entries, to be written.
    fn own(self, copies: &mut u64) -> &'a mut Entries<K, V> {
        self.segment.take_back(self.table, copies);
        self.table
    }

    #[inline(never)]
    fn get_mut(self, hash: u64, key: &K, copies: &mut u64) -> Option<&'a mut V>
    where
        K: Eq,
    {
        find(self.segment.entries(self.table), hash, key)?;
        self.own(copies).find_mut(slot_hash(hash), |(other, _)| other == key).map(|(_, value)| value)
    }
}

/// The value of a key in its segment's entries. Where the key is new and fills the segment, its hash is left in `full`.
#[inline(never)]
fn get_or_insert_with<'a, K: Eq + Clone, V>(
    entries: &'a mut Entries<K, V>,
    full: &mut Option<u64>,
    (hash, key): (u64, &K),
    hasher: &KeyHasher<K>,
    make: impl FnOnce() -> V,
) -> &'a mut V {
    match entries.find_entry(slot_hash(hash), |(other, _)| other == key) {
        Ok(found) => &mut found.into_mut().1,
        Err(absent) => {
            let entries = absent.into_table();
            *full = (entries.len() + 1 >= SEGMENT_ENTRIES).then_some(hash);
            let entry = (key.clone(), make());
            &mut entries.insert_unique(slot_hash(hash), entry, |(key, _)| slot_hash(hasher(key))).into_mut().1
        }
    }
}

impl<K, V> fmt::Debug for KeyedTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedTable")
            .field("owned", &self.owned)
            .field("entries", &self.len())
            .field("slots", &self.segments.len())
            .finish_non_exhaustive()
    }
}
