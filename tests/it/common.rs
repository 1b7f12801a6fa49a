//! What the tests share: flows, and how a run is judged.

use tidegate::testing::{End, RecordingSink, Run, Simulation};
use tidegate::{Checkpoints, Job, JobSummary, Restart, millis};

/// The flow's result: a number and how often it has come.
pub type Counted = (u64, u64);

/// A job on the simulation's disk with a checkpoint every 10 ms and three restarts.
pub fn job(sim: &Simulation) -> Job {
    let job = Job::new("job").store(sim.disk().store());
    job.checkpoints(Checkpoints::every(millis(10))).restart(Restart::fixed_delay(3, millis(5)))
}

/// The summary of a run that finished.
#[track_caller]
pub fn finished(run: &Run) -> &JobSummary {
    match &run.end {
        End::Finished(summary) => summary,
        _ => panic!("it should have finished: {run}"),
    }
}

/// Nothing was done to a sink that must never be.
#[track_caller]
pub fn sound<T>(sink: &RecordingSink<T>) {
    assert_eq!(sink.violations(), Vec::<String>::new());
}

/// What counting numbers by their remainder emits, sorted.
pub fn counted(numbers: impl IntoIterator<Item = u64>, modulus: u64) -> Vec<Counted> {
    let mut counts = vec![0; modulus as usize];
    let mut all: Vec<Counted> = numbers
        .into_iter()
        .map(|n| {
            counts[(n % modulus) as usize] += 1;
            (n % modulus, counts[(n % modulus) as usize])
        })
        .collect();
    all.sort();
    all
}
