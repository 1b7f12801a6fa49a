//! Assigners: which windows a timestamp belongs to.
//!
//! Pure functions of the timestamp, so that all keys share the same windows. Always: a window that is assigned holds its
//! timestamp, and no arithmetic wraps: what would lie beyond the range of timestamps ends at its ends.

use std::fmt;
use std::iter::{Once, once};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, whole_millis};

/// A span of event time: from `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first millisecond that belongs to it.
    pub start: Timestamp,
    /// The first millisecond that no longer belongs to it.
    pub end: Timestamp,
}

impl Window {
    /// The last millisecond that belongs to it: its results carry this timestamp, and it fires when the watermark comes to it.
    #[inline]
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.end.millis().saturating_sub(1))
    }

    /// Whether this point of time belongs to it.
    #[inline]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }

    /// The window of `size` milliseconds that begins `before` milliseconds ahead of `time`, cut off at the ends of time.
    fn around(time: Timestamp, before: i64, size: i64) -> Self {
        let start = i128::from(time.millis()) - i128::from(before);
        let cut = |millis: i128| {
            let millis = millis.clamp(i128::from(i64::MIN) + 1, i128::from(i64::MAX));
            Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
        };
        Window { start: cut(start), end: cut(start + i128::from(size)) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start.millis(), self.end.millis())
    }
}

/// Says which windows a timestamp belongs to.
///
/// The windows are the same for all keys. They must not depend on anything but the timestamp: a restored job asks again.
pub trait Assigner: Send + Sync + 'static {
    /// True where windows never overlap, so that a record in a known window belongs to no other.
    const DISJOINT: bool = false;

    /// The windows of one timestamp.
    type Windows: Iterator<Item = Window>;

    /// The windows that `time` belongs to, by rising end; none where it falls into a gap.
    fn windows(&self, time: Timestamp) -> Self::Windows;

    /// What is wrong with the assigner, and what to change, if anything is: the plan is refused then.
    fn fault(&self) -> Option<(String, &'static str)> {
        None
    }
}

/// How far `time` is behind the last start at or before it, where starts lie at `offset` and every `period` from there.
fn since_start(time: Timestamp, period: i64, offset: i64) -> i64 {
    let behind = time.millis().rem_euclid(period) - offset.rem_euclid(period);
    if behind < 0 { behind + period } else { behind }
}

/// Windows of one size, one behind the other: each record belongs to exactly one.
///
/// ```
/// use tidegate::{Assigner, Timestamp, Tumbling, hours};
///
/// let windows = Tumbling::of(hours(1));
/// let at = Timestamp::from_millis(5_400_000);
/// let window = windows.windows(at).next().unwrap();
/// assert_eq!((window.start.millis(), window.end.millis()), (3_600_000, 7_200_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_ms: i64,
    offset_ms: i64,
}

impl Tumbling {
    /// Windows of this size, in whole milliseconds, aligned with 1970-01-01T00:00:00Z.
    pub fn of(size: Duration) -> Self {
        Tumbling { size_ms: whole_millis(size), offset_ms: 0 }
    }

    /// Moves every start by `offset`, which is below the size: days that begin at 03:00 UTC have the offset `hours(3)`. For starts
    /// that lie earlier, take what is left to the size: days at UTC+08:00 begin at 16:00 UTC, so their offset is `hours(16)`.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_ms = whole_millis(offset);
        self
    }
}

impl Assigner for Tumbling {
    const DISJOINT: bool = true;
    type Windows = Once<Window>;

    #[inline]
    fn windows(&self, time: Timestamp) -> Once<Window> {
        once(Window::around(time, since_start(time, self.size_ms, self.offset_ms), self.size_ms))
    }

    fn fault(&self) -> Option<(String, &'static str)> {
        fault_of(self.size_ms, self.size_ms, self.offset_ms)
    }
}

/// Windows of one size of which a new one begins every `slide`: a record belongs to several where they overlap, and to none
/// where they leave a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size_ms: i64,
    slide_ms: i64,
    offset_ms: i64,
}

impl Sliding {
    /// Windows of this size that begin this far from each other, in whole milliseconds, aligned with 1970-01-01T00:00:00Z. Each
    /// record is kept in `size / slide` windows.
    pub fn of(size: Duration, slide: Duration) -> Self {
        Sliding { size_ms: whole_millis(size), slide_ms: whole_millis(slide), offset_ms: 0 }
    }

    /// Moves every start by `offset`, which is below the slide.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_ms = whole_millis(offset);
        self
    }
}

impl Assigner for Sliding {
    type Windows = SlidingWindows;

    fn windows(&self, time: Timestamp) -> SlidingWindows {
        let latest = since_start(time, self.slide_ms, self.offset_ms);
        let room = self.size_ms - latest;
        let left = if room > 0 { (room - 1) / self.slide_ms + 1 } else { 0 };
        SlidingWindows { time, latest, size: self.size_ms, slide: self.slide_ms, left }
    }

    fn fault(&self) -> Option<(String, &'static str)> {
        fault_of(self.size_ms, self.slide_ms, self.offset_ms)
    }
}

/// The windows of one timestamp, by rising end.
#[derive(Clone, Debug)]
pub struct SlidingWindows {
    time: Timestamp,
    /// How far the latest window's start is behind `time`.
    latest: i64,
    size: i64,
    slide: i64,
    /// How many are still to come.
    left: i64,
}

impl Iterator for SlidingWindows {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(Window::around(self.time, self.latest + self.left * self.slide, self.size))
    }
}

fn fault_of(size: i64, period: i64, offset: i64) -> Option<(String, &'static str)> {
    if size <= 0 || period <= 0 {
        return Some(("it has windows of no length, or that begin at no distance".into(), "make size and slide 1 ms or more"));
    }
    if offset >= period {
        let problem = format!("its windows are moved by {offset} ms and begin every {period} ms");
        return Some((problem, "use an offset below the distance of the windows' starts"));
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::millis;

    fn spans(assigner: &impl Assigner, time: i64) -> Vec<(i64, i64)> {
        let windows = assigner.windows(Timestamp::from_millis(time));
        windows.map(|window| (window.start.millis(), window.end.millis())).collect()
    }

    fn start(time: i64, size: i64, offset: i64) -> i64 {
        time - since_start(Timestamp::from_millis(time), size, offset)
    }

    #[test]
    fn d20_starts_of_negative_times_and_offsets() {
        let starts = |offset: i64| [-8, -7, -1, 0, 6, 7].map(|time| start(time, 7, offset));
        assert_eq!(starts(0), [-14, -7, -7, 0, 0, 7]);
        assert_eq!(starts(-1), [-8, -8, -1, -1, 6, 6]);
        assert_eq!(starts(3), [-11, -11, -4, -4, 3, 3]);
        assert_eq!(starts(-1), starts(6), "a start that lies earlier is one that lies later");
    }

    #[test]
    fn d20_nothing_wraps_at_the_ends_of_time() {
        let windows = Tumbling::of(millis(1000));
        let first = i64::MIN + 1;
        assert_eq!(spans(&windows, first), [(first, -9_223_372_036_854_775_000)]);
        assert_eq!(spans(&windows, i64::MAX), [(9_223_372_036_854_775_000, i64::MAX)]);
        let long = Tumbling::of(Duration::MAX);
        assert_eq!(spans(&long, -1), [(first, 0)]);
        assert_eq!(spans(&long, 1), [(0, i64::MAX)]);
    }

    #[test]
    fn d21_sliding_windows_overlap_or_leave_gaps() {
        assert_eq!(spans(&Sliding::of(millis(10), millis(3)), 11), [(3, 13), (6, 16), (9, 19)]);
        assert_eq!(spans(&Sliding::of(millis(2), millis(5)), 3), []);
        assert_eq!(spans(&Sliding::of(millis(2), millis(5)), 6), [(5, 7)]);
        assert_eq!(spans(&Sliding::of(millis(4), millis(2)).offset(millis(1)), 1), [(-1, 3), (1, 5)]);
    }

    #[test]
    fn windows_that_make_no_sense_are_refused() {
        assert!(Tumbling::of(Duration::from_micros(900)).fault().is_some());
        assert!(Sliding::of(millis(10), millis(0)).fault().is_some());
        assert!(Tumbling::of(millis(10)).offset(millis(10)).fault().is_some());
        assert_eq!(Sliding::of(millis(10), millis(3)).offset(millis(2)).fault(), None);
    }

    /// Anywhere, and at the ends of time.
    fn times() -> impl Strategy<Value = i64> {
        prop_oneof![-50..50i64, i64::MIN + 1..=i64::MIN + 50, i64::MAX - 50..=i64::MAX, i64::MIN + 1..=i64::MAX]
    }

    fn sizes() -> impl Strategy<Value = i64> {
        prop_oneof![1..20i64, 1..=i64::MAX]
    }

    fn cut(millis: i128) -> i64 {
        millis.clamp(i128::from(i64::MIN) + 1, i128::from(i64::MAX)) as i64
    }

    proptest! {
        #[test]
        fn d20_the_start_is_what_floor_mod_says(time in times(), size in sizes(), offset in 0..i64::MAX) {
            let offset = offset % size;
            let (wide, size_wide) = (i128::from(time), i128::from(size));
            let start = wide - (wide - i128::from(offset)).rem_euclid(size_wide);
            let windows = Tumbling::of(millis(size as u64)).offset(millis(offset as u64));
            prop_assert_eq!(spans(&windows, time), [(cut(start), cut(start + size_wide))]);
        }

        #[test]
        fn d21_sliding_windows_are_those_that_hold_the_time(
            time in times(),
            size in 1..40i64,
            slide in 1..15i64,
            offset in 0..15i64,
        ) {
            let (offset, wide) = (offset % slide, i128::from(time));
            let starts = (wide - i128::from(size) + 1)..=wide;
            let aligned = starts.filter(|start| (start - i128::from(offset)).rem_euclid(i128::from(slide)) == 0);
            let expected: Vec<(i64, i64)> = aligned.map(|start| (cut(start), cut(start + i128::from(size)))).collect();
            let windows = Sliding::of(millis(size as u64), millis(slide as u64)).offset(millis(offset as u64));
            prop_assert_eq!(spans(&windows, time), expected);
        }
    }
}
