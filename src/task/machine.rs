//! The task machine: commands, what is held, barriers, due timers, then one piece of input.
//!
//! Always: what has to be done is done in that order, so that a task can be cancelled, take a barrier and answer while its output
//! is full. Stepped by the task's driver on a worker thread.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::head::{Advance, Head};
use super::pieces::Pieces;
use super::questions::Questions;
use super::standstill::Standstill;
use crate::channel::{self, LaneReceiver};
use crate::checkpoint::Notifications;
use crate::config::LINGER;
use crate::error::BoxError;
use crate::frame::InputState;
use crate::gate::{AbortReason, Step, Steps};
use crate::hook::{Canary, CrashPoint, Hooks};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::metrics::Longest;
use crate::operator::{Cx, Flow, Halt, OpId, OperatorPart, Question, Signal, Work};
use crate::time::{Clock, Moment, Timestamp};

/// What a task can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begin this checkpoint: to sources.
    Trigger(CheckpointId),
    /// This checkpoint is complete.
    Complete(CheckpointId),
    /// This checkpoint will not be completed; the latest that is.
    Aborted(CheckpointId, Option<CheckpointId>),
    /// Blocking work that a link had asked for has ended.
    Worked(OpId, Result<(), BoxError>),
    /// Answer this, between two pieces of work.
    Ask(Question),
    /// Read no more, and come to the end as at the end of the data: to sources.
    Drain,
    /// Stand still no more.
    GoOn,
    /// Everything is committed: end.
    Release,
    /// End at once, whatever is under way.
    Cancel,
}

/// What a task tells its supervisor.
#[derive(Debug)]
pub(crate) enum Report {
    /// Its part of a checkpoint, to be made durable and acknowledged.
    View(TaskView),
    /// It gave a checkpoint up.
    Declined(CheckpointId, AbortReason),
    /// It has read its last record and emitted its last one; it stays for checkpoints.
    Ended,
    /// Everything that checkpoints up to this one allow to be committed is.
    Committed(CheckpointId),
}

/// The frozen state of a task at a barrier.
#[derive(Debug)]
pub(crate) struct TaskView {
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) checkpoint: CheckpointId,
    pub(crate) watermark: Timestamp,
    pub(crate) ended: bool,
    pub(crate) parts: Vec<OperatorPart>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do at once.
    Ready,
    /// There is nothing to do until the bell rings or this moment comes.
    Idle(Option<Moment>),
    /// An edge is full; the bell rings when there is room.
    Blocked,
    /// The task has ended and may be dropped.
    Done,
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Reading.
    Running,
    /// The last record was read; what remains is emitted.
    Finishing,
    /// The end of data was sent; barriers still pass.
    Parked,
    /// A task beside it is gone, so its region will be told to stop, or is being let go; it waits for that.
    Stranded,
    /// Over.
    Over,
}

/// What a task is made of.
pub(crate) struct TaskParts {
    pub(crate) id: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) head: Box<dyn Head>,
    pub(crate) lane: LaneReceiver<Command>,
    /// Records that one advance takes at most.
    pub(crate) batch: usize,
    pub(crate) clock: Arc<dyn Clock>,
    /// The checkpoint it was restored from.
    pub(crate) restored: Option<CheckpointId>,
    pub(crate) standstill: Standstill,
    /// The longest step of any task of the job.
    pub(crate) longest_step: Longest,
    /// Takes reports to the supervisor.
    pub(crate) report: Box<dyn Fn(Report) + Send>,
    /// Runs blocking work off the task, and sends [`Command::Worked`].
    pub(crate) offload: Box<dyn Fn(OpId, Work) + Send>,
    /// The operators, by their [`OpId`]s.
    pub(crate) uids: Arc<[Uid]>,
    pub(crate) hooks: Hooks,
}

/// One running instance of a chain.
pub(crate) struct Task {
    parts: TaskParts,
    cx: Cx,
    phase: Phase,
    /// Behind a barrier that nothing may follow: neither records nor timers.
    stands_still: bool,
    /// The chain holds something that it could not hand on.
    held: bool,
    /// Barriers to send on, once nothing is held.
    steps: VecDeque<Step>,
    notifications: Notifications,
    questions: Questions,
    /// The newest complete checkpoint, and how much of its work is under way.
    committing: Option<(CheckpointId, usize)>,
    /// How many records the next advance may take.
    pieces: Pieces,
    flushed: Moment,
    /// When the step that is under way had done its work, where the clock was read then.
    worked_until: Option<Moment>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.parts.id).field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Task {
    /// A task that has opened its operators and has read nothing.
    pub(crate) fn new(parts: TaskParts) -> Self {
        let (flushed, notifications) = (parts.clock.now(), Notifications::above(parts.restored));
        let pieces = Pieces::up_to(parts.batch);
        Task {
            cx: Cx::hooked(&parts.hooks, &parts.uids),
            parts,
            phase: Phase::Running,
            stands_still: false,
            held: false,
            steps: VecDeque::new(),
            notifications,
            questions: Questions::default(),
            committing: None,
            pieces,
            flushed,
            worked_until: None,
        }
    }

    /// Which operator ran last, and in which callback.
    pub(crate) fn running(&self) -> (OpId, &'static str) {
        self.cx.running()
    }

    /// How many records it has taken from its inputs.
    pub(crate) fn taken(&self) -> u64 {
        self.cx.taken
    }

    /// Does a bounded piece of work.
    pub(crate) fn step(&mut self, waker: &Waker) -> Result<Progress, BoxError> {
        let began = self.parts.clock.now();
        let outcome = self.work(began, waker);
        let ended = self.worked_until.take().unwrap_or_else(|| self.parts.clock.now());
        self.parts.longest_step.note(ended.since(began));
        match outcome {
            Ok(Progress::Idle(_) | Progress::Blocked) if !self.questions.is_empty() => Ok(Progress::Ready),
            Ok(progress) => Ok(progress),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::PeerGone) => {
                // A neighbour's failure is told by the neighbour; and parked tasks, when they are let go, go one after another.
                self.phase = Phase::Stranded;
                Ok(Progress::Idle(None))
            }
        }
    }

    /// The chain holds something: an edge is full, or the step has done enough.
    fn stopped(&self) -> Progress {
        if self.cx.has_done_enough() { Progress::Ready } else { Progress::Blocked }
    }

    fn work(&mut self, now: Moment, waker: &Waker) -> Result<Progress, Halt> {
        self.cx.begin_step();
        self.obey()?;
        self.questions.answer(now, &*self.parts.clock, &mut *self.parts.head, &mut self.cx)?;
        match self.phase {
            Phase::Over => return Ok(Progress::Done),
            Phase::Stranded => return Ok(Progress::Idle(None)),
            Phase::Running | Phase::Finishing | Phase::Parked => {}
        }
        if self.held && self.signal(Signal::Resume)? == Flow::Full {
            return Ok(self.stopped());
        }
        if let Some(step) = self.steps.pop_front() {
            self.take(step)?;
            return Ok(Progress::Ready);
        }
        if self.stands_still {
            return Ok(Progress::Idle(None));
        }
        if self.fire_due()? == Flow::Full {
            return Ok(self.stopped());
        }
        if self.phase == Phase::Finishing {
            return self.finish();
        }
        self.read(now, waker)
    }

    /// Does what it was told.
    fn obey(&mut self) -> Result<(), Halt> {
        while self.phase != Phase::Over {
            match self.parts.lane.try_recv() {
                channel::Command::Got(command) => self.follow(command)?,
                channel::Command::None => return Ok(()),
                channel::Command::Orphaned => self.phase = Phase::Over,
            }
        }
        Ok(())
    }

    fn follow(&mut self, command: Command) -> Result<(), Halt> {
        match command {
            Command::Trigger(id) => {
                self.parts.hooks.crash(CrashPoint::Triggered)?;
                let steps = self.parts.head.trigger(id);
                self.plan(steps);
            }
            Command::Complete(id) => {
                let newest = self.notifications.complete(id);
                self.complete(newest)?;
            }
            Command::Aborted(id, latest) => {
                let steps = self.parts.head.aborted(id);
                self.plan(steps);
                let missed = self.notifications.aborted(latest);
                self.complete(missed)?;
            }
            Command::Worked(operator, result) => self.worked(operator, result)?,
            Command::Ask(question) => self.questions.add(question),
            Command::Drain => self.parts.head.drain(),
            Command::GoOn => self.stands_still = false,
            Command::Release | Command::Cancel => self.phase = Phase::Over,
        }
        Ok(())
    }

    /// Hands out that a checkpoint is complete, and gets the work under way that links ask for.
    fn complete(&mut self, newest: Option<CheckpointId>) -> Result<(), Halt> {
        let Some(id) = newest else { return Ok(()) };
        let _unaffected = self.parts.head.signal(Signal::Complete(id), &mut self.cx)?;
        let under_way = self.committing.map_or(0, |(_, works)| works);
        self.committing = Some((id, under_way + self.cx.works.len()));
        for (operator, work) in self.cx.works.drain(..) {
            (self.parts.offload)(operator, work);
        }
        self.report_committed();
        Ok(())
    }

    fn worked(&mut self, operator: OpId, result: Result<(), BoxError>) -> Result<(), Halt> {
        self.cx.enter(operator, "commit");
        result?;
        if let Some((_, works)) = &mut self.committing {
            *works -= 1;
        }
        self.report_committed();
        Ok(())
    }

    fn report_committed(&mut self) {
        if let Some((id, 0)) = self.committing {
            self.committing = None;
            (self.parts.report)(Report::Committed(id));
        }
    }

    fn plan(&mut self, steps: Steps) {
        self.steps.extend(steps);
    }

    fn signal(&mut self, signal: Signal) -> Result<Flow, Halt> {
        let flow = self.parts.head.signal(signal, &mut self.cx)?;
        self.held = flow == Flow::Full;
        Ok(flow)
    }

    /// Sends a barrier on, then takes the view: in between, nothing runs.
    fn take(&mut self, step: Step) -> Result<(), Halt> {
        match step {
            Step::Snapshot(id) => {
                self.signal_marks(Signal::Barrier(id))?;
                self.misread(Canary::RecordBehindBarrier)?;
                self.signal_marks(Signal::Snapshot(id))?;
                self.misread(Canary::PositionsBehindBarrier)?;
                self.parts.head.view(&mut self.cx)?;
                let view = self.view(id);
                (self.parts.report)(Report::View(view));
                self.stands_still = self.parts.standstill.is_behind(id);
            }
            Step::Abort(id, reason) => {
                self.signal_marks(Signal::CancelBarrier(id))?;
                if reason.declines() {
                    (self.parts.report)(Report::Declined(id, reason));
                }
            }
        }
        Ok(())
    }

    /// Reads on where nothing must run, if the engine is to be broken so.
    fn misread(&mut self, canary: Canary) -> Result<(), Halt> {
        if self.parts.hooks.breaks(canary) && self.phase == Phase::Running && !self.held {
            let _more_to_do = self.read(self.parts.clock.now(), Waker::noop())?;
        }
        Ok(())
    }

    /// Sends what stands between records; it is queued behind them, so it does not depend on room.
    fn signal_marks(&mut self, signal: Signal) -> Result<(), Halt> {
        self.held |= self.parts.head.signal(signal, &mut self.cx)? == Flow::Full;
        Ok(())
    }

    fn view(&mut self, checkpoint: CheckpointId) -> TaskView {
        TaskView {
            task: self.parts.id,
            attempt: self.parts.attempt,
            checkpoint,
            watermark: self.parts.head.watermark(),
            ended: self.phase == Phase::Parked && !self.parts.head.has_drained(),
            parts: std::mem::take(&mut self.cx.parts),
        }
    }

    /// Fires processing-time timers, where there are any that are due.
    fn fire_due(&mut self) -> Result<Flow, Halt> {
        self.cx.wall = self.parts.clock.wall();
        if self.cx.wall < self.cx.next_due || self.phase == Phase::Parked {
            return Ok(Flow::Drained);
        }
        self.cx.next_due = Timestamp::MAX;
        let wall = self.cx.wall;
        let flow = self.signal(Signal::Due(wall))?;
        if flow == Flow::Full {
            self.cx.next_due = wall;
        }
        Ok(flow)
    }

    fn finish(&mut self) -> Result<Progress, Halt> {
        if self.signal(Signal::Finish)? == Flow::Full {
            return Ok(self.stopped());
        }
        self.signal_marks(Signal::End)?;
        self.phase = Phase::Parked;
        (self.parts.report)(Report::Ended);
        self.parts.hooks.crash(CrashPoint::InputEnded)?;
        Ok(Progress::Ready)
    }

    /// Reads a piece of input, of a size that keeps the step short.
    fn read(&mut self, now: Moment, waker: &Waker) -> Result<Progress, Halt> {
        let advance = self.parts.head.advance(self.pieces.records(), now, waker, &mut self.cx)?;
        match advance {
            Advance::Moved => {
                self.pieces.handed_on(now);
                self.moved(now)?;
            }
            Advance::Nothing(until) => return self.rest(now, until),
            Advance::Full => {
                self.held = true;
                self.pieces.stopped(now);
                self.resize(now);
                return Ok(self.stopped());
            }
            Advance::Barrier(steps) => self.plan(steps),
            Advance::State(state) => self.say(state)?,
            Advance::Ended(steps) => {
                if self.phase == Phase::Running {
                    self.phase = Phase::Finishing;
                }
                self.plan(steps);
            }
            Advance::PeerGone => return Err(Halt::PeerGone),
        }
        Ok(Progress::Ready)
    }

    fn say(&mut self, state: InputState) -> Result<(), Halt> {
        self.signal_marks(Signal::State(state))
    }

    fn moved(&mut self, before: Moment) -> Result<(), Halt> {
        let now = self.resize(before);
        if now.since(self.flushed) >= LINGER {
            self.flushed = now;
            self.signal_marks(Signal::Flush)?;
        }
        Ok(())
    }

    /// Makes the next advance larger or smaller, by how long the last one took.
    fn resize(&mut self, before: Moment) -> Moment {
        let now = self.parts.clock.now();
        self.worked_until = Some(now);
        self.pieces.took(now.since(before));
        now
    }

    /// Nothing to read: sends what is buffered, and says until when there is nothing to do.
    fn rest(&mut self, now: Moment, until: Option<Moment>) -> Result<Progress, Halt> {
        self.flushed = now;
        self.signal_marks(Signal::Flush)?;
        let timer = (self.cx.next_due < Timestamp::MAX && self.phase != Phase::Parked).then(|| {
            let left_ms = self.cx.next_due.millis().saturating_sub(self.cx.wall.millis());
            now.plus(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)))
        });
        Ok(Progress::Idle(until.into_iter().chain(timer).min()))
    }
}
