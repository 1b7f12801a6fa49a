//! Tests of looking ahead: what it comes upon is found without being looked for again, as long as it is there.

use proptest::prelude::*;

use super::segment::SEGMENT_ENTRIES;
use super::tests::{Table, fill, hash, table};
use super::*;

#[test]
fn looking_ahead_comes_upon_nearly_all_keys_that_are_there_and_no_others() {
    let mut table = table(2);
    let n = 3 * SEGMENT_ENTRIES as u64;
    fill(&mut table, n, |key| key);
    assert!(table.is_large());
    let mut looked_for = |first: u64| look_ahead(&mut table, &(first..).take(LOOK_AHEAD).collect::<Vec<u64>>());
    let found = looked_for(100);
    assert!(found > LOOK_AHEAD * 3 / 4, "{found} of {LOOK_AHEAD}");
    assert_eq!(looked_for(n), 0);
    assert_eq!(table.look_ahead(&[None; LOOK_AHEAD]), 0);
}

/// Looks ahead for these keys.
fn look_ahead(table: &mut Table, keys: &[u64]) -> usize {
    let mut ahead = [None; LOOK_AHEAD];
    ahead.iter_mut().zip(keys).for_each(|(place, key)| *place = Some((hash(key), key)));
    table.look_ahead(&ahead)
}

/// What is found ahead of the n-th key, which is this one.
fn ahead(table: &mut Table, n: usize, key: u64) -> Option<u64> {
    table.found_ahead(n, &key).map(|found| *table.ahead_mut(found))
}

#[test]
fn what_was_come_upon_is_found_ahead_only_for_its_own_key_and_while_it_is_there() {
    let mut table = table(2);
    fill(&mut table, 3 * SEGMENT_ENTRIES as u64, |key| key * 10);
    let keys: Vec<u64> = (100..).take(LOOK_AHEAD).collect();
    look_ahead(&mut table, &keys);
    let n = keys.iter().position(|key| table.found_ahead((key - 100) as usize, key).is_some()).unwrap();
    let key = keys[n];
    assert_eq!(ahead(&mut table, n, key), Some(key * 10));
    assert_eq!(ahead(&mut table, n, key + 1), None, "another key's callback");
    assert_eq!(ahead(&mut table, LOOK_AHEAD, key), None, "beyond what was looked for");

    let view = table.view();
    assert_eq!(ahead(&mut table, n, key), None, "a view shares it, and it may not be changed");
    *table.get_mut(hash(&key), &key).unwrap() += 1;
    assert!(view.iter().any(|(_, found, value)| (*found, *value) == (key, key * 10)));
    table.remove(hash(&key), &key);
    assert_eq!(ahead(&mut table, n, key), None, "it was removed");
}

proptest! {
    /// Whatever is done to a table after it was looked ahead in: what is found ahead is what is there.
    #[test]
    fn what_is_found_ahead_is_what_is_there(
        first in 0..20_000u64,
        changes in proptest::collection::vec((0..3u8, 0..20_000u64), 0..400),
        grown in 0..20_000u64,
    ) {
        let mut table = table(2);
        fill(&mut table, 10_000, |key| key);
        let keys: Vec<u64> = (first..).take(LOOK_AHEAD).collect();
        look_ahead(&mut table, &keys);
        for (change, at) in changes {
            let key = if at % 2 == 0 { first + at % LOOK_AHEAD as u64 } else { at };
            match change {
                0 => drop(table.insert(hash(&key), &key, at)),
                1 => drop(table.remove(hash(&key), &key)),
                _ => drop(table.view()),
            }
        }
        for key in 50_000..50_000 + grown {
            table.insert(hash(&key), &key, key);
        }
        for (n, key) in keys.iter().enumerate() {
            if let Some(found) = ahead(&mut table, n, *key) {
                prop_assert_eq!(table.get(hash(key), key), Some(&found));
            }
        }
    }
}
