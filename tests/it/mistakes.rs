//! More mistakes that newcomers make, and what `check_exactly_once` and the suites tell of them.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate::testing::{Kit, Scripted, check_exactly_once, suites};
use tidegate::{
    BoxError, CheckpointId, Context, Job, KeyedOperator, Poll, Records, Sink, SinkContext, SinkWriter, Source, SplitReader,
    Timer, Timestamp, ValueState, Watermarks, millis,
};

#[track_caller]
fn found(check: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("the mistake is found");
    let text = *panic.downcast::<String>().expect("a text");
    println!("{text}");
    text
}

/// A count that all clones share: a view of it is not frozen.
#[derive(Clone, Debug)]
struct Shared(Arc<AtomicU64>);

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.load(Ordering::SeqCst).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|count| Shared(Arc::new(AtomicU64::new(count))))
    }
}

struct SharedCounter(ValueState<Shared>);

impl KeyedOperator for SharedCounter {
    type Key = u64;
    type In = u64;
    type Out = (u64, u64);

    fn on_record(&mut self, _: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let count = ctx.state.get_or_insert_with(self.0, || Shared(Arc::default()));
        let count = count.0.fetch_add(1, Ordering::SeqCst) + 1;
        let key = *ctx.key();
        ctx.out.emit((key, count));
        Ok(())
    }
}

#[test]
fn state_whose_clones_share_is_found() {
    let text = found(|| {
        check_exactly_once(
            |kit: &Kit| {
                let job = Job::new("shared");
                let numbers = job.source("numbers", Scripted::new([(0..60u64).collect()]).batches(3).pause_every(6, millis(2)));
                numbers
                    .key_by(|n| n % 3)
                    .process("totals", |ctx| Ok(SharedCounter(ctx.value("total")?)))
                    .sink("out", kit.sink("out"));
                job
            },
            300,
        );
    });
    assert!(text.contains("exactly-once does not hold"), "{text}");
}

/// What a timer is for is remembered in a field.
#[derive(Default)]
struct Delayed {
    waiting: HashMap<u64, Vec<u64>>,
}

impl KeyedOperator for Delayed {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = *ctx.key();
        self.waiting.entry(key).or_default().push(n);
        ctx.timers.event_time(Timestamp::from_millis(n as i64 + 10));
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = *ctx.key();
        for n in self.waiting.remove(&key).unwrap_or_default() {
            ctx.out.emit(n);
        }
        Ok(())
    }
}

#[test]
fn what_a_timer_is_for_in_a_field_is_found() {
    let text = found(|| {
        check_exactly_once(
            |kit: &Kit| {
                let job = Job::new("delayed");
                let numbers = job.source("numbers", Scripted::new([(0..60u64).collect()]).batches(3).pause_every(6, millis(2)));
                let numbers = numbers
                    .watermarks(Watermarks::bounded(millis(0)).on(|n: &u64| Timestamp::from_millis(*n as i64)).step(millis(1)));
                numbers.key_by(|n| n % 3).process("delayed", |_| Ok(Delayed::default())).sink("out", kit.sink("out"));
                job
            },
            300,
        );
    });
    assert!(text.contains("missing: ") && text.contains("delayed"), "{text}");
}

/// A source that reads ahead, and whose position is where it has read to.
struct Ahead;

struct AheadReader {
    next: u64,
    buffer: VecDeque<u64>,
}

impl Source for Ahead {
    type Item = u64;
    type Position = u64;
    type Reader = AheadReader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok(vec![("all".into(), 0)])
    }

    fn open(&self, split: &str, position: u64) -> Result<AheadReader, BoxError> {
        if split != "all" {
            return Err("there is no such split".into());
        }
        Ok(AheadReader { next: position, buffer: VecDeque::new() })
    }
}

impl SplitReader for AheadReader {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, _: &Waker) -> Result<Poll, BoxError> {
        if self.buffer.is_empty() {
            let page = self.next..(self.next + 16).min(80);
            self.next = page.end;
            self.buffer.extend(page);
        }
        if self.buffer.is_empty() {
            return Ok(Poll::Ended);
        }
        for _ in 0..out.room().min(4) {
            if let Some(n) = self.buffer.pop_front() {
                out.push(n);
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.next
    }
}

#[test]
fn a_position_of_what_was_read_ahead_is_found() {
    let text = found(|| {
        check_exactly_once(
            |kit: &Kit| {
                let job = Job::new("ahead");
                job.source("numbers", Ahead).map(|n| n).sink("out", kit.sink("out"));
                job
            },
            300,
        );
    });
    assert!(text.contains("missing: ") && text.contains("numbers: splits"), "{text}");
    let text = found(|| suites::source(|| Ahead));
    assert!(text.contains("a reader opened at a position goes on exactly there"), "{text}");
}

/// A sink whose commit inserts its rows, however often it is called.
#[derive(Clone, Default)]
struct Inserts(Arc<Mutex<Vec<u64>>>);

struct InsertsWriter(Vec<u64>);

impl Sink for Inserts {
    type Item = u64;
    type Cut = Vec<u64>;
    type Handle = Vec<u64>;
    type Writer = InsertsWriter;

    fn recover(&self, _: &SinkContext, handles: Vec<Vec<u64>>) -> Result<(), BoxError> {
        handles.iter().try_for_each(|handle| self.commit(handle))
    }

    fn open(&self, _: &SinkContext) -> Result<InsertsWriter, BoxError> {
        Ok(InsertsWriter(Vec::new()))
    }

    fn make_durable(&self, cut: Vec<u64>) -> Result<Vec<Vec<u64>>, BoxError> {
        Ok(if cut.is_empty() { Vec::new() } else { vec![cut] })
    }

    fn commit(&self, handle: &Vec<u64>) -> Result<(), BoxError> {
        self.0.lock().unwrap().extend(handle);
        Ok(())
    }
}

impl SinkWriter for InsertsWriter {
    type Item = u64;
    type Cut = Vec<u64>;

    fn write(&mut self, records: &mut Vec<u64>) -> Result<(), BoxError> {
        self.0.append(records);
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<Vec<u64>, BoxError> {
        Ok(std::mem::take(&mut self.0))
    }
}

#[test]
fn a_commit_that_counts_twice_is_found() {
    let text = found(|| {
        check_exactly_once(
            |kit: &Kit| {
                let table = kit.keep("table", Inserts::default);
                let shown = table.clone();
                kit.shows("table", move || shown.0.lock().unwrap().iter().map(u64::to_string).collect());
                let job = Job::new("inserts");
                job.source("numbers", Scripted::new([(0..60u64).collect()]).batches(3).pause_every(6, millis(2)))
                    .sink("table", table);
                job
            },
            300,
        );
    });
    assert!(text.contains("too many: "), "{text}");
    let table = Inserts::default();
    let seen = table.clone();
    let text = found(move || suites::sink(move || table.clone(), |n| n, move || seen.0.lock().unwrap().clone()));
    assert!(text.contains("committing again is a success and changes nothing"), "{text}");
}

/// A top list that is emitted in the order of a hash map.
#[test]
fn a_flow_that_depends_on_randomness_is_told_apart() {
    let text = found(|| {
        check_exactly_once(
            |kit: &Kit| {
                let job = Job::new("random");
                let numbers = job.source("numbers", Scripted::new([(0..40u64).collect()]));
                numbers
                    .map(|n: u64| {
                        let all: HashMap<u64, u64> = (0..8).map(|i| (i, n)).collect();
                        all.keys().next().copied().unwrap_or_default()
                    })
                    .sink("out", kit.sink("out"));
                job
            },
            100,
        );
    });
    assert!(text.contains("without any fault") || text.contains("is not the same"), "{text}");
}
