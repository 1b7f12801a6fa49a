//! What the tests share: flows, and how a run is judged.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tidegate::testing::{End, RecordingSink, Run, Scripted, Simulation};
use tidegate::{Aggregate, CheckpointId, Checkpoints, Error, Job, JobSummary, Restart, millis};

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

/// A job with checkpoints only when asked for, that counts the numbers of one endless or ending split.
pub fn count(sim: &Simulation, script: Scripted<u64>, out: &RecordingSink<Counted>) -> Job {
    let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(2, millis(5)));
    job.source("numbers", script).key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    job
}

/// One split with the numbers below `n`, five at a time, with a pause after each ten.
pub fn numbers(n: u64) -> Scripted<u64> {
    Scripted::new([(0..n).collect()]).batches(5).pause_every(10, millis(3))
}

/// Takes checkpoints one after the other, each some time after the one before, and then cancels.
pub fn take(sim: &Simulation, job: Job, checkpoints: usize) -> (Run, Vec<Result<CheckpointId, Error>>) {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let told = answers.clone();
    let run = sim.run_with(job, move |job| async move {
        for _ in 0..checkpoints {
            tokio::time::sleep(millis(50)).await;
            let answer = job.checkpoint().await;
            told.lock().unwrap().push(answer);
        }
        tokio::time::sleep(millis(50)).await;
        drop(job.cancel().await);
    });
    let answers = answers.lock().unwrap().clone();
    (run, answers)
}

/// The seed of a run that real threads and clocks have a part in: `TIDEGATE_SEED`, or a new one each time.
pub fn drawn_seed() -> u64 {
    let asked = std::env::var("TIDEGATE_SEED").ok();
    asked.map_or_else(|| RandomState::new().build_hasher().finish(), |seed| seed.parse().expect("TIDEGATE_SEED is a number"))
}

/// Numbers that a seed decides: SplitMix64.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Draw(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// An example's program, which `cargo test` has built beside the tests.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--example", name]).status().unwrap();
        assert!(built.success(), "the example is built");
    }
    path
}

/// Counts, and sums up.
pub struct Mean;

impl Aggregate for Mean {
    type In = u64;
    type Acc = (u64, u64);
    type Out = u64;

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (sum, n): &mut (u64, u64), value: u64) {
        *sum += value;
        *n += 1;
    }

    fn merge(&self, (sum, n): &mut (u64, u64), other: (u64, u64)) {
        *sum += other.0;
        *n += other.1;
    }

    fn result(&self, (sum, n): &(u64, u64)) -> u64 {
        sum / (*n).max(1)
    }
}
