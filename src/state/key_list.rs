//! The list of one key, for one callback.
//!
//! Always: a list without elements is none, and leaves no entry; what is read of a list whose elements expire is noted, and acted upon
//! when the callback is over. Made by [`KeyState::list`], on the task's thread.

use std::fmt;

use crate::key::Key;

use super::asked::AskedState;
use super::chunks::Chunks;
use super::handles::ListState;
use super::of_key::KeyState;
use super::register::Stored;
use super::registered::{At, Expiring, Lasting, Reads};
use super::ttl::{Lapse, Stamped};

/// The list of one key. See [`ListState`].
///
/// Adding an element costs the same whatever is there, also while a checkpoint is written. Where elements expire, each has a time of
/// its own, and only those are seen that have not expired; `len` looks at all of them then.
pub struct KeyList<'a, K: Key, T: Stored>(Held<'a, K, T>);

enum Held<'a, K: Key, T: Stored> {
    Lasting(At<'a, K, Chunks<T>>),
    Expiring(Fading<'a, K, T>),
}

/// A list whose elements expire.
struct Fading<'a, K: Key, T: Stored> {
    at: At<'a, K, Chunks<Stamped<T>>>,
    lapse: Lapse,
    reads: &'a Reads,
}

/// The list of the key of a state.
#[inline]
#[track_caller]
pub(super) fn open<'a, K: Key, T: Stored>(state: &'a mut KeyState<'_, K>, handle: ListState<T>) -> KeyList<'a, K, T> {
    let (hash, key, now) = (state.hash, state.key, state.states.now);
    KeyList(if handle.expires {
        state.states.read.set(true);
        let found = state.states.state_mut::<Expiring<K, Chunks<Stamped<T>>, ()>>(handle.index, handle);
        let lapse = found.write(now);
        let Expiring { table, copies, reads, .. } = found;
        Held::Expiring(Fading { at: At { table, copies, hash, key }, lapse, reads })
    } else {
        let found = state.states.state_mut::<Lasting<K, Chunks<T>, ()>>(handle.index, handle);
        let Lasting { table, copies, .. } = found;
        Held::Lasting(At { table, copies, hash, key })
    })
}

/// The elements that a question finds.
#[track_caller]
pub(super) fn peek<'a, K: Key, T: Stored>(
    state: &AskedState<'a, K>,
    handle: ListState<T>,
) -> impl Iterator<Item = &'a T> + use<'a, K, T> {
    let (hash, key) = (state.hash, state.key);
    if !handle.expires {
        let found = state.states.state::<Lasting<K, Chunks<T>, ()>>(handle.index, handle);
        return Either::Left(found.table.get(hash, key).into_iter().flat_map(Chunks::iter));
    }
    let found = state.states.state::<Expiring<K, Chunks<Stamped<T>>, ()>>(handle.index, handle);
    let lapse = found.lapse(state.states.now);
    let all = found.table.get(hash, key).into_iter().flat_map(Chunks::iter);
    Either::Right(all.filter(move |element| !lapse.has_expired(element.0)).map(|element| &element.1))
}

impl<K: Key, T: Stored> KeyList<'_, K, T> {
    /// Adds an element at the end.
    #[inline]
    pub fn push(&mut self, element: T) {
        match &mut self.0 {
            Held::Lasting(at) => push(at, element),
            Held::Expiring(fading) => push(&mut fading.at, Stamped(fading.lapse.now, element)),
        }
    }

    /// Adds elements at the end, in their order. Without any, nothing changes.
    pub fn extend(&mut self, elements: impl IntoIterator<Item = T>) {
        match &mut self.0 {
            Held::Lasting(at) => extend(at, elements.into_iter()),
            Held::Expiring(fading) => {
                let now = fading.lapse.now;
                extend(&mut fading.at, elements.into_iter().map(|element| Stamped(now, element)));
            }
        }
    }

    /// Replaces the list. Without any elements it is cleared.
    pub fn set(&mut self, elements: impl IntoIterator<Item = T>) {
        match &mut self.0 {
            Held::Lasting(at) => set(at, elements.into_iter().collect()),
            Held::Expiring(fading) => {
                let now = fading.lapse.now;
                set(&mut fading.at, elements.into_iter().map(|element| Stamped(now, element)).collect());
            }
        }
    }

    /// The elements, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        match &self.0 {
            Held::Lasting(at) => Either::Left(at.get().into_iter().flat_map(Chunks::iter)),
            Held::Expiring(fading) => Either::Right(fading.shown()),
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Lasting(at) => at.get().map_or(0, Chunks::len),
            Held::Expiring(fading) => fading.shown().count(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Keeps the elements for which `keep` says so, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        match &mut self.0 {
            Held::Lasting(at) => retain(at, keep),
            Held::Expiring(Fading { at, lapse, .. }) => {
                retain(at, |element| !lapse.has_expired(element.0) && keep(&element.1));
            }
        }
    }

    /// Takes all elements out, in the order in which they were added.
    pub fn take(&mut self) -> Vec<T> {
        match &mut self.0 {
            Held::Lasting(at) => at.remove().map_or_else(Vec::new, Chunks::into_vec),
            Held::Expiring(fading) => {
                let all = fading.at.remove().map_or_else(Vec::new, Chunks::into_vec);
                all.into_iter()
                    .filter(|element| fading.lapse.shows(element.0, false))
                    .map(|Stamped(_, element)| element)
                    .collect()
            }
        }
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Held::Lasting(at) => drop(at.remove()),
            Held::Expiring(fading) => drop(fading.at.remove()),
        }
    }
}

#[inline]
fn push<K: Key, T: Clone>(at: &mut At<'_, K, Chunks<T>>, element: T) {
    let (chunks, copies) = at.get_or_insert_with(Chunks::new);
    chunks.push(element, copies);
}

fn extend<K: Key, T: Clone>(at: &mut At<'_, K, Chunks<T>>, elements: impl Iterator<Item = T>) {
    let mut elements = elements.peekable();
    if elements.peek().is_some() {
        let (chunks, copies) = at.get_or_insert_with(Chunks::new);
        chunks.extend(elements, copies);
    }
}

fn set<K: Key, T: Clone>(at: &mut At<'_, K, Chunks<T>>, elements: Chunks<T>) {
    if elements.is_empty() {
        at.remove();
    } else {
        at.insert(elements);
    }
}

fn retain<K: Key, T: Clone>(at: &mut At<'_, K, Chunks<T>>, keep: impl FnMut(&T) -> bool) {
    let Some((chunks, copies)) = at.get_mut() else { return };
    chunks.retain(keep, copies);
    if chunks.is_empty() {
        at.remove();
    }
}

impl<K: Key, T: Stored> Fading<'_, K, T> {
    /// The elements that a read finds.
    fn shown(&self) -> impl Iterator<Item = &T> {
        let (lapse, seen) = (self.lapse, self.reads.all());
        let all = self.at.get().into_iter().flat_map(Chunks::iter);
        all.filter(move |element| lapse.shows(element.0, seen)).map(|element| &element.1)
    }
}

impl<K: Key, T: Stored> fmt::Debug for KeyList<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyList").finish_non_exhaustive()
    }
}

/// One of two iterators.
pub(super) enum Either<A, B> {
    Left(A),
    Right(B),
}

impl<T, A: Iterator<Item = T>, B: Iterator<Item = T>> Iterator for Either<A, B> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            Either::Left(left) => left.next(),
            Either::Right(right) => right.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Either::Left(left) => left.size_hint(),
            Either::Right(right) => right.size_hint(),
        }
    }
}
