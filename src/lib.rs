//! Exactly-once stream processing inside a service.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::todo,
    clippy::dbg_macro,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

// Floor 0: words.
mod config;
mod error;
mod ids;
mod metrics;
mod time;
// Floor 1: things.
mod codec;
mod frame;
mod key;
// Floor 2: pipes and stores.
mod state;
// Floor 3: contracts.
mod gate;
// Floor 4: composition and decisions.
mod checkpoint;
mod sink;
mod source;
mod supervision;

pub use config::{Checkpoints, Restart};
pub use error::{BoxError, Error, Result};
pub use frame::Keyed;
pub use ids::{Attempt, CheckpointId, KeyGroup, RegionId, TaskId, Uid};
pub use metrics::Counter;
pub use sink::{Sink, SinkContext, SinkWriter};
pub use source::{Poll, Records, Rejected, Source, SplitReader};
pub use time::{Clock, Moment, SystemClock, Timestamp, hours, millis, minutes, secs};
