//! What `check_exactly_once` finds of the mistakes that everybody makes once, and what it tells of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tidegate::testing::{Kit, Scripted, check_exactly_once};
use tidegate::{
    BoxError, CheckpointId, Context, Job, KeyedOperator, OpenContext, Poll, Records, Sink, SinkContext, SinkWriter, Source,
    SplitReader, ValueState,
};

/// What the check says of a job that it must not let pass.
#[track_caller]
fn found(job: impl Fn(&Kit) -> Job) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| check_exactly_once(job, 300))).expect_err("the mistake is found");
    let text = *panic.downcast::<String>().expect("a text");
    println!("{text}");
    text
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "it does not say '{part}':\n{text}"));
}

/// Counts the records of each key.
enum Counter {
    InState(ValueState<u64>),
    InField(HashMap<u64, u64>),
}

impl KeyedOperator for Counter {
    type Key = u64;
    type In = u64;
    type Out = (u64, u64);

    fn on_record(&mut self, _: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = *ctx.key();
        let count = match self {
            Counter::InState(state) => ctx.state.get_or_insert_with(*state, || 0),
            Counter::InField(counts) => counts.entry(key).or_default(),
        };
        *count += 1;
        ctx.out.emit((key, *count));
        Ok(())
    }
}

/// A source of a user's own: numbers, in two splits.
struct Numbers {
    /// Where a reader says it is, beside where it is.
    off_by: u64,
}

struct NumbersReader {
    split: u64,
    next: u64,
    off_by: u64,
}

impl Source for Numbers {
    type Item = u64;
    type Position = u64;
    type Reader = NumbersReader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok(vec![("0".into(), 0), ("1".into(), 0)])
    }

    fn open(&self, split: &str, position: u64) -> Result<NumbersReader, BoxError> {
        Ok(NumbersReader { split: split.parse()?, next: position, off_by: self.off_by })
    }
}

impl SplitReader for NumbersReader {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, _: &Waker) -> Result<Poll, BoxError> {
        for _ in 0..out.room() {
            if self.next == 40 {
                return Ok(Poll::Ended);
            }
            out.push(self.next * 2 + self.split);
            self.next += 1;
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.next.saturating_sub(self.off_by)
    }
}

/// A database with transactions, as a user's own sink talks to it.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    pending: BTreeMap<u64, Vec<u64>>,
    next: u64,
    rows: Vec<u64>,
}

impl Database {
    fn prepare(&self, rows: Vec<u64>) -> u64 {
        let mut tables = self.0.lock().unwrap();
        tables.next += 1;
        let id = tables.next;
        tables.pending.insert(id, rows);
        id
    }

    fn commit(&self, id: u64) {
        let mut tables = self.0.lock().unwrap();
        let rows = tables.pending.remove(&id).unwrap_or_default();
        tables.rows.extend(rows);
    }

    fn insert(&self, rows: &[u64]) {
        self.0.lock().unwrap().rows.extend(rows);
    }

    fn roll_back(&self, kept: &[u64]) {
        self.0.lock().unwrap().pending.retain(|id, _| kept.contains(id));
    }

    fn rows(&self) -> Vec<String> {
        self.0.lock().unwrap().rows.iter().map(u64::to_string).collect()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// Writes at a barrier what came before it, and commits when that is complete.
    Sound,
    /// Writes at once.
    CommitsEarly,
    /// Rolls back what the attempt before had prepared.
    RollsBack,
}

/// A sink of a user's own.
struct Table {
    database: Database,
    habit: Habit,
}

struct TableWriter {
    database: Database,
    habit: Habit,
    rows: Vec<u64>,
}

impl Sink for Table {
    type Item = u64;
    type Cut = Vec<u64>;
    type Handle = u64;
    type Writer = TableWriter;

    fn recover(&self, _: &SinkContext, handles: Vec<u64>) -> Result<(), BoxError> {
        if self.habit != Habit::RollsBack {
            handles.iter().for_each(|handle| self.database.commit(*handle));
        }
        self.database.roll_back(&[]);
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<TableWriter, BoxError> {
        Ok(TableWriter { database: self.database.clone(), habit: self.habit, rows: Vec::new() })
    }

    fn make_durable(&self, cut: Vec<u64>) -> Result<Vec<u64>, BoxError> {
        Ok(if cut.is_empty() { Vec::new() } else { vec![self.database.prepare(cut)] })
    }

    fn commit(&self, handle: &u64) -> Result<(), BoxError> {
        self.database.commit(*handle);
        Ok(())
    }
}

impl SinkWriter for TableWriter {
    type Item = u64;
    type Cut = Vec<u64>;

    fn write(&mut self, records: &mut Vec<u64>) -> Result<(), BoxError> {
        match self.habit {
            Habit::CommitsEarly => self.database.insert(records),
            _ => self.rows.append(records),
        }
        records.clear();
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<Vec<u64>, BoxError> {
        Ok(std::mem::take(&mut self.rows))
    }
}

fn counting(kit: &Kit, counter: fn(&mut OpenContext<'_, u64>) -> Result<Counter, BoxError>) -> Job {
    let job = Job::new("counting");
    let numbers = job.source("numbers", Numbers { off_by: 0 });
    numbers.key_by(|n| n % 3).process("totals", counter).sink("out", kit.sink("out"));
    job
}

fn stored(kit: &Kit, off_by: u64, habit: Habit) -> Job {
    let database = kit.keep("database", Database::default);
    let shown = database.clone();
    kit.shows("table", move || shown.rows());
    let job = Job::new("stored");
    job.source("numbers", Numbers { off_by }).map(|n| n + 1).sink("table", Table { database, habit });
    job
}

#[test]
fn what_is_right_passes() {
    check_exactly_once(|kit| counting(kit, |ctx| Ok(Counter::InState(ctx.value("total")?))), 150);
    check_exactly_once(|kit| stored(kit, 0, Habit::Sound), 150);
}

#[test]
fn state_in_a_field_is_found() {
    let text = found(|kit| counting(kit, |_| Ok(Counter::InField(HashMap::new()))));
    says(&text, &["exactly-once does not hold: 'out' ", "too many: (", "replay it: TIDEGATE_SEED=", "TIDEGATE_PLAN='"]);
    says(&text, &["cargo test newcomer::state_in_a_field_is_found -- --exact", "totals: no state"]);
}

/// Lets each number through once, by what the closure remembers: that outlives a restart, and what is replayed is gone.
#[test]
fn what_a_closure_remembers_is_found() {
    let text = found(|kit| {
        let job = Job::new("once");
        let seen = Mutex::new(BTreeSet::new());
        let numbers = job.source("numbers", Scripted::new([(0..40).map(|n| n / 2).collect::<Vec<u64>>()]));
        numbers.filter(move |n| seen.lock().unwrap().insert(*n)).uid("once").sink("out", kit.sink("out"));
        job
    });
    says(
        &text,
        &[
            "exactly-once does not hold",
            "missing:",
            "cargo test newcomer::what_a_closure_remembers_is_found -- --exact",
            "process 1:",
        ],
    );
}

#[test]
fn a_position_that_is_off_by_one_is_found() {
    let text = found(|kit| stored(kit, 1, Habit::Sound));
    says(&text, &["too many: ", "replay it: TIDEGATE_SEED=", "numbers: splits"]);
}

#[test]
fn a_sink_that_writes_before_its_checkpoint_is_found() {
    let text = found(|kit| stored(kit, 0, Habit::CommitsEarly));
    says(&text, &["'table' ", "too many: ", "replay it: TIDEGATE_SEED="]);
}

#[test]
fn a_sink_that_rolls_back_what_it_had_prepared_is_found() {
    let text = found(|kit| stored(kit, 0, Habit::RollsBack));
    says(&text, &["'table' ", "missing:  ", "replay it: TIDEGATE_SEED="]);
}

#[test]
fn output_that_depends_on_the_order_is_told_apart() {
    let text = found(|kit| {
        let job = Job::new("sums");
        let numbers = job.source("numbers", Scripted::new([(0..30u64).collect(), (30..60).collect()]));
        numbers.key_by(|n| n % 2).reduce(|sum, n| sum + n).sink("sums", kit.sink("sums"));
        job
    });
    says(&text, &["without any fault, 'sums' shows other records when tasks run in another order", "Kit::sink_as"]);
}

#[test]
fn a_job_without_output_that_is_compared_is_refused() {
    let text = found(|kit| {
        let job = Job::new("blind");
        job.source("numbers", Numbers { off_by: 0 })
            .sink("table", Table { database: kit.keep("db", Database::default), habit: Habit::Sound });
        job
    });
    says(&text, &["nothing of the job's output is compared", "Kit::shows"]);
}

#[test]
fn a_flow_that_cannot_run_is_told_at_once() {
    let text = found(|kit| {
        let job = Job::new("twice");
        let numbers = job.source("numbers", Numbers { off_by: 0 });
        numbers.sink("out", kit.sink("out"));
        numbers.sink("out", kit.sink("out"));
        job
    });
    says(&text, &["without any fault, the job does not finish", "uid 'out'"]);
}
