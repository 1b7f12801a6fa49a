//! What an edge carries: batches of records with watermarks in place, closed by at most one control mark.
//!
//! A frame's marks lie where they were made: a watermark stands before the record at its position, and what closes a frame comes
//! after all of its records. Everything here is plain data, owned by whoever holds it.

mod batch;
mod portion;
mod routed;

pub(crate) use batch::{Batch, Consumer, Mark, Took};
pub(crate) use portion::Portion;
pub(crate) use routed::Routed;

use crate::ids::CheckpointId;
use crate::time::Timestamp;

/// A record on a keyed edge: its key and the key's hash travel with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed<K, T> {
    /// The stable hash of the key.
    pub hash: u64,
    /// The key.
    pub key: K,
    /// The record itself.
    pub value: T,
}

/// What an edge says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputState {
    /// Records may come; watermarks count, from this one on.
    Active(Timestamp),
    /// No record is to be expected for now; the edge holds no watermark back.
    Idle,
}

/// What closes a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// Nothing: more records follow.
    Open,
    /// What came before belongs to this checkpoint, what comes after does not.
    Barrier(CheckpointId),
    /// This checkpoint will not come from here.
    CancelBarrier(CheckpointId),
    /// The edge's state from here on; the first frame of every edge says it.
    State(InputState),
    /// The end of data: no record follows, though barriers do.
    End,
}

/// One message of an edge.
#[derive(Debug)]
pub(crate) struct Frame<T> {
    pub(crate) batch: Batch<T>,
    pub(crate) close: Close,
}

#[cfg(test)]
impl<T> Frame<T> {
    /// A frame without records.
    pub(crate) fn control(close: Close) -> Self {
        Frame { batch: Batch::new(), close }
    }
}
