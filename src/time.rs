//! Time: event time and wall time in milliseconds, the monotonic clock, and the one trait that the engine reads them through.
//!
//! No other file of the engine reads a clock. Wall time never goes backwards within a process; intervals, timeouts and delays
//! use the monotonic clock only.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point of event time or of wall time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The mark of a record that has no timestamp, and of a watermark before the first one. Below every real point of time.
    pub const NONE: Timestamp = Timestamp(i64::MIN);
    /// Above every real point of time: the watermark at the end of data.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The point `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// False for [`Timestamp::NONE`].
    pub const fn is_some(self) -> bool {
        self.0 != i64::MIN
    }

    /// This point `by` later, at most [`Timestamp::MAX`]. `by` counts in whole milliseconds.
    pub fn plus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_add(whole_millis(by)))
    }

    /// This point `by` earlier, at least one above [`Timestamp::NONE`]. `by` counts in whole milliseconds.
    pub fn minus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_sub(whole_millis(by)).max(i64::MIN + 1))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Timestamp::NONE => f.write_str("none"),
            Timestamp::MAX => f.write_str("max"),
            Timestamp(millis) => write!(f, "{millis} ms"),
        }
    }
}

/// The whole milliseconds of a duration, at most `i64::MAX`.
pub(crate) fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A point of the monotonic clock: the time since the clock's own origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Duration);

impl Moment {
    /// This moment `by` later.
    pub fn plus(self, by: Duration) -> Self {
        Moment(self.0.saturating_add(by))
    }

    /// The time from `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the engine reads time through.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The monotonic clock, for intervals, timeouts and delays.
    fn now(&self) -> Moment;

    /// The wall clock, for processing-time timers. Never goes backwards.
    fn wall(&self) -> Timestamp;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    /// The latest wall time that was given out, in milliseconds.
    latest_wall_ms: AtomicI64,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    pub fn new() -> Self {
        SystemClock { origin: Instant::now(), latest_wall_ms: AtomicI64::new(i64::MIN) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn wall(&self) -> Timestamp {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_millis);
        Timestamp(self.latest_wall_ms.fetch_max(millis, Ordering::Relaxed).max(millis))
    }
}

/// `n` milliseconds.
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours.
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_never_reaches_none() {
        assert_eq!(Timestamp::MAX.plus(hours(1)), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(i64::MIN + 5).minus(secs(1)).millis(), i64::MIN + 1);
        assert_eq!(Timestamp::from_millis(5).minus(millis(7)).millis(), -2);
    }

    #[test]
    fn the_wall_clock_never_goes_back() {
        let clock = SystemClock::new();
        clock.latest_wall_ms.store(i64::MAX - 1, Ordering::Relaxed);
        assert_eq!(clock.wall().millis(), i64::MAX - 1);
    }
}
