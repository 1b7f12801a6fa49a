//! The statements of the conformance list about failover, and the region's invariants as a property test.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::region::Status;
use super::{Action, Event, Outcome, Region};
use crate::config::{Restart, STUCK_AFTER};
use crate::error::Error;
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::time::{Moment, millis, secs};

pub(super) const A: TaskId = TaskId { chain: 0, index: 0 };
pub(super) const B: TaskId = TaskId { chain: 1, index: 0 };
pub(super) const C: TaskId = TaskId { chain: 2, index: 0 };

pub(super) fn at(n: u64) -> Moment {
    Moment(secs(n))
}

pub(super) fn attempt(n: u32) -> Attempt {
    Attempt { epoch: 3, n }
}

pub(super) fn error(text: &str) -> Error {
    Error::Engine(text.into())
}

/// Actions as text, for errors cannot be compared.
fn text(actions: &[Action]) -> Vec<String> {
    let names = |tasks: &[TaskId]| tasks.iter().map(TaskId::to_string).collect::<Vec<_>>().join(" ");
    let one = |action: &Action| match action {
        Action::ReportDown => "down".to_owned(),
        Action::StartTasks { attempt, point } => format!("start {attempt} from {}", point.map_or(0, |id| id.0)),
        Action::ReportRunning { attempt } => format!("running {attempt}"),
        Action::ReportAgain { attempt } => format!("running {attempt} still"),
        Action::CancelTasks { attempt, tasks } => format!("cancel {attempt}: {}", names(tasks)),
        Action::FinishTasks { attempt, tasks } => format!("finish {attempt}: {}", names(tasks)),
        Action::ReportRestart { cause, restarts } => format!("restart {restarts} after {}", short(cause)),
        Action::Over(Outcome::Ended) => "ended".to_owned(),
        Action::Over(Outcome::Cancelled) => "cancelled".to_owned(),
        Action::Over(Outcome::Failed(Error::RestartsExhausted { cause, .. })) => format!("failed by {}", short(cause)),
        Action::Over(Outcome::Failed(cause)) => format!("failed by {}", short(cause)),
    };
    actions.iter().map(one).collect()
}

fn short(cause: &Error) -> String {
    match cause {
        Error::Engine(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A region of A → B → C.
pub(super) struct Bench(Region);

impl Bench {
    /// Started, with its tasks about to open.
    pub(super) fn starting(restart: Restart) -> Self {
        let mut bench = Bench(Region::new(vec![A, B, C], &restart, 3));
        assert_eq!(bench.send(Event::Start, 0), ["down"]);
        assert_eq!(bench.send(Event::RestorePoint(None), 0), ["start 3.0 from 0"]);
        bench
    }

    pub(super) fn running(restart: Restart) -> Self {
        let mut bench = Bench::starting(restart);
        assert_eq!(bench.open(0), ["running 3.0"]);
        bench
    }

    pub(super) fn send(&mut self, event: Event, now: u64) -> Vec<String> {
        text(&self.0.handle(event, at(now)))
    }

    pub(super) fn open(&mut self, n: u32) -> Vec<String> {
        [A, B, C].into_iter().flat_map(|task| self.send(Event::TaskRunning { task, attempt: attempt(n) }, 0)).collect()
    }

    pub(super) fn fail(&mut self, task: TaskId, n: u32, cause: &str, now: u64) -> Vec<String> {
        self.send(Event::TaskFailed { task, attempt: attempt(n), cause: error(cause) }, now)
    }

    pub(super) fn gone(&mut self, tasks: &[TaskId], n: u32, now: u64) -> Vec<String> {
        tasks.iter().flat_map(|task| self.send(Event::TaskGone { task: *task, attempt: attempt(n) }, now)).collect()
    }

    pub(super) fn point(&mut self, id: u64, now: u64) -> Vec<String> {
        self.send(Event::RestorePoint(Some(CheckpointId(id))), now)
    }
}

#[test]
fn e1_the_failure_after_the_last_restart_fails_the_region_with_its_cause() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(0)));
    assert_eq!(bench.fail(A, 0, "first", 1), ["down", "cancel 3.0: 2.0 1.0 0.0", "restart 1 after first"]);
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.point(4, 1), ["start 3.1 from 4"]);
    assert_eq!(bench.fail(A, 1, "second", 2), ["down", "cancel 3.1: 2.0 1.0 0.0"]);
    assert_eq!(bench.0.status(at(2)), Status::Stopping);
    assert_eq!(bench.gone(&[A, B, C], 1, 2), ["failed by second"]);
    assert_eq!(bench.0.status(at(2)), Status::Failed);
}

#[test]
fn e6_an_attempt_starts_only_after_delay_tasks_and_restore_point() {
    // Each of the three comes last once.
    let fresh = || {
        let mut bench = Bench::running(Restart::fixed_delay(3, secs(10)));
        bench.fail(B, 0, "boom", 1);
        bench
    };
    let mut bench = fresh();
    assert_eq!([bench.gone(&[A, B, C], 0, 1), bench.point(7, 1)].concat(), [""; 0]);
    assert_eq!(bench.0.status(at(5)), Status::Backoff);
    assert_eq!(bench.0.next_deadline(), Some(at(11)));
    assert_eq!(bench.send(Event::Tick, 10), [""; 0]);
    assert_eq!(bench.send(Event::Tick, 11), ["start 3.1 from 7"]);

    let mut bench = fresh();
    assert_eq!([bench.point(7, 1), bench.gone(&[A, B], 0, 1), bench.send(Event::Tick, 60)].concat(), [""; 0]);
    assert_eq!(bench.0.status(at(60)), Status::Stopping);
    assert_eq!(bench.gone(&[C], 0, 61), ["start 3.1 from 7"]);

    let mut bench = fresh();
    assert_eq!([bench.gone(&[A, B, C], 0, 1), bench.send(Event::Tick, 11)].concat(), [""; 0]);
    assert_eq!(bench.0.status(at(11)), Status::Restoring);
    assert_eq!(bench.point(7, 12), ["start 3.1 from 7"]);
}

#[test]
fn e7_a_stuck_task_fails_the_job_and_nothing_is_started_beside_it() {
    let bench = Bench::running(Restart::fixed_delay(3, secs(0)));
    let mut bench = Bench(bench.0.watched(STUCK_AFTER, BTreeMap::from([(B, "spin".to_owned())])));
    bench.fail(A, 0, "boom", 1);
    bench.point(2, 1);
    bench.gone(&[A, C], 0, 1);
    let deadline = 1 + STUCK_AFTER.as_secs();
    assert_eq!(bench.0.next_deadline(), Some(at(deadline)));
    assert_eq!(bench.send(Event::Tick, deadline - 1), [""; 0]);
    let said = bench.send(Event::Tick, deadline);
    assert!(
        matches!(&*said, [text] if text.starts_with("failed by task 1.0 (spin) is stuck: told to stop 180s ago, and still there")),
        "{said:?}"
    );
    assert_eq!(bench.gone(&[B], 0, deadline), [""; 0]);
}

#[test]
fn e8_the_coordinator_hears_of_a_failure_before_any_task_is_stopped() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(1)));
    assert_eq!(bench.fail(C, 0, "boom", 1).first().map(String::as_str), Some("down"));
}

#[test]
fn e9_a_restart_waits_for_the_coordinators_word() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(0)));
    bench.fail(C, 0, "boom", 1);
    assert_eq!(bench.gone(&[A, B, C], 0, 1), [""; 0]);
    assert_eq!(bench.0.next_deadline(), None);
    assert_eq!(bench.point(9, 30), ["start 3.1 from 9"]);
}

#[test]
fn e14_a_failed_restore_is_counted_and_never_starts_empty() {
    let mut bench = Bench::starting(Restart::fixed_delay(1, secs(2)));
    let failed = |n| Event::StartFailed { attempt: attempt(n), cause: error("chk-4 is missing") };
    assert_eq!(bench.send(failed(0), 1), ["down", "restart 1 after chk-4 is missing"]);
    assert_eq!(bench.point(4, 1), [""; 0]);
    assert_eq!(bench.send(Event::Tick, 3), ["start 3.1 from 4"]);
    assert_eq!(bench.send(failed(1), 4), ["down", "failed by chk-4 is missing"]);
}

#[test]
fn e15_a_cancel_in_the_backoff_ends_without_another_start() {
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(10)));
    bench.fail(A, 0, "boom", 1);
    bench.gone(&[A, B], 0, 1);
    assert_eq!(bench.send(Event::Cancel, 2), [""; 0]);
    assert_eq!(bench.point(5, 2), [""; 0]);
    assert_eq!(bench.gone(&[C], 0, 3), ["cancelled"]);
    assert_eq!(bench.send(Event::Tick, 11), [""; 0]);
    assert_eq!(bench.send(Event::Cancel, 12), [""; 0]);
    assert_eq!(bench.0.status(at(12)), Status::Cancelled);
}

#[test]
fn e15_a_cancel_with_no_task_left_ends_at_once() {
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(10)));
    bench.fail(A, 0, "boom", 1);
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.send(Event::Cancel, 2), ["cancelled"]);
    let mut fresh = Bench(Region::new(vec![A], &Restart::never(), 1));
    assert_eq!(fresh.send(Event::Cancel, 0), ["cancelled"]);
    assert_eq!(fresh.send(Event::Start, 0), [""; 0]);
}

#[test]
fn e15_a_cancel_of_a_failing_region_does_not_hang() {
    let mut bench = Bench::running(Restart::never());
    bench.fail(A, 0, "boom", 1);
    assert_eq!(bench.send(Event::Cancel, 1), [""; 0]);
    assert_eq!(bench.gone(&[A, B, C], 0, 2), ["failed by boom"]);
}

#[test]
fn e16_a_cancel_stops_the_tasks_and_never_finishes_them() {
    let mut bench = Bench::running(Restart::never());
    assert_eq!(bench.send(Event::Cancel, 1), ["down", "cancel 3.0: 2.0 1.0 0.0"]);
    assert_eq!(bench.send(Event::Finish, 1), [""; 0]);
    assert_eq!(bench.gone(&[A, B, C], 0, 1), ["cancelled"]);
}

#[test]
fn e17_the_first_cause_wins_and_what_a_teardown_causes_does_not_count() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(0)));
    assert_eq!(bench.fail(A, 0, "the cause", 1).last().unwrap(), "restart 1 after the cause");
    assert_eq!(bench.fail(B, 0, "its channel is closed", 1), [""; 0]);
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.point(1, 1), ["start 3.1 from 1"]);
    // What the old attempt still says is ignored.
    assert_eq!(bench.fail(B, 0, "late", 2), [""; 0]);
    assert_eq!(bench.gone(&[A, B, C], 0, 2), [""; 0]);
    assert_eq!(bench.open(1), ["running 3.1"]);
}

#[test]
fn e17_what_fails_while_a_region_ends_does_not_change_its_end() {
    let mut bench = Bench::running(Restart::never());
    bench.fail(A, 0, "the cause", 1);
    assert_eq!(bench.fail(B, 0, "its channel is closed", 1), [""; 0]);
    assert_eq!(bench.gone(&[A, B, C], 0, 1), ["failed by the cause"]);
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(0)));
    bench.send(Event::Cancel, 1);
    assert_eq!(bench.fail(B, 0, "its channel is closed", 1), [""; 0]);
    assert_eq!(bench.gone(&[A, B, C], 0, 1), ["cancelled"]);
}

#[test]
fn e18_a_task_that_goes_silently_has_failed() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(0)));
    let expected = ["down", "cancel 3.0: 2.0 0.0", "restart 1 after task 1.0 is gone and gave no reason"];
    assert_eq!(bench.gone(&[B], 0, 1), expected);
}

#[test]
fn e19_running_is_reported_once_all_tasks_have_opened() {
    let mut bench = Bench::starting(Restart::never());
    let running = |task| Event::TaskRunning { task, attempt: attempt(0) };
    assert_eq!(bench.send(running(A), 0), [""; 0]);
    assert_eq!(bench.send(running(A), 0), [""; 0]);
    assert_eq!(bench.send(running(C), 0), [""; 0]);
    assert_eq!(bench.0.status(at(0)), Status::Starting);
    assert_eq!(bench.send(running(B), 3), ["running 3.0"]);
    assert_eq!(bench.0.status(at(3)), Status::Running);
}

#[test]
fn a_region_ends_once_its_tasks_have_confirmed_and_gone() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(0)));
    assert_eq!(bench.send(Event::Finish, 1), ["finish 3.0: 0.0 1.0 2.0"]);
    assert_eq!(bench.gone(&[A], 0, 1), [""; 0]);
    // A commit that fails restarts the region from the final checkpoint.
    assert_eq!(bench.fail(C, 0, "commit", 2), ["down", "cancel 3.0: 2.0 1.0", "restart 1 after commit"]);
    bench.gone(&[B, C], 0, 2);
    assert_eq!(bench.point(8, 2), ["start 3.1 from 8"]);
    bench.open(1);
    bench.send(Event::Finish, 3);
    assert_eq!(bench.gone(&[A, B, C], 1, 3), ["ended"]);
}

#[test]
fn a_region_says_why_its_tasks_answer_nothing() {
    let (restarting, failed) = (Some("it has failed and is being restarted"), Some("it has failed for good"));
    assert_eq!(Region::new(vec![A], &Restart::never(), 3).silence(), Some("the job is being started"));
    let mut bench = Bench::starting(Restart::fixed_delay(1, secs(5)));
    assert_eq!(bench.0.silence(), None, "each task answers from when it runs");
    bench.open(0);
    assert_eq!(bench.0.silence(), None);
    bench.fail(A, 0, "first", 1);
    assert_eq!(bench.0.silence(), restarting, "while its tasks go");
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.0.silence(), restarting, "during the delay");
    assert_eq!(bench.point(4, 6), ["start 3.1 from 4"]);
    assert_eq!(bench.0.silence(), None);
    bench.fail(A, 1, "second", 7);
    assert_eq!(bench.0.silence(), failed);
    bench.gone(&[A, B, C], 1, 7);
    assert_eq!(bench.0.silence(), failed);
    let mut bench = Bench::running(Restart::never());
    bench.send(Event::Cancel, 1);
    assert_eq!(bench.0.silence(), Some("the job is being ended"));
}

#[test]
fn too_many_failed_checkpoints_fail_the_attempt() {
    let mut bench = Bench::running(Restart::fixed_delay(1, secs(0)));
    let expected = ["down", "cancel 3.0: 2.0 1.0 0.0", "restart 1 after checkpoints"];
    assert_eq!(bench.send(Event::Failed { cause: error("checkpoints") }, 1), expected);
}

#[derive(Clone, Debug)]
enum Happening {
    Opened(usize),
    Failed(usize),
    Gone(usize),
    Stale(usize),
    StartFailed,
    Point,
    Introduce,
    Finish,
    Cancel,
    Pass(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let task = 0usize..3;
    let one = prop_oneof![
        8 => task.clone().prop_map(Happening::Opened),
        3 => task.clone().prop_map(Happening::Failed),
        8 => task.clone().prop_map(Happening::Gone),
        1 => task.prop_map(Happening::Stale),
        1 => Just(Happening::StartFailed),
        4 => Just(Happening::Point),
        1 => Just(Happening::Introduce),
        1 => Just(Happening::Finish),
        1 => prop::bool::weighted(0.2).prop_map(|cancel| if cancel { Happening::Cancel } else { Happening::Pass(1) }),
        6 => (0u64..200).prop_map(Happening::Pass),
    ];
    prop::collection::vec(one, 0..120)
}

/// The world around a region: which tasks exist, and what was asked.
#[derive(Default)]
struct World {
    now: u64,
    attempt: u32,
    alive: BTreeSet<TaskId>,
    asked: bool,
    pointed: bool,
    failed_at: u64,
    starts: u32,
    over: u32,
}

impl World {
    fn check(&mut self, actions: Vec<Action>, point: bool) {
        self.pointed |= point;
        for action in actions {
            assert_eq!(self.over, 0, "{action:?} after the end");
            match action {
                Action::ReportDown => {
                    if !self.asked {
                        self.failed_at = self.now;
                    }
                    (self.asked, self.pointed) = (true, false);
                }
                Action::StartTasks { attempt, .. } => {
                    assert!(self.alive.is_empty(), "started beside {:?}", self.alive);
                    assert!(self.pointed, "started without a restore point");
                    assert!(self.starts == 0 || self.now >= self.failed_at + 20, "started before the delay was over");
                    assert_eq!(attempt.n, self.starts);
                    (self.starts, self.attempt, self.asked) = (self.starts + 1, attempt.n, false);
                    self.alive = [A, B, C].into();
                }
                Action::CancelTasks { tasks, .. } => {
                    assert_eq!(tasks.iter().copied().collect::<BTreeSet<_>>(), self.alive);
                    assert!(tasks.is_sorted_by(|a, b| a > b));
                }
                Action::ReportRunning { attempt } | Action::ReportAgain { attempt } => assert_eq!(attempt.n, self.attempt),
                Action::FinishTasks { .. } | Action::ReportRestart { .. } => {}
                Action::Over(outcome) => {
                    self.over += 1;
                    let stuck = matches!(outcome, Outcome::Failed(Error::Stuck { .. }));
                    assert!(self.alive.is_empty() || stuck);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_two_attempts_overlap_and_the_end_comes_once(happenings in happenings()) {
        let mut region = Region::new(vec![A, B, C], &Restart::fixed_delay(3, secs(20)), 3);
        let mut world = World::default();
        let actions = region.handle(Event::Start, at(0));
        world.check(actions, false);
        for happening in happenings {
            let (tasks, n) = ([A, B, C], attempt(world.attempt));
            let mut point = false;
            let event = match happening {
                Happening::Opened(task) if world.alive.contains(&tasks[task]) => Event::TaskRunning { task: tasks[task], attempt: n },
                Happening::Failed(task) if world.alive.contains(&tasks[task]) => {
                    Event::TaskFailed { task: tasks[task], attempt: n, cause: error("boom") }
                }
                Happening::Gone(task) if world.alive.remove(&tasks[task]) => Event::TaskGone { task: tasks[task], attempt: n },
                Happening::Stale(task) if world.attempt > 0 => {
                    Event::TaskGone { task: tasks[task], attempt: attempt(world.attempt - 1) }
                }
                Happening::StartFailed if world.starts > 0 && region.status(at(world.now)) == Status::Starting => {
                    world.alive.clear();
                    Event::StartFailed { attempt: n, cause: error("no state") }
                }
                Happening::Point if world.asked => {
                    point = true;
                    Event::RestorePoint(Some(CheckpointId(1)))
                }
                Happening::Introduce => Event::Introduce,
                Happening::Finish => Event::Finish,
                Happening::Cancel => Event::Cancel,
                Happening::Pass(ms) => {
                    world.now += ms / 10;
                    Event::Tick
                }
                _ => Event::Tick,
            };
            let actions = region.handle(event, at(world.now));
            world.check(actions, point);
            prop_assert!(region.next_deadline().is_none_or(|deadline| deadline > at(world.now)));
        }
        // Cancelled, it comes to an end as soon as the last task is gone.
        let actions = region.handle(Event::Cancel, at(world.now));
        world.check(actions, false);
        for task in std::mem::take(&mut world.alive) {
            let actions = region.handle(Event::TaskGone { task, attempt: attempt(world.attempt) }, at(world.now).plus(millis(1)));
            world.check(actions, false);
        }
        prop_assert_eq!(world.over, 1);
    }
}
