//! State of every kind, written for a job that then starts from it, and put right key by key.

use std::collections::BTreeMap;

use tidegate::stored::{StateWriter, StoredCheckpoint};
use tidegate::testing::{RecordingSink, Scripted, Simulation};
use tidegate::{
    AggregatingState, BoxError, BroadcastContext, BroadcastOpenContext, BroadcastOperator, BroadcastState, Context, Error, Job,
    KeyedOperator, KeyedSideContext, ListState, MapState, OpenContext, Operator, OperatorContext, OperatorList,
    OperatorOpenContext, ReducingState, Result, Store, Timestamp, Ttl, ValueState, Versions, hours,
};

use crate::common::{Mean, finished, take};

/// A state of each keyed kind.
struct Kinds {
    value: ValueState<u64>,
    list: ListState<u64>,
    texts: MapState<String, u64>,
    numbers: MapState<u64, u64>,
    most: ReducingState<u64>,
    mean: AggregatingState<Mean>,
}

impl Kinds {
    fn lasting(ctx: &mut OpenContext<'_, u64>) -> Result<Kinds, BoxError> {
        Ok(Kinds {
            value: ctx.value("value")?,
            list: ctx.list("list")?,
            texts: ctx.map("texts")?,
            numbers: ctx.map("numbers")?,
            most: ctx.reducing("most", |a: &u64, b| b.max(*a))?,
            mean: ctx.aggregating("mean", Mean)?,
        })
    }

    fn expiring(ctx: &mut OpenContext<'_, u64>) -> Result<Kinds, BoxError> {
        let ttl = Ttl::of(hours(1));
        Ok(Kinds {
            value: ctx.with_ttl(ttl).value("value")?,
            list: ctx.with_ttl(ttl).list("list")?,
            texts: ctx.with_ttl(ttl).map("texts")?,
            numbers: ctx.with_ttl(ttl).map("numbers")?,
            most: ctx.with_ttl(ttl).reducing("most", |a: &u64, b| b.max(*a))?,
            mean: ctx.with_ttl(ttl).aggregating("mean", Mean)?,
        })
    }
}

impl KeyedOperator for Kinds {
    type Key = u64;
    type In = u64;
    type Out = String;

    /// Tells what its key has.
    fn on_record(&mut self, key: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let list: Vec<u64> = ctx.state.list(self.list).iter().copied().collect();
        let texts: BTreeMap<String, u64> = ctx.state.map(self.texts).iter().map(|(text, n)| (text.clone(), *n)).collect();
        let numbers: BTreeMap<u64, u64> = ctx.state.map(self.numbers).iter().map(|(number, n)| (*number, *n)).collect();
        let found = ctx.state.map(self.numbers).get(&7).copied();
        let (value, most) = (ctx.state.get(self.value).copied(), ctx.state.get(self.most).copied());
        let mean = ctx.state.get(self.mean);
        ctx.out.emit(format!("{key}: {value:?} {list:?} {texts:?} {numbers:?} {found:?} {most:?} {mean:?}"));
        Ok(())
    }
}

struct Lists {
    list: OperatorList<String>,
    union: OperatorList<u64>,
}

impl Operator for Lists {
    type In = u64;
    type Out = String;

    fn on_record(&mut self, _: u64, _: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        Ok(())
    }

    fn finish(&mut self, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        for item in ctx.state.list(self.list) {
            ctx.out.emit(item.clone());
        }
        let union: Vec<u64> = ctx.state.list(self.union).iter().copied().collect();
        ctx.out.emit(format!("{union:?}"));
        Ok(())
    }
}

struct Rules(BroadcastState<String, u64>);

impl BroadcastOperator for Rules {
    type Key = u64;
    type In = u64;
    type Broadcast = u64;
    type Out = String;

    fn on_record(&mut self, key: u64, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        let rules: Vec<(String, u64)> = ctx.broadcast.map(self.0).iter().map(|(rule, n)| (rule.clone(), *n)).collect();
        ctx.out.emit(format!("{key}: {rules:?}"));
        Ok(())
    }

    fn on_broadcast(&mut self, _: u64, _: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        Ok(())
    }
}

/// What opens the keyed operator.
type Open = fn(&mut OpenContext<'_, u64>) -> Result<Kinds, BoxError>;

/// Asks each of three keys what it has, at a parallelism of two.
fn keyed(store: &Store, sim: &Simulation, open: Open, endless: bool) -> (Job, RecordingSink<String>) {
    let (job, out) = (Job::new("job").store(store.clone()).parallelism(2).allow_lost_state(["lists"]), sim.sink());
    let keys = Scripted::new([(0..3u64).collect()]);
    let keys = job.source("keys", if endless { keys.endless() } else { keys }).parallelism(1);
    keys.key_by(|key| *key).process("kinds", open).sink("out", out.clone());
    (job, out)
}

/// What the three keys have when the job runs to its end.
fn told(store: &Store, open: Open) -> Vec<String> {
    let sim = Simulation::new(1);
    let (job, out) = keyed(store, &sim, open, false);
    finished(&sim.run(job));
    out.sorted()
}

/// Writes a state of each keyed kind for the key 1, and a shorter list for the key 2.
fn write_keyed(writer: &mut StateWriter) -> Result<()> {
    assert_eq!(writer.values("kinds", "value", [(1u64, 11u64)])?, 1);
    assert_eq!(writer.lists("kinds", "list", [(0u64, vec![]), (1, vec![3u64, 1, 2]), (2, vec![9])])?, 2, "an empty one is none");
    let texts = [("b".to_string(), 2u64), ("a".to_string(), 1)];
    assert_eq!(writer.maps("kinds", "texts", [(1u64, texts.to_vec()), (2, vec![])])?, 1);
    assert_eq!(writer.maps("kinds", "numbers", [(1u64, BTreeMap::from([(7u64, 70u64), (8, 80)]))])?, 1);
    assert_eq!(writer.reduced("kinds", "most", [(1u64, 500u64)])?, 1);
    assert_eq!(writer.accumulators("kinds", "mean", [(1u64, (10u64, 4u64))])?, 1);
    Ok(())
}

const NOTHING: &str = "None [] {} {} None None None";

#[test]
fn a_job_starts_from_keyed_state_of_every_kind_that_was_written_for_it() {
    for open in [Kinds::lasting as Open, Kinds::expiring] {
        let store = Store::memory();
        let mut writer = StateWriter::seed(&store, "job", Some(16)).unwrap();
        write_keyed(&mut writer).unwrap();
        assert_eq!(writer.finish().unwrap().added, 7);
        let checkpoint = StoredCheckpoint::latest(&store, "job").unwrap().unwrap();
        assert!(checkpoint.verify().faults.is_empty());
        let one = r#"1: Some(11) [3, 1, 2] {"a": 1, "b": 2} {7: 70, 8: 80} Some(70) Some(500) Some(2)"#;
        assert_eq!(told(&store, open), [format!("0: {NOTHING}"), one.into(), "2: None [9] {} {} None None None".into()]);
    }
}

#[test]
fn what_is_written_with_times_lives_from_then_on() {
    let (now, long_ago) = (Timestamp::MAX, Timestamp::from_millis(0));
    for open in [Kinds::expiring as Open, Kinds::lasting] {
        let store = Store::memory();
        let mut writer = StateWriter::seed(&store, "job", None).unwrap();
        writer.with_times().values("kinds", "value", [(1u64, (now, 11u64)), (2, (long_ago, 12))]).unwrap();
        writer.with_times().lists("kinds", "list", [(1u64, [(long_ago, 3u64), (now, 1), (now, 2)])]).unwrap();
        let texts = [("a".to_string(), (now, 1u64)), ("b".to_string(), (long_ago, 2))];
        writer.with_times().maps("kinds", "texts", [(1u64, texts)]).unwrap();
        writer.with_times().maps("kinds", "numbers", [(1u64, [(7u64, (long_ago, 70u64)), (8, (now, 80))])]).unwrap();
        writer.with_times().reduced("kinds", "most", [(1u64, (now, 500u64)), (2, (long_ago, 600))]).unwrap();
        writer.with_times().accumulators("kinds", "mean", [(1u64, (now, (10u64, 4u64))), (2, (long_ago, (9, 1)))]).unwrap();
        writer.finish().unwrap();
        let mut writer = StateWriter::repair(&store, "job", None).unwrap();
        writer.with_times().put("kinds", "value", &0u64, &(now, 13u64)).unwrap();
        writer.with_times().put("kinds", "list", &0u64, &vec![(now, 5u64), (long_ago, 6)]).unwrap();
        writer.remove("kinds", "mean", &1u64).unwrap();
        let written = writer.finish().unwrap();
        assert_eq!((written.added, written.removed), (2, 1));
        let expected = match open as usize == Kinds::expiring as Open as usize {
            true => [
                "0: Some(13) [5] {} {} None None None".to_string(),
                r#"1: Some(11) [1, 2] {"a": 1} {8: 80} None Some(500) None"#.into(),
                format!("2: {NOTHING}"),
            ],
            false => [
                "0: Some(13) [5, 6] {} {} None None None".into(),
                r#"1: Some(11) [3, 1, 2] {"a": 1, "b": 2} {7: 70, 8: 80} Some(70) Some(500) None"#.into(),
                "2: Some(12) [] {} {} None Some(600) Some(9)".into(),
            ],
        };
        assert_eq!(told(&store, open), expected);
    }
}

#[test]
fn single_keys_of_every_kind_are_put_right_in_what_a_job_has_kept() {
    let (sim, store) = (Simulation::new(2), Store::memory());
    let mut writer = StateWriter::seed(&store, "job", None).unwrap();
    write_keyed(&mut writer).unwrap();
    writer.finish().unwrap();
    // The job itself writes what is put right.
    let (job, _) = keyed(&store, &sim, Kinds::lasting, true);
    take(&sim, job, 1);
    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    writer.put("kinds", "list", &1u64, &vec![4u64, 4]).unwrap();
    writer.put("kinds", "list", &0u64, &vec![8u64]).unwrap();
    writer.remove("kinds", "list", &2u64).unwrap();
    writer.put("kinds", "texts", &1u64, &BTreeMap::from([("z".to_string(), 26u64)])).unwrap();
    writer.put("kinds", "numbers", &1u64, &BTreeMap::from([(7u64, 77u64)])).unwrap();
    writer.put("kinds", "most", &1u64, &501u64).unwrap();
    writer.put("kinds", "mean", &1u64, &(100u64, 4u64)).unwrap();
    // The keys come once more, and into another sink.
    writer.drop_operator("keys");
    writer.drop_operator("out");
    let written = writer.finish().unwrap();
    assert_eq!((written.replaced, written.removed, written.added), (5, 1, 1));
    let one = r#"1: Some(11) [4, 4] {"z": 26} {7: 77} Some(77) Some(501) Some(25)"#;
    assert_eq!(told(&store, Kinds::lasting), ["0: None [8] {} {} None None None".into(), one.into(), format!("2: {NOTHING}")]);
}

#[test]
fn lists_of_operators_and_broadcast_states_reach_every_instance() {
    for parallelism in [1, 3] {
        let (sim, store) = (Simulation::new(3), Store::memory());
        let mut writer = StateWriter::seed(&store, "job", None).unwrap();
        writer.items("lists", "list", (0..7).map(|n| format!("item {n}"))).unwrap();
        writer.union_items("lists", "union", [5u64, 6, 7]).unwrap();
        writer.broadcast("rules", "rules", [("b".to_string(), 2u64), ("a".to_string(), 1)]).unwrap();
        assert_eq!(writer.finish().unwrap().added, 12);
        let job = Job::new("job").store(store.clone()).parallelism(parallelism);
        let keys = job.source("keys", Scripted::new([(0..6u64).collect()]));
        let (lists, rules) = (sim.sink::<String>(), sim.sink::<String>());
        let open = |ctx: &mut OperatorOpenContext<'_>| {
            Ok(Lists { list: ctx.list_state("list")?, union: ctx.union_list_state("union")? })
        };
        keys.process("lists", open).sink("out", lists.clone());
        let broadcast = job.source("broadcast", Scripted::<u64>::new([vec![]]));
        let open = |ctx: &mut BroadcastOpenContext<'_, u64>| Ok(Rules(ctx.broadcast_state("rules")?));
        keys.key_by(|key| *key).connect_broadcast(&broadcast).process("rules", open).sink("rules out", rules.clone());
        finished(&sim.run(job));
        let mut expected: Vec<String> = (0..7).map(|n| format!("item {n}")).collect();
        expected.extend((0..parallelism).map(|_| "[5, 6, 7]".to_string()));
        expected.sort();
        assert_eq!(lists.sorted(), expected, "each item once, and the union in every instance");
        assert_eq!(rules.sorted(), (0..6).map(|key| format!(r#"{key}: [("a", 1), ("b", 2)]"#)).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_written_in_an_older_version_is_made_into_the_newest() {
    let store = Store::memory();
    let mut writer = StateWriter::seed(&store, "job", None).unwrap();
    writer.lists("kinds", "list", [(1u64, vec!["3", "4"])]).unwrap();
    writer.in_version(2).values("kinds", "value", [(1u64, 5u64)]).unwrap();
    writer.finish().unwrap();
    let open: Open = |ctx| {
        let numbers = Versions::first::<String>().try_then(|text| text.parse::<u64>());
        let list = ctx.list_versioned("list", numbers)?;
        let value = ctx.value_versioned("value", Versions::first::<String>().then(|_| 0u64))?;
        let (texts, numbers) = (ctx.map("texts")?, ctx.map("numbers")?);
        let (most, mean) = (ctx.reducing("most", |a: &u64, b| b.max(*a))?, ctx.aggregating("mean", Mean)?);
        Ok(Kinds { value, list, texts, numbers, most, mean })
    };
    assert_eq!(told(&store, open)[1], "1: Some(5) [3, 4] {} {} None None None");
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn a_state_is_written_as_it_is_kept_or_not_at_all() {
    let store = Store::memory();
    let mut writer = StateWriter::seed(&store, "job", None).unwrap();
    write_keyed(&mut writer).unwrap();
    writer.with_times().values("kinds", "timed", [(1u64, (Timestamp::from_millis(5), 1u64))]).unwrap();
    writer.items("lists", "list", [1u64]).unwrap();
    writer.finish().unwrap();

    let mut writer = StateWriter::repair(&store, "job", None).unwrap();
    refused(
        writer.values("kinds", "list", [(1u64, 1u64)]),
        &["'list' of operator 'kinds'", "'keyed_list'", "written as 'value'"],
    );
    refused(writer.lists("kinds", "value", [(1u64, [1u64])]), &["'value' of operator 'kinds'", "written as 'keyed_list'"]);
    refused(writer.union_items("lists", "list", [1u64]), &["kept as 'list'", "written as 'union_list'"]);
    refused(writer.broadcast("lists", "list", [(1u64, 1u64)]), &["kept as 'list'", "written as 'broadcast'"]);
    refused(writer.put("lists", "list", &1u64, &1u64), &["kept as 'list'", "written as 'value'"]);
    refused(writer.put("kinds", "timed", &1u64, &1u64), &["kept as 'value' in version 1 with times", "with_times writes times"]);
    refused(writer.with_times().put("kinds", "value", &1u64, &(1, 1u64)), &["written as 'value' in version 1 with times"]);
    refused(writer.lists("kinds", "list", [("1".to_string(), [1u64])]), &["keys of state 'list' are stored as u64"]);
    refused(writer.in_version(2).reduced("kinds", "most", [(1u64, 1u64)]), &["in version 1", "in version 2", "in_version names"]);
    writer.in_version(1);
    let same = [(7u64, 1u64), (7, 2)];
    refused(writer.maps("kinds", "numbers", [(1u64, same)]), &["'numbers'", "the key of entry 1, 1, has the key 7 twice"]);
    refused(writer.broadcast("rules", "rules", [("a", 1u64), ("a", 2)]), &["the key of entry 2, \"a\", came before"]);
    refused(writer.values("kinds", "dropped late", [(1u64, 1u64), (1, 2)]), &["the key of entry 2, 1, came before"]);
    // What was refused has changed nothing; an entry of other types beside a changed one is seen in the end.
    writer.put("kinds", "list", &1u64, &vec!["text".to_string()]).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(&error, Error::StateRefused { problem, .. } if problem.contains("its value is no")), "{error}");
    let one = r#"1: Some(11) [3, 1, 2] {"a": 1, "b": 2} {7: 70, 8: 80} Some(70) Some(500) Some(2)"#;
    assert_eq!(told(&store, Kinds::lasting)[1], one);
}
