//! What tables keep that expires: a value with its time, a list of such, a map of such; and the views of their tables.
//!
//! Always: what has expired when the view is taken is not written. Looked at by sweeps on the task's thread, written by the snapshot's
//! writer on another.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::codec;
use crate::error::BoxError;
use crate::time::Timestamp;

use super::chunks::Chunks;
use super::pieces::Pieces;
use super::registered::Extent;
use super::table_view::{TableView, write_shares};
use super::ttl::{Lapse, Stamped};
use super::view::{Block, StateDescriptor, StateView};

/// What a sweep sees of a part of a key's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Nothing has expired, and nothing will before this time.
    Lasts(Timestamp),
    /// Some of it has expired.
    Some,
    /// The content as a whole has expired.
    All,
}

/// What a table keeps for a key, and that expires as a whole or in parts.
pub(crate) trait Expires: Clone + Send + Sync + 'static {
    /// Looks at a bounded part, from `from` on, and says where the next part begins, if there is one.
    fn look(&self, from: u64, lapse: Lapse) -> (Sight, Option<u64>);

    /// Removes what has expired of the part at `from`. True where nothing is left at all.
    fn trim(&mut self, from: u64, lapse: Lapse, copies: &mut u64) -> bool;

    /// Whether a read of it has to be acted upon.
    fn has_to_settle(&self, lapse: Lapse) -> bool {
        lapse.renews_by_reads() || lapse.returns_expired()
    }

    /// Acts upon what was read of it: what had expired has been seen for the last time, what had not may live longer for it. True
    /// where nothing is left at all.
    fn settle(&mut self, read: (Extent, &[u64]), lapse: Lapse, copies: &mut u64) -> bool;

    /// Appends what has not expired, as one object; false, with nothing appended, where that is nothing.
    fn write(&self, lapse: Lapse, out: &mut Vec<u8>) -> Result<bool, BoxError>;
}

fn sight(at: Timestamp, lapse: Lapse) -> Sight {
    if lapse.has_expired(at) { Sight::All } else { Sight::Lasts(lapse.end(at)) }
}

impl<V> Expires for Stamped<V>
where
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    fn look(&self, _: u64, lapse: Lapse) -> (Sight, Option<u64>) {
        (sight(self.0, lapse), None)
    }

    fn trim(&mut self, _: u64, lapse: Lapse, _: &mut u64) -> bool {
        lapse.has_expired(self.0)
    }

    fn has_to_settle(&self, lapse: Lapse) -> bool {
        lapse.has_expired(self.0) || (lapse.renews_by_reads() && self.0 != lapse.now)
    }

    fn settle(&mut self, _: (Extent, &[u64]), lapse: Lapse, _: &mut u64) -> bool {
        if lapse.has_expired(self.0) {
            return true;
        }
        self.0 = lapse.now;
        false
    }

    fn write(&self, lapse: Lapse, out: &mut Vec<u8>) -> Result<bool, BoxError> {
        if lapse.has_expired(self.0) {
            return Ok(false);
        }
        codec::encode(self, out).map(|()| true)
    }
}

/// How many of the oldest elements have expired. Elements are written one after the other, so what is in front expires first.
fn expired_in_front<T>(chunk: &[Stamped<T>], lapse: Lapse) -> usize {
    chunk.iter().take_while(|element| lapse.has_expired(element.0)).count()
}

impl<T> Expires for Chunks<Stamped<T>>
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    fn look(&self, _: u64, lapse: Lapse) -> (Sight, Option<u64>) {
        let chunk = self.first_chunk();
        match (expired_in_front(chunk, lapse), chunk.first()) {
            (0, first) => (first.map_or(Sight::All, |first| sight(first.0, lapse)), None),
            (expired, _) if expired == self.len() => (Sight::All, None),
            (expired, _) => (Sight::Some, (expired == chunk.len()).then_some(0)),
        }
    }

    fn trim(&mut self, _: u64, lapse: Lapse, copies: &mut u64) -> bool {
        let expired = expired_in_front(self.first_chunk(), lapse);
        if expired > 0 {
            self.remove_first(expired, copies);
        }
        self.is_empty()
    }

    fn settle(&mut self, _: (Extent, &[u64]), lapse: Lapse, copies: &mut u64) -> bool {
        if lapse.returns_expired() {
            self.retain(|element| !lapse.has_expired(element.0), copies);
        }
        if lapse.renews_by_reads() {
            self.replace(|element| renewed(element, lapse), copies);
        }
        self.is_empty()
    }

    fn write(&self, lapse: Lapse, out: &mut Vec<u8>) -> Result<bool, BoxError> {
        let live = || self.iter().filter(move |element| !lapse.has_expired(element.0));
        if live().next().is_none() {
            return Ok(false);
        }
        codec::encode(&List(live), out).map(|()| true)
    }
}

impl<UK, UV> Expires for Pieces<UK, Stamped<UV>>
where
    UK: Clone + Eq + Send + Sync + Serialize + DeserializeOwned + 'static,
    UV: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    fn look(&self, from: u64, lapse: Lapse) -> (Sight, Option<u64>) {
        let (piece, last) = self.piece(from);
        let expired = piece.iter().filter(|entry| lapse.has_expired(entry.value.0)).count();
        let first = piece.iter().map(|entry| lapse.end(entry.value.0)).min();
        let sight = match expired {
            0 => Sight::Lasts(first.unwrap_or(Timestamp::MAX)),
            expired if expired == self.len() => Sight::All,
            _ => Sight::Some,
        };
        (sight, last.checked_add(1))
    }

    fn trim(&mut self, from: u64, lapse: Lapse, copies: &mut u64) -> bool {
        self.retain_piece(from, |_, value| !lapse.has_expired(value.0), copies);
        self.is_empty()
    }

    fn settle(&mut self, (extent, hashes): (Extent, &[u64]), lapse: Lapse, copies: &mut u64) -> bool {
        if extent == Extent::All {
            self.retain(|_, value| !lapse.has_expired(value.0), copies);
        }
        if extent == Extent::All && lapse.renews_by_reads() {
            self.replace(|value| renewed(value, lapse), copies);
        }
        for hash in hashes {
            settle_one(self, *hash, lapse, copies);
        }
        self.is_empty()
    }

    fn write(&self, lapse: Lapse, out: &mut Vec<u8>) -> Result<bool, BoxError> {
        let live = || self.iter().filter(move |(_, value)| !lapse.has_expired(value.0));
        if live().next().is_none() {
            return Ok(false);
        }
        codec::encode(&Map(live), out).map(|()| true)
    }
}

/// What was written at another time and has not expired, as if it were written now.
fn renewed<V: Clone>(Stamped(at, value): &Stamped<V>, lapse: Lapse) -> Option<Stamped<V>> {
    (*at != lapse.now && !lapse.has_expired(*at)).then(|| Stamped(lapse.now, value.clone()))
}

/// Acts upon a read of the entry under a hash.
fn settle_one<UK: Clone, UV: Clone>(map: &mut Pieces<UK, Stamped<UV>>, hash: u64, lapse: Lapse, copies: &mut u64) {
    let mut expired = false;
    let renews = lapse.renews_by_reads();
    map.each_of(
        hash,
        |value| match lapse.has_expired(value.0) {
            true => expired = true,
            false if renews => value.0 = lapse.now,
            false => {}
        },
        copies,
    );
    if expired {
        map.retain_piece(hash, |_, value| !lapse.has_expired(value.0), copies);
    }
}

/// Elements, as a list.
struct List<F>(F);

impl<E: Serialize, I: Iterator<Item = E>, F: Fn() -> I> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Entries, as a map.
struct Map<F>(F);

impl<A: Serialize, B: Serialize, I: Iterator<Item = (A, B)>, F: Fn() -> I> Serialize for Map<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}

/// A table of what expires, as it was at one moment.
pub(super) struct ExpiringView<K, C> {
    descriptor: StateDescriptor,
    pub(super) view: TableView<K, C>,
    lapse: Lapse,
}

impl<K, C> ExpiringView<K, C> {
    pub(super) fn new(descriptor: StateDescriptor, view: TableView<K, C>, lapse: Lapse) -> Self {
        ExpiringView { descriptor, view, lapse }
    }
}

impl<K, C> fmt::Debug for ExpiringView<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiringView").field("state", &self.descriptor).field("view", &self.view).finish_non_exhaustive()
    }
}

impl<K, C> StateView for ExpiringView<K, C>
where
    K: Serialize + Send + Sync + 'static,
    C: Expires,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        self.view.held_bytes()
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let shares = self.view.shares().map(|(group, entries)| (group, (), entries));
        write_shares(shares, emit, |(), content, out| content.write(self.lapse, out))
    }
}
