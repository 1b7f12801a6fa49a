//! A hunt for lost wake-ups on the real pool, whose threads see memory in orders that no simulator draws.
//!
//! Two tasks, an edge that holds one frame, frames of one record, no timers: both tasks fall asleep and are woken all the time, and
//! a wake-up that is lost is for ever. A short run is part of `cargo test`; `TIDEGATE_STRESS_FRAMES=10000000` with `--release` is
//! the long one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::Waker;
use std::time::Duration;

use super::{Driver, Executor, Pool, build_runtime, drive};
use crate::channel::{Bell, EdgeSender, LaneSender, SendError, edge, lane};
use crate::config::Guarantee;
use crate::frame::{Batch, Close, Frame, InputState};
use crate::gate::{GateStart, Intake, Steps};
use crate::hook::Hooks;
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::metrics::Longest;
use crate::operator::{Cx, Flow, Halt, Link, Signal};
use crate::task::{Advance, Command, Gated, Head, Report, Task, TaskParts};
use crate::time::{Moment, Timestamp};

/// Frames of the run in `cargo test`, for each pace.
const FRAMES: u64 = 150_000;
/// So long without a frame is for ever.
const FOR_EVER: Duration = Duration::from_secs(20);

/// Sends frames of one record, as fast as the edge takes them.
struct Pump {
    edge: EdgeSender<u64>,
    /// What the edge had no room for.
    held: Option<Frame<u64>>,
    next: u64,
    n: u64,
}

impl Pump {
    fn send(&mut self) -> Result<Flow, Halt> {
        let Some(frame) = self.held.take() else { return Ok(Flow::Drained) };
        match self.edge.try_send(frame) {
            Ok(()) => Ok(Flow::Drained),
            Err(SendError::Full(frame)) => {
                self.held = Some(frame);
                Ok(Flow::Full)
            }
            Err(SendError::Closed) => Err(Halt::PeerGone),
        }
    }

    /// The state of the input, the records, and the end.
    fn frame(&self) -> Frame<u64> {
        if self.next == 0 || self.next > self.n {
            let state = Close::State(InputState::Active(Timestamp::NONE));
            return Frame { batch: Batch::new(), close: if self.next == 0 { state } else { Close::End } };
        }
        let mut batch = self.edge.buffer();
        batch.push(self.next, Timestamp::NONE);
        Frame { batch, close: Close::Open }
    }
}

impl Head for Pump {
    fn advance(&mut self, _: usize, _: Moment, _: &Waker, _: &mut Cx) -> Result<Advance, Halt> {
        if self.next > self.n + 1 {
            return Ok(Advance::Ended(Steps::default()));
        }
        self.held = Some(self.frame());
        self.next += 1;
        Ok(if self.send()? == Flow::Full { Advance::Full } else { Advance::Moved })
    }

    fn signal(&mut self, _: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        self.send()
    }

    fn aborted(&mut self, _: CheckpointId) -> Steps {
        Steps::default()
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::NONE
    }
}

/// Counts the records, which must come in order.
struct Count(Arc<AtomicU64>);

impl Link<u64> for Count {
    fn push(&mut self, batch: &mut Batch<u64>, _: &mut Cx) -> Result<Flow, Halt> {
        for value in batch.values.drain(..) {
            let before = self.0.fetch_add(1, Ordering::Relaxed);
            if value != before + 1 {
                return Err(Halt::Error(format!("frame {value} came after {before}").into()));
            }
        }
        batch.clear();
        Ok(Flow::Drained)
    }

    fn signal(&mut self, _: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        Ok(Flow::Drained)
    }
}

/// Puts a task on the pool; its lane is the caller's.
fn start(
    pool: &Pool,
    steps: usize,
    index: u32,
    bell: Bell,
    head: Box<dyn Head>,
    tell: impl Fn(String) + Clone + Send + Sync + 'static,
) -> LaneSender<Command> {
    let (commands, lane) = lane(bell.clone());
    let id = TaskId { chain: 0, index };
    let reports = tell.clone();
    let task = Task::new(TaskParts {
        id,
        attempt: Attempt { epoch: 1, n: 0 },
        head,
        lane,
        clock: pool.clock(),
        restored: None,
        standstill: Default::default(),
        longest_step: Longest::default(),
        report: Box::new(move |report| {
            if matches!(report, Report::Ended) {
                reports("ended".into());
            }
        }),
        offload: Box::new(|_, _| {}),
        batch: crate::config::BATCH_RECORDS,
        uids: Arc::from([]),
        hooks: Hooks::default(),
    });
    let driver = Driver { id, bell, uids: Vec::new(), clock: pool.clock(), steps, pulse: Arc::default() };
    pool.spawn(id, Box::pin(async move { tell(format!("{:?}", drive(driver, task).await.0)) }));
    commands
}

/// Waits for the next word, as long as frames go through.
fn listen(told: &Receiver<String>, counted: &AtomicU64, n: u64) -> String {
    let mut before = 0;
    loop {
        match told.recv_timeout(FOR_EVER) {
            Ok(word) => return word,
            Err(RecvTimeoutError::Disconnected) => panic!("both tasks are gone"),
            Err(RecvTimeoutError::Timeout) => {
                let now = counted.load(Ordering::Relaxed);
                assert!(now > before, "a lost wake-up: both tasks sleep after {now} of {n} frames");
                before = now;
            }
        }
    }
}

/// Sends `n` frames through an edge of depth 1.
fn run(workers: usize, steps: usize, n: u64) {
    let runtime = build_runtime().unwrap();
    let pool = Pool::start("stress", Some(workers), runtime.handle().clone()).unwrap();
    let (at_sender, at_receiver) = (Bell::default(), Bell::default());
    let (tx, rx) = edge(1, at_sender.clone(), at_receiver.clone());
    let counted = Arc::new(AtomicU64::new(0));
    let (say, told) = channel();
    let tell = move |word| drop(say.send(word));
    let begin = GateStart { floor: Timestamp::NONE, guarantee: Guarantee::default() };
    let gate = Gated::new(Intake::new(vec![rx], begin, &Hooks::default()), Box::new(Count(counted.clone())));
    let receiver = start(&pool, steps, 1, at_receiver, Box::new(gate), tell.clone());
    let pump = Pump { edge: tx, held: None, next: 0, n };
    let sender = start(&pool, steps, 0, at_sender, Box::new(pump), tell);
    let ended: Vec<String> = (0..2).map(|_| listen(&told, &counted, n)).collect();
    assert_eq!(ended, ["ended", "ended"]);
    assert_eq!(counted.load(Ordering::Relaxed), n);
    // A command wakes as a frame does.
    receiver.send(Command::Release);
    sender.send(Command::Release);
    let released: Vec<String> = (0..2).map(|_| listen(&told, &counted, n)).collect();
    assert_eq!(released, ["Done", "Done"]);
    pool.close(FOR_EVER);
}

fn frames() -> u64 {
    let asked = std::env::var("TIDEGATE_STRESS_FRAMES").ok();
    asked.map_or(FRAMES, |frames| frames.parse().expect("TIDEGATE_STRESS_FRAMES is a number of frames"))
}

/// Both tasks turn often, and each worker may take the other's.
#[test]
fn no_wake_up_is_lost_between_tasks_on_two_workers() {
    run(2, 1, frames());
}

#[test]
fn no_wake_up_is_lost_at_the_pace_of_the_pool() {
    run(2, 16, frames());
}

/// More workers than tasks, so that some of them always sleep.
#[test]
fn no_wake_up_is_lost_where_most_workers_sleep() {
    run(4, 4, frames());
}
