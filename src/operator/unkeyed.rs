//! What an operator without keys is: an actor that reacts to records, and keeps lists.
//!
//! Always: calls come from one thread at a time and none overlaps another. Instances are made by a factory, one for each task and
//! attempt; what an instance keeps in its own fields is gone with the attempt, what it keeps in its lists is not.

use std::fmt;

use super::context::{Emitter, Moments, SideEmitter, emitters, known};
use super::side::Sides;
use crate::error::BoxError;
use crate::frame::Batch;
use crate::ids::CheckpointId;
use crate::state::OperatorState;
use crate::time::Timestamp;

/// An operator without keys, which may keep lists.
///
/// It is added to a flow by [`Stream::process`](crate::Stream::process), with a factory that registers its lists. Then, on one thread
/// at a time: records; `finish`, where the data ends; and in any case `close`. An error that a callback returns, or a panic in it,
/// fails the operator's region, which is then restarted from its last checkpoint.
///
/// What must survive a restart is kept in lists, never in fields. When the job is restarted with another parallelism, the items of
/// all instances are dealt out anew: see [`list_state`](crate::OperatorOpenContext::list_state) and
/// [`union_list_state`](crate::OperatorOpenContext::union_list_state).
///
/// An operator that hands numbers on in tens:
///
/// ```
/// use tidegate::testing::{End, Scripted, Simulation};
/// use tidegate::{BoxError, Job, Operator, OperatorContext, OperatorList, OperatorOpenContext};
///
/// struct Tens {
///     waiting: OperatorList<u64>,
/// }
///
/// impl Operator for Tens {
///     type In = u64;
///     type Out = Vec<u64>;
///
///     fn on_record(&mut self, n: u64, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
///         let waiting = ctx.state.list_mut(self.waiting);
///         waiting.push(n);
///         if waiting.len() == 10 {
///             ctx.out.emit(waiting.take());
///         }
///         Ok(())
///     }
///
///     fn finish(&mut self, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
///         let rest = ctx.state.list_mut(self.waiting).take();
///         ctx.out.emit(rest);
///         Ok(())
///     }
/// }
///
/// let sim = Simulation::new(1);
/// let (job, out) = (Job::new("tens"), sim.sink());
/// let numbers = job.source("numbers", Scripted::new([(0..25).collect()]));
/// let tens = numbers.process("tens", |ctx: &mut OperatorOpenContext<'_>| Ok(Tens { waiting: ctx.list_state("waiting")? }));
/// tens.sink("out", out.clone());
/// let run = sim.run(job);
/// assert!(matches!(run.end, End::Finished(_)), "{run}");
/// assert_eq!(out.committed().iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
/// ```
pub trait Operator: Send + Sized + 'static {
    /// The records that come in.
    type In: Send + 'static;
    /// The records that go out.
    type Out: Send + 'static;

    /// Takes a record.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_record(&mut self, record: Self::In, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError>;

    /// The data has ended: the last chance to emit. Called once, after the last record, and only where the data ends by itself; not at
    /// a cancel, nor after a failure.
    ///
    /// What it leaves in a list stays in the checkpoints, and is dealt out as everything else when the parallelism changes: so what it
    /// emits it should take out.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn finish(&mut self, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }

    /// This checkpoint is complete, and with it every earlier one: everything up to its barrier is durable. Ids rise; some may be
    /// left out.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_checkpoint_complete(&mut self, id: CheckpointId) -> Result<(), BoxError> {
        let _ = id;
        Ok(())
    }

    /// The instance's last call, however its attempt ends. Called exactly once; a panic in it is logged and goes no further.
    fn close(&mut self) {}
}

/// What the callbacks of an [`Operator`] are handed: its lists, and the outputs. The fields are borrows of different things.
pub struct OperatorContext<'a, O: Operator> {
    /// The lists.
    pub state: OperatorState<'a>,
    /// The main output.
    pub out: Emitter<'a, O::Out>,
    /// The side outputs.
    pub side: SideEmitter<'a>,
    moments: Moments,
}

impl<'a, O: Operator> OperatorContext<'a, O> {
    /// For one callback.
    #[inline]
    pub(crate) fn new(state: OperatorState<'a>, outs: (&'a mut Batch<O::Out>, &'a mut Sides), moments: Moments) -> Self {
        let (out, side) = emitters(outs, moments.timestamp);
        OperatorContext { state, out, side, moments }
    }

    /// The timestamp of the record. None for a record without one, and in `finish`.
    #[inline]
    pub fn timestamp(&self) -> Option<Timestamp> {
        known(self.moments.timestamp)
    }

    /// The watermark up to which everything is done. None before the first one.
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

impl<O: Operator> fmt::Debug for OperatorContext<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorContext").field("state", &self.state).field("moments", &self.moments).finish_non_exhaustive()
    }
}
