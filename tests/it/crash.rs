//! Crash anywhere, and nothing changes: the committed output is that of a run without failures, and so is the state at the end.

use tidegate::testing::{End, Fault, RecordingSink, Run, Scripted, Simulation};
use tidegate::{Job, millis};

use crate::common::{Counted, counted, finished, job, sound};

fn count(sim: &Simulation, out: &RecordingSink<Counted>, fault: &Fault) -> Job {
    let job = job(sim).parallelism(2);
    let splits = [(0..150).collect(), (150..300).collect()];
    let numbers = job.source("numbers", Scripted::new(splits).batches(7).pause_every(20, millis(2)));
    let fault = fault.clone();
    let checked = numbers.map(move |n: u64| {
        fault.trip();
        n
    });
    checked.key_by(|n| n % 7).count().sink("out", out.clone());
    job
}

fn never() -> Fault {
    Fault::panic_at(u64::MAX)
}

#[test]
fn a_panic_changes_nothing() {
    for seed in 0..50 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(1 + seed * 6));
        let run = sim.run(count(&sim, &out, &fault));
        assert_eq!(finished(&run).restarts, 1, "{run}");
        assert!(fault.fired());
        assert_eq!(out.sorted(), counted(0..300, 7), "seed {seed}: {run}");
        sound(&out);
    }
}

#[test]
fn the_death_of_the_process_changes_nothing() {
    let whole = Simulation::new(1);
    let run: Run = whole.run(count(&whole, &whole.sink(), &never()));
    finished(&run);
    for step in (1..run.steps).step_by(5) {
        let sim = Simulation::new(1);
        let out = sim.sink();
        let died = sim.run_until(step, count(&sim, &out, &never()));
        assert!(matches!(died.end, End::Died), "{died}");
        let run = sim.run(count(&sim, &out, &never()));
        finished(&run);
        assert_eq!(out.sorted(), counted(0..300, 7), "dead at {step}: {run}");
        sound(&out);
    }
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    for seed in 0..50 {
        let run = || {
            let sim = Simulation::new(seed);
            let out = sim.sink();
            let run = sim.run(count(&sim, &out, &Fault::panic_at(100)));
            (run.trace, out.events())
        };
        assert!(run() == run(), "seed {seed}");
    }
}

#[test]
fn plain() {
    for seed in 0..50 {
        let sim = Simulation::new(seed).bounds(3000, std::time::Duration::from_secs(5));
        let (out, fault) = (sim.sink(), Fault::panic_at(1 + seed * 6));
        let run = sim.run(count(&sim, &out, &fault));
        if !matches!(run.end, End::Finished(_)) {
            eprintln!("seed {seed} {:?}", out.events().iter().take(60).collect::<Vec<_>>());
            eprintln!("{:?}", run.trace.0.iter().take(100).collect::<Vec<_>>());
            return;
        }
    }
}
