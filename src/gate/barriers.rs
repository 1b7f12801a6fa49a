//! What a task does about barriers, by the guarantee that the job is to keep.
//!
//! Always: the two ways are told the same, and ask for the same steps; only the exact one ever blocks a channel.

use super::alignment::{Alignment, Steps};
use super::tracking::Tracking;
use crate::config::Guarantee;
use crate::ids::CheckpointId;

/// The machine of one task.
#[derive(Debug)]
pub(crate) enum Barriers {
    /// Exactly-once: what is behind a barrier waits for the others.
    Aligned(Alignment),
    /// At-least-once: nothing waits.
    Tracked(Tracking),
}

impl Barriers {
    /// Over channels `0..channels`.
    pub(crate) fn new(guarantee: Guarantee, channels: usize) -> Self {
        match guarantee {
            Guarantee::ExactlyOnce => Barriers::Aligned(Alignment::new(channels)),
            Guarantee::AtLeastOnce => Barriers::Tracked(Tracking::new(channels)),
        }
    }

    /// True while the channel must not be read.
    pub(crate) fn is_blocked(&self, channel: usize) -> bool {
        match self {
            Barriers::Aligned(alignment) => alignment.is_blocked(channel),
            Barriers::Tracked(_) => false,
        }
    }

    /// A barrier came through a channel, ended or not.
    pub(crate) fn barrier(&mut self, channel: usize, id: CheckpointId) -> Steps {
        match self {
            Barriers::Aligned(alignment) => alignment.barrier(channel, id),
            Barriers::Tracked(tracking) => tracking.barrier(channel, id),
        }
    }

    /// A task before this one gave the checkpoint up.
    pub(crate) fn cancel(&mut self, channel: usize, id: CheckpointId) -> Steps {
        match self {
            Barriers::Aligned(alignment) => alignment.cancel(id),
            Barriers::Tracked(tracking) => tracking.cancel(channel, id),
        }
    }

    /// A channel came to the end of its data; barriers may still come through it.
    pub(crate) fn ended(&mut self, channel: usize) -> Steps {
        match self {
            Barriers::Aligned(alignment) => alignment.ended(channel),
            Barriers::Tracked(tracking) => tracking.ended(channel),
        }
    }

    /// The coordinator gave the checkpoint up.
    pub(crate) fn aborted(&mut self, id: CheckpointId) -> Steps {
        match self {
            Barriers::Aligned(alignment) => alignment.aborted(id),
            Barriers::Tracked(tracking) => tracking.aborted(id),
        }
    }
}
