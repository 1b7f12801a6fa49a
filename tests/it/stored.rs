//! State as data: what a job has stored is read without its types, compared, seeded and repaired; and the job goes on from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tidegate::stored::{
    ACCUMULATORS, Changed, CheckpointKind, Condition, Datum, Entry, StateWriter, StoredCheckpoint, Wanted, job, jobs,
};
use tidegate::testing::{RecordingSink, Simulation, check_exactly_once};
use tidegate::{
    BoxError, Context, Error, Job, KeyedOperator, OpenContext, Result, Store, Timestamp, Tumbling, ValueState, Watermarks, millis,
};

use crate::common::{Counted, count, counted, finished, numbers, sound, take};

/// Adds up the numbers of each key.
struct Sums {
    sum: ValueState<u64>,
}

impl Sums {
    fn open(ctx: &mut OpenContext<'_, u64>) -> Result<Sums, BoxError> {
        Ok(Sums { sum: ctx.value("sum")? })
    }
}

impl KeyedOperator for Sums {
    type Key = u64;
    type In = u64;
    type Out = (u64, u64);

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = *ctx.key();
        let sum = ctx.state.get_or_insert_with(self.sum, || 0);
        *sum += n;
        ctx.out.emit((key, *sum));
        Ok(())
    }
}

/// The sums after each number, from those to begin with.
fn summed(numbers: impl IntoIterator<Item = u64>, mut sums: BTreeMap<u64, u64>) -> Vec<Counted> {
    let mut all: Vec<Counted> = numbers
        .into_iter()
        .map(|n| {
            let sum = sums.entry(n % 7).or_default();
            *sum += n;
            (n % 7, *sum)
        })
        .collect();
    all.sort();
    all
}

fn unsigned(datum: &Datum) -> u64 {
    let Datum::Unsigned(n) = datum else { panic!("{datum:?} is no number") };
    *n
}

/// The keyed numbers of a state.
fn table(checkpoint: &StoredCheckpoint, operator: &str, state: &str) -> BTreeMap<u64, u64> {
    let entries = checkpoint.entries(&Wanted::everything().operator(operator).state(state)).map(Result::unwrap);
    entries.map(|entry| (unsigned(entry.key.as_ref().unwrap()), unsigned(&entry.value))).collect()
}

fn latest(store: &Store) -> StoredCheckpoint {
    StoredCheckpoint::latest(store, "job").unwrap().unwrap()
}

/// A seeded state with these counts.
fn seeded(store: &Store, job: &str, entries: &BTreeMap<u64, u64>) -> StoredCheckpoint {
    let mut writer = StateWriter::seed(store, job, Some(8)).unwrap();
    assert_eq!(writer.values("counts", ACCUMULATORS, entries.clone()).unwrap(), entries.len() as u64);
    assert_eq!(writer.finish().unwrap().added, entries.len() as u64);
    StoredCheckpoint::latest(store, job).unwrap().unwrap()
}

#[test]
fn a_job_goes_on_from_the_state_that_was_seeded_for_it() {
    for parallelism in [1, 3] {
        let sim = Simulation::new(41);
        let (store, counts, sums) = (sim.disk().store(), sim.sink(), sim.sink());
        let mut writer = StateWriter::seed(&store, "job", Some(16)).unwrap();
        writer.values("counts", ACCUMULATORS, (0..5u64).map(|key| (key, 100 * key))).unwrap();
        writer.values("sums", "sum", [(3u64, 1000u64), (6, 2000)]).unwrap();
        let id = writer.finish().unwrap().checkpoint;
        let seeded = latest(&store);
        assert_eq!((seeded.id(), seeded.kind(), seeded.max_parallelism()), (id, CheckpointKind::Checkpoint, 16));
        assert!(seeded.verify().faults.is_empty());

        let job = Job::new("job").store(store).parallelism(parallelism);
        let keyed = job.source("numbers", numbers(60)).key_by(|n| n % 7);
        keyed.count().uid("counts").sink("counted", counts.clone());
        keyed.process("sums", Sums::open).sink("summed", sums.clone());
        finished(&sim.run(job));
        let mut expected: Vec<Counted> =
            counted(0..60, 7).into_iter().map(|(key, count)| (key, count + if key < 5 { 100 * key } else { 0 })).collect();
        expected.sort();
        assert_eq!(counts.sorted(), expected);
        assert_eq!(sums.sorted(), summed(0..60, BTreeMap::from([(3, 1000), (6, 2000)])));
        sound(&counts);
    }
}

#[test]
fn a_repaired_key_is_gone_on_from_and_the_others_are_as_they_were() {
    let sim = Simulation::new(42);
    let (store, out) = (sim.disk().store(), sim.sink());
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let before = latest(&store);
    let stored = table(&before, "counts", ACCUMULATORS);
    assert_eq!(stored.len(), 7, "each remainder was counted");

    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    writer.put("counts", ACCUMULATORS, &3u64, &1000u64).unwrap();
    writer.remove("counts", ACCUMULATORS, &4u64).unwrap();
    writer.put("counts", ACCUMULATORS, &99u64, &9u64).unwrap();
    let written = writer.finish().unwrap();
    assert_eq!((written.replaced, written.removed, written.added), (1, 1, 1));

    let after = latest(&store);
    assert_eq!(after.id(), written.checkpoint);
    assert!(after.verify().faults.is_empty(), "{:?}", after.verify());
    let mut changes = Vec::new();
    let count_of = before.diff(&after, |change| {
        changes.push((unsigned(change.key.as_ref().unwrap()), change.what));
        Ok::<_, Error>(())
    });
    assert_eq!(count_of.unwrap(), 3);
    changes.sort_by_key(|(key, _)| *key);
    let number = Datum::Unsigned;
    assert_eq!(
        changes,
        [
            (3, Changed::Changed { before: number(stored[&3]), after: number(1000) }),
            (4, Changed::Removed { before: number(stored[&4]) }),
            (99, Changed::Added { after: number(9) }),
        ]
    );

    let first: Vec<Counted> = stored.iter().flat_map(|(key, count)| (1..=*count).map(|n| (*key, n))).collect();
    finished(&sim.run(count(&sim, numbers(80), &out)));
    let from = |key: u64| match key {
        3 => 1000,
        4 => 0,
        _ => stored[&key],
    };
    let left = |key: u64| (0..80).filter(|n| n % 7 == key).count() as u64 - stored[&key];
    let mut expected: Vec<Counted> =
        first.into_iter().chain((0..7).flat_map(|key| (1..=left(key)).map(move |n| (key, from(key) + n)))).collect();
    expected.sort();
    assert_eq!(out.sorted(), expected);
    sound(&out);
}

#[test]
fn a_repaired_checkpoint_of_several_tasks_restores_windows_timers_and_positions_too() {
    let sim = Simulation::new(43);
    let (store, counts, windows) = (sim.disk().store(), sim.sink::<Counted>(), sim.sink::<(i64, u64, u64)>());
    let describe = |endless: bool| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(2);
        let script = if endless { numbers(100).endless() } else { numbers(100) };
        let watermarks = Watermarks::bounded(millis(1)).on(|n: &u64| Timestamp::from_millis(*n as i64));
        let keyed = job.source("numbers", script).watermarks(watermarks).key_by(|n| n % 7);
        keyed.count().uid("counts").sink("counted", counts.clone());
        let by_window = keyed.window(Tumbling::of(millis(40))).count().uid("windows");
        by_window.map(|result| (result.window.start.millis(), result.key, result.value)).sink("windowed", windows.clone());
        job
    };
    take(&sim, describe(true), 1);
    // Nothing is changed: the copy restores as the original would.
    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    writer.remove("counts", ACCUMULATORS, &12_345u64).unwrap();
    let written = writer.finish().unwrap();
    assert_eq!((written.replaced, written.removed, written.added), (0, 0, 0));
    finished(&sim.run(describe(false)));
    assert_eq!(counts.sorted(), counted(0..100, 7));
    let mut expected = BTreeMap::new();
    (0..100u64).for_each(|n| *expected.entry(((n - n % 40) as i64, n % 7)).or_insert(0) += 1);
    assert!(windows.sorted().into_iter().map(|(start, key, n)| ((start, key), n)).eq(expected));
}

#[test]
fn seeded_state_holds_exactly_once_like_any_other() {
    check_exactly_once(
        |kit| {
            let store = kit.disk().store();
            // Once for each life of the job: a later process of it finds the seeded checkpoint, or newer ones.
            if job(&store, "job").unwrap().is_none() {
                let mut writer = StateWriter::seed(&store, "job", None).unwrap();
                writer.values("counts", ACCUMULATORS, (0..7u64).map(|key| (key, 1000u64))).unwrap();
                writer.finish().unwrap();
            }
            let job = Job::new("job").parallelism(2);
            let numbers = job.source("numbers", numbers(40));
            numbers.key_by(|n| n % 7).count().uid("counts").sink("out", kit.sink::<Counted>("out"));
            job
        },
        40,
    );
}

#[test]
fn lists_are_written_and_dealt_out() {
    let sim = Simulation::new(44);
    let (store, out) = (sim.disk().store(), sim.sink::<Counted>());
    let mut writer = StateWriter::seed(&store, "job", None).unwrap();
    assert_eq!(writer.items("windows", "late_dropped", [5u64, 6]).unwrap(), 2);
    writer.finish().unwrap();
    let items: Vec<Entry> = latest(&store).entries(&Wanted::everything()).map(Result::unwrap).collect();
    assert!(items.iter().all(|item| item.key.is_none() && item.group.is_none() && item.kind == "list"), "{items:?}");
    let job = Job::new("job").store(store).parallelism(2);
    let watermarks = Watermarks::bounded(millis(1)).on(|n: &u64| Timestamp::from_millis(*n as i64));
    let keyed = job.source("numbers", numbers(60)).watermarks(watermarks).key_by(|n| n % 7);
    let counts = keyed.window(Tumbling::of(millis(40))).count().uid("windows");
    counts.map(|result| (result.key, result.value)).sink("out", out.clone());
    let run = sim.run(job);
    assert_eq!(finished(&run).operators["windows"].late_dropped, 11);
}

#[test]
fn a_job_that_runs_is_looked_at_and_not_written_to() {
    let sim = Simulation::new(45);
    let (store, out) = (sim.disk().store(), sim.sink());
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let (told, of_script) = (refusals.clone(), store.clone());
    let run = sim.run_with(count(&sim, numbers(60).endless(), &out), move |running| async move {
        tokio::time::sleep(millis(50)).await;
        running.checkpoint().await.unwrap();
        assert!(latest(&of_script).verify().faults.is_empty());
        assert_eq!(jobs(&of_script).unwrap().len(), 1);
        let writers = [StateWriter::repair(&of_script, "job", None), StateWriter::seed(&of_script, "job", None)];
        told.lock().unwrap().extend(writers.map(Result::unwrap_err));
        running.cancel().await.unwrap();
    });
    let refusals = refusals.lock().unwrap();
    assert!(refusals.len() == 2 && refusals.iter().all(|error| matches!(error, Error::Locked { .. })), "{refusals:?} {run}");
}

/// What is refused, with words of the reason.
#[track_caller]
fn refuses<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let text = result.expect_err("it is refused").to_string();
    parts.iter().for_each(|part| assert!(text.contains(part), "it does not say '{part}': {text}"));
}

#[test]
fn state_that_a_job_could_not_go_on_from_is_refused_and_changes_nothing() {
    let sim = Simulation::new(46);
    let (store, out) = (sim.disk().store(), sim.sink());
    refuses(StateWriter::repair(&store, "job", None), &["'job' has no state", "StateWriter::seed"]);
    assert!(jobs(&store).unwrap().is_empty(), "nothing is made where there was nothing");
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let before = latest(&store);
    refuses(StateWriter::seed(&store, "job", None), &["has checkpoint 1", "StateWriter::repair"]);
    refuses(StateWriter::repair(&store, "job", Some(tidegate::CheckpointId(7))), &["no complete checkpoint 7"]);
    let repair = || StateWriter::repair(&store, "job", None).unwrap();
    refuses(repair().values("counts", "timers", [(1u64, 1u64)]), &["'timers'", "cannot be written"]);
    refuses(repair().values("numbers", "splits", [(1u64, 1u64)]), &["'splits' of operator 'numbers'", "'list'", "drop_state"]);
    refuses(
        repair().values("counts", ACCUMULATORS, [(1u64, 1u64), (2, 2), (1, 3)]),
        &["'counts'", "entry 3", "the key of entry 3, 1, came before", "once"],
    );
    let mut twice = repair();
    twice.put("counts", ACCUMULATORS, &1u64, &1u64).unwrap();
    refuses(twice.values("counts", ACCUMULATORS, [(1u64, 1u64)]), &["'accumulators' of operator 'counts'", "more than once"]);
    drop(twice);

    // The shape of the keys is kept with the state.
    refuses(repair().put("counts", ACCUMULATORS, &"3".to_owned(), &1u64), &["'accumulators'", "stored as u64", "string"]);
    refuses(repair().put("counts", ACCUMULATORS, &Some(3u64), &1u64), &["'accumulators'", "stored as u64"]);
    refuses(repair().values("counts", ACCUMULATORS, [("3".to_owned(), 1u64)]), &["'accumulators'", "stored as u64"]);
    // Only the stored entries tell that these are of another type than the operator's.
    let mut other_values = repair();
    other_values.put("counts", ACCUMULATORS, &3u64, &"three".to_owned()).unwrap();
    refuses(other_values.finish(), &["'counts'", "value is no alloc::string::String"]);

    assert_eq!(latest(&store).id(), before.id());
    let listed = job(&store, "job").unwrap().unwrap().checkpoints;
    let complete = |found: &&tidegate::stored::ListedCheckpoint| matches!(found.condition, Condition::Complete(_));
    assert_eq!(listed.iter().filter(complete).count(), 1);
    finished(&sim.run(count(&sim, numbers(80), &out)));
    assert_eq!(out.sorted(), counted(0..80, 7), "the job is as it was");
    refuses(StateWriter::repair(&store, "job", None), &["has finished"]);
}

#[test]
fn what_was_refused_leaves_the_state_as_it_was() {
    let store = Store::memory();
    let entries = BTreeMap::from([(1, 10), (2, 20)]);
    seeded(&store, "job", &entries);
    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    refuses(writer.values("counts", ACCUMULATORS, [(1u64, 1u64), (1, 2)]), &["entry 2", "once"]);
    writer.finish().unwrap();
    assert_eq!(table(&latest(&store), "counts", ACCUMULATORS), entries);
}

#[test]
fn a_state_or_an_operator_can_be_dropped() {
    let sim = Simulation::new(47);
    let (store, out): (_, RecordingSink<Counted>) = (sim.disk().store(), sim.sink());
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    writer.drop_state("counts", ACCUMULATORS);
    writer.values("counts", ACCUMULATORS, [(5u64, 50u64)]).unwrap();
    writer.finish().unwrap();
    assert_eq!(table(&latest(&store), "counts", ACCUMULATORS), BTreeMap::from([(5, 50)]));
    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    writer.drop_operator("counts");
    writer.finish().unwrap();
    assert!(latest(&store).operators().iter().all(|operator| operator.uid.as_str() != "counts"));
    // A flow without the operator is not refused any more.
    let renamed = Job::new("job").store(store);
    renamed.source("numbers", numbers(80)).key_by(|n| n % 7).count().uid("renamed").sink("out", out.clone());
    finished(&sim.run(renamed));
}

#[test]
fn a_checkpoint_that_its_job_deletes_while_it_is_read_is_said_to_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(dir.path());
    let checkpoint = seeded(&store, "job", &BTreeMap::from([(1, 1)]));
    std::fs::remove_dir_all(checkpoint.located()).unwrap();
    let read: Result<Vec<Entry>> = checkpoint.entries(&Wanted::everything()).collect();
    refuses(read, &["chk-1'", "deleted while it was read", "newer ones"]);
    refuses(StoredCheckpoint::open(&store, "job/chk-1"), &["there is no checkpoint"]);
    std::fs::create_dir(checkpoint.located()).unwrap();
    std::fs::write(checkpoint.located().join("half.snap"), "x").unwrap();
    refuses(StoredCheckpoint::open(&store, "job/chk-1"), &["no manifest", "take a complete one"]);
    let listed = job(&store, "job").unwrap().unwrap().checkpoints;
    assert!(listed.len() == 1 && matches!(listed[0].condition, Condition::Incomplete), "{listed:?}");
}

#[test]
fn statistics_count_every_entry_once() {
    let store = Store::memory();
    let checkpoint = seeded(&store, "job", &(0..1000).map(|n| (n, n)).collect());
    let stats = checkpoint.stats();
    assert_eq!(stats.len(), 1);
    let [stats] = &stats[..] else { unreachable!() };
    assert_eq!((stats.total.entries, stats.groups.len(), stats.all_groups), (1000, 8, 8));
    assert_eq!(stats.groups.values().map(|share| share.entries).sum::<u64>(), 1000);
    assert_eq!(stats.groups.values().map(|share| share.bytes).sum::<u64>(), stats.total.bytes);
    let skew = stats.skew_of_groups().unwrap();
    let fullest = stats.fullest(1)[0].1.entries as f64;
    assert!((skew - fullest / 125.0).abs() < 1e-9 && (1.0..2.0).contains(&skew), "{skew}");
    let by_group =
        |group| checkpoint.entries(&Wanted::everything()).filter(|entry| entry.as_ref().unwrap().group == Some(group)).count();
    assert!(stats.groups.iter().all(|(group, share)| by_group(*group) as u64 == share.entries));
}

/// What differs between two maps.
fn model(before: &BTreeMap<u64, u64>, after: &BTreeMap<u64, u64>) -> BTreeMap<u64, (Option<u64>, Option<u64>)> {
    let keys = before.keys().chain(after.keys());
    let pairs = keys.map(|key| (*key, (before.get(key).copied(), after.get(key).copied())));
    pairs.filter(|(_, (before, after))| before != after).collect()
}

fn differences(before: &StoredCheckpoint, after: &StoredCheckpoint) -> BTreeMap<u64, (Option<u64>, Option<u64>)> {
    let mut found = BTreeMap::new();
    let count = before.diff(after, |change| {
        let pair = match &change.what {
            Changed::Added { after } => (None, Some(unsigned(after))),
            Changed::Removed { before } => (Some(unsigned(before)), None),
            Changed::Changed { before, after } => (Some(unsigned(before)), Some(unsigned(after))),
        };
        assert!(found.insert(unsigned(change.key.as_ref().unwrap()), pair).is_none());
        Ok::<_, Error>(())
    });
    assert_eq!(count.unwrap(), found.len() as u64);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn differences_are_those_of_the_maps_that_were_stored(
        before in prop::collection::btree_map(0..60u64, 0..3u64, 0..60),
        after in prop::collection::btree_map(0..60u64, 0..3u64, 0..60),
    ) {
        let store = Store::memory();
        let [one, other] = [("one", &before), ("other", &after)].map(|(job, entries)| seeded(&store, job, entries));
        prop_assert_eq!(differences(&one, &other), model(&before, &after), "jobs with other key groups");
        let mut writer = StateWriter::repair(&store, "one", None).unwrap();
        writer.values("counts", ACCUMULATORS, after.clone()).unwrap();
        writer.finish().unwrap();
        let rewritten = StoredCheckpoint::latest(&store, "one").unwrap().unwrap();
        prop_assert_eq!(differences(&one, &rewritten), model(&before, &after), "one job");
        prop_assert_eq!(differences(&rewritten, &other).len(), 0);
    }

    #[test]
    fn changes_of_single_keys_are_those_of_a_map(
        before in prop::collection::btree_map(0..40u64, 0..9u64, 0..40),
        edits in prop::collection::btree_map(0..40u64, prop::option::of(0..9u64), 0..40),
    ) {
        let store = Store::memory();
        seeded(&store, "job", &before);
        let (mut writer, mut expected) = (StateWriter::repair(&store, "job", None).unwrap(), before.clone());
        for (key, value) in &edits {
            match value {
                Some(value) => {
                    writer.put("counts", ACCUMULATORS, key, value).unwrap();
                    expected.insert(*key, *value);
                }
                None => {
                    writer.remove("counts", ACCUMULATORS, key).unwrap();
                    expected.remove(key);
                }
            }
        }
        let written = writer.finish().unwrap();
        let met = |put: bool| edits.iter().filter(|(key, value)| value.is_some() == put && before.contains_key(key)).count() as u64;
        prop_assert_eq!((written.replaced, written.removed), (met(true), met(false)));
        let after = latest(&store);
        prop_assert!(after.verify().faults.is_empty());
        prop_assert_eq!(table(&after, "counts", ACCUMULATORS), expected);
    }
}
