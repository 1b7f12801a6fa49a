//! The short forms on keyed streams: what they put out, and that nothing that goes wrong, nor another parallelism, changes it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::testing::{End, Kit, Scripted, Simulation, check_exactly_once};
use tidegate::{Emitter, Error, Job, KeyedStream, Record, Stream, Summand};

/// Two splits, and no key in both of them: what comes out is determined.
fn splits() -> [Vec<u64>; 2] {
    // Numbers that are neither rising nor falling.
    let number = |n: u64| n * 2 + n * 7 % 5 * 20;
    [(0..40).map(number).collect(), (0..40).map(|n| number(n) + 1).collect()]
}

fn key(n: &u64) -> u64 {
    n % 6
}

/// What a short form must put out, from a model that is handed each key's records in order.
fn expected<Out: Ord>(mut model: impl FnMut(u64, &[u64]) -> Vec<Out>) -> Vec<Out> {
    let mut of_key: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    splits().concat().into_iter().for_each(|n| of_key.entry(key(&n)).or_default().push(n));
    let mut all: Vec<Out> = of_key.iter().flat_map(|(key, numbers)| model(*key, numbers)).collect();
    all.sort();
    all
}

/// Compares a short form with its model, and then with itself under faults; its parallelism is another one in each process.
#[track_caller]
fn holds<Out: Record + Ord + Debug>(
    form: impl Fn(&KeyedStream<u64, u64>) -> Stream<Out>,
    model: impl FnMut(u64, &[u64]) -> Vec<Out>,
) {
    let describe = |job: &Job, parallelism: u32| {
        let numbers = job.source("numbers", Scripted::new(splits()).batches(3));
        form(&numbers.key_by(key)).uid("short").parallelism(parallelism)
    };
    let sim = Simulation::new(1);
    let (job, out) = (Job::new("job"), sim.sink());
    describe(&job, 2).sink("out", out.clone());
    let run = sim.run(job);
    assert!(matches!(run.end, End::Finished(_)), "{run}");
    assert_eq!(out.sorted(), expected(model));
    let of_process = |kit: &Kit| {
        let process = kit.keep("process", || Arc::new(AtomicUsize::new(0))).fetch_add(1, Ordering::Relaxed);
        [2, 3, 1, 5][process % 4]
    };
    check_exactly_once(
        |kit| {
            let job = Job::new("job");
            describe(&job, of_process(kit)).sink("out", kit.sink("out"));
            job
        },
        80,
    );
}

/// What a key's records come to, one after the other.
fn running<A: Copy>(numbers: &[u64], mut next: impl FnMut(Option<A>, u64) -> A) -> Vec<A> {
    let mut kept = None;
    numbers.iter().map(|n| *kept.insert(next(kept, *n))).collect()
}

#[test]
fn sums_are_exact_whatever_goes_wrong() {
    let model =
        |key, numbers: &[u64]| running(numbers, |sum, n| sum.unwrap_or(0) + n).into_iter().map(|sum| (key, sum)).collect();
    holds(|keyed| keyed.sum(|n| *n), model);
}

#[test]
fn the_lowest_record_is_kept_whatever_goes_wrong() {
    let lower = |kept: Option<u64>, n: u64| kept.filter(|kept| kept % 10 <= n % 10).unwrap_or(n);
    holds(|keyed| keyed.min_by(|n| n % 10), |key, numbers| running(numbers, lower).into_iter().map(|n| (key, n)).collect());
}

#[test]
fn the_highest_record_is_kept_whatever_goes_wrong() {
    let higher = |kept: Option<u64>, n: u64| kept.filter(|kept| kept % 10 >= n % 10).unwrap_or(n);
    holds(|keyed| keyed.max_by(|n| n % 10), |key, numbers| running(numbers, higher).into_iter().map(|n| (key, n)).collect());
}

#[test]
fn a_map_with_a_state_keeps_it_whatever_goes_wrong() {
    let model = |key, numbers: &[u64]| {
        let before = std::iter::once(1000).chain(numbers.iter().copied());
        before.zip(numbers).map(|(before, n)| (key, format!("{before} {n}"))).collect()
    };
    holds(|keyed| keyed.map_with_state(1000u64, |before, n| format!("{} {n}", std::mem::replace(before, n))), model);
}

/// Emits each number as often as its key has come before.
fn repeat(before: &mut u64, n: u64, out: &mut Emitter<'_, (u64, u64)>) {
    (0..*before).for_each(|i| out.emit((n, i)));
    *before += 1;
}

#[test]
fn a_scan_emits_any_number_of_records_whatever_goes_wrong() {
    let model = |_, numbers: &[u64]| {
        (0..).zip(numbers).flat_map(|(before, n)| (0..before).map(move |i| (*n, i))).collect::<Vec<(u64, u64)>>()
    };
    holds(|keyed| keyed.scan(0, repeat), model);
}

#[test]
fn the_first_record_of_a_key_passes_once_whatever_goes_wrong() {
    holds(|keyed| keyed.distinct(), |key, numbers| vec![(key, numbers[0])]);
}

/// How a job ends that sums these.
fn summed<N: Summand + Copy + Debug>(amounts: Vec<N>) -> (End, Vec<(u8, N)>) {
    let sim = Simulation::new(1);
    let (job, out) = (Job::new("job").store(sim.disk().store()), sim.sink());
    let sums = job.source("amounts", Scripted::new([amounts])).key_by(|_| 0u8).sum(|amount| *amount).uid("sums");
    sums.sink("out", out.clone());
    (sim.run(job).end, out.committed())
}

#[test]
fn a_sum_that_its_type_cannot_hold_is_an_error_and_never_wraps() {
    let (end, sums) = summed(vec![200u8, 55, 1]);
    let End::Failed(error @ Error::RestartsExhausted { .. }) = end else { panic!("{end:?}") };
    let text = error.to_string();
    assert!(text.contains("operator 'sums'") && text.contains("more than u8 can hold") && text.contains("wider type"), "{text}");
    assert_eq!(sums, [], "nothing of what failed is committed");
    let (end, sums) = summed(vec![200u16, 55, 1]);
    assert!(matches!(end, End::Finished(_)));
    assert_eq!(sums, [(0, 200), (0, 255), (0, 256)]);
    let (end, _) = summed(vec![f64::MAX, f64::MAX]);
    assert!(matches!(end, End::Finished(_)), "what is too large for a floating-point number is infinite");
}
