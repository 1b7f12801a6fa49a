//! A batch: records, their timestamps where there is event time, and watermarks at their places.
//!
//! Always: `times` is empty or as long as `values`; `marks` are ordered by position, their watermarks rise, and no position is beyond
//! the number of records. Each has a position of its own, but for the end of time, which stands behind the last watermark: gates wait
//! for the end of the data instead, and a barrier may come before that, by which all must have seen the watermark. Lives on the stack of
//! one task at a time; its buffers are reused.

use std::vec::Drain;

use crate::time::Timestamp;

/// A watermark before the record at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The number of records of the batch that stand before the mark.
    pub(crate) at: usize,
    /// No record at or before this time is to be expected after it.
    pub(crate) watermark: Timestamp,
}

impl Mark {
    /// Whether a mark that comes next stands in place of this one.
    pub(crate) fn gives_way_to(self, next: Mark) -> bool {
        self.at == next.at && (next.watermark < Timestamp::MAX || self.watermark == Timestamp::MAX)
    }

    /// Whether a mark may come next and beside this one.
    pub(crate) fn is_before(self, next: Mark) -> bool {
        self.at <= next.at && self.watermark < next.watermark && !self.gives_way_to(next)
    }
}

/// Records with their timestamps, and marks between them.
#[derive(Clone, Debug)]
pub(crate) struct Batch<T> {
    pub(crate) values: Vec<T>,
    /// Empty where there is no event time.
    pub(crate) times: Vec<Timestamp>,
    pub(crate) marks: Vec<Mark>,
}

impl<T> Batch<T> {
    /// An empty batch without buffers.
    pub(crate) const fn new() -> Self {
        Batch { values: Vec::new(), times: Vec::new(), marks: Vec::new() }
    }

    /// An empty batch with room for `records` records.
    pub(crate) fn with_capacity(records: usize) -> Self {
        Batch { values: Vec::with_capacity(records), times: Vec::new(), marks: Vec::new() }
    }

    /// Whether there is a buffer worth giving back.
    pub(crate) fn has_buffer(&self) -> bool {
        self.values.capacity() > 0
    }

    /// The number of records.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// True where there is neither a record nor a mark.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.marks.is_empty()
    }

    /// Empties the batch and keeps its buffers.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.times.clear();
        self.marks.clear();
    }

    /// Appends a record. A batch that has timestamps gets one for every record, and one without none.
    #[inline]
    pub(crate) fn push(&mut self, value: T, time: Timestamp) {
        if !self.times.is_empty() {
            self.times.push(time);
        } else if time.is_some() {
            self.first_time(time);
        }
        self.values.push(value);
    }

    /// The first timestamp in the batch, of the record that is appended next.
    #[cold]
    fn first_time(&mut self, time: Timestamp) {
        self.times.resize(self.values.len(), Timestamp::NONE);
        self.times.push(time);
    }

    /// Puts a watermark behind the last record; a lower one in the same place gives way, unless this is the end of time.
    pub(crate) fn mark(&mut self, watermark: Timestamp) {
        self.mark_at(self.values.len(), watermark);
    }

    /// Puts a watermark at a place that is not before the last mark's.
    fn mark_at(&mut self, at: usize, watermark: Timestamp) {
        let next = Mark { at, watermark };
        match self.marks.last_mut() {
            Some(last) if last.gives_way_to(next) => last.watermark = last.watermark.max(watermark),
            _ => self.marks.push(next),
        }
    }

    /// Puts a watermark before the first record; a lower one in the same place gives way.
    pub(crate) fn mark_first(&mut self, watermark: Timestamp) {
        match self.marks.first_mut() {
            Some(first) if first.at == 0 => first.watermark = first.watermark.max(watermark),
            _ => self.marks.insert(0, Mark { at: 0, watermark }),
        }
    }

    /// Moves everything of `other` behind what is here; `other` keeps its buffers.
    pub(crate) fn append(&mut self, other: &mut Batch<T>) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let base = self.values.len();
        if !other.times.is_empty() || !self.times.is_empty() {
            self.times.resize(base, Timestamp::NONE);
            self.times.append(&mut other.times);
            self.times.resize(base + other.values.len(), Timestamp::NONE);
        }
        self.values.append(&mut other.values);
        for mark in other.marks.drain(..) {
            self.mark_at(base + mark.at, mark.watermark);
        }
    }

    /// Takes the first `n` records with the marks before them out of the batch, into `front`, which must be empty.
    pub(crate) fn split_front(&mut self, n: usize, front: &mut Batch<T>) {
        debug_assert!(front.is_empty());
        if n >= self.len() {
            std::mem::swap(self, front);
            return;
        }
        front.values.extend(self.values.drain(..n));
        if !self.times.is_empty() {
            front.times.extend(self.times.drain(..n));
        }
        let marks = self.marks.partition_point(|mark| mark.at <= n);
        front.marks.extend(self.marks.drain(..marks));
        for mark in &mut self.marks {
            mark.at -= n;
        }
    }
}

/// Takes records and marks, in order.
pub(crate) trait Consumer<T> {
    /// Why it can't go on at all.
    type Error;

    /// Takes records from the front of a run of `run` records without a mark between them. `times` has their timestamps, or is empty.
    fn records(&mut self, run: usize, values: &mut Drain<'_, T>, times: &[Timestamp]) -> Result<Took<T>, Self::Error>;

    /// Takes the next mark; false where nothing more can be taken after it for now.
    fn mark(&mut self, watermark: Timestamp) -> Result<bool, Self::Error>;
}

/// What became of a run of records.
#[derive(Debug)]
pub(crate) enum Took<T> {
    /// All were taken, and more may come.
    All,
    /// So many were taken, and no more can be for now; a record that was looked at and not taken is here again.
    Some(usize, Option<T>),
}

impl<T> Batch<T> {
    /// Hands records and marks to `consumer` from the front, until all are taken (true; the batch is empty then) or it stops.
    #[inline]
    pub(crate) fn consume<C: Consumer<T>>(&mut self, consumer: &mut C) -> Result<bool, C::Error> {
        debug_assert!(self.marks.is_sorted_by(|one, next| one.is_before(*next)), "marks rise, and each has a place of its own");
        let Batch { values, times, marks } = self;
        let records = values.len();
        let mut left = values.drain(..);
        let (mut taken, mut marks_taken, mut refused) = (0, 0, None);
        let all_taken = loop {
            let mark = marks.get(marks_taken);
            let end = mark.map_or(records, |mark| mark.at);
            if taken < end {
                let times = times.get(taken..end).unwrap_or_default();
                match consumer.records(end - taken, &mut left, times)? {
                    Took::All => taken = end,
                    Took::Some(some, again) => {
                        (taken, refused) = (taken + some, again);
                        break false;
                    }
                }
            }
            let Some(mark) = mark else { break true };
            marks_taken += 1;
            if !consumer.mark(mark.watermark)? {
                break false;
            }
        };
        let rest: Vec<T> = if all_taken { Vec::new() } else { refused.into_iter().chain(left.by_ref()).collect() };
        drop(left);
        values.extend(rest);
        self.forget(if all_taken { usize::MAX } else { taken }, marks_taken);
        Ok(all_taken)
    }

    /// Drops the timestamps of the first `records` records and the first `marks` marks, and moves the other marks up.
    fn forget(&mut self, records: usize, marks: usize) {
        self.times.drain(..records.min(self.times.len()));
        self.marks.drain(..marks);
        for mark in &mut self.marks {
            mark.at -= records;
        }
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Takes `quota` records and marks at a time; notes what it took.
    struct Taker {
        quota: usize,
        took: Vec<String>,
    }

    impl Consumer<u64> for Taker {
        type Error = ();

        fn records(&mut self, run: usize, values: &mut Drain<'_, u64>, times: &[Timestamp]) -> Result<Took<u64>, ()> {
            for taken in 0..run {
                let Some(value) = values.next() else { panic!("a run of {run} has {taken} records") };
                if self.quota == 0 {
                    return Ok(Took::Some(taken, Some(value)));
                }
                self.quota -= 1;
                self.took.push(format!("{value}@{}", times.get(taken).copied().unwrap_or(Timestamp::NONE)));
                if self.quota == 0 && value.is_multiple_of(2) {
                    return Ok(Took::Some(taken + 1, None));
                }
            }
            Ok(Took::All)
        }

        fn mark(&mut self, watermark: Timestamp) -> Result<bool, ()> {
            self.took.push(format!("w{watermark}"));
            self.quota = self.quota.saturating_sub(1);
            Ok(self.quota > 0)
        }
    }

    fn whole(batch: &mut Batch<u64>) -> Vec<String> {
        let mut taker = Taker { quota: usize::MAX, took: Vec::new() };
        assert_eq!(batch.consume(&mut taker), Ok(true));
        assert!(batch.is_empty());
        taker.took
    }

    fn build(items: &[(bool, i64)]) -> Batch<u64> {
        let mut batch = Batch::new();
        for (i, &(is_mark, time)) in items.iter().enumerate() {
            if is_mark { batch.mark(at(i as i64)) } else { batch.push(i as u64, at(time)) }
        }
        batch
    }

    proptest! {
        #[test]
        fn stopping_and_going_on_takes_what_one_go_takes(
            items in proptest::collection::vec((proptest::bool::weighted(0.3), 0i64..100), 0..40),
            quotas in proptest::collection::vec(1usize..7, 60),
        ) {
            let mut batch = build(&items);
            let expected = whole(&mut build(&items));
            let mut took = Vec::new();
            for quota in quotas {
                let mut taker = Taker { quota, took: Vec::new() };
                let all = batch.consume(&mut taker).unwrap();
                took.extend(taker.took);
                if all {
                    break;
                }
            }
            prop_assert_eq!(took, expected);
        }

        #[test]
        fn splitting_and_appending_give_the_batch_back(
            items in proptest::collection::vec((proptest::bool::weighted(0.3), 0i64..100), 0..40),
            n in 0usize..45,
        ) {
            let (mut rest, mut front) = (build(&items), Batch::new());
            rest.split_front(n, &mut front);
            front.append(&mut rest);
            prop_assert_eq!(whole(&mut front), whole(&mut build(&items)));
        }
    }

    #[test]
    fn the_end_of_time_takes_no_other_marks_place() {
        let mut batch = Batch::new();
        batch.push(1u64, at(1));
        batch.mark(at(3));
        batch.mark(at(5));
        batch.mark(Timestamp::MAX);
        batch.mark(Timestamp::MAX);
        let mut front = Batch::new();
        front.push(0u64, at(1));
        front.append(&mut batch);
        let marks = [format!("w{}", at(5)), format!("w{}", Timestamp::MAX)];
        assert_eq!(whole(&mut front)[2..], marks);
    }

    #[test]
    fn a_record_without_time_among_timed_ones_keeps_none() {
        let mut batch = Batch::new();
        batch.push(1u64, Timestamp::NONE);
        batch.push(2, at(5));
        batch.push(3, Timestamp::NONE);
        assert_eq!(batch.times, vec![Timestamp::NONE, at(5), Timestamp::NONE]);
    }
}
