//! The contract of a source: splits, and a reader for each of them.
//!
//! Always: a reader's position is that of the next record to hand out, so that a reader opened at it goes on exactly behind the
//! last one handed out. Splits are found once, when the job first begins; from then on they are state. Called on the thread of
//! the source's task, except for [`Source::splits`], which is called before any task starts.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// Where records come from.
pub trait Source: Send + Sync + 'static {
    /// The records.
    type Item: Send + 'static;
    /// A place within a split, kept in checkpoints.
    type Position: Clone + Send + Sync + Serialize + DeserializeOwned + fmt::Debug + 'static;
    /// What reads one split.
    type Reader: SplitReader<Item = Self::Item, Position = Self::Position>;

    /// All splits with the position to begin each at, in an order that is the same at each call. Called once in a job's life.
    ///
    /// # Errors
    /// Whatever hinders it; the job does not start.
    fn splits(&self) -> Result<Vec<(String, Self::Position)>, BoxError>;

    /// Opens a split at a position: one of [`Source::splits`], or one that its reader gave.
    ///
    /// # Errors
    /// Where the split is gone, or is no longer the one in which the position was taken. The region fails.
    fn open(&self, split: &str, position: Self::Position) -> Result<Self::Reader, BoxError>;

    /// A complete checkpoint holds this position of a split: no reader will be opened before it any more, whatever happens. Called on the
    /// thread of the task that has the split, after each checkpoint and before the split is opened; so it is short, and hands to others
    /// what takes long. A checkpoint may be left out where a later one says more.
    ///
    /// # Errors
    /// Where the job can't go on. The region fails.
    fn on_checkpoint_complete(&self, split: &str, position: &Self::Position) -> Result<(), BoxError> {
        let _nothing_to_do = (split, position);
        Ok(())
    }
}

/// Reads one split.
pub trait SplitReader: Send + 'static {
    /// The records.
    type Item;
    /// A place within the split.
    type Position;

    /// Hands out some records, at most as many as `out` has room for, and never waits.
    ///
    /// # Errors
    /// Where the split cannot be read any further. The region fails.
    fn poll(&mut self, out: &mut Records<'_, Self::Item>, waker: &std::task::Waker) -> Result<Poll, BoxError>;

    /// The place of the next record to hand out.
    fn position(&self) -> Self::Position;
}

/// What a reader says after it was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// There may be more at once (even if nothing was handed out this time).
    Ready,
    /// There is nothing for now; the reader wakes the waker that it was given when there is.
    Pending,
    /// The split has come to its end.
    Ended,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rejected {
    /// Where it stands, for example `flights.csv:17`.
    pub place: String,
    /// The record as it was found, cut at a kilobyte.
    pub raw: String,
    /// What is wrong with it.
    pub error: String,
}

/// Where a reader puts what it read.
#[derive(Debug)]
pub struct Records<'a, T> {
    values: &'a mut Vec<T>,
    rejected: &'a mut Vec<Rejected>,
    limit: usize,
}

impl<'a, T> Records<'a, T> {
    /// A place for `limit` records at most, those already in `values` included.
    pub fn new(values: &'a mut Vec<T>, rejected: &'a mut Vec<Rejected>, limit: usize) -> Self {
        Records { values, rejected, limit }
    }

    /// How many more records may be handed out now.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.values.len() + self.rejected.len())
    }

    /// Hands out a record.
    pub fn push(&mut self, value: T) {
        self.values.push(value);
    }

    /// Hands out many records at once: no more than there is room for.
    pub fn extend(&mut self, values: impl IntoIterator<Item = T>) {
        self.values.extend(values);
    }

    /// Reports a record that could not be decoded; the source's poison policy decides what becomes of it.
    pub fn reject(&mut self, rejected: Rejected) {
        self.rejected.push(rejected);
    }
}
