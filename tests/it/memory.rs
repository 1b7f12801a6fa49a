//! Restarts inside a process: from the views that are still in memory, or from files. Nobody sees which, except by the clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::{Deserialize, Deserializer, Serialize};
use tidegate::testing::{
    DiskCall, DiskFault, DiskState, Fault, Happening, RecordingSink, Restores, Run, Scripted, Simulation, SinkCall,
};
use tidegate::{
    BoxError, Checkpoints, Context, Job, KeyedOperator, OpenContext, Restart, Timer, Timestamp, Tumbling, ValueState, Watermarks,
    millis,
};

use crate::common::{Counted, counted, finished, job, sound};

/// How often a restart, which could have done either, took its state from there.
fn restored(run: &Run, from: Happening) -> usize {
    run.trace.0.iter().filter(|(_, happening)| *happening == from).count()
}

/// The numbers below `n`, so slowly that some checkpoints are completed on the way.
fn slowly(n: u64) -> Scripted<u64> {
    Scripted::new([(0..n).collect()]).batches(5).pause_every(5, millis(10))
}

/// Counts by remainder, with a failure of the map at some records.
fn count(sim: &Simulation, checkpoints: Checkpoints, check: &Fault, out: &RecordingSink<Counted>) -> Job {
    let job = Job::new("job").store(sim.disk().store()).checkpoints(checkpoints).restart(Restart::fixed_delay(5, millis(5)));
    let check = check.clone();
    let checked = job.source("numbers", slowly(100)).map(move |n: u64| {
        check.trip();
        n
    });
    checked.key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    job
}

/// A small flow with every kind of state, as data.
#[derive(Clone, Debug)]
struct Shape {
    splits: Vec<u64>,
    parallelism: u32,
    keys: u64,
    window_ms: u64,
    interval_ms: u64,
    concurrent: usize,
}

/// Counts and sums for each key, and says when its timers fire.
struct Clocked {
    seen: ValueState<u64>,
    sum: ValueState<u64>,
}

impl KeyedOperator for Clocked {
    type Key = u64;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let at = ctx.timestamp().ok_or("it has event time")?;
        ctx.timers.event_time(Timestamp::from_millis(at.millis() / 20 * 20 + 39));
        *ctx.state.get_or_insert_with(self.seen, || 0) += 1;
        *ctx.state.get_or_insert_with(self.sum, || 0) += n;
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.out.emit(format!("{} at {}", ctx.key(), timer.time.millis()));
        Ok(())
    }
}

fn clocked(ctx: &mut OpenContext<'_, u64>) -> Result<Clocked, BoxError> {
    Ok(Clocked { seen: ctx.value("seen")?, sum: ctx.value("sum")? })
}

/// What a run has committed, and the state at its end.
type Outcome = (Vec<String>, Vec<String>, Vec<Counted>, DiskState);

fn describe(
    sim: &Simulation,
    shape: &Shape,
    check: &Fault,
    outs: &(RecordingSink<String>, RecordingSink<String>, RecordingSink<Counted>),
) -> Job {
    let checkpoints = Checkpoints::every(millis(shape.interval_ms)).max_concurrent(shape.concurrent);
    let job = Job::new("job").store(sim.disk().store()).checkpoints(checkpoints).restart(Restart::fixed_delay(9, millis(2)));
    let job = job.parallelism(shape.parallelism);
    let script = Scripted::new(shape.splits.iter().map(|n| (0..*n).collect())).batches(5).pause_every(7, millis(9));
    let source = job.source("numbers", script);
    let source = source.watermarks(Watermarks::bounded(millis(0)).on(|n: &u64| Timestamp::from_millis(*n as i64)));
    let (check, keys) = (check.clone(), shape.keys);
    let checked = source.map(move |n: u64| {
        check.trip();
        n
    });
    let keyed = checked.key_by(move |n| n % keys);
    keyed.process("clocked", clocked).sink("timers", outs.0.clone());
    let windows = keyed.window(Tumbling::of(millis(shape.window_ms))).count().uid("panes");
    windows.map(|of| format!("{} {}: {}", of.key, of.window, of.value)).sink("windows", outs.1.clone());
    keyed.count().uid("by-key").sink("counts", outs.2.clone());
    job
}

fn outcome(seed: u64, shape: &Shape, check: &Fault, restores: Restores) -> (Outcome, Run) {
    let sim = Simulation::new(seed).restores(restores);
    let outs = (sim.sink(), sim.sink(), sim.sink());
    let run = sim.run(describe(&sim, shape, check, &outs));
    finished(&run);
    sound(&outs.2);
    let (_, mut state) = sim.disk().state("job").expect("readable").expect("there is a checkpoint");
    state.retain(|(_, name), _| name != "handles" && name != "records" && name != "splits");
    ((outs.0.sorted(), outs.1.sorted(), outs.2.sorted(), state), run)
}

fn shape() -> impl Strategy<Value = Shape> {
    (prop::collection::vec(20u64..70, 1..4), 1u32..4, 1u64..12, 5u64..60, 3u64..20, 1usize..3).prop_map(
        |(splits, parallelism, keys, window_ms, interval_ms, concurrent)| Shape {
            splits,
            parallelism,
            keys,
            window_ms,
            interval_ms,
            concurrent,
        },
    )
}

/// Compares a run with several failures with one without; how many restarts were from memory, and from files.
fn is_the_same(shape: &Shape, seed: u64, (first, times): (u64, u64)) -> Result<(usize, usize), TestCaseError> {
    let (wanted, _) = outcome(seed, shape, &Fault::panic_at(u64::MAX), Restores::Drawn);
    let (mut memory, mut files) = (0, 0);
    for restores in [Restores::FromMemory, Restores::FromFiles, Restores::Drawn] {
        let check = Fault::panic_at(first).times(times);
        let (found, run) = outcome(seed, shape, &check, restores);
        prop_assert_eq!(&found.0, &wanted.0, "timers, {:?}: {}", restores, run);
        prop_assert_eq!(&found.1, &wanted.1, "windows, {:?}: {}", restores, run);
        prop_assert_eq!(&found.2, &wanted.2, "counts, {:?}: {}", restores, run);
        prop_assert!(found.3 == wanted.3, "the state at the end, {:?}: {}", restores, run);
        prop_assert_eq!(finished(&run).restarts_from_memory, restored(&run, Happening::FromMemory) as u64);
        match restores {
            Restores::FromMemory => prop_assert_eq!(restored(&run, Happening::FromFiles), 0),
            Restores::FromFiles => prop_assert_eq!(restored(&run, Happening::FromMemory), 0),
            Restores::Drawn => {}
        }
        memory += restored(&run, Happening::FromMemory);
        files += restored(&run, Happening::FromFiles);
    }
    Ok((memory, files))
}

/// Cases of the property, each of four runs.
const CASES: u32 = 30;

/// Values, timers, windows, lists of splits, handles of sinks.
#[test]
fn c16_a_restart_from_memory_is_one_from_files() {
    let (memory, files) = (AtomicU64::new(0), AtomicU64::new(0));
    let cases = (shape(), 0..10_000u64, (30u64..100, 1u64..5));
    let outcome = TestRunner::new(Config { source_file: Some(file!()), ..Config::with_cases(CASES) }).run(
        &cases,
        |(shape, seed, failures)| {
            let (from_memory, from_files) = is_the_same(&shape, seed, failures)?;
            memory.fetch_add(from_memory as u64, Ordering::Relaxed);
            files.fetch_add(from_files as u64, Ordering::Relaxed);
            Ok(())
        },
    );
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let (memory, files) = (memory.into_inner(), files.into_inner());
    let enough = u64::from(CASES) / 3;
    assert!(memory > enough && files > enough, "{memory} restarts from memory and {files} from files in {CASES} cases");
}

#[test]
fn a_restart_from_memory_reads_no_file() {
    let sim = Simulation::new(1).restores(Restores::FromMemory);
    let (out, check) = (sim.sink(), Fault::panic_at(60).times(3));
    let never = Fault::error_at(1).times(u64::MAX);
    sim.disk().plan(DiskCall::Read, "/chk-", DiskFault::Refused, &never);
    let run = sim.run(count(&sim, Checkpoints::every(millis(3)), &check, &out));
    assert_eq!((finished(&run).restarts, finished(&run).restarts_from_memory), (3, 3));
    assert_eq!(out.sorted(), counted(0..100, 7));
    sound(&out);
}

#[test]
fn views_beyond_the_budget_are_not_kept_and_files_are_read() {
    for (checkpoints, kept) in [
        (Checkpoints::every(millis(3)), 2),
        (Checkpoints::every(millis(3)).keep_views(1 << 20), 2),
        (Checkpoints::every(millis(3)).keep_views(100), 0),
        (Checkpoints::every(millis(3)).restore_from_files(), 0),
    ] {
        let sim = Simulation::new(2).restores(Restores::FromMemory);
        let (out, check) = (sim.sink(), Fault::panic_at(60).times(2));
        let run = sim.run(count(&sim, checkpoints.clone(), &check, &out));
        assert_eq!((finished(&run).restarts, finished(&run).restarts_from_memory), (2, kept), "{checkpoints:?}");
        assert_eq!(out.sorted(), counted(0..100, 7));
    }
}

/// How often a [`Counting`] was read from bytes, and how many of them there are.
static DECODED: AtomicU64 = AtomicU64::new(0);
/// The tests that look at the counters run one at a time.
static COUNTERS: Mutex<()> = Mutex::new(());

/// A key, a value and an accumulator that are counted.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
struct Counting(u64, #[serde(skip)] Alive);

impl Counting {
    fn new(n: u64) -> Self {
        Counting(n, Alive::new())
    }
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        Counting::new(self.0)
    }
}

impl<'de> Deserialize<'de> for Counting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, Ordering::SeqCst);
        // A tuple struct with one field that is written is an array of one.
        <(u64,)>::deserialize(deserializer).map(|(n,)| Counting::new(n))
    }
}

static ALIVE: AtomicI64 = AtomicI64::new(0);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Alive(());

impl Alive {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Alive(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Reduces to the last [`Counting`] of each of `keys` keys; the map sees how many are alive.
fn last_of(sim: &Simulation, keys: u64, n: u64, check: &Fault, most: &Arc<AtomicI64>, out: &RecordingSink<u64>) -> Job {
    let check = check.clone();
    let most = most.clone();
    let job = job(sim).checkpoints(Checkpoints::every(millis(5))).restart(Restart::fixed_delay(5, millis(1)));
    let script = Scripted::new([(0..n).collect::<Vec<u64>>()]).batches(5).pause_every(10, millis(3));
    let checked = job.source("numbers", script).map(move |n: u64| {
        check.trip();
        most.fetch_max(ALIVE.load(Ordering::SeqCst), Ordering::SeqCst);
        Counting::new(n)
    });
    let reduced = checked.key_by(move |n: &Counting| n.0 % keys).reduce(|_, n| n);
    reduced.map(|(_, n): (u64, Counting)| n.0).sink("out", out.clone());
    job
}

#[test]
fn a_restart_from_memory_decodes_nothing() {
    let _alone = COUNTERS.lock();
    for (restores, decodes) in [(Restores::FromMemory, false), (Restores::FromFiles, true)] {
        let sim = Simulation::new(3).restores(restores);
        let (out, check) = (sim.sink(), Fault::panic_at(70));
        DECODED.store(0, Ordering::SeqCst);
        let run = sim.run(last_of(&sim, 10, 100, &check, &Arc::default(), &out));
        assert_eq!(finished(&run).restarts, 1);
        assert_eq!(DECODED.load(Ordering::SeqCst) > 0, decodes, "{restores:?}");
        assert_eq!(out.sorted(), (0..100).collect::<Vec<u64>>());
    }
}

/// The most that are alive in a run, for each key.
fn alive_for_each_key(seed: u64, plan: impl Fn(&Simulation, &RecordingSink<u64>)) -> i64 {
    let keys = 200;
    let sim = Simulation::new(seed).restores(Restores::FromMemory);
    let (out, most): (_, Arc<AtomicI64>) = (sim.sink(), Arc::default());
    plan(&sim, &out);
    let before = ALIVE.load(Ordering::SeqCst);
    let run = sim.run(last_of(&sim, keys, 3000, &Fault::panic_at(1500), &most, &out));
    assert!(finished(&run).checkpoints > 20, "{run}");
    assert_eq!(out.sorted().len(), 3000);
    // Records between the operators come on top.
    (most.load(Ordering::SeqCst) - before) / keys as i64
}

#[test]
fn views_are_let_go_when_their_checkpoint_is_superseded() {
    let _alone = COUNTERS.lock();
    let most = alive_for_each_key(4, |_, _| ());
    assert!((2..=3).contains(&most), "the state, the last checkpoint's and the one under way: {most} for each key");
}

#[test]
fn views_of_a_checkpoint_that_was_given_up_are_let_go() {
    let _alone = COUNTERS.lock();
    let most = alive_for_each_key(5, |sim, _| {
        // Every second manifest fails, and some parts do.
        for n in (1..60).step_by(2) {
            sim.disk().plan(DiskCall::Put, "/manifest", DiskFault::Refused, &Fault::error_at(n));
        }
        sim.disk().plan(DiskCall::Put, ".snap", DiskFault::Refused, &Fault::error_at(7).times(3));
    });
    assert!((2..=3).contains(&most), "{most} for each key");
}

/// Handles that wait for their commit are in memory as they are in files.
#[test]
fn f31_commits_that_failed_are_made_up_for_after_a_restart_from_memory() {
    let sim = Simulation::new(6).restores(Restores::FromMemory);
    let (out, commit) = (sim.sink(), Fault::error_at(2).times(3));
    out.plan(SinkCall::Commit, &commit);
    let run = sim.run(count(&sim, Checkpoints::every(millis(3)), &Fault::panic_at(u64::MAX), &out));
    assert!(commit.fired());
    assert_eq!((finished(&run).restarts, finished(&run).restarts_from_memory), (1, 1));
    assert_eq!(out.sorted(), counted(0..100, 7));
    sound(&out);
}
