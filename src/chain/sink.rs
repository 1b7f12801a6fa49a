//! The end of a flow: the link around a sink's writer.
//!
//! Always: the barrier's cut is taken where the task's view is taken, so that what was written before is in it and what comes
//! after is not. Making durable and committing are asked for here and done off the task.

use std::mem::needs_drop;
use std::sync::Arc;

use crate::error::BoxError;
use crate::frame::Batch;
use crate::hook::Callback;
use crate::ids::{CheckpointId, Uid};
use crate::metrics::Counter;
use crate::operator::{Cx, Flow, Halt, Link, OpId, OperatorPart, Signal};
use crate::sink::{Ledger, Sink, SinkWriter};
use crate::state::ListView;

use super::closing::close;

/// The name of the state that keeps how many records were written.
pub(crate) const RECORDS_STATE: &str = "records";

/// Writes batches and takes part in checkpoints.
pub(crate) struct SinkLink<S: Sink> {
    operator: OpId,
    uid: Uid,
    writer: S::Writer,
    ledger: Arc<Ledger<S>>,
    records: Counter,
    /// Written by this task over the job's life, as of its restored checkpoint and since.
    written: u64,
    finished: bool,
}

impl<S: Sink> SinkLink<S> {
    /// Around a fresh writer. `written` as the restored checkpoint has it; `finished` where it was restored behind its end.
    pub(crate) fn new(
        operator: OpId,
        uid: Uid,
        ledger: Ledger<S>,
        writer: S::Writer,
        records: Counter,
        written: u64,
        finished: bool,
    ) -> Self {
        SinkLink { operator, uid, writer, ledger: Arc::new(ledger), records, written, finished }
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.operator, "cut");
        cx.reach(self.operator, Callback::Cut)?;
        self.ledger.add_cut(checkpoint, self.writer.cut(checkpoint)?);
        let ledger = self.ledger.clone();
        cx.parts.push(OperatorPart {
            uid: self.uid.clone(),
            views: vec![Arc::new(ListView::new(RECORDS_STATE, vec![self.written]))],
            prepare: Some(Box::new(move || ledger.prepare(checkpoint))),
        });
        Ok(())
    }

    fn commit(&self, checkpoint: CheckpointId, cx: &mut Cx) {
        let ledger = self.ledger.clone();
        cx.works.push((self.operator, Box::new(move || ledger.commit(checkpoint))));
    }

    fn finish(&mut self, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.operator, "finish");
        if !std::mem::replace(&mut self.finished, true) {
            self.writer.finish()?;
        }
        Ok(())
    }
}

impl<S: Sink> Link<S::Item> for SinkLink<S> {
    fn push(&mut self, batch: &mut Batch<S::Item>, cx: &mut Cx) -> Result<Flow, Halt> {
        let n = batch.len() as u64;
        if n > 0 {
            cx.enter(self.operator, "write");
            cx.reach(self.operator, Callback::Write)?;
            self.writer.write(&mut batch.values)?;
            self.written += n;
            self.records.add(n);
        }
        if needs_drop::<S::Item>() && !batch.values.is_empty() {
            cx.spent = Some(Box::new(std::mem::take(&mut batch.values)));
        }
        batch.clear();
        Ok(Flow::Drained)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::Snapshot(checkpoint) => self.snapshot(checkpoint, cx)?,
            Signal::Complete(checkpoint) => self.commit(checkpoint, cx),
            Signal::Finish => self.finish(cx)?,
            _ => {}
        }
        Ok(Flow::Drained)
    }
}

impl<S: Sink> Drop for SinkLink<S> {
    /// However the attempt ends, the writer is closed once.
    fn drop(&mut self) {
        close(&self.uid, "a sink's writer", || self.writer.close());
    }
}
