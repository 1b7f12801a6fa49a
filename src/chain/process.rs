//! The link around a user's keyed operator: gives each callback the state and the timers of its key.
//!
//! Always: timers fire in the order of their times, and are gone before they do; event-time timers before the watermark goes on,
//! processing-time timers once the clock has passed them. However the attempt ends, the operator is closed once. Called by the loop
//! of [`super::steps`], on the task's thread.

use std::sync::Arc;

use crate::error::BoxError;
use crate::frame::Keyed;
use crate::hook::Callback;
use crate::ids::{CheckpointId, Uid};
use crate::key::Key;
use crate::operator::{Context, Cx, FinishContext, KeyedOperator, Moments, OpId, OperatorPart, Signal};
use crate::state::{DueTimer, KeyState, KeyTimers, KeyedState, StateView, Timers, passed};
use crate::time::{Timestamp, millis};
use crate::timer::{TimeDomain, Timer};

use super::steps::{Outs, Stepwise};

/// Runs a keyed operator.
pub(crate) struct Process<O: KeyedOperator> {
    id: OpId,
    uid: Uid,
    operator: O,
    keyed: KeyedParts<O::Key>,
}

/// What an operator instance has beside itself.
pub(crate) struct KeyedParts<K> {
    pub(crate) states: KeyedState<K>,
    pub(crate) timers: Timers<K>,
    /// Up to where event time is worked off.
    pub(crate) watermark: Timestamp,
}

impl<K> KeyedParts<K> {
    #[inline]
    fn context<'a, O: KeyedOperator<Key = K>>(
        &'a mut self,
        (hash, key): (u64, &'a K),
        timestamp: Timestamp,
        outs: &'a mut Outs<O::Out>,
        cx: &'a mut Cx,
    ) -> Context<'a, O> {
        let moments = Moments { timestamp, watermark: self.watermark, wall: cx.wall };
        let state = KeyState::new(&mut self.states, hash, key);
        let timers = KeyTimers::new(&mut self.timers, hash, key, &mut cx.next_due);
        Context::new(state, timers, (&mut outs.main, &mut outs.sides), moments)
    }
}

impl<K: Key> KeyedParts<K> {
    /// Takes out the first timer that is due at `up_to`, to be fired by this operator.
    pub(super) fn pop_due(
        &mut self,
        operator: OpId,
        (domain, up_to): (TimeDomain, Timestamp),
        cx: &mut Cx,
    ) -> Result<Option<DueTimer<K>>, BoxError> {
        let Some(due) = self.timers.pop_due(domain, up_to) else { return Ok(None) };
        cx.enter(operator, "on_timer");
        cx.reach(operator, Callback::Timer)?;
        Ok(Some(due))
    }

    /// Says when the next processing-time timer is due: each time, because a full output may keep the loop from asking again.
    pub(super) fn wake(&self, cx: &mut Cx) {
        if let Some(time) = self.timers.next_due(TimeDomain::Processing) {
            cx.due_at(passed(time));
        }
    }

    /// All states and the timers, frozen.
    pub(super) fn views(&mut self) -> Vec<Arc<dyn StateView>> {
        let mut views = self.states.view();
        views.push(self.timers.view());
        views
    }
}

/// The timestamp of what is emitted when a timer fires.
pub(super) fn emits_at(timer: Timer) -> Timestamp {
    match timer.domain {
        TimeDomain::Event => timer.time,
        TimeDomain::Processing => Timestamp::NONE,
    }
}

impl<O: KeyedOperator> Process<O> {
    /// Around an operator that has just been made.
    pub(crate) fn new(id: OpId, uid: Uid, operator: O, keyed: KeyedParts<O::Key>) -> Self {
        Process { id, uid, operator, keyed }
    }

    /// Fires the first timer that is due at `up_to`; false where none is.
    fn fire(&mut self, domain: TimeDomain, up_to: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        let Some(DueTimer { timer, hash, key }) = self.keyed.pop_due(self.id, (domain, up_to), cx)? else { return Ok(false) };
        self.operator.on_timer(timer, &mut self.keyed.context((hash, &key), emits_at(timer), outs, cx))?;
        Ok(true)
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        cx.parts.push(OperatorPart { uid: self.uid.clone(), views: self.keyed.views(), prepare: None });
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
        self.operator.on_record(value, &mut self.keyed.context((hash, &key), time, outs, cx))
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
        self.keyed.wake(cx);
        Ok(!fired)
    }

    fn finish(&mut self, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.id, "finish");
        let moments = Moments { timestamp: Timestamp::NONE, watermark: self.keyed.watermark, wall: cx.wall };
        self.operator.finish(&mut FinishContext::new((&mut outs.main, &mut outs.sides), moments))
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        match signal {
            Signal::Snapshot(_) => self.snapshot(cx),
            Signal::Complete(id) => self.complete(id, cx)?,
            _ => {}
        }
        Ok(())
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
