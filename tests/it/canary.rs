//! The canary: an engine that is broken on purpose, in each way that there is, is caught by what users test their jobs with.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tidegate::testing::{
    Calamity, Callback, Canary, Control, CrashPoint, Failure, FaultPlan, Kit, PlannedFault, Scripted, check_drawn,
    check_exactly_once,
};
use tidegate::{Checkpoints, Job, Stream, millis};

/// Cases within which every one is caught.
const CASES: u32 = 300;
const RECORDS: u64 = 60;

/// Copies what two splits give at a pace of their own, and counts it by key, each with two tasks. All tasks have sinks.
fn counts(kit: &Kit) -> Job {
    let job = Job::new("counts").parallelism(2).checkpoints(Checkpoints::manual().max_concurrent(2));
    let splits = [0, 1].map(|split| (0..RECORDS).filter(|n| n % 3 % 2 == split).collect());
    let numbers = job.source("numbers", Scripted::new(splits).batches(4).pause_every(4, millis(4)));
    let numbers: Stream<u64> = numbers.map(|n: u64| n);
    numbers.sink("copies", kit.sink("copies"));
    numbers.key_by(|n| n % 5).count().sink("counts", kit.sink("counts"));
    job
}

/// A checkpoint is complete, and not everybody has heard of it.
const COMPLETE: &[CrashPoint] = &[CrashPoint::ManifestDurable, CrashPoint::CompleteToSome];
/// Its parts are all there, and its manifest is not.
const COLLECTED: &[CrashPoint] = &[CrashPoint::AllAcked, CrashPoint::ManifestWritten];

/// What users' cases are drawn from; for a bug that shows only for a moment, faults that are aimed at it.
fn faults(canary: Canary) -> BoxedStrategy<FaultPlan> {
    match canary {
        Canary::RecordBehindBarrier
        | Canary::NoAlignment
        | Canary::RenameWithoutSync
        | Canary::PositionsBehindBarrier
        | Canary::ViewNotFrozen
        | Canary::LostWakeUp => FaultPlan::strategy(1..=3).boxed(),
        Canary::NotifyBeforeManifest => plan(vec![at(COLLECTED, 1..=3)]),
        Canary::StaleAttempt => plan(vec![late_ack_of_the_first(), panic_at_a_record(), at(COMPLETE, 1..=2)]),
        Canary::HandleForgotten => plan(vec![lost_complete(), at(COMPLETE, 2..=4)]),
    }
}

fn plan(faults: Vec<BoxedStrategy<PlannedFault>>) -> BoxedStrategy<FaultPlan> {
    faults.prop_map(FaultPlan::from_iter).boxed()
}

fn at(points: &'static [CrashPoint], nth: RangeInclusive<u64>) -> BoxedStrategy<PlannedFault> {
    let calamity = select(&[Calamity::Death, Calamity::Panic][..]);
    (select(points), nth, calamity).prop_map(|(point, nth, calamity)| PlannedFault::at(point, nth, calamity)).boxed()
}

/// Of the first checkpoint: there are four tasks.
fn late_ack_of_the_first() -> BoxedStrategy<PlannedFault> {
    let late = |(nth, ms)| PlannedFault::Late { message: Control::Ack, nth, by: Duration::from_millis(ms) };
    (1..=4u64, 20..200u64).prop_map(late).boxed()
}

fn lost_complete() -> BoxedStrategy<PlannedFault> {
    (1..=12u64).prop_map(|nth| PlannedFault::Lost { message: Control::Complete, nth }).boxed()
}

fn panic_at_a_record() -> BoxedStrategy<PlannedFault> {
    (10..=100u64).prop_map(|nth| PlannedFault::callback(Callback::Record, nth, Failure::Panic)).boxed()
}

/// The job on an engine that is broken so.
fn broken(canary: Canary) -> impl Fn(&Kit) -> Job {
    move |kit| {
        kit.break_engine(canary);
        counts(kit)
    }
}

fn is_of_the_engine(text: &str) -> bool {
    text.starts_with("exactly-once does not hold") || text.starts_with("without any fault")
}

/// Says in which case; the engine that is not broken passes the same ones.
#[test]
fn every_canary_is_caught() {
    for canary in Canary::ALL {
        let caught = check_drawn(broken(canary), faults(canary), CASES).err();
        let (case, text) = caught.unwrap_or_else(|| panic!("{canary:?} is not caught in {CASES} cases"));
        println!("{canary:?}: case {case}: {}", text.lines().next().unwrap());
        assert!(is_of_the_engine(&text), "{canary:?}: {text}");
        let sound = check_drawn(counts, faults(canary), case).err();
        assert!(sound.as_ref().is_none_or(|(_, text)| text.starts_with("no planned fault struck")), "{canary:?}: {sound:?}");
    }
}

#[test]
fn one_line_of_a_test_catches_a_broken_engine_and_passes_the_sound_one() {
    check_exactly_once(counts, 30);
    let caught = catch_unwind(AssertUnwindSafe(|| check_exactly_once(broken(Canary::ViewNotFrozen), 30)));
    let text = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(is_of_the_engine(&text) && text.contains("\nfound in case "), "{text}");
}

/// The list is the enum, whoever adds to it.
#[test]
fn the_list_of_canaries_is_complete() {
    let source = include_str!("../../src/hook/canary.rs");
    let variants = source.split_once("pub enum Canary {").unwrap().1.split_once('}').unwrap().0;
    let named: Vec<&str> = variants.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert_eq!(named, Canary::ALL.map(|canary| format!("{canary:?}")));
}
