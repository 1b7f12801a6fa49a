//! The broker behind a [`RecordingSink`](super::RecordingSink): transactions, what is committed, and what must never be.
//!
//! Always: a transaction that is prepared survives the death of the process; one that is not is forgotten by it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::recording::SinkCall;
use crate::error::BoxError;
use crate::ids::{Attempt, CheckpointId};

/// The number of a transaction of a [`RecordingSink`](super::RecordingSink).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub u64);

/// What a [`RecordingSink`](super::RecordingSink) was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkEvent {
    /// To take up with these handles.
    Recovered(Attempt, Vec<TransactionId>),
    /// To open the writer with this index.
    Opened(Attempt, u32),
    /// To begin a transaction: the first write since the last cut.
    Begun(TransactionId),
    /// To write so many records into one.
    Written(TransactionId, usize),
    /// To cut it off at a barrier; none where nothing was written.
    Cut(CheckpointId, Option<TransactionId>),
    /// To prepare it.
    Prepared(TransactionId),
    /// To commit it.
    Committed(TransactionId),
    /// To abort it: it was not cut off when its writer was closed, or no handle knew of it at a recovery.
    Aborted(TransactionId),
    /// That the data of a writer has ended.
    Finished(u32),
    /// To close a writer.
    Closed(u32),
    /// That the process has died.
    Died,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Cut,
    Prepared,
    Committed,
}

/// Records that become visible together.
pub(super) struct Transaction<T> {
    pub(super) records: Vec<T>,
    pub(super) attempt: Attempt,
    pub(super) phase: Phase,
}

/// All transactions of a sink.
pub(super) struct Broker<T> {
    pub(super) transactions: BTreeMap<TransactionId, Transaction<T>>,
    next: u64,
    pub(super) committed: Vec<T>,
    /// How many processes have died. What an older one still calls is without effect.
    pub(super) deaths: u64,
    /// The attempt that took up last.
    attempt: Option<Attempt>,
    /// Writers that are open.
    pub(super) writers: u32,
    pub(super) events: Vec<SinkEvent>,
    pub(super) violations: Vec<String>,
    pub(super) faults: Vec<(SinkCall, Fault)>,
}

impl<T> Broker<T> {
    pub(super) fn new() -> Self {
        Broker {
            transactions: BTreeMap::new(),
            next: 0,
            committed: Vec::new(),
            deaths: 0,
            attempt: None,
            writers: 0,
            events: Vec::new(),
            violations: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn die(&mut self) {
        self.transactions.retain(|_, transaction| matches!(transaction.phase, Phase::Prepared | Phase::Committed));
        self.deaths += 1;
        self.writers = 0;
        self.events.push(SinkEvent::Died);
    }

    pub(super) fn begin(&mut self, attempt: Attempt) -> TransactionId {
        self.next += 1;
        let id = TransactionId(self.next);
        self.transactions.insert(id, Transaction { records: Vec::new(), attempt, phase: Phase::Open });
        self.events.push(SinkEvent::Begun(id));
        id
    }

    /// Removes a transaction that will not be committed.
    pub(super) fn abort(&mut self, id: TransactionId) {
        if self.transactions.remove(&id).is_some() {
            self.events.push(SinkEvent::Aborted(id));
        }
    }

    pub(super) fn violated(&mut self, what: String) -> BoxError {
        self.violations.push(what.clone());
        what.into()
    }

    /// Refuses what an attempt does that was replaced.
    pub(super) fn check_attempt(&mut self, attempt: Attempt, what: &str) -> Result<(), BoxError> {
        match self.attempt {
            Some(current) if current == attempt => Ok(()),
            current => Err(self.violated(format!("attempt {attempt} has {what}, and the current one is {current:?}"))),
        }
    }
}

impl<T: Clone> Broker<T> {
    pub(super) fn prepare(&mut self, id: TransactionId) -> Result<(), BoxError> {
        let attempt = self.transactions.get(&id).filter(|found| found.phase == Phase::Cut).map(|found| found.attempt);
        let Some(attempt) = attempt else {
            return Err(self.violated(format!("{id:?} was to be prepared, and it was not just cut off")));
        };
        self.check_attempt(attempt, "prepared a transaction")?;
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.phase = Phase::Prepared;
        }
        self.events.push(SinkEvent::Prepared(id));
        Ok(())
    }

    pub(super) fn commit(&mut self, id: TransactionId) -> Result<(), BoxError> {
        self.events.push(SinkEvent::Committed(id));
        match self.transactions.get_mut(&id) {
            Some(transaction) if transaction.phase == Phase::Prepared => {
                transaction.phase = Phase::Committed;
                self.committed.extend(transaction.records.iter().cloned());
                Ok(())
            }
            Some(transaction) if transaction.phase == Phase::Committed => Ok(()),
            _ => Err(self.violated(format!("{id:?} was to be committed, and it is not there: its records are lost"))),
        }
    }

    pub(super) fn recover(&mut self, attempt: Attempt, handles: &[TransactionId]) -> Result<(), BoxError> {
        self.events.push(SinkEvent::Recovered(attempt, handles.to_vec()));
        if self.writers > 0 {
            return Err(self.violated(format!("attempt {attempt} takes up while {} writers are open", self.writers)));
        }
        self.attempt = Some(attempt);
        handles.iter().try_for_each(|id| self.commit(*id))?;
        let unknown = self.transactions.iter().filter(|(_, transaction)| transaction.phase != Phase::Committed);
        let unknown: Vec<TransactionId> = unknown.map(|(id, _)| *id).collect();
        unknown.into_iter().for_each(|id| self.abort(id));
        Ok(())
    }
}
