//! The harness for one operator: what goes in, what comes out, what is remembered, and what is restored.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tidegate::testing::{Emitted, OpenOperator, OperatorHarness, RecordingSink, SinkEvent, TransactionId};
use tidegate::{
    Attempt, BoxError, CheckpointId, Context, Error, FinishContext, KeyedOperator, OpenContext, Side, SideOutput, Stream,
    TimeDomain, Timer, Timestamp, Tumbling, ValueState, millis,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// What happened to an operator, beside what it emits.
type Log = Arc<Mutex<Vec<String>>>;

/// Remembers the last word of each key, and obeys some of them.
struct Echo {
    last: ValueState<String>,
    odd: Side<String>,
    log: Log,
}

impl Echo {
    fn say(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }
}

impl KeyedOperator for Echo {
    type Key = u64;
    type In = (u64, String);
    type Out = String;

    fn on_record(&mut self, (_, word): (u64, String), ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let (verb, what) = word.split_once(' ').unwrap_or((&word, ""));
        match verb {
            "event" => drop(ctx.timers.event_time(at(what.parse()?))),
            "clock" => drop(ctx.timers.processing_time(at(what.parse()?))),
            "odd" => ctx.side.emit(self.odd, what.to_owned()),
            "fail" => return Err("told to fail".into()),
            "panic" => panic!("told to panic"),
            _ => ctx.out.emit(word.clone()),
        }
        ctx.state.set(self.last, word);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let now = ctx.processing_time().millis();
        ctx.out.emit(format!("{} {:?} {} now {now}", ctx.key(), timer.domain, timer.time.millis()));
        Ok(())
    }

    fn finish(&mut self, ctx: &mut FinishContext<'_, Self>) -> Result<(), BoxError> {
        ctx.out.emit("the last".into());
        Ok(())
    }

    fn on_checkpoint_complete(&mut self, id: CheckpointId) -> Result<(), BoxError> {
        self.say(format!("complete {id}"));
        Ok(())
    }

    fn close(&mut self) {
        self.say("close".into());
    }
}

fn odd() -> SideOutput<String> {
    SideOutput::new("odd")
}

fn echo_logging(log: &Log) -> OperatorHarness<(u64, String), String> {
    let log = log.clone();
    let harness = OperatorHarness::of(move |words: &Stream<(u64, String)>| {
        let log = log.clone();
        words.key_by(|(key, _)| *key).process("echo", move |ctx: &mut OpenContext<'_, u64>| {
            let opened = format!("open {}/{} restored {}", ctx.index(), ctx.parallelism(), ctx.is_restored());
            log.lock().unwrap().push(opened);
            Ok(Echo { last: ctx.value("last")?, odd: ctx.side(&odd())?, log: log.clone() })
        })
    });
    harness.side(&odd())
}

fn echo() -> OperatorHarness<(u64, String), String> {
    echo_logging(&Log::default())
}

fn word(word: &str) -> (u64, String) {
    (1, word.to_owned())
}

fn record(word: &str, time: impl Into<Option<i64>>) -> Emitted<String> {
    Emitted::Record(word.into(), time.into().map(at))
}

#[test]
fn what_comes_out_stands_in_its_order_with_its_timestamps() {
    let mut echo = echo().open().unwrap();
    echo.push(word("a")).unwrap();
    echo.push_at(word("b"), at(5)).unwrap();
    echo.watermark(at(7)).unwrap();
    let snapshot = echo.snapshot().unwrap();
    echo.push_at(word("c"), at(9)).unwrap();
    echo.idle().unwrap();
    echo.push_at(word("d"), at(9)).unwrap();
    echo.end().unwrap();
    let expected = [
        record("a", None),
        record("b", 5),
        Emitted::Watermark(at(7)),
        Emitted::Barrier(snapshot.id()),
        record("c", 9),
        Emitted::Idle,
        Emitted::Active,
        record("d", 9),
        Emitted::Watermark(Timestamp::MAX),
        record("the last", None),
        Emitted::End,
    ];
    assert_eq!(echo.events(), expected);
    assert_eq!(echo.events(), []);
}

#[test]
fn side_outputs_are_apart() {
    let mut echo = echo().open().unwrap();
    echo.push_at(word("odd one"), at(5)).unwrap();
    echo.push(word("even")).unwrap();
    echo.watermark(at(6)).unwrap();
    assert_eq!(echo.output(), ["even"]);
    assert_eq!(echo.side_events(&odd()), [record("one", 5), Emitted::Watermark(at(6))]);
    assert_eq!(echo.side(&odd()), [""; 0]);
}

#[test]
#[should_panic(expected = "does not listen to the side output 'other'")]
fn a_side_output_that_the_harness_does_not_know_is_a_mistake_of_the_test() {
    echo().open().unwrap().side(&SideOutput::<String>::new("other"));
}

#[test]
fn event_time_timers_are_listed_and_fire_before_the_watermark_goes_on() {
    let mut echo = echo().open().unwrap();
    for (key, time) in [(1, 30), (2, 10), (1, 10), (3, 50)] {
        echo.push((key, format!("event {time}"))).unwrap();
    }
    let timer = |key: u64, time| (key, Timer { domain: TimeDomain::Event, time: at(time) });
    assert_eq!(echo.timers().unwrap(), [timer(2, 10), timer(1, 10), timer(1, 30), timer(3, 50)]);
    echo.watermark(at(30)).unwrap();
    let fired = ["2 Event 10 now 0", "1 Event 10 now 0", "1 Event 30 now 0"];
    let times = [10, 10, 30];
    let mut expected: Vec<_> = fired.iter().zip(times).map(|(fired, time)| record(fired, time)).collect();
    expected.push(Emitted::Watermark(at(30)));
    assert_eq!(echo.events(), expected);
    assert_eq!(echo.timers().unwrap(), [timer(3, 50)]);
}

#[test]
fn processing_time_timers_fire_each_at_its_time() {
    let mut echo = echo().wall_clock(at(1000)).open().unwrap();
    for time in [1050, 1020, 2000] {
        echo.push(word(&format!("clock {time}"))).unwrap();
    }
    echo.advance_clock(millis(20)).unwrap();
    assert_eq!(echo.output(), [""; 0], "the clock has not passed it");
    echo.advance_clock(millis(100)).unwrap();
    assert_eq!(echo.output(), ["1 Processing 1020 now 1021", "1 Processing 1050 now 1051"]);
    assert_eq!(echo.wall_clock(), at(1120));
}

#[test]
fn what_came_due_while_it_was_down_fires_at_the_restore() {
    let mut first = echo().open().unwrap();
    first.push(word("clock 50")).unwrap();
    let snapshot = first.snapshot().unwrap();
    let mut second = echo().wall_clock(at(500)).restore(&snapshot).unwrap();
    assert_eq!(second.output(), ["1 Processing 50 now 500"]);
}

#[test]
fn state_is_read_by_name_and_key() {
    let mut echo = echo().open().unwrap();
    echo.push(word("a")).unwrap();
    echo.push((2, "b".into())).unwrap();
    echo.push(word("c")).unwrap();
    assert_eq!(echo.state("last", &1u64).unwrap(), Some("c".to_string()));
    assert_eq!(echo.state::<u64, String>("last", &3).unwrap(), None);
    let all: BTreeMap<u64, String> = echo.states("last").unwrap().into_iter().collect();
    assert_eq!(all, BTreeMap::from([(1, "c".to_string()), (2, "b".to_string())]));
    assert_eq!(echo.events().len(), 3, "looking at the state is not to be seen");
    assert_eq!(echo.side_events(&odd()), []);
}

#[test]
fn a_state_is_asked_for_by_its_name_and_with_its_types() {
    let mut echo = echo().open().unwrap();
    echo.push(word("a")).unwrap();
    let unknown = echo.state::<u64, String>("lost", &1).unwrap_err().to_string();
    assert!(unknown.contains("no operator has a state 'lost'; there are: 'last', 'timers'"), "{unknown}");
    let of_other_type = echo.state::<u64, u64>("last", &1).unwrap_err().to_string();
    assert!(of_other_type.contains("the state 'last' holds keys or values of other types"), "{of_other_type}");
    let no_values = echo.state::<u64, String>("timers", &1).unwrap_err().to_string();
    assert!(no_values.contains("'timers' has no value for each key"), "{no_values}");
}

#[test]
fn an_error_names_the_operator_and_its_callback_and_is_final() {
    let mut echo = echo().open().unwrap();
    let error = echo.push(word("fail")).unwrap_err();
    let Error::Operator { operator, callback, cause, .. } = &error else { panic!("{error}") };
    assert_eq!((operator.as_str(), *callback, cause.as_str()), ("echo", "on_record", "told to fail"));
    assert_eq!(echo.push(word("a")).unwrap_err().to_string(), error.to_string());
    assert!(echo.snapshot().is_err());
}

#[test]
fn a_panic_is_an_error_that_names_the_operator() {
    let mut echo = echo().open().unwrap();
    let error = echo.push(word("panic")).unwrap_err();
    assert!(
        matches!(&error, Error::Panic { operator, message, .. } if operator == "echo" && message == "told to panic"),
        "{error}"
    );
}

#[test]
fn an_operator_is_told_of_complete_checkpoints_and_closed_once() {
    let log = Log::default();
    let mut echo = echo_logging(&log).open().unwrap();
    let first = echo.snapshot().unwrap();
    let second = echo.snapshot().unwrap();
    echo.complete(&second).unwrap();
    echo.complete(&first).unwrap();
    drop(echo);
    assert_eq!(*log.lock().unwrap(), ["open 0/1 restored false", "complete 2", "close"]);
}

#[test]
fn behind_its_end_a_restored_operator_stays_ended() {
    let log = Log::default();
    let mut first = echo_logging(&log).open().unwrap();
    first.push(word("a")).unwrap();
    first.end().unwrap();
    assert_eq!(first.output(), ["a", "the last"]);
    let snapshot = first.snapshot().unwrap();
    log.lock().unwrap().clear();
    let mut second = echo_logging(&log).restore(&snapshot).unwrap();
    assert_eq!(second.events(), [Emitted::End]);
    assert_eq!(*log.lock().unwrap(), [""; 0], "its factory is not called");
    assert_eq!(second.state("last", &1u64).unwrap(), Some("a".to_string()), "and its state is kept");
}

#[test]
fn a_restored_operator_goes_on_at_its_watermark() {
    let mut first = echo().open().unwrap();
    first.watermark(at(70)).unwrap();
    let snapshot = first.snapshot().unwrap();
    let mut second = echo().restore(&snapshot).unwrap();
    second.push(word("event 100")).unwrap();
    second.watermark(at(100)).unwrap();
    assert_eq!(second.events(), [record("1 Event 100 now 0", 100), Emitted::Watermark(at(100))]);
    let third = second.snapshot().unwrap();
    assert!(third.id() > snapshot.id());
}

#[test]
#[should_panic(expected = "the watermark 5 ms is not above the one before, 7 ms")]
fn a_watermark_that_falls_is_a_mistake_of_the_test() {
    let mut echo = echo().open().unwrap();
    echo.watermark(at(7)).unwrap();
    let snapshot = echo.snapshot().unwrap();
    let _ = self::echo().restore(&snapshot).unwrap().watermark(at(5));
}

#[test]
fn a_snapshot_is_restored_by_the_operator_that_it_was_taken_of() {
    let mut echo = echo().open().unwrap();
    echo.push(word("a")).unwrap();
    let snapshot = echo.snapshot().unwrap();
    let other = OperatorHarness::of(|words: &Stream<(u64, String)>| words.key_by(|(key, _)| *key).count());
    let error = other.restore(&snapshot).unwrap_err().to_string();
    assert!(error.contains("state of 'echo', and the flow has no operator with its uid"), "{error}");
    let error = self::echo().max_parallelism(64).restore(&snapshot).unwrap_err().to_string();
    assert!(error.contains("maximum parallelism of 128"), "{error}");
}

/// Pushes each key `times` times, and returns the highest count of each that came out.
fn count_keys(counts: &mut OpenOperator<u64, (u64, u64)>, times: u64) -> BTreeMap<u64, u64> {
    for _ in 0..times {
        (0..200).for_each(|key| counts.push(key).unwrap());
    }
    counts.output().into_iter().collect()
}

#[test]
fn c10_c11_instances_share_the_keys_and_what_each_remembers_moves_with_them() {
    let harness = OperatorHarness::of(|keys: &Stream<u64>| keys.key_by(|key| *key).count());
    let mut counts = harness.open().unwrap();
    let mut expected = 0;
    for parallelism in [1, 3, 2, 5, 1] {
        let before = counts.snapshot().unwrap();
        counts = harness.parallelism(parallelism).restore(&before).unwrap();
        expected += 2;
        let counted = count_keys(&mut counts, 2);
        assert_eq!(counted.len(), 200);
        assert!(counted.values().all(|count| *count == expected), "at parallelism {parallelism}: {counted:?}");
        assert_eq!(counts.states::<u64, u64>("accumulators").unwrap().len(), 200);
    }
}

#[test]
fn what_an_operator_keeps_in_a_field_is_lost_at_a_restore() {
    /// Counts where it should not.
    struct InAField {
        count: u64,
    }
    impl KeyedOperator for InAField {
        type Key = u64;
        type In = u64;
        type Out = u64;

        fn on_record(&mut self, _: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
            self.count += 1;
            ctx.out.emit(self.count);
            Ok(())
        }
    }
    let harness = OperatorHarness::of(|keys: &Stream<u64>| {
        keys.key_by(|key| *key).process("count", |_: &mut OpenContext<'_, u64>| Ok(InAField { count: 0 }))
    });
    let mut first = harness.open().unwrap();
    first.push(1).unwrap();
    first.push(1).unwrap();
    let mut second = harness.restore(&first.snapshot().unwrap()).unwrap();
    second.push(1).unwrap();
    assert_eq!((first.output(), second.output()), (vec![1, 2], vec![1]));
}

#[test]
fn every_instance_sees_its_own_index() {
    let log = Log::default();
    let _open = echo_logging(&log).parallelism(3).open().unwrap();
    let mut opened = log.lock().unwrap().clone();
    opened.sort();
    assert_eq!(opened, ["open 0/3 restored false", "open 1/3 restored false", "open 2/3 restored false"]);
}

#[test]
fn built_ins_are_tested_alike() {
    let mut halves = OperatorHarness::of(|n: &Stream<u64>| n.filter(|n| n % 2 == 0).map(|n| n / 2)).open().unwrap();
    (0..5).for_each(|n| halves.push_at(n, at(n as i64)).unwrap());
    let expected = [(0, 0), (1, 2), (2, 4)].map(|(half, time)| Emitted::Record(half, Some(at(time))));
    assert_eq!(halves.events(), expected);

    let mut many = OperatorHarness::of(|n: &Stream<u64>| n.flat_map(|n| 0..n)).open().unwrap();
    many.push(5000).unwrap();
    assert_eq!(many.output(), (0..5000).collect::<Vec<_>>());

    let mut sums =
        OperatorHarness::of(|n: &Stream<u64>| n.key_by(|n| n % 3).reduce(|sum, n| sum + n)).parallelism(2).open().unwrap();
    (1..=6).for_each(|n| sums.push(n).unwrap());
    assert_eq!(sums.output().into_iter().collect::<BTreeMap<_, _>>(), BTreeMap::from([(0, 9), (1, 5), (2, 7)]));
}

#[test]
fn d10_windows_are_restored_with_what_is_in_them() {
    let harness = OperatorHarness::of(|n: &Stream<u64>| n.key_by(|n| n % 50).window(Tumbling::of(millis(100))).count());
    let mut first = harness.parallelism(2).open().unwrap();
    (0..50).for_each(|n| first.push_at(n, at(n as i64)).unwrap());
    let mut second = harness.parallelism(3).restore(&first.snapshot().unwrap()).unwrap();
    (0..50).for_each(|n| second.push_at(n, at(99)).unwrap());
    second.watermark(at(98)).unwrap();
    assert_eq!(second.output().len(), 0);
    second.watermark(at(99)).unwrap();
    let results = second.output();
    assert_eq!(results.len(), 50);
    assert!(results.iter().all(|result| result.value == 2));
}

#[test]
fn a_description_that_cannot_run_is_refused() {
    let error = OperatorHarness::of(|n: &Stream<u64>| n.map(|n| n)).parallelism(0).open().unwrap_err();
    assert!(matches!(error, Error::InvalidFlow { .. }), "{error}");
    let unused = OperatorHarness::of(|n: &Stream<u64>| {
        let _goes_nowhere = n.map(|n| n + 1);
        n.map(|n| n)
    });
    let error = unused.open().unwrap_err().to_string();
    assert!(error.contains("goes nowhere"), "{error}");
}

#[test]
fn an_error_in_the_factory_names_the_operator() {
    let harness = OperatorHarness::of(|words: &Stream<(u64, String)>| {
        words.key_by(|(key, _)| *key).process("echo", |ctx: &mut OpenContext<'_, u64>| {
            let (last, odd) = (ctx.value("last")?, ctx.side(&odd())?);
            Ok(Echo { last, odd, log: Log::default() })
        })
    });
    let error = harness.open().unwrap_err().to_string();
    assert!(error.contains("operator 'echo'") && error.contains("nothing consumes the side output 'odd'"), "{error}");
}

#[test]
fn a_description_is_described_anew_at_each_opening() {
    let described = Arc::new(AtomicU64::new(0));
    let counted = described.clone();
    let harness = OperatorHarness::of(move |n: &Stream<u64>| {
        counted.fetch_add(1, Ordering::SeqCst);
        n.map(|n| n)
    });
    let (mut one, mut other) = (harness.open().unwrap(), harness.open().unwrap());
    one.push(1).unwrap();
    assert_eq!((one.output(), other.output()), (vec![1], vec![]));
    assert_eq!(described.load(Ordering::SeqCst), 2);
}

#[test]
fn a_sink_within_the_piece_is_told_all_in_order_and_recovered_with_its_handles() {
    use SinkEvent::{Aborted, Begun, Closed, Committed, Cut, Opened, Prepared, Recovered, Written};
    let sink = RecordingSink::<u64>::new();
    let written = sink.clone();
    let harness = OperatorHarness::of(move |n: &Stream<u64>| {
        n.sink("out", written.clone());
        n.map(|n| n)
    });
    let attempt = |epoch| Attempt { epoch, n: 1 };
    let [one, two, three] = [1, 2, 3].map(TransactionId);

    let mut open = harness.open().unwrap();
    open.push(1).unwrap();
    let first = open.snapshot().unwrap();
    open.complete(&first).unwrap();
    open.push(2).unwrap();
    let second = open.snapshot().unwrap();
    open.push(3).unwrap();
    drop(open);
    let begun = [Recovered(attempt(1), vec![]), Opened(attempt(1), 0)];
    let first_taken = [Begun(one), Written(one, 1), Cut(first.id(), Some(one)), Prepared(one), Committed(one)];
    let second_taken = [Begun(two), Written(two, 1), Cut(second.id(), Some(two)), Prepared(two)];
    let given_up = [Begun(three), Written(three, 1), Closed(0), Aborted(three)];
    let mut expected = [&begun[..], &first_taken, &second_taken, &given_up].concat();
    assert_eq!(sink.events(), expected);

    drop(harness.restore(&second).unwrap());
    let recovered = [Recovered(attempt(2), vec![two]), Committed(two), Opened(attempt(2), 0), Closed(0)];
    expected.extend(recovered);
    assert_eq!(sink.events(), expected);
    assert_eq!((sink.committed(), sink.violations()), (vec![1, 2], vec![]));

    // A transaction that was prepared, and of which no handle knows.
    let mut open = harness.open().unwrap();
    open.push(4).unwrap();
    let lost = open.snapshot().unwrap();
    drop(open);
    drop(harness.open().unwrap());
    let four = TransactionId(4);
    expected.extend([Recovered(attempt(1), vec![]), Opened(attempt(1), 0), Begun(four), Written(four, 1)]);
    expected.extend([Cut(lost.id(), Some(four)), Prepared(four), Closed(0)]);
    expected.extend([Recovered(attempt(1), vec![]), Aborted(four), Opened(attempt(1), 0), Closed(0)]);
    assert_eq!(sink.events(), expected);
}
