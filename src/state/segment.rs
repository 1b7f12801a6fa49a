//! A segment: a bounded part of one key group's entries, and the unit in which state is copied.
//!
//! Always: a segment is owned by its table alone, or shared with views and then not written to. The first write after a view takes
//! it back where no view holds it any more, and clones it where one does. Used by the table, on its task's thread.

use std::sync::Arc;

use hashbrown::HashTable;

/// Entries of a segment at most: what 4,096 buckets hold at a load of 7/8. Large enough for a directory that stays in the cache,
/// small enough to be copied in microseconds.
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

/// A bounded part of a key group's entries.
pub(super) enum Segment<K, V> {
    /// No view holds it.
    Owned(Entries<K, V>),
    /// A view may hold it: read only.
    Shared(Arc<Entries<K, V>>),
}

impl<K, V> Segment<K, V> {
    /// An empty segment with room for this many entries.
    pub(super) fn with_capacity(entries: usize) -> Self {
        Segment::Owned(Entries::with_capacity(entries))
    }

    /// The entries, to be read.
    #[inline]
    pub(super) fn entries(&self) -> &Entries<K, V> {
        match self {
            Segment::Owned(entries) => entries,
            Segment::Shared(entries) => entries,
        }
    }

    /// Makes the segment shared, and hands out the other share.
    pub(super) fn share(&mut self) -> Arc<Entries<K, V>> {
        let shared = match self {
            Segment::Owned(entries) => Arc::new(std::mem::take(entries)),
            Segment::Shared(entries) => return Arc::clone(entries),
        };
        *self = Segment::Shared(Arc::clone(&shared));
        shared
    }

    /// Empties the segment. What was allocated is kept, unless a view still holds it.
    pub(super) fn clear(&mut self) {
        match self {
            Segment::Owned(entries) => entries.clear(),
            Segment::Shared(entries) => {
                let mut own = Arc::get_mut(entries).map(std::mem::take).unwrap_or_default();
                own.clear();
                *self = Segment::Owned(own);
            }
        }
    }
}

impl<K: Clone, V: Clone> Segment<K, V> {
    /// The entries, to be written. `copies` is raised where they had to be cloned.
    #[inline]
    pub(super) fn entries_mut(&mut self, copies: &mut u64) -> &mut Entries<K, V> {
        if let Segment::Shared(_) = self {
            self.take_back(copies);
        }
        match self {
            Segment::Owned(entries) => entries,
            Segment::Shared(_) => unreachable!("a segment that was taken back is owned"),
        }
    }

    /// Makes a shared segment owned again.
    #[cold]
    #[inline(never)]
    fn take_back(&mut self, copies: &mut u64) {
        let Segment::Shared(shared) = self else { return };
        let entries = match Arc::get_mut(shared) {
            Some(unshared) => std::mem::take(unshared),
            None => {
                *copies += 1;
                Entries::clone(shared)
            }
        };
        *self = Segment::Owned(entries);
    }
}
