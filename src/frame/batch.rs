//! A batch: records, their timestamps where there is event time, and watermarks at their places.
//!
//! Always: `times` is empty or as long as `values`; `marks` are ordered by position, their watermarks rise, and no position is
//! beyond the number of records. Lives on the stack of one task at a time; its buffers are reused.

use crate::time::Timestamp;

/// A watermark before the record at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The number of records of the batch that stand before the mark.
    pub(crate) at: usize,
    /// No record at or before this time is to be expected after it.
    pub(crate) watermark: Timestamp,
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
    pub(crate) fn push(&mut self, value: T, time: Timestamp) {
        self.push_time(time);
        self.values.push(value);
    }

    /// The timestamp of the record that is appended next.
    fn push_time(&mut self, time: Timestamp) {
        if !self.times.is_empty() {
            self.times.push(time);
        } else if time.is_some() {
            self.times.resize(self.values.len(), Timestamp::NONE);
            self.times.push(time);
        }
    }

    /// Puts a watermark behind the last record; a lower one in the same place gives way.
    pub(crate) fn mark(&mut self, watermark: Timestamp) {
        let at = self.values.len();
        match self.marks.last_mut() {
            Some(last) if last.at == at => last.watermark = last.watermark.max(watermark),
            _ => self.marks.push(Mark { at, watermark }),
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
            match self.marks.last_mut() {
                Some(last) if last.at == base + mark.at => last.watermark = last.watermark.max(mark.watermark),
                _ => self.marks.push(Mark { at: base + mark.at, watermark: mark.watermark }),
            }
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

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch::new()
    }
}
