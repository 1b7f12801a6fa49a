//! What the callbacks of a broadcast operator are handed: two contexts, one for each side.
//!
//! Always: who has a key may read broadcast state and not change it; who may change it has no key. A context lives for one callback,
//! and its public fields are borrows of different things. Made on the task's thread.

use std::fmt;

use super::all_keys::{AllKeys, Walks};
use super::broadcast::BroadcastOperator;
use super::context::{Emitter, Moments, SideEmitter, emitters, known};
use super::side::Sides;
use crate::frame::Batch;
use crate::state::{BroadcastReader, BroadcastWriter, KeyState, KeyTimers};
use crate::time::Timestamp;

/// What `on_record` and `on_timer` of a broadcast operator are handed: the state and the timers of the record's or timer's key, the
/// broadcast states to be read, and the outputs.
pub struct KeyedSideContext<'a, O: BroadcastOperator> {
    /// The state of the key.
    pub state: KeyState<'a, O::Key>,
    /// The timers of the key.
    pub timers: KeyTimers<'a, O::Key>,
    /// The broadcast states, which cannot be changed here.
    pub broadcast: BroadcastReader<'a>,
    /// The main output.
    pub out: Emitter<'a, O::Out>,
    /// The side outputs.
    pub side: SideEmitter<'a>,
    moments: Moments,
}

impl<'a, O: BroadcastOperator> KeyedSideContext<'a, O> {
    /// For one callback.
    #[inline]
    pub(crate) fn new(
        (state, timers): (KeyState<'a, O::Key>, KeyTimers<'a, O::Key>),
        broadcast: BroadcastReader<'a>,
        outs: (&'a mut Batch<O::Out>, &'a mut Sides),
        moments: Moments,
    ) -> Self {
        let (out, side) = emitters(outs, moments.timestamp);
        KeyedSideContext { state, timers, broadcast, out, side, moments }
    }

    /// The key of the record or of the timer.
    #[inline]
    pub fn key(&self) -> &'a O::Key {
        self.state.key()
    }

    /// The timestamp of the record, or the time of the event-time timer. None for a record without one, and for a processing-time
    /// timer.
    #[inline]
    pub fn timestamp(&self) -> Option<Timestamp> {
        known(self.moments.timestamp)
    }

    /// The watermark up to which everything is done; while its timers fire, it is still the one before. None before the first one.
    #[inline]
    pub fn watermark(&self) -> Option<Timestamp> {
        known(self.moments.watermark)
    }

    /// The wall clock, as of the task's current step.
    #[inline]
    pub fn processing_time(&self) -> Timestamp {
        self.moments.wall
    }
}

impl<O: BroadcastOperator> fmt::Debug for KeyedSideContext<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedSideContext").field("state", &self.state).field("moments", &self.moments).finish_non_exhaustive()
    }
}

/// What `on_broadcast` and `finish` of a broadcast operator are handed: the broadcast states, all keys of the instance, and the outputs.
///
/// There is no key, and so there is no state of one:
///
/// ```compile_fail,E0609
/// use tidegate::{BroadcastContext, BroadcastOperator, ValueState};
///
/// fn on_broadcast<O: BroadcastOperator>(ctx: &mut BroadcastContext<'_, O>, total: ValueState<u64>) {
///     ctx.state.get(total);
/// }
/// ```
pub struct BroadcastContext<'a, O: BroadcastOperator> {
    /// The broadcast states.
    pub broadcast: BroadcastWriter<'a>,
    /// All keys that this instance owns.
    pub keys: AllKeys<'a, O::Key, O::Out>,
    /// The main output. What is emitted here is emitted by each instance.
    pub out: Emitter<'a, O::Out>,
    /// The side outputs. What is emitted here is emitted by each instance.
    pub side: SideEmitter<'a>,
    moments: Moments,
}

impl<'a, O: BroadcastOperator> BroadcastContext<'a, O> {
    /// For one callback.
    pub(crate) fn new(
        broadcast: BroadcastWriter<'a>,
        walks: &'a mut Walks<O::Key, O::Out>,
        outs: (&'a mut Batch<O::Out>, &'a mut Sides),
        moments: Moments,
    ) -> Self {
        let (out, side) = emitters(outs, moments.timestamp);
        let keys = AllKeys::new(walks, moments.timestamp);
        BroadcastContext { broadcast, keys, out, side, moments }
    }

    /// The timestamp of the broadcast record. None for a record without one, and in `finish`.
    pub fn timestamp(&self) -> Option<Timestamp> {
        known(self.moments.timestamp)
    }

    /// The watermark up to which everything is done. None before the first one.
    pub fn watermark(&self) -> Option<Timestamp> {
        known(self.moments.watermark)
    }

    /// The wall clock, as of the task's current step.
    pub fn processing_time(&self) -> Timestamp {
        self.moments.wall
    }
}

impl<O: BroadcastOperator> fmt::Debug for BroadcastContext<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastContext")
            .field("broadcast", &self.broadcast)
            .field("moments", &self.moments)
            .finish_non_exhaustive()
    }
}
