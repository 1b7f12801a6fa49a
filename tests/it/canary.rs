//! The canary: an engine that is broken on purpose, in each way that there is, is caught by what users test their jobs with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tidegate::testing::{Canary, Kit, Scripted, check_exactly_once};
use tidegate::{Job, millis};

/// Cases within which every one is caught.
const CASES: u32 = 300;
const RECORDS: u64 = 60;

/// Counts by key what two splits give at different paces, with a task for each split and each half of the keys.
fn counts(kit: &Kit) -> Job {
    let job = Job::new("counts").parallelism(2);
    let splits = [0, 1].map(|split| (0..RECORDS).filter(|n| n % 3 % 2 == split).collect());
    let numbers = job.source("numbers", Scripted::new(splits).batches(4).pause_every(5, millis(2)));
    numbers.map(|n: u64| n).key_by(|n| n % 5).count().sink("out", kit.sink("out"));
    job
}

/// What the check says of a job on an engine that is broken so.
fn caught(canary: Canary) -> Option<String> {
    let broken = |kit: &Kit| {
        kit.break_engine(canary);
        counts(kit)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| check_exactly_once(broken, CASES)));
    outcome.err().map(|panic| *panic.downcast::<String>().expect("a text"))
}

/// How it is caught, and in which case: before the first one where the job fails without any fault.
#[track_caller]
fn catches(canary: Canary) {
    let began = Instant::now();
    let Some(text) = caught(canary) else { panic!("{canary:?} is not caught in {CASES} cases") };
    let found = text.lines().find(|line| line.starts_with("found in case"));
    println!(
        "{canary:?}: {}, in {:?}; {}",
        found.unwrap_or("found without a fault"),
        began.elapsed(),
        text.lines().next().unwrap()
    );
    let is_of_the_engine = text.starts_with("exactly-once does not hold") || text.starts_with("without any fault");
    assert!(is_of_the_engine, "{text}");
}

#[test]
fn every_canary_is_caught() {
    Canary::ALL.into_iter().for_each(catches);
}

#[test]
fn the_engine_passes_the_cases_that_catch_its_canaries() {
    check_exactly_once(counts, CASES);
}

/// The list is the enum, whoever adds to it.
#[test]
fn the_list_of_canaries_is_complete() {
    let source = include_str!("../../src/hook/canary.rs");
    let variants = source.split_once("pub enum Canary {").unwrap().1.split_once('}').unwrap().0;
    let named: Vec<&str> = variants.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert_eq!(named, Canary::ALL.map(|canary| format!("{canary:?}")));
}
