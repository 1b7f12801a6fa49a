//! Checkpoints of whole jobs: when one exists, what becomes of one that fails, and what a restart finds.

use std::sync::{Arc, Mutex};

use tidegate::testing::{DiskCall, DiskFault, End, Fault, Scripted, Simulation, SinkCall, SinkEvent};
use tidegate::{CheckpointId, Checkpoints, Error, Job, Restart, millis, secs};

use crate::common::{Counted, count, counted, finished, numbers, sound, take};

fn has(sim: &Simulation, part: &str) -> bool {
    sim.disk().files().iter().any(|path| path.contains(part))
}

#[test]
fn a1_nobody_hears_of_a_checkpoint_whose_manifest_was_not_written() {
    let sim = Simulation::new(1);
    let (out, fault) = (sim.sink(), Fault::error_at(1));
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &fault);
    let (run, answers) = take(&sim, count(&sim, numbers(40).endless(), &out), 1);
    assert!(fault.fired() && answers[0].is_err(), "{answers:?} {run}");
    assert!(!out.events().iter().any(|event| matches!(event, SinkEvent::Committed(_))), "{:?}", out.events());
    assert!(!has(&sim, "chk-1/"), "its files are gone: {:?}", sim.disk().files());
}

#[test]
fn a1_a_commit_comes_after_the_manifest() {
    // Each death before the manifest leaves nothing committed; so whatever is committed has a checkpoint.
    let whole = Simulation::new(2);
    let steps = take(&whole, count(&whole, numbers(40), &whole.sink()), 0).0.steps;
    for step in 1..=steps {
        let sim = Simulation::new(2);
        let out = sim.sink::<Counted>();
        sim.run_until(step, count(&sim, numbers(40), &out).checkpoints(Checkpoints::every(millis(4))));
        assert!(out.committed().is_empty() || has(&sim, "manifest"), "step {step}");
    }
}

#[test]
fn a2_an_older_checkpoint_is_kept_until_a_newer_one_is_there() {
    let sim = Simulation::new(3);
    let (out, fault) = (sim.sink(), Fault::error_at(2));
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &fault);
    let (run, answers) = take(&sim, count(&sim, numbers(100).endless(), &out), 2);
    assert!(answers[0].is_ok() && answers[1].is_err(), "{answers:?} {run}");
    assert!(has(&sim, "chk-1/manifest") && !has(&sim, "chk-2/"), "{:?}", sim.disk().files());
    finished(&sim.run(count(&sim, numbers(100), &out)));
    assert_eq!(out.sorted(), counted(0..100, 7));
}

#[test]
fn a2_only_as_many_checkpoints_are_kept_as_are_asked_for() {
    let sim = Simulation::new(3);
    let job = count(&sim, numbers(100).endless(), &sim.sink()).checkpoints(Checkpoints::manual().retain(2));
    let (_, answers) = take(&sim, job, 5);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let mut kept = sim.disk().files();
    kept.retain(|path| path.ends_with("manifest"));
    assert_eq!(kept, ["job/chk-4/manifest", "job/chk-5/manifest"]);
}

#[test]
fn a3_files_stay_where_nobody_knows_whether_the_manifest_was_written() {
    for effect in [DiskFault::MaybeDone, DiskFault::Unsynced] {
        let sim = Simulation::new(4);
        let (out, fault) = (sim.sink(), Fault::error_at(1));
        sim.disk().plan(DiskCall::Put, "manifest", effect, &fault);
        let job = count(&sim, numbers(40).endless(), &out);
        let (run, answers) = take(&sim, job, 1);
        assert!(fault.fired() && answers[0].is_err(), "{run}");
        assert!(has(&sim, "chk-1/manifest") && has(&sim, ".snap"), "{:?}", sim.disk().files());
        finished(&sim.run(count(&sim, numbers(40), &out)));
        assert_eq!(out.sorted(), counted(0..40, 7));
        sound(&out);
    }
}

#[test]
fn a5_a_damaged_latest_checkpoint_is_an_error_that_names_the_usable_ones() {
    let sim = Simulation::new(5);
    let out = sim.sink();
    let job = || count(&sim, numbers(100).endless(), &out).checkpoints(Checkpoints::manual().retain(3));
    take(&sim, job(), 3);
    let paths = sim.disk().files();
    let path = paths.iter().find(|path| path.contains("chk-3/task")).expect("a snapshot");
    sim.disk().damage(path, |bytes| bytes.truncate(bytes.len() / 2));
    let run = sim.run(job());
    let End::Failed(Error::Corrupt { path, usable, .. }) = &run.end else { panic!("{run}") };
    assert!(path.to_string_lossy().contains("chk-3"), "{path:?}");
    assert_eq!(*usable, [CheckpointId(2), CheckpointId(1)]);
}

#[test]
fn a6_a_checkpoint_without_its_manifest_does_not_exist() {
    let describe = |sim: &Simulation, out: &_| count(sim, numbers(40), out).checkpoints(Checkpoints::every(millis(4)));
    let whole = Simulation::new(6);
    let steps = whole.run(describe(&whole, &whole.sink())).steps;
    let mut halves = 0;
    for step in 1..=steps {
        let sim = Simulation::new(6);
        let out = sim.sink();
        sim.run_until(step, describe(&sim, &out));
        let files = sim.disk().files();
        let half = files.iter().filter(|path| path.ends_with(".snap")).map(|path| path.rsplit_once('/').unwrap().0);
        let half: Vec<&str> = half.filter(|dir| !files.contains(&format!("{dir}/manifest"))).collect();
        halves += half.len();
        finished(&sim.run(describe(&sim, &out)));
        assert!(!half.iter().any(|dir| has(&sim, &format!("{dir}/"))), "step {step}");
        assert_eq!(out.sorted(), counted(0..40, 7), "step {step}");
    }
    assert!(halves > 0);
}

#[test]
fn a8_an_ack_of_an_attempt_that_was_replaced_does_not_count() {
    for seed in 0..60 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::error_at(1 + seed % 3));
        out.plan(SinkCall::Cut, &fault);
        let script = numbers(100);
        let job = count(&sim, script, &out).checkpoints(Checkpoints::every(millis(3))).parallelism(2);
        let run = sim.run(job);
        assert_eq!(finished(&run).restarts, 1);
        assert_eq!(out.sorted(), counted(0..100, 7));
        sound(&out);
    }
}

#[test]
fn a13_a_lost_completion_is_made_up_for() {
    // Complete checkpoints of which the sinks do not hear, because the manifest's answer was lost.
    for seed in 0..30 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::error_at(1).times(2));
        sim.disk().plan(DiskCall::Put, "manifest", DiskFault::MaybeDone, &fault);
        finished(&sim.run(count(&sim, numbers(100), &out).checkpoints(Checkpoints::every(millis(4)))));
        assert!(fault.fired());
        assert_eq!(out.sorted(), counted(0..100, 7));
        sound(&out);
    }
}

#[test]
fn a20_ids_that_cannot_be_reserved_do_not_end_checkpoints() {
    let sim = Simulation::new(8);
    let (out, fault) = (sim.sink(), Fault::error_at(3).times(2));
    // The first two writes are those of the start; a thousand ids are reserved by it.
    sim.disk().plan(DiskCall::Put, "head", DiskFault::Refused, &fault);
    let job = count(&sim, Scripted::new([vec![1u64]]).endless(), &out);
    let told = Arc::new(Mutex::new(0));
    let failed = told.clone();
    let run = sim.run_with(job, move |job| async move {
        tokio::time::sleep(millis(100)).await;
        let mut done = 0;
        while done < 1010 {
            match job.checkpoint().await {
                Ok(_) => done += 1,
                Err(_) => *failed.lock().unwrap() += 1,
            }
        }
        drop(job.cancel().await);
    });
    assert!(fault.fired(), "{run}");
    assert_eq!(*told.lock().unwrap(), 2, "{run}");
}

#[test]
fn a21_ids_rise_over_restarts_and_processes() {
    let sim = Simulation::new(9);
    let out = sim.sink();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let (_, answers) = take(&sim, count(&sim, numbers(40).endless(), &out), 2);
        ids.extend(answers.into_iter().map(|answer| answer.expect("taken")));
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[test]
fn a22_a_checkpoint_is_refused_until_all_tasks_run_and_that_is_no_failure() {
    let sim = Simulation::new(10);
    let out = sim.sink();
    let told = Arc::new(Mutex::new(None));
    let answer = told.clone();
    let job = count(&sim, numbers(40), &out);
    let run = sim.run_with(job, move |job| async move {
        let at_once = job.checkpoint().await;
        *answer.lock().unwrap() = Some(at_once);
    });
    assert_eq!(finished(&run).failed_checkpoints, 0);
    let told = told.lock().unwrap().take().expect("answered");
    assert!(matches!(&told, Err(Error::CheckpointRefused { .. })), "{told:?}");
}

#[test]
fn b2_every_record_is_on_one_side_of_the_barrier() {
    // Source, operators and sink in one task and in several: what is committed is what the positions and counts of one checkpoint say.
    for parallelism in 1..4 {
        for seed in 0..15 {
            let sim = Simulation::new(seed);
            let (out, at) = (sim.sink(), Fault::panic_at(45 + seed));
            let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism);
            let job = job.checkpoints(Checkpoints::every(millis(2))).restart(Restart::fixed_delay(1, millis(1)));
            let check = at.clone();
            let splits = [(0..40).collect(), (40..80).collect()];
            let source = job.source("numbers", Scripted::new(splits).batches(3).pause_every(5, millis(1)));
            source.key_by(|n| n % 7).count().sink("out", out.clone());
            let twice = source.flat_map(|n: u64| [n, n]).map(move |n| {
                check.trip();
                n
            });
            let other = sim.sink();
            twice.sink("twice", other.clone());
            finished(&sim.run(job));
            assert!(at.fired());
            assert_eq!(out.sorted(), counted(0..80, 7));
            assert_eq!(other.sorted(), (0..80).flat_map(|n| [n, n]).collect::<Vec<_>>());
        }
    }
}

#[test]
fn b1_what_comes_behind_a_barrier_waits_for_the_barriers_of_the_other_inputs() {
    let mut completed = 0;
    for seed in 0..80 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(60 + seed));
        let job = Job::new("job").store(sim.disk().store()).parallelism(2);
        let job = job.checkpoints(Checkpoints::every(millis(3))).restart(Restart::fixed_delay(1, millis(1)));
        let quick = Scripted::new([(0..80).collect()]).batches(1).pause_every(1, millis(1));
        let slow = Scripted::new([(80..160).collect()]).batches(4).pause_every(8, millis(7));
        let check = fault.clone();
        let both = job.source("quick", quick).union(&job.source("slow", slow)).map(move |n: u64| {
            check.trip();
            n
        });
        both.key_by(|n| n % 7).count().sink("out", out.clone());
        let run = sim.run(job);
        completed += finished(&run).checkpoints;
        assert!(fault.fired());
        assert_eq!(out.sorted(), counted(0..160, 7), "seed {seed}: {run}");
    }
    assert!(completed > 400, "{completed}");
}

#[test]
fn b2_a_barrier_waits_for_what_was_read_before_it_and_could_not_be_handed_on() {
    for seed in 0..30 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(9000 + seed * 700));
        let job = Job::new("job").store(sim.disk().store()).parallelism(2);
        let job = job.checkpoints(Checkpoints::every(millis(1))).restart(Restart::fixed_delay(1, millis(1)));
        let source = job.source("numbers", Scripted::new([(0..12).collect::<Vec<u64>>()]).batches(2)).parallelism(1);
        let many = source.flat_map(|n: u64| (0..3000).map(move |i| n * 3000 + i)).parallelism(1);
        let check = fault.clone();
        let checked = many.map(move |n: u64| {
            check.trip();
            n
        });
        checked.key_by(|n| n % 5).count().sink("out", out.clone());
        finished(&sim.run(job));
        assert!(fault.fired());
        assert_eq!(out.sorted(), counted(0..36_000, 5), "seed {seed}");
    }
}

#[test]
fn b15_a_task_whose_inputs_have_ended_still_takes_checkpoints() {
    let sim = Simulation::new(14);
    let (out, fault) = (sim.sink::<Counted>(), Fault::error_at(1).times(4));
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &fault);
    let run = sim.run(count(&sim, numbers(20), &out).parallelism(2));
    assert_eq!(finished(&run).failed_checkpoints, 4, "all of them after the end: {run}");
    assert_eq!(out.sorted(), counted(0..20, 7));
}

#[test]
fn b19_an_alignment_behind_full_edges_comes_to_its_end() {
    let sim = Simulation::new(15);
    let out = sim.sink();
    let job = Job::new("job").store(sim.disk().store()).parallelism(2).checkpoints(Checkpoints::every(millis(1)));
    // One of two branches has two thousand times as much to deliver; both meet again behind an exchange.
    let source = job.source("numbers", Scripted::new([(0..40).collect::<Vec<u64>>()]).batches(1).pause_every(1, millis(1)));
    let many = source.flat_map(|n: u64| (0..2000).map(move |i| n * 2000 + i));
    let met = source.map(|n| n).union(&many);
    met.key_by(|n| n % 5).count().sink("out", out.clone());
    let run = sim.run(job);
    assert!(finished(&run).checkpoints > 3, "{run}");
    assert_eq!(out.committed().len(), 40 + 80_000);
}

#[test]
fn c31_a_task_with_several_operators_is_in_a_checkpoint_as_a_whole() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let (out, other, fault) = (sim.sink(), sim.sink(), Fault::error_at(1 + seed % 2));
        // Two sinks in one task, with the source before them; what one of them has to make durable fails.
        other.plan(SinkCall::MakeDurable, &fault);
        let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(1, millis(1)));
        let source = job.checkpoints(Checkpoints::every(millis(4)));
        let stream = source.source("numbers", numbers(60));
        stream.sink("out", out.clone());
        stream.sink("other", other.clone());
        assert_eq!(finished(&sim.run(source)).restarts, 1);
        assert_eq!((out.committed(), other.committed()), ((0..60).collect(), (0..60).collect::<Vec<_>>()));
        sound(&out);
        sound(&other);
    }
}

#[test]
fn a_finished_job_does_nothing_when_it_is_run_again() {
    let sim = Simulation::new(21);
    let out = sim.sink();
    finished(&sim.run(count(&sim, numbers(20), &out)));
    let told = out.events().len();
    assert!(finished(&sim.run(count(&sim, numbers(20), &out))).finished_before);
    assert_eq!(out.events().len(), told);
}

#[test]
fn checkpoints_that_fail_in_a_row_fail_the_job_where_that_is_asked_for() {
    let sim = Simulation::new(22);
    let out = sim.sink();
    sim.disk().plan(DiskCall::Put, ".snap", DiskFault::Refused, &Fault::error_at(1).times(100));
    let checkpoints = Checkpoints::every(millis(5)).tolerable_failures(2);
    let job = count(&sim, numbers(40).endless(), &out).checkpoints(checkpoints).restart(Restart::never());
    let run = sim.run(job);
    assert!(matches!(&run.end, End::Failed(Error::RestartsExhausted { .. })), "{run}");
    assert!(run.took < secs(1), "{run}");
}
