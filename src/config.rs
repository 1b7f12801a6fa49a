//! Options, each validated once, and the named bounds of the engine.

use std::time::Duration;

/// Records in a frame at most: enough to hide memory latency and to amortise a channel's cost, few enough for a batch of small
/// records to stay in the first-level cache.
pub(crate) const BATCH_RECORDS: usize = 1024;
/// Frames that an edge holds at most.
pub(crate) const EDGE_FRAMES: usize = 8;
/// A frame with records waits no longer than this for more to fill it.
pub(crate) const LINGER: Duration = Duration::from_millis(5);
/// A step of a task aims to take no longer than this.
pub(crate) const STEP_TARGET: Duration = Duration::from_millis(5);
/// Checkpoints given up before their barrier came that a task remembers: far more than can be under way at once, and small enough
/// to be searched and moved in a moment.
pub(crate) const ABORTED_REMEMBERED: usize = 256;
