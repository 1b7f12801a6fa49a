//! Lists of operators without keys: at restarts, at other parallelisms, under faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tidegate::testing::{Fault, Kit, OperatorHarness, RecordingSink, Restores, Scripted, Simulation, check_exactly_once};
use tidegate::{BoxError, Checkpoints, Error, Job, Operator, OperatorContext, OperatorList, OperatorOpenContext, Stream, millis};

use crate::common::{finished, job, sound, take};

/// Holds numbers back until there are ten.
struct Tens {
    waiting: OperatorList<u64>,
}

impl Operator for Tens {
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        let waiting = ctx.state.list_mut(self.waiting);
        waiting.push(n);
        if waiting.len() >= 10 {
            waiting.take().into_iter().for_each(|n| ctx.out.emit(n));
        }
        Ok(())
    }

    fn finish(&mut self, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        let waiting = ctx.state.list_mut(self.waiting).take();
        waiting.into_iter().for_each(|n| ctx.out.emit(n));
        Ok(())
    }
}

fn tens(numbers: &Stream<u64>) -> Stream<u64> {
    numbers.process("tens", |ctx: &mut OperatorOpenContext<'_>| Ok(Tens { waiting: ctx.list_state("waiting")? }))
}

/// Who has counted, which remainder, how many.
type Count = (u32, u64, u64);
/// What each instance found in its list when it opened: its epoch, its index, the items.
type Found = Arc<Mutex<Vec<(u64, u32, Vec<Count>)>>>;

/// Counts numbers by their remainder, in a union list.
struct Tally {
    counts: OperatorList<Count>,
    index: u32,
}

impl Operator for Tally {
    type In = u64;
    type Out = (u64, u64);

    fn on_record(&mut self, n: u64, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        let counts = ctx.state.list_mut(self.counts);
        let found = counts.iter().position(|(_, remainder, _)| *remainder == n % 5);
        match found.and_then(|at| counts.get_mut(at)) {
            Some((_, _, count)) => *count += 1,
            None => counts.push((self.index, n % 5, 1)),
        }
        Ok(())
    }

    fn finish(&mut self, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        ctx.state.list(self.counts).iter().for_each(|(_, remainder, count)| ctx.out.emit((*remainder, *count)));
        Ok(())
    }
}

/// Tallies; each instance keeps of what all have counted what is its own.
fn tally(numbers: &Stream<u64>, found: &Found) -> Stream<(u64, u64)> {
    let found = found.clone();
    numbers.process("tally", move |ctx: &mut OperatorOpenContext<'_>| {
        let counts = ctx.union_list_state::<Count>("counts")?;
        let (epoch, index, parallelism) = (ctx.attempt().epoch, ctx.index(), ctx.parallelism());
        let mut state = ctx.state();
        found.lock().unwrap().push((epoch, index, state.list(counts).iter().copied().collect()));
        state.list_mut(counts).retain(|(owner, _, _)| owner % parallelism == index);
        Ok(Tally { counts, index })
    })
}

/// The sum of all counts of each remainder.
fn sums(counts: &[(u64, u64)]) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    counts.iter().for_each(|(remainder, count)| *sums.entry(*remainder).or_default() += count);
    sums
}

fn counted(counts: &[Count]) -> Vec<(u64, u64)> {
    counts.iter().map(|(_, remainder, count)| (*remainder, *count)).collect()
}

fn four_splits(upto: u64) -> Scripted<u64> {
    Scripted::new((0..4).map(|split| (0..upto).map(|n| n * 4 + split).collect())).batches(3)
}

#[test]
fn c14_a_list_moves_with_the_parallelism_and_nothing_is_lost() {
    let sim = Simulation::new(31);
    let out = sim.sink::<u64>();
    let describe = |parallelism: u32, script: Scripted<u64>| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism);
        tens(&job.source("numbers", script)).sink("out", out.clone());
        job
    };
    for (round, parallelism) in (1..).zip([2, 3, 1, 4, 4, 2]) {
        let (run, answers) = take(&sim, describe(parallelism, four_splits(round * 17).endless()), 1);
        assert!(answers[0].is_ok(), "{run}");
        let mut all: Vec<u64> = sim.disk().list("job", "tens", "waiting").unwrap();
        assert!(all.len() > 3, "some wait: {all:?}");
        all.extend(out.committed());
        all.sort();
        assert_eq!(all, (0..round * 17 * 4).collect::<Vec<_>>(), "each waits or is out, at {parallelism}");
    }
    finished(&sim.run(describe(3, four_splits(6 * 17))));
    assert_eq!(out.sorted(), (0..6 * 17 * 4).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn c15_every_instance_sees_the_whole_list_at_each_restart() {
    let sim = Simulation::new(32);
    let (out, found) = (sim.sink::<(u64, u64)>(), Found::default());
    let describe = |parallelism: u32, script: Scripted<u64>| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism);
        tally(&job.source("numbers", script), &found).sink("out", out.clone());
        job
    };
    let mut before: Vec<Count> = Vec::new();
    for (round, parallelism) in (1..).zip([2, 2, 3, 1, 4]) {
        found.lock().unwrap().clear();
        let (run, answers) = take(&sim, describe(parallelism, four_splits(round * 17).endless()), 1);
        assert!(answers[0].is_ok(), "{run}");
        let seen = std::mem::take(&mut *found.lock().unwrap());
        assert_eq!(seen.len(), parallelism as usize);
        assert!(seen.iter().all(|(_, _, all)| *all == before), "{seen:?} {before:?}");
        before = sim.disk().list("job", "tally", "counts").unwrap();
        let upto = round * 17 * 4;
        let expected = (0..5).map(|remainder| (remainder, (upto - remainder).div_ceil(5))).collect();
        assert_eq!(sums(&counted(&before)), expected, "a restart multiplies nothing");
    }
    sound(&out);
}

#[test]
fn c15_a_restart_in_the_process_gives_every_instance_the_whole_list() {
    for restores in [Restores::FromMemory, Restores::FromFiles] {
        let sim = Simulation::new(33).restores(restores);
        let (out, found, fault) = (sim.sink::<(u64, u64)>(), Found::default(), Fault::panic_at(170));
        let job = job(&sim).parallelism(3).checkpoints(Checkpoints::every(millis(2)));
        let check = fault.clone();
        let splits = (0..6).map(|split| (0..40).map(|n| n * 6 + split).collect());
        let numbers = job.source("numbers", Scripted::new(splits).batches(3).pause_every(6, millis(4))).map(move |n: u64| {
            check.trip();
            n
        });
        tally(&numbers, &found).sink("out", out.clone());
        assert!(finished(&sim.run(job)).checkpoints > 1 && fault.fired());
        let seen = found.lock().unwrap();
        let again: Vec<_> = seen[3..].iter().map(|(_, _, all)| all).collect();
        assert!(again.len() == 3 && again.iter().all(|all| *all == again[0]) && again[0].len() >= 5, "{seen:?}");
        assert_eq!(sums(&out.committed()).into_values().collect::<Vec<_>>(), [48; 5]);
    }
}

#[test]
fn c14_an_instance_that_had_ended_keeps_its_list_and_runs_no_code() {
    let sim = Simulation::new(34);
    let (out, found) = (sim.sink::<(u64, u64)>(), Found::default());
    let describe = |second: Scripted<u64>| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(1);
        let first = tally(&job.source("first", Scripted::new([(0..10).collect()])), &found);
        first.union(&tens(&job.source("second", second)).map(|n| (n, 0))).sink("out", out.clone());
        job
    };
    let second = || Scripted::new([(0..25).collect()]);
    for _ in 0..3 {
        let (run, answers) = take(&sim, describe(second().endless()), 1);
        assert!(answers[0].is_ok(), "{run}");
        let kept: Vec<Count> = sim.disk().list("job", "tally", "counts").unwrap();
        assert_eq!(kept.iter().map(|(_, _, count)| count).sum::<u64>(), 10);
    }
    assert_eq!(found.lock().unwrap().len(), 1, "opened once, and not behind its end");
    finished(&sim.run(describe(second())));
    assert_eq!(out.committed().len(), 5 + 25);
}

#[test]
fn c9_a_list_that_is_registered_or_was_stored_as_a_union_list_is_refused() {
    let both = OperatorHarness::of(|numbers: &Stream<u64>| {
        numbers.process("tens", |ctx: &mut OperatorOpenContext<'_>| {
            ctx.list_state::<u64>("waiting")?;
            Ok(Tens { waiting: ctx.union_list_state("waiting")? })
        })
    });
    let error = both.open().unwrap_err();
    assert!(error.to_string().contains("'waiting'") && error.to_string().contains("'tens'"), "{error}");
    let mut open = OperatorHarness::of(tens).open().unwrap();
    open.push(7).unwrap();
    assert_eq!(open.list::<u64>("waiting").unwrap(), [7]);
    let snapshot = open.snapshot().unwrap();
    let other = OperatorHarness::of(|numbers: &Stream<u64>| {
        numbers.process("tens", |ctx: &mut OperatorOpenContext<'_>| Ok(Tens { waiting: ctx.union_list_state("waiting")? }))
    });
    let Err(error) = other.restore(&snapshot) else { panic!("it was stored as a list") };
    assert!(
        matches!(error, Error::Operator { .. } | Error::StateMismatch { .. }) && error.to_string().contains("UnionList"),
        "{error}"
    );
    let mut again = OperatorHarness::of(tens).restore(&snapshot).unwrap();
    (8..17).for_each(|n| again.push(n).unwrap());
    assert_eq!(again.output(), (7..17).collect::<Vec<_>>());
}

fn committed(sink: &RecordingSink<u64>) -> usize {
    sink.committed().len()
}

#[test]
fn c14_batches_that_a_list_gathers_are_exactly_once() {
    check_exactly_once(
        |kit: &Kit| {
            let job = Job::new("tens").parallelism(2);
            let script = Scripted::new([(0..37).collect(), (100..124).collect()]).batches(4).pause_every(8, millis(3));
            tens(&job.source("numbers", script)).sink("out", kit.sink("out"));
            job
        },
        60,
    );
}

#[test]
fn c15_counts_in_a_union_list_are_exactly_once() {
    check_exactly_once(
        |kit: &Kit| {
            let job = Job::new("tally").parallelism(2);
            let script = Scripted::new([(0..37).collect(), (100..124).collect()]).batches(4).pause_every(8, millis(3));
            let rows = |counts: &[(u64, u64)]| sums(counts).into_iter().map(|sum| format!("{sum:?}")).collect();
            tally(&job.source("numbers", script), &Found::default()).sink("out", kit.sink_as("out", rows));
            job
        },
        60,
    );
}

#[test]
fn an_operator_is_finished_and_closed_once_and_told_of_checkpoints() {
    struct Told(Arc<Mutex<Vec<&'static str>>>);
    impl Operator for Told {
        type In = u64;
        type Out = u64;

        fn on_record(&mut self, n: u64, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
            ctx.out.emit(n);
            Ok(())
        }

        fn finish(&mut self, _: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
            self.0.lock().unwrap().push("finish");
            Ok(())
        }

        fn on_checkpoint_complete(&mut self, _: tidegate::CheckpointId) -> Result<(), BoxError> {
            self.0.lock().unwrap().push("complete");
            Ok(())
        }

        fn close(&mut self) {
            self.0.lock().unwrap().push("close");
        }
    }
    let sim = Simulation::new(35);
    let (out, told) = (sim.sink::<u64>(), Arc::new(Mutex::new(Vec::new())));
    let job = Job::new("job").store(sim.disk().store());
    let log = told.clone();
    job.source("numbers", four_splits(9)).process("told", move |_| Ok(Told(log.clone()))).sink("out", out.clone());
    finished(&sim.run(job));
    assert_eq!(*told.lock().unwrap(), ["finish", "complete", "close"]);
    assert_eq!(committed(&out), 36);
}
