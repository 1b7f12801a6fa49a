//! Tests of what expires: what is seen of it and when, and how its memory comes back.

use std::time::Duration;

use super::kinds_tests::{entries, through_file, through_memory};
use super::tests::{blocks, of, states, view_of};
use super::*;
use crate::time::{Timestamp, millis};

type States = KeyedState<u64>;

const TTL: Ttl = Ttl::of(millis(100));

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn fresh() -> States {
    states(RestoredStates::default())
}

/// A callback for the key 1 at a time.
fn on<R>(states: &mut States, now: i64, act: impl FnOnce(&mut KeyState<'_, u64>) -> R) -> R {
    act(&mut of(states.at(at(now)), &1))
}

fn value(states: &mut States, ttl: Ttl) -> ValueState<u64> {
    states.register("value", Some(ttl)).value().unwrap()
}

fn list(states: &mut States, ttl: Ttl) -> ListState<u64> {
    states.register("list", Some(ttl)).list().unwrap()
}

fn map(states: &mut States, ttl: Ttl) -> MapState<u64, u64> {
    states.register("map", Some(ttl)).map().unwrap()
}

fn sum(states: &mut States, ttl: Ttl) -> ReducingState<u64> {
    states.register("sum", Some(ttl)).reducing(Box::new(|a: &u64, b| a + b)).unwrap()
}

struct Count;

impl Aggregate for Count {
    type In = u64;
    type Acc = u64;
    type Out = String;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, acc: &mut u64, n: u64) {
        *acc += n;
    }
    fn merge(&self, acc: &mut u64, other: u64) {
        *acc += other;
    }
    fn result(&self, acc: &u64) -> String {
        format!("{acc} in all")
    }
}

fn elements(state: &mut KeyState<'_, u64>, list: ListState<u64>) -> Vec<u64> {
    state.list(list).iter().copied().collect()
}

#[test]
fn c23_what_was_written_is_seen_until_its_time_to_live_is_over() {
    let mut states = fresh();
    let (value, map) = (value(&mut states, TTL), map(&mut states, TTL));
    let (list, forever) = (list(&mut states, TTL), states.register("ever", Some(Ttl::of(Duration::MAX))).value().unwrap());
    on(&mut states, 0, |state| {
        state.set(value, 7);
        state.list(list).push(7);
        state.map(map).insert(7, 7);
        state.set(forever, 7u64);
    });
    let seen = |states: &mut States, now| {
        on(states, now, |state| (state.get(value).copied(), elements(state, list).len(), state.map(map).contains(&7)))
    };
    assert_eq!(seen(&mut states, 99), (Some(7), 1, true));
    assert_eq!(seen(&mut states, 100), (None, 0, false));
    assert_eq!(on(&mut states, i64::MAX - 1, |state| state.get(forever).copied()), Some(7));
}

#[test]
fn c23_a_time_to_live_of_nothing_is_refused() {
    let error = fresh().register("x", Some(Ttl::of(Duration::ZERO))).value::<u64>().unwrap_err().to_string();
    assert!(
        error.contains("'x' is registered with a time to live of 0ns") && error.contains("at least a millisecond"),
        "{error}"
    );
}

#[test]
fn c24_reads_prolong_only_if_they_are_to() {
    for (ttl, later) in [(TTL, None), (TTL.on_read_too(), Some(7))] {
        let mut states = fresh();
        let (value, map, list) = (value(&mut states, ttl), map(&mut states, ttl), list(&mut states, ttl));
        let sum = sum(&mut states, ttl);
        let counted = states.register("counted", Some(ttl)).aggregating(Count).unwrap();
        on(&mut states, 0, |state| {
            state.set(value, 7);
            (0..600).for_each(|n| assert_eq!(state.map(map).insert(n, 7), None));
            state.list(list).extend([7; 600]);
            state.add(sum, 7);
            state.add(counted, 7);
        });
        on(&mut states, 50, |state| {
            assert_eq!(state.get(value), Some(&7));
            assert!(state.map(map).contains(&7));
            assert_eq!(elements(state, list).len(), 600);
            assert_eq!((state.get(sum), state.get(counted)), (Some(&7), Some("7 in all".into())));
        });
        on(&mut states, 120, |state| {
            assert_eq!(state.get(value).copied(), later);
            assert_eq!(state.map(map).get(&7).copied(), later);
            assert_eq!(state.map(map).get(&8), None, "it was not read");
            assert_eq!(elements(state, list).len(), if later.is_some() { 600 } else { 0 });
            assert_eq!((state.get(sum).copied(), state.get(counted).is_some()), (later, later.is_some()));
        });
        let seen = on(&mut states, 130, |state| state.map(map).iter().count());
        assert_eq!(seen, later.map_or(0, |_| 1), "going through a map is a read of what is there");
    }
}

#[test]
fn c25_what_has_expired_is_returned_once_where_it_may_be() {
    let mut states = fresh();
    let ttl = TTL.return_expired_until_cleaned();
    let (value, map, list) = (value(&mut states, ttl), map(&mut states, ttl), list(&mut states, ttl));
    on(&mut states, 0, |state| {
        state.set(value, 7);
        state.list(list).extend([1, 2]);
        (0..3).for_each(|n| assert_eq!(state.map(map).insert(n, 7), None));
    });
    on(&mut states, 120, |state| {
        assert_eq!((state.get(value), state.get(value)), (Some(&7), None), "within one callback");
        assert_eq!(state.map(map).get(&1), Some(&7));
        assert_eq!(state.map(map).get(&1), None);
        assert_eq!(elements(state, list), [1, 2]);
        assert_eq!(elements(state, list), [0u64; 0]);
        assert_eq!(state.map(map).iter().count(), 2);
        assert!(state.map(map).is_empty());
    });
    assert_eq!(on(&mut states, 120, |state| state.get(value).copied()), None, "and in the next");
    on(&mut states, 130, |state| state.set(value, 8));
    assert_eq!(on(&mut states, 240, |state| state.get(value).copied()), Some(8));
    assert_eq!(on(&mut states, 240, |state| state.get(value).copied()), None);
}

#[test]
fn c25_what_lives_beside_what_is_returned_for_the_last_time_stays() {
    let mut states = fresh();
    let ttl = TTL.return_expired_until_cleaned();
    let (map, list) = (map(&mut states, ttl), list(&mut states, ttl));
    for (now, n) in [(0, 1), (80, 2)] {
        on(&mut states, now, |state| {
            state.list(list).push(n);
            state.map(map).insert(n, 10 * n);
        });
    }
    let numbers = |state: &mut KeyState<'_, u64>| state.map(map).iter().map(|(key, _)| *key).sum::<u64>();
    on(&mut states, 120, |state| assert_eq!((elements(state, list), numbers(state)), (vec![1, 2], 3)));
    on(&mut states, 121, |state| assert_eq!((elements(state, list), numbers(state)), (vec![2], 2)));
    on(&mut states, 122, |state| assert_eq!((elements(state, list), numbers(state)), (vec![2], 2), "and it stays"));
}

#[test]
fn c25_what_has_expired_is_not_returned_though_it_is_still_there() {
    let mut states = fresh();
    let (value, sum) = (value(&mut states, TTL), sum(&mut states, TTL));
    on(&mut states, 0, |state| {
        state.set(value, 7);
        state.add(sum, 7);
    });
    on(&mut states, 100, |state| {
        assert_eq!((state.get(value), state.get(sum)), (None, None));
        assert_eq!(state.get_mut(value), None);
        assert_eq!(state.clear(value), None);
        assert_eq!(state.update(value, |n| *n), 0, "it begins anew");
    });
}

#[test]
fn c26_elements_and_entries_expire_one_by_one_and_nothing_is_built_on_what_has_expired() {
    let mut states = fresh();
    let (map, list, sum) = (map(&mut states, TTL), list(&mut states, TTL), sum(&mut states, TTL));
    let counted = states.register("counted", Some(TTL)).aggregating(Count).unwrap();
    for (now, n) in [(0, 1), (80, 2)] {
        on(&mut states, now, |state| {
            state.list(list).push(n);
            state.map(map).insert(n, n);
        });
    }
    on(&mut states, 0, |state| {
        state.add(sum, 1);
        state.add(counted, 1);
    });
    on(&mut states, 120, |state| {
        assert_eq!((elements(state, list), state.list(list).len()), (vec![2], 1));
        assert_eq!(state.map(map).keys().copied().collect::<Vec<_>>(), [2]);
        assert_eq!((state.map(map).len(), state.map(map).get_mut(&1).copied()), (1, None));
        state.add(sum, 2);
        state.add(counted, 2);
        assert_eq!((state.get(sum), state.get(counted)), (Some(&2), Some("2 in all".into())));
        assert_eq!(*state.map(map).get_or_insert_with(&1, || 10), 10);
    });
    on(&mut states, 170, |state| {
        state.add(sum, 3);
        assert_eq!(state.get(sum), Some(&5), "a write renews it");
        assert_eq!(*state.map(map).get_or_insert_with(&1, || 11), 10);
    });
    on(&mut states, 190, |state| {
        assert_eq!((state.list(list).take(), state.map(map).remove(&2)), (vec![], None));
        state.list(list).retain(|_| panic!("there is nothing to be kept"));
    });
    assert_eq!(entries(&mut states, "list"), 0);
}

#[test]
fn c27_the_time_while_nothing_runs_counts() {
    let mut states = fresh();
    let (of_value, of_list) = (value(&mut states, TTL), list(&mut states, TTL));
    on(&mut states, 0, |state| {
        state.set(of_value, 7);
        state.list(of_list).push(1);
    });
    on(&mut states, 90, |state| state.list(of_list).push(2));
    for mut restored in [through_file(&mut states), through_memory(&mut states, 0..4)] {
        let (of_value, of_list) = (value(restored.at(at(150)), TTL), list(&mut restored, TTL));
        assert_eq!(on(&mut restored, 150, |state| (state.get(of_value).copied(), elements(state, of_list))), (None, vec![2]));
        assert_eq!(on(&mut restored, 190, |state| elements(state, of_list)), [0u64; 0]);
    }
    let mut longer = through_file(&mut states);
    let of_value = value(longer.at(at(150)), Ttl::of(millis(1000)));
    assert_eq!(on(&mut longer, 150, |state| state.get(of_value).copied()), Some(7), "with another time to live");
}

#[test]
fn c27_state_is_carried_over_when_it_gets_or_loses_a_time_to_live() {
    let mut first = fresh();
    let list = first.register("list", None).list::<u64>().unwrap();
    let map = first.register("map", None).map::<String, u64>().unwrap();
    let value = first.value::<u64>("value").unwrap();
    on(&mut first, 0, |state| {
        state.set(value, 7);
        state.list(list).extend(0..1000);
        (0..1000).for_each(|n| assert_eq!(state.map(map).insert(n.to_string(), n), None));
    });
    for from_memory in [false, true] {
        let again = |states: &mut States| if from_memory { through_memory(states, 0..4) } else { through_file(states) };
        let mut expiring = again(&mut first);
        expiring.at(at(500));
        let list = expiring.register("list", Some(TTL)).list::<u64>().unwrap();
        let map = expiring.register("map", Some(TTL)).map::<String, u64>().unwrap();
        let value = expiring.register("value", Some(TTL)).value::<u64>().unwrap();
        let seen = |states: &mut States, now| {
            on(states, now, |state| (state.get(value).copied(), state.list(list).len(), state.map(map).len()))
        };
        assert_eq!(seen(&mut expiring, 599), (Some(7), 1000, 1000), "it lives on from the start");
        let mut lasting = again(&mut expiring);
        assert_eq!(seen(&mut expiring, 600), (None, 0, 0));

        let list = lasting.register("list", None).list::<u64>().unwrap();
        let map = lasting.register("map", None).map::<String, u64>().unwrap();
        let value = lasting.value::<u64>("value").unwrap();
        on(&mut lasting, 10_000, |state| {
            assert_eq!(state.get(value), Some(&7));
            assert!(state.list(list).iter().copied().eq(0..1000));
            assert_eq!(state.map(map).get("999"), Some(&999));
            assert_eq!(state.map(map).len(), 1000);
        });
    }
}

#[test]
fn c28_what_has_expired_is_in_no_snapshot_though_it_is_in_memory() {
    let mut states = fresh();
    let (value, list, map) = (value(&mut states, TTL), list(&mut states, TTL), map(&mut states, TTL));
    for (key, now) in [(1, 0), (2, 50)] {
        let mut state = of(states.at(at(now)), &key);
        state.set(value, 7);
        state.list(list).push(7);
        state.map(map).insert(7, 7);
    }
    on(&mut states, 60, |state| {
        state.list(list).push(8);
        state.map(map).insert(8, 8);
    });
    states.at(at(100));
    let written = |states: &mut States, name: &str| {
        let blocks = blocks(&*view_of(states, name));
        blocks.iter().map(|block| (block.entries, block.bytes.len())).collect::<Vec<_>>()
    };
    assert_eq!(entries(&mut states, "value"), 1);
    assert_eq!(entries(&mut states, "list"), 2, "the key 1 still has one element");
    let mut restored = through_file(&mut states);
    restored.at(at(100));
    let list = super::ttl_tests::list(&mut restored, TTL);
    assert_eq!(on(&mut restored, 100, |state| elements(state, list)), [8]);
    states.at(at(160));
    for name in ["value", "list", "map"] {
        assert_eq!(written(&mut states, name), [], "{name}");
    }
}

/// Sweeps a state as an idle task does, until there is nothing to do at this time.
fn sweep(states: &mut States, now: i64) -> usize {
    let mut steps = 0;
    while states.at(at(now)).sweep_at() <= at(now) {
        states.sweep(1024);
        steps += 1;
        assert!(steps < 100_000, "a sweep ends");
    }
    steps
}

#[test]
fn c28_memory_falls_when_what_was_in_it_has_expired() {
    let mut states = fresh();
    let value = value(&mut states, TTL);
    const N: u64 = 40_000;
    for key in 0..N {
        of(states.at(at(if key % 10 == 0 { 60 } else { 0 })), &key).set(value, key);
    }
    let held = |states: &mut States| {
        let view = view_of(states, "value");
        view.held_bytes()
    };
    let full = held(&mut states);
    sweep(&mut states, 110);
    assert_eq!(entries(&mut states, "value"), N / 10);
    let left = held(&mut states);
    assert!(left * 5 < full, "{left} of {full} bytes are held by a tenth of the entries");
    assert!((0..N).step_by(10).all(|key| of(states.at(at(110)), &key).get(value) == Some(&key)), "what has not expired is there");
    assert!(states.sweep_at() > at(110));
    sweep(&mut states, 200);
    assert_eq!(held(&mut states), 0, "nothing is left");
    assert_eq!(states.sweep_at(), Timestamp::MAX, "and nothing to do");
    of(states.at(at(300)), &1).set(value, 1);
    assert_eq!(states.sweep_at(), at(400), "before the next write expires");
}

#[test]
fn c28_a_sweep_leaves_a_view_as_it_was_and_copies_only_what_has_something_to_lose() {
    let mut states = fresh();
    let value = value(&mut states, TTL);
    (0..1000).for_each(|key| of(states.at(at(if key < 500 { 0 } else { 50 })), &key).set(value, key));
    states.at(at(70));
    let view = view_of(&mut states, "value");
    let before = blocks(&*view);
    sweep(&mut states, 120);
    assert_eq!(blocks(&*view), before, "as of when it was taken, and not of now");
    assert_eq!(before.iter().map(|block| block.entries).sum::<u64>(), 1000);
    assert_eq!(entries(&mut states, "value"), 500);
    let (copies, held) = (states.copies(), view_of(&mut states, "value"));
    sweep(&mut states, 149);
    assert_eq!(states.copies(), copies, "nothing has expired in what is shared");
    drop(held);
}

#[test]
fn c28_lists_and_maps_of_many_parts_are_swept_part_by_part() {
    const N: u64 = 20_000;
    let mut states = fresh();
    let (list, map) = (list(&mut states, TTL), map(&mut states, TTL));
    for n in 0..N {
        on(&mut states, if n < N - 10 { 0 } else { 60 }, |state| {
            state.list(list).push(n);
            state.map(map).insert(n, n);
        });
    }
    let view = states.view();
    states.at(at(110));
    states.sweep(64);
    let steps = sweep(&mut states, 110);
    assert!(steps > 1, "it takes more than one step");
    on(&mut states, 110, |state| {
        assert_eq!(elements(state, list), (N - 10..N).collect::<Vec<_>>());
        assert_eq!(state.map(map).len(), 10);
    });
    let mut left = through_memory(&mut states, 0..4);
    left.at(at(110));
    let forever = Ttl::of(Duration::MAX);
    let (all_of_list, all_of_map) = (super::ttl_tests::list(&mut left, forever), super::ttl_tests::map(&mut left, forever));
    on(&mut left, 110, |state| {
        assert_eq!((state.list(all_of_list).len(), state.map(all_of_map).len()), (10, 10), "and the rest is gone from memory");
    });
    drop(left);
    drop(view);
    sweep(&mut states, 200);
    assert_eq!(states.view().iter().map(|view| view.held_bytes()).sum::<u64>(), 0);
}

#[test]
fn c28_accesses_clean_up_a_little_each_time() {
    let mut states = fresh();
    let value = value(&mut states, TTL);
    (0..100).for_each(|key| of(states.at(at(0)), &key).set(value, key));
    for n in 0..200 {
        of(states.at(at(100)), &1_000_000).set(value, n);
    }
    let view = view_of(&mut states, "value");
    drop(states);
    let states = super::tests::states(RestoredStates { states: [kept(view)].into() });
    assert_eq!(in_memory(states), 1, "all that had expired is gone, by accesses alone");
}

fn kept(view: std::sync::Arc<dyn StateView>) -> (String, (StateDescriptor, Kept)) {
    (view.descriptor().name.clone(), (view.descriptor().clone(), Kept::View(view)))
}

/// Entries in memory, expired or not: a longer time to live shows all of them.
fn in_memory(mut states: States) -> u64 {
    states.at(at(100));
    value(&mut states, Ttl::of(Duration::MAX));
    entries(&mut states, "value")
}
