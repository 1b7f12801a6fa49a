//! An output over edges: partitions batches, fills frames, sends them.
//!
//! A frame leaves when it is full, when the task has nothing more to read, or when it is closed by a mark. A closing mark never
//! waits: it is queued behind what waits for room, so that a barrier is on its way before the view is taken; where many are queued,
//! the output is full, and the task does nothing more. Records do wait: the output is full when the open frame is full and an
//! earlier one has not left yet.

use std::collections::VecDeque;
use std::vec::Drain;

use crate::channel::{EdgeSender, SendError};
use crate::config::WAITING_FRAMES;
use crate::frame::{Batch, Close, Consumer, Frame, Took};
use crate::operator::{Cx, Flow, Halt, Link, Signal};
use crate::time::Timestamp;

use super::partition::Partitioner;

/// One edge and what is under way to it.
#[derive(Debug)]
struct Lane<T> {
    edge: EdgeSender<T>,
    /// Being filled, up to so many records.
    open: Batch<T>,
    full_at: usize,
    /// Closed, and waiting for room on the edge: one frame of records, and closing marks; [`WAITING_FRAMES`] at most.
    waiting: VecDeque<Frame<T>>,
}

impl<T> Lane<T> {
    fn new(edge: EdgeSender<T>) -> Self {
        Lane { open: edge.buffer(), full_at: edge.batch(), edge, waiting: VecDeque::new() }
    }

    /// Whether one more record fits; sends the open frame if it is full.
    #[inline]
    fn has_room(&mut self) -> Result<bool, Halt> {
        if self.open.len() < self.full_at { Ok(true) } else { self.send_full() }
    }

    /// Sends the open frame, unless an earlier one still waits.
    #[cold]
    fn send_full(&mut self) -> Result<bool, Halt> {
        if !self.send_waiting()? {
            return Ok(false);
        }
        self.close(Close::Open)?;
        Ok(true)
    }

    /// Closes the open frame and sends it, or queues it where there is no room.
    fn close(&mut self, close: Close) -> Result<(), Halt> {
        let next = if self.open.has_buffer() && self.open.is_empty() { Batch::new() } else { self.edge.buffer() };
        let batch = std::mem::replace(&mut self.open, next);
        self.full_at = self.edge.batch();
        self.waiting.push_back(Frame { batch, close });
        debug_assert!(self.waiting.len() <= WAITING_FRAMES, "{} frames wait for room on an edge", self.waiting.len());
        self.send_waiting()?;
        Ok(())
    }

    /// Sends what waits; false if there is no room for all of it.
    fn send_waiting(&mut self) -> Result<bool, Halt> {
        while let Some(frame) = self.waiting.pop_front() {
            match self.edge.try_send(frame) {
                Ok(()) => {}
                Err(SendError::Full(frame)) => {
                    self.waiting.push_front(frame);
                    return Ok(false);
                }
                Err(SendError::Closed) => return Err(Halt::PeerGone),
            }
        }
        Ok(true)
    }
}

/// The output of one stream: a partitioner over its edges.
#[derive(Debug)]
pub(crate) struct Exchange<T, P> {
    lanes: Vec<Lane<T>>,
    partitioner: P,
}

impl<T, P: Partitioner<T>> Exchange<T, P> {
    /// An output over these edges, in the order of their receivers.
    pub(crate) fn new(edges: Vec<EdgeSender<T>>, partitioner: P) -> Self {
        Exchange { lanes: edges.into_iter().map(Lane::new).collect(), partitioner }
    }

    fn each_lane(&mut self, mut act: impl FnMut(&mut Lane<T>) -> Result<bool, Halt>) -> Result<Flow, Halt> {
        let mut flow = Flow::Drained;
        for lane in &mut self.lanes {
            if !act(lane)? {
                flow = Flow::Full;
            }
        }
        Ok(flow)
    }

    fn close_all(&mut self, close: Close) -> Result<Flow, Halt> {
        self.each_lane(|lane| {
            lane.close(close)?;
            Ok(lane.waiting.len() < WAITING_FRAMES / 2)
        })
    }

    /// Sends what was begun, where something was and nothing waits before it.
    fn flush(&mut self) -> Result<Flow, Halt> {
        self.each_lane(|lane| {
            if lane.send_waiting()? && !lane.open.is_empty() {
                lane.close(Close::Open)?;
            }
            Ok(lane.waiting.is_empty())
        })
    }
}

/// Moves a whole batch onto the only edge.
fn push_whole<T>(lane: &mut Lane<T>, batch: &mut Batch<T>) -> Result<Flow, Halt> {
    if lane.open.len() + batch.len() > lane.full_at && !lane.send_full()? {
        return Ok(Flow::Full);
    }
    lane.open.append(batch);
    Ok(Flow::Drained)
}

impl<T, P: Partitioner<T>> Exchange<T, P> {
    /// Moves each of a run of records to the batch of its edge, as `put` puts the one with this number there.
    #[inline]
    fn deal(&mut self, run: usize, values: &mut Drain<'_, T>, put: impl Fn(&mut Batch<T>, T, usize)) -> Result<Took<T>, Halt> {
        for (taken, value) in values.by_ref().take(run).enumerate() {
            if P::is_for_all(&value) {
                match self.deal_to_all(value, |batch, value| put(batch, value, taken))? {
                    None => continue,
                    Some(value) => return Ok(Took::Some(taken, Some(value))),
                }
            }
            let edge = self.partitioner.edge_of(&value);
            let lane = self.lanes.get_mut(edge).ok_or("a record was routed to an edge that does not exist")?;
            if !lane.has_room()? {
                return Ok(Took::Some(taken, Some(value)));
            }
            put(&mut lane.open, value, taken);
        }
        Ok(Took::All)
    }

    /// Copies a record to the batch of every edge; gives it back where one of them has no room, and has then put it nowhere.
    #[inline(never)]
    fn deal_to_all(&mut self, value: T, put: impl Fn(&mut Batch<T>, T)) -> Result<Option<T>, Halt> {
        for lane in &mut self.lanes {
            if !lane.has_room()? {
                return Ok(Some(value));
            }
        }
        let Some((last, others)) = self.lanes.split_last_mut() else { return Ok(None) };
        for lane in others {
            put(&mut lane.open, P::copy(&value).ok_or("a record for all edges cannot be copied")?);
        }
        put(&mut last.open, value);
        Ok(None)
    }

    /// Whether no record on its way out has a timestamp.
    fn untimed(&self) -> bool {
        self.lanes.iter().all(|lane| lane.open.times.is_empty())
    }
}

/// Moves records each to its edge, and every mark to all edges.
impl<T, P: Partitioner<T>> Consumer<T> for Exchange<T, P> {
    type Error = Halt;

    fn records(&mut self, run: usize, values: &mut Drain<'_, T>, times: &[Timestamp]) -> Result<Took<T>, Halt> {
        if times.is_empty() && self.untimed() {
            return self.deal(run, values, |batch, value, _| batch.values.push(value));
        }
        self.deal(run, values, |batch, value, at| batch.push(value, times.get(at).copied().unwrap_or(Timestamp::NONE)))
    }

    fn mark(&mut self, watermark: Timestamp) -> Result<bool, Halt> {
        for lane in &mut self.lanes {
            lane.open.mark(watermark);
        }
        Ok(true)
    }
}

impl<T: Send + 'static, P: Partitioner<T>> Link<T> for Exchange<T, P> {
    fn push(&mut self, batch: &mut Batch<T>, _: &mut Cx) -> Result<Flow, Halt> {
        if let [lane] = self.lanes.as_mut_slice()
            && batch.len() <= lane.full_at
        {
            return push_whole(lane, batch);
        }
        Ok(if batch.consume(self)? { Flow::Drained } else { Flow::Full })
    }

    fn signal(&mut self, signal: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::Resume => self.each_lane(Lane::send_waiting),
            Signal::Flush => self.flush(),
            Signal::State(state) => self.close_all(Close::State(state)),
            Signal::Barrier(id) => self.close_all(Close::Barrier(id)),
            Signal::CancelBarrier(id) => self.close_all(Close::CancelBarrier(id)),
            Signal::End => self.close_all(Close::End),
            Signal::Due(_) | Signal::Finish | Signal::Snapshot(_) | Signal::Complete(_) | Signal::Ask(_) => Ok(Flow::Drained),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Bell, Received, edge};
    use crate::ids::CheckpointId;
    use crate::output::Forward;

    #[test]
    fn marks_that_wait_for_room_stop_their_task_before_they_are_many() {
        let (sender, receiver) = edge::<u64>(1, Bell::default(), Bell::default());
        let mut out = Exchange::new(vec![sender], Forward);
        let cx = &mut Cx::default();
        let mut sent = 0;
        while sent < 100 && out.signal(Signal::Barrier(CheckpointId(sent + 1)), cx).unwrap() == Flow::Drained {
            sent += 1;
        }
        assert!(sent < WAITING_FRAMES as u64, "{sent} barriers are under way to a receiver that does not read");
        let received = std::iter::from_fn(|| {
            let Received::Frame(frame) = receiver.try_recv() else { return None };
            let _goes_on = out.signal(Signal::Resume, cx).unwrap();
            Some(frame.close)
        });
        let barriers = (1..=sent + 1).map(|id| Close::Barrier(CheckpointId(id)));
        assert!(received.eq(barriers), "all of them come, in their order");
        assert_eq!(out.signal(Signal::Resume, cx).unwrap(), Flow::Drained);
    }
}
