//! The contract of a sink: writers that cut off what belongs to a checkpoint, and the durable work around it.
//!
//! Always: what was cut off at barrier n is made durable before the task's part of checkpoint n is acknowledged; its handle stays
//! in every later snapshot until its commit is confirmed; it is committed only when a checkpoint ≥ n is complete. An aborted
//! checkpoint rolls nothing back. Writers are called on their task's thread; [`Sink`] itself on threads for blocking work, one
//! call at a time for each sink task, in order.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::ids::{Attempt, CheckpointId, Uid};

/// Who opens a sink's writer, or recovers a sink.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The job's name.
    pub job: String,
    /// The sink's uid.
    pub uid: Uid,
    /// The attempt that opens it.
    pub attempt: Attempt,
    /// The writer's index below the sink's parallelism; 0 for a recovery.
    pub index: u32,
    /// The sink's parallelism.
    pub parallelism: u32,
}

/// Where records go.
///
/// The phases of a transaction: [`SinkWriter::write`] → barrier n: [`SinkWriter::cut`] → [`Sink::make_durable`] → checkpoint n
/// complete: [`Sink::commit`]. After a restart [`Sink::recover`] is called once, before any writer opens.
pub trait Sink: Send + Sync + 'static {
    /// The records.
    type Item: Send + 'static;
    /// What a barrier cuts off, not yet durable.
    type Cut: Send + 'static;
    /// What a commit needs to know; kept in checkpoints, so that another process can commit with it alone.
    type Handle: Clone + Send + Sync + Serialize + DeserializeOwned + fmt::Debug + 'static;
    /// What writes records.
    type Writer: SinkWriter<Item = Self::Item, Cut = Self::Cut>;

    /// Takes up after a restart, once for the whole sink and before any writer opens: commits every handle (one that is already
    /// committed counts as done) and removes what no handle knows of. At the very first start [`Sink::begin`] is called instead.
    ///
    /// # Errors
    /// Where a handle can't be committed; the region fails, and the handle stays in the checkpoint.
    fn recover(&self, ctx: &SinkContext, handles: Vec<Self::Handle>) -> Result<(), BoxError>;

    /// Takes the place up where no checkpoint knows the sink: at a job's very first start, and at each restart before its first
    /// complete checkpoint. Whatever is committed there already, this life of the job has not committed. Unless said otherwise this
    /// recovers without handles; a sink that can tell its own earlier commits apart refuses them, since they would be made again.
    ///
    /// # Errors
    /// Where the place can't be taken up; the region fails.
    fn begin(&self, ctx: &SinkContext) -> Result<(), BoxError> {
        self.recover(ctx, Vec::new())
    }

    /// Opens a writer, which begins with nothing written.
    ///
    /// # Errors
    /// The region fails.
    fn open(&self, ctx: &SinkContext) -> Result<Self::Writer, BoxError>;

    /// Makes what was cut off durable, so that it survives the death of the process; returns the handles to commit it with.
    /// Nothing written, no handle.
    ///
    /// # Errors
    /// The checkpoint is declined and the region fails.
    fn make_durable(&self, cut: Self::Cut) -> Result<Vec<Self::Handle>, BoxError>;

    /// Makes it visible. Committing a handle again is a success.
    ///
    /// # Errors
    /// The engine tries some times more, then the region fails; the handle stays in the checkpoint.
    fn commit(&self, handle: &Self::Handle) -> Result<(), BoxError>;
}

/// Writes records, on its task's thread.
pub trait SinkWriter: Send + 'static {
    /// The records.
    type Item;
    /// What a barrier cuts off.
    type Cut;

    /// Writes the records. It may take them out, or leave them: those that it leaves are dropped by the task that made them, where
    /// freeing their memory costs least.
    ///
    /// # Errors
    /// The region fails.
    fn write(&mut self, records: &mut Vec<Self::Item>) -> Result<(), BoxError>;

    /// Cuts off, at the barrier of a checkpoint, everything written since the last cut. Cheap: no waiting for a disk.
    /// What is written afterwards belongs to the next cut.
    ///
    /// # Errors
    /// The region fails.
    fn cut(&mut self, checkpoint: CheckpointId) -> Result<Self::Cut, BoxError>;

    /// The end of data: nothing is written after it, one last cut follows.
    ///
    /// # Errors
    /// The region fails.
    fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once when the attempt ends, however it ends. What was not cut off is given up, what was is left alone.
    fn close(&mut self) {}
}
