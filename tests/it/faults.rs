//! Fault plans: each kind of fault strikes where it is aimed, in a job that knows nothing of it, and changes nothing.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tidegate::testing::{
    Calamity, Callback, Control, CrashPoint, DiskCall, DiskFault, End, Failure, Fate, FaultPlan, Happening, PlannedFault,
    RecordingSink, Role, Run, Scripted, Simulation,
};
use tidegate::{
    BoxError, Checkpoints, Context, Error, Job, KeyedOperator, OpenContext, Restart, Timer, Timestamp, ValueState, Watermarks,
    millis,
};

use crate::common::sound;

/// How many records there are, in two splits.
const RECORDS: u64 = 80;

/// Emits for each record its key and how many there were, and once more when its timer fires.
struct Timed {
    seen: ValueState<u64>,
}

impl KeyedOperator for Timed {
    type Key = u64;
    type In = u64;
    type Out = (u64, u64);

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let seen = ctx.state.get_or_insert_with(self.seen, || 0);
        *seen += 1;
        ctx.timers.event_time(time_of(n).plus(millis(7)));
        ctx.out.emit((ctx.state.key() % 100, *ctx.state.get(self.seen).unwrap_or(&0)));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.out.emit((1000, timer.time.millis() as u64));
        Ok(())
    }
}

fn time_of(n: u64) -> Timestamp {
    Timestamp::from_millis(n as i64 * 10)
}

/// A job with every kind of callback.
fn every(sim: &Simulation, out: &RecordingSink<(u64, u64)>) -> Job {
    let checkpoints = Checkpoints::every(millis(8)).timeout(millis(400));
    let job = Job::new("job").store(sim.disk().store()).checkpoints(checkpoints).restart(Restart::fixed_delay(6, millis(5)));
    let splits = [0, 1].map(|split| (0..RECORDS).filter(|n| n % 2 == split).collect());
    let numbers = job.source("numbers", Scripted::new(splits).batches(7).pause_every(4, millis(5)));
    let numbers = numbers.watermarks(Watermarks::bounded(millis(30)).on(|n: &u64| time_of(*n)));
    let timed = numbers
        .map(|n: u64| n)
        .key_by(|n| n % 5)
        .process("timed", |ctx: &mut OpenContext<'_, u64>| Ok(Timed { seen: ctx.value("seen")? }));
    timed.sink("out", out.clone());
    job.parallelism(2)
}

fn expected() -> Vec<(u64, u64)> {
    let counts = (0..5).flat_map(|key| (1..=RECORDS / 5).map(move |n| (key, n)));
    let timers = (0..RECORDS).map(|n| (1000, n * 10 + 7));
    let mut all: Vec<(u64, u64)> = counts.chain(timers).collect();
    all.sort();
    all
}

/// Runs the job to its end, over as many processes as it takes, and compares.
fn survive(seed: u64, plan: &FaultPlan) -> Result<(Vec<Run>, Vec<Fate>), TestCaseError> {
    let sim = Simulation::new(seed).bounds(30_000, Duration::from_secs(120)).faults(plan.clone());
    let (out, mut runs) = (sim.sink(), Vec::new());
    for _ in 0..12 {
        let run = sim.run(every(&sim, &out));
        if let End::Hung(_) | End::Broken(_) = run.end {
            prop_assert!(false, "{plan}: {run}");
        }
        let finished = matches!(run.end, End::Finished(_));
        runs.push(run);
        if finished {
            prop_assert_eq!(out.sorted(), expected(), "{}: {:?}", plan, out.events());
            sound(&out);
            return Ok((runs, sim.fates()));
        }
    }
    prop_assert!(false, "{plan}: a dozen processes did not finish it; the last: {}", runs.last().unwrap());
    Ok((runs, sim.fates()))
}

/// The same, where all of the plan has to strike.
#[track_caller]
fn strikes(seed: u64, faults: impl IntoIterator<Item = PlannedFault>) -> Vec<Run> {
    let plan: FaultPlan = faults.into_iter().collect();
    let (runs, fates) = survive(seed, &plan).unwrap();
    assert!(fates.iter().all(|fate| fate.fired), "{fates:?}");
    runs
}

fn ends(runs: &[Run]) -> Vec<String> {
    runs.iter().map(|run| format!("{:?}", run.end)).collect()
}

#[test]
fn a_fault_in_any_callback_of_any_operator_strikes_and_changes_nothing() {
    for (seed, callback) in (0..).zip(Callback::ALL) {
        for failure in [Failure::Error, Failure::Panic] {
            let calls = if let Callback::Splits | Callback::Recover = callback { 1..=1 } else { 1..=3 };
            for nth in calls {
                let runs = strikes(seed, [PlannedFault::callback(callback, nth, failure)]);
                assert_eq!(runs.len(), 1, "it is restarted within the process: {callback:?} {:?}", ends(&runs));
                let End::Finished(summary) = &runs[0].end else { unreachable!() };
                // A panic in close is logged; a commit is tried again.
                let tolerated = matches!(callback, Callback::Close | Callback::Committed)
                    || (callback == Callback::Commit && failure == Failure::Error);
                assert_eq!(
                    summary.restarts == 0,
                    tolerated && (failure == Failure::Error || callback == Callback::Close),
                    "{callback:?} {failure:?}"
                );
            }
        }
    }
}

#[test]
fn the_one_who_is_aimed_at_is_blamed() {
    let cases = [
        ("timed", Callback::Record, "record"),
        ("timed", Callback::Timer, "on_timer"),
        ("out", Callback::Cut, "cut"),
        ("numbers", Callback::Poll, "poll"),
    ];
    for (uid, callback, named) in cases {
        let sim = Simulation::new(1).faults(FaultPlan::new().and(PlannedFault::callback(callback, 2, Failure::Error).of(uid)));
        let run = sim.run(every(&sim, &sim.sink()).restart(Restart::never()));
        let End::Failed(Error::RestartsExhausted { cause, .. }) = &run.end else { panic!("{run}") };
        assert!(
            matches!(&**cause, Error::Operator { operator, callback, .. } if operator == uid && *callback == named),
            "{cause:?}"
        );
    }
    // Also a panic where the call is made off the tasks: it is the user's, not the engine's.
    for (uid, callback) in [("numbers", Callback::Splits), ("out", Callback::Recover), ("out", Callback::MakeDurable)] {
        let sim = Simulation::new(1).faults(FaultPlan::new().and(PlannedFault::callback(callback, 1, Failure::Panic).of(uid)));
        let run = sim.run(every(&sim, &sim.sink()).restart(Restart::never()));
        let End::Failed(Error::RestartsExhausted { cause, .. }) = &run.end else { panic!("{run}") };
        assert!(matches!(&**cause, Error::Panic { operator, .. } if operator == uid), "{callback:?}: {cause:?}");
    }
}

#[test]
fn a_panic_at_any_record_of_one_operator_strikes_there() {
    for nth in 1..=RECORDS {
        strikes(nth, [PlannedFault::callback(Callback::Record, nth, Failure::Panic).of("timed")]);
    }
}

#[test]
fn a_fault_of_any_call_of_the_store_strikes_and_changes_nothing() {
    let effects = [DiskFault::Refused, DiskFault::Torn, DiskFault::Unsynced, DiskFault::MaybeDone];
    for (seed, call) in (0..).zip(DiskCall::ALL) {
        for effect in effects {
            let nths: &[u64] = if call == DiskCall::Lock { &[1] } else { &[1, 2, 5, 9, 14] };
            for nth in nths {
                let fault = PlannedFault::Store { call, path: String::new(), nth: *nth, effect };
                let (_, fates) = survive(seed, &FaultPlan::new().and(fault)).unwrap();
                assert_eq!(fates[0].fired, fates[0].seen >= *nth, "{fates:?}");
                assert!(fates[0].fired || *nth > 2, "{fates:?}");
            }
        }
    }
}

#[test]
fn a_crash_of_any_actor_at_any_message_fails_the_job_with_a_cause_or_is_survived() {
    for role in Role::ALL {
        for nth in 1..=24 {
            let plan = FaultPlan::new().and(PlannedFault::Actor { role, nth });
            let (runs, fates) = survive(nth, &plan).unwrap();
            assert!(fates[0].fired == (fates[0].seen >= nth) && (fates[0].fired || nth > 1), "{fates:?}");
            let caused = |run: &Run| matches!(&run.end, End::Finished(_)) || matches!(&run.end, End::Failed(Error::Engine(_)));
            assert!(runs.iter().all(caused), "{:?}", ends(&runs));
            let replaced = matches!(role, Role::Shell | Role::Coordinator | Role::Keeper);
            assert!(!replaced || runs.len() == 1, "{role:?} is replaced: {:?}", ends(&runs));
        }
    }
}

#[test]
fn messages_that_may_be_lost_may_be_lost() {
    for message in Control::ALL {
        let aborts = (message == Control::Abort).then_some(PlannedFault::Lost { message: Control::Ack, nth: 2 });
        for nth in 1..=if message == Control::Abort { 2 } else { 6 } {
            strikes(nth, aborts.clone().into_iter().chain([PlannedFault::Lost { message, nth }]));
        }
    }
}

#[test]
fn messages_that_may_be_late_may_be_late() {
    for message in Control::ALL {
        let aborts = (message == Control::Abort).then_some(PlannedFault::Lost { message: Control::Ack, nth: 2 });
        for (nth, by) in [(1, 3), (2, 50), (3, 1000), (4, 390)] {
            let fault = PlannedFault::Late { message, nth: if aborts.is_some() { 1 } else { nth }, by: millis(by) };
            strikes(nth, aborts.clone().into_iter().chain([fault]));
        }
    }
}

#[test]
fn a_late_ack_of_an_aborted_checkpoint_is_discarded() {
    // The checkpoint times out after 400 ms.
    for seed in 0..10 {
        let runs = strikes(seed, [PlannedFault::Late { message: Control::Ack, nth: 3, by: millis(500) }]);
        let End::Finished(summary) = &runs[0].end else { unreachable!() };
        assert!(summary.failed_checkpoints > 0 && summary.restarts == 0, "{summary:?}");
    }
}

#[test]
fn an_edge_may_stall() {
    for nth in 1..=30 {
        let runs = strikes(nth, [PlannedFault::Stall { nth, lasts: millis(300) }]);
        // An edge that has ended counts as having delivered its barriers.
        assert!(nth > 8 || runs[0].took >= millis(300), "{}", runs[0]);
    }
}

#[test]
fn processes_may_die_one_after_the_other() {
    for step in 1..40 {
        let runs = strikes(step, [PlannedFault::death(step * 5), PlannedFault::death(step), PlannedFault::death(30 + step)]);
        assert_eq!(runs.len(), 4);
    }
}

#[test]
fn every_crash_point_can_be_aimed_at_with_every_calamity() {
    for point in CrashPoint::UNASKED {
        for calamity in Calamity::ALL {
            for nth in 1..=2 {
                // Something to restart from, and a reason to do so.
                let needs_restart = matches!(point, CrashPoint::Backoff | CrashPoint::Restored | CrashPoint::RecoveryCommits);
                let first = needs_restart.then(|| PlannedFault::callback(Callback::Record, 110, Failure::Panic).of("out"));
                let twice = matches!(
                    point,
                    CrashPoint::FinalComplete | CrashPoint::Backoff | CrashPoint::RecoveryCommits | CrashPoint::CompleteToSome
                );
                let nth = if twice { 1 } else { nth };
                let runs = strikes(nth, first.into_iter().chain([PlannedFault::at(point, nth, calamity)]));
                let reached =
                    runs.iter().flat_map(|run| &run.trace.0).any(|(_, happening)| *happening == Happening::Reached(point));
                assert!(reached);
                match calamity {
                    Calamity::Death => assert!(matches!(runs[0].end, End::Died), "{point}: {:?}", ends(&runs)),
                    Calamity::Cancel => {
                        assert!(matches!(runs[0].end, End::Cancelled | End::Finished(_)), "{point}: {:?}", ends(&runs))
                    }
                    Calamity::Panic | Calamity::StoreError => {}
                }
            }
        }
    }
}

#[test]
fn a_second_failure_in_recovery_changes_nothing() {
    for point in [CrashPoint::Backoff, CrashPoint::Restored, CrashPoint::RecoveryCommits] {
        for calamity in Calamity::ALL {
            for (first, seed) in [(CrashPoint::SinkPrepared, 1), (CrashPoint::ManifestDurable, 2), (CrashPoint::CommitDone, 3)] {
                let failure = PlannedFault::callback(Callback::Record, 110, Failure::Panic).of("out");
                survive(
                    seed,
                    &FaultPlan::new()
                        .and(PlannedFault::at(first, 1, Calamity::Panic))
                        .and(failure)
                        .and(PlannedFault::at(point, 1, calamity)),
                )
                .unwrap();
            }
        }
    }
}

#[test]
fn a4_a_record_of_the_job_that_may_not_last_is_made_durable_before_anything_builds_on_it() {
    for step in (20..400).step_by(20) {
        let put = PlannedFault::Store { call: DiskCall::Put, path: String::new(), nth: 1, effect: DiskFault::Unsynced };
        survive(0, &[put, PlannedFault::Death { step }].into_iter().collect()).unwrap();
    }
}

#[test]
fn a_store_that_panics_while_a_job_starts_fails_the_start_and_nothing_else() {
    for step in (140..260).step_by(3) {
        let (point, calamity) = (CrashPoint::ManifestWritten, Calamity::Panic);
        let plan = [PlannedFault::Death { step }, PlannedFault::At { point, nth: 2, calamity }].into_iter().collect();
        survive(1_459_568_074, &plan).unwrap();
    }
}

#[test]
fn any_plan_changes_nothing() {
    let cases = std::env::var("TIDEGATE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() });
    let (mut struck, mut planned) = (0, 0);
    let counts = std::cell::RefCell::new((&mut struck, &mut planned));
    let survived = runner.run(&(0u64..1 << 32, FaultPlan::strategy(1..=3)), |(seed, plan)| {
        let (_, fates) = survive(seed, &plan)?;
        let mut counts = counts.borrow_mut();
        *counts.0 += fates.iter().filter(|fate| fate.fired).count();
        *counts.1 += fates.len();
        Ok(())
    });
    if let Err(failure) = survived {
        panic!("{failure}");
    }
    assert!(struck * 2 > planned, "only {struck} of {planned} faults struck");
}

#[test]
fn two_runs_of_one_seed_and_plan_are_the_same_event_for_event() {
    let strategy = FaultPlan::strategy(1..=3);
    let mut runner = TestRunner::deterministic();
    for seed in 0..100 {
        let plan = strategy.new_tree(&mut runner).unwrap().current();
        let run = || {
            let sim = Simulation::new(seed).bounds(30_000, Duration::from_secs(120)).faults(plan.clone());
            let out = sim.sink();
            let runs: Vec<Run> = (0..3).map(|_| sim.run(every(&sim, &out))).collect();
            let seen: Vec<_> = runs.into_iter().map(|run| (format!("{:?}", run.end), run.steps, run.took, run.trace)).collect();
            (seen, out.events(), sim.disk().files(), sim.fates())
        };
        let (one, other) = (run(), run());
        assert!(one == other, "seed {seed}, {plan}");
    }
}

#[test]
fn two_runs_with_the_same_crash_of_an_actor_are_the_same() {
    for role in Role::ALL {
        for nth in 1..=12 {
            let run = || {
                let sim = Simulation::new(nth).faults(FaultPlan::new().and(PlannedFault::Actor { role, nth }));
                let run = sim.run(every(&sim, &sim.sink()));
                (format!("{:?}", run.end), run.trace)
            };
            assert!(run() == run(), "{role:?} {nth}");
        }
    }
}

#[test]
fn a_file_that_a_checkpoint_needs_may_not_go_missing() {
    let sim = Simulation::new(3);
    let out = sim.sink();
    let job = every(&sim, &out);
    let disk = sim.disk().clone();
    let run = sim.run_with(job, move |job| async move {
        tokio::time::sleep(millis(30)).await;
        job.checkpoint().await.unwrap();
        for file in disk.files().iter().filter(|path| path.ends_with(".snap")) {
            disk.remove(file).unwrap();
        }
        drop(job.checkpoint().await);
    });
    assert!(matches!(&run.end, End::Broken(what) if what.contains(".snap is missing")), "{run}");
}
