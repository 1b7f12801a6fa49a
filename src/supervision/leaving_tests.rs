//! The statements of the conformance list about a region whose job ends with a savepoint.

use super::Event;
use super::region_tests::*;
use crate::config::Restart;
use crate::time::secs;

fn leave() -> Event {
    Event::Leave { savepoint: "sp-7".into() }
}

const AFTER: &str = "failed by the job was stopped with the savepoint 'sp-7', which is complete, and then failed";

#[test]
fn a34_a_region_that_leaves_ends_once_its_tasks_are_gone() {
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(0)));
    assert_eq!(bench.send(leave(), 1), ["finish 3.0: 0.0 1.0 2.0"]);
    assert_eq!(bench.gone(&[A, B], 0, 2), [""; 0]);
    assert_eq!(bench.gone(&[C], 0, 2), ["ended"]);
}

#[test]
fn a35_a_region_that_fails_after_the_savepoint_is_not_restarted_and_says_where_it_lies() {
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(0)));
    bench.send(leave(), 1);
    assert_eq!(bench.fail(B, 0, "no", 1), ["down", "cancel 3.0: 2.0 1.0 0.0"]);
    let over = bench.gone(&[A, B, C], 0, 2);
    assert!(over.len() == 1 && over[0].starts_with(AFTER) && over[0].contains("no"), "{over:?}");
    assert_eq!(bench.point(4, 3), [""; 0]);
}

#[test]
fn a35_a_region_that_had_failed_when_the_savepoint_became_complete_is_not_restarted() {
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(0)));
    bench.fail(A, 0, "first", 1);
    bench.gone(&[A, B, C], 0, 1);
    let over = bench.send(leave(), 1);
    assert!(over.len() == 1 && over[0].starts_with(AFTER) && over[0].contains("first"), "{over:?}");
}

#[test]
fn a35_what_has_drained_starts_anew_whatever_the_strategy() {
    let mut bench = Bench::running(Restart::never());
    let cause = error("full");
    assert_eq!(bench.send(Event::StartAnew { cause }, 1), ["down", "cancel 3.0: 2.0 1.0 0.0", "restart 0 after full"]);
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.point(4, 1), ["start 3.1 from 4"]);
    bench.open(1);
    bench.fail(A, 1, "no", 2);
    assert_eq!(bench.gone(&[A, B, C], 1, 2), ["failed by no"], "and a failure is one as before");
}
