//! The statements of the conformance list about the coordinator, and its invariants as a property test.

use std::collections::{BTreeMap, BTreeSet};

use super::{AckAnswer, Action, Carried, Coordinator, Event, Member, Reason, Refusal, Start, Written};
use crate::config::{Checkpoints, FINAL_RETRY, ID_BLOCK, MANUAL_QUEUE};
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
use crate::time::{Moment, millis, secs};

pub(super) const A: TaskId = TaskId { chain: 0, index: 0 };
pub(super) const B: TaskId = TaskId { chain: 1, index: 0 };
pub(super) const C: TaskId = TaskId { chain: 2, index: 0 };
pub(super) const ONE: Attempt = Attempt { epoch: 1, n: 1 };
pub(super) const TWO: Attempt = Attempt { epoch: 1, n: 2 };
pub(super) const REGION: RegionId = RegionId(0);

pub(super) fn id(n: u64) -> CheckpointId {
    CheckpointId(n)
}

pub(super) fn ms(n: u64) -> Moment {
    Moment(millis(n))
}

pub(super) type Actions = Vec<Action<String>>;

/// A coordinator of a source A and two tasks B and C, whose store reserves ids at once, and deletes at once unless told not to.
pub(super) struct Bench {
    pub(super) coordinator: Coordinator<String>,
    now: Moment,
    pub(super) deletes: bool,
}

impl Bench {
    pub(super) fn new(options: Checkpoints) -> Self {
        Bench::starting(options, Start { regions: vec![REGION], ..Start::default() })
    }

    pub(super) fn starting(options: Checkpoints, start: Start) -> Self {
        Bench { coordinator: Coordinator::new(options, start), now: ms(0), deletes: true }
    }

    /// All tasks run from 0 on.
    pub(super) fn running(options: Checkpoints) -> Self {
        let mut bench = Bench::new(options);
        assert_eq!(bench.up(ONE), []);
        bench
    }

    pub(super) fn send(&mut self, event: Event<String>) -> Actions {
        let mut actions = self.coordinator.handle(event, self.now);
        if let Some(at) = actions.iter().position(|action| matches!(action, Action::ReserveIds { .. })) {
            let Action::ReserveIds { up_to } = actions.remove(at) else { unreachable!() };
            actions.extend(self.coordinator.handle(Event::Reserved { up_to }, self.now));
        }
        if self.deletes {
            for _ in 0..actions.iter().filter(|action| matches!(action, Action::DeleteCheckpoint(_))).count() {
                actions.extend(self.coordinator.handle(Event::Deleted, self.now));
            }
        }
        actions
    }

    pub(super) fn up(&mut self, attempt: Attempt) -> Actions {
        let members = [A, B, C].map(|task| Member { task, source: task == A }).to_vec();
        self.send(Event::RegionUp { region: REGION, attempt, members })
    }

    pub(super) fn at(&mut self, now: u64) -> Actions {
        self.now = ms(now);
        self.send(Event::Tick)
    }

    pub(super) fn down(&mut self) -> Actions {
        self.send(Event::RegionDown { region: REGION })
    }

    pub(super) fn ack_as(&mut self, attempt: Attempt, task: TaskId, n: u64) -> Actions {
        self.send(Event::Ack { task, attempt, id: id(n), part: format!("{task}@{n}") })
    }

    pub(super) fn ack(&mut self, task: TaskId, n: u64) -> Actions {
        self.ack_as(ONE, task, n)
    }

    /// All tasks deliver; returns the actions of the last ack but its answer.
    pub(super) fn ack_all(&mut self, n: u64) -> Actions {
        let last = [A, B, C].map(|task| self.ack(task, n)).into_iter().next_back().unwrap();
        last.into_iter().filter(|action| !matches!(action, Action::Acked { .. })).collect()
    }

    pub(super) fn manifest(&mut self, n: u64, written: Written) -> Actions {
        self.send(Event::Manifest { id: id(n), written })
    }

    pub(super) fn publish(&mut self, n: u64) -> Actions {
        self.manifest(n, Written::Published)
    }

    pub(super) fn complete(&mut self, n: u64) -> Actions {
        assert_eq!(self.ack_all(n), [write(n)]);
        self.publish(n)
    }

    pub(super) fn decline(&mut self, task: TaskId, n: u64, refusal: Refusal) -> Actions {
        self.send(Event::Decline { task, attempt: ONE, id: id(n), refusal })
    }

    pub(super) fn request(&mut self, token: u64) -> Actions {
        self.send(Event::Request { token })
    }

    pub(super) fn end_all(&mut self, attempt: Attempt) -> Actions {
        [A, B, C].into_iter().flat_map(|task| self.send(Event::TaskEnded { task, attempt })).collect()
    }
}

pub(super) fn trigger_as(attempt: Attempt, n: u64) -> Action<String> {
    Action::Trigger { id: id(n), sources: vec![(A, attempt)] }
}

pub(super) fn trigger(n: u64) -> Action<String> {
    trigger_as(ONE, n)
}

pub(super) fn write(n: u64) -> Action<String> {
    let parts = [A, B, C].map(|task| (task, format!("{task}@{n}"))).to_vec();
    Action::WriteManifest { id: id(n), parts, carried: Carried::default() }
}

pub(super) fn completed(n: u64) -> Action<String> {
    Action::NotifyComplete { id: id(n), regions: BTreeSet::from([REGION]) }
}

pub(super) fn aborted(n: u64, latest: u64) -> Action<String> {
    Action::NotifyAborted { id: id(n), regions: BTreeMap::from([(REGION, (latest > 0).then_some(id(latest)))]) }
}

pub(super) fn discard(task: TaskId, n: u64) -> Action<String> {
    Action::Discard(format!("{task}@{n}"))
}

fn delete(n: u64) -> Action<String> {
    Action::DeleteCheckpoint(id(n))
}

fn restore(point: u64) -> Action<String> {
    Action::RestoreFrom { region: REGION, point: (point > 0).then_some(id(point)) }
}

fn acked(task: TaskId, n: u64, answer: AckAnswer) -> Action<String> {
    Action::Acked { task, id: id(n), answer }
}

fn answered(token: u64, answer: Result<u64, Reason>) -> Action<String> {
    Action::Answer { token, answer: answer.map(id) }
}

fn every(ms: u64) -> Checkpoints {
    Checkpoints::every(millis(ms)).timeout(millis(1000))
}

fn snapshot_failed() -> Refusal {
    Refusal::Snapshot("disk full".into())
}

#[test]
fn a1_complete_is_said_only_once_the_manifest_is_durable() {
    let mut bench = Bench::running(every(10));
    assert_eq!(bench.at(10), [trigger(1)]);
    assert_eq!(bench.ack_all(1), [write(1)]);
    assert_eq!(bench.manifest(1, Written::Failed("rename".into())), [aborted(1, 0), delete(1)]);
    assert_eq!(bench.coordinator.latest(), None);
    assert_eq!(bench.at(20), [trigger(2)]);
    assert_eq!(bench.complete(2), [completed(2)]);
    assert_eq!(bench.coordinator.latest(), Some(id(2)));
}

#[test]
fn a2_older_checkpoints_go_only_after_a_newer_one_is_published() {
    let start =
        Start { regions: vec![REGION], restore: Some(id(2)), retained: vec![id(1), id(2)], reserved: 64, borrowed: false };
    let mut bench = Bench::starting(every(10).retain(2), start);
    assert_eq!(bench.up(ONE), []);
    assert_eq!(bench.at(10), [trigger(65)]);
    assert_eq!(bench.ack_all(65), [write(65)]);
    assert_eq!(bench.manifest(65, Written::Failed("full".into())), [aborted(65, 2), delete(65)]);
    assert_eq!(bench.at(20), [trigger(66)]);
    assert_eq!(bench.complete(66), [completed(66), delete(1)]);
    assert_eq!(bench.at(30), [trigger(67)]);
    assert_eq!(bench.complete(67), [completed(67), delete(2)]);
}

#[test]
fn a3_files_stay_while_it_is_unknown_whether_the_manifest_was_written() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.ack_all(1);
    assert_eq!(bench.manifest(1, Written::Unknown("timeout".into())), [aborted(1, 0)]);
    assert_eq!(bench.ack(B, 1), [acked(B, 1, AckAnswer::Duplicate)]);
    // A newer one takes its place.
    assert_eq!(bench.at(20), [trigger(2)]);
    assert_eq!(bench.complete(2), [completed(2), delete(1)]);
}

#[test]
fn a3_a_restore_waits_until_an_unknown_outcome_is_known() {
    for (published, actions) in [(true, vec![completed(2), delete(1), restore(2)]), (false, vec![delete(2), restore(1)])] {
        let mut bench = Bench::running(every(10));
        bench.at(10);
        bench.complete(1);
        bench.at(20);
        bench.ack_all(2);
        assert_eq!(bench.manifest(2, Written::Unknown("timeout".into())), [aborted(2, 1)]);
        assert_eq!(bench.down(), [Action::ResolveManifest { id: id(2) }]);
        assert_eq!(bench.send(Event::ManifestResolved { id: id(2), published }), actions);
    }
}

#[test]
fn a7_late_parts_are_discarded() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.ack(A, 1);
    assert_eq!(bench.at(1010), [aborted(1, 0), discard(A, 1), trigger(2)]);
    assert_eq!(bench.ack(B, 1), [acked(B, 1, AckAnswer::Discarded), discard(B, 1)]);
    assert_eq!(bench.ack(B, 77), [acked(B, 77, AckAnswer::Discarded), discard(B, 77)]);
}

#[test]
fn a8_acks_of_another_attempt_or_task_do_not_count() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    assert_eq!(bench.ack_as(TWO, B, 1), [acked(B, 1, AckAnswer::Unknown), discard(B, 1)]);
    let stranger = TaskId { chain: 9, index: 9 };
    assert_eq!(bench.ack(stranger, 1), [acked(stranger, 1, AckAnswer::Unknown), discard(stranger, 1)]);
    bench.ack(A, 1);
    bench.ack(C, 1);
    assert_eq!(bench.ack(B, 1), [acked(B, 1, AckAnswer::Accepted), write(1)]);
}

#[test]
fn a8_the_end_of_a_task_in_an_attempt_that_was_replaced_does_not_count() {
    let mut bench = Bench::running(Checkpoints::manual());
    bench.down();
    bench.up(TWO);
    assert_eq!(bench.end_all(ONE), []);
    assert_eq!(bench.end_all(TWO), [trigger_as(TWO, 1)]);
}

#[test]
fn a9_a_repeated_ack_neither_counts_nor_discards() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.ack(A, 1);
    assert_eq!(bench.ack(A, 1), [acked(A, 1, AckAnswer::Duplicate)]);
    bench.ack(B, 1);
    assert_eq!(bench.ack(C, 1), [acked(C, 1, AckAnswer::Accepted), write(1)]);
    assert_eq!(bench.ack(C, 1), [acked(C, 1, AckAnswer::Duplicate)]);
    assert_eq!(bench.publish(1), [completed(1)]);
    assert_eq!(bench.ack(C, 1), [acked(C, 1, AckAnswer::Duplicate)]);
}

#[test]
fn a10_one_decline_gives_the_checkpoint_up_for_all() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.ack(A, 1);
    assert_eq!(bench.decline(B, 1, snapshot_failed()), [aborted(1, 0), discard(A, 1)]);
    assert_eq!(bench.decline(C, 1, snapshot_failed()), []);
    assert_eq!(bench.ack(C, 1), [acked(C, 1, AckAnswer::Discarded), discard(C, 1)]);
    assert_eq!(bench.at(20), [trigger(2)]);
}

#[test]
fn a10_a_decline_of_another_attempt_is_ignored() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    let refusal = snapshot_failed();
    assert_eq!(bench.send(Event::Decline { task: B, attempt: TWO, id: id(1), refusal }), []);
    assert_eq!(bench.complete(1), [completed(1)]);
}

#[test]
fn a11_the_timeout_counts_from_the_beginning_and_frees_the_slot() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(1010)));
    assert_eq!(bench.at(1009), []);
    assert_eq!(bench.at(1010), [aborted(1, 0), trigger(2)]);
    bench.complete(2);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(1020)));
}

#[test]
fn a11_a_checkpoint_of_which_all_parts_are_there_does_not_expire() {
    let mut bench = Bench::running(every(10).max_concurrent(2));
    assert_eq!(bench.at(10), [trigger(1)]);
    assert_eq!(bench.at(20), [trigger(2)]);
    assert_eq!(bench.ack_all(1), [write(1)]);
    assert_eq!(bench.ack_all(2), [], "one manifest at a time");
    assert_eq!(bench.coordinator.next_deadline(), None);
    assert_eq!(bench.at(60_000), []);
    assert_eq!(bench.publish(1), [completed(1), write(2), trigger(3)]);
}

#[test]
fn a12_a_completed_checkpoint_replaces_the_older_ones() {
    let mut bench = Bench::running(every(10).max_concurrent(3));
    assert_eq!(bench.request(7), [trigger(1)]);
    assert_eq!(bench.at(10), [trigger(2)]);
    assert_eq!(bench.at(20), [trigger(3)]);
    bench.ack(A, 2);
    // Who asked for the older one gets the newer one, which holds more.
    let expected = [completed(3), answered(7, Ok(3)), aborted(1, 3), aborted(2, 3), discard(A, 2)];
    assert_eq!(bench.complete(3), expected);
}

#[test]
fn a12_manifests_are_written_one_at_a_time_and_ids_of_completion_rise() {
    let mut bench = Bench::running(every(10).max_concurrent(3));
    bench.at(10);
    bench.at(20);
    bench.at(30);
    assert_eq!(bench.ack_all(1), [write(1)]);
    assert_eq!(bench.ack_all(2), []);
    assert_eq!(bench.ack_all(3), []);
    assert_eq!(bench.publish(1)[..2], [completed(1), write(3)]);
    assert_eq!(bench.publish(3)[..2], [completed(3), aborted(2, 3)]);
}

#[test]
fn a16_the_pause_runs_from_the_last_success_and_delays_periodic_ones_only() {
    let mut bench = Bench::running(every(10).min_pause(millis(50)).timeout(millis(45)));
    assert_eq!(bench.at(49), []);
    assert_eq!(bench.at(60), [trigger(1)]);
    bench.now = ms(100);
    assert_eq!(bench.complete(1), [completed(1)]);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(150)));
    assert_eq!(bench.at(149), []);
    assert_eq!(bench.at(150), [trigger(2)]);
    // One that expires does not begin a pause.
    assert_eq!(bench.at(195), [aborted(2, 1)]);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(200)));
    assert_eq!(bench.at(200), [trigger(3)]);
    bench.now = ms(205);
    bench.complete(3);
    bench.now = ms(220);
    assert_eq!(bench.request(1), [trigger(4)]);
}

#[test]
fn a17_no_more_than_the_allowed_number_is_under_way() {
    let mut bench = Bench::running(every(10).max_concurrent(2));
    assert_eq!(bench.at(10), [trigger(1)]);
    assert_eq!(bench.at(20), [trigger(2)]);
    assert_eq!(bench.at(30), []);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(1010)));
    assert_eq!(bench.decline(A, 1, snapshot_failed()), [aborted(1, 0), trigger(3)]);
}

#[test]
fn a18_requests_go_before_periodic_ones_in_their_order() {
    let mut bench = Bench::running(every(10));
    assert_eq!(bench.at(10), [trigger(1)]);
    assert_eq!([bench.at(20), bench.request(1), bench.request(2)].concat(), []);
    assert_eq!(bench.complete(1), [completed(1), trigger(2)]);
    assert_eq!(bench.complete(2), [completed(2), delete(1), answered(1, Ok(2)), trigger(3)]);
}

#[test]
fn a18_a_full_queue_refuses_and_never_hangs() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    for token in 0..MANUAL_QUEUE as u64 {
        assert_eq!(bench.request(token), []);
    }
    assert_eq!(bench.request(99), [answered(99, Err(Reason::QueueFull))]);
}

#[test]
fn a18_a_request_waits_no_longer_than_the_timeout() {
    let mut bench = Bench::running(Checkpoints::manual().timeout(millis(1000)));
    bench.request(1);
    bench.ack_all(1);
    bench.now = ms(10);
    bench.request(2);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(1010)));
    assert_eq!(bench.at(1010), [answered(2, Err(Reason::Expired))]);
}

#[test]
fn a20_a_failed_reservation_frees_the_slot() {
    let mut bench = Bench::running(every(10));
    bench.now = ms(10);
    let ask = Action::ReserveIds { up_to: ID_BLOCK };
    assert_eq!(bench.coordinator.handle(Event::Tick, ms(10)), vec![ask.clone()]);
    assert_eq!(bench.request(4), []);
    let failed = || Event::ReservationFailed { text: "disk full".into() };
    let refused = answered(4, Err(Reason::IdsNotReserved("disk full".into())));
    assert_eq!(bench.coordinator.handle(failed(), ms(10)), [refused, ask.clone()]);
    assert_eq!(bench.coordinator.handle(failed(), ms(10)), []);
    assert_eq!(bench.at(20), [trigger(1)]);
}

#[test]
fn a21_ids_go_on_above_everything_that_was_reserved() {
    let start = Start { regions: vec![REGION], restore: Some(id(6)), retained: vec![id(6)], reserved: 9, borrowed: false };
    let mut bench = Bench::starting(every(10), start);
    bench.up(ONE);
    assert_eq!(bench.at(10), [trigger(10)]);
    bench.down();
    bench.up(TWO);
    assert_eq!(bench.at(20), [trigger_as(TWO, 11)]);
}

#[test]
fn a21_ids_are_handed_out_only_once_reserved_in_blocks() {
    let mut bench = Bench::running(every(10));
    let (mut seen, mut reserved) = (0, 0);
    for n in 1..=(2 * ID_BLOCK) {
        bench.now = ms(n * 10);
        let mut actions = bench.coordinator.handle(Event::Tick, bench.now);
        if let [Action::ReserveIds { up_to }] = actions[..] {
            assert_eq!(up_to, seen + ID_BLOCK);
            reserved += 1;
            assert_eq!(bench.coordinator.handle(Event::Tick, bench.now), []);
            actions = bench.coordinator.handle(Event::Reserved { up_to }, bench.now);
        }
        assert_eq!(actions, [trigger(n)]);
        seen = n;
        bench.complete(n);
    }
    assert_eq!(reserved, 2, "each block is reserved once");
}

#[test]
fn a22_nothing_is_begun_or_counted_while_not_all_tasks_run() {
    let start = Start { regions: vec![REGION, RegionId(1)], ..Start::default() };
    let mut bench = Bench::starting(every(10).tolerable_failures(0), start);
    assert_eq!(bench.up(ONE), []);
    assert_eq!(bench.coordinator.next_deadline(), None);
    assert_eq!(bench.at(100), []);
    assert_eq!(bench.request(1), [answered(1, Err(Reason::NotRunning))]);
    assert!(!Reason::NotRunning.counts());
}

#[test]
fn a23_only_real_failures_in_a_row_count() {
    let mut bench = Bench::running(every(10).tolerable_failures(1));
    bench.at(10);
    bench.decline(B, 1, snapshot_failed());
    bench.decline(C, 1, snapshot_failed());
    bench.at(20);
    bench.complete(2);
    bench.at(30);
    assert_eq!(bench.decline(B, 3, snapshot_failed()), [aborted(3, 2)]);
    bench.at(40);
    assert_eq!(bench.decline(B, 4, Refusal::Newer(id(5))), [aborted(4, 2)]);
    bench.at(50);
    let reason = Reason::Declined { task: C, refusal: snapshot_failed() };
    assert_eq!(bench.decline(C, 5, snapshot_failed()), [aborted(5, 2), Action::FailJob(reason)]);
    bench.at(60);
    assert_eq!(bench.decline(B, 6, snapshot_failed()), [aborted(6, 2)]);
}

#[test]
fn what_failed_is_told_once_and_with_its_reason() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    assert_eq!(bench.coordinator.take_failed(), [], "nothing has failed yet");
    bench.decline(B, 1, snapshot_failed());
    bench.at(20);
    bench.down();
    let declined = Reason::Declined { task: B, refusal: snapshot_failed() };
    assert_eq!(bench.coordinator.take_failed(), [(Some(id(1)), declined), (Some(id(2)), Reason::RegionDown(REGION))]);
    assert_eq!(bench.coordinator.take_failed(), []);
}

#[test]
fn a25_a_failed_write_of_a_snapshot_declines_only_the_checkpoint() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.complete(1);
    bench.at(20);
    assert_eq!(bench.decline(B, 2, snapshot_failed()), [aborted(2, 1)]);
    bench.at(30);
    assert_eq!(bench.complete(3), [completed(3), delete(1)]);
}

#[test]
fn a31_a_task_that_ends_before_all_tasks_run_has_ended() {
    let mut bench = Bench::new(Checkpoints::manual());
    bench.send(Event::TaskEnded { task: A, attempt: ONE });
    bench.up(ONE);
    assert_eq!(bench.send(Event::TaskEnded { task: B, attempt: ONE }), []);
    let actions = bench.send(Event::TaskEnded { task: C, attempt: ONE });
    assert!(matches!(actions.as_slice(), [Action::Trigger { .. }]), "the final one begins: {actions:?}");
}

#[test]
fn a31_ended_tasks_go_on_taking_part() {
    let mut bench = Bench::running(every(10));
    bench.send(Event::TaskEnded { task: A, attempt: ONE });
    assert_eq!(bench.at(10), [trigger(1)]);
    assert_eq!(bench.complete(1), [completed(1)]);
}

#[test]
fn a31_the_final_checkpoint_waits_for_neither_interval_nor_pause() {
    let mut bench = Bench::running(Checkpoints::every(secs(60)).min_pause(secs(60)));
    assert_eq!(bench.request(1), [trigger(1)]);
    bench.complete(1);
    assert_eq!(bench.end_all(ONE), [trigger(2)]);
    assert_eq!(bench.complete(2), [completed(2), delete(1), Action::FinalDone(id(2))]);
    assert_eq!(bench.request(2), [answered(2, Err(Reason::Ended))]);
    assert_eq!(bench.coordinator.next_deadline(), None);
}

#[test]
fn a31_the_final_checkpoint_is_tried_again_after_a_while() {
    let mut bench = Bench::running(Checkpoints::manual());
    assert_eq!(bench.end_all(ONE), [trigger(1)]);
    assert_eq!(bench.decline(B, 1, snapshot_failed()), [aborted(1, 0)]);
    assert_eq!(bench.coordinator.next_deadline(), Some(Moment(FINAL_RETRY)));
    bench.now = Moment(FINAL_RETRY);
    assert_eq!(bench.send(Event::Tick), [trigger(2)]);
    assert_eq!(bench.complete(2), [completed(2), Action::FinalDone(id(2))]);
}

#[test]
fn a31_one_begun_before_all_tasks_ended_is_not_the_final_one() {
    let mut bench = Bench::running(Checkpoints::manual());
    bench.request(1);
    assert_eq!(bench.end_all(ONE), []);
    assert_eq!(bench.complete(1), [completed(1), answered(1, Ok(1)), trigger(2)]);
    bench.complete(2);
    // Commits that fail afterwards need no further checkpoint.
    assert_eq!(bench.down(), [restore(2)]);
    bench.up(TWO);
    assert_eq!(bench.end_all(TWO), [Action::FinalDone(id(2))]);
}

#[test]
fn a31_a_later_one_that_was_under_way_with_the_final_one_takes_its_place() {
    let mut bench = Bench::running(Checkpoints::manual().max_concurrent(2));
    assert_eq!(bench.end_all(ONE), [trigger(1)]);
    assert_eq!(bench.request(1), [trigger(2)]);
    assert_eq!(bench.complete(1), [completed(1), Action::FinalDone(id(1))]);
    assert_eq!(bench.complete(2), [completed(2), delete(1), answered(1, Ok(2))]);
    assert_eq!(bench.down(), [restore(2)]);
    bench.up(TWO);
    assert_eq!(bench.end_all(TWO), [Action::FinalDone(id(2))], "what was restored is what the tasks go with");
}

#[test]
fn a36_before_the_first_checkpoint_a_restart_goes_back_to_the_beginning() {
    let mut bench = Bench::new(every(10));
    assert_eq!(bench.down(), [restore(0)]);
    let start = Start { regions: vec![REGION], restore: Some(id(4)), ..Start::default() };
    let mut bench = Bench::starting(every(10), start);
    assert_eq!(bench.down(), [restore(4)]);
    bench.up(ONE);
    assert_eq!(bench.down(), [restore(4)]);
}

#[test]
fn e8_what_is_under_way_dies_with_a_region() {
    let mut bench = Bench::running(every(10).tolerable_failures(0));
    bench.at(10);
    bench.ack(A, 1);
    bench.request(9);
    let refused = answered(9, Err(Reason::RegionDown(REGION)));
    assert_eq!(bench.down(), [aborted(1, 0), discard(A, 1), refused, restore(0)]);
    bench.up(TWO);
    assert_eq!(bench.ack_as(TWO, B, 1), [acked(B, 1, AckAnswer::Discarded), discard(B, 1)]);
}

#[test]
fn e9_a_checkpoint_whose_manifest_is_being_written_decides_what_is_restored() {
    for (written, expected) in [
        (Written::Published, vec![completed(1), restore(1)]),
        (Written::Failed("full".into()), vec![aborted(1, 0), delete(1), restore(0)]),
    ] {
        let mut bench = Bench::running(every(10));
        bench.at(10);
        bench.ack_all(1);
        assert_eq!(bench.down(), []);
        assert_eq!(bench.manifest(1, written), expected);
    }
}

#[test]
fn e9_a_failure_before_the_last_ack_wins() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.ack(A, 1);
    bench.ack(B, 1);
    assert_eq!(bench.down(), [aborted(1, 0), discard(A, 1), discard(B, 1), restore(0)]);
    assert_eq!(bench.ack(C, 1), [acked(C, 1, AckAnswer::Discarded), discard(C, 1)]);
}

#[test]
fn e19_periodic_checkpoints_begin_once_all_tasks_run() {
    let mut bench = Bench::new(every(10).tolerable_failures(0));
    assert_eq!(bench.at(3000), []);
    assert_eq!(bench.up(ONE), []);
    assert_eq!(bench.at(3009), []);
    assert_eq!(bench.at(3010), [trigger(1)]);
    bench.down();
    assert_eq!(bench.at(4000), []);
    bench.up(TWO);
    assert_eq!(bench.coordinator.next_deadline(), Some(ms(4010)));
}

#[test]
fn a_job_that_stops_begins_nothing_and_refuses_all() {
    let mut bench = Bench::running(every(10));
    bench.at(10);
    bench.request(1);
    assert_eq!(bench.send(Event::Stopping), [aborted(1, 0), answered(1, Err(Reason::Stopping))]);
    assert_eq!(bench.request(2), [answered(2, Err(Reason::Stopping))]);
    assert_eq!(bench.at(5000), []);
    assert_eq!(bench.coordinator.next_deadline(), None);
}
