//! The head of a task that reads from other tasks.
//!
//! Always: a frame is used up before its closing mark is heeded; what the mark asks for is done in order: the watermark before,
//! the input's state, the watermark after, and only then barriers and the end.

use std::task::Waker;

use super::head::{Advance, Head, in_order};
use crate::channel::Spent;
use crate::frame::{Batch, InputState};
use crate::gate::{Arrival, Closing, Intake, Output, Steps};
use crate::ids::CheckpointId;
use crate::operator::{Cx, Flow, Halt, Next, Signal};
use crate::time::{Moment, Timestamp};

/// The gate of a task's edges in front of its chain.
pub(crate) struct Gated<T> {
    intake: Intake<T>,
    chain: Next<T>,
    /// A piece of the current frame, or a watermark, that the chain has not taken completely.
    piece: Batch<T>,
    /// To be said after what is in `piece`, with the watermark that comes after it.
    state: Option<(InputState, Option<Timestamp>)>,
    /// To be done after that.
    after: Option<Advance>,
}

impl<T: Send + 'static> Gated<T> {
    /// In front of `chain`.
    pub(crate) fn new(intake: Intake<T>, chain: Next<T>) -> Self {
        Gated { intake, chain, piece: Batch::new(), state: None, after: None }
    }

    /// What was begun, if anything was.
    fn go_on(&mut self, cx: &mut Cx) -> Result<Option<Advance>, Halt> {
        if !self.piece.is_empty() && self.chain.push(&mut self.piece, cx)? == Flow::Full {
            return Ok(Some(Advance::Full));
        }
        if let Some((state, then)) = self.state.take() {
            self.advance_to(then);
            return Ok(Some(Advance::State(state)));
        }
        Ok(self.after.take())
    }

    fn advance_to(&mut self, watermark: Option<Timestamp>) {
        if let Some(watermark) = watermark {
            self.piece.mark(watermark);
        }
    }

    /// Pushes the current frame's records, in pieces where it is longer than `limit`.
    fn push_frame(&mut self, limit: usize, now: Moment, cx: &mut Cx) -> Result<Advance, Halt> {
        let Some(records) = self.intake.records() else { return Ok(self.close(cx.spent.take(), now)) };
        let flow = if records.len() <= limit {
            let before = records.len();
            let flow = self.chain.push(records, cx)?;
            cx.taken += before.saturating_sub(records.len()) as u64;
            flow
        } else {
            records.split_front(limit, &mut self.piece);
            cx.taken += self.piece.len() as u64;
            self.chain.push(&mut self.piece, cx)?
        };
        Ok(if flow == Flow::Full { Advance::Full } else { Advance::Moved })
    }

    /// Heeds the closing mark of the frame that was used up.
    fn close(&mut self, spent: Option<Spent>, now: Moment) -> Advance {
        match self.intake.close(spent, now) {
            Closing::Open => Advance::Moved,
            Closing::Barrier(steps) => Advance::Barrier(steps),
            Closing::State(output) => self.heed(output, Advance::Moved),
            Closing::Ended(output, steps) if self.intake.all_ended() => self.heed(output, Advance::Ended(steps)),
            Closing::Ended(output, steps) => self.heed(output, Advance::Barrier(steps)),
        }
    }

    fn heed(&mut self, output: Option<Output>, after: Advance) -> Advance {
        let (before, state, then) = in_order(output);
        self.advance_to(before);
        self.state = state.map(|state| (state, then));
        self.after = Some(after);
        Advance::Moved
    }
}

impl<T: Send + 'static> Head for Gated<T> {
    fn advance(&mut self, limit: usize, now: Moment, _: &Waker, cx: &mut Cx) -> Result<Advance, Halt> {
        if let Some(advance) = self.go_on(cx)? {
            return Ok(advance);
        }
        match self.intake.receive(now) {
            Arrival::Frame => self.push_frame(limit, now, cx),
            Arrival::Nothing(until) => Ok(Advance::Nothing(until)),
            Arrival::PeerGone => Ok(Advance::PeerGone),
        }
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.chain.signal(signal, cx)
    }

    fn aborted(&mut self, id: CheckpointId) -> Steps {
        self.intake.aborted(id)
    }

    fn watermark(&self) -> Timestamp {
        self.intake.watermark()
    }
}
