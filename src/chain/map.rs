//! One record in, one record out.

use std::sync::Arc;

use crate::frame::Batch;
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, Signal, Stage};

/// Applies a function to each record; timestamps and marks stay in place.
pub(crate) struct Map<F, Out> {
    operator: OpId,
    function: Arc<F>,
    stage: Stage<Out>,
}

impl<F, Out> Map<F, Out> {
    /// In front of `next`.
    pub(crate) fn new(operator: OpId, function: Arc<F>, next: Next<Out>) -> Self {
        Map { operator, function, stage: Stage::new(next) }
    }
}

impl<In, Out, F> Link<In> for Map<F, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
    F: Fn(In) -> Out + Send + Sync,
{
    fn push(&mut self, batch: &mut Batch<In>, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.stage.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        cx.enter(self.operator, "map");
        let out = &mut self.stage.out;
        out.values.extend(batch.values.drain(..).map(&*self.function));
        std::mem::swap(&mut out.times, &mut batch.times);
        std::mem::swap(&mut out.marks, &mut batch.marks);
        self.stage.deliver(cx)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.stage.signal(signal, cx)
    }
}
