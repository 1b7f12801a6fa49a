//! Watermarks of one split: how they are asked for, and how they are made.
//!
//! Always: a split's watermark advances by event time alone, so that which records are late depends on the input and not on when
//! it was read; it never falls, and it is below every timestamp that the bound allows to come. Used by the source's task.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A watermark goes out when event time has advanced by this much, unless set otherwise.
const DEFAULT_STEP: Duration = Duration::from_millis(100);
/// A watermark says that what is at or before it is complete, so it stays one unit below the bound.
const ONE: Duration = Duration::from_millis(1);

/// How event time and watermarks are taken from a source's records.
///
/// A watermark t says: records with a timestamp ≤ t are late from here on. For each split it is the highest timestamp so far,
/// minus the bound, minus one millisecond.
///
/// ```
/// use tidegate::{Timestamp, Watermarks, minutes};
///
/// struct Flight { scheduled_ms: i64 }
/// let watermarks = Watermarks::bounded(minutes(15))
///     .on(|flight: &Flight| Timestamp::from_millis(flight.scheduled_ms))
///     .step(minutes(1))
///     .strict();
/// # drop(watermarks);
/// ```
pub struct Watermarks<T> {
    pub(crate) stamper: Arc<dyn Stamper<T>>,
    pub(crate) rules: Rules,
}

/// Watermarks whose bound is known and whose timestamps are not: say where they are with [`Bounded::on`].
#[derive(Clone, Copy, Debug)]
pub struct Bounded {
    bound: Duration,
}

/// When a watermark goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) bound: Duration,
    pub(crate) step: Duration,
    /// Only when event time has advanced by the step, never because the source has nothing to read.
    pub(crate) strict: bool,
    /// A split without records for this long holds no watermark back.
    pub(crate) idle_after: Option<Duration>,
}

impl Watermarks<()> {
    /// Records come at most `bound` of event time later than a record with a higher timestamp.
    pub fn bounded(bound: Duration) -> Bounded {
        Bounded { bound }
    }
}

impl Bounded {
    /// Takes each record's timestamp from the record.
    pub fn on<T: 'static>(self, timestamp_of: impl Fn(&T) -> Timestamp + Send + Sync + 'static) -> Watermarks<T> {
        let rules = Rules { bound: self.bound, step: DEFAULT_STEP, strict: false, idle_after: None };
        Watermarks { stamper: Arc::new(By(timestamp_of)), rules }
    }
}

impl<T> Watermarks<T> {
    /// A watermark goes out when it has advanced by `step` of event time; 100 ms unless set.
    #[must_use]
    pub fn step(mut self, step: Duration) -> Self {
        self.rules.step = step;
        self
    }

    /// No watermark goes out for another reason than the step: not when the source has nothing to read for the moment either.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.rules.strict = true;
        self
    }

    /// A split that has had nothing to read for `timeout` holds no watermark back until its next record. Time in which the source
    /// was held up by what comes after it does not count.
    #[must_use]
    pub fn idle_after(mut self, timeout: Duration) -> Self {
        self.rules.idle_after = Some(timeout);
        self
    }
}

impl<T> Clone for Watermarks<T> {
    fn clone(&self) -> Self {
        Watermarks { stamper: self.stamper.clone(), rules: self.rules }
    }
}

impl<T> fmt::Debug for Watermarks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watermarks").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Stamps a whole batch in one call.
pub(crate) trait Stamper<T>: Send + Sync {
    /// Appends a timestamp for each value, and tells `advanced` the place behind a record at which the split's watermark rises.
    fn stamp(
        &self,
        rules: &Rules,
        clock: &mut SplitClock,
        values: &[T],
        times: &mut Vec<Timestamp>,
        advanced: &mut dyn FnMut(usize, Timestamp),
    );
}

struct By<F>(F);

impl<T, F: Fn(&T) -> Timestamp + Send + Sync> Stamper<T> for By<F> {
    fn stamp(
        &self,
        rules: &Rules,
        clock: &mut SplitClock,
        values: &[T],
        times: &mut Vec<Timestamp>,
        advanced: &mut dyn FnMut(usize, Timestamp),
    ) {
        let mut highest = clock.highest;
        let mut rises_at = clock.rises_at(rules);
        times.extend(values.iter().enumerate().map(|(i, value)| {
            let time = (self.0)(value);
            highest = highest.max(time);
            if time >= rises_at && time.is_some() {
                clock.highest = highest;
                advanced(i + 1, clock.advance(rules));
                rises_at = clock.rises_at(rules);
            }
            time
        }));
        clock.highest = highest;
    }
}

/// The event time of one split; kept in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SplitClock {
    /// The highest timestamp so far.
    pub(crate) highest: Timestamp,
    /// The watermark that went out last.
    pub(crate) watermark: Timestamp,
}

impl SplitClock {
    /// Before the first record.
    pub(crate) const START: SplitClock = SplitClock { highest: Timestamp::NONE, watermark: Timestamp::NONE };

    /// The timestamp from which on a record makes the watermark rise.
    fn rises_at(&self, rules: &Rules) -> Timestamp {
        if self.watermark.is_some() { self.watermark.plus(rules.step).plus(rules.bound).plus(ONE) } else { Timestamp::NONE }
    }

    fn advance(&mut self, rules: &Rules) -> Timestamp {
        self.watermark = self.highest.minus(rules.bound).minus(ONE);
        self.watermark
    }

    /// The watermark as far as it can be told now, if that is above the last one.
    pub(crate) fn catch_up(&mut self, rules: &Rules) -> Option<Timestamp> {
        let before = self.watermark;
        let due = self.highest.is_some() && self.highest.minus(rules.bound).minus(ONE) > before;
        due.then(|| self.advance(rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::millis;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn stamp(watermarks: &Watermarks<i64>, clock: &mut SplitClock, values: &[i64]) -> Vec<(usize, i64)> {
        let (mut times, mut marks) = (Vec::new(), Vec::new());
        let mut advanced = |place, watermark: Timestamp| marks.push((place, watermark.millis()));
        watermarks.stamper.stamp(&watermarks.rules, clock, values, &mut times, &mut advanced);
        assert_eq!(times, values.iter().map(|&v| at(v)).collect::<Vec<_>>());
        marks
    }

    #[test]
    fn d9_a_watermark_is_the_highest_timestamp_minus_the_bound_minus_one() {
        let watermarks = Watermarks::bounded(millis(5)).on(|v: &i64| at(*v)).step(millis(1));
        let mut clock = SplitClock::START;
        assert_eq!(stamp(&watermarks, &mut clock, &[100]), vec![(1, 94)]);
        assert_eq!(stamp(&watermarks, &mut clock, &[90, 100]), vec![]);
    }

    #[test]
    fn d10_no_watermark_before_the_first_record_and_no_underflow() {
        let watermarks = Watermarks::bounded(millis(5)).on(|v: &i64| at(*v));
        let mut clock = SplitClock::START;
        assert_eq!(clock.catch_up(&watermarks.rules), None);
        assert_eq!(stamp(&watermarks, &mut clock, &[i64::MIN + 2]), vec![(1, i64::MIN + 1)]);
    }

    #[test]
    fn watermarks_go_out_a_step_apart_wherever_the_batches_end() {
        let watermarks = Watermarks::bounded(millis(10)).on(|v: &i64| at(*v)).step(millis(20)).strict();
        let values = [100, 105, 119, 121, 90, 140, 141, 200];
        let mut clock = SplitClock::START;
        let whole = stamp(&watermarks, &mut clock, &values);
        assert_eq!(whole, vec![(1, 89), (4, 110), (7, 130), (8, 189)]);
        let mut clock = SplitClock::START;
        let mut single = Vec::new();
        for (i, value) in values.iter().enumerate() {
            single.extend(stamp(&watermarks, &mut clock, &[*value]).into_iter().map(|(place, w)| (place + i, w)));
        }
        assert_eq!(single, whole);
    }
}
