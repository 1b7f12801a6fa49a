//! Registered states, whatever their kind: a table, and what an access needs beside it.
//!
//! Always: what lasts is in a [`Lasting`], what expires in an [`Expiring`], and an access knows by its handle in which; so states
//! without a time to live pay nothing for it. Owned by the registry of an operator instance, on its task's thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use serde::Serialize;

use crate::time::Timestamp;

use super::asked::OpenState;
use super::expiring::{Expires, ExpiringView};
use super::sweep::Sweeper;
use super::table::{Ahead, KeyedTable};
use super::ttl::{Lapse, Ttl};
use super::view::{StateDescriptor, StateView};

/// What every registered state can do.
pub(super) trait Registered<K>: Any + Send {
    fn descriptor(&self) -> &StateDescriptor;

    /// The state as it is now, frozen.
    fn view(&mut self, now: Timestamp) -> Arc<dyn StateView>;

    /// The state as a question finds it.
    fn open(&self, now: Timestamp) -> OpenState<'_>;

    /// How many pieces of it were cloned so far because a view still held them.
    fn copies(&self) -> u64;

    /// Whether it is far larger than a cache, so that looking ahead pays.
    fn is_large(&self) -> bool;

    /// Looks for these keys, which come next.
    fn look_ahead(&mut self, keys: &Ahead<'_, K>);

    /// How long what is in it lives; none where it lasts.
    fn ttl(&self) -> Option<Ttl> {
        None
    }

    /// A callback for this key is over, and may have accessed what expires: a little is cleaned up then.
    fn settle(&mut self, _hash: u64, _key: &K, _now: Timestamp) {}

    /// Looks at so many places for what has expired, if it is time for that; false where there was nothing to do.
    fn sweep(&mut self, _places: usize, _now: Timestamp) -> bool {
        false
    }

    /// When there will be something to sweep.
    fn sweep_at(&self) -> Timestamp {
        Timestamp::MAX
    }
}

/// How a question sees what lasts.
pub(super) type Shows<K, C> = for<'a> fn(&'a str, &'a KeyedTable<K, C>) -> OpenState<'a>;

/// How a question sees what expires: nothing that has.
pub(super) type ShowsLive<K, C> = for<'a> fn(&'a str, &'a KeyedTable<K, C>, Lapse) -> OpenState<'a>;

/// A state that lasts. `with` is what its accesses need: a function, an aggregate, or scratch.
pub(super) struct Lasting<K, C, F> {
    pub(super) descriptor: StateDescriptor,
    pub(super) table: KeyedTable<K, C>,
    /// Pieces of lists and maps that were cloned.
    pub(super) copies: u64,
    pub(super) with: F,
    pub(super) shows: Shows<K, C>,
}

impl<K, C, F> Registered<K> for Lasting<K, C, F>
where
    K: Eq + Send + Sync + Serialize + 'static,
    C: Send + Sync + Serialize + 'static,
    F: Send + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn view(&mut self, _: Timestamp) -> Arc<dyn StateView> {
        Arc::new(self.table.view().described(self.descriptor.clone()))
    }

    fn open(&self, _: Timestamp) -> OpenState<'_> {
        (self.shows)(&self.descriptor.name, &self.table)
    }

    fn copies(&self) -> u64 {
        self.copies + self.table.copies()
    }

    fn is_large(&self) -> bool {
        self.table.is_large()
    }

    fn look_ahead(&mut self, keys: &Ahead<'_, K>) {
        self.table.look_ahead(keys);
    }
}

/// What a table has for one key, and what is counted when that is changed.
pub(super) struct At<'a, K, C> {
    pub(super) table: &'a mut KeyedTable<K, C>,
    pub(super) copies: &'a mut u64,
    pub(super) hash: u64,
    pub(super) key: &'a K,
}

impl<K: Clone + Eq, C: Clone> At<'_, K, C> {
    pub(super) fn get(&self) -> Option<&C> {
        self.table.get(self.hash, self.key)
    }

    /// What is there, to be changed, and where copies are counted.
    pub(super) fn get_mut(&mut self) -> Option<(&mut C, &mut u64)> {
        self.table.get_mut(self.hash, self.key).map(|content| (content, &mut *self.copies))
    }

    /// The same; made first where there is nothing.
    pub(super) fn get_or_insert_with(&mut self, make: impl FnOnce() -> C) -> (&mut C, &mut u64) {
        (self.table.get_or_insert_with(self.hash, self.key, make), &mut *self.copies)
    }

    pub(super) fn insert(&mut self, content: C) {
        self.table.insert(self.hash, self.key, content);
    }

    pub(super) fn remove(&mut self) -> Option<C> {
        self.table.remove(self.hash, self.key)
    }
}

/// How much a callback has read of what one key has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    #[default]
    Nothing,
    /// Some entries of a map.
    Some,
    All,
}

/// What a callback has done with what one key has, until it is acted upon when the callback is over.
#[derive(Default)]
pub(super) struct Reads {
    /// The state was accessed at all.
    touched: Cell<bool>,
    extent: Cell<Extent>,
    /// The hashes of the entries of a map, where it is some of them. Room that is kept.
    hashes: RefCell<Vec<u64>>,
}

impl Reads {
    /// All of it is read; true where that is so already.
    pub(super) fn all(&self) -> bool {
        self.touched.set(true);
        self.extent.replace(Extent::All) == Extent::All
    }

    /// Whether the entry under this hash was read by itself.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.hashes.borrow().contains(&hash)
    }

    /// The entry under this hash is read; true where that is so already.
    pub(super) fn one(&self, hash: u64) -> bool {
        let mut hashes = self.hashes.borrow_mut();
        let seen = self.extent.get() == Extent::All || hashes.contains(&hash);
        if !seen {
            hashes.push(hash);
            self.extent.set(Extent::Some);
        }
        seen
    }
}

/// A state that expires.
pub(super) struct Expiring<K, C, F> {
    pub(super) descriptor: StateDescriptor,
    pub(super) table: KeyedTable<K, C>,
    pub(super) copies: u64,
    pub(super) with: F,
    pub(super) ttl: Ttl,
    pub(super) sweeper: Sweeper,
    pub(super) reads: Reads,
    pub(super) shows: ShowsLive<K, C>,
}

/// Places that are looked at for what has expired after a callback that has accessed the state.
const PLACES_PER_ACCESS: usize = 8;

impl<K: Clone + Eq, C: Expires, F> Expiring<K, C, F> {
    pub(super) fn lapse(&self, now: Timestamp) -> Lapse {
        self.ttl.at(now)
    }

    /// Notes that something is written now, or may be.
    pub(super) fn write(&mut self, now: Timestamp) -> Lapse {
        let lapse = self.lapse(now);
        self.sweeper.wrote(lapse);
        self.reads.touched.set(true);
        lapse
    }

    /// Acts upon what was read of a key.
    fn settle_reads(&mut self, (hash, key): (u64, &K), lapse: Lapse) {
        let extent = self.reads.extent.take();
        if extent == Extent::Nothing {
            return;
        }
        let Expiring { table, copies, reads, .. } = self;
        let hashes = reads.hashes.get_mut();
        if table.get(hash, key).is_some_and(|content| content.has_to_settle(lapse))
            && let Some(content) = table.get_mut(hash, key)
            && content.settle((extent, hashes), lapse, copies)
        {
            table.remove(hash, key);
        }
        hashes.clear();
    }

    fn sweep_some(&mut self, places: usize, lapse: Lapse) -> bool {
        self.sweeper.sweep(&mut self.table, places, lapse, &mut self.copies)
    }
}

impl<K, C, F> Registered<K> for Expiring<K, C, F>
where
    K: Clone + Eq + Send + Sync + Serialize + 'static,
    C: Expires,
    F: Send + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn view(&mut self, now: Timestamp) -> Arc<dyn StateView> {
        Arc::new(ExpiringView::new(self.descriptor.clone(), self.table.view(), self.lapse(now)))
    }

    fn open(&self, now: Timestamp) -> OpenState<'_> {
        (self.shows)(&self.descriptor.name, &self.table, self.lapse(now))
    }

    fn copies(&self) -> u64 {
        self.copies + self.table.copies()
    }

    fn is_large(&self) -> bool {
        self.table.is_large()
    }

    fn look_ahead(&mut self, keys: &Ahead<'_, K>) {
        self.table.look_ahead(keys);
    }

    fn ttl(&self) -> Option<Ttl> {
        Some(self.ttl)
    }

    fn settle(&mut self, hash: u64, key: &K, now: Timestamp) {
        if self.reads.touched.take() {
            let lapse = self.lapse(now);
            self.settle_reads((hash, key), lapse);
            self.sweep_some(PLACES_PER_ACCESS, lapse);
        }
    }

    fn sweep(&mut self, places: usize, now: Timestamp) -> bool {
        self.sweep_some(places, self.lapse(now))
    }

    fn sweep_at(&self) -> Timestamp {
        self.sweeper.next()
    }
}
