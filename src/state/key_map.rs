//! The map of one key, for one callback.
//!
//! Always: a map without entries is none, and leaves no entry; what is read of a map whose entries expire is noted, and acted upon when
//! the callback is over. A map's keys are hashed under the hash of the key that the map belongs to: the same in every run of a job, and nothing that
//! anyone outside can foresee. Made by [`KeyState::map`], on the task's thread.

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;

use serde::Serialize;

use crate::key::{Key, KeyHasher};

use super::asked::AskedState;
use super::handles::MapState;
use super::key_list::Either;
use super::of_key::KeyState;
use super::pieces::{Entry, Pieces};
use super::register::Stored;
use super::registered::{At, Expiring, Lasting, Reads};
use super::ttl::{Lapse, Stamped};

/// Room for the accesses to a map: it is kept, so that they allocate nothing.
#[derive(Default)]
pub(super) struct Scratch {
    /// For a key that has to be written to be hashed.
    bytes: Cell<Vec<u8>>,
}

/// The hash of a key in the map of the key with the hash `outer`.
#[inline]
#[track_caller]
pub(super) fn hash_within<Q: Serialize + ?Sized>(outer: u64, key: &Q, scratch: &Scratch) -> u64 {
    let mut bytes = scratch.bytes.take();
    let hash = KeyHasher::new(outer).hash(key, &mut bytes);
    scratch.bytes.set(bytes);
    hash.unwrap_or_else(|error| panic!("a key of a MapState cannot be hashed: {error}"))
}

/// The map of one key. See [`MapState`].
///
/// Keys may be given in a borrowed form, such as `&str` for `String`, if that is serialised as the key is. Entries are visited in the
/// order of their keys' hashes. Where entries expire, each has a time of its own, and only those are seen that have not expired; `len`
/// looks at all of them then.
///
/// # Panics
/// Every access panics where the key cannot be hashed: see [`Key`].
pub struct KeyMap<'a, K: Key, UK: Key, UV: Stored>(Held<'a, K, UK, UV>);

enum Held<'a, K: Key, UK: Key, UV: Stored> {
    Lasting(At<'a, K, Pieces<UK, UV>>, &'a Scratch),
    Expiring(Fading<'a, K, UK, UV>),
}

/// A map whose entries expire.
struct Fading<'a, K: Key, UK: Key, UV: Stored> {
    at: At<'a, K, Pieces<UK, Stamped<UV>>>,
    scratch: &'a Scratch,
    lapse: Lapse,
    reads: &'a Reads,
}

/// The map of the key of a state.
#[inline]
#[track_caller]
pub(super) fn open<'a, K: Key, UK: Key, UV: Stored>(
    state: &'a mut KeyState<'_, K>,
    handle: MapState<UK, UV>,
) -> KeyMap<'a, K, UK, UV> {
    let (hash, key, now) = (state.hash, state.key, state.states.now);
    KeyMap(if handle.expires {
        state.states.read.set(true);
        let found = state.states.state_mut::<Expiring<K, Pieces<UK, Stamped<UV>>, Scratch>>(handle.index, handle);
        let lapse = found.write(now);
        let Expiring { table, copies, with: scratch, reads, .. } = found;
        Held::Expiring(Fading { at: At { table, copies, hash, key }, scratch, lapse, reads })
    } else {
        let found = state.states.state_mut::<Lasting<K, Pieces<UK, UV>, Scratch>>(handle.index, handle);
        let Lasting { table, copies, with: scratch, .. } = found;
        Held::Lasting(At { table, copies, hash, key }, scratch)
    })
}

/// The entries that a question finds.
#[track_caller]
pub(super) fn peek<'a, K: Key, UK: Key, UV: Stored>(
    state: &AskedState<'a, K>,
    handle: MapState<UK, UV>,
) -> impl Iterator<Item = (&'a UK, &'a UV)> + use<'a, K, UK, UV> {
    let (hash, key) = (state.hash, state.key);
    if !handle.expires {
        let found = state.states.state::<Lasting<K, Pieces<UK, UV>, Scratch>>(handle.index, handle);
        return Either::Left(found.table.get(hash, key).into_iter().flat_map(Pieces::iter));
    }
    let found = state.states.state::<Expiring<K, Pieces<UK, Stamped<UV>>, Scratch>>(handle.index, handle);
    let lapse = found.lapse(state.states.now);
    let all = found.table.get(hash, key).into_iter().flat_map(Pieces::iter);
    Either::Right(all.filter(move |(_, value)| !lapse.has_expired(value.0)).map(|(key, value)| (key, &value.1)))
}

impl<K: Key, UK: Key, UV: Stored> KeyMap<'_, K, UK, UV> {
    /// The value of a key.
    #[inline]
    #[track_caller]
    pub fn get<Q: Serialize + Eq + ?Sized>(&self, key: &Q) -> Option<&UV>
    where
        UK: Borrow<Q>,
    {
        match &self.0 {
            Held::Lasting(at, scratch) => at.get()?.get(hash_within(at.hash, key, scratch), key),
            Held::Expiring(fading) => fading.get(key),
        }
    }

    /// Whether a key is there. It counts as a read.
    #[inline]
    #[track_caller]
    pub fn contains<Q: Serialize + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        UK: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The value of a key, to be changed in place.
    #[track_caller]
    pub fn get_mut<Q: Serialize + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut UV>
    where
        UK: Borrow<Q>,
    {
        match &mut self.0 {
            Held::Lasting(at, scratch) => {
                let hash = hash_within(at.hash, key, scratch);
                let (map, copies) = at.get_mut()?;
                map.get_mut(hash, key, copies)
            }
            Held::Expiring(Fading { at, scratch, lapse, .. }) => {
                let hash = hash_within(at.hash, key, scratch);
                let (map, copies) = at.get_mut()?;
                let found = map.get_mut(hash, key, copies)?;
                if lapse.has_expired(found.0) {
                    return None;
                }
                found.0 = lapse.now;
                Some(&mut found.1)
            }
        }
    }

    /// The value of a key, to be changed in place; made first where there is none. The key is cloned only then.
    #[inline]
    #[track_caller]
    pub fn get_or_insert_with(&mut self, key: &UK, make: impl FnOnce() -> UV) -> &mut UV {
        match &mut self.0 {
            Held::Lasting(at, scratch) => {
                let hash = hash_within(at.hash, key, scratch);
                let (map, copies) = at.get_or_insert_with(Pieces::new);
                map.get_or_insert_with(hash, key, make, copies)
            }
            Held::Expiring(fading) => fading.get_or_insert_with(key, make),
        }
    }

    /// Sets the value of a key, and returns the one it had.
    #[track_caller]
    pub fn insert(&mut self, key: UK, value: UV) -> Option<UV> {
        match &mut self.0 {
            Held::Lasting(at, scratch) => {
                let hash = hash_within(at.hash, &key, scratch);
                let (map, copies) = at.get_or_insert_with(Pieces::new);
                map.insert(hash, &key, value, copies)
            }
            Held::Expiring(Fading { at, scratch, lapse, .. }) => {
                let hash = hash_within(at.hash, &key, scratch);
                let (map, copies) = at.get_or_insert_with(Pieces::new);
                map.insert(hash, &key, Stamped(lapse.now, value), copies).and_then(|before| live(before, *lapse))
            }
        }
    }

    /// Removes a key, and returns its value.
    #[track_caller]
    pub fn remove<Q: Serialize + Eq + ?Sized>(&mut self, key: &Q) -> Option<UV>
    where
        UK: Borrow<Q>,
    {
        match &mut self.0 {
            Held::Lasting(at, scratch) => remove(at, hash_within(at.hash, key, scratch), key),
            Held::Expiring(Fading { at, scratch, lapse, .. }) => {
                remove(at, hash_within(at.hash, key, scratch), key).and_then(|before| live(before, *lapse))
            }
        }
    }

    /// The entries, in the order of their keys' hashes.
    pub fn iter(&self) -> impl Iterator<Item = (&UK, &UV)> {
        match &self.0 {
            Held::Lasting(at, _) => Either::Left(at.get().into_iter().flat_map(Pieces::iter)),
            Held::Expiring(fading) => Either::Right(fading.shown()),
        }
    }

    /// The keys, in the order of their hashes.
    pub fn keys(&self) -> impl Iterator<Item = &UK> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys' hashes.
    pub fn values(&self) -> impl Iterator<Item = &UV> {
        self.iter().map(|(_, value)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Lasting(at, _) => at.get().map_or(0, Pieces::len),
            Held::Expiring(fading) => fading.shown().count(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&UK, &UV) -> bool) {
        match &mut self.0 {
            Held::Lasting(at, _) => retain(at, keep),
            Held::Expiring(Fading { at, lapse, .. }) => {
                retain(at, |key, value| !lapse.has_expired(value.0) && keep(key, &value.1));
            }
        }
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Held::Lasting(at, _) => drop(at.remove()),
            Held::Expiring(fading) => drop(fading.at.remove()),
        }
    }
}

fn live<V>(Stamped(at, value): Stamped<V>, lapse: Lapse) -> Option<V> {
    (!lapse.has_expired(at)).then_some(value)
}

fn remove<K: Key, UK: Key + Borrow<Q>, V: Clone, Q: Eq + ?Sized>(
    at: &mut At<'_, K, Pieces<UK, V>>,
    hash: u64,
    key: &Q,
) -> Option<V> {
    let (map, copies) = at.get_mut()?;
    let removed = map.remove(hash, key, copies);
    if map.is_empty() {
        at.remove();
    }
    removed
}

fn retain<K: Key, UK: Key, V: Clone>(at: &mut At<'_, K, Pieces<UK, V>>, keep: impl FnMut(&UK, &V) -> bool) {
    let Some((map, copies)) = at.get_mut() else { return };
    map.retain(keep, copies);
    if map.is_empty() {
        at.remove();
    }
}

impl<K: Key, UK: Key, UV: Stored> Fading<'_, K, UK, UV> {
    #[track_caller]
    fn get<Q: Serialize + Eq + ?Sized>(&self, key: &Q) -> Option<&UV>
    where
        UK: Borrow<Q>,
    {
        let hash = hash_within(self.at.hash, key, self.scratch);
        let Stamped(at, value) = self.at.get()?.get(hash, key)?;
        let noted = self.lapse.renews_by_reads() || self.lapse.returns_expired();
        let seen = noted && self.reads.one(hash);
        self.lapse.shows(*at, seen).then_some(value)
    }

    #[track_caller]
    fn get_or_insert_with(&mut self, key: &UK, make: impl FnOnce() -> UV) -> &mut UV {
        let (lapse, mut make) = (self.lapse, Some(make));
        let mut made = || (make.take().expect("made once"))();
        let hash = hash_within(self.at.hash, key, self.scratch);
        let (map, copies) = self.at.get_or_insert_with(Pieces::new);
        let found = map.get_or_insert_with(hash, key, || Stamped(lapse.now, made()), copies);
        if lapse.has_expired(found.0) {
            found.1 = made();
        }
        found.0 = lapse.now;
        &mut found.1
    }

    /// The entries that a read finds.
    fn shown(&self) -> impl Iterator<Item = (&UK, &UV)> {
        let (lapse, seen) = (self.lapse, self.reads.all());
        let all = self.at.get().into_iter().flat_map(Pieces::entries);
        let shown = move |entry: &&Entry<UK, Stamped<UV>>| lapse.shows(entry.value.0, seen || self.reads.has(entry.hash));
        all.filter(shown).map(|entry| (&entry.key, &entry.value.1))
    }
}

impl<K: Key, UK: Key, UV: Stored> fmt::Debug for KeyMap<'_, K, UK, UV> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMap").finish_non_exhaustive()
    }
}
