//! The pace at which a source is read, where that is bounded.
//!
//! Always: all instances of a source that have something to read share the bound evenly, and together read no more than it says; what an
//! instance was held up from it makes up for, a second's worth at most. Looked at once for each poll, on the task's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::time::Moment;

/// A bound on the records that all instances of a source read in a second.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    /// The instances that have something to read.
    readers: Arc<AtomicU32>,
}

impl Rate {
    /// So many records a second, above zero. Clones are for the instances of one source.
    pub(crate) fn new(per_second: f64) -> Self {
        Rate { per_second, readers: Arc::default() }
    }

    fn share(&self) -> f64 {
        self.per_second / f64::from(self.readers.load(Ordering::Relaxed).max(1))
    }
}

/// How one instance keeps to it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// While it has something to read, if there is a bound.
    rate: Option<Rate>,
    /// Its share in records a second, since when it has been that, and what was read since.
    share: f64,
    since: Moment,
    read: f64,
}

impl Pace {
    /// Of an instance that has something to read.
    pub(super) fn new(rate: Option<Rate>) -> Self {
        if let Some(rate) = &rate {
            rate.readers.fetch_add(1, Ordering::Relaxed);
        }
        Pace { rate, share: 0.0, since: Moment::default(), read: 0.0 }
    }

    /// How many records may be read now; any number where there is no bound.
    pub(super) fn room(&mut self, now: Moment) -> usize {
        let Some(rate) = &self.rate else { return usize::MAX };
        let share = rate.share();
        if share != self.share {
            (self.share, self.since, self.read) = (share, now, 0.0);
        }
        let due = now.since(self.since).as_secs_f64() * share;
        self.read = self.read.max(due - share);
        (due - self.read).max(0.0) as usize
    }

    /// So many were read.
    pub(super) fn note(&mut self, records: usize) {
        self.read += records as f64;
    }

    /// When the next record may be read, where there is a bound.
    pub(super) fn next(&self) -> Option<Moment> {
        self.rate.as_ref()?;
        let due = Duration::try_from_secs_f64((self.read + 1.0) / self.share).unwrap_or(Duration::MAX);
        Some(self.since.plus(due))
    }
}

/// The others have its share.
impl Drop for Pace {
    fn drop(&mut self) {
        if let Some(rate) = &self.rate {
            rate.readers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::millis;

    fn at(ms: u64) -> Moment {
        Moment(millis(ms))
    }

    /// Reads all that may be read at a moment.
    fn read_at(pace: &mut Pace, ms: u64) -> usize {
        let room = pace.room(at(ms));
        pace.note(room);
        room
    }

    #[test]
    fn those_that_have_something_to_read_share_the_bound() {
        let rate = Rate::new(100.0);
        let mut one = Pace::new(Some(rate.clone()));
        assert_eq!([0, 100, 200].map(|ms| read_at(&mut one, ms)), [0, 10, 10], "alone");
        let mut other = Pace::new(Some(rate));
        assert_eq!([200, 300, 400].map(|ms| read_at(&mut one, ms)), [0, 5, 5]);
        assert_eq!([200, 300, 400].map(|ms| read_at(&mut other, ms)), [0, 5, 5]);
        assert_eq!(other.next(), Some(at(420)));
        drop(one);
        assert_eq!([400, 500].map(|ms| read_at(&mut other, ms)), [0, 10]);
    }

    #[test]
    fn a_second_is_made_up_for_and_no_more() {
        let mut pace = Pace::new(Some(Rate::new(10.0)));
        assert_eq!([0, 60_000, 60_000, 60_100].map(|ms| read_at(&mut pace, ms)), [0, 10, 0, 1]);
    }

    #[test]
    fn without_a_bound_there_is_always_room() {
        let mut pace = Pace::new(None);
        assert_eq!((pace.room(at(0)), pace.next()), (usize::MAX, None));
        let mut hardly_ever = Pace::new(Some(Rate::new(1e-300)));
        assert_eq!(hardly_ever.room(at(1)), 0);
        assert_eq!(hardly_ever.next(), Some(Moment(Duration::MAX)), "and no time is too long to be told");
    }
}
