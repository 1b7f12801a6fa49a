//! Tracking: when a task takes a checkpoint whose barriers hold nothing back, at-least-once.
//!
//! Always: no channel is blocked. A checkpoint is snapshotted when the last of its barriers comes, be it late or behind barriers of
//! a newer one; that drops all older ones, of which those behind this task do the same. One that was given up is remembered until
//! all its barriers have come, so that it is told once. Each is snapshotted or given up at most once, and what lies behind the
//! newest one that was dropped or snapshotted changes nothing. As many are tracked as `config` says; the oldest is forgotten.
//!
//! Source: Apache Flink's `CheckpointBarrierTracker`. Owned by a task and called on its thread, once for each control mark.

use std::collections::VecDeque;

use super::alignment::{AbortReason, Step, Steps};
use crate::config::CHECKPOINTS_TRACKED;
use crate::ids::CheckpointId;

/// A checkpoint of which some barriers have come and some have not.
#[derive(Debug)]
struct Tracked {
    id: CheckpointId,
    /// By channel: whether its barrier has come.
    seen: Vec<bool>,
    given_up: bool,
}

/// The checkpoints of which barriers are still to come.
#[derive(Debug)]
pub(crate) struct Tracking {
    /// By channel: whether it has ended; then it counts as having delivered every barrier.
    ended: Vec<bool>,
    /// By rising id.
    tracked: VecDeque<Tracked>,
    /// The newest id that came.
    newest: CheckpointId,
    /// Given up by the coordinator before a barrier came, ascending.
    aborted: Vec<CheckpointId>,
}

impl Tracking {
    /// Over channels `0..channels`.
    pub(crate) fn new(channels: usize) -> Self {
        Tracking { ended: vec![false; channels], tracked: VecDeque::new(), newest: CheckpointId(0), aborted: Vec::new() }
    }

    /// A barrier came through a channel, ended or not.
    pub(crate) fn barrier(&mut self, channel: usize, id: CheckpointId) -> Steps {
        let begun = self.begin(id);
        self.mark(channel, id);
        Steps([begun, self.complete()])
    }

    /// A task before this one gave the checkpoint up.
    pub(crate) fn cancel(&mut self, channel: usize, id: CheckpointId) -> Steps {
        let begun = self.begin(id);
        let told = begun.or_else(|| self.give_up(id, AbortReason::Cancelled));
        self.mark(channel, id);
        Steps([told, self.complete()])
    }

    /// A channel came to the end of its data; barriers may still come through it.
    pub(crate) fn ended(&mut self, channel: usize) -> Steps {
        if let Some(ended) = self.ended.get_mut(channel) {
            *ended = true;
        }
        Steps([None, self.complete()])
    }

    /// The coordinator gave the checkpoint up: the tasks behind this one learn of it now, or in the place of its first barrier.
    pub(crate) fn aborted(&mut self, id: CheckpointId) -> Steps {
        if id > self.newest {
            if let Err(at) = self.aborted.binary_search(&id) {
                self.aborted.insert(at, id);
                let surplus = self.aborted.len().saturating_sub(CHECKPOINTS_TRACKED);
                self.aborted.drain(..surplus);
            }
            return Steps::NONE;
        }
        Steps([None, self.give_up(id, AbortReason::Notified)])
    }

    /// Tracks a checkpoint from its first barrier on. If the coordinator has given it up before, that is told now.
    fn begin(&mut self, id: CheckpointId) -> Option<Step> {
        if id <= self.newest {
            return None;
        }
        self.newest = id;
        let given_up = self.aborted.binary_search(&id).is_ok();
        self.aborted.retain(|aborted| *aborted > id);
        if self.tracked.len() == CHECKPOINTS_TRACKED {
            self.tracked.pop_front();
        }
        self.tracked.push_back(Tracked { id, seen: vec![false; self.ended.len()], given_up });
        given_up.then_some(Step::Abort(id, AbortReason::Notified))
    }

    fn tracked(&mut self, id: CheckpointId) -> Option<&mut Tracked> {
        self.tracked.iter_mut().find(|tracked| tracked.id == id)
    }

    fn mark(&mut self, channel: usize, id: CheckpointId) {
        if let Some(seen) = self.tracked(id).and_then(|tracked| tracked.seen.get_mut(channel)) {
            *seen = true;
        }
    }

    fn give_up(&mut self, id: CheckpointId, reason: AbortReason) -> Option<Step> {
        let tracked = self.tracked(id).filter(|tracked| !tracked.given_up)?;
        tracked.given_up = true;
        Some(Step::Abort(id, reason))
    }

    /// Takes the newest checkpoint of which all barriers have come, and forgets the older ones with it; forgets those of which
    /// all have come and that were given up.
    fn complete(&mut self) -> Option<Step> {
        let ended = &self.ended;
        let all = |tracked: &Tracked| tracked.seen.iter().zip(ended).all(|(seen, ended)| *seen || *ended);
        let taken = self.tracked.iter().rposition(|tracked| !tracked.given_up && all(tracked));
        let snapshot = taken.and_then(|at| self.tracked.drain(..=at).next_back()).map(|tracked| Step::Snapshot(tracked.id));
        self.tracked.retain(|tracked| !all(tracked));
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is told, as text: `b4@1` a barrier, `c4@0` a cancel barrier, `e2` the end of a channel, `a4` an abort. What comes of it:
    /// `s4` a snapshot, `x4` an abort.
    fn told(channels: usize, script: &str) -> String {
        let mut tracking = Tracking::new(channels);
        let steps = script.split_whitespace().flat_map(|word| tell(&mut tracking, word));
        steps.collect::<Vec<_>>().join(" ")
    }

    fn tell(tracking: &mut Tracking, word: &str) -> Vec<String> {
        let (what, rest) = word.split_at(1);
        let mut numbers = rest.split('@').map(|number| number.parse::<usize>().unwrap());
        let first = numbers.next().unwrap();
        let (id, channel) = (CheckpointId(first as u64), numbers.next());
        let steps = match what {
            "b" => tracking.barrier(channel.unwrap(), id),
            "c" => tracking.cancel(channel.unwrap(), id),
            "e" => tracking.ended(first),
            "a" => tracking.aborted(id),
            _ => panic!("{word}"),
        };
        let text = |step| match step {
            Step::Snapshot(id) => format!("s{id}"),
            Step::Abort(id, _) => format!("x{id}"),
        };
        steps.into_iter().map(text).collect()
    }

    #[test]
    fn b16_a_checkpoint_is_taken_at_its_last_barrier_also_when_that_is_late() {
        assert_eq!(told(2, "b1@0 b2@0 b1@1 b2@1"), "s1 s2", "barriers of a newer one came first");
        assert_eq!(told(2, "b1@0 b2@0 b2@1 b1@1"), "s2", "completing one drops the older ones");
        assert_eq!(told(1, "b1@0 b1@0 b3@0 b2@0"), "s1 s3", "what lies behind is too late");
        let interleaved = "b2@0 b2@1 b2@2 b3@0 b3@2 b4@2 b3@1 b4@0 b4@1 b5@1 b6@2 b5@0 b6@0 b7@0 b5@2 b7@2 b8@1 b7@1 b8@0 b8@2";
        assert_eq!(told(3, interleaved), "s2 s3 s4 s5 s7 s8", "one that lacks a barrier is skipped");
    }

    #[test]
    fn b16_no_more_checkpoints_are_tracked_than_there_may_be() {
        let n = CHECKPOINTS_TRACKED as u64;
        let mut tracking = Tracking::new(2);
        for id in 1..=n + 1 {
            assert_eq!(tracking.barrier(0, CheckpointId(id)), Steps::NONE);
        }
        assert_eq!(tracking.tracked.len(), CHECKPOINTS_TRACKED);
        assert_eq!(tracking.barrier(1, CheckpointId(1)), Steps::NONE, "the oldest is forgotten");
        assert_eq!(tracking.barrier(1, CheckpointId(2)), Steps([None, Some(Step::Snapshot(CheckpointId(2)))]));
        for id in 0..2 * n {
            assert_eq!(tracking.aborted(CheckpointId(n + 2 + id)), Steps::NONE);
        }
        assert_eq!(tracking.aborted.len(), CHECKPOINTS_TRACKED);
    }

    #[test]
    fn b17_barriers_of_what_was_given_up_are_absorbed() {
        assert_eq!(told(3, "c4@0 b4@1 b5@1 e2"), "x4", "given up once; the next one waits for channel 0");
        assert_eq!(told(3, "c4@0 b4@1 b5@1 e2 b5@0"), "x4 s5");
        assert_eq!(told(2, "b4@0 c4@1 c4@1 b5@0 b5@1"), "x4 s5");
        assert_eq!(told(2, "a4 b4@0 b4@1 b5@0 b5@1"), "x4 s5", "told in the place of the first barrier");
        assert_eq!(told(2, "b4@0 a4 a4 b4@1"), "x4");
    }

    #[test]
    fn b17_the_end_of_a_channel_completes_the_newest_that_waits_only_for_it() {
        assert_eq!(told(2, "b1@0 b2@0 b3@0 e1"), "s3");
        assert_eq!(told(2, "b1@0 b2@0 a2 e1"), "x2 s1", "one that was given up is not it");
        assert_eq!(told(2, "e0 e1 b1@0 b1@1"), "s1", "an ended channel may still bring barriers");
    }

    proptest! {
        #[test]
        fn b16_b17_each_is_taken_or_given_up_once_and_those_that_are_taken_rise(
            events in proptest::collection::vec((0u8..20, 0usize..3, 1u64..12), 0..80),
        ) {
            let mut tracking = Tracking::new(3);
            let (mut settled, mut last) = (std::collections::BTreeSet::new(), CheckpointId(0));
            for (what, channel, id) in events {
                let id = CheckpointId(id);
                let steps = match what {
                    0 => tracking.ended(channel),
                    1 => tracking.aborted(id),
                    2 | 3 => tracking.cancel(channel, id),
                    _ => tracking.barrier(channel, id),
                };
                for step in steps {
                    let (Step::Snapshot(id) | Step::Abort(id, _)) = step;
                    prop_assert!(settled.insert(id), "{id} twice");
                    if let Step::Snapshot(id) = step {
                        prop_assert!(id > last);
                        last = id;
                    }
                }
            }
        }
    }
}
