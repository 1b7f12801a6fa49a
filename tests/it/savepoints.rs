//! Savepoints, jobs that are stopped with one, where a job starts from, and what becomes of checkpoints at the end.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use proptest::test_runner::{Config, TestRunner};
use tidegate::stored::{CheckpointKind, StateWriter, StoredCheckpoint, Wanted, job as stored_job};
use tidegate::testing::{
    Calamity, CrashPoint, DiskCall, DiskFault, End, Fault, FaultPlan, PlannedFault, RecordingSink, Run, Scripted, Simulation,
    SinkCall,
};
use tidegate::{
    CheckpointId, Checkpoints, Error, Job, JobHandle, Place, Restart, Restore, Savepoint, Store, Timestamp, Tumbling, Watermarks,
    millis, secs,
};

use crate::common::{Counted, Draw, count, counted, finished, numbers, sound, take};

/// How many numbers there are: they take 180 ms.
const N: u64 = 600;
/// A moment, in milliseconds, at which all tasks run and half of them are still to come.
const MIDST: u64 = 60;
/// Numbers for cases of which there are many: they take some 40 ms.
const SOME: u64 = 120;

fn has(sim: &Simulation, part: &str) -> bool {
    sim.disk().files().iter().any(|path| path.contains(part))
}

/// What a job of these tests writes to.
#[derive(Clone)]
struct Outs {
    counts: RecordingSink<Counted>,
    windows: RecordingSink<Counted>,
}

impl Outs {
    fn of(sim: &Simulation) -> Self {
        Outs { counts: sim.sink(), windows: sim.sink() }
    }

    fn sorted(&self) -> (Vec<Counted>, Vec<Counted>) {
        (self.counts.sorted(), self.windows.sorted())
    }

    #[track_caller]
    fn sound(&self) {
        sound(&self.counts);
        sound(&self.windows);
    }
}

/// Counts numbers by their remainder, all together and in windows of 40.
fn describe(sim: &Simulation, script: Scripted<u64>, outs: &Outs) -> Job {
    let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(8, millis(5)));
    let watermarks = Watermarks::bounded(millis(1)).on(|n: &u64| Timestamp::from_millis(*n as i64));
    let keyed = job.source("numbers", script).watermarks(watermarks).key_by(|n| n % 7);
    keyed.count().uid("counts").sink("out", outs.counts.clone());
    let windows = keyed.window(Tumbling::of(millis(40))).count().uid("windows");
    windows.map(|window| (window.key, window.value)).sink("windows out", outs.windows.clone());
    job
}

/// What the job puts out where nobody touches it.
fn untouched(n: u64) -> (Vec<Counted>, Vec<Counted>) {
    let sim = Simulation::new(0);
    let outs = Outs::of(&sim);
    finished(&sim.run(describe(&sim, numbers(n), &outs)));
    outs.sorted()
}

/// How many entries of an operator a savepoint has, with what it is.
fn entries(store: &Store, dir: &str, uid: &str) -> usize {
    let stored = StoredCheckpoint::open(store, dir).expect("there is a savepoint");
    assert_eq!(stored.kind(), CheckpointKind::Savepoint);
    let entries: Vec<_> = stored.entries(&Wanted::everything().operator(uid)).map(|entry| entry.expect("readable")).collect();
    entries.iter().filter(|entry| entry.key.is_some()).count()
}

/// Runs a job with a script that asks it for something after a while; what it was told.
fn asked<T, F>(sim: &Simulation, job: Job, ask: impl FnOnce(JobHandle) -> F + Send + 'static) -> (Run, Option<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let heard = Arc::new(Mutex::new(None));
    let told = heard.clone();
    let run = sim.run_with(job, move |job| async move {
        let answer = ask(job).await;
        *told.lock().unwrap() = Some(answer);
    });
    let answer = heard.lock().unwrap().take();
    (run, answer)
}

fn beside() -> Place {
    Place::beside_checkpoints()
}

/// Stops a job after some milliseconds.
fn stopped(sim: &Simulation, job: Job, after: u64, drain: bool) -> (Run, Option<Result<Savepoint, Error>>) {
    asked(sim, job, move |job| async move {
        tokio::time::sleep(millis(after)).await;
        if drain { job.drain_with_savepoint(beside()).await } else { job.stop_with_savepoint(beside()).await }
    })
}

#[test]
fn a27_a_savepoint_commits_nothing_and_is_neither_gone_back_to_nor_deleted() {
    let sim = Simulation::new(1);
    let out = sim.sink();
    let seen = out.clone();
    let (_, sizes) = asked(&sim, count(&sim, numbers(N).endless(), &out), move |job| async move {
        let mut sizes = Vec::new();
        for round in 0..4 {
            tokio::time::sleep(millis(30)).await;
            if round == 1 {
                assert_eq!(job.savepoint(beside()).await.unwrap().id, CheckpointId(2));
            } else {
                job.checkpoint().await.unwrap();
            }
            tokio::time::sleep(millis(10)).await;
            sizes.push(seen.committed().len());
        }
        let status = job.status();
        assert_eq!((status.checkpoints, status.latest_checkpoint), (3, Some(CheckpointId(4))));
        drop(job.cancel().await);
        sizes
    });
    let sizes = sizes.expect("the script came to its end");
    assert!(sizes[0] > 0 && sizes[1] == sizes[0] && sizes[2] > sizes[1], "{sizes:?}");
    assert!(has(&sim, "job/sp-2/manifest") && !has(&sim, "chk-3/") && has(&sim, "chk-4/manifest"), "{:?}", sim.disk().files());
    finished(&sim.run(count(&sim, numbers(N), &out)));
    assert!(has(&sim, "job/sp-2/manifest"));
    assert_eq!(out.sorted(), counted(0..N, 7));
    sound(&out);
    let listed = stored_job(&sim.disk().store(), "job").unwrap().unwrap();
    assert_eq!(listed.savepoints.iter().map(|listed| listed.dir.as_str()).collect::<Vec<_>>(), ["job/sp-2"]);
}

#[test]
fn a27_after_a_crash_the_checkpoint_is_restored_and_not_the_savepoint() {
    let sim = Simulation::new(2);
    let out = sim.sink();
    let (run, _) = asked(&sim, count(&sim, numbers(N).endless(), &out), |job| async move {
        tokio::time::sleep(millis(40)).await;
        job.checkpoint().await.unwrap();
        tokio::time::sleep(millis(40)).await;
        job.savepoint(beside()).await.unwrap();
        drop(job.cancel().await);
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
    let committed = out.committed().len() as u64;
    let read = Arc::new(Mutex::new(Vec::new()));
    finished(&sim.run(noting(&sim, &read, &Fault::panic_at(u64::MAX), &out)));
    assert!(committed > 0 && read.lock().unwrap()[0] == committed, "it reads on behind what the checkpoint had committed");
    assert_eq!(out.sorted(), counted(0..N, 7));
    sound(&out);
}

/// Counts numbers, notes each, and fails at some.
fn noting(sim: &Simulation, read: &Arc<Mutex<Vec<u64>>>, fault: &Fault, out: &RecordingSink<Counted>) -> Job {
    let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(1, millis(5)));
    let (noted, fault) = (read.clone(), fault.clone());
    let source = job.source("numbers", numbers(N)).map(move |n: u64| {
        noted.lock().unwrap().push(n);
        fault.trip();
        n
    });
    source.key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    job
}

#[test]
fn a24_a_savepoint_that_fails_fails_only_its_future() {
    let elsewhere = Store::memory();
    let sim = Simulation::new(3);
    let (out, fault) = (sim.sink(), Fault::error_at(1));
    sim.disk().plan(DiskCall::Put, "sp-1/manifest", DiskFault::Refused, &fault);
    let job = count(&sim, numbers(N), &out).checkpoints(Checkpoints::manual().tolerable_failures(0));
    let taken = Place::in_store(&elsewhere, "taken");
    let (run, answers) = asked(&sim, job, move |job| async move {
        tokio::time::sleep(millis(MIDST)).await;
        let failed = job.savepoint(beside()).await;
        let first = job.savepoint(taken.clone()).await;
        (failed, first, job.savepoint(taken).await)
    });
    let (failed, first, again) = answers.unwrap();
    assert!(fault.fired() && matches!(failed, Err(Error::SavepointFailed { .. })), "{failed:?}");
    assert!(first.is_ok(), "{first:?}");
    let Err(Error::SavepointFailed { reason, .. }) = &again else { panic!("{again:?}") };
    assert!(reason.starts_with("something lies there already"), "{reason}");
    assert_eq!(finished(&run).restarts, 0);
    assert!(!has(&sim, "sp-1/"), "what is left of it is removed: {:?}", sim.disk().files());
    assert!(StoredCheckpoint::open(&elsewhere, "taken").is_ok());
    assert_eq!(out.sorted(), counted(0..N, 7));
}

#[test]
fn a34_without_draining_windows_stay_in_the_savepoint_and_nothing_is_repeated() {
    let sim = Simulation::new(4);
    let outs = Outs::of(&sim);
    let (run, savepoint) = stopped(&sim, describe(&sim, numbers(N), &outs), MIDST, false);
    let savepoint = savepoint.unwrap().unwrap();
    assert_eq!(finished(&run).restarts, 0);
    let committed = outs.sorted();
    let in_windows: u64 = committed.1.iter().map(|(_, count)| count).sum();
    assert!(committed.0.len() as u64 > in_windows && in_windows.is_multiple_of(40), "no window fired early: {committed:?}");
    assert!(entries(&sim.disk().store(), "job/sp-1", "windows") > 0);
    assert_eq!(savepoint.id, CheckpointId(1));
    assert!(!has(&sim, "job/finished"));
    finished(&sim.run(describe(&sim, numbers(N), &outs)));
    assert_eq!(outs.sorted(), untouched(N));
    outs.sound();
    assert!(has(&sim, "sp-1/manifest"));
    assert!(finished(&sim.run(describe(&sim, numbers(N), &outs))).finished_before);
}

#[test]
fn a34_draining_puts_out_what_is_held_before_the_savepoint() {
    let sim = Simulation::new(5);
    let outs = Outs::of(&sim);
    let (run, savepoint) = stopped(&sim, describe(&sim, numbers(N), &outs), MIDST, true);
    savepoint.unwrap().unwrap();
    assert_eq!(finished(&run).restarts, 0);
    let (counts, windows) = outs.sorted();
    assert_eq!(counts.len() as u64, windows.iter().map(|(_, count)| count).sum::<u64>(), "each record is in a window that fired");
    assert!(!counts.is_empty() && (counts.len() as u64) < N);
    assert_eq!(entries(&sim.disk().store(), "job/sp-1", "windows"), 0);
    // The sources had not ended: they read on, and what comes then is in windows again.
    finished(&sim.run(describe(&sim, numbers(N), &outs)));
    let (counts, windows) = outs.sorted();
    assert_eq!(counts, counted(0..N, 7));
    assert_eq!(windows.iter().map(|(_, count)| count).sum::<u64>(), N, "{windows:?}");
    outs.sound();
}

#[test]
fn a34_a_source_that_had_ended_does_not_end_twice() {
    let sim = Simulation::new(6);
    let out: RecordingSink<u64> = sim.sink();
    let describe = || {
        let job = Job::new("job").store(sim.disk().store());
        let short = job.source("short", Scripted::new([(0..5u64).collect()])).filter(|_| true);
        let long = job.source("long", numbers(N)).filter(|_| true);
        let keyed = short.union(&long).key_by(|n| n % 7);
        keyed.count().uid("counts").map(|(_, count)| count).sink("out", out.clone());
        job
    };
    stopped(&sim, describe(), MIDST, true).1.unwrap().unwrap();
    let stored = StoredCheckpoint::open(&sim.disk().store(), "job/sp-1").unwrap();
    let ended: Vec<_> = stored.operators().iter().map(|operator| (operator.uid.to_string(), operator.ended)).collect();
    let of = |uid: &str| ended.iter().find(|(of, _)| of == uid).map(|(_, ended)| *ended);
    assert_eq!((of("short"), of("long"), of("counts")), (Some(true), Some(false), Some(false)), "{ended:?}");
    finished(&sim.run(describe()));
    assert_eq!(out.committed().len() as u64, N + 5);
    sound(&out);
}

#[test]
fn a35_where_the_savepoint_fails_the_job_carries_on() {
    for drain in [false, true] {
        for (call, part) in [(DiskCall::Put, "sp-1/manifest"), (DiskCall::Put, "sp-1/task"), (DiskCall::Put, "job/origin")] {
            let sim = Simulation::new(7);
            let (outs, fault) = (Outs::of(&sim), Fault::error_at(1));
            sim.disk().plan(call, part, DiskFault::Refused, &fault);
            let job = describe(&sim, numbers(N), &outs).checkpoints(Checkpoints::every(millis(80))).restart(Restart::never());
            let (run, answer) = stopped(&sim, job, MIDST, drain);
            assert!(fault.fired(), "{part}");
            assert!(matches!(answer, Some(Err(Error::SavepointFailed { .. }))), "{answer:?}");
            let summary = finished(&run);
            assert_eq!(summary.restarts > 0, drain, "what has drained begins again where it was, whatever the strategy");
            assert!(summary.checkpoints > 1, "periodic ones resume: {summary:?}");
            assert_eq!(outs.sorted(), untouched(N), "{part}, drain: {drain}");
            outs.sound();
            assert!(!has(&sim, "sp-1/manifest"));
        }
    }
}

#[test]
fn a35_a_failure_after_the_savepoint_fails_the_job_with_its_path_and_restarts_nothing() {
    for drain in [false, true] {
        let sim = Simulation::new(8);
        let (out, fault) = (sim.sink(), Fault::error_at(1).times(50));
        out.plan(SinkCall::Commit, &fault);
        let (run, answer) = stopped(&sim, count(&sim, numbers(N), &out), MIDST, drain);
        let End::Failed(error) = &run.end else { panic!("{run}") };
        assert!(fault.fired() && matches!(error, Error::FailedAfterSavepoint { .. }), "{error}");
        assert!(error.to_string().contains("sp-1"), "{error}");
        assert!(matches!(answer, Some(Err(Error::FailedAfterSavepoint { .. }))), "{answer:?}");
        assert!(has(&sim, "sp-1/manifest") && out.committed().is_empty());
        out.heal();
        finished(&sim.run(count(&sim, numbers(N), &out)));
        assert_eq!(out.sorted(), counted(0..N, 7));
        sound(&out);
    }
}

#[test]
fn p15_a_stop_whose_savepoint_is_durable_and_not_committed_is_committed_by_the_next_start() {
    for calamity in Calamity::ALL {
        for named in [false, true] {
            let sim = Simulation::new(9).faults(FaultPlan::new().and(PlannedFault::at(CrashPoint::Stopped, 1, calamity)));
            let outs = Outs::of(&sim);
            let (run, _) = stopped(&sim, describe(&sim, numbers(N), &outs), MIDST, false);
            assert!(sim.fates().iter().all(|fate| fate.fired), "{calamity:?}: {run}");
            assert!(calamity != Calamity::Death || (matches!(run.end, End::Died) && outs.counts.committed().is_empty()), "{run}");
            let next = || {
                let place = Place::in_store(&sim.disk().store(), "job/sp-1");
                let restore = if named { Restore::savepoint(place) } else { Restore::latest() };
                sim.run(describe(&sim, numbers(N), &outs).restore_from(restore))
            };
            // A call of the store that is to be refused may be one of the start.
            let run = Some(next()).filter(|run| !matches!(run.end, End::Failed(Error::Store { .. }))).unwrap_or_else(next);
            finished(&run);
            assert_eq!(outs.sorted(), untouched(N), "{calamity:?}");
            outs.sound();
        }
    }
}

#[test]
fn a36_a_failure_before_the_first_checkpoint_goes_back_to_the_savepoint() {
    let sim = Simulation::new(10);
    let out = sim.sink();
    stopped(&sim, count(&sim, numbers(N), &out), MIDST, false).1.unwrap().unwrap();
    let committed = out.committed().len() as u64;
    // In the process, and then in the next one, which is not told where to begin.
    let (fault, read) = (Fault::panic_at(20).times(2), Arc::new(Mutex::new(Vec::new())));
    let at = Place::in_store(&sim.disk().store(), "job/sp-1");
    let run = sim.run(noting(&sim, &read, &fault, &out).restore_from(Restore::savepoint(at)));
    assert!(matches!(run.end, End::Failed(Error::RestartsExhausted { .. })), "{run}");
    let seen = read.lock().unwrap().clone();
    assert_eq!([seen[0], seen[20]], [committed; 2], "from the savepoint, twice");
    finished(&sim.run(noting(&sim, &read, &fault, &out)));
    assert_eq!(read.lock().unwrap()[21], committed);
    assert_eq!(out.sorted(), counted(0..N, 7));
    sound(&out);
}

#[test]
fn a37_a_claimed_savepoint_goes_with_the_first_checkpoint_and_any_other_stays() {
    for claim in [false, true] {
        let elsewhere = Store::memory();
        let sim = Simulation::new(11);
        let out = sim.sink();
        let place = Place::in_store(&elsewhere, "handed-over");
        let (at, first) = (place.clone(), count(&sim, numbers(N).endless(), &out));
        asked(&sim, first, |job| async move {
            tokio::time::sleep(millis(MIDST)).await;
            job.stop_with_savepoint(at).await.unwrap();
        });
        let restore = Restore::savepoint(place);
        let restore = if claim { restore.claim() } else { restore };
        let (_, answers) = take(&sim, count(&sim, numbers(N).endless(), &out).restore_from(restore), 3);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let stays = StoredCheckpoint::open(&elsewhere, "handed-over");
        assert_eq!(stays.is_ok(), !claim, "{stays:?}");
        if let Ok(stored) = stays {
            assert!(stored.verify().faults.is_empty());
        }
        finished(&sim.run(count(&sim, numbers(N), &out)));
        assert_eq!(out.sorted(), counted(0..N, 7));
        sound(&out);
    }
}

#[test]
fn a21_a_start_from_a_savepoint_counts_on_above_it_and_keeps_its_hash() {
    let (first, second) = (Simulation::new(12), Simulation::new(13));
    let out = RecordingSink::new();
    let (_, answers) = take(&first, count(&first, numbers(N).endless(), &out), 3);
    assert!(answers.iter().all(Result::is_ok));
    let (_, savepoint) = stopped(&first, count(&first, numbers(N).endless(), &out), MIDST, false);
    let savepoint = savepoint.unwrap().unwrap();
    // In another store, whose job would draw another hash seed, with other parallelism.
    let moved = count(&second, numbers(N), &out).parallelism(3);
    let place = Place::in_store(&first.disk().store(), format!("job/sp-{}", savepoint.id));
    let run = second.run(moved.restore_from(Restore::savepoint(place)));
    assert!(finished(&run).latest_checkpoint > Some(savepoint.id), "{run}");
    assert_eq!(out.sorted(), counted(0..N, 7));
    sound(&out);
}

#[test]
fn a_start_from_an_older_point_is_not_undone_by_the_next_start() {
    let sim = Simulation::new(14);
    let out = sim.sink();
    let job = |script: Scripted<u64>| count(&sim, script, &out).checkpoints(Checkpoints::manual().retain(5));
    let (_, answers) = take(&sim, job(numbers(N).endless()), 2);
    let first = *answers[0].as_ref().unwrap();
    finished(&sim.run(job(numbers(N))));
    assert!(has(&sim, "job/finished"));
    // The user goes back to an older one, and the process dies before it has a checkpoint of its own.
    let run = sim.run_until(80, job(numbers(N)).restore_from(Restore::checkpoint(first)));
    assert!(matches!(run.end, End::Died), "{run}");
    let next = sim.run(job(numbers(N)));
    assert!(!finished(&next).finished_before, "it has not finished since: {next}");
    assert!(finished(&sim.run(job(numbers(N)))).finished_before);
    let missing = sim.run(job(numbers(N)).restore_from(Restore::checkpoint(CheckpointId(77))));
    assert!(matches!(missing.end, End::Failed(Error::Corrupt { .. })), "{missing}");
}

#[test]
fn state_of_a_savepoint_is_lost_only_by_leave() {
    let sim = Simulation::new(16);
    let out = sim.sink();
    stopped(&sim, count(&sim, numbers(N), &out), MIDST, false).1.unwrap().unwrap();
    let other = || {
        let job = Job::new("job").store(sim.disk().store());
        job.source("numbers", numbers(N)).key_by(|n| n % 7).count().uid("other").sink("out", out.clone());
        job
    };
    let refused = sim.run(other());
    let End::Failed(Error::StateMismatch { problem, .. }) = &refused.end else { panic!("{refused}") };
    assert!(problem.contains("'counts'"), "{problem}");
    finished(&sim.run(other().allow_lost_state(["counts"])));
    sound(&out);
}

#[test]
fn a29_what_becomes_of_checkpoints_depends_on_how_the_job_ends() {
    type Options = fn(bool) -> Checkpoints;
    let ends: [(&str, Options); 3] = [
        ("finishes", |keep| Checkpoints::manual().keep_on_finish(keep)),
        ("is cancelled", |keep| Checkpoints::manual().keep_on_cancel(keep)),
        ("fails", |keep| Checkpoints::manual().keep_on_failure(keep)),
    ];
    for keep in [true, false] {
        for (end, options) in ends {
            let sim = Simulation::new(17);
            let (out, fault) = (sim.sink(), Fault::error_at(2));
            if end == "fails" {
                out.plan(SinkCall::Cut, &fault);
            }
            let job = count(&sim, if end == "finishes" { numbers(N) } else { numbers(N).endless() }, &out);
            let (run, _) = asked(&sim, job.checkpoints(options(keep)).restart(Restart::never()), move |job| async move {
                tokio::time::sleep(millis(MIDST)).await;
                drop(job.checkpoint().await);
                drop(job.savepoint(beside()).await);
                if end == "is cancelled" {
                    drop(job.cancel().await);
                }
            });
            let ended = match &run.end {
                End::Finished(_) => "finishes",
                End::Cancelled => "is cancelled",
                _ => "fails",
            };
            assert_eq!(ended, end, "{run}");
            assert_eq!(has(&sim, "chk-"), keep, "{end}: {:?}", sim.disk().files());
            assert!(has(&sim, "job/job") && has(&sim, "job/head") && (end != "finishes" || has(&sim, "job/finished")));
            assert_eq!(has(&sim, "sp-2/manifest"), end != "fails", "savepoints stay");
        }
    }
}

#[test]
fn a29_a_process_that_dies_deletes_nothing() {
    let sim = Simulation::new(18).faults(FaultPlan::new().and(PlannedFault::at(CrashPoint::FinalComplete, 1, Calamity::Death)));
    let out = sim.sink();
    let options = Checkpoints::manual().keep_on_cancel(false).keep_on_failure(false).keep_on_finish(false);
    let run = sim.run(count(&sim, numbers(N), &out).checkpoints(options.clone()));
    assert!(matches!(run.end, End::Died) && has(&sim, "manifest"), "{run}");
    finished(&sim.run(count(&sim, numbers(N), &out).checkpoints(options.clone())));
    assert!(!has(&sim, "manifest") && has(&sim, "job/finished"));
    assert!(finished(&sim.run(count(&sim, numbers(N), &out).checkpoints(options))).finished_before);
    assert_eq!(out.sorted(), counted(0..N, 7));
}

#[test]
fn a30_deletions_that_fail_fail_nothing() {
    let sim = Simulation::new(19);
    let (out, fault) = (sim.sink(), Fault::error_at(1).times(100));
    sim.disk().plan(DiskCall::Delete, "chk-", DiskFault::Refused, &fault);
    let options = Checkpoints::every(millis(4)).keep_on_finish(false).tolerable_failures(0);
    let run = sim.run(count(&sim, numbers(N), &out).checkpoints(options));
    assert!(fault.fired() && finished(&run).checkpoints > 3, "{run}");
    assert_eq!(out.sorted(), counted(0..N, 7));
}

/// A job that is stopped at drawn moments under drawn faults, and started again, until it has finished; how often it was stopped with a
/// savepoint.
fn stop_and_go(seed: u64, plan: FaultPlan) -> Result<u32, String> {
    let (mut draw, mut stops) = (Draw::new(seed), 0);
    let sim = Simulation::new(seed).faults(plan);
    let outs = Outs::of(&sim);
    for round in 0..20 {
        let options =
            Checkpoints::every(millis(2 + draw.below(20))).timeout(millis(500)).max_concurrent(1 + draw.below(2) as usize);
        let job = describe(&sim, numbers(SOME), &outs).parallelism(1 + draw.below(2) as u32).checkpoints(options);
        let after = 5 + draw.below(60);
        let (run, answer) = if round < 3 { stopped(&sim, job, after, false) } else { (sim.run(job), None) };
        stops += u32::from(matches!(answer, Some(Ok(_))));
        match &run.end {
            End::Finished(summary) if summary.finished_before => break,
            End::Hung(_) | End::Broken(_) => return Err(format!("round {round}: {run}")),
            End::Failed(error @ (Error::StateMismatch { .. } | Error::Corrupt { .. })) => {
                return Err(format!("round {round}: {error}"));
            }
            _ => {}
        }
        if round == 19 {
            return Err(format!("it does not finish: {run}"));
        }
    }
    outs.sound();
    let (expected, found) = (untouched(SOME), outs.sorted());
    if expected == found { Ok(stops) } else { Err(format!("{found:?}, and not {expected:?}")) }
}

#[test]
fn a34_a35_stopped_at_any_moment_under_any_fault_and_started_again_the_output_is_the_same() {
    let cases = std::env::var("TIDEGATE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() });
    let stops = Cell::new(0);
    let survived = runner.run(&(0u64..1 << 32, FaultPlan::strategy(0..=2)), |(seed, plan)| {
        let stopped = stop_and_go(seed, plan).map_err(proptest::test_runner::TestCaseError::fail)?;
        stops.set(stops.get() + stopped);
        Ok(())
    });
    survived.unwrap();
    assert!(stops.get() > cases / 3, "only {} of {cases} jobs were stopped", stops.get());
}

#[test]
fn p15_where_nobody_knows_whether_the_next_start_goes_on_from_the_savepoint_nothing_is_begun_again() {
    for drain in [false, true] {
        for fault in [DiskFault::Unsynced, DiskFault::MaybeDone] {
            // The head is written when the job begins, for its numbers, and for its checkpoint before.
            for (part, nth) in [("job/origin", 1), ("job/head", 4)] {
                // Were the job to carry on, it would die before its next checkpoint.
                let death = PlannedFault::at(CrashPoint::BeforeTrigger, 3, Calamity::Death);
                let sim = Simulation::new(20).faults(FaultPlan::new().and(death));
                let (outs, seen) = (Outs::of(&sim), Fault::error_at(nth));
                sim.disk().plan(DiskCall::Put, part, fault, &seen);
                let (_, answer) = asked(&sim, describe(&sim, numbers(N), &outs), move |job| async move {
                    tokio::time::sleep(millis(MIDST / 2)).await;
                    job.checkpoint().await.unwrap();
                    tokio::time::sleep(millis(MIDST / 2)).await;
                    let stopped =
                        if drain { job.drain_with_savepoint(beside()).await } else { job.stop_with_savepoint(beside()).await };
                    drop(job.checkpoint().await);
                    stopped
                });
                assert!(seen.fired() && matches!(answer, Some(Ok(_))), "{part}, {fault:?}, drain: {drain}: {answer:?}");
                // The death may strike there as well.
                let next = || sim.run(describe(&sim, numbers(N), &outs));
                finished(&Some(next()).filter(|run| !matches!(run.end, End::Died)).unwrap_or_else(next));
                assert_eq!(outs.counts.sorted(), untouched(N).0, "{part}, {fault:?}, drain: {drain}");
                outs.sound();
            }
        }
    }
}

#[test]
fn a36_a_start_from_a_chosen_point_that_dies_at_any_step_is_gone_on_with_by_a_plain_one() {
    type From = fn(&Simulation, CheckpointId) -> Restore;
    let points: [From; 3] = [
        |_, latest| Restore::checkpoint(latest),
        |sim, savepoint| Restore::savepoint(Place::in_store(&sim.disk().store(), format!("job/sp-{savepoint}"))),
        |sim, savepoint| Restore::savepoint(Place::in_store(&sim.disk().store(), format!("job/sp-{savepoint}"))).claim(),
    ];
    let expected = untouched(SOME);
    for (kind, from) in points.into_iter().enumerate() {
        let mut died = 0;
        for step in (1..400).step_by(9) {
            let sim = Simulation::new(step);
            let outs = Outs::of(&sim);
            let job = || describe(&sim, numbers(SOME), &outs).checkpoints(Checkpoints::every(millis(7)).retain(3));
            let manual = describe(&sim, numbers(SOME).endless(), &outs).checkpoints(Checkpoints::manual().retain(3));
            // A latest checkpoint, or a savepoint behind it, with which nothing else is committed than what it allows.
            let (_, point) = asked(&sim, manual, move |job| async move {
                let mut latest = CheckpointId(0);
                for _ in 0..3 {
                    latest = loop {
                        tokio::time::sleep(millis(4)).await;
                        // Refused until all tasks run.
                        if let Ok(id) = job.checkpoint().await {
                            break id;
                        }
                    };
                }
                if kind == 0 {
                    drop(job.cancel().await);
                    latest
                } else {
                    job.stop_with_savepoint(beside()).await.unwrap().id
                }
            });
            let point = point.unwrap();
            let run = sim.run_until(step, job().restore_from(from(&sim, point)));
            died += u32::from(matches!(run.end, End::Died));
            let again = sim.run_until(step * 2, job());
            assert!(!matches!(again.end, End::Failed(_)), "{kind}, {step}: {again}");
            finished(&sim.run(job()));
            assert_eq!(outs.sorted(), expected, "{kind}, {step}");
            outs.sound();
            let listed = stored_job(&sim.disk().store(), "job").unwrap().unwrap();
            assert!(listed.faults.is_empty(), "{:?}", listed.faults);
        }
        assert!(died > 8, "{kind}: {died}");
    }
}

#[test]
fn what_lies_in_the_store_of_a_job_that_was_stopped_with_a_savepoint_is_that_savepoint() {
    let sim = Simulation::new(21);
    let (out, store) = (sim.sink(), sim.disk().store());
    let (_, savepoint) = asked(&sim, count(&sim, numbers(N), &out), |job| async move {
        tokio::time::sleep(millis(MIDST)).await;
        job.checkpoint().await.unwrap();
        job.stop_with_savepoint(beside()).await.unwrap().id
    });
    let latest = StoredCheckpoint::latest(&store, "job").unwrap().unwrap();
    assert_eq!((latest.id(), latest.kind()), (savepoint.unwrap(), CheckpointKind::Savepoint));
    let repaired = StateWriter::repair(&store, "job", None).map(drop);
    assert!(matches!(repaired, Err(Error::StateRefused { .. })), "{repaired:?}");
    // Without any checkpoint it is not to be begun with nothing either.
    let sim = Simulation::new(22);
    stopped(&sim, count(&sim, numbers(N), &out), MIDST, false).1.unwrap().unwrap();
    let seeded = StateWriter::seed(&sim.disk().store(), "job", None).map(drop);
    let Err(Error::StateRefused { problem, .. }) = seeded else { panic!("{seeded:?}") };
    assert!(problem.contains("goes on from savepoint 1"), "{problem}");
}

#[tokio::test]
async fn a27_a_savepoint_can_be_moved_and_a_job_starts_from_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let out = RecordingSink::<Counted>::new();
    let describe = |store: &str, script: Scripted<u64>| {
        let job = Job::new("counts").store(Store::directory(dir.path().join(store)));
        job.source("numbers", script).key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
        job
    };
    let script = || Scripted::new([(0..2_000).collect()]).batches(5).pause_every(10, millis(1));
    let running = describe("state", script().endless()).start().await.unwrap();
    tokio::time::sleep(millis(30)).await;
    running.checkpoint().await.unwrap();
    let savepoint = running.stop_with_savepoint(dir.path().join("savepoints/one")).await.unwrap();
    assert_eq!(savepoint.path, dir.path().join("savepoints/one"));
    std::fs::create_dir(dir.path().join("attic")).unwrap();
    let moved = dir.path().join("attic/moved");
    std::fs::rename(&savepoint.path, &moved).unwrap();
    let lost = describe("state", script()).start().await.unwrap_err().to_string();
    assert!(lost.contains("where no complete savepoint lies any more"), "{lost}");
    let summary = describe("new-state", script()).parallelism(2).restore_from(Restore::savepoint(&moved)).start().await.unwrap();
    summary.wait().await.unwrap();
    assert_eq!(out.sorted(), counted(0..2_000, 7));
    sound(&out);
    assert!(StoredCheckpoint::open(&Store::directory(dir.path().join("attic")), "moved").unwrap().verify().faults.is_empty());
}

#[tokio::test]
async fn a29_a_dropped_handle_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = RecordingSink::<Counted>::new();
    let job = Job::new("counts").store(Store::directory(dir.path()));
    let options = Checkpoints::manual().keep_on_cancel(false).keep_on_failure(false).keep_on_finish(false);
    let source = job.source("numbers", Scripted::new([(0..50).collect()]).endless());
    source.key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    let running = job.checkpoints(options).start().await.unwrap();
    let id = running.checkpoint().await.unwrap();
    drop(running);
    let there = || dir.path().join(format!("counts/chk-{id}/manifest")).is_file();
    // Once the lock is free, the job is over.
    let lock = std::fs::File::open(dir.path().join("counts/lock")).unwrap();
    let begun = std::time::Instant::now();
    while lock.try_lock().is_err() {
        assert!(begun.elapsed() < secs(20), "the job does not end");
        tokio::time::sleep(millis(20)).await;
    }
    assert!(there());
}
