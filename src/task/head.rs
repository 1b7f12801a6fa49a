//! What stands at the head of a task's chain: the gate of its edges, or a source.
//!
//! One virtual call a step; the records behind it are of a known type.

use std::task::Waker;

use crate::frame::InputState;
use crate::gate::{Output, Steps};
use crate::ids::CheckpointId;
use crate::operator::{Cx, Flow, Halt, Signal};
use crate::time::{Moment, Timestamp};

/// What came of one advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// Something was read; go on.
    Moved,
    /// There is nothing to read for now; before this moment there will not be, unless the bell rings.
    Nothing(Option<Moment>),
    /// The chain could not take everything.
    Full,
    /// A barrier or a cancel barrier asks for this.
    Barrier(Steps),
    /// The input's state has changed.
    State(InputState),
    /// The last record has been read; this asks for what is left to do about barriers.
    Ended(Steps),
    /// A task before this one is gone.
    PeerGone,
}

/// Reads the input and drives the chain.
pub(crate) trait Head: Send {
    /// Reads on, at most `limit` records, and pushes what was read.
    fn advance(&mut self, limit: usize, now: Moment, waker: &Waker, cx: &mut Cx) -> Result<Advance, Halt>;

    /// Sends a signal down the chain.
    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt>;

    /// The coordinator triggers a checkpoint here: sources only.
    fn trigger(&mut self, _: CheckpointId) -> Steps {
        Steps::default()
    }

    /// No more is to be read: what is there comes to its end, without having ended. Sources only.
    fn drain(&mut self) {}

    /// True where the end that was sent was not that of the data.
    fn has_drained(&self) -> bool {
        false
    }

    /// The coordinator gave a checkpoint up.
    fn aborted(&mut self, id: CheckpointId) -> Steps;

    /// The watermark that the chain has seen.
    fn watermark(&self) -> Timestamp;

    /// Adds its own state to the view: sources only.
    fn view(&self, _: &mut Cx) -> Result<(), Halt> {
        Ok(())
    }
}

/// What a change of the merged watermark or state asks for: the watermarks before and after saying the state.
pub(crate) fn in_order(output: Option<Output>) -> (Option<Timestamp>, Option<InputState>, Option<Timestamp>) {
    match output {
        None => (None, None, None),
        Some(Output::Watermark(watermark)) => (Some(watermark), None, None),
        Some(Output::Active { since, watermark }) => (None, Some(InputState::Active(since)), watermark),
        Some(Output::Idle { watermark }) => (watermark, Some(InputState::Idle), None),
    }
}
