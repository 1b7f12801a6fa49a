//! What the handles of an input and its source share.
//!
//! Always: so many records are kept at most. The lock is taken once for what is sent together, once for a batch that is read, and once
//! for a checkpoint; nothing of a user's runs under it but the clone of a record. Receipts hear of a checkpoint after the records that it
//! covers were let go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::{Semaphore, watch};

use super::kept::{Kept, Phase};
use crate::actor::Line;
use crate::config::INPUT_SENT_AT_ONCE;
use crate::error::{BoxError, Error, Result};

/// What receipts wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Coverage {
    /// How many records of this process a complete checkpoint covers.
    pub(super) records: u64,
    /// The job has ended: there will be no more.
    pub(super) over: bool,
}

/// An input's records, and who waits for what.
pub(super) struct Shared<T> {
    pub(super) name: Arc<str>,
    capacity: usize,
    kept: Mutex<Kept<T>>,
    /// A permit for each record that may still be kept.
    room: Semaphore,
    coverage: watch::Sender<Coverage>,
    line: Arc<Line>,
}

impl<T> Shared<T> {
    pub(super) fn new(name: &str, capacity: usize, line: Arc<Line>) -> Self {
        let (kept, room) = (Mutex::new(Kept::new()), Semaphore::new(capacity));
        Shared { name: name.into(), capacity, kept, room, coverage: watch::Sender::new(Coverage::default()), line }
    }

    /// Records that are sent together at most: half of those that may be kept, so that room for them comes before all is covered.
    pub(super) fn at_once(&self) -> usize {
        (self.capacity / 2).clamp(1, INPUT_SENT_AT_ONCE)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn coverage(&self) -> watch::Receiver<Coverage> {
        self.coverage.subscribe()
    }

    /// No record comes any more; the reader hears of it.
    pub(super) fn close(&self, phase: Phase) {
        let reader = self.kept().close(phase);
        self.room.close();
        reader.into_iter().for_each(Waker::wake);
        if phase == Phase::Gone {
            self.coverage.send_modify(|coverage| coverage.over = true);
        }
    }

    /// Why nothing is taken any more.
    fn refusal(&self, phase: Phase) -> Error {
        match phase {
            Phase::Gone => Error::Ended,
            Phase::Open | Phase::Closed => Error::InputClosed { input: self.name.to_string() },
        }
    }

    /// A complete checkpoint covers what stands before a position.
    pub(super) fn cover(&self, position: u64) {
        let (dropped, records) = {
            let mut kept = self.kept();
            (kept.cover(position), kept.covered())
        };
        self.room.add_permits(dropped.len());
        drop(dropped);
        self.coverage.send_if_modified(|coverage| {
            let more = records > coverage.records;
            coverage.records = coverage.records.max(records);
            more
        });
    }
}

impl<T: Send + 'static> Shared<T> {
    /// Waits for room for so many records; no more than the capacity.
    async fn make_room(self: &Arc<Self>, records: u32) -> Result<()> {
        let permits = match self.room.try_acquire_many(records) {
            Ok(permits) => Ok(permits),
            Err(_) => {
                self.insist();
                self.room.acquire_many(records).await
            }
        };
        let permits = permits.map_err(|_| self.refusal(self.kept().phase()))?;
        permits.forget();
        Ok(())
    }

    /// Keeps records once there is room; the number of the last one.
    pub(super) async fn send(self: &Arc<Self>, records: Vec<T>) -> Result<u64> {
        self.make_room(u32::try_from(records.len()).unwrap_or(u32::MAX)).await?;
        let pushed = self.kept().push(records);
        let (last, reader) = pushed.map_err(|phase| self.refusal(phase))?;
        reader.into_iter().for_each(Waker::wake);
        Ok(last)
    }

    /// Sees to it that checkpoints are taken until there is room for whatever is sent at once.
    fn insist(self: &Arc<Self>) {
        let full = self.capacity + 1 - self.at_once();
        if self.kept().insists(full) {
            let of = Arc::downgrade(self);
            let still = move || of.upgrade().is_some_and(|shared| shared.kept().still_insists(full));
            self.line.want_checkpoint(Box::new(still));
        }
    }

    /// Opens the split at a position; the number of its next record.
    pub(super) fn open(self: &Arc<Self>, position: u64) -> Result<u64, BoxError> {
        let number = self.kept().number(position)?;
        // Who has filled it before there was a job could not ask for a checkpoint.
        self.kept().forget_wish();
        self.insist();
        Ok(number)
    }
}
