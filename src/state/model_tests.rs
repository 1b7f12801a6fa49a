//! The kinds of keyed state against plain collections, under random operations, with views taken and restored in between.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use proptest::prelude::*;

use super::kinds_tests::{ALL, States, fresh, list, longest, map, through_files, through_memory};
use super::tests::{blocks, hash, of};
use super::*;
use crate::key::KeyGroups;

#[derive(Clone, Debug)]
enum Op {
    Push(u64, u64),
    Extend(u64, Vec<u64>),
    Set(u64, Vec<u64>),
    Take(u64),
    Keep(u64, u64),
    Insert(u64, u8, u64),
    Upsert(u64, u8),
    Remove(u64, u8),
    KeepEntries(u64, u64),
    ClearMap(u64),
    Add(u64, String),
    Forget(u64),
    View,
    Files(bool),
    Memory,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0..5u64;
    let many = || prop::collection::vec(0..9u64, 0..700);
    let op = prop_oneof![
        8 => (key(), any::<u64>()).prop_map(|(key, n)| Op::Push(key, n)),
        4 => (key(), many()).prop_map(|(key, all)| Op::Extend(key, all)),
        1 => (key(), many()).prop_map(|(key, all)| Op::Set(key, all)),
        1 => key().prop_map(Op::Take),
        2 => (key(), 0..9u64).prop_map(|(key, n)| Op::Keep(key, n)),
        8 => (key(), any::<u8>(), any::<u64>()).prop_map(|(key, at, n)| Op::Insert(key, at, n)),
        8 => (key(), any::<u8>()).prop_map(|(key, at)| Op::Upsert(key, at)),
        4 => (key(), any::<u8>()).prop_map(|(key, at)| Op::Remove(key, at)),
        1 => (key(), 2..5u64).prop_map(|(key, n)| Op::KeepEntries(key, n)),
        1 => key().prop_map(Op::ClearMap),
        4 => (key(), "[a-z]{0,4}").prop_map(|(key, text)| Op::Add(key, text)),
        1 => key().prop_map(Op::Forget),
        3 => Just(Op::View),
        1 => any::<bool>().prop_map(Op::Files),
        1 => Just(Op::Memory),
    ];
    prop::collection::vec(op, 1..60)
}

/// What the states should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    lists: BTreeMap<u64, Vec<u64>>,
    maps: BTreeMap<u64, HashMap<String, u64>>,
    longest: BTreeMap<u64, String>,
}

/// The states, by the handles of their instances, each of which owns some of the key groups.
struct Instances {
    parts: Vec<Range<u16>>,
    states: Vec<States>,
}

struct Handles(ListState<u64>, MapState<String, u64>, ReducingState<String>);

impl Instances {
    fn on<R>(&mut self, key: u64, act: impl FnOnce(&mut KeyState<'_, u64>, Handles) -> R) -> R {
        let group = KeyGroups::new(4).of(hash(&key)).0;
        let at = self.parts.iter().position(|part| part.contains(&group)).unwrap();
        let states = &mut self.states[at];
        let handles = handles(states);
        act(&mut of(states, &key), handles)
    }

    fn model(&mut self) -> Model {
        let mut model = Model::default();
        for key in 0..5 {
            self.on(key, |state, Handles(list, map, longest)| {
                let all: Vec<u64> = state.list(list).iter().copied().collect();
                assert_eq!((state.list(list).len(), state.list(list).is_empty()), (all.len(), all.is_empty()));
                let entries: HashMap<String, u64> = state.map(map).iter().map(|(key, n)| (key.clone(), *n)).collect();
                assert_eq!(state.map(map).len(), entries.len());
                assert!(entries.iter().all(|(key, n)| state.map(map).get(key) == Some(n)));
                model.lists.extend((!all.is_empty()).then_some((key, all)));
                model.maps.extend((!entries.is_empty()).then_some((key, entries)));
                model.longest.extend(state.get(longest).map(|text| (key, text.clone())));
            });
        }
        model
    }
}

/// Registered anew each time: the same name is the same state. A reducing state may be registered once, so its handle is kept.
fn handles(states: &mut States) -> Handles {
    let (of_list, of_map) = (list(states, "list").unwrap(), map(states, "map").unwrap());
    Handles(of_list, of_map, longest(states, "longest").unwrap_or(ReducingState::new(2, false)))
}

fn apply(op: &Op, instances: &mut Instances, model: &mut Model) {
    let name = |at: u8| format!("key {at}");
    match op.clone() {
        Op::Push(key, n) => {
            instances.on(key, |state, Handles(list, ..)| state.list(list).push(n));
            model.lists.entry(key).or_default().push(n);
        }
        Op::Extend(key, all) => {
            instances.on(key, |state, Handles(list, ..)| state.list(list).extend(all.clone()));
            model.lists.entry(key).or_default().extend(all);
        }
        Op::Set(key, all) => {
            instances.on(key, |state, Handles(list, ..)| state.list(list).set(all.clone()));
            model.lists.insert(key, all);
        }
        Op::Take(key) => {
            let taken = instances.on(key, |state, Handles(list, ..)| state.list(list).take());
            assert_eq!(taken, model.lists.remove(&key).unwrap_or_default());
        }
        Op::Keep(key, kept) => {
            instances.on(key, |state, Handles(list, ..)| state.list(list).retain(|n| *n % 9 >= kept));
            model.lists.entry(key).or_default().retain(|n| *n % 9 >= kept);
        }
        Op::Insert(key, at, n) => {
            let before = instances.on(key, |state, Handles(_, map, _)| state.map(map).insert(name(at), n));
            assert_eq!(before, model.maps.entry(key).or_default().insert(name(at), n));
        }
        Op::Upsert(key, at) => {
            instances.on(key, |state, Handles(_, map, _)| {
                let mut map = state.map(map);
                *map.get_or_insert_with(&name(at), || 5) ^= 3;
                *map.get_mut(name(at).as_str()).unwrap() ^= 8;
            });
            *model.maps.entry(key).or_default().entry(name(at)).or_insert(5) ^= 11;
        }
        Op::Remove(key, at) => {
            let before = instances.on(key, |state, Handles(_, map, _)| state.map(map).remove(&name(at)));
            assert_eq!(before, model.maps.entry(key).or_default().remove(&name(at)));
        }
        Op::KeepEntries(key, kept) => {
            instances.on(key, |state, Handles(_, map, _)| state.map(map).retain(|_, n| *n % 5 >= kept));
            model.maps.entry(key).or_default().retain(|_, n| *n % 5 >= kept);
        }
        Op::ClearMap(key) => {
            instances.on(key, |state, Handles(_, map, _)| state.map(map).clear());
            model.maps.remove(&key);
        }
        Op::Add(key, text) => {
            instances.on(key, |state, Handles(_, _, longest)| state.add(longest, text.clone()));
            let so_far = model.longest.entry(key).or_insert_with(|| text.clone());
            if text.len() > so_far.len() {
                *so_far = text;
            }
        }
        Op::Forget(key) => {
            let before = instances.on(key, |state, Handles(_, _, longest)| state.clear(longest));
            assert_eq!(before, model.longest.remove(&key));
        }
        Op::View | Op::Files(_) | Op::Memory => {}
    }
    model.lists.retain(|_, list| !list.is_empty());
    model.maps.retain(|_, map| !map.is_empty());
}

/// The instances, restored at another parallelism or in memory.
fn restored(op: &Op, instances: &mut Instances) -> Option<Instances> {
    match op {
        Op::Files(many) => {
            let parts = if *many { vec![0..1, 1..3, 3..4] } else { vec![ALL] };
            Some(Instances { states: through_files(&mut instances.states, &parts), parts })
        }
        Op::Memory => {
            let all = instances.states.iter_mut().zip(&instances.parts);
            let states = all.map(|(states, part)| through_memory(states, part.clone())).collect();
            Some(Instances { states, parts: instances.parts.clone() })
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn c4_c5_c6_c13_states_do_what_plain_collections_do(ops in ops()) {
        let mut instances = Instances { parts: vec![ALL], states: vec![fresh()] };
        let (mut model, mut views) = (Model::default(), Vec::new());
        for op in &ops {
            for states in &mut instances.states {
                handles(states);
            }
            apply(op, &mut instances, &mut model);
            if let Op::View = op {
                let view: Vec<_> = instances.states.iter_mut().flat_map(KeyedState::view).collect();
                let before: Vec<_> = view.iter().map(|view| blocks(&**view)).collect();
                views.push((view, before));
            }
            if let Some(again) = restored(op, &mut instances) {
                instances = again;
            }
        }
        prop_assert_eq!(instances.model(), model);
        for (view, before) in views {
            prop_assert_eq!(view.iter().map(|view| blocks(&**view)).collect::<Vec<_>>(), before, "a view is frozen");
        }
    }
}
