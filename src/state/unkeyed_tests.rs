//! Tests of lists and broadcast states: what is registered, what is read back, what is carried.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests::blocks;
use super::*;
use crate::error::Error;

fn described(name: &str, kind: StateKind) -> StateDescriptor {
    StateDescriptor::new(name, kind, 1)
}

/// What a checkpoint keeps of these states: as views, or as the blocks of a file.
fn kept(views: Vec<Arc<dyn StateView>>, in_memory: bool) -> RestoredStates {
    let state = |view: Arc<dyn StateView>| {
        let kept = if in_memory { Kept::View(view.clone()) } else { Kept::Blocks(blocks(&*view)) };
        (view.descriptor().name.clone(), (view.descriptor().clone(), kept))
    };
    RestoredStates { states: views.into_iter().map(state).collect() }
}

/// A list with these items.
fn list(kind: StateKind, items: &[u32]) -> Arc<dyn StateView> {
    let mut states = UnkeyedStates::default();
    let list = states.list::<u32>("items", kind, None).unwrap();
    OperatorState::new(&mut states).list_mut(list).extend(items.iter().copied());
    states.view().remove(0)
}

fn items(states: &mut UnkeyedStates, kind: StateKind) -> Vec<u32> {
    let list = states.list::<u32>("items", kind, None).unwrap();
    OperatorState::new(states).list(list).iter().copied().collect()
}

fn union(parts: [&[u32]; 3], in_memory: bool) -> RestoredStates {
    let part = |items: &[u32]| kept(vec![list(StateKind::UnionList, items)], in_memory).take("items").unwrap().1;
    let union = Union { before: vec![part(parts[0])], own: part(parts[1]), after: vec![part(parts[2])] };
    let kept = (described("items", StateKind::UnionList), Kept::Union(Box::new(union)));
    RestoredStates { states: BTreeMap::from([("items".to_owned(), kept)]) }
}

#[test]
fn c14_lists_and_maps_come_back_as_they_were() {
    for in_memory in [true, false] {
        let mut states = UnkeyedStates::default();
        let list = states.list::<String>("list", StateKind::List, None).unwrap();
        let map = states.broadcast::<String, u64>("map", None).unwrap();
        OperatorState::new(&mut states).list_mut(list).extend((0..1000).map(|n| n.to_string()));
        let mut writer = BroadcastWriter::new(&mut states);
        (0..1000).for_each(|n| assert_eq!(writer.map_mut(map).insert(n.to_string(), n), None));
        let views = states.view();
        OperatorState::new(&mut states).list_mut(list).clear();
        BroadcastWriter::new(&mut states).map_mut(map).clear();

        let mut states = UnkeyedStates::new(kept(views, in_memory));
        let list = states.list::<String>("list", StateKind::List, None).unwrap();
        let map = states.broadcast::<String, u64>("map", None).unwrap();
        let found: Vec<String> = OperatorState::new(&mut states).list_mut(list).take();
        assert_eq!(found, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
        let map = BroadcastReader::new(&states).map(map);
        assert_eq!((map.len(), map.get("77")), (1000, Some(&77)));
    }
}

#[test]
fn c15_a_union_list_is_the_items_of_all_in_their_order() {
    for in_memory in [true, false] {
        let mut states = UnkeyedStates::new(union([&[1, 2], &[3], &[4]], in_memory));
        assert_eq!(items(&mut states, StateKind::UnionList), [1, 2, 3, 4]);
    }
}

#[test]
fn c15_a_union_list_that_nobody_reads_does_not_multiply() {
    for in_memory in [true, false] {
        let carried = UnkeyedStates::new(union([&[1, 2], &[3], &[4]], in_memory)).view();
        let mut again = UnkeyedStates::new(kept(carried, in_memory));
        assert_eq!(items(&mut again, StateKind::UnionList), [3], "its own part, and not those of others");
        let carried = union([&[1, 2], &[3], &[4]], in_memory).carried();
        assert_eq!(blocks(&*carried[0]), blocks(&*list(StateKind::UnionList, &[3])), "behind the end of data too");
    }
}

#[test]
fn c8_lists_and_maps_that_nobody_registers_stay() {
    for in_memory in [true, false] {
        let before = list(StateKind::List, &[1, 2, 3]);
        let mut states = UnkeyedStates::new(kept(vec![before], in_memory));
        states.list::<u32>("others", StateKind::List, None).unwrap();
        for _ in 0..2 {
            let views = states.view();
            assert_eq!(views.iter().map(|view| &*view.descriptor().name).collect::<Vec<_>>(), ["others", "items"]);
            let mut again = UnkeyedStates::new(kept(views, in_memory));
            assert_eq!(items(&mut again, StateKind::List), [1, 2, 3]);
        }
    }
}

#[track_caller]
fn refused<H: std::fmt::Debug>(outcome: crate::Result<H>, what: &str) {
    match outcome {
        Err(Error::StateMismatch { problem, .. }) => assert!(problem.contains(what), "{problem}"),
        other => panic!("it should be refused: {other:?}"),
    }
}

#[test]
fn c9_a_name_is_one_state_of_one_kind_and_type() {
    let mut states = UnkeyedStates::default();
    let list = states.list::<u32>("x", StateKind::List, None).unwrap();
    let same = states.list::<u32>("x", StateKind::List, None).unwrap();
    OperatorState::new(&mut states).list_mut(list).push(7);
    assert_eq!(OperatorState::new(&mut states).list(same).len(), 1, "the same handle again");
    refused(states.list::<u32>("x", StateKind::UnionList, None), "'x'");
    refused(states.list::<u64>("x", StateKind::List, None), "'x'");
    refused(states.broadcast::<u32, u32>("x", None), "'x'");
    refused(states.refuse_keyed("x"), "'x'");
    states.refuse_keyed("y").unwrap();
    for name in [TIMERS, LATE_DROPPED, SKIPPED] {
        refused(states.list::<u32>(name, StateKind::List, None), name);
    }
}

#[test]
fn c9_what_was_stored_as_another_kind_is_refused() {
    for (stored, registered) in [(StateKind::List, StateKind::UnionList), (StateKind::UnionList, StateKind::List)] {
        let mut states = UnkeyedStates::new(kept(vec![list(stored, &[1])], false));
        refused(states.list::<u32>("items", registered, None), &format!("{stored:?}"));
        refused(states.refuse_keyed("items"), &format!("{stored:?}"));
    }
    let keyed = RestoredStates { states: BTreeMap::from([("x".to_owned(), (described("x", StateKind::Value), Kept::NOTHING))]) };
    let mut states = UnkeyedStates::default().beside(&keyed);
    refused(states.broadcast::<u32, u32>("x", None), "Value");
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let mut states = UnkeyedStates::new(kept(vec![list(StateKind::List, &[1])], false));
    refused(states.list::<String>("items", StateKind::List, None), "'items'");
    let twice = Block { group: None, entries: 2, bytes: vec![1, 1, 1, 2] };
    let stored = (described("x", StateKind::Broadcast), Kept::Blocks(vec![twice]));
    let mut states = UnkeyedStates::new(RestoredStates { states: BTreeMap::from([("x".to_owned(), stored)]) });
    refused(states.broadcast::<u8, u8>("x", None), "was there before");
}

#[test]
#[should_panic(expected = "did not register it")]
fn a_handle_of_another_operator_is_refused() {
    let list = UnkeyedStates::default().list::<u32>("x", StateKind::List, None).unwrap();
    OperatorState::new(&mut UnkeyedStates::default()).list(list);
}
