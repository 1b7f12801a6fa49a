//! The clock of a simulation: tokio's paused time, and a wall clock that begins at a fixed point.

use std::time::Duration;

use tokio::time::Instant;

use crate::time::{Clock, Moment, Timestamp, whole_millis};

/// Where the wall clock of every simulation begins: 2024-01-01T00:00:00Z.
const WALL_START: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// Reads virtual time. Made and read within the simulation's runtime.
#[derive(Debug)]
pub(super) struct SimClock {
    origin: Instant,
    /// The virtual time that earlier processes took.
    before: Duration,
}

impl SimClock {
    pub(super) fn new(before: Duration) -> Self {
        SimClock { origin: Instant::now(), before }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(WALL_START.millis() + whole_millis(self.before + self.origin.elapsed()))
    }
}
