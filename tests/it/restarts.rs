//! Failures and restarts: what is restored, what counts, who is blamed, and how a job ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate::testing::{
    DiskCall, DiskFault, End, Fault, RecordingSink, Restores, Scripted, Simulation, SinkCall, SinkEvent, SourceCall,
};
use tidegate::{Checkpoints, Error, Job, Restart, millis, secs};

use crate::common::{Counted, counted, finished, job, sound};

/// Counts numbers below 100 by their remainder; `check` runs in a map at each record.
fn count(job: &Job, script: Scripted<u64>, check: &Fault, out: &RecordingSink<Counted>) {
    let check = check.clone();
    let numbers = job.source("numbers", script);
    let checked = numbers.map(move |n: u64| {
        check.trip();
        n
    });
    checked.key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
}

fn hundred() -> Scripted<u64> {
    Scripted::new([(0..100).collect()]).batches(5).pause_every(10, millis(3))
}

fn never() -> Fault {
    Fault::panic_at(u64::MAX)
}

#[test]
fn e1_a_fixed_delay_allows_so_many_restarts() {
    let sim = Simulation::new(1);
    let (out, fault) = (sim.sink(), Fault::panic_at(20).times(3));
    let job = job(&sim).restart(Restart::fixed_delay(2, millis(5)));
    count(&job, hundred(), &fault, &out);
    let run = sim.run(job);
    let End::Failed(Error::RestartsExhausted { strategy, cause }) = &run.end else { panic!("{run}") };
    assert_eq!(strategy, "all 2 restarts are used up");
    assert!(matches!(&**cause, Error::Panic { message, .. } if message == "a planned panic"), "{cause}");
    assert_eq!(fault.calls(), 22, "three attempts, each up to its failure: {run}");
}

#[test]
fn e6_no_attempt_starts_while_a_call_of_the_one_before_is_under_way() {
    // Work takes up to 20 ms here, and the delay of the restart is none.
    for seed in 0..60 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(30 + seed));
        let job = job(&sim).restart(Restart::fixed_delay(1, Duration::ZERO)).checkpoints(Checkpoints::every(millis(2)));
        count(&job, hundred(), &fault, &out);
        finished(&sim.run(job));
        assert!(fault.fired());
        assert_eq!(out.sorted(), counted(0..100, 7));
        sound(&out);
    }
}

#[test]
fn e8_pending_checkpoints_die_with_the_attempt() {
    let sim = Simulation::new(4);
    // The first checkpoint is under way when the region fails: its sink part fails.
    let (out, fault) = (sim.sink(), Fault::error_at(1));
    out.plan(SinkCall::MakeDurable, &fault);
    let job = job(&sim);
    count(&job, hundred(), &never(), &out);
    let run = sim.run(job);
    let summary = finished(&run);
    assert!(fault.fired() && summary.failed_checkpoints >= 1 && summary.restarts == 1, "{summary:?}");
    assert!(matches!(out.events().iter().rfind(|event| matches!(event, SinkEvent::Recovered(..))),
        Some(SinkEvent::Recovered(_, handles)) if handles.is_empty()));
    assert_eq!(out.sorted(), counted(0..100, 7));
    sound(&out);
}

#[test]
fn e9_a_checkpoint_that_was_complete_before_the_failure_is_used() {
    for seed in 0..40 {
        let sim = Simulation::new(seed);
        let (out, polls, fault) = (sim.sink(), Arc::new(AtomicU64::new(0)), Fault::panic_at(40 + seed));
        let job = job(&sim).checkpoints(Checkpoints::every(millis(2)));
        let seen = polls.clone();
        let (numbers, check) = (job.source("numbers", hundred()), fault.clone());
        let checked = numbers.map(move |n: u64| {
            seen.fetch_add(1, Ordering::Relaxed);
            check.trip();
            n
        });
        checked.key_by(|n| n % 7).count().sink("out", out.clone());
        let run = sim.run(job);
        finished(&run);
        // What was committed before the failure is not read again.
        let events = out.events();
        let recovered = events.iter().rposition(|event| matches!(event, SinkEvent::Recovered(..))).unwrap();
        if events[..recovered].iter().any(|event| matches!(event, SinkEvent::Committed(_))) {
            assert!(polls.load(Ordering::Relaxed) < 100 + 40 + seed, "it was read from the beginning: {run}");
        }
        assert_eq!(out.sorted(), counted(0..100, 7));
        sound(&out);
    }
}

#[test]
fn e14_a_failed_restore_counts_and_is_tried_again_never_with_empty_state() {
    let sim = Simulation::new(5).restores(Restores::FromFiles);
    let (out, fault, reads) = (sim.sink(), Fault::panic_at(60), Fault::error_at(1).times(2));
    let job = job(&sim).checkpoints(Checkpoints::every(millis(2)));
    count(&job, hundred(), &fault, &out);
    sim.disk().plan(DiskCall::Read, ".snap", DiskFault::Refused, &reads);
    let run = sim.run(job);
    assert!(fault.fired() && reads.fired());
    assert!(finished(&run).restarts > 1, "{run}");
    assert_eq!(out.sorted(), counted(0..100, 7));
    sound(&out);
}

#[test]
fn e15_cancelling_during_the_delay_of_a_restart_ends_the_job() {
    let sim = Simulation::new(6);
    let (out, fault) = (sim.sink(), Fault::panic_at(20));
    let job = job(&sim).restart(Restart::fixed_delay(1, secs(60)));
    count(&job, hundred(), &fault, &out);
    let run = sim.run_with(job, |job| async move {
        tokio::time::sleep(secs(1)).await;
        job.cancel().await.expect("cancelled");
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
    assert!(run.took < secs(2) && fault.fired(), "{run}");
    let started = out.events().iter().filter(|event| matches!(event, SinkEvent::Recovered(..))).count();
    assert_eq!(started, 1, "no second attempt");
}

#[test]
fn e16_cancelling_commits_nothing_more_and_loses_nothing() {
    for seed in 0..40 {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        let describe = || {
            let job = job(&sim);
            count(&job, hundred(), &never(), &out);
            job
        };
        let run = sim.run_with(describe(), move |job| async move {
            tokio::time::sleep(millis(3 + seed % 25)).await;
            job.cancel().await.expect("cancelled");
        });
        assert!(matches!(run.end, End::Cancelled), "{run}");
        assert!(!out.events().iter().any(|event| matches!(event, SinkEvent::Finished(_))), "it was closed without its end");
        finished(&sim.run(describe()));
        assert_eq!(out.sorted(), counted(0..100, 7));
        sound(&out);
    }
}

#[test]
fn e16_cancelling_ends_a_job_whose_edges_are_all_full() {
    let sim = Simulation::new(7);
    let out = sim.sink::<Counted>();
    let job = job(&sim).parallelism(2);
    // Without an end, and without time passing: whoever waits for the output to drain waits for ever.
    let many = job.source("numbers", Scripted::new([vec![1u64], vec![2]])).flat_map(|n: u64| (0..u64::MAX).map(move |i| n + i));
    many.key_by(|n| n % 7).count().sink("out", out);
    let run = sim.run_with(job, |job| async move {
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        job.cancel().await.expect("cancelled");
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
}

#[test]
fn e17_the_first_cause_is_the_cause_and_counts_once() {
    for seed in 0..40 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(20));
        let job = job(&sim).parallelism(3).restart(Restart::never());
        count(&job, Scripted::new([(0..50).collect(), (50..100).collect()]).batches(5), &fault, &out);
        let run = sim.run(job);
        let End::Failed(Error::RestartsExhausted { cause, .. }) = &run.end else { panic!("{run}") };
        assert!(matches!(&**cause, Error::Panic { operator, .. } if operator == "map(numbers)"), "{cause}");
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(20));
        let job = self::job(&sim).parallelism(3).restart(Restart::fixed_delay(1, millis(1)));
        count(&job, Scripted::new([(0..50).collect(), (50..100).collect()]).batches(5), &fault, &out);
        assert_eq!(finished(&sim.run(job)).restarts, 1);
    }
}

#[test]
fn e18_a_failure_anywhere_is_noticed() {
    let sinks = [SinkCall::Open, SinkCall::Recover, SinkCall::Write, SinkCall::Cut, SinkCall::MakeDurable, SinkCall::Finish];
    for (seed, call) in (0..).zip(sinks) {
        for fault in [Fault::panic_at(1), Fault::error_at(1)] {
            let sim = Simulation::new(seed);
            let out = sim.sink();
            out.plan(call, &fault);
            let job = job(&sim);
            count(&job, hundred(), &never(), &out);
            let run = sim.run(job);
            assert_eq!(finished(&run).restarts, 1, "{call:?}: {run}");
            assert!(fault.fired());
            assert_eq!(out.sorted(), counted(0..100, 7));
        }
    }
    for (seed, call) in (0..).zip([SourceCall::Splits, SourceCall::Open, SourceCall::Poll]) {
        for fault in [Fault::panic_at(1), Fault::error_at(1)] {
            let sim = Simulation::new(seed);
            let (out, job) = (sim.sink(), job(&sim));
            count(&job, hundred().fault(call, &fault), &never(), &out);
            assert_eq!(finished(&sim.run(job)).restarts, 1, "{call:?}");
            assert_eq!(out.sorted(), counted(0..100, 7));
        }
    }
}

#[test]
fn e18_a_commit_that_panics_is_noticed() {
    let sim = Simulation::new(8);
    let (out, fault) = (sim.sink(), Fault::panic_at(1));
    out.plan(SinkCall::Commit, &fault);
    let job = job(&sim);
    count(&job, hundred(), &never(), &out);
    assert_eq!(finished(&sim.run(job)).restarts, 1);
    assert_eq!(out.sorted(), counted(0..100, 7));
}

#[test]
fn e19_no_checkpoint_is_begun_before_all_tasks_run() {
    for seed in 0..40 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(50));
        // Opening takes up to 20 ms here, and a checkpoint is due each millisecond.
        let job = job(&sim).parallelism(2).checkpoints(Checkpoints::every(millis(1)).timeout(secs(5)));
        count(&job, hundred(), &fault, &out);
        let run = sim.run(job);
        let summary = finished(&run);
        assert!(summary.failed_checkpoints <= 1, "only the one that was under way at the failure: {summary:?}");
        assert!(summary.checkpoints > 1, "{summary:?}");
        assert_eq!(out.sorted(), counted(0..100, 7));
    }
}

#[test]
fn the_numbers_of_a_job_are_those_of_its_output_whatever_was_restarted() {
    let sim = Simulation::new(9);
    let (out, fault) = (sim.sink(), Fault::panic_at(60));
    let job = job(&sim).parallelism(2);
    count(&job, hundred(), &fault, &out);
    let run = sim.run(job);
    let operators = &finished(&run).operators;
    assert_eq!((operators["numbers"].records, operators["out"].records), (100, 100), "{run}");
}
