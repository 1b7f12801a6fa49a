//! Crash anywhere, and nothing changes: the committed output is that of a run without failures, and so is the state at the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tidegate::testing::{
    Calamity, CrashPoint, DiskCall, DiskFault, DiskState, End, Fault, FaultPlan, PlannedFault, RecordingSink, Scripted,
    Simulation, SinkCall, SourceCall,
};
use tidegate::{Aggregate, Checkpoints, Job, OnError, Restart, SideOutput, Stream, millis};

use crate::common::{finished, sound};

/// A small flow, as data.
#[derive(Clone, Debug)]
struct Shape {
    splits: Vec<u64>,
    batch: usize,
    pause: (u64, u64),
    parallelism: (u32, u32, u32),
    keyed: Keyed,
    union: bool,
    side: bool,
    /// How many records `flat_map` makes of each.
    fan: u64,
    concurrent: usize,
    interval_ms: u64,
}

#[derive(Clone, Copy, Debug)]
enum Keyed {
    Count,
    Aggregate,
    Reduce,
}

/// What goes wrong, in the run or in the process.
#[derive(Clone, Debug)]
enum Trouble {
    Map(u64),
    Sink(SinkCall, u64, u64),
    Source(SourceCall, u64),
    Disk(DiskCall, &'static str, DiskFault, u64),
    Death(u64),
}

struct Sum;

impl Aggregate for Sum {
    type In = u64;
    type Acc = u64;
    type Out = u64;

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, acc: &mut u64, value: u64) {
        *acc += value + 1;
    }

    fn merge(&self, acc: &mut u64, other: u64) {
        *acc += other;
    }

    fn result(&self, acc: &u64) -> u64 {
        *acc
    }
}

fn keyed(numbers: &Stream<u64>, shape: &Shape) -> Stream<(u64, u64)> {
    let keyed = numbers.key_by(|n| n % 5);
    match shape.keyed {
        Keyed::Count => keyed.count(),
        Keyed::Aggregate => keyed.aggregate(Sum),
        Keyed::Reduce => keyed.reduce(|a, b| *a.max(&b)),
    }
}

/// Everything that a job of the property writes to.
struct Outs {
    counts: RecordingSink<(u64, u64)>,
    sevens: RecordingSink<u64>,
}

impl Outs {
    fn new(sim: &Simulation) -> Self {
        Outs { counts: sim.sink(), sevens: sim.sink() }
    }

    fn sorted(&self) -> Output {
        (self.counts.sorted(), self.sevens.sorted())
    }
}

/// The faults of a case that lie in the flow itself.
#[derive(Clone)]
struct InFlow {
    map: Fault,
    source: Vec<(SourceCall, Fault)>,
}

fn describe(sim: &Simulation, shape: &Shape, outs: &Outs, faults: &InFlow) -> Job {
    let (at_source, at_keyed, at_sink) = shape.parallelism;
    let checkpoints = Checkpoints::every(millis(shape.interval_ms)).max_concurrent(shape.concurrent);
    let job = Job::new("job").store(sim.disk().store()).checkpoints(checkpoints).restart(Restart::fixed_delay(8, millis(5)));
    let splits = shape.splits.iter().enumerate().map(|(split, n)| (0..*n).map(|i| i * 10 + split as u64).collect());
    let script = Scripted::new(splits).batches(shape.batch).pause_every(shape.pause.0, millis(shape.pause.1));
    let script = faults.source.iter().fold(script, |script, (call, fault)| script.fault(*call, fault));
    let source = job.source("numbers", script).parallelism(at_source);
    let mut numbers: Stream<u64> = Stream::clone(&source);
    if shape.union {
        let more = job.source("more", Scripted::new([(1000..1040).collect()]).batches(3).pause_every(9, millis(1)));
        numbers = numbers.union(&more).parallelism(at_source);
    }
    let (map, fan) = (faults.map.clone(), shape.fan);
    let checked = numbers.map(move |n: u64| {
        map.trip();
        n
    });
    let fanned = checked.parallelism(at_source).flat_map(move |n| (0..fan).map(move |i| n + i * 13)).parallelism(at_source);
    let sevens = SideOutput::new("sevens");
    let policy = if shape.side { OnError::to(&sevens) } else { OnError::skip() };
    let rest =
        fanned.try_map_or(policy, |n: &u64| if n.is_multiple_of(7) { Err("a seven") } else { Ok(*n) }).parallelism(at_source);
    if shape.side {
        rest.side(&sevens).map(|letter| letter.record).sink("sevens", outs.sevens.clone());
    }
    keyed(&rest, shape).parallelism(at_keyed).uid("keyed").sink("counts", outs.counts.clone()).parallelism(at_sink);
    job
}

/// The state of the operators that must not depend on the order of things, at the end.
fn state(sim: &Simulation) -> DiskState {
    sim.disk().heal();
    let (_, mut state) = sim.disk().state("job").expect("readable").expect("there is a checkpoint");
    state.retain(|(operator, name), _| operator == "keyed" && name != "handles");
    state
}

/// What is committed to both sinks, sorted.
type Output = (Vec<(u64, u64)>, Vec<u64>);

/// What a run without faults commits and keeps, and how many steps it takes.
fn expected(seed: u64, shape: &Shape) -> (Output, DiskState, u64) {
    let sim = Simulation::new(seed);
    let outs = Outs::new(&sim);
    let run = sim.run(describe(&sim, shape, &outs, &InFlow { map: never(), source: Vec::new() }));
    finished(&run);
    (outs.sorted(), state(&sim), run.steps)
}

fn never() -> Fault {
    Fault::panic_at(u64::MAX)
}

/// Results depend on the order of records where they are more than counted; then only the last one of each key is compared.
fn comparable(shape: &Shape, (counts, sevens): Output) -> Output {
    let counts = match shape.keyed {
        Keyed::Count => counts,
        Keyed::Aggregate | Keyed::Reduce => {
            let keys: BTreeSet<u64> = counts.iter().map(|(key, _)| *key).collect();
            let last = |key: &u64| (*key, counts.iter().filter(|(other, _)| other == key).map(|(_, n)| *n).max().unwrap());
            let mut last: Vec<(u64, u64)> = keys.iter().map(last).collect();
            last.push((u64::MAX, counts.len() as u64));
            last
        }
    };
    (counts, sevens)
}

/// Plans the troubles; returns those faults that can be asked whether they fired.
fn plan(sim: &Simulation, outs: &Outs, troubles: &[Trouble]) -> (InFlow, Vec<Fault>, Vec<u64>) {
    let (mut in_flow, mut faults, mut deaths) = (InFlow { map: never(), source: Vec::new() }, Vec::new(), Vec::new());
    for trouble in troubles {
        let fault = match trouble {
            Trouble::Map(n) => {
                in_flow.map = Fault::panic_at(*n);
                in_flow.map.clone()
            }
            Trouble::Sink(call, n, times) => {
                let fault = Fault::error_at(*n).times(*times);
                outs.counts.plan(*call, &fault);
                fault
            }
            Trouble::Source(call, n) => {
                let fault = Fault::error_at(*n);
                in_flow.source.push((*call, fault.clone()));
                fault
            }
            Trouble::Disk(call, part, effect, n) => {
                let fault = Fault::error_at(*n);
                sim.disk().plan(*call, part, *effect, &fault);
                fault
            }
            Trouble::Death(step) => {
                deaths.push(*step);
                continue;
            }
        };
        faults.push(fault);
    }
    (in_flow, faults, deaths)
}

/// Runs the case to its end, over as many processes as it takes; true if something went wrong on the way.
fn survives(seed: u64, shape: &Shape, troubles: &[Trouble]) -> Result<bool, TestCaseError> {
    let (wanted, end_state, whole) = expected(seed, shape);
    let sim = Simulation::new(seed).bounds(60_000, Duration::from_secs(120));
    let outs = Outs::new(&sim);
    let (in_flow, faults, mut deaths) = plan(&sim, &outs, troubles);
    let mut died = false;
    for _ in 0..12 {
        let job = describe(&sim, shape, &outs, &in_flow);
        let run = match deaths.pop() {
            Some(step) => sim.run_until(1 + step % whole, job),
            None => sim.run(job),
        };
        match &run.end {
            End::Finished(_) if deaths.is_empty() => {
                prop_assert_eq!(comparable(shape, outs.sorted()), comparable(shape, wanted), "{}", run);
                prop_assert!(state(&sim) == end_state, "the state at the end differs");
                sound(&outs.counts);
                sound(&outs.sevens);
                return Ok(died || faults.iter().any(Fault::fired));
            }
            End::Hung(_) => prop_assert!(false, "{}", run),
            End::Finished(_) => {}
            // A refused start (a fault of the disk) or given up: whoever runs it starts it again.
            _ => died = true,
        }
    }
    prop_assert!(false, "a dozen processes did not finish it");
    Ok(false)
}

fn shape() -> impl Strategy<Value = Shape> {
    let flow = (prop::collection::vec(0u64..60, 1..4), 1usize..20, (1u64..15, 0u64..4), (1u32..4, 1u32..4, 1u32..4));
    let keyed = prop_oneof![Just(Keyed::Count), Just(Keyed::Aggregate), Just(Keyed::Reduce)];
    let fan = prop_oneof![6 => Just(1u64), 1 => Just(60u64)];
    (flow, keyed, any::<(bool, bool)>(), fan, 1usize..3, 3u64..25).prop_map(
        |((splits, batch, pause, parallelism), keyed, (union, side), fan, concurrent, interval_ms)| Shape {
            splits,
            batch,
            pause,
            parallelism,
            keyed,
            union,
            side,
            fan,
            concurrent,
            interval_ms,
        },
    )
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let call = prop_oneof![
        Just(SinkCall::Recover),
        Just(SinkCall::Open),
        Just(SinkCall::Write),
        Just(SinkCall::Cut),
        Just(SinkCall::MakeDurable),
        Just(SinkCall::Commit),
        Just(SinkCall::Committed),
        Just(SinkCall::Finish),
    ];
    let source = prop_oneof![Just(SourceCall::Splits), Just(SourceCall::Open), Just(SourceCall::Poll)];
    let effect =
        prop_oneof![Just(DiskFault::Refused), Just(DiskFault::Torn), Just(DiskFault::Unsynced), Just(DiskFault::MaybeDone)];
    let part = prop_oneof![Just(""), Just("manifest"), Just(".snap"), Just("finished"), Just("head")];
    let disk =
        prop_oneof![4 => Just(DiskCall::Put), 1 => Just(DiskCall::Read), 1 => Just(DiskCall::Delete), 1 => Just(DiskCall::Lock)];
    prop_oneof![
        3 => (1u64..150).prop_map(Trouble::Map),
        3 => (call, 1u64..12, prop_oneof![Just(1u64), Just(3u64)]).prop_map(|(call, n, times)| Trouble::Sink(call, n, times)),
        1 => (source, 1u64..30).prop_map(|(call, n)| Trouble::Source(call, n)),
        3 => (disk, part, effect, 1u64..25).prop_map(|(call, part, effect, n)| Trouble::Disk(call, part, effect, n)),
        3 => any::<u16>().prop_map(|step| Trouble::Death(u64::from(step))),
    ]
}

#[test]
fn a_crash_anywhere_changes_nothing() {
    let cases = std::env::var("TIDEGATE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() });
    let fired = AtomicU32::new(0);
    let cases = (0u64..1 << 32, shape(), prop::collection::vec(trouble(), 1..3));
    let survive = |(seed, shape, troubles): (u64, Shape, Vec<Trouble>)| {
        fired.fetch_add(u32::from(survives(seed, &shape, &troubles)?), Ordering::Relaxed);
        Ok(())
    };
    if let Err(failure) = runner.run(&cases, survive) {
        panic!("{failure}");
    }
    let fired = fired.into_inner();
    assert!(fired * 2 > runner.config().cases, "only {fired} cases saw a fault");
}

/// Two checkpoints are under way; what the first one cut off is lost, and the second one must not be complete without it.
#[test]
fn a13_a_cut_that_is_lost_takes_the_checkpoints_behind_it_along() {
    let shape = Shape {
        splits: vec![29],
        batch: 4,
        pause: (4, 1),
        parallelism: (3, 3, 3),
        keyed: Keyed::Count,
        union: true,
        side: false,
        fan: 1,
        concurrent: 2,
        interval_ms: 18,
    };
    for seed in (0..40).chain([1_896_030_714]) {
        let struck = survives(seed, &shape, &[Trouble::Sink(SinkCall::MakeDurable, 3, 3), Trouble::Death(0)]);
        assert!(struck.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")));
    }
}

/// A plain flow: two sources' tasks, an exchange, two that count.
fn plain() -> Shape {
    Shape {
        splits: vec![60, 60],
        batch: 7,
        pause: (10, 2),
        parallelism: (2, 2, 2),
        keyed: Keyed::Count,
        union: false,
        side: false,
        fan: 1,
        concurrent: 1,
        interval_ms: 5,
    }
}

#[test]
fn a_panic_at_any_record_changes_nothing() {
    for n in 1..=120 {
        assert!(survives(n, &plain(), &[Trouble::Map(n)]).unwrap(), "the panic at record {n} did not come");
    }
}

#[test]
fn f2_the_death_of_the_process_at_any_step_changes_nothing() {
    let (_, _, steps) = expected(3, &plain());
    for step in 0..steps {
        survives(3, &plain(), &[Trouble::Death(step)]).unwrap();
    }
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    for seed in 0..100 {
        let run = || {
            let sim = Simulation::new(seed);
            let outs = Outs::new(&sim);
            let (in_flow, ..) = plan(&sim, &outs, &[Trouble::Map(40), Trouble::Sink(SinkCall::Commit, 2, 3)]);
            let run = sim.run(describe(&sim, &plain(), &outs, &in_flow));
            (run.trace, outs.counts.events())
        };
        assert!(run() == run(), "seed {seed}");
    }
}

#[test]
fn a4_what_a_restart_commits_by_a_manifest_that_nobody_synced_is_committed_once() {
    let sim = Simulation::new(5);
    let out = sim.sink();
    let job = |sim: &Simulation, endless: bool| {
        let script = Scripted::new([(0..40).collect::<Vec<u64>>()]).batches(4);
        let script = if endless { script.endless() } else { script };
        let job = Job::new("job").store(sim.disk().store());
        job.source("numbers", script).sink("out", out.clone());
        job
    };
    // A disk that forgets to sync, or a process that is killed before it does: the manifest is seen, and nothing more.
    let forgotten = Fault::error_at(1);
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Forgotten, &forgotten);
    let first = sim.run_with(job(&sim, true), |job| async move {
        tokio::time::sleep(millis(50)).await;
        job.checkpoint().await.expect("a checkpoint");
        drop(job.cancel().await);
    });
    assert!(matches!(first.end, End::Cancelled), "{first}");
    assert!(forgotten.fired());
    // The next process commits what that checkpoint holds, and dies with the power.
    let sim = sim.faults(FaultPlan::new().and(PlannedFault::at(CrashPoint::RecoveryCommits, 1, Calamity::Death)));
    let died = sim.run(job(&sim, true));
    assert!(matches!(died.end, End::Died), "{died}");
    let last = sim.run(job(&sim, false));
    finished(&last);
    sound(&out);
    assert_eq!(out.sorted(), (0..40).collect::<Vec<u64>>());
}
