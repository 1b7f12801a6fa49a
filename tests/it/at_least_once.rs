//! At-least-once: nothing waits for a barrier, and so what is behind one may be counted twice after a failure, but never not at all.

use std::collections::BTreeMap;

use tidegate::testing::{FaultPlan, Kit, PlannedFault, Report, Scripted, simulate};
use tidegate::{Checkpoints, Job, millis};

/// How many records each of three keys has, over two inputs of which one is slow.
const EACH: u64 = 60;

fn counts(kit: &Kit, checkpoints: Checkpoints) -> Job {
    let job = Job::new("counts").parallelism(2).checkpoints(checkpoints);
    let quick = job.source("quick", Scripted::new([(0..2 * EACH).collect::<Vec<u64>>()]).batches(5));
    let slow = job.source("slow", Scripted::new([(0..EACH).collect::<Vec<u64>>()]).batches(2).pause_every(3, millis(4)));
    quick.union(&slow).key_by(|n| n % 3).count().sink("counts", kit.sink("counts"));
    job
}

/// What each key was counted to in the end, over thirty runs in which the process dies once.
fn counted(checkpoints: &Checkpoints) -> Vec<BTreeMap<u64, u64>> {
    (0..30).map(|seed| highest(&simulate(|kit| counts(kit, checkpoints.clone()), seed, &death(seed)))).collect()
}

fn death(seed: u64) -> FaultPlan {
    FaultPlan::new().and(PlannedFault::Death { step: 340 + seed * 12 })
}

fn highest(report: &Report) -> BTreeMap<u64, u64> {
    assert!(report.finished(), "{report}");
    let mut highest = BTreeMap::new();
    for (key, count) in report.sink::<(u64, u64)>("counts").committed() {
        let so_far = highest.entry(key).or_insert(0);
        *so_far = count.max(*so_far);
    }
    highest
}

#[test]
fn b16_at_least_once_counts_no_record_less_than_once() {
    let exact = BTreeMap::from([(0, EACH), (1, EACH), (2, EACH)]);
    let all = counted(&Checkpoints::manual().at_least_once());
    for (seed, counts) in all.iter().enumerate() {
        assert!(exact.iter().all(|(key, count)| counts.get(key) >= Some(count)), "seed {seed}: {counts:?}");
    }
    assert!(all.iter().any(|counts| *counts != exact), "some records were behind a barrier when their checkpoint was taken");
    assert!(counted(&Checkpoints::manual().exactly_once()).iter().all(|counts| *counts == exact));
}
