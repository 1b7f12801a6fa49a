//! How a keyed table grows: one segment at a time.
//!
//! A full segment splits in two by the next bit of its keys' hashes; where it has one slot only, every slot becomes two first, and
//! the new ones join their neighbours (extendible hashing, Fagin et al. 1979). So no growth ever rehashes more than one segment.
//! Called by the table, on its task's thread.

use std::ops::Range;

use crate::ids::KeyGroup;
use crate::key::KeyGroups;

use super::segment::{Entries, SEGMENT_ENTRIES, Segment, slot_hash};
use super::table::{KeyHasher, KeyedTable};
use super::table_view::TableView;

/// Slots of a table at most. Where it is reached, which takes more than half a billion keys or colliding hashes, segments outgrow
/// their bound instead.
const MAX_SLOTS: usize = 1 << 18;

impl<K, V> KeyedTable<K, V> {
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
        let (tables, segments) = rooms.iter().flat_map(|room| room.slots(depth)).unzip();
        KeyedTable::of_parts(tables, segments, depth, (groups, owned), hasher)
    }

    /// The table that a view was taken of, as it was then. It shares all of its entries with the view.
    pub(crate) fn of_view(view: &TableView<K, V>, hasher: KeyHasher<K>) -> Self {
        let segments = view.segments.clone();
        let tables = segments.iter().map(|_| Entries::new()).collect();
        let (groups, owned) = (view.groups, view.owned.clone());
        KeyedTable::of_parts(tables, segments, view.depth, (groups, owned), hasher)
    }

    fn of_parts(
        tables: Vec<Entries<K, V>>,
        segments: Vec<Segment<K, V>>,
        depth: u32,
        (groups, owned): (KeyGroups, Range<u16>),
        hasher: KeyHasher<K>,
    ) -> Self {
        let (full, ahead) = (None, Vec::new());
        let mut table = KeyedTable { scale: 0, base: 0, tables, segments, full, copies: 0, ahead, depth, owned, groups, hasher };
        table.set_depth(depth);
        table
    }

    fn set_depth(&mut self, depth: u32) {
        self.depth = depth;
        self.scale = u64::from(self.groups.max()) << depth;
        self.base = u64::from(self.owned.start) << depth;
    }

    /// The slots of the segment to which the slot of this hash belongs.
    fn segment_slots(&self, hash: u64) -> Range<usize> {
        let slot = self.slot(hash);
        let leader = self.segments.get(slot).map_or(slot, |segment| segment.leader(slot));
        let joined = self.segments.iter().skip(leader + 1).take_while(|segment| matches!(segment, Segment::Joined(_)));
        leader..leader + 1 + joined.count()
    }

    /// Gives each slot two: the first as it was, the second joined with it.
    fn double(&mut self) {
        let segments = std::mem::take(&mut self.segments).into_iter();
        let doubled = segments.flat_map(|segment| match segment {
            Segment::Joined(bits) => [Segment::Joined(bits + 1), Segment::Joined(bits + 1)],
            leader => [leader, Segment::Joined(1)],
        });
        self.segments = doubled.collect();
        let tables = std::mem::take(&mut self.tables).into_iter();
        self.tables = tables.flat_map(|table| [table, Entries::new()]).collect();
        self.set_depth(self.depth + 1);
    }
}

impl<K: Clone, V: Clone> KeyedTable<K, V> {
    /// Splits the segment of a hash until it has room, or no split is possible.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&mut self, hash: u64) {
        self.full = None;
        loop {
            if self.entries_mut(hash).is_none_or(|entries| entries.len() < SEGMENT_ENTRIES) {
                return;
            }
            let slots = self.segment_slots(hash);
            match slots.len() {
                1 if self.tables.len() * 2 > MAX_SLOTS => return,
                1 => self.double(),
                _ => self.split(slots),
            }
        }
    }

    /// Splits the segment of these slots: the one in their middle leads those behind it.
    fn split(&mut self, slots: Range<usize>) {
        let middle = slots.start + slots.len() / 2;
        let mut halves = [Entries::with_capacity(SEGMENT_ENTRIES), Entries::with_capacity(SEGMENT_ENTRIES)];
        let full = self.tables.get_mut(slots.start).map(std::mem::take).unwrap_or_default();
        for (key, value) in full {
            let hash = (self.hasher)(&key);
            let [low, high] = &mut halves;
            let half = if self.slot(hash) < middle { low } else { high };
            half.insert_unique(slot_hash(hash), (key, value), |(key, _)| slot_hash((self.hasher)(key)));
        }
        let bits = (slots.len() / 2).ilog2();
        for segment in self.segments.iter_mut().take(slots.end).skip(middle) {
            *segment = Segment::Joined(bits);
        }
        for (slot, half) in [slots.start, middle].into_iter().zip(halves) {
            self.put(slot, half);
        }
    }

    fn put(&mut self, slot: usize, entries: Entries<K, V>) {
        if let (Some(table), Some(segment)) = (self.tables.get_mut(slot), self.segments.get_mut(slot)) {
            (*table, *segment) = (entries, Segment::Owned);
        }
    }
}

/// How much room a key group is given ahead.
struct Room {
    /// It gets 2^depth segments.
    depth: u32,
    /// Entries that each of them has room for.
    entries: usize,
}

impl Room {
    /// The room for this many entries: as few segments as will hold them without splitting, by three standard deviations.
    fn for_entries(entries: usize, depth_max: u32) -> Self {
        let segment = |depth: u32| {
            let mean = entries.div_ceil(1 << depth);
            if depth == 0 { mean } else { mean + 3 * mean.isqrt() }
        };
        let depth = (0..depth_max).find(|depth| segment(*depth) <= SEGMENT_ENTRIES).unwrap_or(depth_max);
        Room { depth, entries: segment(depth).min(SEGMENT_ENTRIES) }
    }

    /// The group's slots, where each group has 2^depth of them.
    fn slots<K, V>(&self, depth: u32) -> impl Iterator<Item = (Entries<K, V>, Segment<K, V>)> {
        let (joined, entries) = (depth - self.depth, self.entries);
        (0..1usize << depth).map(move |slot| match slot % (1 << joined) {
            0 => (Entries::with_capacity(entries), Segment::Owned),
            _ => (Entries::new(), Segment::Joined(joined)),
        })
    }
}
