//! The contract between the links of a chain.
//!
//! Records come in batches, by [`Link::push`]; everything else comes as a [`Signal`] and runs down the chain. A link that can't
//! hand on what it has says [`Flow::Full`] and is called again later; `State`, `End`, `Barrier`, `CancelBarrier` and `Snapshot`
//! come only when nothing is held anywhere in the chain, so that they stand at their right place among the records.
//!
//! Called by the task, on whichever worker thread steps it.

use std::fmt;
use std::sync::Arc;

use super::question::Question;
use crate::channel::Spent;
use crate::config::PIECES_PER_STEP;
use crate::error::BoxError;
use crate::frame::{Batch, InputState};
use crate::hook::{Callback, CrashPoint, Hooks};
use crate::ids::{CheckpointId, Uid};
use crate::state::StateView;
use crate::time::Timestamp;

/// The next link of a chain.
pub(crate) type Next<T> = Box<dyn Link<T>>;

/// One step of a chain.
pub(crate) trait Link<T>: Send {
    /// Takes records and marks from the front of `batch`. On [`Flow::Drained`] the batch is empty and nothing is held back; on
    /// [`Flow::Full`] something is left, in the batch or in the chain: send [`Signal::Resume`] first, then push the rest.
    fn push(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt>;

    /// Does its own part of the signal and hands it on.
    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt>;
}

/// Whether a link could hand on everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Flow {
    /// Nothing is held back.
    Drained,
    /// An edge is full; go on when its receiver has taken something.
    Full,
}

/// Why a link can't go on at all.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A callback failed.
    Error(BoxError),
    /// The task at the other end of an edge is gone; its failure is the cause, not this task's.
    PeerGone,
}

impl<E: Into<BoxError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Halt::Error(error.into())
    }
}

/// What runs down a chain beside records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// There is room again: hand on what is held.
    Resume,
    /// Nothing more to read for now: send what is buffered.
    Flush,
    /// The input's state from here on.
    State(InputState),
    /// Processing time has come this far: fire what is due. Sent again after `Full`.
    Due(Timestamp),
    /// No record will come: emit what remains. Sent again after `Full`; the user's `finish` runs once.
    Finish,
    /// The end of data, behind everything that `Finish` emitted.
    End,
    /// What came before belongs to this checkpoint: send the barrier onward.
    Barrier(CheckpointId),
    /// The checkpoint is given up: tell those below not to wait for its barrier.
    CancelBarrier(CheckpointId),
    /// Take the view of everything; right after `Barrier`.
    Snapshot(CheckpointId),
    /// The checkpoint is complete, and with it all before it.
    Complete(CheckpointId),
    /// The question that lies with the links' [`Cx`] is for this operator. Comes between any two calls, whatever is held.
    Ask(OpId),
}

/// An operator's place in the list of names of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct OpId(pub(crate) usize);

/// Work for a thread that may block, done off the task.
pub(crate) type Work = Box<dyn FnOnce() -> Result<(), BoxError> + Send>;

/// The durable part of a snapshot, done off the task before its acknowledgement: gives the view of what is now durable.
pub(crate) type Prepare = Box<dyn FnOnce() -> Result<Arc<dyn StateView>, BoxError> + Send>;

/// One operator's part of a task's view.
pub(crate) struct OperatorPart {
    pub(crate) uid: Uid,
    /// Frozen states.
    pub(crate) views: Vec<Arc<dyn StateView>>,
    /// What must become durable before the acknowledgement.
    pub(crate) prepare: Option<Prepare>,
}

impl fmt::Debug for OperatorPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorPart").field("uid", &self.uid).field("views", &self.views).finish_non_exhaustive()
    }
}

/// What the links of a task share while it steps.
pub(crate) struct Cx {
    /// Which operator runs, and in which callback: what an error or a panic is blamed on.
    running: (OpId, &'static str),
    /// The view that a `Snapshot` signal collects.
    pub(crate) parts: Vec<OperatorPart>,
    /// Blocking work that links have asked for.
    pub(crate) works: Vec<(OpId, Work)>,
    /// The question that an `Ask` signal brings.
    pub(crate) question: Option<Question>,
    /// The records that a sink has left of the last batch that it was given.
    pub(crate) spent: Option<Spent>,
    /// Records that the head of the task has taken from its inputs.
    pub(crate) taken: u64,
    /// How many more pieces of work the step may do; below zero once some link has stopped for want of them.
    pieces: i32,
    /// The operators of the task, and who hooks into their callbacks, where anybody does.
    hooked: Option<(Hooks, Arc<[Uid]>)>,
    /// The wall time of this step.
    pub(crate) wall: Timestamp,
    /// The earliest processing time at which some link has something to do, as far as links have said since the last `Due`.
    pub(crate) next_due: Timestamp,
}

impl Default for Cx {
    fn default() -> Self {
        Cx {
            running: (OpId::default(), "open"),
            parts: Vec::new(),
            works: Vec::new(),
            question: None,
            spent: None,
            taken: 0,
            pieces: i32::MAX,
            hooked: None,
            wall: Timestamp::NONE,
            next_due: Timestamp::NONE,
        }
    }
}

impl Cx {
    /// Of a task with these operators.
    pub(crate) fn hooked(hooks: &Hooks, uids: &Arc<[Uid]>) -> Self {
        let hooked = hooks.get().is_some().then(|| (hooks.clone(), uids.clone()));
        Cx { hooked, ..Cx::default() }
    }

    /// Notes that user code of this operator is about to run.
    #[inline]
    pub(crate) fn enter(&mut self, operator: OpId, callback: &'static str) {
        self.running = (operator, callback);
    }

    /// Takes out the question that the signal brings, if it is for this operator: what comes next is blamed on it.
    pub(crate) fn take_question(&mut self, signal: Signal, operator: OpId) -> Option<Question> {
        if signal != Signal::Ask(operator) {
            return None;
        }
        let question = self.question.take()?;
        self.enter(operator, question.callback());
        Some(question)
    }

    /// A callback of this operator is about to be called.
    ///
    /// # Errors
    /// Where a hook has it fail.
    #[inline]
    pub(crate) fn reach(&self, operator: OpId, callback: Callback) -> Result<(), BoxError> {
        match &self.hooked {
            None => Ok(()),
            Some((hooks, uids)) => uids.get(operator.0).map_or(Ok(()), |uid| hooks.callback(uid, callback)),
        }
    }

    /// The task has come to a crash point.
    ///
    /// # Errors
    /// Where a hook has it fail.
    pub(crate) fn crash(&self, point: CrashPoint) -> Result<(), BoxError> {
        self.hooked.as_ref().map_or(Ok(()), |(hooks, _)| hooks.crash(point))
    }

    /// A step begins.
    pub(crate) fn begin_step(&mut self) {
        self.pieces = PIECES_PER_STEP;
    }

    /// Takes `n` pieces of work of some ten microseconds each from the step's share; false where it is used up: the link then says
    /// [`Flow::Full`], and goes on in the next step.
    pub(crate) fn spend(&mut self, n: i32) -> bool {
        self.pieces = self.pieces.saturating_sub(n);
        self.pieces > 0
    }

    /// Whether some link stopped only because the step has done enough.
    pub(crate) fn has_done_enough(&self) -> bool {
        self.pieces <= 0
    }

    /// Some link has something to do at this processing time.
    pub(crate) fn due_at(&mut self, time: Timestamp) {
        self.next_due = self.next_due.min(time);
    }

    /// The operator that ran last, and its callback.
    pub(crate) fn running(&self) -> (OpId, &'static str) {
        self.running
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("running", &self.running).finish_non_exhaustive()
    }
}
