//! A clock that a test moves by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Clock, Moment, Timestamp};

/// Stands still until it is moved.
#[derive(Debug)]
pub(super) struct HandClock {
    /// The wall time at its beginning.
    start: Timestamp,
    passed_ns: AtomicU64,
}

impl HandClock {
    pub(super) fn new(start: Timestamp) -> Self {
        HandClock { start, passed_ns: AtomicU64::new(0) }
    }

    /// Moves it to a moment, which is not before the one that it shows.
    pub(super) fn set(&self, to: Moment) {
        let nanos = u64::try_from(to.0.as_nanos()).unwrap_or(u64::MAX);
        self.passed_ns.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment(Duration::from_nanos(self.passed_ns.load(Ordering::Relaxed)))
    }

    fn wall(&self) -> Timestamp {
        self.start.plus(self.now().0)
    }
}
