//! The link around a user's keyed operator: gives each callback the state and the timers of its key.
//!
//! Always: event-time timers fire before the watermark goes on, processing-time timers once the clock has passed them. However the
//! attempt ends, the operator is closed once. Called by the loop of [`super::steps`], on the task's thread.

use std::any::{Any, type_name};

use crate::error::BoxError;
use crate::frame::Keyed;
use crate::ids::{CheckpointId, Uid};
use crate::operator::{AskContext, Asked, Context, Cx, FinishContext, KeyedOperator, Moments, OpId, OperatorPart, Signal};
use crate::state::{AskedState, DueTimer, OpenState};
use crate::time::{Timestamp, millis};
use crate::timer::TimeDomain;

use super::closing::close;
use super::keyed_parts::{KeyedParts, emits_at};
use super::steps::{Outs, Stepwise};

/// Runs a keyed operator.
pub(crate) struct Process<O: KeyedOperator> {
    id: OpId,
    uid: Uid,
    operator: O,
    keyed: KeyedParts<O::Key>,
}

#[inline]
fn context<'a, O: KeyedOperator>(
    keyed: &'a mut KeyedParts<O::Key>,
    of: (u64, &'a O::Key),
    timestamp: Timestamp,
    outs: &'a mut Outs<O::Out>,
    cx: &'a mut Cx,
) -> Context<'a, O> {
    let moments = Moments { timestamp, watermark: keyed.watermark, wall: cx.wall };
    let (state, timers) = keyed.of_key(of, cx);
    Context::new(state, timers, (&mut outs.main, &mut outs.sides), moments)
}

impl<O: KeyedOperator> Process<O> {
    /// Around an operator that has just been made.
    pub(crate) fn new(id: OpId, uid: Uid, operator: O, keyed: KeyedParts<O::Key>) -> Self {
        Process { id, uid, operator, keyed }
    }

    /// Fires the first timer that is due at `up_to`; false where none is.
    fn fire(&mut self, domain: TimeDomain, up_to: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        let Some(DueTimer { timer, hash, key }) = self.keyed.pop_due(self.id, (domain, up_to), cx)? else { return Ok(false) };
        self.operator.on_timer(timer, &mut context(&mut self.keyed, (hash, &key), emits_at(timer), outs, cx))?;
        Ok(true)
    }

    /// Looks at the operator, with what it may see of a key when it is asked.
    pub(crate) fn look<R>(&self, (hash, key): (u64, &O::Key), look: impl FnOnce(&O, &AskContext<'_, O>) -> R) -> R {
        let state = AskedState::new(&self.keyed.states, hash, key);
        look(&self.operator, &AskContext::new(state, self.keyed.watermark))
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        let views = self.keyed.views(cx);
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
        self.keyed.states.go_on_ahead();
        let Keyed { hash, key, value } = record;
        self.operator.on_record(value, &mut context(&mut self.keyed, (hash, &key), time, outs, cx))?;
        self.keyed.count_copies(cx);
        Ok(())
    }

    fn enter(&self, cx: &mut Cx) {
        cx.enter(self.id, "on_record");
    }

    #[inline]
    fn ahead(&mut self, records: &[Self::In]) {
        self.keyed.states.look_ahead(records.iter().map(|record| (record.hash, &record.key)));
    }

    /// Nothing is left of the last record.
    #[inline]
    fn rest(&mut self, _: &mut Outs<O::Out>, _: &mut Cx) -> Result<bool, BoxError> {
        Ok(self.keyed.may_go_on())
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
        self.keyed.after_due(fired, cx);
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
            Signal::Flush => self.keyed.due_to_sweep(cx),
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
    /// However the attempt ends, the operator is closed once.
    fn drop(&mut self) {
        close(&self.uid, "a keyed operator", || self.operator.close());
    }
}
