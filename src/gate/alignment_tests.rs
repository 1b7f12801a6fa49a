//! The sequences of the conformance list, and a property test of alignment against a plain model.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::model::{Model, Told};
use super::{AbortReason, Alignment, Step, Steps};
use crate::config::ABORTED_REMEMBERED;
use crate::ids::CheckpointId;

/// Plays a script of `b7@0` (barrier 7 on channel 0), `c7@0` (cancel barrier), `e@0` (end), `a7` (abort notice), `t7` (trigger) and
/// returns the steps that it led to with the channels that are blocked at its end.
fn play(alignment: &mut Alignment, script: &str) -> (Vec<Step>, Vec<usize>) {
    let steps = script.split_whitespace().flat_map(|word| apply(alignment, word)).collect();
    (steps, (0..8).filter(|channel| alignment.is_blocked(*channel)).collect())
}

fn apply(alignment: &mut Alignment, word: &str) -> Steps {
    let (event, channel) = word.split_once('@').unwrap_or((word, "0"));
    let channel: usize = channel.parse().unwrap();
    let id = CheckpointId(event[1..].parse().unwrap_or(0));
    match &event[..1] {
        "b" => alignment.barrier(channel, id),
        "c" => alignment.cancel(id),
        "e" => alignment.ended(channel),
        "a" => alignment.aborted(id),
        "t" => alignment.trigger(id),
        other => panic!("unknown event '{other}'"),
    }
}

fn fresh(channels: usize, script: &str) -> (Vec<Step>, Vec<usize>) {
    play(&mut Alignment::new(channels), script)
}

fn snapshot(id: u64) -> Step {
    Step::Snapshot(CheckpointId(id))
}

fn cancelled(id: u64) -> Step {
    Step::Abort(CheckpointId(id), AbortReason::Cancelled)
}

fn newer(id: u64, than: u64) -> Step {
    Step::Abort(CheckpointId(id), AbortReason::Newer(CheckpointId(than)))
}

fn notified(id: u64) -> Step {
    Step::Abort(CheckpointId(id), AbortReason::Notified)
}

#[test]
fn b1_a_channel_is_blocked_from_its_barrier_to_the_snapshot() {
    let mut alignment = Alignment::new(3);
    assert_eq!(play(&mut alignment, "b1@1"), (vec![], vec![1]));
    assert_eq!(play(&mut alignment, "b1@2"), (vec![], vec![1, 2]));
    assert_eq!(play(&mut alignment, "b1@0"), (vec![snapshot(1)], vec![]));
}

#[test]
fn b2_the_barrier_goes_on_in_the_step_that_snapshots() {
    let steps: Vec<Step> = Alignment::new(1).barrier(0, CheckpointId(3)).into_iter().collect();
    assert_eq!(steps, [snapshot(3)]);
}

#[test]
fn b4_a_newer_barrier_pushes_the_older_alignment_aside() {
    let mut alignment = Alignment::new(3);
    assert_eq!(play(&mut alignment, "b2@1 b2@0"), (vec![], vec![0, 1]));
    assert_eq!(play(&mut alignment, "b3@2"), (vec![newer(2, 3)], vec![2]));
    assert_eq!(play(&mut alignment, "b3@0 b3@1"), (vec![snapshot(3)], vec![]));
}

#[test]
fn b4_the_newer_checkpoint_may_be_aligned_at_once() {
    assert_eq!(fresh(2, "b2@0 e@0 b3@1"), (vec![newer(2, 3), snapshot(3)], vec![]));
}

#[test]
fn b5_a_stale_barrier_leaves_its_channel_flowing() {
    assert_eq!(fresh(3, "b1@0 c1@0 b2@1 b1@2"), (vec![cancelled(1)], vec![1]));
    assert_eq!(fresh(2, "b1@0 b1@1 b1@0"), (vec![snapshot(1)], vec![]));
}

#[test]
fn b6_a_cancel_barrier_gives_up_and_unblocks_once() {
    assert_eq!(fresh(3, "b2@0 b2@2 c2@1"), (vec![cancelled(2)], vec![]));
    assert_eq!(fresh(3, "c4@1 b4@2 b4@0"), (vec![cancelled(4)], vec![]));
    assert_eq!(fresh(3, "c6@1 c6@2 b6@0"), (vec![cancelled(6)], vec![]));
    assert_eq!(fresh(1, "b1@0 c2@0 b3@0"), (vec![snapshot(1), cancelled(2), snapshot(3)], vec![]));
}

#[test]
fn b7_a_late_cancel_barrier_does_not_hurt_the_current_checkpoint() {
    assert_eq!(fresh(3, "b3@1 b3@0 b5@2 c3@0 b5@0 b5@1"), (vec![newer(3, 5), snapshot(5)], vec![]));
}

#[test]
fn b8_missing_cancel_barriers_leave_nothing_blocked() {
    assert_eq!(fresh(2, "b1@0 c3@1 c2@0 c3@0"), (vec![newer(1, 3), cancelled(3)], vec![]));
}

#[test]
fn b9_a_checkpoint_given_up_before_its_barrier_is_cancelled_downstream() {
    let mut alignment = Alignment::new(2);
    assert_eq!(play(&mut alignment, "a42"), (vec![], vec![]));
    assert_eq!(play(&mut alignment, "b42@0 b42@1"), (vec![notified(42)], vec![]));
    assert!(!AbortReason::Notified.declines());
    assert_eq!(fresh(0, "t4 a5 t5 t6"), (vec![snapshot(4), notified(5), snapshot(6)], vec![]));
}

#[test]
fn b9_a_checkpoint_given_up_while_aligning_is_cancelled_at_once() {
    assert_eq!(fresh(2, "b1@0 a1 b1@1"), (vec![notified(1)], vec![]));
    assert_eq!(fresh(2, "b1@0 a2 b1@1 b2@0"), (vec![snapshot(1), notified(2)], vec![]));
    assert_eq!(fresh(2, "b1@0 a3 b3@1"), (vec![newer(1, 3), notified(3)], vec![]));
}

#[test]
fn b9_the_memory_of_given_up_checkpoints_is_bounded() {
    let mut alignment = Alignment::new(1);
    for id in 1..=300 {
        assert_eq!(alignment.aborted(CheckpointId(id)), Steps::NONE);
    }
    assert_eq!(alignment.aborted.len(), ABORTED_REMEMBERED);
    assert_eq!(alignment.aborted.capacity(), ABORTED_REMEMBERED);
    assert_eq!(play(&mut alignment, "b20@0 b300@0 b301@0").0, [snapshot(20), notified(300), snapshot(301)]);
    assert_eq!(alignment.aborted.len(), 0);
}

#[test]
fn b10_older_and_repeated_triggers_are_ignored() {
    assert_eq!(fresh(0, "t5 t4 t5"), (vec![snapshot(5)], vec![]));
    assert_eq!(fresh(1, "b5@0 b4@0 b5@0 c5@0 c4@0"), (vec![snapshot(5)], vec![]));
}

#[test]
fn b11_the_end_of_a_channel_counts_as_its_barrier() {
    assert_eq!(fresh(3, "b1@0 b1@1 e@2"), (vec![snapshot(1)], vec![]));
}

#[test]
fn b12_a_barrier_and_the_end_of_a_channel_count_once() {
    let mut alignment = Alignment::new(3);
    assert_eq!(play(&mut alignment, "b2@0 b2@1 e@1"), (vec![], vec![0, 1]));
    assert_eq!(play(&mut alignment, "b2@2"), (vec![snapshot(2)], vec![]));
}

#[test]
fn b13_channels_that_ended_before_are_not_waited_for() {
    assert_eq!(fresh(3, "e@2 b6@0 b6@1"), (vec![snapshot(6)], vec![]));
    assert_eq!(fresh(3, "e@2 b6@0 b6@1 e@1 b7@0").0, [snapshot(6), snapshot(7)]);
}

#[test]
fn b13_barriers_that_come_through_ended_channels_are_harmless() {
    assert_eq!(fresh(2, "e@0 b1@1 b1@0 b2@0 b2@1"), (vec![snapshot(1), snapshot(2)], vec![]));
    assert_eq!(fresh(2, "e@0 b1@0 b1@1 b2@1"), (vec![snapshot(1), snapshot(2)], vec![]), "and none is waited for");
    // Blocked like any other, so that barrier 2 behind it does not give checkpoint 1 up.
    assert_eq!(fresh(2, "e@0 b1@0"), (vec![], vec![0]));
}

#[test]
fn b14_a_single_remaining_channel_does_not_snapshot_twice() {
    assert_eq!(fresh(2, "b1@0 e@0 b1@1"), (vec![snapshot(1)], vec![]));
    assert_eq!(fresh(2, "b1@0 e@0 c1@1 b1@1"), (vec![cancelled(1)], vec![]));
}

#[test]
fn b15_once_all_channels_have_ended_the_first_barrier_suffices() {
    assert_eq!(fresh(2, "e@0 e@1 b4@1 b4@0 b5@0"), (vec![snapshot(4), snapshot(5)], vec![]));
    assert_eq!(fresh(2, "e@0 t4"), (vec![], vec![]));
    assert_eq!(fresh(2, "e@0 t4 b4@1"), (vec![snapshot(4)], vec![]));
    assert_eq!(fresh(2, "e@0 e@1 t4"), (vec![snapshot(4)], vec![]));
}

#[test]
fn b18_all_channels_of_all_inputs_align_together() {
    // Input 0 has channels 0 and 1, input 1 has 2 and 3.
    let mut alignment = Alignment::new(4);
    assert_eq!(play(&mut alignment, "b1@0 b1@1"), (vec![], vec![0, 1]));
    assert_eq!(play(&mut alignment, "b1@3 b1@2"), (vec![snapshot(1)], vec![]));
}

#[test]
fn b19_a_channel_whose_barrier_is_awaited_is_never_blocked() {
    let mut alignment = Alignment::new(2);
    assert_eq!(play(&mut alignment, "b1@0"), (vec![], vec![0]));
    assert!(!alignment.is_blocked(1));
    assert_eq!(alignment.aligning(), Some(CheckpointId(1)));
}

/// One channel's marks: ids with whether each is a cancel barrier, and the place of the end among them.
#[derive(Clone, Debug)]
struct Script {
    marks: Vec<(u64, bool)>,
    end: usize,
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let script = (prop::collection::btree_map(1u64..12, prop::bool::weighted(0.1), 0..8), 0usize..9)
        .prop_map(|(marks, end)| Script { end: end.min(marks.len()), marks: marks.into_iter().collect() });
    prop::collection::vec(script, 1..5)
}

proptest! {
    #[test]
    fn alignment_agrees_with_the_model_and_always_makes_progress(
        scripts in scripts(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 64),
        notices in prop::collection::vec(prop::option::weighted(0.1, 1u64..12), 64),
    ) {
        let channels = scripts.len();
        let (mut alignment, mut model) = (Alignment::new(channels), Model::new(channels));
        let mut at = vec![0; channels];
        let mut last = 0;
        for (pick, notice) in picks.iter().zip(&notices) {
            let mut told: Vec<Told> = notice.map(Told::Aborted).into_iter().collect();
            let left: Vec<usize> = (0..channels).filter(|c| at[*c] <= scripts[*c].marks.len()).collect();
            let open: Vec<usize> = left.iter().copied().filter(|c| !alignment.is_blocked(*c)).collect();
            // Something may always be read until everything was.
            prop_assert_eq!(left.is_empty(), open.is_empty());
            if !open.is_empty() {
                let channel = *pick.get(&open);
                let place = at[channel];
                at[channel] += 1;
                let script = &scripts[channel];
                told.push(if place == script.end {
                    Told::Ended(channel)
                } else {
                    let (id, cancel) = script.marks[if place < script.end { place } else { place - 1 }];
                    if cancel { Told::Cancel(id) } else { Told::Barrier(channel, id) }
                });
            }
            let got: Vec<Step> = told.iter().flat_map(|told| told.tell(&mut alignment)).collect();
            let expected: Vec<Step> = told.iter().flat_map(|told| model.told(*told)).collect();
            prop_assert_eq!(&got, &expected);
            for step in got {
                let (Step::Snapshot(id) | Step::Abort(id, _)) = step;
                prop_assert!(id.0 > last, "{} after {}", id, last);
                last = id.0;
            }
            let blocked: BTreeSet<usize> = (0..channels).filter(|c| alignment.is_blocked(*c)).collect();
            prop_assert_eq!(&blocked, &model.blocked());
            prop_assert!(blocked.len() < channels);
        }
        prop_assert!((0..channels).all(|c| !alignment.is_blocked(c)));
    }
}
