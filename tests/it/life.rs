//! The life of a job in a service: what its events, its probes and its tree say, how it ends gracefully, and that jobs leave each other
//! alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::testing::{DiskCall, DiskFault, End, Fault, RecordingSink, Restores, Scripted, Simulation};
use tidegate::{
    BoxError, Checkpoints, Context, Error, Job, JobEvent, JobHandle, KeyedOperator, OpenContext, Restart, RestoredFrom, Shutdown,
    Store, TaskState, Watchdog, millis, secs,
};
use tokio::time::sleep;

use crate::common::{Counted, counted, finished, job, sound};

/// Counts the numbers below a hundred by their remainder, in some 300 ms; `check` runs in a map at each.
fn counting(job: &Job, check: &Fault, out: &RecordingSink<Counted>) {
    let check = check.clone();
    let numbers = Scripted::new([(0..100).collect()]).batches(5).pause_every(10, millis(30));
    let checked = job.source("numbers", numbers).map(move |n: u64| {
        check.trip();
        n
    });
    checked.uid("checked").key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
}

fn never() -> Fault {
    Fault::panic_at(u64::MAX)
}

/// Waits until something holds; ten seconds at most.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        sleep(millis(5)).await;
    }
    panic!("it never came to this: {what}");
}

/// Waits until all regions run, in virtual time.
async fn runs(running: &JobHandle) {
    while !running.ready().is_ok() {
        sleep(millis(1)).await;
    }
}

/// All events of a job, to its end.
async fn all_events(running: JobHandle) -> Vec<JobEvent> {
    let (mut events, mut all) = (running.events(), Vec::new());
    while let Some(event) = events.next().await {
        all.push(event);
    }
    all
}

/// What a script keeps for the test.
type Kept<T> = Arc<Mutex<T>>;

#[test]
fn the_events_of_a_job_tell_its_life_in_order() {
    let sim = Simulation::new(3).restores(Restores::FromMemory);
    let (out, fault, kept) = (sim.sink(), Fault::panic_at(60), Kept::default());
    let job = job(&sim);
    counting(&job, &fault, &out);
    let told = kept.clone();
    let run = sim.run_with(job, move |running| async move {
        sleep(millis(8)).await;
        // Who listens later hears all the same.
        *told.lock().unwrap() = all_events(running).await;
    });
    finished(&run);
    let events = kept.lock().unwrap();
    let told: Vec<String> = events.iter().map(JobEvent::to_string).collect();
    let at =
        |begins: &str| told.iter().position(|text| text.starts_with(begins)).unwrap_or_else(|| panic!("{begins}: {told:#?}"));
    let life = [
        "the job begins: its start number 1",
        "region 0 begins attempt 1.0 anew",
        "region 0 runs, in attempt 1.0",
        "checkpoint 1 begins",
        "checkpoint 1 is complete: it took ",
        "region 0 failed: operator 'checked' (task 0.0) panicked: a planned panic",
        "region 0 is restarted in 5ms, its restart number 1",
        "region 0 begins attempt 1.1 from checkpoint ",
        "region 0 runs, in attempt 1.1",
        "region 0 has ended",
        "the job has finished",
    ];
    let places: Vec<usize> = life.iter().map(|begins| at(begins)).collect();
    assert!(places.is_sorted(), "{told:#?}");
    assert_eq!((places[0], places[life.len() - 1]), (0, told.len() - 1));
    let failed = |event: &JobEvent| match event {
        JobEvent::RegionFailed { task, operator, .. } => Some((task.clone().unwrap(), operator.clone().unwrap())),
        _ => None,
    };
    assert_eq!(events.iter().find_map(failed), Some(("0.0".into(), "checked".into())));
    let restored = |event: &JobEvent| match event {
        JobEvent::RegionRestored { from, checkpoint, .. } => Some((*from, checkpoint.is_some())),
        _ => None,
    };
    let restored: Vec<_> = events.iter().filter_map(restored).collect();
    assert_eq!(restored, [(RestoredFrom::Nothing, false), (RestoredFrom::Memory, true)]);
    let last = finished(&run).last_region_failure.clone().unwrap();
    assert_eq!(last.cause, "operator 'checked' (task 0.0) panicked: a planned panic");
}

#[test]
fn a_checkpoint_that_fails_is_told_with_its_reason_and_stays_in_the_status() {
    let sim = Simulation::new(4);
    let (out, fault, kept) = (sim.sink(), Fault::error_at(2), Kept::default());
    sim.disk().plan(DiskCall::Put, ".snap", DiskFault::Refused, &fault);
    let job = job(&sim);
    counting(&job, &never(), &out);
    let told = kept.clone();
    let run = sim.run_with(job, move |running| async move {
        *told.lock().unwrap() = all_events(running).await;
    });
    let failure = finished(&run).last_checkpoint_failure.clone().expect("one failed");
    assert!(failure.reason.contains("its snapshot failed: cannot ") && failure.reason.contains(".snap"), "{failure:?}");
    let events = kept.lock().unwrap();
    let failed = |event: &JobEvent| match event {
        JobEvent::CheckpointFailed { id, reason, counts: true } => Some((*id, reason.clone())),
        _ => None,
    };
    assert_eq!(events.iter().find_map(failed), Some((failure.id, failure.reason)));
}

#[test]
fn a_job_is_ready_while_all_its_regions_run_and_not_while_one_is_restarted() {
    let sim = Simulation::new(5);
    let (out, fault, kept) = (sim.sink(), Fault::panic_at(60), Kept::<Vec<String>>::default());
    let job = job(&sim);
    counting(&job, &fault, &out);
    let told = kept.clone();
    finished(&sim.run_with(job, move |running| async move {
        for _ in 0..16_000 {
            let says = running.ready().to_string();
            if told.lock().unwrap().last() != Some(&says) {
                told.lock().unwrap().push(says);
            }
            if running.status().checkpoints > 0 {
                assert!(running.health().is_ok(), "{}", running.health());
            }
            sleep(Duration::from_micros(50)).await;
        }
    }));
    let said = kept.lock().unwrap().clone();
    let restarting = "region 0 is being restarted: operator 'checked' (task 0.0) panicked: a planned panic";
    assert_eq!(said, ["region 0 is being started", "ok", restarting, "ok", "the job has finished"]);
}

/// A gate in a map: closed, it does not come back.
#[derive(Clone, Default)]
struct Barred(Arc<AtomicBool>);

impl Barred {
    fn pass(&self) {
        while self.0.load(Ordering::SeqCst) {
            std::thread::sleep(millis(1));
        }
    }

    fn set(&self, closed: bool) {
        self.0.store(closed, Ordering::SeqCst);
    }
}

/// Passes numbers on; from number 5 on only while the gate is open.
struct Guard(Barred);

impl KeyedOperator for Guard {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        if n >= 5 {
            self.0.pass();
        }
        ctx.out.emit(n);
        Ok(())
    }
}

/// An endless job, which counts how often its guard was opened.
fn guarded(gate: &Barred, opened: &Arc<AtomicU64>) -> Job {
    let job = Job::new("guarded").store(Store::memory()).restart(Restart::fixed_delay(5, millis(1)));
    let source = job.source("numbers", Scripted::new([(0..10u64).collect()]).endless());
    let (gate, opened) = (gate.clone(), opened.clone());
    let passed = source.key_by(|n| n % 2).process("guard", move |_: &mut OpenContext<'_, u64>| {
        opened.fetch_add(1, Ordering::SeqCst);
        Ok(Guard(gate.clone()))
    });
    passed.sink("out", RecordingSink::new());
    job
}

/// Opens the gate when the test ends, however it ends: the thread behind it is let go.
struct Opens(Barred);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[tokio::test]
async fn a_task_that_does_not_come_back_is_reported_and_taken_back_when_it_does() {
    let (gate, opened) = (Barred::default(), Arc::default());
    let _opens = Opens(gate.clone());
    gate.set(true);
    let job = guarded(&gate, &opened).watchdog(Watchdog::default().report_after(millis(100)));
    let running = job.start().await.unwrap();
    let mut events = running.events();
    let stuck = loop {
        let event = tokio::time::timeout(secs(10), events.next()).await.unwrap().unwrap();
        if let JobEvent::TaskStuck { .. } = event {
            break event;
        }
    };
    let JobEvent::TaskStuck { operators, stuck: time, .. } = &stuck else { panic!("{stuck}") };
    assert!(operators == "guard → out" && *time >= millis(100), "{stuck}");
    let ill = running.health().to_string();
    assert!(ill.starts_with("nothing moves for 0 s: task 1.0 (guard → out) does not come back from a callback"), "{ill}");
    assert!(running.ready().is_ok(), "it may come back");
    let tree = running.tree();
    let guard = tree.regions[0].tasks.iter().find(|task| task.operators == "guard → out").unwrap();
    assert!(guard.state == TaskState::Running && guard.stuck.is_some(), "{tree}");
    gate.set(false);
    until("it is well again", || running.health().is_ok()).await;
    let back = loop {
        let event = tokio::time::timeout(secs(10), events.next()).await.unwrap().unwrap();
        if let JobEvent::TaskMoves { .. } = event {
            break event;
        }
    };
    assert_eq!(back.to_string(), "task 1.0 (guard → out) has come back, and goes on");
    until("all is handled", || running.status().operators["out"].records == 10).await;
    assert_eq!((opened.load(Ordering::SeqCst), running.status().restarts), (1, 0));
    running.cancel().await.unwrap();
}

#[tokio::test]
async fn e7_a_task_that_never_comes_back_fails_the_job_by_name_and_none_is_started_beside_it() {
    let (gate, opened) = (Barred::default(), Arc::default());
    let _opens = Opens(gate.clone());
    gate.set(true);
    let watchdog = Watchdog::default().report_after(millis(50)).fail_after(millis(150)).give_up_after(millis(300));
    let running = guarded(&gate, &opened).watchdog(watchdog).start().await.unwrap();
    let telling = tokio::spawn(all_events(running.clone()));
    let failed = tokio::time::timeout(secs(20), running.wait()).await.unwrap().unwrap_err();
    let Error::Stuck { task, operators, what } = &failed else { panic!("{failed}") };
    assert_eq!((task.as_str(), operators.as_str()), ("1.0", "guard → out"));
    assert!(what.starts_with("told to stop 300ms ago, and still there"), "{what}");
    assert_eq!(opened.load(Ordering::SeqCst), 1, "no second attempt was ever started");
    let events = telling.await.unwrap();
    let told: Vec<String> = events.iter().map(JobEvent::to_string).collect();
    let reported = told.iter().position(|text| text.contains("has not come back from a callback for")).unwrap();
    let restarting = told.iter().position(|text| text.starts_with("region 0 is restarted in 1ms")).unwrap();
    assert!(reported < restarting, "{told:#?}");
    assert!(told[restarting - 1].contains("failed: task 1.0 (guard → out) is stuck: it has not come back from a callback for"));
    assert_eq!(events.iter().filter(|event| matches!(event, JobEvent::RegionRestored { .. })).count(), 1);
    let health = running.health().to_string();
    assert!(health.starts_with("the job failed: task 1.0 (guard → out) is stuck"), "{health}");
}

#[tokio::test]
async fn a_stuck_task_that_comes_back_in_time_is_restarted() {
    let (gate, opened) = (Barred::default(), Arc::default());
    let _opens = Opens(gate.clone());
    gate.set(true);
    let watchdog = Watchdog::default().report_after(millis(50)).fail_after(millis(100)).give_up_after(secs(60));
    let running = guarded(&gate, &opened).watchdog(watchdog).start().await.unwrap();
    until("its region fails", || running.status().restarts == 1).await;
    assert_eq!(opened.load(Ordering::SeqCst), 1, "the first attempt is still there");
    assert!(!running.ready().is_ok());
    gate.set(false);
    until("it is opened again", || opened.load(Ordering::SeqCst) == 2).await;
    until("all is handled", || running.status().operators["out"].records == 10).await;
    running.cancel().await.unwrap();
}

#[tokio::test]
async fn a_task_that_is_slow_is_not_stuck() {
    let job = Job::new("slow").watchdog(Watchdog::default().report_after(millis(400)).fail_after(millis(400)));
    let slow = job.source("numbers", Scripted::new([(0..60u64).collect()])).map(|n| {
        std::thread::sleep(millis(15));
        n
    });
    slow.sink("out", RecordingSink::new());
    let running = job.start().await.unwrap();
    let events = all_events(running.clone()).await;
    let summary = running.wait().await.unwrap();
    assert_eq!((summary.restarts, summary.operators["out"].records), (0, 60));
    assert!(!events.iter().any(|event| matches!(event, JobEvent::TaskStuck { .. })), "{events:#?}");
}

#[test]
fn a_job_that_is_shut_down_goes_on_exactly_there() {
    let sim = Simulation::new(8);
    let (out, kept) = (sim.sink(), Kept::default());
    let told = kept.clone();
    let first = job(&sim).checkpoints(Checkpoints::manual());
    counting(&first, &never(), &out);
    let run = sim.run_with(first, move |running| async move {
        runs(&running).await;
        sleep(millis(100)).await;
        let ended = running.shutdown(secs(1)).await.unwrap();
        *told.lock().unwrap() = Some((ended, running.status().operators["numbers"].records));
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
    let (ended, read) = kept.lock().unwrap().take().unwrap();
    let Shutdown::AtCheckpoint(id) = ended else { panic!("{ended:?}") };
    assert!(read > 0 && read < 100, "in the middle: {read}");
    let (second, fresh) = (job(&sim).checkpoints(Checkpoints::manual()), Fault::panic_at(u64::MAX));
    counting(&second, &fresh, &out);
    let run = sim.run_with(second, move |running| async move {
        let mut events = running.events();
        while let Some(event) = events.next().await {
            if let JobEvent::RegionRestored { checkpoint, .. } = event {
                assert_eq!(checkpoint, Some(id));
            }
        }
    });
    finished(&run);
    assert!(fresh.calls() < 100, "what came before the checkpoint is not read again");
    assert_eq!(out.sorted(), counted(0..100, 7));
    sound(&out);
}

#[test]
fn a_shutdown_waits_for_a_region_that_is_being_restarted() {
    let sim = Simulation::new(9);
    let (out, fault, kept) = (sim.sink(), Fault::panic_at(40), Kept::default());
    let told = kept.clone();
    let job = job(&sim).restart(Restart::fixed_delay(1, millis(70)));
    counting(&job, &fault, &out);
    sim.run_with(job, move |running| async move {
        while running.status().restarts == 0 {
            sleep(millis(1)).await;
        }
        *told.lock().unwrap() = Some(running.shutdown(secs(10)).await.unwrap());
    });
    assert!(matches!(*kept.lock().unwrap(), Some(Shutdown::AtCheckpoint(_))), "{kept:?}");
}

#[test]
fn past_its_deadline_a_shutdown_ends_the_job_at_once() {
    let sim = Simulation::new(10);
    let (out, kept) = (sim.sink(), Kept::default());
    sim.disk().plan(DiskCall::Put, "manifest", DiskFault::Refused, &Fault::error_at(2).times(1_000));
    let told = kept.clone();
    let job = job(&sim).checkpoints(Checkpoints::manual());
    counting(&job, &never(), &out);
    let run = sim.run_with(job, move |running| async move {
        runs(&running).await;
        let first = running.checkpoint().await.unwrap();
        let before = tokio::time::Instant::now();
        let ended = running.shutdown(millis(40)).await.unwrap();
        *told.lock().unwrap() = Some((first, ended, before.elapsed()));
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
    let (first, ended, took) = kept.lock().unwrap().take().unwrap();
    let Shutdown::Cut { latest, reason } = ended else { panic!("{ended:?}") };
    assert_eq!(latest, Some(first));
    assert!(
        reason.starts_with("no checkpoint was complete within 40ms: no checkpoint was started: its manifest could not"),
        "{reason}"
    );
    assert!(took >= millis(40) && took < millis(200), "{took:?}");
}

#[tokio::test]
async fn a_job_that_ends_by_itself_needs_no_signal_to_be_shut_down() {
    let job = Job::new("short");
    job.source("numbers", Scripted::new([vec![1, 2]])).sink("out", RecordingSink::new());
    let running = job.start().await.unwrap();
    let ended = tokio::time::timeout(secs(10), running.shutdown_on(std::future::pending(), secs(1))).await.unwrap();
    assert!(matches!(ended.unwrap(), Shutdown::Finished(summary) if summary.operators["out"].records == 2));
    assert!(matches!(running.shutdown(secs(1)).await.unwrap(), Shutdown::Finished(_)), "and none once it has ended");
}

/// A job in a service with others: it counts for ever, on a store that all share.
fn neighbour(name: &str, store: &Store, check: &Fault, out: &RecordingSink<Counted>) -> Job {
    let job = Job::new(name).store(store.clone()).checkpoints(Checkpoints::every(millis(10))).restart(Restart::never());
    let check = check.clone();
    let numbers = job.source("numbers", Scripted::new([(0..400u64).collect()]).batches(5).pause_every(5, millis(2)).endless());
    let checked = numbers.map(move |n| {
        check.trip();
        n
    });
    checked.key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    job
}

#[tokio::test]
async fn jobs_of_one_process_leave_each_other_alone_and_are_restarted_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let (store, well, ill) = (Store::directory(dir.path()), RecordingSink::new(), RecordingSink::new());
    let good = neighbour("good", &store, &never(), &well).start().await.unwrap();
    let bad = neighbour("bad", &store, &Fault::panic_at(50), &ill).start().await.unwrap();
    let twice = neighbour("good", &store, &never(), &RecordingSink::new()).start().await.unwrap_err();
    assert!(matches!(twice, Error::Locked { .. }), "{twice}");
    let failed = bad.wait().await.unwrap_err();
    assert!(matches!(failed, Error::RestartsExhausted { .. }), "{failed}");
    assert!(good.ready().is_ok() && good.health().is_ok() && !bad.health().is_ok());
    // The one that failed is started again by hand while the other runs, and so is the other, cancelled on the way.
    let bad = neighbour("bad", &store, &never(), &ill).start().await.unwrap();
    until("the good one is half through", || good.status().operators["numbers"].records >= 200).await;
    good.cancel().await.unwrap();
    assert!(!good.ready().is_ok() && bad.ready().is_ok());
    let good = neighbour("good", &store, &never(), &well).start().await.unwrap();
    for (running, out) in [(good, well), (bad, ill)] {
        until("all is read", || running.status().operators["out"].records == 400).await;
        assert_eq!(running.status().restarts, 0);
        let ended = running.shutdown(secs(10)).await.unwrap();
        assert!(matches!(ended, Shutdown::AtCheckpoint(_)), "{ended:?}");
        // The last commit may be left to a next start.
        let again = neighbour(&running.tree().job, &store, &never(), &out).start().await.unwrap();
        again.cancel().await.unwrap();
        assert_eq!(out.sorted(), counted(0..400, 7));
    }
}
