//! The loop around every operator that takes records one by one.
//!
//! Always: records and watermarks are taken in order; what a watermark makes due is emitted before the watermark goes on; a full
//! output stops the loop between two records or two timers, and it goes on there. The operator itself is inlined into the loop.

use std::vec::Drain;

use crate::error::BoxError;
use crate::frame::{Batch, Consumer, Took};
use crate::operator::{Cx, Flow, Halt, Link, Next, Sides, Signal};
use crate::state::LOOK_AHEAD;
use crate::time::Timestamp;

/// What an operator emits to.
pub(crate) struct Outs<T> {
    pub(crate) main: Batch<T>,
    pub(crate) sides: Sides,
    batch: usize,
}

impl<T> Outs<T> {
    /// Whether the main output holds as much as it may.
    #[inline]
    pub(crate) fn main_is_full(&self) -> bool {
        self.main.len() >= self.batch
    }

    /// With how many records the main output is full.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.main_is_full() || self.sides.is_full()
    }
}

/// An operator as the loop sees it. What does not concern it has nothing to do.
pub(crate) trait Stepwise: Send {
    /// What comes in.
    type In: Send + 'static;
    /// What goes out.
    type Out: Send + 'static;

    /// Takes a record, and emits some of what it makes or all of it.
    fn record(&mut self, value: Self::In, time: Timestamp, outs: &mut Outs<Self::Out>, cx: &mut Cx) -> Result<(), BoxError>;

    /// Takes records from the front of `values` as long as they are of a kind that it has a shorter way for, and says how many. There
    /// is a timestamp in `times` for each that it may take.
    #[inline]
    fn run(
        &mut self,
        _times: &[Timestamp],
        _values: &mut Drain<'_, Self::In>,
        _outs: &mut Outs<Self::Out>,
        _cx: &mut Cx,
    ) -> usize {
        0
    }

    /// Emits more of what the last record makes; true when that was all.
    #[inline]
    fn rest(&mut self, _outs: &mut Outs<Self::Out>, _cx: &mut Cx) -> Result<bool, BoxError> {
        Ok(true)
    }

    /// Notes that its callback for records is about to run: before the first of a piece, and again after anything else has run.
    fn enter(&self, _cx: &mut Cx) {}

    /// These records come next: what is known of them may be fetched.
    #[inline]
    fn ahead(&mut self, _records: &[Self::In]) {}

    /// Event time has come to `watermark`: does one piece of what is due, in order of time; true when nothing more is.
    fn advance(&mut self, _watermark: Timestamp, _outs: &mut Outs<Self::Out>, _cx: &mut Cx) -> Result<bool, BoxError> {
        Ok(true)
    }

    /// Processing time has come to `now`: does one piece of what is due; true when nothing more is.
    fn due(&mut self, _now: Timestamp, _outs: &mut Outs<Self::Out>, _cx: &mut Cx) -> Result<bool, BoxError> {
        Ok(true)
    }

    /// The end of data; called once.
    fn finish(&mut self, _outs: &mut Outs<Self::Out>, _cx: &mut Cx) -> Result<(), BoxError> {
        Ok(())
    }

    /// Answers the question that lies with `cx`, if it is for this operator; else leaves it there.
    fn asked(&mut self, _signal: Signal, _cx: &mut Cx) {}

    /// `Snapshot`, `Complete` or `Flush`.
    fn checkpoint(&mut self, _signal: Signal, _cx: &mut Cx) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Drives a [`Stepwise`] operator.
pub(crate) struct Steps<S: Stepwise> {
    operator: S,
    outs: Outs<S::Out>,
    next: Next<S::Out>,
    /// The watermark that is being worked off.
    advancing: Option<Timestamp>,
    finished: bool,
}

impl<S: Stepwise> Steps<S> {
    /// In front of `next` and the side outputs. `finished` where the operator was restored behind its end of data.
    pub(crate) fn new(operator: S, finished: bool, next: Next<S::Out>, sides: Sides) -> Self {
        let batch = sides.batch();
        Steps { operator, outs: Outs { main: Batch::new(), sides, batch }, next, advancing: None, finished }
    }

    /// Hands on what is held.
    fn deliver(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        let aside = self.outs.sides.deliver(cx)?;
        if !self.outs.main.is_empty() && self.next.push(&mut self.outs.main, cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        Ok(aside)
    }

    /// Hands on what is held if it is as much as may be.
    #[inline]
    fn deliver_if_full(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.outs.is_full() { self.deliver(cx) } else { Ok(Flow::Drained) }
    }

    /// Ends what was begun: the last record, then the watermark that is being worked off. After most records there is nothing.
    #[inline]
    fn settle(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        if !self.outs.is_full() && self.advancing.is_none() && self.operator.rest(&mut self.outs, cx)? {
            return Ok(Flow::Drained);
        }
        self.work_off(cx)
    }

    #[inline(never)]
    fn work_off(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        loop {
            if self.deliver_if_full(cx)? == Flow::Full || !cx.spend(1) {
                return Ok(Flow::Full);
            }
            if !self.operator.rest(&mut self.outs, cx)? {
                continue;
            }
            let Some(watermark) = self.advancing else {
                self.operator.enter(cx);
                return Ok(Flow::Drained);
            };
            if self.operator.advance(watermark, &mut self.outs, cx)? {
                self.advancing = None;
                self.outs.main.mark(watermark);
                self.outs.sides.mark(watermark);
            }
        }
    }

    /// Hands on everything that is held, here and behind.
    fn drain(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.pass_on(Signal::Resume, cx)? == Flow::Full || self.settle(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        self.deliver(cx)
    }

    fn due(&mut self, now: Timestamp, cx: &mut Cx) -> Result<(), Halt> {
        if self.finished {
            return Ok(());
        }
        while !self.outs.is_full() && cx.spend(1) {
            if self.operator.due(now, &mut self.outs, cx)? {
                return Ok(());
            }
        }
        cx.due_at(now);
        Ok(())
    }

    /// Its own part of a signal that may emit; sent again until everything has gone on.
    fn emit(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.drain(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        match signal {
            Signal::Due(now) => self.due(now, cx)?,
            Signal::Finish if !self.finished => {
                self.finished = true;
                self.operator.finish(&mut self.outs, cx)?;
            }
            _ => {}
        }
        if self.drain(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        self.pass_on(signal, cx)
    }

    fn pass_on(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        let aside = self.outs.sides.signal(signal, cx)?;
        let main = self.next.signal(signal, cx)?;
        Ok(if aside == Flow::Full { aside } else { main })
    }
}

/// A [`Steps`] that is taking a batch.
struct Taking<'a, S: Stepwise> {
    steps: &'a mut Steps<S>,
    cx: &'a mut Cx,
}

impl<S: Stepwise> Consumer<S::In> for Taking<'_, S> {
    type Error = Halt;

    #[inline]
    fn records(&mut self, run: usize, values: &mut Drain<'_, S::In>, times: &[Timestamp]) -> Result<Took<S::In>, Halt> {
        let Taking { steps, cx } = self;
        let (mut taken, mut looked) = (0, 0);
        while taken < run {
            if taken >= looked {
                looked = run.min(taken + LOOK_AHEAD);
                steps.operator.enter(cx);
                steps.operator.ahead(values.as_slice().get(..looked - taken).unwrap_or_default());
            }
            let rest = times.get(taken..).unwrap_or_default();
            taken += steps.operator.run(rest, values, &mut steps.outs, cx);
            if steps.settle(cx)? == Flow::Full {
                return Ok(Took::Some(taken, None));
            }
            if taken == run {
                break;
            }
            let Some(value) = values.next() else { break };
            let time = times.get(taken).copied().unwrap_or(Timestamp::NONE);
            taken += 1;
            steps.operator.record(value, time, &mut steps.outs, cx)?;
            if steps.settle(cx)? == Flow::Full {
                return Ok(Took::Some(taken, None));
            }
        }
        Ok(Took::All)
    }

    fn mark(&mut self, watermark: Timestamp) -> Result<bool, Halt> {
        self.steps.advancing = Some(watermark);
        Ok(self.steps.settle(self.cx)? == Flow::Drained)
    }
}

impl<S: Stepwise> Link<S::In> for Steps<S> {
    fn push(&mut self, batch: &mut Batch<S::In>, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.settle(cx)? == Flow::Full || self.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        if !batch.consume(&mut Taking { steps: self, cx })? {
            return Ok(Flow::Full);
        }
        self.deliver(cx)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::Resume => self.drain(cx),
            Signal::Due(_) | Signal::Finish => self.emit(signal, cx),
            Signal::Snapshot(_) | Signal::Complete(_) | Signal::Flush => {
                self.operator.checkpoint(signal, cx)?;
                self.pass_on(signal, cx)
            }
            Signal::Ask(_) => {
                self.operator.asked(signal, cx);
                if cx.question.is_some() { self.pass_on(signal, cx) } else { Ok(Flow::Drained) }
            }
            _ => self.pass_on(signal, cx),
        }
    }
}
