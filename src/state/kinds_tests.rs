//! Tests of the five kinds of keyed state, one by one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::chunks::{CHUNK, Chunks};
use super::pieces::{PIECE, Pieces};
use super::tests::{blocks, hash, hasher, of, states, view_of};
use super::*;
use crate::error::{Error, Result};
use crate::key::KeyGroups;

/// All key groups.
pub(super) const ALL: Range<u16> = 0..4;

pub(super) type States = KeyedState<u64>;

pub(super) fn fresh() -> States {
    states(RestoredStates::default())
}

pub(super) fn list(states: &mut States, name: &str) -> Result<ListState<u64>> {
    states.register(name, None).list()
}

pub(super) fn map(states: &mut States, name: &str) -> Result<MapState<String, u64>> {
    states.register(name, None).map()
}

pub(super) fn longest(states: &mut States, name: &str) -> Result<ReducingState<String>> {
    states.register(name, None).reducing(Box::new(|a: &String, b| if b.len() > a.len() { b } else { a.clone() }))
}

/// What is in a list or a map of a state of one key.
fn elements(states: &mut States, list: ListState<u64>, key: u64) -> Vec<u64> {
    of(states, &key).list(list).iter().copied().collect()
}

/// What instances have written, as it is read from files by instances that own these parts of four key groups.
pub(super) fn through_files(written: &mut [States], parts: &[Range<u16>]) -> Vec<States> {
    let mut stored: BTreeMap<String, (StateDescriptor, Vec<Block>)> = BTreeMap::new();
    for view in written.iter_mut().flat_map(KeyedState::view) {
        let name = view.descriptor().name.clone();
        stored.entry(name).or_insert_with(|| (view.descriptor().clone(), Vec::new())).1.extend(blocks(&*view));
    }
    let part = |owned: &Range<u16>| {
        let mine = |all: &[Block]| all.iter().filter(|block| owned.contains(&block.group.unwrap().0)).cloned().collect();
        let kept = stored.iter().map(|(name, (descriptor, all))| (name.clone(), (descriptor.clone(), Kept::Blocks(mine(all)))));
        KeyedState::new(KeyGroups::new(4), owned.clone(), hasher(), RestoredStates { states: kept.collect() })
    };
    parts.iter().map(part).collect()
}

/// The same, of one instance and read by one.
pub(super) fn through_file(states: &mut States) -> States {
    through_files(std::slice::from_mut(states), &[ALL]).remove(0)
}

/// What an instance that owns these key groups has kept, as it is taken up from memory.
pub(super) fn through_memory(states: &mut States, owned: Range<u16>) -> States {
    let kept = |view: Arc<dyn StateView>| (view.descriptor().name.clone(), (view.descriptor().clone(), Kept::View(view)));
    let restored = RestoredStates { states: states.view().into_iter().map(kept).collect() };
    KeyedState::new(KeyGroups::new(4), owned, hasher(), restored)
}

pub(super) fn entries(states: &mut States, name: &str) -> u64 {
    blocks(&*view_of(states, name)).iter().map(|block| block.entries).sum()
}

#[test]
fn c3_a_value_that_is_cleared_is_none_and_the_default_again() {
    let mut states = fresh();
    let value = states.value::<u64>("value").unwrap();
    let read = |states: &mut States| of(states, &1).get(value).copied().unwrap_or(42);
    assert_eq!(read(&mut states), 42);
    of(&mut states, &1).set(value, 17);
    assert_eq!(read(&mut states), 17);
    assert_eq!(of(&mut states, &1).clear(value), Some(17));
    assert_eq!(read(&mut states), 42);
    let mut restored = through_file(&mut states);
    let value = restored.value::<u64>("value").unwrap();
    assert_eq!(of(&mut restored, &1).get(value), None);
    assert_eq!(entries(&mut restored, "value"), 0);
}

#[test]
fn c4_a_list_keeps_order_and_duplicates_and_leaves_nothing_when_it_is_empty() {
    let mut states = fresh();
    let list = list(&mut states, "list").unwrap();
    of(&mut states, &1).list(list).extend([]);
    assert_eq!(entries(&mut states, "list"), 0, "nothing added is nothing there");
    of(&mut states, &1).list(list).extend([17, 11]);
    of(&mut states, &1).list(list).extend([]);
    of(&mut states, &1).list(list).push(17);
    assert_eq!(elements(&mut states, list, 1), [17, 11, 17]);
    assert_eq!(of(&mut states, &1).list(list).len(), 3);
    assert!(of(&mut states, &2).list(list).is_empty());
    assert_eq!(entries(&mut states, "list"), 1);

    of(&mut states, &1).list(list).retain(|n| *n == 17);
    assert_eq!(elements(&mut states, list, 1), [17, 17]);
    let empties: [fn(&mut KeyList<'_, u64, u64>); 4] =
        [|list| list.set([]), |list| list.retain(|_| false), |list| list.clear(), |list| drop(list.take())];
    for empty in empties {
        of(&mut states, &1).list(list).set([1, 2]);
        assert_eq!(elements(&mut states, list, 1), [1, 2]);
        empty(&mut of(&mut states, &1).list(list));
        assert_eq!(elements(&mut states, list, 1), []);
        assert_eq!(entries(&mut states, "list"), 0);
    }
}

#[test]
fn c5_a_map_loses_entries_while_it_is_gone_through_and_is_none_when_it_is_empty() {
    let mut states = fresh();
    let map = states.register("map", None).map::<String, Option<u64>>().unwrap();
    assert_eq!(of(&mut states, &1).map(map).get("a"), None);
    for n in 0..10 {
        of(&mut states, &1).map(map).insert(n.to_string(), Some(n));
    }
    of(&mut states, &1).map(map).retain(|_, n| n.is_some_and(|n| n % 2 == 0));
    of(&mut states, &1).map(map).insert("a".into(), None);
    let mut state = of(&mut states, &1);
    let mut one = state.map(map);
    assert_eq!((one.contains("a"), one.get("a"), one.get("1")), (true, Some(&None), None));
    assert_eq!(one.get_mut("8").unwrap().take(), Some(8));
    assert_eq!(*one.get_or_insert_with(&"8".to_owned(), || Some(7)), None, "it is there, without a value");
    assert_eq!(one.len(), 6);
    for key in ["0", "2", "4", "6", "8"] {
        assert!(one.remove(key).is_some());
    }
    assert_eq!(one.remove("8"), None);
    assert_eq!(one.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(one.insert("a".into(), Some(1)), Some(None));
    assert_eq!(one.remove("a"), Some(Some(1)));
    assert!(one.is_empty());
    drop(state);
    assert_eq!(entries(&mut states, "map"), 0);
}

#[test]
fn c6_values_are_reduced_in_order_and_nothing_added_is_none() {
    struct Joined;
    impl Aggregate for Joined {
        type In = u64;
        type Acc = Vec<u64>;
        type Out = String;
        fn create(&self) -> Vec<u64> {
            vec![0]
        }
        fn add(&self, acc: &mut Vec<u64>, n: u64) {
            acc.push(n);
        }
        fn merge(&self, acc: &mut Vec<u64>, other: Vec<u64>) {
            acc.extend(other);
        }
        fn result(&self, acc: &Vec<u64>) -> String {
            format!("{acc:?}")
        }
    }
    let mut states = fresh();
    let reduced = states.register("r", None).reducing(Box::new(|a: &String, b: String| format!("f({a},{b})"))).unwrap();
    let joined = states.register("a", None).aggregating(Joined).unwrap();
    let mut one = of(&mut states, &1);
    assert_eq!((one.get(reduced), one.get(joined)), (None, None));
    for (n, value) in ["a", "b", "c"].into_iter().enumerate() {
        one.add(reduced, value.to_owned());
        one.add(joined, n as u64 + 1);
    }
    assert_eq!((one.get(reduced).cloned(), one.get(joined)), (Some("f(f(a,b),c)".into()), Some("[0, 1, 2, 3]".into())));
    drop(one);
    assert_eq!(of(&mut states, &2).get(joined), None);
    let mut restored = through_file(&mut states);
    let reduced = restored.register("r", None).reducing(Box::new(|a: &String, b: String| format!("g({a},{b})"))).unwrap();
    let joined = restored.register("a", None).aggregating(Joined).unwrap();
    of(&mut restored, &1).add(reduced, "d".to_owned());
    assert_eq!(of(&mut restored, &1).clear(reduced), Some("g(f(f(a,b),c),d)".into()), "the function is no part of the state");
    assert_eq!(of(&mut restored, &1).clear(joined), Some(vec![0, 1, 2, 3]));
    assert_eq!((entries(&mut restored, "r"), entries(&mut restored, "a")), (0, 0));
}

#[test]
fn c8_lists_and_maps_that_nobody_touches_survive() {
    let mut first = fresh();
    let (of_list, of_map) = (list(&mut first, "list").unwrap(), map(&mut first, "map").unwrap());
    for key in 0..50 {
        of(&mut first, &key).list(of_list).extend(0..key);
        of(&mut first, &key).map(of_map).insert(key.to_string(), key);
    }
    let mut carrying = through_file(&mut first);
    let mut again = through_memory(&mut carrying, 0..4);
    let written = |states: &mut States| {
        let views = states.view();
        views.iter().map(|view| (view.descriptor().clone(), blocks(&**view))).collect::<Vec<_>>()
    };
    assert_eq!(written(&mut again), written(&mut first));
    let of_list = list(&mut again, "list").unwrap();
    assert_eq!(elements(&mut again, of_list, 5), [0, 1, 2, 3, 4]);
}

#[test]
fn c9_the_same_name_is_the_same_state_and_another_kind_is_an_error_that_says_so() {
    let mut states = fresh();
    let first = list(&mut states, "x").unwrap();
    let again = list(&mut states, "x").unwrap();
    of(&mut states, &1).list(first).push(1);
    assert_eq!(elements(&mut states, again, 1), [1]);
    let said = |error: Option<Error>| error.expect("it is refused").to_string();
    let kind = said(map(&mut states, "x").err());
    assert!(kind.contains("'x' is registered as Map, and was registered as KeyedList before"), "{kind}");
    assert!(kind.contains("give each state of an operator its own name"), "{kind}");
    let of_other = said(states.register("x", None).list::<String>().err());
    assert!(of_other.contains("'x' is registered twice, with different types"), "{of_other}");
    longest(&mut states, "r").unwrap();
    let twice = said(longest(&mut states, "r").err());
    assert!(twice.contains("'r' is registered twice, each time with a function of its own"), "{twice}");
    assert!(said(states.value::<String>("r").err()).contains("registered as Reducing before"));
    assert!(said(list(&mut states, TIMERS).err()).contains("no state may be called 'timers'"));
}

#[test]
fn c9_what_was_stored_as_another_kind_is_refused() {
    let mut states = fresh();
    let of_list = list(&mut states, "x").unwrap();
    of(&mut states, &1).list(of_list).push(1);
    for mut restored in [through_file(&mut states), through_memory(&mut states, 0..4)] {
        let error = map(&mut restored, "x").unwrap_err().to_string();
        assert!(error.contains("state 'x' was stored as KeyedList"), "{error}");
        assert!(error.contains("register it as it was stored, or under another name"), "{error}");
        let of_list = list(&mut restored, "x").unwrap();
        assert_eq!(elements(&mut restored, of_list, 1), [1], "and is still there");
    }
}

#[test]
fn c29_what_was_taken_out_of_a_state_is_nobodys_state() {
    let mut states = fresh();
    let (of_list, value) = (list(&mut states, "list").unwrap(), states.value::<Vec<u64>>("value").unwrap());
    of(&mut states, &1).list(of_list).push(1);
    of(&mut states, &1).set(value, vec![1]);
    let before: Vec<_> = states.view().iter().map(|view| blocks(&**view)).collect();
    let mut taken: Vec<u64> = elements(&mut states, of_list, 1);
    taken.push(2);
    let mut taken = of(&mut states, &1).get(value).unwrap().clone();
    taken.push(2);
    assert_eq!(elements(&mut states, of_list, 1), [1]);
    assert_eq!(of(&mut states, &1).get(value), Some(&vec![1]));
    assert_eq!(states.view().iter().map(|view| blocks(&**view)).collect::<Vec<_>>(), before);
}

#[test]
#[should_panic(expected = "the handle ListState<u64>(0) was used with an operator that did not register it")]
fn a_list_of_another_operator_is_a_loud_fault() {
    let (mut one, mut other) = (fresh(), fresh());
    let of_list = list(&mut other, "list").unwrap();
    map(&mut one, "map").unwrap();
    of(&mut one, &1).list(of_list).push(1);
}

#[test]
fn entries_are_written_so_that_any_reader_knows_them() {
    let mut states = fresh();
    let of_list = list(&mut states, "list").unwrap();
    let by_name = map(&mut states, "by name").unwrap();
    let by_number = states.register("by number", None).map::<u8, bool>().unwrap();
    let mut one = of(&mut states, &1);
    one.list(of_list).extend([2, 3]);
    one.map(by_name).insert("a".into(), 4);
    one.map(by_number).insert(5, true);
    drop(one);
    let mut bytes = |name: &str| blocks(&*view_of(&mut states, name)).remove(0).bytes;
    assert_eq!(bytes("list"), [1, 0x92, 2, 3], "an array");
    assert_eq!(bytes("by name"), [1, 0x81, 0xa1, b'a', 4], "a map");
    assert_eq!(bytes("by number"), [1, 0x91, 0xdc, 0, 2, 5, 0xc3], "an array of pairs");
}

#[test]
fn a_change_to_a_list_of_a_million_elements_that_a_view_holds_copies_one_chunk() {
    const N: u64 = 1_000_000;
    let mut chunks: Chunks<u64> = (0..N).collect();
    let view = chunks.clone();
    let mut copies = 0;
    for n in 0..CHUNK as u64 {
        chunks.push(N + n, &mut copies);
    }
    assert_eq!(copies, 1, "of the tail, once");
    assert_eq!(chunks.first_chunk().as_ptr(), view.first_chunk().as_ptr(), "the rest is shared");
    assert_eq!((view.len() as u64, chunks.len() as u64), (N, N + CHUNK as u64));
    assert!(chunks.iter().copied().eq(0..N + CHUNK as u64));
    let view = chunks.clone();
    chunks.remove_first(10, &mut copies);
    assert!(copies <= 6, "the way to the first chunk: {copies}");
    assert_eq!(chunks.iter().next(), Some(&10));
    chunks.retain(|n| *n != 500_000, &mut copies);
    assert!(copies <= 6 + 200, "one chunk, and what leads to all of them: {copies}");
    assert!(view.iter().copied().eq(0..N + CHUNK as u64));
    assert!(chunks.iter().copied().eq((10..N + CHUNK as u64).filter(|n| *n != 500_000)));
}

#[test]
fn a_change_to_a_map_of_a_million_entries_that_a_view_holds_copies_one_piece() {
    const N: u64 = 1_000_000;
    let (mut pieces, mut copies) = (Pieces::new(), 0);
    (0..N).for_each(|key| assert_eq!(pieces.insert(hash(&key), &key, key, &mut copies), None));
    assert_eq!(copies, 0);
    let view = pieces.clone();
    *pieces.get_mut(hash(&7), &7, &mut copies).unwrap() = 70;
    assert!((2..=6).contains(&copies), "the piece, and the way to it: {copies}");
    assert_eq!(pieces.get_mut(hash(&N), &N, &mut copies), None);
    let at = |pieces: &Pieces<u64, u64>, key: u64| pieces.get(hash(&key), &key).map(|value| value as *const u64);
    let shared = (0..N).filter(|key| at(&pieces, *key) == at(&view, *key)).count() as u64;
    assert!(N - shared <= 2 * PIECE as u64, "{shared} of {N} are shared");
    assert_eq!((view.get(hash(&7), &7), pieces.get(hash(&7), &7)), (Some(&7), Some(&70)));
    assert_eq!(pieces.iter().count() as u64, N);
}

#[test]
fn a_map_is_gone_through_in_the_same_order_whatever_happened_to_it_before() {
    let keys = || 0..3000u64;
    let made = |keys: &mut dyn Iterator<Item = u64>| {
        let mut pieces = Pieces::new();
        keys.for_each(|key| assert_eq!(pieces.insert(hash(&key), &key, key, &mut 0), None));
        pieces
    };
    let (one, mut other) = (made(&mut keys()), made(&mut keys().chain(5000..9000).collect::<Vec<_>>().into_iter().rev()));
    (5000..9000).for_each(|key| assert_eq!(other.remove(hash(&key), &key, &mut 0), Some(key)));
    assert!(one.iter().eq(other.iter()));
    assert!(keys().all(|key| other.remove(hash(&key), &key, &mut 0).is_some()));
    assert!(other.is_empty() && other.iter().next().is_none());
}

#[test]
fn keys_with_the_same_hash_are_different_keys() {
    let mut pieces = Pieces::new();
    let n = 3 * PIECE as u64;
    (0..n).for_each(|key| assert_eq!(pieces.insert(7, &key, key, &mut 0), None));
    assert!((0..n).all(|key| pieces.get(7, &key) == Some(&key)));
    assert!((0..n).all(|key| pieces.remove(7, &key, &mut 0) == Some(key)));
}

#[test]
fn a_segment_that_is_copied_shares_its_lists_and_maps() {
    let mut states = fresh();
    let (of_list, of_map) = (list(&mut states, "list").unwrap(), map(&mut states, "map").unwrap());
    for key in 0..100 {
        of(&mut states, &key).list(of_list).extend(0..100);
        of(&mut states, &key).map(of_map).insert("a".into(), key);
    }
    let view = states.view();
    let before = states.copies();
    let address = |states: &mut States| of(states, &3).list(of_list).iter().next().unwrap() as *const u64;
    let shared = address(&mut states);
    (4..100).for_each(|key| of(&mut states, &key).list(of_list).push(0));
    assert_eq!(address(&mut states), shared, "in a segment that was copied");
    assert_eq!(states.copies() - before, 4 + 96, "four segments, and the tails that were written to");
    drop(view);
}
