//! Where the splits of a source are: in the state of exactly one of its tasks, at each checkpoint, whatever becomes of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate::testing::{DiskCall, DiskFault, Fault, RecordingSink, Restores, Scripted, Simulation};
use tidegate::{Checkpoints, Job, Restart, millis};

use crate::common::{finished, sound, take};

const SPLITS: u64 = 5;

/// What a checkpoint keeps of a split, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Kept {
    split: String,
    position: u64,
}

/// So many splits of so many numbers; all five together have each number once.
fn script(splits: u64, upto: u64) -> Scripted<u64> {
    Scripted::new((0..splits).map(|split| (0..upto).map(|n| n * SPLITS + split).collect())).batches(3)
}

fn copy(sim: &Simulation, parallelism: u32, script: Scripted<u64>, out: &RecordingSink<u64>) -> Job {
    let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism).restart(Restart::fixed_delay(3, millis(5)));
    job.source("numbers", script).sink("out", out.clone());
    job
}

/// The position of each split in the latest checkpoint; each is there once.
#[track_caller]
fn positions(sim: &Simulation) -> BTreeMap<String, u64> {
    let kept: Vec<Kept> = sim.disk().list("job", "numbers", "splits").unwrap();
    let positions: BTreeMap<_, _> = kept.iter().map(|kept| (kept.split.clone(), kept.position)).collect();
    assert_eq!(positions.len(), kept.len(), "a split is in the state of two tasks: {kept:?}");
    positions
}

#[test]
fn a38_each_split_is_in_the_state_of_exactly_one_task_at_every_parallelism() {
    let sim = Simulation::new(51);
    let out = sim.sink();
    for (round, parallelism) in (1..).zip([2, 3, 1, 5, 8, 2]) {
        let (run, answers) = take(&sim, copy(&sim, parallelism, script(SPLITS, round * 20).endless(), &out), 1);
        assert!(answers[0].is_ok(), "{run}");
        let at_the_end = (0..SPLITS).map(|split| (split.to_string(), round * 20)).collect();
        assert_eq!(positions(&sim), at_the_end, "at {parallelism}");
        assert_eq!(out.sorted(), (0..round * 20 * SPLITS).collect::<Vec<_>>(), "each was read once, at {parallelism}");
    }
    sound(&out);
}

#[test]
fn a38_positions_and_output_of_a_checkpoint_are_of_one_moment_after_a_failure_of_any_task() {
    for (seed, restores) in (0..20).zip([Restores::FromMemory, Restores::FromFiles].into_iter().cycle()) {
        let sim = Simulation::new(seed).restores(restores);
        let (out, fault) = (sim.sink(), Fault::panic_at(20 + seed * 9));
        let job = Job::new("job").store(sim.disk().store()).parallelism(3).restart(Restart::fixed_delay(3, millis(5)));
        let check = fault.clone();
        let numbers = job.source("numbers", script(SPLITS, 60).pause_every(12, millis(3)).endless());
        let numbers = numbers.map(move |n: u64| {
            check.trip();
            n
        });
        numbers.sink("out", out.clone());
        let (run, answers) = take(&sim, job.checkpoints(Checkpoints::every(millis(4))), 3);
        assert!(fault.fired() && answers.last().is_some_and(Result::is_ok), "{run}");
        let read: u64 = positions(&sim).values().sum();
        assert_eq!(
            out.committed().len() as u64,
            read,
            "seed {seed}: what was read before the checkpoint is committed, and no more"
        );
        finished(&sim.run(copy(&sim, 2, script(SPLITS, 60), &out)));
        assert_eq!(out.sorted(), (0..60 * SPLITS).collect::<Vec<_>>(), "seed {seed}");
        sound(&out);
    }
}

#[test]
fn a38_a_split_that_is_new_at_a_later_start_is_not_taken_for_a_known_one() {
    let sim = Simulation::new(52);
    let out = sim.sink();
    let (run, answers) = take(&sim, copy(&sim, 2, script(3, 20).endless(), &out), 1);
    assert!(answers[0].is_ok(), "{run}");
    finished(&sim.run(copy(&sim, 3, script(SPLITS, 30), &out)));
    let expected: Vec<u64> = (0..30 * SPLITS).filter(|n| n % SPLITS < 3).collect();
    assert_eq!(out.sorted(), expected, "splits are found at a source's first start, and go on from where they were");
}

#[test]
fn a39_splits_are_read_on_and_kept_once_behind_checkpoints_that_are_given_up() {
    let sim = Simulation::new(53);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(2));
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &fault);
    let script = script(SPLITS, 100).pause_every(6, millis(3));
    let (run, answers) = take(&sim, copy(&sim, 3, script.endless(), &out), 3);
    assert!(answers[0].is_err() && answers[1].is_err() && answers[2].is_ok(), "{answers:?} {run}");
    let kept = positions(&sim);
    assert_eq!(kept.len() as u64, SPLITS);
    assert!(kept.values().all(|position| *position > 50), "what two lost checkpoints held goes on: {kept:?}");
    assert_eq!(out.committed().len() as u64, kept.values().sum::<u64>());
    sound(&out);
}
