//! Tests of tables, views and keyed states, by themselves and against a plain map.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{segment::SEGMENT_ENTRIES, table_view::TableView, *};
use crate::error::Error;
use crate::ids::KeyGroup;
use crate::key::KeyGroups;

/// A bijective mix, so that hashes are spread and reproducible (splitmix64).
pub(super) fn hash(key: &u64) -> u64 {
    let mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub(super) fn hasher() -> KeyHasher<u64> {
    Arc::new(hash)
}

pub(super) type Table = KeyedTable<u64, u64>;

pub(super) fn table(max: u16) -> Table {
    let groups = KeyGroups::new(max);
    KeyedTable::new(groups, 0..max, hasher())
}

pub(super) fn fill(table: &mut Table, n: u64, value: impl Fn(u64) -> u64) {
    for key in 0..n {
        table.insert(hash(&key), &key, value(key));
    }
}

/// The number of entries in each segment.
fn segment_lens(table: &Table) -> impl Iterator<Item = usize> {
    let segments = table.segments.iter().zip(&table.tables);
    let leaders = segments.filter(|(segment, _)| !matches!(segment, segment::Segment::Joined(_)));
    leaders.map(|(segment, table)| segment.entries(table).len())
}

pub(super) fn descriptor(name: &str) -> StateDescriptor {
    StateDescriptor::new(name, StateKind::Value, 1)
}

pub(super) fn blocks(view: &dyn StateView) -> Vec<Block> {
    let mut blocks = Vec::new();
    view.write(&mut |block| {
        blocks.push(block.clone());
        Ok(())
    })
    .unwrap();
    blocks
}

fn contents(table: &Table) -> BTreeMap<u64, u64> {
    table.iter().map(|(_, key, value)| (*key, *value)).collect()
}

fn read(blocks: Vec<Block>, max: u16, owned: Range<u16>) -> crate::Result<Table> {
    restore::table("count", blocks.into(), KeyGroups::new(max), owned, &hasher())
}

pub(super) fn stored(name: &str, blocks: Vec<Block>) -> RestoredStates {
    RestoredStates { states: BTreeMap::from([(name.to_string(), (descriptor(name), blocks.into()))]) }
}

pub(super) fn states(restored: RestoredStates) -> KeyedState<u64> {
    KeyedState::new(KeyGroups::new(4), 0..4, hasher(), restored)
}

pub(super) fn set<V>(states: &mut KeyedState<u64>, handle: ValueState<V>, key: u64, value: V)
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    of(states, &key).set(handle, value);
}

pub(super) fn of<'a>(states: &'a mut KeyedState<u64>, key: &'a u64) -> KeyState<'a, u64> {
    KeyState::new(states, hash(key), key)
}

pub(super) fn view_of(states: &mut KeyedState<u64>, name: &str) -> Arc<dyn StateView> {
    states.view().into_iter().find(|view| view.descriptor().name == name).unwrap()
}

#[test]
fn entries_are_found_through_many_splits() {
    for max in [1, 2, 128] {
        let mut table = table(max);
        let n = 20 * SEGMENT_ENTRIES as u64;
        for key in 0..n {
            *table.get_or_insert_with(hash(&key), &key, || 0) += key;
        }
        assert_eq!(table.len() as u64, n);
        assert!((0..n).all(|key| table.get(hash(&key), &key) == Some(&key)));
        assert_eq!(table.get(hash(&n), &n), None);
        let groups = KeyGroups::new(max);
        assert!(table.iter().all(|(group, key, _)| groups.of(hash(key)) == group));
        assert!(table.iter().map(|(group, ..)| group).is_sorted());
        assert_eq!(table.iter().count() as u64, n);
    }
}

#[test]
fn no_segment_outgrows_its_bound_whether_or_not_it_is_shared() {
    let (mut table, mut views) = (table(3), Vec::new());
    for key in 0..12 * SEGMENT_ENTRIES as u64 {
        table.insert(hash(&key), &key, key);
        if table.full.is_some() {
            views.push(table.view());
        }
    }
    assert!(segment_lens(&table).all(|len| len <= SEGMENT_ENTRIES));
    assert!(segment_lens(&table).count() >= 12);
    assert!(views.len() >= 9);
}

/// Crowds two thirds of the keys into the lowest hashes, so that a few segments split far more often than the rest.
fn skewed(key: &u64) -> u64 {
    hash(key) >> (8 * (key % 3))
}

#[test]
fn entries_are_found_where_some_segments_split_far_more_often_than_others() {
    let (groups, n) = (KeyGroups::new(4), 20 * SEGMENT_ENTRIES as u64);
    let mut grown: Table = KeyedTable::new(groups, 0..4, Arc::new(skewed));
    for key in 0..n {
        grown.insert(skewed(&key), &key, key);
    }
    let blocks = blocks(&grown.view().described(descriptor("count")));
    let restored = restore::table("count", blocks.into(), groups, 0..4, &(Arc::new(skewed) as KeyHasher<u64>)).unwrap();
    for table in [grown, restored] {
        assert_eq!(table.len() as u64, n);
        assert!((0..n).all(|key| table.get(skewed(&key), &key) == Some(&key)));
        assert!(table.depth >= 8);
    }
}

#[test]
fn colliding_hashes_end_in_a_large_segment() {
    let mut table: Table = KeyedTable::new(KeyGroups::new(8), 0..8, Arc::new(|_| 42));
    for key in 0..SEGMENT_ENTRIES as u64 + 2 {
        table.insert(42, &key, key);
    }
    assert_eq!(table.len(), SEGMENT_ENTRIES + 2);
}

#[test]
#[should_panic(expected = "a key of group 9 reached a table of the groups 2..5")]
fn a_key_of_a_foreign_group_is_a_loud_fault() {
    let groups = KeyGroups::new(16);
    let table: Table = KeyedTable::new(groups, 2..5, hasher());
    let foreign = (0..).find(|key| groups.of(hash(key)) == KeyGroup(9)).unwrap();
    table.get(hash(&foreign), &foreign);
}

#[test]
fn reads_and_absent_removals_copy_nothing() {
    let mut table = table(4);
    fill(&mut table, 100, |_| 0);
    let view = table.view();
    assert_eq!(table.get(hash(&5), &5), Some(&0));
    assert_eq!(table.remove(hash(&200), &200), None);
    assert_eq!(table.get_mut(hash(&200), &200), None);
    assert_eq!(table.copies(), 0);
    table.remove(hash(&5), &5);
    assert_eq!(table.copies(), 1);
    drop(view);
    fill(&mut table, 100, |_| 1);
    assert_eq!(table.copies(), 1, "what no view holds is taken back without a copy");
}

#[test]
fn clearing_leaves_views_alone() {
    let mut table = table(4);
    fill(&mut table, 100, |_| 0);
    let view = table.view();
    table.clear();
    assert!(table.is_empty());
    assert_eq!(view.len(), 100);
}

#[test]
fn b3_a_view_is_frozen() {
    let mut states = states(RestoredStates::default());
    let count = states.value::<u64>("count").unwrap();
    let seen = states.value::<Vec<u64>>("seen").unwrap();
    for key in 0..50 {
        set(&mut states, count, key, key);
        set(&mut states, seen, key, vec![key]);
    }
    let views = states.view();
    let before: Vec<_> = views.iter().map(|view| blocks(&**view)).collect();
    for key in 0..100 {
        let mut state = of(&mut states, &key);
        state.update(count, |count| *count += 1);
        state.update(seen, |seen| seen.push(7));
        if key % 3 == 0 {
            state.clear(count);
        }
    }
    let after: Vec<_> = views.iter().map(|view| blocks(&**view)).collect();
    assert!(before == after);
    assert!(before != states.view().iter().map(|view| blocks(&**view)).collect::<Vec<_>>());
}

#[test]
fn c1_each_key_has_its_own_value() {
    let mut states = states(RestoredStates::default());
    let count = states.value::<u64>("count").unwrap();
    set(&mut states, count, 1, 10);
    assert_eq!(of(&mut states, &2).get(count), None);
    assert_eq!(of(&mut states, &2).update(count, |count| *count), 0);
    let one = of(&mut states, &1);
    assert_eq!((one.key(), one.get(count)), (&1, Some(&10)));
}

#[test]
fn a_name_is_one_state() {
    let mut states = states(RestoredStates::default());
    let count = states.value::<u64>("count").unwrap();
    let again = states.value::<u64>("count").unwrap();
    set(&mut states, count, 1, 10);
    assert_eq!(of(&mut states, &1).get(again), Some(&10));
    assert!(matches!(states.value::<String>("count"), Err(Error::StateMismatch { .. })));
}

#[test]
#[should_panic(expected = "did not register it")]
fn a_handle_of_another_operator_is_a_loud_fault() {
    let mut other = states(RestoredStates::default());
    let handle = other.value::<String>("name").unwrap();
    let mut states = states(RestoredStates::default());
    states.value::<u64>("count").unwrap();
    of(&mut states, &1).get(handle);
}

#[test]
fn c8_untouched_state_survives() {
    let mut first = states(RestoredStates::default());
    let count = first.value::<u64>("count").unwrap();
    (0..50).for_each(|key| set(&mut first, count, key, key));
    let before = blocks(&*view_of(&mut first, "count"));

    let mut carrying = states(stored("count", before.clone()));
    carrying.value::<u64>("other").unwrap();
    let carried = blocks(&*view_of(&mut carrying, "count"));
    assert_eq!(carried, before);

    let mut registered = states(stored("count", carried));
    let count = registered.value::<u64>("count").unwrap();
    let untouched = read(blocks(&*view_of(&mut registered, "count")), 4, 0..4).unwrap();
    assert_eq!(contents(&untouched), (0..50).map(|key| (key, key)).collect());
    assert_eq!(of(&mut registered, &7).get(count), Some(&7));
    assert_eq!(registered.view().len(), 1, "what is registered is no longer carried");
}

#[test]
fn c22_damaged_blocks_are_errors_that_name_the_state_and_the_group() {
    let mut table = table(4);
    fill(&mut table, 50, |key| 1000 * key);
    let good = blocks(&table.view().described(descriptor("count")));
    let damage = |change: &dyn Fn(&mut Block)| {
        let mut blocks = good.clone();
        change(&mut blocks[1]);
        read(blocks, 4, 0..4).unwrap_err().to_string()
    };
    let group = "state 'count' (key group 1) cannot be read";
    let cut = |block: &mut Block| block.bytes.truncate(block.bytes.len() - 1);
    assert!(damage(&cut).contains(group));
    assert!(damage(&|block| block.bytes.push(0)).contains("1 bytes follow"));
    assert!(damage(&|block| block.entries += 1).contains(group));
    assert!(damage(&|block| block.entries = u64::MAX).contains(group));
    assert!(damage(&|block| block.entries -= 1).contains("bytes follow"));
    assert!(damage(&|block| block.bytes.fill(0xc1)).contains(group));
    assert!(damage(&|block| block.group = Some(KeyGroup(2))).contains("hashes into key group 1"));
    assert!(damage(&|block| block.group = Some(KeyGroup(9))).contains("owns the key groups 0..4"));
    assert!(damage(&|block| block.group = None).contains("without a key group"));
    let twice = [good.clone(), good.clone()].concat();
    assert!(read(twice, 4, 0..4).unwrap_err().to_string().contains("was there before"));
}

#[test]
fn a_list_is_read_back_as_it_was_written() {
    let items: Vec<(String, u64)> = (0..1000).map(|n| (format!("split-{n}"), n)).collect();
    let view = ListView::new("splits", items.clone());
    assert!(blocks(&view).iter().all(|block| block.group.is_none()));
    let stored = (view.descriptor().clone(), blocks(&view).into());
    assert_eq!(read_list::<(String, u64)>("splits", Some(stored.clone())).unwrap(), items);
    assert!(read_list::<u64>("splits", Some(stored)).unwrap_err().to_string().contains("'splits'"));
    assert!(read_list::<u64>("splits", None).unwrap().is_empty());
}

#[test]
fn blocks_are_bounded_and_keep_their_group() {
    let groups = KeyGroups::new(1);
    let mut table: KeyedTable<u64, String> = KeyedTable::new(groups, 0..1, hasher());
    for key in 0..100 {
        table.insert(hash(&key), &key, "x".repeat(100_000));
    }
    let blocks = blocks(&table.view().described(descriptor("text")));
    assert!(blocks.len() >= 3);
    assert!(blocks.iter().all(|block| block.bytes.len() < 5 << 20 && block.group == Some(KeyGroup(0))));
    assert_eq!(blocks.iter().map(|block| block.entries).sum::<u64>(), 100);
}

#[derive(Clone, Debug)]
enum Op {
    /// Adds one to every key of a range: enough keys at once to split segments.
    Fill(u64, u64),
    Set(u64, u64),
    Remove(u64),
    /// Changes values, and drops those that divide by the number.
    Retain(u64),
    Clear,
    View,
    Drop(usize),
    /// Into a view, and a table made of it again.
    TakeUp,
    /// Through blocks into as many tables, and back into one.
    Rescale(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..20_000u64;
    prop_oneof![
        4 => (key(), 1..6000u64).prop_map(|(from, n)| Op::Fill(from, n)),
        8 => (key(), any::<u64>()).prop_map(|(key, value)| Op::Set(key, value)),
        8 => key().prop_map(Op::Remove),
        1 => (2..7u64).prop_map(Op::Retain),
        1 => Just(Op::Clear),
        4 => Just(Op::View),
        3 => (0..4usize).prop_map(Op::Drop),
        2 => Just(Op::TakeUp),
        1 => (1..6u32).prop_map(Op::Rescale),
    ]
}

/// Splits a table over `parallelism` owners, and joins theirs again.
fn rescaled(table: &mut Table, max: u16, parallelism: u32) -> Table {
    let all = blocks(&table.view().described(descriptor("count")));
    let groups = KeyGroups::new(max);
    let parts = (0..parallelism).flat_map(|index| {
        let owned = groups.range(index, parallelism);
        let share = all.iter().filter(|block| owned.contains(&block.group.unwrap().0)).cloned();
        let mut part = read(share.collect(), max, owned).unwrap();
        blocks(&part.view().described(descriptor("count")))
    });
    read(parts.collect(), max, 0..max).unwrap()
}

fn apply(op: &Op, table: &mut Table, model: &mut HashMap<u64, u64>) {
    match *op {
        Op::Fill(from, n) => (from..from + n).for_each(|key| {
            *table.get_or_insert_with(hash(&key), &key, || 0) += 1;
            *model.entry(key).or_insert(0) += 1;
        }),
        Op::Set(key, value) => assert_eq!(table.insert(hash(&key), &key, value), model.insert(key, value)),
        Op::Remove(key) => assert_eq!(table.remove(hash(&key), &key), model.remove(&key)),
        Op::Retain(by) => {
            let keep = |key: &u64, value: &mut u64| {
                *value ^= 1;
                !key.is_multiple_of(by)
            };
            table.retain(keep);
            model.retain(keep);
        }
        Op::Clear => {
            table.clear();
            model.clear();
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn b3_c13_a_table_does_what_a_map_does_and_its_views_stay(
        max in prop_oneof![Just(1u16), Just(2), Just(7), Just(128)],
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let (mut table, mut model) = (table(max), HashMap::new());
        let mut views: Vec<(TableView<u64, u64>, HashMap<u64, u64>)> = Vec::new();
        for op in &ops {
            match op {
                Op::View => views.push((table.view(), model.clone())),
                Op::Drop(at) if *at < views.len() => drop(views.swap_remove(*at)),
                Op::TakeUp => table = KeyedTable::of_view(&table.view(), hasher()),
                Op::Rescale(parallelism) => table = rescaled(&mut table, max, (*parallelism).min(u32::from(max))),
                op => apply(op, &mut table, &mut model),
            }
            prop_assert_eq!(table.len(), model.len());
        }
        prop_assert!(table.iter().all(|(_, key, value)| model.get(key) == Some(value)));
        prop_assert!(model.iter().all(|(key, value)| table.get(hash(key), key) == Some(value)));
        for (view, model) in &views {
            prop_assert_eq!(view.len(), model.len());
            prop_assert!(view.iter().all(|(_, key, value)| model.get(key) == Some(value)));
        }
    }

    #[test]
    fn c13_any_parallelism_reads_what_any_other_wrote(
        keys in prop::collection::btree_map(any::<u64>(), any::<u64>(), 0..300),
        before in 1..9u32,
        after in 1..9u32,
    ) {
        let max = 9;
        let groups = KeyGroups::new(max);
        let mut written = Vec::new();
        for index in 0..before {
            let owned = groups.range(index, before);
            let mut part: Table = KeyedTable::new(groups, owned.clone(), hasher());
            for (key, value) in keys.iter().filter(|(key, _)| owned.contains(&groups.of(hash(key)).0)) {
                part.insert(hash(key), key, *value);
            }
            written.extend(blocks(&part.view().described(descriptor("count"))));
        }
        let mut found = BTreeMap::new();
        for index in 0..after {
            let owned = groups.range(index, after);
            let share = written.iter().filter(|block| owned.contains(&block.group.unwrap().0)).cloned().collect();
            for (key, value) in contents(&read(share, max, owned).unwrap()) {
                prop_assert_eq!(found.insert(key, value), None, "a key on two instances");
            }
        }
        prop_assert_eq!(found, keys);
    }

    #[test]
    fn c22_no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), entries in any::<u64>()) {
        let block = Block { group: Some(KeyGroup(0)), entries, bytes };
        drop(read(vec![block.clone()], 4, 0..4));
        drop(restore::list::<u64>("list", vec![Block { group: None, ..block.clone() }]));
        drop(restore::table::<String, Vec<(u8, String)>>("text", vec![block].into(), KeyGroups::new(4), 0..4, &(Arc::new(|_: &String| 0u64) as KeyHasher<String>)));
    }
}
