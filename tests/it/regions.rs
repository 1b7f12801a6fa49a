//! Pipelines that share no records: one fails, and the others, with their checkpoints, go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate::testing::{DiskCall, DiskFault, End, Fault, RecordingSink, Restores, Scripted, Simulation, SinkEvent};
use tidegate::{Checkpoints, Job, Restart, millis};

use crate::common::{Counted, counted, finished, numbers, sound};

/// Two pipelines that count numbers below 100 by their remainder, of which the left one meets a fault at each record.
struct Two {
    left: RecordingSink<Counted>,
    right: RecordingSink<Counted>,
    /// How many records the right one has read.
    read: Arc<AtomicU64>,
}

impl Two {
    fn new(sim: &Simulation) -> Self {
        Two { left: sim.sink(), right: sim.sink(), read: Arc::default() }
    }

    /// The job, with a checkpoint every 2 ms of which one is kept, and so long a delay of restarts.
    fn job(&self, sim: &Simulation, fault: &Fault, delay: Duration) -> Job {
        let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(3, delay));
        let job = job.checkpoints(Checkpoints::every(millis(2)).retain(1));
        let (fault, read) = (fault.clone(), self.read.clone());
        let left = job.source("left", hundred()).map(move |n: u64| {
            fault.trip();
            n
        });
        left.key_by(|n| n % 7).count().uid("left-counts").sink("left-out", self.left.clone());
        let right = job.source("right", hundred()).map(move |n: u64| {
            read.fetch_add(1, Ordering::Relaxed);
            n
        });
        right.key_by(|n| n % 5).count().uid("right-counts").sink("right-out", self.right.clone());
        job
    }

    #[track_caller]
    fn all_there(&self) {
        assert_eq!((self.left.sorted(), self.right.sorted()), (counted(0..100, 7), counted(0..100, 5)));
        sound(&self.left);
        sound(&self.right);
    }
}

fn hundred() -> Scripted<u64> {
    numbers(100)
}

fn starts(out: &RecordingSink<Counted>) -> usize {
    out.events().iter().filter(|event| matches!(event, SinkEvent::Recovered(..))).count()
}

#[test]
fn e10_a_region_that_fails_stops_neither_the_others_nor_their_checkpoints() {
    for (seed, restores) in (0..30).flat_map(|seed| [(seed, Restores::FromFiles), (seed, Restores::FromMemory)]) {
        let sim = Simulation::new(seed).restores(restores);
        let (two, fault) = (Two::new(&sim), Fault::panic_at(20 + seed));
        let (left, right) = (two.left.clone(), two.right.clone());
        let run = sim.run_with(two.job(&sim, &fault, millis(500)), |job| async move {
            tokio::time::sleep(millis(400)).await;
            assert_eq!(right.sorted(), counted(0..100, 5), "all of it is committed while the other is down");
            assert!(left.sorted().len() < 100);
            let _finished = job.wait().await;
        });
        let summary = finished(&run);
        assert!(fault.fired() && summary.restarts == 1, "{run}");
        assert_eq!((starts(&two.left), starts(&two.right)), (2, 1), "one is opened again, the other is not: {run}");
        assert_eq!(two.read.load(Ordering::Relaxed), 100, "nothing is read twice: {run}");
        two.all_there();
    }
}

#[test]
fn e11_a_region_that_fails_reads_its_own_files_only() {
    let mut restored = 0;
    for seed in 0..20 {
        let sim = Simulation::new(seed).restores(Restores::FromFiles);
        let (two, fault) = (Two::new(&sim), Fault::panic_at(60 + seed));
        let reads_of = |chain: u32| {
            let reads = Fault::error_at(u64::MAX);
            sim.disk().plan(DiskCall::Read, &format!("/task-{chain}."), DiskFault::Refused, &reads);
            reads
        };
        let [source, counts, others @ ..] = [0, 1, 2, 3].map(reads_of);
        let run = sim.run(two.job(&sim, &fault, millis(20)));
        assert!(fault.fired() && finished(&run).restarts == 1, "{run}");
        // A manifest is loaded with a look at the size of each file that it names, and those of the right one have no other.
        let sizes = others.each_ref().map(Fault::calls);
        assert_eq!(sizes[0], sizes[1], "{run}");
        let left = [source.calls(), counts.calls()];
        let began_anew = left == [0; 2];
        assert!(
            began_anew || left.iter().all(|reads| *reads > sizes[0]),
            "what is restored is read: {left:?}, and not {sizes:?}"
        );
        restored += u32::from(!began_anew);
        two.all_there();
    }
    assert!(restored >= 10, "{restored} were restored");
}

#[test]
fn e10_a_process_that_dies_while_a_region_is_down_loses_nothing() {
    let mut died = 0;
    for seed in 0..120 {
        let sim = Simulation::new(seed).restores(Restores::FromFiles);
        let (two, fault) = (Two::new(&sim), Fault::panic_at(15 + seed % 60).times(2));
        // Most steps are those of the right pipeline, while the left one waits.
        let run = sim.run_until(150 + seed * 17, two.job(&sim, &fault, millis(500)));
        died += u32::from(matches!(run.end, End::Died));
        if matches!(run.end, End::Died) {
            finished(&sim.run(two.job(&sim, &fault, millis(5))));
        }
        two.all_there();
    }
    assert!(died > 60, "{died} died");
}

#[test]
fn a28_what_was_carried_goes_once_its_region_has_gone_on() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let (two, fault) = (Two::new(&sim), Fault::panic_at(30 + seed));
        finished(&sim.run(two.job(&sim, &fault, millis(100))));
        let files = sim.disk().files();
        let directory = |path: &String| path.rsplit_once('/').map(|(dir, _)| dir.to_owned());
        let with = |end: &str| -> BTreeSet<_> { files.iter().filter(|path| path.ends_with(end)).filter_map(directory).collect() };
        assert_eq!(with(".snap"), with("/manifest"), "{files:?}");
        two.all_there();
    }
}
