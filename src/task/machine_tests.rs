//! Tests of the task machine by a head that does as it is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use super::head::{Advance, Head};
use super::machine::{Command, Progress, Task, TaskParts};
use super::standstill::Standstill;
use crate::channel::{Bell, LaneReceiver, lane};
use crate::config::BATCH_RECORDS;
use crate::gate::{Alignment, Steps};
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::operator::{Cx, Flow, Halt, Signal};
use crate::time::{Moment, SystemClock, Timestamp};

/// A source that has ended, and whose neighbour is gone.
struct Ended {
    alignment: Alignment,
    said: bool,
    triggered: VecDeque<Steps>,
}

impl Head for Ended {
    fn advance(&mut self, _: usize, _: Moment, _: &Waker, _: &mut Cx) -> Result<Advance, Halt> {
        if !std::mem::replace(&mut self.said, true) {
            return Ok(Advance::Ended(Steps::default()));
        }
        Ok(self.triggered.pop_front().map_or(Advance::Nothing(None), Advance::Barrier))
    }

    fn signal(&mut self, signal: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        if let Signal::Barrier(_) = signal { Err(Halt::PeerGone) } else { Ok(Flow::Drained) }
    }

    fn trigger(&mut self, id: CheckpointId) -> Steps {
        let steps = self.alignment.trigger(id);
        self.triggered.push_back(steps);
        Steps::default()
    }

    fn aborted(&mut self, _: CheckpointId) -> Steps {
        Steps::default()
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::NONE
    }
}

/// A source that never ends.
struct Endless {
    alignment: Alignment,
    triggered: VecDeque<Steps>,
    read: Arc<AtomicU64>,
}

impl Head for Endless {
    fn advance(&mut self, _: usize, _: Moment, _: &Waker, _: &mut Cx) -> Result<Advance, Halt> {
        if let Some(steps) = self.triggered.pop_front() {
            return Ok(Advance::Barrier(steps));
        }
        self.read.fetch_add(1, Ordering::Relaxed);
        Ok(Advance::Moved)
    }

    fn signal(&mut self, _: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        Ok(Flow::Drained)
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
        Timestamp::NONE
    }
}

/// A task with this head, which reports to nobody.
fn task(head: impl Head + 'static, lane: LaneReceiver<Command>, standstill: Standstill) -> Task {
    Task::new(TaskParts {
        id: TaskId { chain: 0, index: 0 },
        attempt: Attempt { epoch: 1, n: 0 },
        head: Box::new(head),
        lane,
        batch: BATCH_RECORDS,
        clock: Arc::new(SystemClock::new()),
        restored: None,
        standstill,
        longest_step: Default::default(),
        report: Box::new(|_| {}),
        offload: Box::new(|_, _| unreachable!()),
        uids: [].into(),
        hooks: Default::default(),
    })
}

#[test]
fn a34_behind_the_barrier_of_a_stop_nothing_is_read_until_the_job_goes_on() {
    let (commands, lane) = lane(Bell::default());
    let (read, standstill) = (Arc::new(AtomicU64::new(0)), Standstill::default());
    let head = Endless { alignment: Alignment::new(0), triggered: VecDeque::new(), read: read.clone() };
    let mut task = task(head, lane, standstill.clone());
    let mut steps = |n: usize| (0..n).map(|_| task.step(Waker::noop()).unwrap()).last().unwrap();
    commands.send(Command::Trigger(CheckpointId(1)));
    assert_eq!(steps(10), Progress::Ready, "another checkpoint");
    standstill.behind(CheckpointId(2));
    commands.send(Command::Trigger(CheckpointId(2)));
    assert_eq!(steps(10), Progress::Idle(None));
    let before = read.load(Ordering::Relaxed);
    commands.send(Command::Complete(CheckpointId(1)));
    assert_eq!(steps(10), Progress::Idle(None));
    assert_eq!(read.load(Ordering::Relaxed), before);
    commands.send(Command::GoOn);
    assert_eq!(steps(10), Progress::Ready);
    assert!(read.load(Ordering::Relaxed) > before);
}

#[test]
fn a_parked_task_whose_neighbour_is_gone_has_nothing_to_do_until_it_is_told() {
    let (commands, lane) = lane(Bell::default());
    let head = Ended { alignment: Alignment::new(0), said: false, triggered: VecDeque::new() };
    let mut task = task(head, lane, Standstill::default());
    let mut step = || task.step(Waker::noop()).unwrap();
    while step() != Progress::Idle(None) {}
    commands.send(Command::Trigger(CheckpointId(1)));
    commands.send(Command::Trigger(CheckpointId(2)));
    while step() == Progress::Ready {}
    assert_eq!((step(), step()), (Progress::Idle(None), Progress::Idle(None)), "it sleeps, and so there is nothing left to do");
    commands.send(Command::Release);
    assert_eq!(step(), Progress::Done);
}
