//! The head of a source's task: its splits, their event time, and the pace at which they are read.
//!
//! Always: positions are noted only when everything that was read before them has gone down the chain, so a restart at a position
//! neither skips nor repeats a record. Splits are read in turn, a piece at a time; a split holds the watermark from the moment it
//! is assigned until it ends.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::Waker;

use serde::{Deserialize, Serialize};

use super::covered::Positions;
use super::head::{Advance, Head, in_order};
use super::pace::{Pace, Rate};
use crate::error::BoxError;
use crate::frame::{Batch, InputState, Mark};
use crate::gate::{Alignment, Frontier, Output, Steps};
use crate::hook::{Callback, CrashPoint};
use crate::ids::{CheckpointId, Uid};
use crate::metrics::Counter;
use crate::operator::{Cx, Flow, Halt, Next, OpId, OperatorPart, Side, Sides, Signal};
use crate::source::{Poll, Records, Rejected, Source, SplitClock, SplitReader, Watermarks};
use crate::state::ListView;
use crate::time::{Moment, Timestamp};

/// The name of the state that keeps the splits of a source.
pub(crate) const SPLITS_STATE: &str = "splits";

/// What a checkpoint keeps of a split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SplitState<P> {
    pub(crate) split: String,
    pub(crate) position: P,
    pub(crate) clock: SplitClock,
    /// How many records it has given.
    pub(crate) records: u64,
    pub(crate) ended: bool,
    /// How many records it had that could not be decoded.
    #[serde(default)]
    pub(crate) rejected: u64,
}

/// A split of this task: its state, and its reader unless it has ended.
pub(crate) struct Split<S: Source> {
    pub(crate) state: SplitState<S::Position>,
    pub(crate) reader: Option<S::Reader>,
}

impl<S: Source> Split<S> {
    /// The place of the next record to hand out.
    fn position(&self) -> S::Position {
        self.reader.as_ref().map_or_else(|| self.state.position.clone(), SplitReader::position)
    }
}

/// What becomes of a record that could not be decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RejectPolicy {
    Fail,
    Skip,
    Side(Side<Rejected>),
}

/// What a source's head is made of.
pub(crate) struct SourcedParts<S: Source> {
    /// To be told of checkpoints. The plan holds it: it goes when the job ends, also where this task is stuck.
    pub(crate) source: Weak<S>,
    pub(crate) operator: OpId,
    pub(crate) uid: Uid,
    pub(crate) splits: Vec<Split<S>>,
    pub(crate) watermarks: Option<Watermarks<S::Item>>,
    /// Records a second at most.
    pub(crate) rate: Option<Rate>,
    pub(crate) reject: RejectPolicy,
    pub(crate) records: Counter,
    pub(crate) rejected: Counter,
    /// The watermark that was merged before the restart.
    pub(crate) floor: Timestamp,
    pub(crate) chain: Next<S::Item>,
    pub(crate) sides: Sides,
}

/// The splits of a source in front of its chain.
pub(crate) struct Sourced<S: Source> {
    parts: SourcedParts<S>,
    frontier: Frontier,
    alignment: Alignment,
    /// Read, and not yet taken by the chain.
    batch: Batch<S::Item>,
    rejects: Vec<Rejected>,
    /// The split that is read next.
    next: usize,
    /// To be said before what is in `batch`.
    first: Option<InputState>,
    /// To be said after what is in `batch`, with the watermark that comes after it.
    state: Option<(InputState, Option<Timestamp>)>,
    triggered: VecDeque<Steps>,
    pace: Pace,
    /// What checkpoints that are under way hold.
    positions: Positions<S::Position>,
    /// By split: since when it has had nothing to read, time in which the chain was full left out.
    idle_since: Vec<Option<Moment>>,
    /// Nothing is read any more, though the data has not ended: the split that is let go next.
    drained: Option<usize>,
    ended: bool,
}

impl<S: Source> Sourced<S> {
    /// In front of the chain; says its state first.
    pub(crate) fn new(parts: SourcedParts<S>) -> Self {
        let n = parts.splits.len();
        let mut frontier = Frontier::new(n, parts.floor);
        let mut first = None;
        for (i, split) in parts.splits.iter().enumerate() {
            let output = if split.reader.is_some() { frontier.active(i, split.state.clock.watermark) } else { frontier.ended(i) };
            first = output.or(first);
        }
        parts.records.add(parts.splits.iter().map(|split| split.state.records).sum());
        parts.rejected.add(parts.splits.iter().map(|split| split.state.rejected).sum());
        let reads = parts.splits.iter().any(|split| split.reader.is_some());
        let pace = if reads { Pace::new(parts.rate.clone()) } else { Pace::default() };
        let mut head = Sourced {
            frontier,
            alignment: Alignment::new(0),
            batch: Batch::new(),
            rejects: Vec::new(),
            next: 0,
            first: None,
            state: None,
            triggered: VecDeque::new(),
            pace,
            positions: Positions::default(),
            idle_since: vec![None; n],
            drained: None,
            ended: false,
            parts,
        };
        // A task without a split holds nothing back from its very first word on.
        head.heed(if n == 0 { Some(Output::Idle { watermark: None }) } else { first });
        head
    }

    fn heed(&mut self, output: Option<Output>) {
        let (before, state, then) = in_order(output);
        self.advance_to(before);
        match state {
            Some(state) => self.state = Some((state, then)),
            None => self.advance_to(then),
        }
    }

    fn advance_to(&mut self, watermark: Option<Timestamp>) {
        if let Some(watermark) = watermark {
            self.batch.mark(watermark);
        }
    }

    /// What was begun, if anything was.
    fn go_on(&mut self, cx: &mut Cx) -> Result<Option<Advance>, Halt> {
        if let Some(state) = self.first.take() {
            return Ok(Some(Advance::State(state)));
        }
        if self.push(cx)? == Flow::Full {
            self.idle_since.fill(None);
            return Ok(Some(Advance::Full));
        }
        if let Some((state, then)) = self.state.take() {
            self.advance_to(then);
            return Ok(Some(Advance::State(state)));
        }
        if let Some(steps) = self.triggered.pop_front() {
            return Ok(Some(Advance::Barrier(steps)));
        }
        Ok(None)
    }

    fn push(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        if let Some(last) = self.batch.marks.last() {
            self.parts.sides.mark(last.watermark);
        }
        if self.parts.sides.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        if self.batch.is_empty() { Ok(Flow::Drained) } else { self.parts.chain.push(&mut self.batch, cx) }
    }

    /// Reads the next split that has something, once around.
    fn read(&mut self, limit: usize, now: Moment, waker: &Waker, cx: &mut Cx) -> Result<Advance, Halt> {
        let limit = self.pace.room(now).min(limit);
        if limit == 0 {
            return Ok(Advance::Nothing(self.pace.next()));
        }
        for _ in 0..self.parts.splits.len() {
            let at = self.next;
            self.next = if at + 1 >= self.parts.splits.len() { 0 } else { at + 1 };
            if self.poll(at, limit, now, waker, cx)? {
                return Ok(self.go_on(cx)?.unwrap_or(Advance::Moved));
            }
        }
        self.nothing(now, cx)
    }

    /// Polls one split; true if that brought anything, be it only its end.
    fn poll(&mut self, at: usize, limit: usize, now: Moment, waker: &Waker, cx: &mut Cx) -> Result<bool, Halt> {
        let Some(split) = self.parts.splits.get_mut(at) else { return Ok(false) };
        let Some(reader) = &mut split.reader else { return Ok(false) };
        cx.enter(self.parts.operator, "poll");
        cx.reach(self.parts.operator, Callback::Poll)?;
        let answer = reader.poll(&mut Records::new(&mut self.batch.values, &mut self.rejects, limit), waker)?;
        let n = self.batch.values.len();
        split.state.records += n as u64;
        split.state.rejected += self.rejects.len() as u64;
        self.parts.records.add(n as u64);
        cx.taken += n as u64;
        self.pace.note(n + self.rejects.len());
        self.judge_rejects()?;
        if n > 0 {
            self.wake_split(at);
            self.stamp(at);
        }
        match answer {
            Poll::Ended => self.end_split(at),
            Poll::Pending if n == 0 => self.rest_split(at, now),
            _ => {}
        }
        Ok(n > 0 || answer != Poll::Pending)
    }

    #[inline]
    fn judge_rejects(&mut self) -> Result<(), BoxError> {
        for rejected in self.rejects.drain(..) {
            self.parts.rejected.add(1);
            match self.parts.reject {
                RejectPolicy::Fail => {
                    return Err(format!("{}: {}; the record is: {}", rejected.place, rejected.error, rejected.raw).into());
                }
                RejectPolicy::Skip => {}
                RejectPolicy::Side(side) => self.parts.sides.push(side, rejected, Timestamp::NONE),
            }
        }
        Ok(())
    }

    /// Gives the records of split `at` their timestamps, and the batch its watermarks.
    fn stamp(&mut self, at: usize) {
        let (Some(watermarks), Some(split)) = (&self.parts.watermarks, self.parts.splits.get_mut(at)) else { return };
        let Batch { values, times, marks } = &mut self.batch;
        let frontier = &mut self.frontier;
        let mut advanced = |place, watermark| {
            if let Some(Output::Watermark(watermark)) = frontier.watermark(at, watermark) {
                marks.push(Mark { at: place, watermark });
            }
        };
        watermarks.stamper.stamp(&watermarks.rules, &mut split.state.clock, values, times, &mut advanced);
    }

    fn end_split(&mut self, at: usize) {
        if let Some(split) = self.parts.splits.get_mut(at) {
            split.state.ended = true;
            if let Some(reader) = split.reader.take() {
                split.state.position = reader.position();
            }
        }
        let output = self.frontier.ended(at);
        self.heed(output);
    }

    /// A record came: the split holds the watermark again, and says so before the record.
    fn wake_split(&mut self, at: usize) {
        if let Some(idle_since) = self.idle_since.get_mut(at) {
            *idle_since = None;
        }
        let Some(split) = self.parts.splits.get(at) else { return };
        let watermark = match self.frontier.active(at, split.state.clock.watermark) {
            Some(Output::Active { since, watermark }) => {
                // Where another split's idleness was still to be said, nobody believes the input idle.
                if self.state.take().is_none() {
                    self.first = Some(InputState::Active(since));
                }
                watermark
            }
            // Those that were active were all behind; this split is not, and holds alone.
            Some(Output::Watermark(watermark)) => Some(watermark),
            _ => None,
        };
        if let Some(watermark) = watermark {
            self.batch.mark_first(watermark);
        }
    }

    /// Nothing to read: the split's watermark catches up, and after the timeout it is idle.
    fn rest_split(&mut self, at: usize, now: Moment) {
        let Some(rules) = self.parts.watermarks.as_ref().map(|watermarks| watermarks.rules) else { return };
        let (Some(split), Some(idle_since)) = (self.parts.splits.get_mut(at), self.idle_since.get_mut(at)) else { return };
        let since = *idle_since.get_or_insert(now);
        if !rules.strict
            && let Some(watermark) = split.state.clock.catch_up(&rules)
        {
            let output = self.frontier.watermark(at, watermark);
            self.heed(output);
        }
        if rules.idle_after.is_some_and(|timeout| now.since(since) >= timeout) {
            let output = self.frontier.idle(at);
            self.heed(output);
        }
    }

    /// When the next split falls idle, if it still has nothing to read then.
    fn next_idle(&self, now: Moment) -> Option<Moment> {
        let timeout = self.parts.watermarks.as_ref()?.rules.idle_after?;
        self.idle_since.iter().flatten().map(|since| since.plus(timeout)).filter(|at| *at > now).min()
    }

    /// Tells the source what a complete checkpoint holds.
    fn complete(&mut self, id: CheckpointId, cx: &mut Cx) -> Result<(), Halt> {
        cx.enter(self.parts.operator, "on_checkpoint_complete");
        let (Some(source), positions) = (self.parts.source.upgrade(), self.positions.complete(id)) else { return Ok(()) };
        for (split, position) in self.parts.splits.iter().zip(&positions) {
            source.on_checkpoint_complete(&split.state.split, position)?;
        }
        Ok(())
    }

    /// Lets one split after another go: it takes no part in the watermark any more, and its position stays where it is.
    fn let_go(&mut self, at: usize, now: Moment, cx: &mut Cx) -> Result<Advance, Halt> {
        let Some(split) = self.parts.splits.get(at) else { return self.nothing(now, cx) };
        self.drained = Some(at + 1);
        if split.reader.is_some() {
            let output = self.frontier.ended(at);
            self.heed(output);
        }
        Ok(self.go_on(cx)?.unwrap_or(Advance::Moved))
    }

    /// No split has anything: some watermark may have caught up all the same, or all splits have ended.
    fn nothing(&mut self, now: Moment, cx: &mut Cx) -> Result<Advance, Halt> {
        if let Some(advance) = self.go_on(cx)? {
            return Ok(advance);
        }
        let reads = self.drained.is_none() && self.parts.splits.iter().any(|split| split.reader.is_some());
        if self.ended || reads {
            return Ok(Advance::Nothing(self.next_idle(now)));
        }
        self.ended = true;
        self.pace = Pace::default();
        Ok(Advance::Ended(Steps::default()))
    }
}

impl<S: Source> Head for Sourced<S> {
    fn advance(&mut self, limit: usize, now: Moment, waker: &Waker, cx: &mut Cx) -> Result<Advance, Halt> {
        match (self.go_on(cx)?, self.drained) {
            (Some(advance), _) => Ok(advance),
            (None, None) => self.read(limit, now, waker, cx),
            (None, Some(at)) => self.let_go(at, now, cx),
        }
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::Snapshot(id) => self.positions.taken(id, self.parts.splits.iter().map(Split::position).collect()),
            Signal::Complete(id) => self.complete(id, cx)?,
            _ => {}
        }
        let aside = self.parts.sides.signal(signal, cx)?;
        let main = self.parts.chain.signal(signal, cx)?;
        Ok(if aside == Flow::Full { aside } else { main })
    }

    fn trigger(&mut self, id: CheckpointId) -> Steps {
        let steps = self.alignment.trigger(id);
        self.triggered.push_back(steps);
        Steps::default()
    }

    fn drain(&mut self) {
        if !self.ended && self.drained.is_none() {
            self.drained = Some(0);
        }
    }

    fn has_drained(&self) -> bool {
        self.drained.is_some() && self.parts.splits.iter().any(|split| split.reader.is_some())
    }

    fn aborted(&mut self, id: CheckpointId) -> Steps {
        self.positions.given_up(id);
        self.alignment.aborted(id)
    }

    fn watermark(&self) -> Timestamp {
        self.frontier.emitted()
    }

    fn view(&self, cx: &mut Cx) -> Result<(), Halt> {
        cx.enter(self.parts.operator, "position");
        cx.crash(CrashPoint::BarrierSent)?;
        cx.reach(self.parts.operator, Callback::Position)?;
        let position = |split: &Split<S>| SplitState { position: split.position(), ..split.state.clone() };
        let splits = self.parts.splits.iter().map(position).collect();
        cx.parts.push(OperatorPart {
            uid: self.parts.uid.clone(),
            views: vec![Arc::new(ListView::new(SPLITS_STATE, splits))],
            prepare: None,
        });
        Ok(())
    }
}
