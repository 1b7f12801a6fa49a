//! The head of the task that a harness feeds: what the test says comes in, in order, as from a source with one split.
//!
//! Always: what it says of itself and what it makes of watermarks is the frontier's decision, as at every other head; nothing is
//! said before what came in earlier has gone down the chain. Fed by the test between two runs, stepped by its task.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::frame::{Batch, InputState};
use crate::gate::{Alignment, Frontier, Output, Steps};
use crate::ids::CheckpointId;
use crate::operator::{Cx, Flow, Halt, Next, Signal};
use crate::task::{Advance, Head, in_order};
use crate::time::{Moment, Timestamp};

/// Something that comes in.
pub(super) enum Given<T> {
    Record(T, Timestamp),
    Watermark(Timestamp),
    Idle,
    End,
}

/// What the test gives, until the task takes it. Clones are the same inbox.
pub(super) struct Inbox<T>(Arc<Mutex<VecDeque<Given<T>>>>);

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Inbox(Arc::default())
    }

    pub(super) fn give(&self, given: Given<T>) {
        self.lock().push_back(given);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Given<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Inbox(self.0.clone())
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({})", self.lock().len())
    }
}

/// Whether more may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Active,
    Idle,
    /// The end came, and is not yet told.
    Ending,
    Ended,
}

/// Reads an [`Inbox`].
pub(super) struct Inlet<T> {
    inbox: Inbox<T>,
    chain: Next<T>,
    frontier: Frontier,
    alignment: Alignment,
    /// Taken, and not yet taken by the chain.
    piece: Batch<T>,
    /// To be said after what is in `piece`, with the watermark that comes after it.
    state: Option<(InputState, Option<Timestamp>)>,
    triggered: VecDeque<Steps>,
    life: Life,
}

impl<T> Inlet<T> {
    /// In front of the chain, at the watermark that a checkpoint kept; behind its end, where it had ended.
    pub(super) fn new(inbox: Inbox<T>, chain: Next<T>, floor: Timestamp, ended: bool) -> Self {
        let mut frontier = Frontier::new(1, floor);
        let (first, life) = if ended { (frontier.ended(0), Life::Ending) } else { (frontier.active(0, floor), Life::Active) };
        let mut inlet = Inlet {
            inbox,
            chain,
            frontier,
            alignment: Alignment::new(0),
            piece: Batch::new(),
            state: None,
            triggered: VecDeque::new(),
            life,
        };
        inlet.heed(first);
        inlet
    }

    fn heed(&mut self, output: Option<Output>) {
        let (before, state, then) = in_order(output);
        self.mark(before);
        self.state = state.map(|state| (state, then));
    }

    fn mark(&mut self, watermark: Option<Timestamp>) {
        if let Some(watermark) = watermark {
            self.piece.mark(watermark);
        }
    }

    /// Takes what came in, up to `limit` records, and up to where something has to be said.
    fn take(&mut self, limit: usize) {
        let inbox = self.inbox.clone();
        let mut inbox = inbox.lock();
        while self.piece.len() < limit && self.state.is_none() && self.life != Life::Ending {
            if self.life == Life::Idle && matches!(inbox.front(), Some(Given::Record(..) | Given::Watermark(_))) {
                self.life = Life::Active;
                let output = self.frontier.active(0, self.frontier.emitted());
                self.heed(output);
                return;
            }
            let output = match inbox.pop_front() {
                None => return,
                Some(Given::Record(value, time)) => {
                    self.piece.push(value, time);
                    continue;
                }
                Some(Given::Watermark(watermark)) => self.frontier.watermark(0, watermark),
                Some(Given::Idle) => {
                    self.life = Life::Idle;
                    self.frontier.idle(0)
                }
                Some(Given::End) => {
                    self.life = Life::Ending;
                    self.frontier.ended(0)
                }
            };
            self.heed(output);
        }
    }

    /// What was begun, if anything was.
    fn go_on(&mut self, cx: &mut Cx) -> Result<Option<Advance>, Halt> {
        if !self.piece.is_empty() {
            let full = self.chain.push(&mut self.piece, cx)? == Flow::Full;
            return Ok(Some(if full { Advance::Full } else { Advance::Moved }));
        }
        if let Some((state, then)) = self.state.take() {
            self.mark(then);
            return Ok(Some(Advance::State(state)));
        }
        if self.life == Life::Ending {
            self.life = Life::Ended;
            return Ok(Some(Advance::Ended(Steps::default())));
        }
        Ok(self.triggered.pop_front().map(Advance::Barrier))
    }
}

impl<T: Send> Head for Inlet<T> {
    fn advance(&mut self, limit: usize, _: Moment, _: &Waker, cx: &mut Cx) -> Result<Advance, Halt> {
        if let Some(advance) = self.go_on(cx)? {
            return Ok(advance);
        }
        self.take(limit);
        Ok(self.go_on(cx)?.unwrap_or(Advance::Nothing(None)))
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.chain.signal(signal, cx)
    }

    fn trigger(&mut self, id: CheckpointId) -> Steps {
        let steps = self.alignment.trigger(id);
        self.triggered.push_back(steps);
        Steps::default()
    }

    fn aborted(&mut self, id: CheckpointId) -> Steps {
        self.alignment.aborted(id)
    }

    fn watermark(&self) -> Timestamp {
        self.frontier.emitted()
    }
}
