//! The link around a user's keyed operator: gives each callback the state and the timers of its key.
//!
//! Always: timers fire in the order of their times, and are gone before they do; event-time timers before the watermark goes on,
//! processing-time timers once the clock has passed them. However the attempt ends, the operator is closed once. Called by the loop
//! of [`super::steps`], on the task's thread.

use std::any::{Any, type_name};

use crate::config::PIECES_PER_COPY;
use crate::error::BoxError;
use crate::frame::Keyed;
use crate::hook::Callback;
use crate::ids::{CheckpointId, Uid};
use crate::operator::{AskContext, Asked, Context, Cx, FinishContext, KeyedOperator, Moments, OpId, OperatorPart, Signal};
use crate::state::{AskedState, DueTimer, KeyState, KeyTimers, KeyedState, OpenState, Timers, passed};
use crate::time::{Timestamp, millis};
use crate::timer::TimeDomain;

use super::steps::{Outs, Stepwise};

/// Runs a keyed operator.
pub(crate) struct Process<O: KeyedOperator> {
    id: OpId,
    uid: Uid,
    operator: O,
    keyed: KeyedParts<O::Key>,
    copying: Copying,
}

/// What writes copy of state that a view shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copying {
    /// Nothing: no view was taken, or what is left to be copied is little.
    #[default]
    Nothing,
    /// A view was taken. So many pieces had been copied before, and so many callbacks more have to copy nothing.
    Until { copies: u64, quiet: u32 },
    /// The same, and the step has copied enough.
    Enough { copies: u64, quiet: u32 },
}

/// Callbacks in a row that copy nothing after which so little is left to be copied that it is no longer counted.
const QUIET_CALLBACKS: u32 = 256;

/// Places that a piece of a sweep looks at: some ten microseconds' worth.
const PLACES_PER_PIECE: usize = 1024;

/// What an operator instance has beside itself.
pub(crate) struct KeyedParts<K: 'static> {
    pub(crate) states: KeyedState<K>,
    pub(crate) timers: Timers<K>,
    /// Up to where event time is worked off.
    pub(crate) watermark: Timestamp,
}

impl<K: 'static> KeyedParts<K> {
    #[inline]
    fn context<'a, O: KeyedOperator<Key = K>>(
        &'a mut self,
        (hash, key): (u64, &'a K),
        timestamp: Timestamp,
        outs: &'a mut Outs<O::Out>,
        cx: &'a mut Cx,
    ) -> Context<'a, O> {
        let moments = Moments { timestamp, watermark: self.watermark, wall: cx.wall };
        let state = KeyState::new(self.states.at(cx.wall), hash, key);
        let timers = KeyTimers::new(&mut self.timers, hash, key, &mut cx.next_due);
        Context::new(state, timers, (&mut outs.main, &mut outs.sides), moments)
    }
}

impl<O: KeyedOperator> Process<O> {
    /// Around an operator that has just been made.
    pub(crate) fn new(id: OpId, uid: Uid, operator: O, keyed: KeyedParts<O::Key>) -> Self {
        Process { id, uid, operator, keyed, copying: Copying::Nothing }
    }

    /// Fires the first timer that is due at `up_to`; false where none is.
    fn fire(&mut self, domain: TimeDomain, up_to: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        let Some(DueTimer { timer, hash, key }) = self.keyed.timers.pop_due(domain, up_to) else { return Ok(false) };
        cx.enter(self.id, "on_timer");
        cx.reach(self.id, Callback::Timer)?;
        let timestamp = match domain {
            TimeDomain::Event => timer.time,
            TimeDomain::Processing => Timestamp::NONE,
        };
        self.operator.on_timer(timer, &mut self.keyed.context((hash, &key), timestamp, outs, cx))?;
        Ok(true)
    }

    /// Counts what the last callback has copied towards the step's share of work.
    #[cold]
    fn count_copies(&mut self, cx: &mut Cx) {
        let (Copying::Until { copies, quiet } | Copying::Enough { copies, quiet }) = self.copying else { return };
        let copied = self.keyed.states.copies();
        let pieces = i32::try_from(copied.saturating_sub(copies)).unwrap_or(i32::MAX).saturating_mul(PIECES_PER_COPY);
        let quiet = if pieces > 0 { QUIET_CALLBACKS } else { quiet - 1 };
        self.copying = match quiet {
            0 => Copying::Nothing,
            _ if pieces > 0 && !cx.spend(pieces) => Copying::Enough { copies: copied, quiet },
            _ => Copying::Until { copies: copied, quiet },
        };
    }

    /// Cleans up a piece of what has expired, and says when there is more.
    fn sweep(&mut self, cx: &mut Cx) {
        self.keyed.states.at(cx.wall).sweep(PLACES_PER_PIECE);
        self.due_to_sweep(cx);
    }

    fn due_to_sweep(&mut self, cx: &mut Cx) {
        let next = self.keyed.states.sweep_at();
        if next < Timestamp::MAX {
            cx.due_at(next.max(cx.wall));
        }
    }

    /// Looks at the operator, with what it may see of a key when it is asked.
    pub(crate) fn look<R>(&self, (hash, key): (u64, &O::Key), look: impl FnOnce(&O, &AskContext<'_, O>) -> R) -> R {
        let state = AskedState::new(&self.keyed.states, hash, key);
        look(&self.operator, &AskContext::new(state, self.keyed.watermark))
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        self.copying = Copying::Until { copies: self.keyed.states.copies(), quiet: QUIET_CALLBACKS };
        let mut views = self.keyed.states.at(cx.wall).view();
        views.push(self.keyed.timers.view());
        cx.parts.push(OperatorPart { uid: self.uid.clone(), views, prepare: None });
    }

    fn complete(&mut self, id: CheckpointId, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.id, "on_checkpoint_complete");
        self.operator.on_checkpoint_complete(id)
    }
}

impl<O: KeyedOperator> Stepwise for Process<O> {
    type In = Keyed<O::Key, O::In>;
    type Out = O::Out;

    #[inline]
    fn record(
        &mut self,
        record: Keyed<O::Key, O::In>,
        time: Timestamp,
        outs: &mut Outs<O::Out>,
        cx: &mut Cx,
    ) -> Result<(), BoxError> {
        cx.enter(self.id, "on_record");
        let Keyed { hash, key, value } = record;
        self.operator.on_record(value, &mut self.keyed.context((hash, &key), time, outs, cx))?;
        if self.copying != Copying::Nothing {
            self.count_copies(cx);
        }
        Ok(())
    }

    /// Nothing is left of the last record; but a step that has copied enough of the state stops here.
    #[inline]
    fn rest(&mut self, _: &mut Outs<O::Out>) -> bool {
        if let Copying::Enough { copies, quiet } = self.copying {
            self.copying = Copying::Until { copies, quiet };
            return false;
        }
        true
    }

    fn advance(&mut self, watermark: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        if self.fire(TimeDomain::Event, watermark, outs, cx)? {
            return Ok(false);
        }
        self.keyed.watermark = watermark;
        Ok(true)
    }

    fn due(&mut self, now: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        let fired = self.fire(TimeDomain::Processing, now.minus(millis(1)), outs, cx)?;
        // Said each time, because a full output may keep the loop from asking again.
        if let Some(time) = self.keyed.timers.next_due(TimeDomain::Processing) {
            cx.due_at(passed(time));
        }
        if !fired {
            self.sweep(cx);
        }
        Ok(!fired)
    }

    fn finish(&mut self, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.id, "finish");
        let moments = Moments { timestamp: Timestamp::NONE, watermark: self.keyed.watermark, wall: cx.wall };
        self.operator.finish(&mut FinishContext::new((&mut outs.main, &mut outs.sides), moments))
    }

    fn asked(&mut self, signal: Signal, cx: &mut Cx) {
        if let Some(question) = cx.take_question(signal, self.id) {
            self.keyed.states.at(cx.wall);
            question.put(self);
        }
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        match signal {
            Signal::Snapshot(_) => self.snapshot(cx),
            Signal::Complete(id) => self.complete(id, cx)?,
            Signal::Flush => self.due_to_sweep(cx),
            _ => {}
        }
        Ok(())
    }
}

impl<O: KeyedOperator> Asked for Process<O> {
    fn states(&self) -> Vec<OpenState<'_>> {
        self.keyed.states.open_states()
    }

    fn kind(&self) -> &'static str {
        type_name::<O>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<O: KeyedOperator> Drop for Process<O> {
    /// However the attempt ends, the operator is closed once; a panic here must not hide the failure that led here.
    fn drop(&mut self) {
        let operator = std::panic::AssertUnwindSafe(&mut self.operator);
        if std::panic::catch_unwind(|| { operator }.close()).is_err() {
            tracing::warn!(uid = %self.uid, "a keyed operator panicked in close");
        }
    }
}
