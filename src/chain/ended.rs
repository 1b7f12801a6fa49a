//! The place of a user's operator that was restored behind its end of data.
//!
//! Always: its states and timers are part of every later checkpoint, as they were restored; nothing is read, and none of the user's
//! code runs. Called by the loop of [`super::steps`], on the task's thread.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::BoxError;
use crate::ids::Uid;
use crate::operator::{Cx, OperatorPart, Signal};
use crate::state::{RestoredStates, StateView};
use crate::time::Timestamp;

use super::steps::{Outs, Stepwise};

/// Keeps what an operator left behind.
pub(crate) struct Ended<In, Out> {
    uid: Uid,
    states: Vec<Arc<dyn StateView>>,
    records: PhantomData<fn(In) -> Out>,
}

impl<In, Out> Ended<In, Out> {
    /// With everything that was restored, none of it registered.
    pub(crate) fn new(uid: Uid, states: RestoredStates) -> Self {
        Ended { uid, states: states.carried(), records: PhantomData }
    }
}

impl<In, Out> Stepwise for Ended<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    type In = In;
    type Out = Out;

    fn record(&mut self, _: In, _: Timestamp, _: &mut Outs<Out>, _: &mut Cx) -> Result<(), BoxError> {
        Err("fault of the engine: a record came behind the end of data; please report it".into())
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        if let Signal::Snapshot(_) = signal {
            cx.parts.push(OperatorPart { uid: self.uid.clone(), views: self.states.clone(), prepare: None });
        }
        Ok(())
    }
}
