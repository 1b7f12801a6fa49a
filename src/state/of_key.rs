//! What a callback sees of an operator's state and timers: those of the key of its record, or of its timer.
//!
//! Always: the key is part of the type, so that there is no access without one, and none to another key's values. Both borrow the
//! key, which is cloned only where it is stored. Made by the engine for each callback, on the task's thread.

use std::fmt;

use crate::time::{Timestamp, millis};
use crate::timer::{TimeDomain, Timer};

use super::keyed::KeyedState;
use super::timers::Timers;

/// The state of one key.
///
/// An operator registers its states when it opens and keeps the handles; in each callback it reads and writes the values that
/// belong to the key of the record, or of the timer, that it was called for. Values of other keys are out of reach.
///
/// A value is replaced or changed as one: what grows belongs in a list or a map, of which a change touches a small part only, also
/// while a checkpoint is written.
///
/// # Panics
/// Every access panics where the handle comes from another operator. A panic in a callback fails the operator's region.
pub struct KeyState<'a, K: 'static> {
    pub(super) states: &'a mut KeyedState<K>,
    pub(super) hash: u64,
    pub(super) key: &'a K,
}

impl<'a, K: 'static> KeyState<'a, K> {
    /// What these states have for a key.
    #[inline]
    pub(crate) fn new(states: &'a mut KeyedState<K>, hash: u64, key: &'a K) -> Self {
        KeyState { states, hash, key }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &'a K {
        self.key
    }

    /// Which of the keys that were looked ahead for it may be, its hash, and itself.
    #[inline]
    pub(super) fn sought(&self) -> (usize, u64, &'a K) {
        (self.states.ahead(), self.hash, self.key)
    }
}

impl<K: 'static> Drop for KeyState<'_, K> {
    /// The callback is over: what it has read of states that expire is acted upon.
    #[inline]
    fn drop(&mut self) {
        if self.states.read.get() && !std::thread::panicking() {
            self.states.settle(self.hash, self.key);
        }
    }
}

impl<K: 'static> fmt::Debug for KeyState<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyState").field("hash", &self.hash).field("states", &self.states).finish_non_exhaustive()
    }
}

/// The timers of one key.
///
/// A timer fires once, by a call of `on_timer` with its key. Registering the same time twice is one timer; event time and
/// processing time are apart. Timers are state: they survive restarts.
///
/// Event-time timers fire in the order of their times, when the watermark has reached them and before it goes on; one registered
/// behind the watermark fires when it next advances. Processing-time timers fire once the wall clock has passed them; one in the
/// past, or one that came due while the job was down, fires as soon as possible.
pub struct KeyTimers<'a, K> {
    timers: &'a mut Timers<K>,
    hash: u64,
    key: &'a K,
    /// When the task is to be woken.
    wake_at: &'a mut Timestamp,
}

impl<'a, K> KeyTimers<'a, K> {
    /// What these timers are for a key. `wake_at` is lowered to the wall time at which a timer that is registered will fire.
    #[inline]
    pub(crate) fn new(timers: &'a mut Timers<K>, hash: u64, key: &'a K, wake_at: &'a mut Timestamp) -> Self {
        KeyTimers { timers, hash, key, wake_at }
    }
}

impl<K: Clone + Eq> KeyTimers<'_, K> {
    /// Registers a timer that fires once the watermark has come to `time`. False where there is one already.
    pub fn event_time(&mut self, time: Timestamp) -> bool {
        self.timers.register(self.hash, self.key, Timer { domain: TimeDomain::Event, time })
    }

    /// Registers a timer that fires once the wall clock has passed `time`. False where there is one already.
    pub fn processing_time(&mut self, time: Timestamp) -> bool {
        *self.wake_at = (*self.wake_at).min(passed(time));
        self.timers.register(self.hash, self.key, Timer { domain: TimeDomain::Processing, time })
    }

    /// Deletes the event-time timer at exactly `time`. False where there is none.
    pub fn delete_event_time(&mut self, time: Timestamp) -> bool {
        self.timers.delete(self.hash, self.key, Timer { domain: TimeDomain::Event, time })
    }

    /// Deletes the processing-time timer at exactly `time`. False where there is none.
    pub fn delete_processing_time(&mut self, time: Timestamp) -> bool {
        self.timers.delete(self.hash, self.key, Timer { domain: TimeDomain::Processing, time })
    }
}

impl<K> fmt::Debug for KeyTimers<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTimers").field("hash", &self.hash).field("timers", &self.timers).finish_non_exhaustive()
    }
}

/// When the wall clock has fully passed a time, so that no record with that processing time can come any more.
pub(crate) fn passed(time: Timestamp) -> Timestamp {
    time.plus(millis(1))
}
