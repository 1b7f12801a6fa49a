//! Counters and times that tasks raise once a batch or once a step, and anyone may read.
//!
//! They are shared by cloning. Readers see each as it stands; different ones are not a consistent cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only rises, except when a restored job takes it back to the checkpoint's value.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Raises the counter.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets the counter, at a restore.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The counter's value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The longest of many times, in whole microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Longest(Arc<AtomicU64>);

impl Longest {
    /// Looks first and writes only what is longer, so that threads do not take the number from each other at every step.
    pub(crate) fn note(&self, time: Duration) {
        let micros = whole_micros(time);
        if micros > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(micros, Ordering::Relaxed);
        }
    }

    /// The longest since the last `take`; zero where there was none.
    pub(crate) fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// The same, and begins anew.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}

/// How long something took, each time that it was done, in whole microseconds. Written by one thread.
#[derive(Debug, Default)]
pub(crate) struct Times {
    count: AtomicU64,
    total: AtomicU64,
    last: AtomicU64,
    longest: AtomicU64,
}

impl Times {
    pub(crate) fn note(&self, time: Duration) {
        let micros = whole_micros(time);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(micros, Ordering::Relaxed);
        self.last.store(micros, Ordering::Relaxed);
        self.longest.fetch_max(micros, Ordering::Relaxed);
    }

    pub(crate) fn summary(&self) -> TimesSummary {
        let micros = |number: &AtomicU64| Duration::from_micros(number.load(Ordering::Relaxed));
        let total = self.total.load(Ordering::Relaxed);
        let mean = total.checked_div(self.count.load(Ordering::Relaxed)).unwrap_or(0);
        TimesSummary { last: micros(&self.last), longest: micros(&self.longest), mean: Duration::from_micros(mean) }
    }
}

/// How long something took that was done again and again, in whole microseconds; all zero where it never was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimesSummary {
    /// The last time.
    pub last: Duration,
    /// The longest time.
    pub longest: Duration,
    /// The mean of all times.
    pub mean: Duration,
}

fn whole_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_know_the_last_the_longest_and_the_mean() {
        let times = Times::default();
        assert_eq!(times.summary(), TimesSummary::default());
        for micros in [3, 8, 1] {
            times.note(Duration::from_micros(micros));
        }
        let micros = Duration::from_micros;
        assert_eq!(times.summary(), TimesSummary { last: micros(1), longest: micros(8), mean: micros(4) });
    }

    #[test]
    fn the_longest_begins_anew_when_it_is_taken() {
        let longest = Longest::default();
        for micros in [3, 8, 1] {
            longest.note(Duration::from_micros(micros));
        }
        assert_eq!((longest.take(), longest.get()), (Duration::from_micros(8), Duration::ZERO));
    }
}
