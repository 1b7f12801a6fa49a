//! The input of a task: its edges, read one frame at a time.
//!
//! Always: a blocked edge is not read; no record is handed out before every edge has said its state; a frame's closing mark counts
//! only once its records have been taken, and the watermarks in it are already the merged ones. Called by the task that owns it.

use std::time::Duration;

use super::alignment::Steps;
use super::barriers::Barriers;
use super::frontier::{Frontier, Output};
use super::watch::Watch;
use crate::channel::{EdgeReceiver, Received, Spent};
use crate::config::{BATCH_RECORDS, FRAME_TIME, Guarantee};
use crate::frame::{Batch, Close, Frame, InputState, Portion};
use crate::hook::Hooks;
use crate::ids::CheckpointId;
use crate::time::{Moment, Timestamp};

/// What came of looking for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// There is one: take its records, then its closing mark.
    Frame,
    /// No edge that may be read has one; or only one that stalls until this moment.
    Nothing(Option<Moment>),
    /// A task before this one is gone.
    PeerGone,
}

/// What the closing mark of a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Nothing.
    Open,
    /// What is to be done about it.
    Barrier(Steps),
    /// To do as the frontier says.
    State(Option<Output>),
    /// An edge has ended: first what the frontier says, then what is to be done about barriers.
    Ended(Option<Output>, Steps),
}

/// How a gate begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateStart {
    /// The watermark that was merged before the restart.
    pub(crate) floor: Timestamp,
    pub(crate) guarantee: Guarantee,
}

/// The frame that is being taken.
#[derive(Debug)]
struct Current<T> {
    edge: usize,
    /// What is left of its records.
    batch: Batch<T>,
    close: Close,
    /// How many there were, and since when they are being taken.
    records: usize,
    since: Moment,
}

/// All input edges of a task.
#[derive(Debug)]
pub(crate) struct Intake<T> {
    edges: Vec<EdgeReceiver<T>>,
    barriers: Barriers,
    frontier: Frontier,
    /// The edge that is looked at next.
    next: usize,
    /// How many edges have ended.
    ended: usize,
    current: Option<Current<T>>,
    /// For each edge, how large its frames are to be, so that all that is under way to the task is handled within a time.
    portions: Vec<Portion>,
    /// Where somebody hooks in.
    watch: Option<Box<Watch>>,
}

impl<T> Intake<T> {
    /// Over these edges.
    pub(crate) fn new(edges: Vec<EdgeReceiver<T>>, start: GateStart, hooks: &Hooks) -> Self {
        let n = edges.len();
        Intake {
            edges,
            barriers: Barriers::new(start.guarantee, n),
            frontier: Frontier::new(n, start.floor),
            next: 0,
            ended: 0,
            current: None,
            portions: vec![Portion::up_to(BATCH_RECORDS); n],
            watch: Watch::over(n, hooks),
        }
    }

    /// Finds the next frame, unless one is still being taken.
    pub(crate) fn receive(&mut self, now: Moment) -> Arrival {
        if self.current.is_some() {
            return Arrival::Frame;
        }
        let mut stalls = None;
        let only_unspoken = !self.frontier.all_spoken();
        for _ in 0..self.edges.len() {
            let at = self.next;
            self.next = if at + 1 == self.edges.len() { 0 } else { at + 1 };
            let Some(edge) = self.edges.get(at) else { continue };
            if self.is_blocked(at) || (only_unspoken && self.frontier.has_spoken(at)) {
                continue;
            }
            if let Some(until) = self.watch.as_mut().filter(|_| edge.has_frame()).and_then(|watch| watch.stalls(at, now)) {
                stalls = stalls.into_iter().chain([until]).min();
                continue;
            }
            match edge.try_recv() {
                Received::Frame(frame) => {
                    if let Some(watch) = &mut self.watch {
                        watch.frame(at, &frame.batch, frame.close);
                    }
                    self.begin(at, frame, now);
                    return Arrival::Frame;
                }
                Received::Empty => {}
                Received::Closed => return Arrival::PeerGone,
            }
        }
        Arrival::Nothing(stalls)
    }

    fn is_blocked(&self, edge: usize) -> bool {
        self.barriers.is_blocked(edge) && !self.watch.as_ref().is_some_and(|watch| watch.unblocks())
    }

    fn begin(&mut self, edge: usize, Frame { mut batch, close }: Frame<T>, since: Moment) {
        let frontier = &mut self.frontier;
        batch.marks.retain_mut(|mark| match frontier.watermark(edge, mark.watermark) {
            Some(Output::Watermark(merged)) => {
                mark.watermark = merged;
                true
            }
            _ => false,
        });
        self.current = Some(Current { edge, records: batch.len(), batch, close, since });
    }

    /// The records of the current frame that are still to be taken.
    pub(crate) fn records(&mut self) -> Option<&mut Batch<T>> {
        self.current.as_mut().map(|current| &mut current.batch).filter(|batch| !batch.is_empty())
    }

    /// Ends the current frame, whose records have all been taken; those that are spent go back with its buffer.
    pub(crate) fn close(&mut self, spent: Option<Spent>, now: Moment) -> Closing {
        let Some(Current { edge, batch, close, records, since }) = self.current.take() else { return Closing::Open };
        if records > 0 {
            self.want(edge, records, now.since(since));
        }
        if let Some(edge) = self.edges.get(edge) {
            edge.give_back(batch, spent);
        }
        match close {
            Close::Open => Closing::Open,
            Close::Barrier(id) => Closing::Barrier(self.barriers.barrier(edge, id)),
            Close::CancelBarrier(id) => Closing::Barrier(self.barriers.cancel(edge, id)),
            Close::State(InputState::Active(watermark)) => Closing::State(self.frontier.active(edge, watermark)),
            Close::State(InputState::Idle) => Closing::State(self.frontier.idle(edge)),
            Close::End => {
                self.ended += 1;
                Closing::Ended(self.frontier.ended(edge), self.barriers.ended(edge))
            }
        }
    }

    /// A frame of so many records took so long: the next ones are to be as large as they should be.
    fn want(&mut self, edge: usize, records: usize, took: Duration) {
        let target = FRAME_TIME / self.edges.len() as u32;
        let (Some(edge), Some(portion)) = (self.edges.get(edge), self.portions.get_mut(edge)) else { return };
        let before = *portion;
        portion.took(records, took, target);
        if *portion != before {
            edge.want(portion.records());
        }
    }

    /// The coordinator gave a checkpoint up.
    pub(crate) fn aborted(&mut self, id: CheckpointId) -> Steps {
        self.barriers.aborted(id)
    }

    /// Whether every edge has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.ended == self.edges.len()
    }

    /// The merged watermark.
    pub(crate) fn watermark(&self) -> Timestamp {
        self.frontier.emitted()
    }
}
