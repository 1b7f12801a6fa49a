//! Walks over a table that can be left and taken up again, so that no walk keeps its task for long.
//!
//! Always: a walk that is taken up visits every entry once, as long as nothing is added and no view is taken in between. Used by
//! operators of the engine, on their task's thread.

use super::segment::Entries;
use super::table::KeyedTable;

/// Places that one piece of a walk looks at: some microseconds' worth.
const PIECE: usize = 4096;

/// How far a walk has come. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    slot: usize,
    bucket: usize,
    /// Places looked at in this piece.
    looked: usize,
}

impl Cursor {
    /// Whether the piece is used up; the next one begins then.
    fn pause(&mut self) -> bool {
        let pause = self.looked >= PIECE;
        if pause {
            self.looked = 0;
        }
        pause
    }

    /// Looks at the buckets of the current segment; false where it stopped among them.
    #[inline]
    fn segment(&mut self, buckets: usize, mut visit: impl FnMut(usize) -> bool) -> bool {
        while self.bucket < buckets {
            if self.pause() {
                return false;
            }
            let bucket = self.bucket;
            (self.bucket, self.looked) = (bucket + 1, self.looked + 1);
            if !visit(bucket) {
                self.looked = 0;
                return false;
            }
        }
        (self.slot, self.bucket, self.looked) = (self.slot + 1, 0, self.looked + 1);
        true
    }
}

/// The places of a segment to look at.
fn buckets<K, V>(entries: &Entries<K, V>) -> usize {
    if entries.is_empty() { 0 } else { entries.num_buckets() }
}

impl<K, V> KeyedTable<K, V> {
    /// Visits a bounded number of entries from `cursor` on, up to the one for which `visit` says that it was the last for now.
    /// True when there are no more.
    pub(crate) fn walk(&self, cursor: &mut Cursor, mut visit: impl FnMut(&K, &V) -> bool) -> bool {
        while let (Some(segment), Some(own)) = (self.segments.get(cursor.slot), self.tables.get(cursor.slot)) {
            let entries = segment.entries(own);
            if !cursor.segment(buckets(entries), |at| entries.get_bucket(at).is_none_or(|(key, value)| visit(key, value))) {
                return false;
            }
        }
        true
    }

    /// As [`KeyedTable::walk`], and the entries may be changed: every segment with entries counts as written to.
    pub(crate) fn walk_mut(&mut self, cursor: &mut Cursor, mut visit: impl FnMut(&K, &mut V) -> bool) -> bool
    where
        K: Clone,
        V: Clone,
    {
        while let (Some(segment), Some(own)) = (self.segments.get_mut(cursor.slot), self.tables.get_mut(cursor.slot)) {
            segment.take_back(own, &mut self.copies);
            let buckets = buckets(own);
            if !cursor.segment(buckets, |at| own.get_bucket_mut(at).is_none_or(|(key, value)| visit(key, value))) {
                return false;
            }
        }
        true
    }

    /// Removes a bounded number of entries from `cursor` on, whole segments, and keeps what was allocated for them. True when the
    /// table is empty.
    pub(crate) fn clear_some(&mut self, cursor: &mut Cursor) -> bool {
        while let (Some(segment), Some(own)) = (self.segments.get_mut(cursor.slot), self.tables.get_mut(cursor.slot)) {
            if cursor.pause() {
                return false;
            }
            cursor.looked += 1 + segment.entries(own).len();
            segment.clear(own);
            cursor.slot += 1;
        }
        true
    }
}

impl<K: Clone + Eq, V: Clone> KeyedTable<K, V> {
    /// As [`KeyedTable::walk_mut`]; an entry for which `visit` says false is removed when the piece is over. `visit` says as well
    /// whether it was the last one for now.
    pub(crate) fn walk_and_prune(&mut self, cursor: &mut Cursor, mut visit: impl FnMut(&K, &mut V) -> (bool, bool)) -> bool {
        let mut gone = Vec::new();
        let done = self.walk_mut(cursor, |key, value| {
            let (stays, more) = visit(key, value);
            if !stays {
                gone.push(key.clone());
            }
            more
        });
        for key in gone {
            let hash = (self.hasher)(&key);
            self.remove(hash, &key);
        }
        done
    }
}
