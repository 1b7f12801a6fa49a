//! What a sink is told, and in which order: the phases of its transactions over checkpoints, failures and the end.

use tidegate::testing::{
    DiskCall, DiskFault, End, Fault, RecordingSink, Scripted, Simulation, SinkCall, SinkEvent, TransactionId,
};
use tidegate::{CheckpointId, Checkpoints, Error, Job, Restart, millis};

use crate::common::{finished, sound};

/// Numbers below `n`, in batches of 5 with a pause after each 10, into a sink.
fn pass(sim: &Simulation, n: u64, out: &RecordingSink<u64>) -> Job {
    let job = Job::new("job").store(sim.disk().store()).checkpoints(Checkpoints::every(millis(4)));
    let job = job.restart(Restart::fixed_delay(2, millis(5)));
    job.source("numbers", Scripted::new([(0..n).collect()]).batches(5).pause_every(10, millis(5))).sink("out", out.clone());
    job
}

fn cuts(events: &[SinkEvent]) -> Vec<(CheckpointId, Option<TransactionId>)> {
    let cut = |event: &SinkEvent| match event {
        SinkEvent::Cut(checkpoint, transaction) => Some((*checkpoint, *transaction)),
        _ => None,
    };
    events.iter().filter_map(cut).collect()
}

fn position(events: &[SinkEvent], wanted: &SinkEvent) -> usize {
    events.iter().position(|event| event == wanted).unwrap_or_else(|| panic!("no {wanted:?} in {events:?}"))
}

#[test]
fn f1_nothing_is_written_into_a_transaction_after_its_cut() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        finished(&sim.run(pass(&sim, 60, &out)));
        let events = out.events();
        let cuts: Vec<_> = cuts(&events).into_iter().filter_map(|(id, cut)| cut.map(|cut| (id, cut))).collect();
        assert!(cuts.len() > 1, "{events:?}");
        for (checkpoint, id) in cuts {
            let cut = position(&events, &SinkEvent::Cut(checkpoint, Some(id)));
            assert!(!events[cut..].iter().any(|event| matches!(event, SinkEvent::Written(other, _) if *other == id)));
            assert!(cut < position(&events, &SinkEvent::Prepared(id)));
            assert!(position(&events, &SinkEvent::Prepared(id)) < position(&events, &SinkEvent::Committed(id)));
        }
        assert_eq!(out.committed(), (0..60).collect::<Vec<_>>());
        sound(&out);
    }
}

#[test]
fn f3_what_was_prepared_for_an_aborted_checkpoint_is_committed_with_the_next() {
    let sim = Simulation::new(3);
    let (out, fault) = (sim.sink(), Fault::error_at(1));
    sim.disk().plan(DiskCall::Put, ".snap", DiskFault::Refused, &fault);
    let run = sim.run(pass(&sim, 60, &out));
    let summary = finished(&run);
    assert!(fault.fired() && summary.failed_checkpoints == 1 && summary.restarts == 0, "{summary:?}");
    let events = out.events();
    let first = cuts(&events)[0].1.expect("something was written");
    let second = cuts(&events)[1].0;
    assert!(position(&events, &SinkEvent::Cut(second, cuts(&events)[1].1)) < position(&events, &SinkEvent::Committed(first)));
    assert_eq!(out.committed(), (0..60).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn f3_what_was_prepared_for_an_aborted_checkpoint_is_in_the_next_one() {
    // The process dies anywhere: also between the next manifest and its commits, which only that checkpoint knows of then.
    let aborting = |sim: &Simulation, out: &RecordingSink<u64>| {
        sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &Fault::error_at(1));
        pass(sim, 40, out)
    };
    let whole = Simulation::new(3);
    let steps = whole.run(aborting(&whole, &whole.sink())).steps;
    for step in 1..=steps {
        let sim = Simulation::new(3);
        let out = sim.sink();
        sim.run_until(step, aborting(&sim, &out));
        finished(&sim.run(pass(&sim, 40, &out)));
        assert_eq!(out.committed(), (0..40).collect::<Vec<_>>(), "step {step}");
        sound(&out);
    }
}

#[test]
fn f4_transactions_are_committed_in_the_order_of_their_checkpoints() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        // Two manifests fail in a row, so that three transactions wait for the third.
        sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &Fault::error_at(1).times(2));
        finished(&sim.run(pass(&sim, 80, &out)));
        assert_eq!(out.committed(), (0..80).collect::<Vec<_>>());
        sound(&out);
    }
}

#[test]
fn f5_a_commit_whose_answer_was_lost_is_repeated_without_a_duplicate() {
    let sim = Simulation::new(5);
    let (out, fault) = (sim.sink(), Fault::error_at(2).times(3));
    out.plan(SinkCall::Committed, &fault);
    let run = sim.run(pass(&sim, 60, &out));
    assert_eq!(finished(&run).restarts, 1, "three tries failed");
    assert!(fault.fired());
    assert_eq!(out.committed(), (0..60).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn f5_recovery_commits_before_anything_is_written() {
    let sim = Simulation::new(6);
    let (out, fault) = (sim.sink(), Fault::error_at(2).times(3));
    out.plan(SinkCall::Commit, &fault);
    finished(&sim.run(pass(&sim, 60, &out)));
    let events = out.events();
    let recovered = events.iter().rposition(|event| matches!(event, SinkEvent::Recovered(..))).unwrap();
    let SinkEvent::Recovered(_, handles) = &events[recovered] else { unreachable!() };
    assert!(!handles.is_empty());
    assert!(matches!(events[recovered + 1], SinkEvent::Committed(id) if id == handles[0]), "{:?}", &events[recovered..]);
    assert_eq!(out.committed(), (0..60).collect::<Vec<_>>());
}

#[test]
fn f6_a_recovered_handle_stays_until_its_commit_succeeds() {
    let sim = Simulation::new(7);
    let (out, commits, recovery) = (sim.sink(), Fault::error_at(2).times(3), Fault::error_at(2));
    out.plan(SinkCall::Commit, &commits);
    out.plan(SinkCall::Recover, &recovery);
    let run = sim.run(pass(&sim, 60, &out));
    assert_eq!(finished(&run).restarts, 2);
    assert!(commits.fired() && recovery.fired());
    assert_eq!(out.committed(), (0..60).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn f6_a_commit_that_fails_for_good_fails_the_job_and_the_next_start_commits() {
    let sim = Simulation::new(8);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(3));
    out.plan(SinkCall::Commit, &fault);
    let run = sim.run(pass(&sim, 20, &out).restart(Restart::never()));
    assert!(
        matches!(&run.end, End::Failed(Error::RestartsExhausted { cause, .. }) if cause.to_string().contains("commit")),
        "{run}"
    );
    finished(&sim.run(pass(&sim, 20, &out)));
    assert_eq!(out.committed(), (0..20).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn f7_a_commit_is_tried_three_times_then_the_region_fails_and_the_state_keeps_the_handle() {
    let manual = |sim: &Simulation, out: &RecordingSink<u64>| pass(sim, 20, out).checkpoints(Checkpoints::manual());
    let sim = Simulation::new(13);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(2));
    out.plan(SinkCall::Commit, &fault);
    assert_eq!(finished(&sim.run(manual(&sim, &out))).restarts, 0, "the third try succeeds");
    assert_eq!((fault.calls(), out.committed().len()), (3, 20));
    sound(&out);

    let sim = Simulation::new(14);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(1000));
    out.plan(SinkCall::Commit, &fault);
    let run = sim.run(manual(&sim, &out).restart(Restart::never()));
    assert!(matches!(run.end, End::Failed(Error::RestartsExhausted { .. })), "{run}");
    assert_eq!((fault.calls(), out.committed().len()), (3, 0));
    let (_, state) = sim.disk().state("job").unwrap().expect("the final checkpoint is complete");
    assert_eq!(state[&("out".to_owned(), "handles".to_owned())].len(), 1, "{state:?}");
    out.heal();
    finished(&sim.run(manual(&sim, &out)));
    assert_eq!(out.committed(), (0..20).collect::<Vec<_>>(), "recovery commits");
    sound(&out);
}

#[test]
fn f8_a_task_is_not_over_before_its_commits_are() {
    for seed in 0..40 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::error_at(2).times(2));
        out.plan(SinkCall::Committed, &fault);
        finished(&sim.run(pass(&sim, 30, &out)));
        let events = out.events();
        let last = events.iter().rposition(|event| matches!(event, SinkEvent::Committed(_))).unwrap();
        assert!(last < position(&events, &SinkEvent::Closed(0)), "seed {seed}: {events:?}");
        assert_eq!(out.committed(), (0..30).collect::<Vec<_>>());
        sound(&out);
    }
}

#[test]
fn f11_the_last_transaction_is_committed_only_when_the_final_checkpoint_is_complete() {
    let sim = Simulation::new(9);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(2));
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &fault);
    let run = sim.run(pass(&sim, 10, &out).checkpoints(Checkpoints::manual()));
    assert_eq!(finished(&run).failed_checkpoints, 2);
    let events = out.events();
    assert_eq!(cuts(&events).len(), 3, "the final checkpoint was taken three times: {events:?}");
    let (last, _) = cuts(&events)[2];
    assert!(position(&events, &SinkEvent::Cut(last, None)) < position(&events, &SinkEvent::Committed(TransactionId(1))));
    assert_eq!(out.committed(), (0..10).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn f11_a_final_commit_that_fails_is_not_taken_for_an_end() {
    // Regression: a source went before its sink had committed, and took the sink's task with it.
    for seed in 0..30 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::error_at(1).times(3));
        out.plan(SinkCall::Commit, &fault);
        let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(1, millis(1))).parallelism(2);
        let numbers = job.source("numbers", Scripted::new([(0..9).collect()])).parallelism(1);
        numbers.key_by(|n: &u64| *n).count().sink("out", out.clone());
        assert_eq!(finished(&sim.run(job)).restarts, 1, "seed {seed}");
        assert_eq!(out.committed().len(), 9);
        sound(&out);
    }
}

#[test]
fn f12_a_task_stays_until_a_checkpoint_after_its_end_is_complete() {
    let sim = Simulation::new(10);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(3));
    sim.disk().plan(DiskCall::Put, ".snap", DiskFault::Refused, &fault);
    finished(&sim.run(pass(&sim, 10, &out).checkpoints(Checkpoints::manual())));
    assert!(fault.fired());
    let events = out.events();
    assert!(position(&events, &SinkEvent::Committed(TransactionId(1))) < position(&events, &SinkEvent::Closed(0)), "{events:?}");
    sound(&out);
}

#[test]
fn f13_nothing_is_begun_after_the_end_of_data() {
    let sim = Simulation::new(11);
    let out = sim.sink();
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &Fault::error_at(1));
    finished(&sim.run(pass(&sim, 20, &out).checkpoints(Checkpoints::manual())));
    let events = out.events();
    let end = position(&events, &SinkEvent::Finished(0));
    assert!(!events[end..].iter().any(|event| matches!(event, SinkEvent::Begun(_) | SinkEvent::Written(..))), "{events:?}");
    assert_eq!(events.iter().filter(|event| matches!(event, SinkEvent::Finished(_))).count(), 1);
}

#[test]
fn f13_a_job_restored_behind_its_end_has_nothing_to_replay() {
    let sim = Simulation::new(12);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(3));
    out.plan(SinkCall::Commit, &fault);
    let manual = |job: Job| job.checkpoints(Checkpoints::manual());
    let run = sim.run(manual(pass(&sim, 20, &out)));
    assert_eq!(finished(&run).restarts, 1);
    let events = out.events();
    let again = events.iter().rposition(|event| matches!(event, SinkEvent::Recovered(..))).unwrap();
    assert!(!events[again..].iter().any(|event| matches!(event, SinkEvent::Begun(_) | SinkEvent::Finished(_))), "{events:?}");
    assert_eq!(out.committed(), (0..20).collect::<Vec<_>>());
}

#[test]
fn f14_the_handles_of_two_tasks_are_each_committed_once_at_another_parallelism() {
    for (seed, parallelism) in [(15, 1), (16, 3)] {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::error_at(1).times(1000));
        out.plan(SinkCall::Commit, &fault);
        // The first checkpoint fails, so that each task has two transactions in the second one.
        sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &Fault::error_at(1));
        let job = |parallelism| {
            let job = Job::new("job").store(sim.disk().store()).checkpoints(Checkpoints::every(millis(4)));
            let splits = [(0..40).collect(), (40..80).collect()];
            let numbers = job.source("two", Scripted::new(splits).batches(5).pause_every(5, millis(5)));
            let numbers = numbers.map(|n: u64| n);
            numbers.parallelism(2).sink("out", out.clone()).parallelism(parallelism);
            job.parallelism(2).restart(Restart::never())
        };
        let run = sim.run(job(2));
        assert!(matches!(run.end, End::Failed(_)) && out.committed().is_empty(), "{run}");
        out.heal();
        finished(&sim.run(job(parallelism)));
        let events = out.events();
        let again = events.iter().rposition(|event| matches!(event, SinkEvent::Recovered(..))).unwrap();
        let SinkEvent::Recovered(_, handles) = &events[again] else { unreachable!() };
        assert!(handles.len() >= 4, "each task has two transactions at least: {events:?}");
        for handle in handles {
            let commits = events.iter().filter(|event| **event == SinkEvent::Committed(*handle)).count();
            assert_eq!(commits, 1, "{handle:?} at parallelism {parallelism}");
        }
        assert_eq!(out.sorted(), (0..80).collect::<Vec<_>>());
        sound(&out);
    }
}

#[test]
fn f16_an_error_while_a_cut_is_made_durable_leaves_the_checkpoint_unacknowledged_and_fails_the_region() {
    let sim = Simulation::new(17);
    let (out, fault) = (sim.sink(), Fault::error_at(1));
    out.plan(SinkCall::MakeDurable, &fault);
    let run = sim.run(pass(&sim, 20, &out).checkpoints(Checkpoints::manual()).restart(Restart::never()));
    assert!(matches!(run.end, End::Failed(Error::RestartsExhausted { .. })), "{run}");
    assert!(fault.fired() && sim.disk().state("job").unwrap().is_none(), "no checkpoint is complete");
    finished(&sim.run(pass(&sim, 20, &out)));
    assert_eq!(out.committed(), (0..20).collect::<Vec<_>>());
    sound(&out);
}

#[test]
fn the_instances_of_a_sink_are_taken_up_together() {
    // Two tasks without an exchange between them: were they restarted one by one, one would take away what the other prepared.
    for seed in 0..40 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(30 + seed));
        let job = pass(&sim, 1, &sim.sink());
        let tripped = fault.clone();
        let splits = [(0..60).collect(), (60..120).collect()];
        let numbers = job.source("two", Scripted::new(splits).batches(3).pause_every(6, millis(3)));
        let checked = numbers.map(move |n: u64| {
            tripped.trip();
            n
        });
        numbers.parallelism(2);
        checked.parallelism(2).sink("both", out.clone()).parallelism(2);
        finished(&sim.run(job));
        assert!(fault.fired());
        assert_eq!(out.sorted(), (0..120).collect::<Vec<_>>(), "seed {seed}");
        sound(&out);
    }
}
