//! A keyed table: the entries of one keyed state of one task, by key group, copy-on-write.
//!
//! Each key group has 2^depth slots in one directory, and each slot names a segment; a full segment splits in two by the next bit
//! of its keys' hashes, and only then does the directory double where it must (extendible hashing, Fagin et al. 1979). So no
//! growth ever rehashes more than one segment. Always: the slots of a segment are neighbours and of one key group.
//!
//! Owned by a task and touched on its thread only. Callers give each key's hash; entries keep none.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::ids::KeyGroup;
use crate::key::KeyGroups;

use super::segment::{Entries, SEGMENT_ENTRIES, Segment, slot_hash};
use super::table_view::TableView;

/// Slots of a directory at most. Where it is reached, which takes billions of keys or colliding hashes, segments outgrow their
/// bound instead.
const MAX_SLOTS: usize = 1 << 20;

/// Computes a key's hash again, when its segment splits or grows.
pub(crate) type KeyHasher<K> = Arc<dyn Fn(&K) -> u64 + Send + Sync>;

/// The entries of one keyed state of one task.
pub(crate) struct KeyedTable<K, V> {
    /// The number of slots that a directory of all key groups would have.
    scale: u64,
    /// The first owned slot among them.
    base: u64,
    /// For each owned slot, the index of its segment.
    directory: Vec<u32>,
    segments: Vec<Segment<K, V>>,
    copies: u64,
    /// A key group has 2^depth slots.
    depth: u32,
    owned: Range<u16>,
    groups: KeyGroups,
    hasher: KeyHasher<K>,
}

impl<K, V> KeyedTable<K, V> {
    /// An empty table for the keys of the groups in `owned`.
    pub(crate) fn new(groups: KeyGroups, owned: Range<u16>, hasher: KeyHasher<K>) -> Self {
        KeyedTable::with_room(groups, owned, hasher, |_| 0)
    }

    /// An empty table with room for as many entries as `expected` says of each owned group.
    pub(crate) fn with_room(
        groups: KeyGroups,
        owned: Range<u16>,
        hasher: KeyHasher<K>,
        expected: impl Fn(KeyGroup) -> usize,
    ) -> Self {
        let depth_max = (MAX_SLOTS / owned.len().max(1)).checked_ilog2().unwrap_or(0);
        let rooms: Vec<Room> = owned.clone().map(|group| Room::for_entries(expected(KeyGroup(group)), depth_max)).collect();
        let depth = rooms.iter().map(|room| room.depth).max().unwrap_or(0);
        let (mut directory, mut segments) = (Vec::with_capacity(rooms.len() << depth), Vec::new());
        for room in rooms {
            for _ in 0..1u32 << room.depth {
                directory.resize(directory.len() + (1 << (depth - room.depth)), segments.len() as u32);
                segments.push(Segment::with_capacity(room.segment));
            }
        }
        let mut table = KeyedTable { scale: 0, base: 0, directory, segments, copies: 0, depth: 0, owned, groups, hasher };
        table.set_depth(depth);
        table
    }

    fn set_depth(&mut self, depth: u32) {
        self.depth = depth;
        self.scale = u64::from(self.groups.max()) << depth;
        self.base = u64::from(self.owned.start) << depth;
    }

    /// The slot of a hash: its key group and the top `depth` bits of its place there, in one multiplication.
    #[inline]
    fn slot(&self, hash: u64) -> usize {
        let slot = (u128::from(hash) * u128::from(self.scale)) >> 64;
        (slot as u64).wrapping_sub(self.base) as usize
    }

    /// The index of the segment of a hash.
    #[inline]
    fn segment(&self, hash: u64) -> usize {
        match self.directory.get(self.slot(hash)) {
            Some(&segment) => segment as usize,
            None => self.refuse(hash),
        }
    }

    #[cold]
    fn refuse(&self, hash: u64) -> ! {
        panic!(
            "fault of the engine: a key of group {} reached a table of the groups {}..{}",
            self.groups.of(hash),
            self.owned.start,
            self.owned.end
        )
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the directory names only segments that exist; measured on every access")]
    fn entries(&self, hash: u64) -> &Entries<K, V> {
        self.segments[self.segment(hash)].entries()
    }

    /// The number of entries. Takes a pass over the segments.
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.entries().len()).sum()
    }

    /// True where there is no entry. Takes a pass over the segments.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| segment.entries().is_empty())
    }

    /// How many segments were cloned so far because a view still held them: a step that copied many should end early.
    pub(crate) fn copies(&self) -> u64 {
        self.copies
    }

    /// The key groups whose keys may be here.
    pub(crate) fn owned(&self) -> Range<u16> {
        self.owned.clone()
    }

    /// The segments with their groups, groups ascending.
    fn by_group(&self) -> impl Iterator<Item = (KeyGroup, usize)> + use<K, V> {
        let (start, depth) = (self.owned.start, self.depth);
        let mut slots: Vec<(usize, u32)> = self.directory.iter().copied().enumerate().collect();
        slots.dedup_by_key(|(_, segment)| *segment);
        slots.into_iter().map(move |(slot, segment)| (KeyGroup(start + (slot >> depth) as u16), segment as usize))
    }

    /// All entries, key groups ascending, in no particular order within a group.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyGroup, &K, &V)> {
        self.by_group().flat_map(|(group, segment)| {
            let entries = self.segments.get(segment).into_iter().flat_map(|segment| segment.entries());
            entries.map(move |(key, value)| (group, key, value))
        })
    }

    /// Removes all entries and keeps what was allocated for them.
    pub(crate) fn clear(&mut self) {
        for segment in &mut self.segments {
            segment.clear();
        }
    }

    /// The table as it is now, frozen. Takes a pass over the segments and copies no entry.
    pub(crate) fn view(&mut self) -> TableView<K, V> {
        let mut shares = Vec::with_capacity(self.segments.len());
        for (group, segment) in self.by_group() {
            match self.segments.get_mut(segment) {
                Some(segment) if !segment.entries().is_empty() => shares.push((group, segment.share())),
                _ => {}
            }
        }
        TableView::new(shares)
    }
}

#[cfg(test)]
impl<K, V> KeyedTable<K, V> {
    /// The number of entries in each segment.
    pub(super) fn segment_lens(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().map(|segment| segment.entries().len())
    }
}

impl<K: Eq, V> KeyedTable<K, V> {
    /// The value of a key.
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<&V> {
        self.entries(hash).find(slot_hash(hash), |(k, _)| k == key).map(|(_, value)| value)
    }
}

impl<K: Eq + Clone, V: Clone> KeyedTable<K, V> {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the directory names only segments that exist; measured on every access")]
    fn entries_mut(&mut self, hash: u64) -> &mut Entries<K, V> {
        let segment = self.segment(hash);
        self.segments[segment].entries_mut(&mut self.copies)
    }

    /// The value of a key, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        if self.get(hash, key).is_none() {
            return None;
        }
        self.entries_mut(hash).find_mut(slot_hash(hash), |(k, _)| k == key).map(|(_, value)| value)
    }

    /// The value of a key, made first where there is none. The key is cloned only then.
    #[inline]
    pub(crate) fn get_or_insert_with(&mut self, hash: u64, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if self.entries(hash).len() >= SEGMENT_ENTRIES {
            self.make_room(hash);
        }
        let segment = self.segment(hash);
        let hasher = &self.hasher;
        #[expect(clippy::indexing_slicing, reason = "the directory names only segments that exist; measured on every access")]
        let entries = self.segments[segment].entries_mut(&mut self.copies);
        let slot = slot_hash(hash);
        match entries.find_entry(slot, |(k, _)| k == key) {
            Ok(entry) => &mut entry.into_mut().1,
            Err(absent) => {
                let entry = (key.clone(), make());
                &mut absent.into_table().insert_unique(slot, entry, |(k, _)| slot_hash(hasher(k))).into_mut().1
            }
        }
    }

    /// Sets the value of a key, and returns the one it had.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, key: &K, value: V) -> Option<V> {
        let mut value = Some(value);
        let place = self.get_or_insert_with(hash, key, || value.take().expect("made once"));
        value.map(|value| std::mem::replace(place, value))
    }

    /// Removes a key, and returns its value. A key that is not there copies nothing.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, key: &K) -> Option<V> {
        self.get(hash, key)?;
        let entry = self.entries_mut(hash).find_entry(slot_hash(hash), |(k, _)| k == key).ok()?;
        let ((_, value), _) = entry.remove();
        Some(value)
    }

    /// Keeps the entries for which `keep` says so, and may change them. Every segment with entries counts as written to.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for segment in self.segments.iter_mut().filter(|segment| !segment.entries().is_empty()) {
            segment.entries_mut(&mut self.copies).retain(|(key, value)| keep(key, value));
        }
    }

    /// Splits the segment of a hash until it has room, or no split is possible.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, hash: u64) {
        while self.entries(hash).len() >= SEGMENT_ENTRIES {
            let slots = self.neighbours(self.slot(hash));
            let slots = match slots.len() {
                1 if self.directory.len() * 2 > MAX_SLOTS => return,
                1 => self.double(slots.start),
                _ => slots,
            };
            self.split(slots);
        }
    }

    /// The slots that share a slot's segment.
    fn neighbours(&self, slot: usize) -> Range<usize> {
        let segment = self.directory.get(slot);
        let same = |slots: &[u32]| slots.iter().take_while(|other| Some(*other) == segment).count();
        let (before, after) = self.directory.split_at(slot);
        let before = before.iter().rev().take_while(|other| Some(*other) == segment).count();
        slot - before..slot + same(after)
    }

    /// Gives each slot two, and returns the two of `slot`.
    fn double(&mut self, slot: usize) -> Range<usize> {
        self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
        self.set_depth(self.depth + 1);
        2 * slot..2 * slot + 2
    }

    /// Splits the segment of these slots: the second half of them gets a new one.
    fn split(&mut self, slots: Range<usize>) {
        let middle = slots.start + slots.len() / 2;
        let Some(&old) = self.directory.get(slots.start) else { return };
        let Some(segment) = self.segments.get_mut(old as usize) else { return };
        let entries = std::mem::take(segment.entries_mut(&mut self.copies));
        let (mut low, mut high) = (Entries::with_capacity(SEGMENT_ENTRIES), Entries::with_capacity(SEGMENT_ENTRIES));
        for (key, value) in entries {
            let hash = (self.hasher)(&key);
            let half = if self.slot(hash) < middle { &mut low } else { &mut high };
            half.insert_unique(slot_hash(hash), (key, value), |(k, _)| slot_hash((self.hasher)(k)));
        }
        self.put(old as usize, low);
        let new = self.segments.len() as u32;
        self.segments.push(Segment::Owned(high));
        if let Some(slots) = self.directory.get_mut(middle..slots.end) {
            slots.fill(new);
        }
    }

    fn put(&mut self, segment: usize, entries: Entries<K, V>) {
        if let Some(segment) = self.segments.get_mut(segment) {
            *segment = Segment::Owned(entries);
        }
    }
}

impl<K, V> fmt::Debug for KeyedTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedTable")
            .field("owned", &self.owned)
            .field("entries", &self.len())
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

/// How much room a key group is given ahead.
struct Room {
    /// It gets 2^depth segments.
    depth: u32,
    /// Entries that each of them has room for.
    segment: usize,
}

impl Room {
    /// The room for this many entries: as few segments as will hold them without splitting, by three standard deviations.
    fn for_entries(entries: usize, depth_max: u32) -> Self {
        let segment = |depth: u32| {
            let mean = entries.div_ceil(1 << depth);
            if depth == 0 { mean } else { mean + 3 * mean.isqrt() }
        };
        let depth = (0..depth_max).find(|depth| segment(*depth) <= SEGMENT_ENTRIES).unwrap_or(depth_max);
        Room { depth, segment: segment(depth).min(SEGMENT_ENTRIES) }
    }
}
