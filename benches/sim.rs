//! How many whole jobs a core simulates in a second: three operators, a thousand records, some ten checkpoints, two faults, one of them
//! the death of the process; each job is run to its end and its output compared.
//!
//!     cargo bench --bench sim -- --jobs 2000 --runs 3

use std::time::Instant;

use clap::Parser;
use tidegate::testing::{
    Calamity, Callback, CrashPoint, End, Failure, FaultPlan, PlannedFault, RecordingSink, Scripted, Simulation,
};
use tidegate::{Checkpoints, Job, Restart, millis};

const RECORDS: u64 = 1_000;

/// The arguments.
#[derive(Debug, Parser)]
struct Args {
    /// Jobs in a run.
    #[arg(long, default_value_t = 1_000)]
    jobs: u64,
    /// Runs.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    for _ in 0..args.runs {
        let (began, mut total) = (Instant::now(), Total::default());
        (0..args.jobs).for_each(|seed| total.add(simulate(seed)));
        let seconds = began.elapsed().as_secs_f64();
        let each = |n: u64| n as f64 / args.jobs as f64;
        println!(
            "workload=sim jobs={} seconds={seconds:.3} jobs_per_s={:.0} processes={:.2} steps={:.0} checkpoints={:.1} faults={:.2}",
            args.jobs,
            args.jobs as f64 / seconds,
            each(total.processes),
            each(total.steps),
            each(total.checkpoints),
            each(total.struck),
        );
    }
}

/// What jobs took.
#[derive(Debug, Default)]
struct Total {
    processes: u64,
    steps: u64,
    checkpoints: u64,
    struck: u64,
}

impl Total {
    fn add(&mut self, other: Total) {
        self.processes += other.processes;
        self.steps += other.steps;
        self.checkpoints += other.checkpoints;
        self.struck += other.struck;
    }
}

/// Where what goes wrong depends on the seed.
fn plan(seed: u64) -> FaultPlan {
    let record = 200 + seed * 37 % 2_000;
    FaultPlan::new().and(PlannedFault::callback(Callback::Record, record, Failure::Panic)).and(PlannedFault::at(
        CrashPoint::AllAcked,
        3 + seed % 5,
        Calamity::Death,
    ))
}

fn simulate(seed: u64) -> Total {
    let sim = Simulation::new(seed).faults(plan(seed));
    let (out, mut total) = (sim.sink(), Total::default());
    loop {
        let run = sim.run(job(&sim, &out));
        total.processes += 1;
        total.steps += run.steps;
        total.checkpoints +=
            out.events().iter().filter(|event| matches!(event, tidegate::testing::SinkEvent::Committed(_))).count() as u64;
        match &run.end {
            End::Finished(_) => break,
            End::Died => total.checkpoints = 0,
            _ => panic!("{run}"),
        }
    }
    assert_eq!(out.sorted(), expected(), "seed {seed}");
    total.struck = sim.fates().iter().filter(|fate| fate.fired).count() as u64;
    total
}

fn job(sim: &Simulation, out: &RecordingSink<(u64, u64)>) -> Job {
    let checkpoints = Checkpoints::every(millis(10));
    let job = Job::new("job").store(sim.disk().store()).checkpoints(checkpoints).restart(Restart::fixed_delay(3, millis(5)));
    let numbers = Scripted::new([(0..RECORDS).collect()]).pause_every(100, millis(11));
    job.source("numbers", numbers).map(|n: u64| n).key_by(|n| n % 7).count().sink("out", out.clone());
    job
}

fn expected() -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = (0..RECORDS).map(|n| (n % 7, n / 7 + 1)).collect();
    all.sort();
    all
}
