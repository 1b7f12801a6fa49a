//! The statements of the conformance list about savepoints, and about jobs that end with one.

use super::coordinator_tests::*;
use super::{Action, Event, Purpose, Reason, Refusal, Start, Written};
use crate::config::Checkpoints;
use crate::time::{millis, secs};

fn begins(n: u64, token: u64, purpose: Purpose) -> Action<String> {
    Action::Savepoint { id: id(n), token, purpose }
}

fn answered(token: u64, n: u64) -> Action<String> {
    Action::Answer { token, answer: Ok(id(n)) }
}

fn refused(token: u64, reason: Reason) -> Action<String> {
    Action::Answer { token, answer: Err(reason) }
}

fn savepoint(bench: &mut Bench, token: u64) -> Actions {
    bench.send(Event::Savepoint { token })
}

fn stop(bench: &mut Bench, token: u64, drain: bool) -> Actions {
    bench.send(Event::Stop { token, drain })
}

const STOP: Purpose = Purpose::Stop { drain: false };
const DRAIN: Purpose = Purpose::Stop { drain: true };

#[test]
fn a12_a_savepoint_is_not_subsumed() {
    let mut bench = Bench::running(Checkpoints::manual().max_concurrent(3));
    assert_eq!(savepoint(&mut bench, 1), [begins(1, 1, Purpose::Savepoint), trigger(1)]);
    assert_eq!(bench.request(2), [trigger(2)]);
    assert_eq!(bench.request(3), [trigger(3)]);
    let done = bench.complete(3);
    assert!(done.contains(&aborted(2, 3)) && !done.contains(&aborted(1, 3)), "{done:?}");
    assert_eq!(bench.complete(1), [answered(1, 1)], "and may be completed later");
}

#[test]
fn a27_a_savepoint_is_answered_and_leaves_no_trace() {
    let mut bench = Bench::running(Checkpoints::manual().max_concurrent(3).retain(1));
    bench.request(1);
    assert_eq!(bench.complete(1), [completed(1), answered(1, 1)]);
    assert_eq!(bench.request(2), [trigger(2)]);
    savepoint(&mut bench, 3);
    assert_eq!(bench.complete(3), [answered(3, 3)], "it is not announced, subsumes none, and none is deleted");
    assert_eq!(bench.coordinator.latest(), Some(id(1)));
    let down = bench.down();
    assert!(down.contains(&Action::RestoreFrom { region: REGION, point: Some(id(1)) }), "{down:?}");
    bench.up(TWO);
    bench.request(4);
    for task in [A, B, C] {
        bench.ack_as(TWO, task, 4);
    }
    let next = bench.publish(4);
    assert!(next.contains(&Action::DeleteCheckpoint(id(1))) && !next.contains(&Action::DeleteCheckpoint(id(3))), "{next:?}");
}

#[test]
fn a9_a_part_of_a_complete_savepoint_that_comes_again_is_not_discarded() {
    let mut bench = Bench::running(Checkpoints::manual());
    savepoint(&mut bench, 1);
    bench.complete(1);
    let again = bench.ack(A, 1);
    assert!(!again.iter().any(|action| matches!(action, Action::Discard(_))), "{again:?}");
}

#[test]
fn a16_a_savepoint_neither_heeds_nor_begins_a_pause() {
    let mut bench = Bench::running(Checkpoints::every(millis(10)).min_pause(millis(50)));
    assert_eq!(bench.at(50), [trigger(1)]);
    bench.complete(1);
    bench.at(70);
    assert_eq!(savepoint(&mut bench, 1), [begins(2, 1, Purpose::Savepoint), trigger(2)]);
    bench.at(80);
    bench.complete(2);
    assert_eq!(bench.at(99), []);
    assert_eq!(bench.at(100), [trigger(3)], "50 ms after the last checkpoint");
}

#[test]
fn a18_savepoints_go_before_checkpoints_that_were_asked_for_before_periodic_ones() {
    let mut bench = Bench::running(Checkpoints::every(millis(10)));
    assert_eq!(bench.at(10), [trigger(1)]);
    bench.at(20);
    assert_eq!(bench.request(1), []);
    assert_eq!(savepoint(&mut bench, 2), []);
    assert_eq!(savepoint(&mut bench, 3), []);
    let first = bench.complete(1);
    assert_eq!(first, [completed(1), begins(2, 2, Purpose::Savepoint), trigger(2)]);
    assert_eq!(bench.complete(2), [answered(2, 2), begins(3, 3, Purpose::Savepoint), trigger(3)]);
    assert_eq!(bench.complete(3), [answered(3, 3), trigger(4)]);
    assert_eq!(bench.complete(4), [completed(4), Action::DeleteCheckpoint(id(1)), answered(1, 4), trigger(5)]);
}

#[test]
fn a24_a_savepoint_that_fails_fails_nothing_but_itself() {
    let mut bench = Bench::running(Checkpoints::manual().tolerable_failures(0));
    savepoint(&mut bench, 1);
    bench.ack_all(1);
    let failed = bench.manifest(1, Written::Failed("full".into()));
    let reason = Reason::ManifestFailed("full".into());
    assert_eq!(failed, [refused(1, reason), aborted(1, 0), Action::DeleteCheckpoint(id(1))]);
    savepoint(&mut bench, 2);
    let declined = bench.decline(B, 2, Refusal::Snapshot("full".into()));
    assert!(!declined.iter().any(|action| matches!(action, Action::FailJob(_) | Action::GoOn)), "{declined:?}");
    savepoint(&mut bench, 3);
    bench.ack_all(3);
    let unknown = bench.manifest(3, Written::Unknown("timeout".into()));
    assert_eq!(unknown, [refused(3, Reason::ManifestUnknown("timeout".into())), aborted(3, 0)], "nothing is deleted");
    let down = bench.down();
    assert!(down.contains(&Action::RestoreFrom { region: REGION, point: None }), "nor looked for: {down:?}");
}

#[test]
fn a19_nothing_is_begun_while_more_deletions_are_outstanding_than_may_be_concurrent() {
    let start = Start { regions: vec![REGION], retained: vec![id(1), id(2)], restore: Some(id(2)), reserved: 2, borrowed: false };
    let mut bench = Bench::starting(Checkpoints::every(millis(10)).retain(1), start);
    bench.up(ONE);
    bench.deletes = false;
    bench.at(10);
    let done = bench.complete(3);
    assert_eq!(done, [completed(3), Action::DeleteCheckpoint(id(1)), Action::DeleteCheckpoint(id(2))]);
    assert_eq!(bench.at(40), [], "two are outstanding");
    assert_eq!(bench.send(Event::Deleted), [trigger(4)]);
}

#[test]
fn a34_a_job_that_leaves_gives_its_own_up_saves_and_goes() {
    let mut bench = Bench::running(Checkpoints::every(millis(10)).max_concurrent(2));
    assert_eq!(bench.at(10), [trigger(1)]);
    let leaves = stop(&mut bench, 7, false);
    assert_eq!(leaves, [aborted(1, 0), begins(2, 7, STOP), Action::StandStill { id: id(2) }, trigger(2)]);
    assert_eq!(bench.at(100), [], "nothing periodic is begun any more");
    assert_eq!(bench.request(8), [refused(8, Reason::Leaving)]);
    assert_eq!(stop(&mut bench, 9, true), [refused(9, Reason::Leaving)]);
    assert_eq!(bench.complete(2), [answered(7, 2), Action::Leave { id: id(2) }]);
    assert_eq!(bench.at(1_000), []);
}

#[test]
fn a34_draining_comes_before_the_savepoint() {
    let mut bench = Bench::running(Checkpoints::every(millis(10)));
    assert_eq!(stop(&mut bench, 7, true), [Action::Drain { sources: vec![(A, ONE)] }]);
    assert_eq!(bench.at(100), []);
    assert_eq!(bench.end_all(ONE), [begins(1, 7, DRAIN), trigger(1)], "and it is not the final checkpoint");
    assert_eq!(bench.complete(1), [answered(7, 1), Action::Leave { id: id(1) }]);
}

#[test]
fn a34_a_savepoint_that_is_under_way_is_completed_first() {
    let mut bench = Bench::running(Checkpoints::manual());
    savepoint(&mut bench, 1);
    assert_eq!(stop(&mut bench, 2, false), []);
    assert_eq!(bench.complete(1), [answered(1, 1), begins(2, 2, STOP), Action::StandStill { id: id(2) }, trigger(2)]);
}

#[test]
fn a35_where_the_savepoint_fails_the_job_carries_on() {
    let mut bench = Bench::running(Checkpoints::every(millis(10)).tolerable_failures(0));
    stop(&mut bench, 7, false);
    let declined = bench.decline(B, 1, Refusal::Snapshot("full".into()));
    let reason = Reason::Declined { task: B, refusal: Refusal::Snapshot("full".into()) };
    assert_eq!(declined, [refused(7, reason), aborted(1, 0), Action::GoOn]);
    assert_eq!(bench.at(20), [trigger(2)], "periodic checkpoints resume");
    assert_eq!(bench.complete(2), [completed(2)]);
}

#[test]
fn a35_where_the_savepoint_of_a_drained_job_fails_its_tasks_start_anew() {
    let mut bench = Bench::running(Checkpoints::every(millis(10)));
    stop(&mut bench, 7, true);
    bench.end_all(ONE);
    bench.ack_all(1);
    let failed = bench.manifest(1, Written::Failed("full".into()));
    let reason = Reason::ManifestFailed("full".into());
    let anew = Action::StartAnew(reason.clone());
    assert_eq!(failed, [refused(7, reason), aborted(1, 0), anew, Action::DeleteCheckpoint(id(1))]);
    assert_eq!(bench.at(100), [], "no final checkpoint of what has drained");
    assert_eq!(bench.down(), [Action::RestoreFrom { region: REGION, point: None }]);
    bench.up(TWO);
    assert_eq!(bench.at(200), [trigger_as(TWO, 2)]);
}

#[test]
fn a35_draining_that_takes_too_long_is_taken_back() {
    let mut bench = Bench::running(Checkpoints::manual().timeout(secs(1)));
    stop(&mut bench, 7, true);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(1_000)));
    assert_eq!(bench.at(1_000), [refused(7, Reason::Expired), Action::StartAnew(Reason::Expired)]);
}

#[test]
fn a35_a_region_that_fails_before_the_savepoint_is_complete_ends_the_leave() {
    for drain in [false, true] {
        let mut bench = Bench::running(Checkpoints::manual());
        stop(&mut bench, 7, drain);
        let down = bench.down();
        assert!(down.contains(&refused(7, Reason::RegionDown(REGION))), "{down:?}");
        assert!(down.contains(&Action::RestoreFrom { region: REGION, point: None }), "{down:?}");
    }
}

#[test]
fn a35_after_the_savepoint_no_region_gets_a_restore_point() {
    let mut bench = Bench::running(Checkpoints::manual());
    bench.request(1);
    bench.complete(1);
    stop(&mut bench, 7, false);
    bench.ack_all(2);
    assert_eq!(bench.down(), [], "it may be published");
    assert_eq!(bench.publish(2), [answered(7, 2), Action::Leave { id: id(2) }]);
    assert_eq!(bench.at(10_000), []);
    assert_eq!(bench.send(Event::Stopping), []);
}
