//! Alignment: which channels a task may read while the barriers of a checkpoint come in.
//!
//! Always: a channel is blocked from its barrier on until every other channel has delivered the barrier or ended, or the
//! checkpoint is given up; so something blocked always waits for a channel that may be read, and nothing is blocked once all have
//! delivered. Each checkpoint is snapshotted or given up at most once, and ids only rise: whatever comes for an id that is not
//! above the highest one seen, and is not being aligned, changes nothing. A blocked channel that has ended is blocked like any
//! other, so that a later barrier behind it does not push the one that is being aligned aside.
//!
//! Owned by a task and called on its thread, once for each control mark; no call allocates.

use crate::config::ABORTED_REMEMBERED;
use crate::ids::CheckpointId;

/// Why a task gave a checkpoint up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AbortReason {
    /// A task before this one gave it up.
    Cancelled,
    /// A newer one arrived before this one was aligned.
    Newer(CheckpointId),
    /// The coordinator said that it was given up.
    Notified,
}

impl AbortReason {
    /// False where the coordinator knows already, so that nobody needs to decline.
    pub(crate) fn declines(self) -> bool {
        self != AbortReason::Notified
    }
}

/// What the task has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Every channel has delivered: send the barrier on, then take the snapshot.
    Snapshot(CheckpointId),
    /// Send a cancel barrier on, and decline where the reason says so.
    Abort(CheckpointId, AbortReason),
}

/// What an event asks for, in order: at most two steps.
#[must_use = "a step that is not taken leaves the tasks behind this one waiting"]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps(pub(super) [Option<Step>; 2]);

impl Steps {
    pub(super) const NONE: Steps = Steps([None, None]);
}

impl IntoIterator for Steps {
    type Item = Step;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Step>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    /// Its barrier has come and the others' have not.
    blocked: bool,
    /// Its records have ended; it counts as having delivered every barrier.
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Every channel flows; the highest id that was snapshotted or given up, or 0.
    Flowing(CheckpointId),
    /// Some barriers of this checkpoint are still to come.
    Aligning(CheckpointId),
}

/// The alignment of one task over its channels.
#[derive(Debug)]
pub(crate) struct Alignment {
    channels: Vec<Channel>,
    phase: Phase,
    /// Checkpoints that the coordinator gave up and whose barriers have not come, ascending.
    pub(super) aborted: Vec<CheckpointId>,
}

impl Alignment {
    /// An alignment over channels `0..channels`, all of them flowing. A source task has none.
    pub(crate) fn new(channels: usize) -> Self {
        Alignment {
            channels: vec![Channel::default(); channels],
            phase: Phase::Flowing(CheckpointId(0)),
            aborted: Vec::with_capacity(ABORTED_REMEMBERED),
        }
    }

    /// True while the channel must not be read.
    pub(crate) fn is_blocked(&self, channel: usize) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.blocked)
    }

    /// The checkpoint that is being aligned.
    #[cfg(test)]
    pub(crate) fn aligning(&self) -> Option<CheckpointId> {
        match self.phase {
            Phase::Flowing(_) => None,
            Phase::Aligning(id) => Some(id),
        }
    }

    /// A barrier came through a channel, ended or not.
    pub(crate) fn barrier(&mut self, channel: usize, id: CheckpointId) -> Steps {
        if !self.is_awaited(id) {
            return Steps::NONE;
        }
        let left = self.enter(id);
        if self.take_aborted(id) {
            return Steps([left, Some(self.give_up(id, AbortReason::Notified))]);
        }
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.blocked = true;
        }
        Steps([left, self.finish_if_delivered()])
    }

    /// The coordinator triggers the task itself: a source, or a task whose channels may all have ended. Channels that have not
    /// ended are awaited.
    pub(crate) fn trigger(&mut self, id: CheckpointId) -> Steps {
        self.barrier(usize::MAX, id)
    }

    /// A task before this one gave the checkpoint up.
    pub(crate) fn cancel(&mut self, id: CheckpointId) -> Steps {
        if !self.is_awaited(id) {
            return Steps::NONE;
        }
        let left = self.enter(id);
        Steps([left, Some(self.give_up(id, AbortReason::Cancelled))])
    }

    /// A channel came to the end of its data; barriers may still come through it.
    pub(crate) fn ended(&mut self, channel: usize) -> Steps {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.ended = true;
        }
        Steps([None, self.finish_if_delivered()])
    }

    /// The coordinator gave the checkpoint up. If its barrier is still to come, this is remembered until then: the tasks behind
    /// this one must learn of it in the place of the barrier.
    pub(crate) fn aborted(&mut self, id: CheckpointId) -> Steps {
        match self.phase {
            Phase::Aligning(current) if current == id => Steps([None, Some(self.give_up(id, AbortReason::Notified))]),
            Phase::Aligning(seen) | Phase::Flowing(seen) if id <= seen => Steps::NONE,
            _ => {
                self.remember_aborted(id);
                Steps::NONE
            }
        }
    }

    /// True for the checkpoint that is being aligned and for newer ones.
    fn is_awaited(&self, id: CheckpointId) -> bool {
        match self.phase {
            Phase::Flowing(seen) => id > seen,
            Phase::Aligning(current) => id >= current,
        }
    }

    /// Goes over to aligning `id`; an older checkpoint that is being aligned is given up.
    fn enter(&mut self, id: CheckpointId) -> Option<Step> {
        let left = match self.phase {
            Phase::Aligning(current) if current < id => Some(self.give_up(current, AbortReason::Newer(id))),
            _ => None,
        };
        self.phase = Phase::Aligning(id);
        left
    }

    fn give_up(&mut self, id: CheckpointId, reason: AbortReason) -> Step {
        self.settle(id);
        Step::Abort(id, reason)
    }

    fn finish_if_delivered(&mut self) -> Option<Step> {
        let Phase::Aligning(id) = self.phase else { return None };
        if self.channels.iter().any(|channel| !channel.blocked && !channel.ended) {
            return None;
        }
        self.settle(id);
        Some(Step::Snapshot(id))
    }

    /// Lets every channel flow again and forgets what lies behind.
    fn settle(&mut self, id: CheckpointId) {
        for channel in &mut self.channels {
            channel.blocked = false;
        }
        self.phase = Phase::Flowing(id);
        self.aborted.retain(|aborted| *aborted > id);
    }

    /// Takes the note that the coordinator gave `id` up.
    fn take_aborted(&mut self, id: CheckpointId) -> bool {
        let found = self.aborted.binary_search(&id);
        found.map(|at| self.aborted.remove(at)).is_ok()
    }

    /// Keeps the newest notes. Without an older one its barrier is aligned for nothing, which the coordinator ignores.
    fn remember_aborted(&mut self, id: CheckpointId) {
        let Err(at) = self.aborted.binary_search(&id) else { return };
        if self.aborted.len() < ABORTED_REMEMBERED {
            self.aborted.insert(at, id);
        } else if at > 0 {
            self.aborted.remove(0);
            self.aborted.insert(at - 1, id);
        }
    }
}
