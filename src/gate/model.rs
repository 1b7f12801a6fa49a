//! What alignment must do, said in another way: a model that remembers which marks it has seen and derives the rest.
//!
//! Always: it is slower and plainer than the machine, and shares no code with it. Used by the tests of the gate and by what
//! fuzzers feed.

use std::collections::{BTreeMap, BTreeSet};

use super::alignment::{AbortReason, Alignment, Step, Steps};
use crate::config::ABORTED_REMEMBERED;
use crate::ids::CheckpointId;

/// Something that alignment is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Barrier(usize, u64),
    Cancel(u64),
    Trigger(u64),
    Ended(usize),
    Aborted(u64),
}

impl Told {
    /// Tells the machine.
    pub(crate) fn tell(self, alignment: &mut Alignment) -> Steps {
        match self {
            Told::Barrier(channel, id) => alignment.barrier(channel, CheckpointId(id)),
            Told::Cancel(id) => alignment.cancel(CheckpointId(id)),
            Told::Trigger(id) => alignment.trigger(CheckpointId(id)),
            Told::Ended(channel) => alignment.ended(channel),
            Told::Aborted(id) => alignment.aborted(CheckpointId(id)),
        }
    }
}

/// Which barriers were seen on which channel, and the highest id that was snapshotted or given up.
#[derive(Debug)]
pub(crate) struct Model {
    channels: usize,
    seen: BTreeMap<u64, BTreeSet<usize>>,
    ended: BTreeSet<usize>,
    settled: u64,
    /// What the coordinator gave up and no barrier has come for; the oldest are forgotten.
    aborted: BTreeSet<u64>,
}

/// A trigger comes through no channel.
const NO_CHANNEL: usize = usize::MAX;

impl Model {
    pub(crate) fn new(channels: usize) -> Self {
        Model { channels, seen: BTreeMap::new(), ended: BTreeSet::new(), settled: 0, aborted: BTreeSet::new() }
    }

    /// What has to be done about it.
    pub(crate) fn told(&mut self, told: Told) -> Vec<Step> {
        match told {
            Told::Barrier(channel, id) => self.mark(channel, id, false),
            Told::Cancel(id) => self.mark(NO_CHANNEL, id, true),
            Told::Trigger(id) => self.mark(NO_CHANNEL, id, false),
            Told::Ended(channel) => {
                self.ended.insert(channel);
                self.complete().into_iter().collect()
            }
            Told::Aborted(id) => self.abort(id),
        }
    }

    /// The channels that may not be read.
    pub(crate) fn blocked(&self) -> BTreeSet<usize> {
        let newest = self.seen.range(self.settled + 1..).next_back().map(|(_, channels)| channels.clone());
        newest.unwrap_or_default().into_iter().filter(|channel| *channel < self.channels).collect()
    }

    fn newest(&self) -> u64 {
        self.seen.keys().next_back().copied().unwrap_or(0)
    }

    fn settle(&mut self, id: u64) {
        self.settled = id;
        self.aborted.retain(|aborted| *aborted > id);
    }

    /// Gives up what is being aligned and is older than `id`.
    fn leave(&mut self, id: u64) -> Option<Step> {
        let current = self.newest();
        (current > self.settled && current < id).then(|| {
            self.settle(current);
            Step::Abort(CheckpointId(current), AbortReason::Newer(CheckpointId(id)))
        })
    }

    fn mark(&mut self, channel: usize, id: u64, cancel: bool) -> Vec<Step> {
        if id <= self.settled || id < self.newest() {
            return Vec::new();
        }
        let mut steps: Vec<Step> = self.leave(id).into_iter().collect();
        self.seen.entry(id).or_default().insert(channel);
        if cancel || self.aborted.contains(&id) {
            self.settle(id);
            steps.push(Step::Abort(CheckpointId(id), if cancel { AbortReason::Cancelled } else { AbortReason::Notified }));
        }
        steps.extend(self.complete());
        steps
    }

    fn complete(&mut self) -> Option<Step> {
        let id = self.newest();
        let delivered = self.seen.get(&id)?;
        let all = (0..self.channels).all(|channel| delivered.contains(&channel) || self.ended.contains(&channel));
        (id > self.settled && all).then(|| {
            self.settle(id);
            Step::Snapshot(CheckpointId(id))
        })
    }

    fn abort(&mut self, id: u64) -> Vec<Step> {
        if id <= self.settled || id < self.newest() {
            return Vec::new();
        }
        if id == self.newest() {
            self.settle(id);
            return vec![Step::Abort(CheckpointId(id), AbortReason::Notified)];
        }
        self.aborted.insert(id);
        if self.aborted.len() > ABORTED_REMEMBERED {
            self.aborted.pop_first();
        }
        Vec::new()
    }
}
