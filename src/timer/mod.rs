//! Timers: the set of those of one key, which is state, and the index over all keys by which they come due, which is not.
//!
//! Always: the index holds exactly the timers of the sets; it is rebuilt from them on restore and never stored. Both are composed
//! in `state`, owned by one task and used on its thread.

mod index;
mod set;

pub(crate) use index::{Place, TimerIndex};
pub(crate) use set::{Pending, TimerSet};

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The time that a timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeDomain {
    /// Event time: the timer fires once the watermark has reached it, before the watermark goes on.
    Event,
    /// The wall clock. What came due while the job was down fires as soon as it is up.
    Processing,
}

/// A timer of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// Which time it waits for.
    pub domain: TimeDomain,
    /// When it is due.
    pub time: Timestamp,
}
