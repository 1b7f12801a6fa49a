//! What a region says to a coordinator that knows nothing of it.

use super::Event;
use super::region_tests::*;
use crate::config::Restart;
use crate::time::secs;

#[test]
fn a_region_that_runs_says_so_again() {
    let mut bench = Bench::starting(Restart::fixed_delay(3, secs(0)));
    assert_eq!(bench.send(Event::Introduce, 0), [""; 0], "it will say so when it runs");
    assert_eq!(bench.open(0), ["running 3.0"]);
    assert_eq!(bench.send(Event::Introduce, 0), ["running 3.0 still"]);
    bench.send(Event::Finish, 0);
    assert_eq!(bench.send(Event::Introduce, 0), ["running 3.0 still"]);
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.send(Event::Introduce, 1), ["running 3.0 still"], "one that has ended well is no hindrance to a checkpoint");
}

#[test]
fn a_region_that_waits_asks_again_and_forgets_the_point_of_before() {
    let mut bench = Bench::running(Restart::fixed_delay(3, secs(10)));
    bench.fail(A, 0, "boom", 1);
    assert_eq!(bench.point(4, 2), [""; 0]);
    assert_eq!(bench.send(Event::Introduce, 3), ["down"]);
    bench.gone(&[A, B, C], 0, 4);
    assert_eq!(bench.send(Event::Tick, 20_000), [""; 0], "the old point does not count");
    assert_eq!(bench.point(5, 20_001), ["start 3.1 from 5"]);
}

#[test]
fn a_region_that_ends_badly_has_nothing_to_say() {
    let mut bench = Bench::running(Restart::never());
    bench.fail(A, 0, "boom", 1);
    assert_eq!(bench.send(Event::Introduce, 1), [""; 0]);
    bench.gone(&[A, B, C], 0, 1);
    assert_eq!(bench.send(Event::Introduce, 1), [""; 0]);
}
