//! Tests of views that stay in memory, and of what is made of them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::segment::SEGMENT_ENTRIES;
use super::tests::*;
use super::*;
use crate::key::KeyGroups;

/// A state as it is kept in memory.
fn kept(name: &str, view: Arc<dyn StateView>) -> RestoredStates {
    RestoredStates { states: BTreeMap::from([(name.to_string(), (descriptor(name), Kept::View(view)))]) }
}

#[test]
fn a_table_made_of_its_view_shares_every_entry_and_copies_what_it_writes() {
    let mut first = table(4);
    fill(&mut first, 5 * SEGMENT_ENTRIES as u64, |key| key);
    let view: Arc<dyn StateView> = Arc::new(first.view().described(descriptor("count")));
    drop(first);
    let at = |table: &Table, key: u64| table.get(hash(&key), &key).map(|value| value as *const u64);
    let read =
        |owned| restore::table::<u64, u64>("count", Kept::View(view.clone()), KeyGroups::new(4), owned, &hasher()).unwrap();
    let (mut one, other) = (read(0..4), read(0..4));
    assert_eq!(at(&one, 7), at(&other, 7), "the same memory");
    *one.get_mut(hash(&7), &7).unwrap() = 70;
    one.insert(hash(&u64::MAX), &u64::MAX, 1);
    assert!((1..=2).contains(&one.copies()), "of the segments that were written to, and no other");
    assert_eq!((one.get(hash(&7), &7), other.get(hash(&7), &7)), (Some(&70), Some(&7)));
    assert_eq!(other.copies(), 0);
    drop(one);
    let mut last = read(0..4);
    drop((view.clone(), other));
    assert_eq!(last.get_mut(hash(&7), &7), Some(&mut 7));
    assert!(view.held_bytes() > 5 * 16 * SEGMENT_ENTRIES as u64);
}

#[test]
fn a_view_of_other_key_groups_or_types_goes_through_blocks() {
    let mut first = table(4);
    fill(&mut first, 100, |key| key);
    let view: Arc<dyn StateView> = Arc::new(first.view().described(descriptor("count")));
    let all = restore::table::<u64, u64>("count", Kept::View(view.clone()), KeyGroups::new(4), 0..3, &hasher());
    assert!(all.unwrap_err().to_string().contains("owns the key groups 0..3"), "as with blocks");
    let other = restore::table::<u64, i64>("count", Kept::View(view), KeyGroups::new(4), 0..4, &hasher()).unwrap();
    assert_eq!(other.get(hash(&7), &7), Some(&7i64));
}

#[test]
fn c8_untouched_state_survives_in_memory() {
    let mut first = states(RestoredStates::default());
    let count = first.value::<u64>("count").unwrap();
    (0..50).for_each(|key| set(&mut first, count, key, key));
    let before = view_of(&mut first, "count");

    let mut carrying = states(kept("count", before.clone()));
    let carried = view_of(&mut carrying, "count");
    assert!(Arc::ptr_eq(&carried, &before), "as it was, however often");
    let mut registered = states(kept("count", carried));
    let count = registered.value::<u64>("count").unwrap();
    assert_eq!(of(&mut registered, &7).get(count), Some(&7));

    // Read from a file, not registered, kept in memory, and registered then.
    let mut from_file = states(stored("count", blocks(&*before)));
    let mut registered = states(kept("count", view_of(&mut from_file, "count")));
    let count = registered.value::<u64>("count").unwrap();
    assert_eq!(of(&mut registered, &7).get(count), Some(&7));
}

#[test]
fn a_list_that_is_kept_is_not_decoded() {
    let items: Vec<(String, u64)> = (0..10).map(|n| (format!("split-{n}"), n)).collect();
    let view = Arc::new(ListView::new("splits", items.clone()));
    let at = view.items().as_ptr();
    let stored = (view.descriptor().clone(), Kept::View(view));
    let read = read_list::<(String, u64)>("splits", Some(stored.clone())).unwrap();
    assert_eq!(read, items);
    assert_ne!(read.as_ptr(), at, "a clone, while the view is kept");
    let last = read_list::<(String, u64)>("splits", Some(stored)).unwrap();
    assert_eq!(last.as_ptr(), at, "the last one gets the original");
}

#[test]
fn state_of_another_kind_is_refused() {
    let mut restored = stored("count", Vec::new());
    restored.states.get_mut("count").unwrap().0.kind = StateKind::List;
    let error = states(restored).value::<u64>("count").unwrap_err();
    assert!(error.to_string().contains("'count' was stored as List"), "{error}");
}
