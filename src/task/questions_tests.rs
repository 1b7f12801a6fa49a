//! Tests of how a task answers questions: by a head with an operator that is slow to answer.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::head::{Advance, Head};
use super::machine::{Command, Progress, Task, TaskParts};
use crate::channel::{Bell, LaneSender, lane};
use crate::config::{ANSWERING, BATCH_RECORDS};
use crate::gate::Steps;
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::operator::{Ask, Asked, Cx, Flow, Halt, OpId, Question, Signal};
use crate::state::OpenState;
use crate::time::{Clock, Moment, Timestamp};

/// A clock that an answer moves on.
#[derive(Debug, Default)]
struct Slow(AtomicU64);

impl Clock for Slow {
    fn now(&self) -> Moment {
        Moment(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}

/// Reads for ever, or cannot hand on what it has read; its chain has one operator, the second.
struct Reading {
    full: bool,
    clock: Arc<Slow>,
    advances: Arc<AtomicU64>,
}

impl Asked for Reading {
    fn states(&self) -> Vec<OpenState<'_>> {
        Vec::new()
    }

    fn kind(&self) -> &'static str {
        "Reading"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Head for Reading {
    fn advance(&mut self, _: usize, _: Moment, _: &Waker, _: &mut Cx) -> Result<Advance, Halt> {
        self.advances.fetch_add(1, Ordering::Relaxed);
        Ok(if self.full { Advance::Full } else { Advance::Moved })
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        if let Some(question) = cx.take_question(signal, OpId(1)) {
            self.clock.0.fetch_add(300, Ordering::Relaxed);
            question.put(self);
        }
        Ok(if self.full && signal == Signal::Resume { Flow::Full } else { Flow::Drained })
    }

    fn aborted(&mut self, _: CheckpointId) -> Steps {
        Steps::default()
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::NONE
    }
}

type Heard = Arc<Mutex<Vec<String>>>;

/// Says what becomes of it.
struct Say(u64, Heard);

impl Say {
    fn say(&self, what: &str) {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} {what}", self.0));
    }
}

impl Ask for Say {
    fn callback(&self) -> &'static str {
        "query"
    }

    fn put(self: Box<Self>, _: &dyn Asked) {
        self.say("answered");
    }

    fn refuse(self: Box<Self>, reason: String) {
        self.say(&reason);
    }
}

struct Bench {
    task: Task,
    commands: LaneSender<Command>,
    heard: Heard,
    advances: Arc<AtomicU64>,
}

impl Bench {
    fn new(full: bool) -> Bench {
        let (commands, lane) = lane(Bell::default());
        let (clock, advances) = (Arc::<Slow>::default(), Arc::<AtomicU64>::default());
        let task = Task::new(TaskParts {
            id: TaskId { chain: 0, index: 0 },
            attempt: Attempt { epoch: 1, n: 0 },
            head: Box::new(Reading { full, clock: clock.clone(), advances: advances.clone() }),
            lane,
            batch: BATCH_RECORDS,
            clock,
            restored: None,
            standstill: Default::default(),
            longest_step: Default::default(),
            report: Box::new(|_| {}),
            offload: Box::new(|_, _| unreachable!()),
            uids: [].into(),
            hooks: Default::default(),
        });
        Bench { task, commands, heard: Heard::default(), advances }
    }

    fn ask(&self, operator: usize, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.commands.send(Command::Ask(Question::new(OpId(operator), Say(number, self.heard.clone()))));
        }
    }

    fn step(&mut self) -> Progress {
        self.task.step(Waker::noop()).unwrap()
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

#[test]
fn a_flood_of_questions_leaves_each_step_its_records() {
    let mut bench = Bench::new(false);
    bench.ask(1, 0..5);
    let mut steps = Vec::new();
    for _ in 0..4 {
        assert_eq!(bench.step(), Progress::Ready);
        steps.push((bench.heard().len(), bench.advances.load(Ordering::Relaxed)));
    }
    assert!(ANSWERING > Duration::from_micros(300) && ANSWERING < Duration::from_micros(600), "two answers of 300 µs a step");
    assert_eq!(steps, [(2, 1), (2, 2), (1, 3), (0, 4)]);
}

#[test]
fn a_task_with_a_full_output_answers_all_questions_before_it_sleeps() {
    let mut bench = Bench::new(true);
    assert_eq!(bench.step(), Progress::Blocked);
    bench.ask(1, 0..5);
    assert_eq!([bench.step(), bench.step(), bench.step()], [Progress::Ready, Progress::Ready, Progress::Blocked]);
    assert_eq!(bench.heard(), ["0 answered", "1 answered", "2 answered", "3 answered", "4 answered"]);
    assert_eq!(bench.task.running(), (OpId(1), "query"));
}

#[test]
fn a_question_that_no_operator_takes_is_refused() {
    let mut bench = Bench::new(false);
    bench.ask(7, 0..1);
    assert_eq!(bench.step(), Progress::Ready);
    let heard = bench.heard();
    assert!(heard.len() == 1 && heard[0].starts_with("0 it has no state by key that is open"), "{heard:?}");
}
