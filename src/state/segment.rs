//! A segment: a bounded part of one key group's entries, and the unit in which state is copied.
//!
//! Always: a segment is owned by its table alone, or shared with views and then not written to. The first write after a view takes
//! it back where no view holds it any more, and clones it where one does. Used by the table, on its task's thread.

use std::sync::Arc;

use hashbrown::HashTable;

/// Entries of a segment at most: what 4,096 buckets hold at a load of 7/8. Large enough for the heads of all segments to stay in
/// the cache, small enough to be copied in microseconds.
pub(crate) const SEGMENT_ENTRIES: usize = 4096 / 8 * 7;

/// The entries of a segment.
pub(super) type Entries<K, V> = HashTable<(K, V)>;

/// The hash under which a key lies in its segment.
///
/// A table takes its index from the low bits and its tag from the top seven. The key group and the segment are the hash's top
/// bits, the same for all keys of a segment: they must be neither.
#[inline]
pub(super) fn slot_hash(hash: u64) -> u64 {
    hash.rotate_right(7)
}

/// Where the entries of a slot are.
pub(super) enum Segment<K, V> {
    /// In the slot's own table.
    Owned,
    /// Here, and a view may hold them: read only. The slot's own table is empty.
    Shared(Arc<Entries<K, V>>),
    /// With the slot whose number is this one's without its lowest bits, so many. The slot's own table is empty.
    Joined(u32),
}

impl<K, V> Clone for Segment<K, V> {
    /// An owned segment is cloned without its entries: they are not here.
    fn clone(&self) -> Self {
        match self {
            Segment::Owned => Segment::Owned,
            Segment::Shared(entries) => Segment::Shared(Arc::clone(entries)),
            Segment::Joined(bits) => Segment::Joined(*bits),
        }
    }
}

impl<K, V> Segment<K, V> {
    /// The slot that has the entries of this slot.
    pub(super) fn leader(&self, slot: usize) -> usize {
        match self {
            Segment::Joined(bits) => slot >> bits << bits,
            _ => slot,
        }
    }

    /// The entries of a segment whose slot has the table `own`.
    pub(super) fn entries<'a>(&'a self, own: &'a Entries<K, V>) -> &'a Entries<K, V> {
        match self {
            Segment::Shared(entries) => entries,
            _ => own,
        }
    }

    /// Makes the segment shared, and hands out the other share. One without entries stays owned, and so does its other share.
    pub(super) fn share(&mut self, own: &mut Entries<K, V>) -> Segment<K, V> {
        if let Segment::Owned = self
            && !own.is_empty()
        {
            *self = Segment::Shared(Arc::new(std::mem::take(own)));
        }
        self.clone()
    }

    /// Empties the segment. What was allocated is kept, unless a view still holds it.
    pub(super) fn clear(&mut self, own: &mut Entries<K, V>) {
        if let Segment::Shared(entries) = self {
            *own = Arc::get_mut(entries).map(std::mem::take).unwrap_or_default();
            *self = Segment::Owned;
        }
        own.clear();
    }
}

impl<K: Clone, V: Clone> Segment<K, V> {
    /// Makes a shared segment owned again. `copies` is raised where its entries had to be cloned.
    pub(super) fn take_back(&mut self, own: &mut Entries<K, V>, copies: &mut u64) {
        let Segment::Shared(shared) = self else { return };
        *own = match Arc::get_mut(shared) {
            Some(unshared) => std::mem::take(unshared),
            None => {
                *copies += 1;
                Entries::clone(shared)
            }
        };
        *self = Segment::Owned;
    }
}
