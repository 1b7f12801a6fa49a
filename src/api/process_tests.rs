//! Keyed operators in their links and in a task: what the conformance statements say of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Waker;
use std::time::Duration;

use super::process_script::{HASHER, InOpen, Log, Script, Setup, at};
use crate::channel::{Bell, lane};
use crate::frame::{Batch, Keyed};
use crate::gate::Steps;
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::operator::{Ask, Asked, Cx, Flow, Halt, Next, OpId, Question, Signal};
use crate::snapshot::RestoredOperator;
use crate::task::{Advance, Command, Head, Progress, Task, TaskParts};
use crate::time::{Clock, Moment, Timestamp};

const UNTIMED: i64 = i64::MIN;

/// Notes how it finds the operator.
struct Look(Log);

impl Ask for Look {
    fn callback(&self) -> &'static str {
        "query"
    }

    fn put(self: Box<Self>, asked: &dyn Asked) {
        for state in asked.states() {
            let three =
                state.entries::<u64, u64>().and_then(|counts| counts.get(HASHER.hash(&3u64, &mut Vec::new()).unwrap(), &3));
            self.0.say(format!("{} is {}, of 3 {three:?}", state.name, state.holds));
        }
    }

    fn refuse(self: Box<Self>, _: String) {
        unreachable!("nobody refuses it here")
    }
}

#[test]
fn a_question_is_put_to_its_operator_between_records_and_passes_every_other() {
    let mut script = Script::new();
    script.record(3, 0, "count, count").said();
    script.slow.store(true, Ordering::Relaxed);
    for operator in [OpId(7), OpId(0)] {
        script.cx.question = Some(Question::new(operator, Look(script.log.clone())));
        assert_eq!(script.link.signal(Signal::Ask(operator), &mut script.cx).unwrap(), Flow::Drained);
        assert_eq!(script.cx.question.is_some(), operator == OpId(7), "one for another operator goes on its way");
    }
    assert_eq!(script.said(), ["count is a u64 for each u64, of 3 Some(2)"]);
    assert_eq!(script.cx.running(), (OpId(0), "query"), "who is blamed for a panic");
}

fn without_open(script: &mut Script) -> Vec<String> {
    script.said().into_iter().filter(|line| line != "open").collect()
}

#[test]
fn c1_each_key_has_its_own_state() {
    let mut script = Script::new();
    script.record(1, 5, "count, count").record(2, 6, "get, count").record(1, 7, "get");
    assert_eq!(without_open(&mut script), ["1x1@5", "1x2@5", "2 has None@6", "2x1@6", "1 has Some(2)@7"]);
}

#[test]
fn c2_a_timer_runs_with_its_own_key_and_leaves_others_alone() {
    let mut script = Script::planned(&[(10, "count"), (50, "count")]);
    script.record(1, 0, "count, quiet 10, quiet-clock 50").record(2, 0, "count").watermark(10).clock(60);
    script.record(2, 0, "get").record(1, 0, "get");
    let expected = ["1x1@0", "2x1@0", "1 fires event 10@10", "1x2@10", "wm 10", "1 fires clock 50", "1x3"];
    assert_eq!(without_open(&mut script), [&expected[..], &["2 has Some(1)@0", "1 has Some(3)@0"]].concat());
}

#[test]
fn c8_what_an_operator_no_longer_registers_survives() {
    let before: InOpen = |ctx| ctx.value::<String>("former").map(drop).map_err(Into::into);
    let mut first = Script::with(Setup { in_open: Some(before), ..Setup::default() });
    let mut kept = first.record(1, 0, "count").snapshot();
    let former = crate::state::ListView::new("forgotten", vec![1u8]);
    let former = (crate::state::StateView::descriptor(&former).clone(), crate::state::Kept::NOTHING);
    kept.states.states.insert("forgotten".into(), former);
    let names = |kept: &RestoredOperator| kept.states.states.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&kept), ["count", "forgotten", "former", "timers"]);
    let again = Script::restored(kept.clone()).snapshot();
    assert_eq!(names(&again), names(&kept));
    assert_eq!(again.states.states["count"].1, kept.states.states["count"].1);
    let mut last = Script::restored(again);
    assert_eq!(without_open(last.record(1, 3, "get")), ["1 has Some(1)@3"]);
}

#[test]
fn d14_event_timers_fire_in_order_before_the_watermark_goes_on() {
    let mut script = Script::new();
    script.record(1, 1, "quiet 6").record(2, 1, "quiet 4, quiet 11").watermark(10);
    assert_eq!(without_open(&mut script), ["2 fires event 4@4", "1 fires event 6@6", "wm 10"]);
}

#[test]
fn d14_a_full_output_stops_between_two_timers_and_loses_none() {
    let n = 5000;
    let fired = |domain: &str, slow: bool, act: fn(&mut Script, i64)| {
        let mut script = Script::new();
        for key in 0..n {
            let time = n as i64 - key as i64;
            script.record(key, 0, &format!("quiet {time}, quiet-clock {time}"));
        }
        script.said();
        script.slow.store(slow, Ordering::Relaxed);
        act(&mut script, n as i64 + 1);
        script.signal(Signal::Resume);
        let said = script.said();
        let times = said.iter().filter_map(|line| line.split_once(domain)?.1.split('@').next()?.parse::<i64>().ok());
        assert_eq!(times.collect::<Vec<_>>(), (1..=n as i64).collect::<Vec<_>>());
        said
    };
    for slow in [true, false] {
        let said = fired(" fires event ", slow, |script, time| {
            script.watermark(time);
        });
        assert_eq!(said.last().unwrap(), "wm 5001");
        fired(" fires clock ", slow, |script, time| {
            script.clock(time);
        });
    }
}

#[test]
fn d15_one_timer_for_each_key_time_and_domain() {
    let mut script = Script::new();
    script.record(1, 0, "event 10, event 10, clock 10").record(2, 0, "delete-event 10");
    script.record(1, 0, "delete-event 11, event 20, delete-event 20, clock 30, delete-clock 30");
    let answers = ["event true", "event false", "clock true", "delete false"];
    let answers = [&answers[..], &["delete false", "event true", "delete true", "clock true", "delete true"]].concat();
    assert_eq!(without_open(&mut script), answers);
    script.watermark(100).clock(100);
    assert_eq!(script.said(), ["1 fires event 10@10", "wm 100", "1 fires clock 10"]);
}

#[test]
fn d16_a_callback_registers_and_deletes_timers_that_are_due() {
    let mut script = Script::planned(&[(10, "delete-event 11, quiet 10, quiet 12"), (20, "quiet-clock 21, delete-clock 22")]);
    script.record(1, 0, "quiet 10, quiet 11").watermark(15);
    let expected = ["delete true", "1 fires event 10@10", "1 fires event 10@10", "1 fires event 12@12", "wm 15"];
    assert_eq!(without_open(&mut script), expected);
    script.record(2, 0, "quiet-clock 20, quiet-clock 22").clock(30);
    assert_eq!(script.said(), ["delete true", "2 fires clock 20", "2 fires clock 21"]);
}

#[test]
fn d17_a_timer_in_the_past_fires_at_the_next_watermark() {
    let mut script = Script::new();
    script.watermark(100).record(1, 101, "quiet 50");
    assert_eq!(without_open(&mut script), ["wm 100"]);
    script.watermark(101);
    assert_eq!(script.said(), ["1 fires event 50@50", "wm 101"]);
    script.clock(1000).record(1, 0, "quiet-clock 20");
    assert!(script.cx.next_due <= at(1000), "as soon as possible");
}

#[test]
fn d18_timers_are_restored_and_fire_once() {
    let mut first = Script::new();
    let kept = first.record(1, 0, "quiet-clock 10, quiet 600").record(2, 0, "quiet 20").snapshot();
    let mut script = Script::restored(kept);
    script.cx.next_due = Timestamp::NONE; // as a task begins
    script.clock(500);
    assert_eq!(without_open(&mut script), ["1 fires clock 10"]);
    script.clock(1000).watermark(599);
    assert_eq!(script.said(), ["2 fires event 20@20", "wm 599"]);
    script.watermark(600);
    assert_eq!(script.said(), ["1 fires event 600@600", "wm 600"]);
    assert_eq!(Script::restored(script.snapshot()).watermark(2000).said(), ["open", "wm 2000"]);
}

#[test]
fn d19_a_clock_timer_waits_until_its_time_has_passed_and_an_earlier_one_moves_the_wake_up() {
    let mut script = Script::new();
    script.record(1, 0, "quiet-clock 100");
    assert_eq!(script.cx.next_due, at(101));
    script.record(2, 0, "quiet-clock 50");
    assert_eq!(script.cx.next_due, at(51));
    script.signal(Signal::Due(at(50)));
    assert_eq!(without_open(&mut script), [""; 0]);
    script.clock(51);
    assert_eq!((script.said(), script.cx.next_due), (vec!["2 fires clock 50".into()], at(101)));
}

#[test]
fn h9_a_side_output_carries_marks_as_the_main_one_does() {
    let mut script = Script::with(Setup { aside: true, ..Setup::default() });
    script.record(1, 5, "aside a, emit b").watermark(5).signal(Signal::Barrier(CheckpointId(3))).signal(Signal::End);
    let (aside, main): (Vec<_>, Vec<_>) = without_open(&mut script).into_iter().partition(|line| line.starts_with("aside: "));
    assert_eq!(main, ["b@5", "wm 5", "Barrier(CheckpointId(3))", "End"]);
    assert_eq!(aside, ["aside: a@5", "aside: wm 5", "aside: Barrier(CheckpointId(3))", "aside: End"]);
}

#[test]
fn h9_a_side_output_without_a_consumer_is_refused_when_the_operator_opens() {
    let ask: InOpen = |ctx| ctx.side(&crate::SideOutput::<u8>::new("aside")).map(drop);
    let setup = Setup { aside: true, in_open: Some(ask), ..Setup::default() };
    let error = Script::open(setup, &Log::default()).err().unwrap().to_string();
    assert!(error.contains("nothing consumes the side output 'aside'"), "of another type: {error}");
}

/// What the operator's lifecycle was when a script ran to its end and was dropped.
fn lifecycle(run: impl FnOnce(&mut Script)) -> Vec<String> {
    let log = Log::default();
    let mut script = Script::open(Setup::default(), &log).unwrap();
    let _panic = catch_unwind(AssertUnwindSafe(move || run(&mut script)));
    log.take()
}

fn try_record(script: &mut Script, commands: &str) -> Result<Flow, Halt> {
    let hash = HASHER.hash(&1u64, &mut Vec::new()).unwrap();
    let mut batch = Batch::new();
    batch.push(Keyed { hash, key: 1, value: commands.to_owned() }, at(0));
    script.link.push(&mut batch, &mut script.cx)
}

#[test]
fn h14_an_operator_is_closed_once_however_it_ends() {
    let natural = lifecycle(|script| {
        script
            .watermark(9)
            .signal(Signal::Finish)
            .signal(Signal::Finish)
            .signal(Signal::End)
            .signal(Signal::Complete(CheckpointId(4)));
    });
    assert_eq!(natural, ["open", "wm 9", "finish at 9", "the last", "End", "complete 4", "close"]);
    assert_eq!(lifecycle(|_| {}), ["open", "close"], "cancelled, or another operator failed to open");
    let failed = lifecycle(|script| {
        assert!(matches!(try_record(script, "fail"), Err(Halt::Error(error)) if error.to_string() == "told to fail"));
        assert_eq!(script.cx.running().1, "on_record");
    });
    assert_eq!(failed, ["open", "close"]);
    assert_eq!(lifecycle(|script| drop(try_record(script, "panic"))), ["open", "close"]);
}

#[test]
fn h14_an_operator_whose_factory_fails_was_never_there() {
    let (log, fail) = (Log::default(), Setup { in_open: Some(|_| Err("no".into())), ..Setup::default() });
    assert_eq!(Script::open(fail, &log).err().unwrap().to_string(), "no");
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn h15_finish_is_called_at_a_natural_end_only_and_never_again() {
    let finishes = |said: Vec<String>| said.iter().filter(|line| line.starts_with("finish")).count();
    let mut ended = Script::new();
    assert_eq!(finishes(ended.signal(Signal::Finish).said()), 1);
    let mut waits = Script::new();
    waits.slow.store(true, Ordering::Relaxed);
    assert_eq!(waits.signal(Signal::Finish).said(), ["open", "finish at 0", "the last"], "once, though its output was full");
    assert_eq!(
        finishes(lifecycle(|script| {
            script.record(1, 0, "count");
        })),
        0
    );
    let mut kept = ended.record(1, 0, "count, quiet-clock 5").snapshot();
    kept.ended = true;
    let mut restored = Script::restored(kept.clone());
    restored.clock(100).signal(Signal::Finish).signal(Signal::End).signal(Signal::Complete(CheckpointId(9)));
    assert_eq!(restored.said(), ["End"], "none of its callbacks is called");
    assert_eq!(restored.snapshot().states.states, kept.states.states, "its state stays");
}

#[test]
fn h17_the_times_that_a_callback_sees() {
    let mut kept = Script::new().snapshot();
    kept.watermark = at(3);
    let plan = [(6, "times"), (30, "times, quiet 40"), (40, "times")].map(|(time, commands)| (time, commands.into()));
    let mut script = Script::with(Setup { plan: plan.into(), restored: Some(kept), ..Setup::default() });
    script
        .clock(7)
        .record(1, 5, "times")
        .watermark(17)
        .record(1, 12, "times, quiet 6, quiet-clock 30")
        .record(1, UNTIMED, "times");
    let said = without_open(&mut script);
    assert_eq!(said, ["ts Some(5) wm Some(3) now 7", "wm 17", "ts Some(12) wm Some(17) now 7", "ts None wm Some(17) now 7"]);
    script.watermark(18).clock(31);
    let expected =
        ["ts Some(6) wm Some(17) now 7", "1 fires event 6@6", "wm 18", "ts None wm Some(18) now 31", "1 fires clock 30"];
    assert_eq!(script.said(), expected);
    assert_eq!(without_open(Script::new().record(1, UNTIMED, "times, emit-at-1 x")), ["ts None wm None now 0", "x@1"]);
}

#[test]
fn h18_nothing_is_emitted_behind_the_end() {
    let mut script = Script::new();
    script.record(1, 0, "quiet-clock 10").signal(Signal::Finish).signal(Signal::End);
    script.said();
    script.clock(100).signal(Signal::Resume).signal(Signal::Flush);
    assert_eq!(script.said(), [""; 0]);
    let mut restored = Script::restored(script.snapshot());
    assert_eq!(restored.signal(Signal::Due(at(100))).said(), ["open", "1 fires clock 10"], "the timer is still state");
}

#[test]
fn a_timer_that_nobody_handles_is_an_error_that_says_so() {
    let mut script = Script::deaf();
    let mut batch = Batch::new();
    script.record(1, 0, "");
    batch.mark(at(5));
    let Err(Halt::Error(error)) = script.link.push(&mut batch, &mut script.cx) else { panic!("it fired without an error") };
    assert!(error.to_string().contains("(Event time, 5 ms), and the operator does not implement on_timer"), "{error}");
    assert_eq!(script.cx.running().1, "on_timer");
}

#[test]
fn c9_a_name_is_one_state_of_one_kind() {
    let again: InOpen = |ctx| ctx.value::<u64>("count").map(drop).map_err(Into::into);
    assert!(Script::open(Setup { in_open: Some(again), ..Setup::default() }, &Log::default()).is_ok(), "it is the same state");
    let other: InOpen = |ctx| ctx.list::<u64>("count").map(drop).map_err(Into::into);
    let setup = Setup { in_open: Some(other), ..Setup::default() };
    let error = Script::open(setup, &Log::default()).err().unwrap().to_string();
    assert!(error.contains("'count' is registered as Value, and was registered as KeyedList before"), "{error}");
    assert!(error.contains("give each state of an operator its own name"), "{error}");
    let reserved: InOpen = |ctx| ctx.value::<u64>("timers").map(drop).map_err(Into::into);
    let setup = Setup { in_open: Some(reserved), ..Setup::default() };
    assert!(Script::open(setup, &Log::default()).err().unwrap().to_string().contains("no state may be called 'timers'"));
}

#[test]
fn a_factory_is_told_which_instance_it_makes() {
    let check: InOpen = |ctx| {
        assert_eq!((ctx.index(), ctx.parallelism(), ctx.attempt()), (0, 1, Attempt { epoch: 1, n: 2 }));
        ctx.is_restored().then_some(()).ok_or("it begins".into())
    };
    let open = |restored| Script::open(Setup { in_open: Some(check), restored, ..Setup::default() }, &Log::default());
    assert_eq!(open(None).err().unwrap().to_string(), "it begins");
    assert!(open(Some(Script::new().snapshot())).is_ok(), "even where nothing was kept for any key");
}

/// A task's head that reads nothing.
struct Still(Next<Keyed<u64, String>>);

impl Head for Still {
    fn advance(&mut self, _: usize, _: Moment, _: &Waker, _: &mut Cx) -> Result<Advance, Halt> {
        Ok(Advance::Nothing(None))
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.0.signal(signal, cx)
    }

    fn aborted(&mut self, _: CheckpointId) -> Steps {
        Steps::default()
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::NONE
    }
}

#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Moment {
        Moment(Duration::from_millis(self.0.load(Ordering::Relaxed) as u64))
    }

    fn wall(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

fn task(script: Script, clock: &Arc<Hands>, restored: Option<u64>) -> (Task, crate::channel::LaneSender<Command>) {
    let (commands, lane) = lane(Bell::default());
    let parts = TaskParts {
        id: TaskId { chain: 0, index: 0 },
        attempt: Attempt { epoch: 1, n: 0 },
        head: Box::new(Still(script.link)),
        lane,
        batch: crate::config::BATCH_RECORDS,
        clock: clock.clone(),
        restored: restored.map(CheckpointId),
        standstill: Default::default(),
        longest_step: Default::default(),
        report: Box::new(|_| {}),
        offload: Box::new(|_, _| unreachable!()),
        uids: [].into(),
        hooks: Default::default(),
    };
    (Task::new(parts), commands)
}

#[test]
fn a14_a15_the_operator_hears_of_each_completion_once_and_of_none_before_its_own() {
    let (id, script) = (CheckpointId, Script::new());
    let log = script.log.clone();
    let (mut task, commands) = task(script, &Arc::new(Hands(AtomicI64::new(0))), Some(2));
    commands.send(Command::Complete(id(2)));
    commands.send(Command::Complete(id(3)));
    commands.send(Command::Aborted(id(5), Some(id(3))));
    commands.send(Command::Complete(id(3)));
    commands.send(Command::Aborted(id(9), Some(id(8))));
    commands.send(Command::Complete(id(8)));
    commands.send(Command::Cancel);
    assert_eq!(task.step(Waker::noop()).unwrap(), Progress::Done);
    drop(task);
    assert_eq!(log.take(), ["open", "complete 3", "complete 8", "close"]);
}

#[test]
fn d18_d19_a_task_sleeps_until_a_restored_timer_has_passed() {
    let mut first = Script::new();
    let kept = first.record(1, 0, "quiet-clock 10, quiet-clock 70").snapshot();
    let script = Script::restored(kept);
    let (log, clock) = (script.log.clone(), Arc::new(Hands(AtomicI64::new(50))));
    let (mut task, _commands) = task(script, &clock, Some(1));
    let millis = |millis| Progress::Idle(Some(Moment(Duration::from_millis(millis))));
    assert_eq!(task.step(Waker::noop()).unwrap(), millis(71));
    assert_eq!(log.take(), ["open", "1 fires clock 10"]);
    clock.0.store(70, Ordering::Relaxed);
    assert_eq!(task.step(Waker::noop()).unwrap(), millis(71));
    clock.0.store(71, Ordering::Relaxed);
    assert_eq!(task.step(Waker::noop()).unwrap(), Progress::Idle(None));
    assert_eq!(log.take(), ["1 fires clock 70"]);
}
