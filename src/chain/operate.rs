//! The link around a user's operator without keys: gives each callback its lists.
//!
//! Always: however the attempt ends, the operator is closed once. Called by the loop of [`super::steps`], on the task's thread.

use crate::error::BoxError;
use crate::ids::Uid;
use crate::operator::{Cx, Moments, OpId, Operator, OperatorContext, OperatorPart, Signal};
use crate::state::{OperatorState, UnkeyedStates};
use crate::time::Timestamp;

use super::closing::close;
use super::steps::{Outs, Stepwise};

/// Runs an operator without keys.
pub(crate) struct Operate<O: Operator> {
    id: OpId,
    uid: Uid,
    operator: O,
    states: UnkeyedStates,
    /// Up to where event time is worked off.
    watermark: Timestamp,
}

impl<O: Operator> Operate<O> {
    /// Around an operator that has just been made.
    pub(crate) fn new((id, uid): (OpId, Uid), operator: O, states: UnkeyedStates, watermark: Timestamp) -> Self {
        Operate { id, uid, operator, states, watermark }
    }
}

impl<O: Operator> Stepwise for Operate<O> {
    type In = O::In;
    type Out = O::Out;

    #[inline]
    fn record(&mut self, record: O::In, time: Timestamp, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.id, "on_record");
        let moments = Moments { timestamp: time, watermark: self.watermark, wall: cx.wall };
        let outs = (&mut outs.main, &mut outs.sides);
        self.operator.on_record(record, &mut OperatorContext::new(OperatorState::new(&mut self.states), outs, moments))
    }

    fn advance(&mut self, watermark: Timestamp, _: &mut Outs<O::Out>, _: &mut Cx) -> Result<bool, BoxError> {
        self.watermark = watermark;
        Ok(true)
    }

    fn finish(&mut self, outs: &mut Outs<O::Out>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.id, "finish");
        let moments = Moments { timestamp: Timestamp::NONE, watermark: self.watermark, wall: cx.wall };
        let outs = (&mut outs.main, &mut outs.sides);
        self.operator.finish(&mut OperatorContext::new(OperatorState::new(&mut self.states), outs, moments))
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        match signal {
            Signal::Snapshot(_) => {
                cx.parts.push(OperatorPart { uid: self.uid.clone(), views: self.states.view(), prepare: None });
            }
            Signal::Complete(id) => {
                cx.enter(self.id, "on_checkpoint_complete");
                self.operator.on_checkpoint_complete(id)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl<O: Operator> Drop for Operate<O> {
    /// However the attempt ends, the operator is closed once.
    fn drop(&mut self) {
        close(&self.uid, "an operator", || self.operator.close());
    }
}
