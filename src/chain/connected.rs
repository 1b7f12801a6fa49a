//! The link around a user's broadcast operator: gives the callbacks of each side what that side may touch.
//!
//! Always: timers fire as in [`super::process`]; a walk over all keys is over before anything else is taken. However the attempt ends,
//! the operator is closed once. Called by the loop of [`super::steps`], on the task's thread.

use crate::error::BoxError;
use crate::frame::{Keyed, Routed};
use crate::ids::Uid;
use crate::operator::{BroadcastContext, BroadcastOperator, Cx, KeyedSideContext, Moments, OpId, OperatorPart, Signal, Walks};
use crate::state::{BroadcastReader, BroadcastWriter, DueTimer, UnkeyedStates};
use crate::time::{Timestamp, millis};
use crate::timer::TimeDomain;

use super::closing::close;
use super::keyed_parts::{KeyedParts, emits_at};
use super::steps::{Outs, Stepwise};

/// Runs a broadcast operator.
pub(crate) struct Connected<O: BroadcastOperator> {
    id: OpId,
    uid: Uid,
    operator: O,
    parts: Parts<O>,
}

/// What an operator instance has beside itself.
struct Parts<O: BroadcastOperator> {
    keyed: KeyedParts<O::Key>,
    broadcast: UnkeyedStates,
    walks: Walks<O::Key, O::Out>,
}

impl<O: BroadcastOperator> Parts<O> {
    fn moments(&self, timestamp: Timestamp, cx: &Cx) -> Moments {
        Moments { timestamp, watermark: self.keyed.watermark, wall: cx.wall }
    }

    #[inline]
    fn of_key<'a>(
        &'a mut self,
        of: (u64, &'a O::Key),
        timestamp: Timestamp,
        outs: &'a mut Outs<O::Out>,
        cx: &'a mut Cx,
    ) -> KeyedSideContext<'a, O> {
        let moments = self.moments(timestamp, cx);
        let broadcast = BroadcastReader::new(&self.broadcast);
        KeyedSideContext::new(self.keyed.of_key(of, cx), broadcast, (&mut outs.main, &mut outs.sides), moments)
    }

    fn of_all<'a>(&'a mut self, timestamp: Timestamp, outs: &'a mut Outs<O::Out>, cx: &Cx) -> BroadcastContext<'a, O> {
        let moments = self.moments(timestamp, cx);
        let broadcast = BroadcastWriter::new(&mut self.broadcast);
        BroadcastContext::new(broadcast, &mut self.walks, (&mut outs.main, &mut outs.sides), moments)
    }
}

impl<O: BroadcastOperator> Connected<O> {
    /// Around an operator that has just been made.
    pub(crate) fn new((id, uid): (OpId, Uid), operator: O, keyed: KeyedParts<O::Key>, broadcast: UnkeyedStates) -> Self {
        Connected { id, uid, operator, parts: Parts { keyed, broadcast, walks: Walks::default() } }
    }

    /// Fires the first timer that is due at `up_to`; false where none is.
    fn fire(&mut self, domain: TimeDomain, up_to: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        let due = self.parts.keyed.pop_due(self.id, (domain, up_to), cx)?;
        let Some(DueTimer { timer, hash, key }) = due else { return Ok(false) };
        self.operator.on_timer(timer, &mut self.parts.of_key((hash, &key), emits_at(timer), outs, cx))?;
        Ok(true)
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        let mut views = self.parts.keyed.views(cx);
        views.append(&mut self.parts.broadcast.view());
        cx.parts.push(OperatorPart { uid: self.uid.clone(), views, prepare: None });
    }
}

impl<O: BroadcastOperator> Stepwise for Connected<O> {
    type In = Routed<O::Key, O::In, O::Broadcast>;
    type Out = O::Out;

    #[inline]
    fn record(&mut self, record: Self::In, time: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<(), BoxError> {
        match record {
            Routed::Keyed(Keyed { hash, key, value }) => {
                cx.enter(self.id, "on_record");
                self.operator.on_record(value, &mut self.parts.of_key((hash, &key), time, outs, cx))?;
                self.parts.keyed.count_copies(cx);
                Ok(())
            }
            Routed::Broadcast(record) => {
                cx.enter(self.id, "on_broadcast");
                self.operator.on_broadcast(record, &mut self.parts.of_all(time, outs, cx))
            }
        }
    }

    #[inline]
    fn rest(&mut self, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        if self.parts.walks.is_empty() {
            return Ok(self.parts.keyed.may_go_on());
        }
        cx.enter(self.id, "a walk over all keys");
        let Parts { keyed, walks, .. } = &mut self.parts;
        let full = outs.batch();
        let over = walks.go_on(keyed.states.at(cx.wall), &mut outs.main, full)?;
        keyed.count_copies(cx);
        Ok(over)
    }

    fn advance(&mut self, watermark: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        if self.fire(TimeDomain::Event, watermark, outs, cx)? {
            return Ok(false);
        }
        self.parts.keyed.watermark = watermark;
        Ok(true)
    }

    fn due(&mut self, now: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<bool, BoxError> {
        let fired = self.fire(TimeDomain::Processing, now.minus(millis(1)), outs, cx)?;
        self.parts.keyed.after_due(fired, cx);
        Ok(!fired)
    }

    fn finish(&mut self, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.id, "finish");
        self.operator.finish(&mut self.parts.of_all(Timestamp::NONE, outs, cx))
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        match signal {
            Signal::Snapshot(_) => self.snapshot(cx),
            Signal::Complete(id) => {
                cx.enter(self.id, "on_checkpoint_complete");
                self.operator.on_checkpoint_complete(id)?;
            }
            Signal::Flush => self.parts.keyed.due_to_sweep(cx),
            _ => {}
        }
        Ok(())
    }
}

impl<O: BroadcastOperator> Drop for Connected<O> {
    /// However the attempt ends, the operator is closed once.
    fn drop(&mut self) {
        close(&self.uid, "a broadcast operator", || self.operator.close());
    }
}
