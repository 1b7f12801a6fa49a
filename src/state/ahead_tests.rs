//! Tests of looking ahead: it changes nothing, so all there is to see is what it comes upon.

use super::segment::SEGMENT_ENTRIES;
use super::tests::{fill, hash, table};
use super::*;

#[test]
fn looking_ahead_comes_upon_nearly_all_keys_that_are_there_and_no_others() {
    let mut table = table(2);
    let n = 3 * SEGMENT_ENTRIES as u64;
    fill(&mut table, n, |key| key);
    assert!(table.is_large());
    let looked_for = |first: u64| {
        let keys: Vec<u64> = (first..).take(LOOK_AHEAD).collect();
        let mut ahead = [None; LOOK_AHEAD];
        ahead.iter_mut().zip(&keys).for_each(|(place, key)| *place = Some((hash(key), key)));
        table.look_ahead(&ahead)
    };
    let found = looked_for(100);
    assert!(found > LOOK_AHEAD * 3 / 4, "{found} of {LOOK_AHEAD}");
    assert_eq!(looked_for(n), 0);
    assert_eq!(table.look_ahead(&[None; LOOK_AHEAD]), 0);
}
