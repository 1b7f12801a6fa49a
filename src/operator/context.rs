//! What the callbacks of a keyed operator are handed.
//!
//! Always: a context lives for one callback and borrows everything, so that making it costs nothing; its public fields are borrows
//! of different things, so that a value of the state can be held while something is emitted. Made on the task's thread.

use std::fmt;

use super::keyed::KeyedOperator;
use super::side::{Side, Sides};
use crate::frame::Batch;
use crate::state::{KeyState, KeyTimers};
use crate::time::Timestamp;

/// The times that a callback may ask for; [`Timestamp::NONE`] where there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    /// Of the record, or of the event-time timer.
    pub(crate) timestamp: Timestamp,
    /// What has been worked off.
    pub(crate) watermark: Timestamp,
    /// The wall time of the task's step.
    pub(crate) wall: Timestamp,
}

/// What `on_record` and `on_timer` of an operator are handed: the state and the timers of the record's or timer's key, and
/// the outputs.
///
/// The fields are borrows of different things: a value of the state can be held while timers are registered and records are
/// emitted. The methods look at the whole context, so what they say is asked for before that; it stays valid.
///
/// ```
/// # use tidegate::{BoxError, Context, KeyedOperator, ValueState};
/// # struct Totals { total: ValueState<u64> }
/// # impl KeyedOperator for Totals {
/// #   type Key = String;
/// #   type In = u64;
/// #   type Out = (String, u64);
/// fn on_record(&mut self, amount: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
///     let key = ctx.key();
///     let total = ctx.state.get_or_insert_with(self.total, || 0);
///     *total += amount;
///     ctx.out.emit((key.clone(), *total));
///     Ok(())
/// }
/// # }
/// ```
pub struct Context<'a, O: KeyedOperator> {
    /// The state of the key.
    pub state: KeyState<'a, O::Key>,
    /// The timers of the key.
    pub timers: KeyTimers<'a, O::Key>,
    /// The main output.
    pub out: Emitter<'a, O::Out>,
    /// The side outputs.
    pub side: SideEmitter<'a>,
    moments: Moments,
}

impl<'a, O: KeyedOperator> Context<'a, O> {
    /// For one callback.
    #[inline]
    pub(crate) fn new(
        state: KeyState<'a, O::Key>,
        timers: KeyTimers<'a, O::Key>,
        outs: (&'a mut Batch<O::Out>, &'a mut Sides),
        moments: Moments,
    ) -> Self {
        let (out, side) = emitters(outs, moments.timestamp);
        Context { state, timers, out, side, moments }
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

impl<O: KeyedOperator> fmt::Debug for Context<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("state", &self.state).field("moments", &self.moments).finish_non_exhaustive()
    }
}

/// What `finish` of an operator is handed: the outputs. There is no key, and so there is no keyed state:
///
/// ```compile_fail,E0609
/// fn finish<O: tidegate::KeyedOperator>(ctx: &mut tidegate::FinishContext<'_, O>, total: tidegate::ValueState<u64>) {
///     ctx.state.get(total);
/// }
/// ```
pub struct FinishContext<'a, O: KeyedOperator> {
    /// The main output.
    pub out: Emitter<'a, O::Out>,
    /// The side outputs.
    pub side: SideEmitter<'a>,
    moments: Moments,
}

impl<'a, O: KeyedOperator> FinishContext<'a, O> {
    /// For one callback.
    pub(crate) fn new(outs: (&'a mut Batch<O::Out>, &'a mut Sides), moments: Moments) -> Self {
        let (out, side) = emitters(outs, moments.timestamp);
        FinishContext { out, side, moments }
    }

    /// The last watermark. None where there was none.
    pub fn watermark(&self) -> Option<Timestamp> {
        known(self.moments.watermark)
    }

    /// The wall clock, as of the task's current step.
    pub fn processing_time(&self) -> Timestamp {
        self.moments.wall
    }
}

impl<O: KeyedOperator> fmt::Debug for FinishContext<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishContext").field("moments", &self.moments).finish_non_exhaustive()
    }
}

#[inline]
pub(super) fn emitters<'a, T>(outs: (&'a mut Batch<T>, &'a mut Sides), time: Timestamp) -> (Emitter<'a, T>, SideEmitter<'a>) {
    (Emitter::new(outs.0, time), SideEmitter { sides: outs.1, time })
}

#[inline]
pub(super) fn known(time: Timestamp) -> Option<Timestamp> {
    time.is_some().then_some(time)
}

/// The main output, for one callback.
///
/// There is no bound on what one callback may emit, and all of it is in memory before any of it goes on: a callback that has very
/// much to say should spread it over timers.
pub struct Emitter<'a, T> {
    out: &'a mut Batch<T>,
    time: Timestamp,
}

impl<'a, T> Emitter<'a, T> {
    /// For one call that emits with this timestamp.
    #[inline]
    pub(super) fn new(out: &'a mut Batch<T>, time: Timestamp) -> Self {
        Emitter { out, time }
    }

    /// Emits a record with the timestamp of the record or of the event-time timer that is being handled; without one where that
    /// has none.
    #[inline]
    pub fn emit(&mut self, value: T) {
        self.out.push(value, self.time);
    }

    /// Emits a record with a timestamp of its own. At or before the watermark, it is late for whoever comes next.
    #[inline]
    pub fn emit_at(&mut self, value: T, timestamp: Timestamp) {
        self.out.push(value, timestamp);
    }
}

impl<T> fmt::Debug for Emitter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("held", &self.out.len()).field("time", &self.time).finish()
    }
}

/// The side outputs, for one callback.
///
/// # Panics
/// Where the [`Side`] comes from another operator.
#[derive(Debug)]
pub struct SideEmitter<'a> {
    sides: &'a mut Sides,
    time: Timestamp,
}

impl SideEmitter<'_> {
    /// Emits a record with the timestamp of the record or of the event-time timer that is being handled.
    pub fn emit<T: Send + 'static>(&mut self, side: Side<T>, value: T) {
        self.sides.push(side, value, self.time);
    }

    /// Emits a record with a timestamp of its own.
    pub fn emit_at<T: Send + 'static>(&mut self, side: Side<T>, value: T, timestamp: Timestamp) {
        self.sides.push(side, value, timestamp);
    }
}
