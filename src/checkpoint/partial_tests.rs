//! Checkpoints of two regions, of which one fails.

use std::collections::{BTreeMap, BTreeSet};

use super::coordinator_tests::{A, B, Bench, ONE, TWO, id};
use super::{Action, Carried, Event, Member, Reason, Start};
use crate::checkpoint::words::AckAnswer;
use crate::config::Checkpoints;
use crate::ids::{Attempt, RegionId, TaskId};
use crate::time::millis;

const LEFT: RegionId = RegionId(0);
const RIGHT: RegionId = RegionId(1);

type Actions = Vec<Action<String>>;

/// A region of one source each.
fn up(bench: &mut Bench, region: RegionId, attempt: Attempt) -> Actions {
    let member = Member { task: if region == LEFT { A } else { B }, source: true };
    bench.send(Event::RegionUp { region, attempt, members: vec![member] })
}

fn down(bench: &mut Bench, region: RegionId) -> Actions {
    bench.send(Event::RegionDown { region })
}

/// Both run, with a checkpoint every 10 ms, and the first is triggered.
fn triggered() -> Bench {
    let start = Start { regions: vec![LEFT, RIGHT], ..Start::default() };
    let mut bench = Bench::starting(Checkpoints::every(millis(10)).retain(1), start);
    up(&mut bench, LEFT, ONE);
    up(&mut bench, RIGHT, ONE);
    assert_eq!(bench.at(10), [trigger(1, &[(A, ONE), (B, ONE)])]);
    bench
}

/// The same once the first is complete, and the second is triggered.
fn second() -> Bench {
    let mut bench = triggered();
    bench.ack(A, 1);
    bench.ack(B, 1);
    assert_eq!(bench.publish(1), [complete(1, &[LEFT, RIGHT])]);
    assert_eq!(bench.at(20), [trigger(2, &[(A, ONE), (B, ONE)])]);
    bench
}

fn trigger(n: u64, sources: &[(TaskId, Attempt)]) -> Action<String> {
    Action::Trigger { id: id(n), sources: sources.to_vec() }
}

fn complete(n: u64, regions: &[RegionId]) -> Action<String> {
    Action::NotifyComplete { id: id(n), regions: regions.iter().copied().collect() }
}

fn write(n: u64, tasks: &[TaskId], base: Option<u64>) -> Action<String> {
    let parts = tasks.iter().map(|task| (*task, format!("{task}@{n}"))).collect();
    Action::WriteManifest { id: id(n), parts, carried: Carried { regions: BTreeSet::from([LEFT]), base: base.map(id) } }
}

fn restore(n: Option<u64>) -> Action<String> {
    Action::RestoreFrom { region: LEFT, point: n.map(id) }
}

#[test]
fn e8_the_part_of_a_failed_region_is_replaced_by_what_it_restores_from() {
    let mut bench = second();
    bench.ack(A, 2);
    let failed = down(&mut bench, LEFT);
    assert_eq!(failed, [Action::Discard(format!("{A}@2")), restore(Some(1))]);
    let late = bench.ack(A, 2);
    assert!(matches!(&late[0], Action::Acked { answer, .. } if *answer != AckAnswer::Accepted), "{late:?}");
    assert!(bench.ack(B, 2).contains(&write(2, &[B], Some(1))));
    assert!(bench.publish(2).contains(&complete(2, &[RIGHT])), "the left one has no part in it");
}

#[test]
fn e10_checkpoints_go_on_without_a_region_until_it_runs_again() {
    let mut bench = second();
    down(&mut bench, LEFT);
    bench.ack(B, 2);
    let published = bench.publish(2);
    assert!(!published.contains(&Action::DeleteCheckpoint(id(1))), "it is being restored from: {published:?}");
    assert_eq!(bench.at(30), [trigger(3, &[(B, ONE)])]);
    up(&mut bench, LEFT, TWO);
    assert!(bench.ack(B, 3).contains(&write(3, &[B], Some(2))), "what was begun without it goes on without it");
    let published = bench.publish(3);
    assert!(published.contains(&complete(3, &[RIGHT])) && published.contains(&Action::DeleteCheckpoint(id(1))), "{published:?}");
    assert_eq!(bench.at(40), [trigger(4, &[(A, TWO), (B, ONE)])]);
}

#[test]
fn a14_a_region_hears_of_what_it_took_part_in_and_of_nothing_older() {
    let mut bench = second();
    down(&mut bench, LEFT);
    bench.ack(B, 2);
    bench.publish(2);
    up(&mut bench, LEFT, TWO);
    assert_eq!(bench.at(30), [trigger(3, &[(A, TWO), (B, ONE)])]);
    let given_up = bench.at(30 + 10 * 60 * 1000);
    let latest = BTreeMap::from([(LEFT, Some(id(1))), (RIGHT, Some(id(2)))]);
    assert!(given_up.contains(&Action::NotifyAborted { id: id(3), regions: latest }), "{given_up:?}");
}

#[test]
fn e10_a_region_that_fails_before_any_checkpoint_begins_anew() {
    let mut bench = triggered();
    assert_eq!(down(&mut bench, LEFT), [restore(None)]);
    assert!(bench.ack(B, 1).contains(&write(1, &[B], None)));
    bench.publish(1);
    up(&mut bench, LEFT, TWO);
    assert_eq!(down(&mut bench, LEFT), [restore(None)], "the checkpoint holds nothing of it");
}

#[test]
fn e8_a_checkpoint_in_which_no_region_takes_part_dies() {
    let mut bench = second();
    down(&mut bench, LEFT);
    let failed = down(&mut bench, RIGHT);
    assert!(matches!(&failed[0], Action::NotifyAborted { id: aborted, .. } if *aborted == id(2)), "{failed:?}");
    assert_eq!(bench.at(100), [], "nothing is begun while no task runs");
}

#[test]
fn e10_checkpoints_begin_with_the_first_region_that_runs_again() {
    let mut bench = second();
    down(&mut bench, LEFT);
    down(&mut bench, RIGHT);
    assert_eq!(bench.at(100), []);
    assert_eq!(up(&mut bench, RIGHT, TWO), []);
    assert_eq!(bench.at(110), [trigger(3, &[(B, TWO)])]);
}

#[test]
fn e10_a_region_that_fails_before_another_first_runs_does_not_keep_that_one_from_checkpoints() {
    let start = Start { regions: vec![LEFT, RIGHT], ..Start::default() };
    let mut bench = Bench::starting(Checkpoints::every(millis(10)), start);
    up(&mut bench, LEFT, ONE);
    assert_eq!(down(&mut bench, LEFT), [restore(None)]);
    up(&mut bench, RIGHT, ONE);
    assert_eq!(bench.at(10), [trigger(1, &[(B, ONE)])]);
}

#[test]
fn e8_a_savepoint_is_whole_or_not_at_all() {
    let mut bench = second();
    bench.ack(A, 2);
    bench.ack(B, 2);
    bench.publish(2);
    let begun = bench.send(Event::Savepoint { token: 7 });
    assert!(begun.contains(&trigger(3, &[(A, ONE), (B, ONE)])), "{begun:?}");
    let failed = down(&mut bench, LEFT);
    assert!(failed.contains(&Action::Answer { token: 7, answer: Err(Reason::RegionDown(LEFT)) }), "{failed:?}");
    let refused = bench.send(Event::Savepoint { token: 8 });
    assert_eq!(refused, [Action::Answer { token: 8, answer: Err(Reason::NotRunning) }]);
}
