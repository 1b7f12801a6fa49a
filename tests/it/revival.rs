//! The coordinator and the snapshot actor crash, at any message and at any step of a checkpoint: both are replaced, and nothing is lost,
//! repeated or told twice.

use std::sync::{Arc, Mutex};

use tidegate::testing::{Calamity, CrashPoint, End, FaultPlan, PlannedFault, RecordingSink, Role, Run, Scripted, Simulation};
use tidegate::{Error, Job, JobEvent, JobHandle, Place, Restart, Savepoint, millis, secs};

use crate::common::{Counted, count, counted, finished, job, numbers, sound};

const PAIR: [Role; 2] = [Role::Coordinator, Role::Keeper];
const N: u64 = 120;

/// Counts numbers, with a checkpoint every 10 ms.
fn counting(sim: &Simulation, out: &RecordingSink<Counted>) -> Job {
    let job = job(sim);
    job.source("numbers", numbers(N)).key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    job
}

/// Runs the job with these faults to its end in one process; its events, and whether all of the faults struck.
fn survives(seed: u64, faults: impl IntoIterator<Item = PlannedFault>) -> (Run, Vec<JobEvent>, bool) {
    let sim = Simulation::new(seed).faults(faults.into_iter().collect());
    let (out, kept) = (sim.sink(), Arc::new(Mutex::new(Vec::new())));
    let told = kept.clone();
    let run = sim.run_with(counting(&sim, &out), move |job| async move {
        let mut events = job.events();
        while let Some(event) = events.next().await {
            told.lock().unwrap().push(event);
        }
    });
    finished(&run);
    assert_eq!(out.sorted(), counted(0..N, 7), "seed {seed}: {run}");
    sound(&out);
    let events = kept.lock().unwrap().clone();
    (run, events, sim.fates().iter().all(|fate| fate.fired))
}

/// The checkpoints that were called complete, in order.
fn completed(events: &[JobEvent]) -> Vec<u64> {
    let complete = |event: &JobEvent| if let JobEvent::CheckpointCompleted { id, .. } = event { Some(id.0) } else { None };
    events.iter().filter_map(complete).collect()
}

fn replaced(events: &[JobEvent]) -> usize {
    events.iter().filter(|event| matches!(event, JobEvent::PairReplaced { .. })).count()
}

#[test]
fn a14_a_crash_of_either_at_any_message_is_survived_and_what_is_complete_is_told_once() {
    for role in PAIR {
        let mut struck = 0;
        for nth in 1..=60 {
            let (run, events, fired) = survives(nth, [PlannedFault::Actor { role, nth }]);
            struck += u64::from(fired);
            let ids = completed(&events);
            assert!(ids.is_sorted_by(|one, next| one < next), "{role:?} {nth}: {ids:?}");
            assert!(replaced(&events) <= usize::from(fired), "{role:?} {nth}: {run}");
            assert_eq!(finished(&run).restarts, 0, "no region is restarted for it: {role:?} {nth}");
        }
        assert!(struck > 15, "{role:?}: {struck}");
    }
}

#[test]
fn a_crash_at_any_step_of_a_checkpoint_is_survived_together_with_one_of_either() {
    let points = [
        CrashPoint::BeforeTrigger,
        CrashPoint::SinkPrepared,
        CrashPoint::AllAcked,
        CrashPoint::ManifestWritten,
        CrashPoint::ManifestRenamed,
        CrashPoint::ManifestDurable,
    ];
    let mut struck = 0;
    for point in points {
        for nth in 1..=3 {
            for (role, at) in PAIR.into_iter().flat_map(|role| (1..=12).map(move |at| (role, at))) {
                let faults = [PlannedFault::at(point, nth, Calamity::Panic), PlannedFault::Actor { role, nth: nth * 3 + at }];
                let (_, events, fired) = survives(at, faults);
                assert!(completed(&events).is_sorted_by(|one, next| one < next));
                struck += u64::from(fired);
            }
        }
    }
    assert!(struck > 200, "{struck}");
}

/// Found by the property of flows: a task ended while its region was being started and no coordinator was there; nobody knew of it, and
/// no checkpoint was ever the final one.
#[test]
fn a33_a_task_that_ends_while_nobody_is_there_to_hear_of_it_is_heard_of() {
    let mut struck = 0;
    for seed in 0..40 {
        for nth in 2..=12 {
            let faults = [PlannedFault::Actor { role: Role::Coordinator, nth }];
            let sim = Simulation::new(seed).bounds(30_000, secs(60)).faults(faults.into_iter().collect());
            let out = sim.sink();
            let job = job(&sim).parallelism(2);
            job.source("numbers", Scripted::new([vec![1, 2], vec![3]])).key_by(|n| n % 7).count().sink("out", out.clone());
            finished(&sim.run(job));
            assert_eq!(out.sorted(), counted([1, 2, 3], 7));
            struck += u64::from(sim.fates()[0].fired);
        }
    }
    assert!(struck > 100, "{struck}");
}

#[test]
fn a4_a_manifest_that_was_not_announced_counts_and_is_announced() {
    for seed in 0..20 {
        let (run, events, fired) = survives(seed, [PlannedFault::at(CrashPoint::ManifestDurable, 1, Calamity::Panic)]);
        assert!(fired && replaced(&events) == 1, "seed {seed}: {run}");
        assert_eq!(completed(&events).first(), Some(&1), "seed {seed}: {events:?}");
    }
}

#[test]
fn the_tree_and_the_events_tell_of_the_replacement() {
    let sim = Simulation::new(1).faults(FaultPlan::new().and(PlannedFault::Actor { role: Role::Coordinator, nth: 4 }));
    let (out, kept) = (sim.sink(), Arc::new(Mutex::new(None)));
    let told = kept.clone();
    finished(&sim.run_with(counting(&sim, &out), move |job| async move {
        let mut events = job.events();
        while let Some(event) = events.next().await {
            if let JobEvent::PairReplaced { tenure } = event {
                *told.lock().unwrap() = Some((tenure, job.tree().pair));
            }
        }
    }));
    let (tenure, pair) = kept.lock().unwrap().clone().expect("it was replaced");
    assert!(tenure == 2 && pair.serves && pair.tenure == 2, "{pair:?}");
    assert!(pair.last_failure.is_some_and(|cause| cause.contains("the coordinator failed")));
}

#[test]
fn one_that_crashes_again_and_again_fails_the_job_with_the_cause() {
    let faults = (1..200).map(|nth| PlannedFault::Actor { role: Role::Coordinator, nth });
    let sim = Simulation::new(1).faults(faults.collect());
    let run = sim.run(counting(&sim, &sim.sink()));
    let End::Failed(error) = &run.end else { panic!("{run}") };
    let text = error.to_string();
    assert!(text.contains("failed more than 5 times in 60s") && text.contains("the coordinator failed"), "{text}");
}

#[test]
fn who_asked_for_a_checkpoint_gets_one() {
    for role in PAIR {
        for nth in 2..=20 {
            let sim = Simulation::new(nth).faults(FaultPlan::new().and(PlannedFault::Actor { role, nth }));
            let out = sim.sink();
            let run = sim.run_with(count(&sim, numbers(N).endless(), &out), move |job| async move {
                tokio::time::sleep(millis(30)).await;
                for _ in 0..3 {
                    job.checkpoint().await.unwrap_or_else(|error| panic!("{role:?} {nth}: {error}"));
                }
                drop(job.cancel().await);
            });
            assert!(matches!(run.end, End::Cancelled), "{role:?} {nth}: {run}");
        }
    }
}

async fn stop(job: JobHandle, drain: bool) -> Result<Savepoint, Error> {
    let place = Place::beside_checkpoints();
    if drain { job.drain_with_savepoint(place).await } else { job.stop_with_savepoint(place).await }
}

#[test]
fn a35_a_stop_with_a_savepoint_is_made_or_taken_back_wherever_either_crashes() {
    let (mut made, mut taken_back) = (0, 0);
    for (role, drain) in PAIR.into_iter().flat_map(|role| [(role, false), (role, true)]) {
        for nth in 1..=24 {
            let sim = Simulation::new(nth).faults(FaultPlan::new().and(PlannedFault::Actor { role, nth }));
            let (out, heard) = (sim.sink(), Arc::new(Mutex::new(None)));
            let describe = |script: Scripted<u64>| {
                let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(8, millis(5)));
                job.source("numbers", script).key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
                job
            };
            let told = heard.clone();
            let run = sim.run_with(describe(numbers(N)), move |job| async move {
                tokio::time::sleep(millis(12)).await;
                let answer = stop(job.clone(), drain).await;
                *told.lock().unwrap() = Some(answer);
                drop(job.wait().await);
            });
            let answer = heard.lock().unwrap().take().expect("it is answered");
            match &answer {
                Ok(_) => made += 1,
                Err(Error::SavepointFailed { .. } | Error::Ended) => taken_back += 1,
                Err(error) => panic!("{role:?} {drain} {nth}: {error}"),
            }
            assert!(matches!(run.end, End::Finished(_)), "{role:?} {drain} {nth}: {run}");
            // Whatever became of it, a plain start goes on there.
            finished(&sim.run(describe(numbers(N))));
            assert_eq!(out.sorted(), counted(0..N, 7), "{role:?} {drain} {nth}: {answer:?}");
            sound(&out);
        }
    }
    assert!(made > 10 && taken_back > 10, "{made} {taken_back}");
}
