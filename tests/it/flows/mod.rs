//! Random flows under random faults: whatever a small flow looks like and whatever goes wrong, what comes out is what a computation
//! without the engine comes to.

mod build;
mod model;
mod rescale;
mod shape;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tidegate::testing::{Callback, Failure, FaultPlan, PlannedFault, simulate, simulate_unwatched};

use shape::{Branch, End, Input, Op, Shape, Split, Step, shape};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|n| n.parse().ok())
}

/// How many of the planned faults struck.
fn survives(seed: u64, shape: &Shape, faults: &FaultPlan) -> Result<usize, TestCaseError> {
    let report = simulate_unwatched(|kit| build::build(kit, shape), seed, faults);
    let Err(problem) = model::judge(shape, &report) else {
        return Ok(report.fates().iter().filter(|fate| fate.fired).count());
    };
    let watched = simulate(|kit| build::build(kit, shape), seed, faults);
    Err(TestCaseError::fail(format!("{problem}\n{shape:#?}\n{watched}")))
}

fn runner(cases: u32, salt: u64) -> TestRunner {
    let cases = number("TIDEGATE_CASES").map_or(cases, |n| n as u32);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("TIDEGATE_SEED").unwrap_or(0).wrapping_add(salt).to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// Runs so many cases; at least every other one must see a fault strike.
fn survive(cases: u32, salt: u64) {
    let (struck, drawn) = (Cell::new(0), (any::<u32>().no_shrink(), shape(), FaultPlan::strategy(1..=3)));
    let mut runner = runner(cases, salt);
    let outcome = runner.run(&drawn, |(seed, shape, faults)| {
        struck.set(struck.get() + survives(u64::from(seed), &shape, &faults)?.min(1));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let wanted = runner.config().cases as usize / 2;
    assert!(struck.get() >= wanted, "only {} cases saw a fault", struck.get());
}

#[test]
fn any_flow_comes_to_what_it_must() {
    let cases = (any::<u32>().no_shrink(), shape());
    let outcome = runner(400, 1).run(&cases, |(seed, shape)| survives(u64::from(seed), &shape, &FaultPlan::new()).map(drop));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn any_flow_comes_to_what_it_must_whatever_goes_wrong() {
    survive(800, 2);
}

/// The same beside it, so that two cores have something to do.
#[test]
fn any_other_flow_comes_to_what_it_must_whatever_goes_wrong() {
    survive(800, 3);
}

/// One source without pauses.
fn input(records: &[u64], parallelism: u32) -> Input {
    let split = |(salt, records): (usize, &u64)| Split { records: *records, gap: 1, disorder: 0, salt: salt as u64 };
    let splits = records.iter().enumerate().map(split).collect();
    Input { splits, batch: 5, pause: None, parallelism, bound: 60, step: 1, strict: false, idle_after: None }
}

/// One branch behind a step.
fn flow(input: Input, step: Step, end: End) -> Shape {
    let branch = Branch { steps: vec![step], end, parallelism: 2, at_sink: 1 };
    Shape { inputs: vec![input], steps: Vec::new(), branches: vec![branch], concurrent: 2 }
}

/// Found by the property: a parked task whose neighbour was gone slept on the second of two barriers.
#[test]
fn a_parked_task_whose_neighbour_is_gone_waits_to_be_told_so() {
    let step = Step { op: Op::Refuse { multiple: 2, aside: false }, parallelism: 4 };
    let shape = flow(input(&[7, 14], 3), step, End::Count);
    for seed in 0..60 {
        let fault = PlannedFault::callback(Callback::Record, 4 + seed % 8, Failure::Error);
        survives(seed, &shape, &FaultPlan::new().and(fault)).unwrap();
    }
}

/// Found by the property: the end of time came by one way while the last record was still under way on another, and passed it.
#[test]
fn the_last_record_of_a_split_that_was_idle_is_not_late() {
    let mut input = input(&[9], 1);
    (input.batch, input.pause, input.idle_after) = (1, Some((2, 25)), Some(5));
    let shape = flow(input, Step { op: Op::Map(1), parallelism: 2 }, End::Slots { slot: 5 });
    for seed in 0..60 {
        survives(seed, &shape, &FaultPlan::new()).unwrap();
    }
}

/// Found by the property: after a restart an input that had ended said the end of time first, and that passed one that was idle.
#[test]
fn an_input_that_had_ended_before_a_restart_makes_no_record_of_an_idle_one_late() {
    let (mut slow, mut ended) = (input(&[24], 1), input(&[9], 1));
    (slow.batch, slow.pause, slow.idle_after) = (1, Some((1, 14)), Some(9));
    ended.batch = 2;
    let branch = Branch { steps: Vec::new(), end: End::Slots { slot: 5 }, parallelism: 1, at_sink: 1 };
    let shape = Shape { inputs: vec![slow, ended], steps: Vec::new(), branches: vec![branch], concurrent: 1 };
    for seed in 0..60 {
        let fault = PlannedFault::callback(Callback::Record, 15 + seed % 8, Failure::Error).of(&build::uid(0));
        survives(seed, &shape, &FaultPlan::new().and(fault)).unwrap();
    }
}
