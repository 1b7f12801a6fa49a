//! The same random flows, whose every process has another parallelism than the one before, and dies in mid-run.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate::testing::{Calamity, CrashPoint, FaultPlan, Kit, PlannedFault, simulate, simulate_unwatched};

use super::shape::{Branch, End, Input, Shape, Split, Windows, shape};
use super::{build, model, runner};

/// From which parallelism to which state was restored.
type Moves = Vec<(u32, u32)>;

/// The flow with every operator at this parallelism.
fn at(shape: &Shape, n: u32) -> Shape {
    let mut shape = shape.clone();
    shape.inputs.iter_mut().for_each(|input| input.parallelism = n);
    shape.steps.iter_mut().for_each(|step| step.parallelism = n);
    for branch in &mut shape.branches {
        (branch.parallelism, branch.at_sink) = (n, n);
        branch.steps.iter_mut().for_each(|step| step.parallelism = n);
    }
    shape
}

/// Runs a flow over processes that have these parallelisms in turn, the last one as long as it takes, and judges what came of it.
fn moved(seed: u64, shape: &Shape, chain: &[u32], deaths: &FaultPlan) -> Result<Moves, TestCaseError> {
    let run = |watched: bool| {
        let (moves, before) = (RefCell::new(Moves::new()), RefCell::new(Vec::new()));
        let job = |kit: &Kit| {
            let mut before = before.borrow_mut();
            let now = chain[before.len().min(chain.len() - 1)];
            if let Some(last) = before.last()
                && holds_state(kit)
            {
                moves.borrow_mut().push((*last, now));
            }
            before.push(now);
            build::build(kit, &at(shape, now))
        };
        let report = if watched { simulate(job, seed, deaths) } else { simulate_unwatched(job, seed, deaths) };
        (report, moves.into_inner())
    };
    let (report, moves) = run(false);
    let Err(problem) = model::judge(shape, &report) else { return Ok(moves) };
    Err(TestCaseError::fail(format!("{problem}\nat the parallelisms {chain:?}: {shape:#?}\n{}", run(true).0)))
}

/// Whether the latest checkpoint holds state of an operator that keeps some.
fn holds_state(kit: &Kit) -> bool {
    let state = kit.disk().state("flow").unwrap();
    state.is_some_and(|(_, state)| state.iter().any(|((uid, _), entries)| uid.starts_with("end") && !entries.is_empty()))
}

/// A process dies around the completion of a checkpoint; which one is counted over all processes.
fn death() -> impl Strategy<Value = PlannedFault> {
    let points = [CrashPoint::ManifestRenamed, CrashPoint::ManifestDurable, CrashPoint::CompleteToSome, CrashPoint::Triggered];
    (prop::sample::select(points.to_vec()), 1..12u64).prop_map(|(point, nth)| PlannedFault::at(point, nth, Calamity::Death))
}

#[test]
fn c13_any_flow_goes_on_at_any_other_parallelism() {
    let moves = RefCell::new(BTreeSet::new());
    let chain = prop::collection::vec(1..=5u32, 2..=5);
    let cases = chain.prop_flat_map(|chain| {
        let deaths = prop::collection::vec(death(), chain.len() - 1..=chain.len() - 1);
        (any::<u32>().no_shrink(), shape(), Just(chain), deaths.prop_map(FaultPlan::from_iter))
    });
    let outcome = runner(500, 4).run(&cases, |(seed, shape, chain, deaths)| {
        moves.borrow_mut().extend(moved(u64::from(seed), &shape, &chain, &deaths)?);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let pairs = (1..=5).flat_map(|from| (1..=5).map(move |to| (from, to))).filter(|(from, to)| from != to);
    let missing: Vec<_> = pairs.filter(|pair| !moves.borrow().contains(pair)).collect();
    assert!(missing.is_empty(), "no state was moved between these parallelisms: {missing:?}");
}

/// Counts, sums, timers of both kinds, and windows with late records, behind each other's back.
fn of_everything() -> Shape {
    let splits = (0..3).map(|salt| Split { records: 60, gap: 3, disorder: 20, salt }).collect();
    let input =
        Input { splits, batch: 2, pause: Some((4, 3)), parallelism: 1, bound: 30, step: 5, strict: true, idle_after: None };
    let windows = Windows { size: 25, slide: Some(10), lateness: 20, aside: true };
    let ends = [End::Count, End::Sum, End::Slots { slot: 20 }, End::Delayed { by: 9 }, End::Windows(windows)];
    let branches = ends.map(|end| Branch { steps: Vec::new(), end, parallelism: 1, at_sink: 1 });
    Shape { inputs: vec![input], steps: Vec::new(), branches: branches.into(), concurrent: 1 }
}

/// Found by the property: the end of time took the place of the watermark before it, so that at a barrier between the two not all
/// instances had come to the same watermark, and the lowest fired windows again (seed 16).
#[test]
fn c13_one_three_two_four_one_in_mid_run() {
    let shape = of_everything();
    // Each counts what comes over all processes.
    let deaths = (1..=4).map(|process| PlannedFault::at(CrashPoint::CompleteToSome, 2 * process, Calamity::Death)).collect();
    let mut whole = 0;
    for seed in 0..40 {
        let moves = moved(seed, &shape, &[1, 3, 2, 4, 1], &deaths).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        whole += usize::from(moves == [(1, 3), (3, 2), (2, 4), (4, 1)]);
    }
    assert!(whole >= 20, "only {whole} of 40 runs went through all five parallelisms");
}
