//! A transactional sink in memory that records what it is told, and checks that it is told it in order.
//!
//! It models a broker: what is written goes into a transaction of its writer; a cut transaction is prepared by `make_durable`,
//! and from then on survives the process; a commit makes it visible. Clones are the same broker. What must never be is noted as a
//! violation: a write after the end, a call of an attempt that was replaced, a commit of what is not there.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::broker::{Broker, Phase, SinkEvent, TransactionId};
use super::fault::Fault;
use crate::api::Record;
use crate::error::BoxError;
use crate::ids::{Attempt, CheckpointId};
use crate::sink::{Sink, SinkContext, SinkWriter};

/// A call that a fault can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkCall {
    /// [`Sink::recover`].
    Recover,
    /// [`Sink::open`].
    Open,
    /// [`SinkWriter::write`].
    Write,
    /// [`SinkWriter::cut`].
    Cut,
    /// [`Sink::make_durable`], before anything is done.
    MakeDurable,
    /// [`Sink::commit`], before anything is done.
    Commit,
    /// [`Sink::commit`], once it is done: the answer is lost.
    Committed,
    /// [`SinkWriter::finish`].
    Finish,
}

/// Records what it is told: a transaction is begun by the first write, written, cut off at a barrier, prepared, and committed once
/// the checkpoint is complete; or aborted, where its writer is closed before the cut, or no handle knows of it at a recovery.
///
/// Made by [`Simulation::sink`](super::Simulation::sink), so that the deaths of processes reach it, or, for other tests, by
/// [`RecordingSink::new`].
///
/// ```
/// use tidegate::testing::{End, Fault, RecordingSink, Scripted, SinkCall, SinkEvent, Simulation, TransactionId};
/// use tidegate::{Job, Restart, millis};
///
/// let sim = Simulation::new(3);
/// let out: RecordingSink<u64> = sim.sink();
/// let breaks = Fault::panic_at(2);
/// out.plan(SinkCall::Write, &breaks);
/// let job = Job::new("copy").restart(Restart::fixed_delay(1, millis(5)));
/// job.source("numbers", Scripted::new([vec![1, 2, 3]]).batches(1)).sink("out", out.clone());
/// let run = sim.run(job);
/// assert!(matches!(run.end, End::Finished(_)), "{run}");
/// assert_eq!(out.committed(), [1, 2, 3]);
/// assert_eq!(out.violations(), [""; 0]);
///
/// let (first, second) = (TransactionId(1), TransactionId(2));
/// let events = out.events();
/// let place = |event| events.iter().position(|other| *other == event).expect("it is there");
/// assert!(place(SinkEvent::Begun(first)) < place(SinkEvent::Aborted(first)));
/// assert!(place(SinkEvent::Aborted(first)) < place(SinkEvent::Begun(second)));
/// assert!(place(SinkEvent::Prepared(second)) < place(SinkEvent::Committed(second)));
/// ```
pub struct RecordingSink<T> {
    broker: Arc<Mutex<Broker<T>>>,
}

impl<T> Clone for RecordingSink<T> {
    fn clone(&self) -> Self {
        RecordingSink { broker: self.broker.clone() }
    }
}

impl<T> fmt::Debug for RecordingSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingSink").field("events", &self.broker().events).finish_non_exhaustive()
    }
}

impl<T> Default for RecordingSink<T> {
    fn default() -> Self {
        RecordingSink::new()
    }
}

impl<T> RecordingSink<T> {
    /// With nothing written.
    pub fn new() -> Self {
        RecordingSink { broker: Arc::new(Mutex::new(Broker::new())) }
    }

    fn broker(&self) -> MutexGuard<'_, Broker<T>> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a fault.
    pub fn plan(&self, call: SinkCall, fault: &Fault) {
        self.broker().faults.push((call, fault.clone()));
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.broker().faults.clear();
    }

    /// The process that uses it dies: what was not prepared is gone, and what its writers still call is without effect. In a
    /// [`Simulation`](super::Simulation) this happens by itself.
    pub fn die(&self) {
        self.broker().die();
    }

    /// What it was told, in order.
    pub fn events(&self) -> Vec<SinkEvent> {
        self.broker().events.clone()
    }

    /// What must never be, and was. A test that uses the sink should find none.
    pub fn violations(&self) -> Vec<String> {
        self.broker().violations.clone()
    }

    /// Counts a call, and fails where that is planned. Outside the lock, because it may panic.
    fn call(&self, call: SinkCall) -> Result<(), BoxError> {
        let planned = self.broker().faults.clone();
        planned.iter().filter(|(planned, _)| *planned == call).try_for_each(|(_, fault)| fault.call())
    }
}

impl<T: Clone> RecordingSink<T> {
    /// Everything that is committed, in the order of the commits.
    pub fn committed(&self) -> Vec<T> {
        self.broker().committed.clone()
    }
}

impl<T: Clone + Ord> RecordingSink<T> {
    /// Everything that is committed, sorted.
    pub fn sorted(&self) -> Vec<T> {
        let mut records = self.committed();
        records.sort();
        records
    }
}

/// What tells a sink that its process has died.
pub(super) fn dies<T: Send + 'static>(sink: &RecordingSink<T>) -> Box<dyn Fn() + Send> {
    let sink = sink.clone();
    Box::new(move || sink.die())
}

/// Writes into the transactions of a [`RecordingSink`].
pub struct Recorder<T> {
    sink: RecordingSink<T>,
    attempt: Attempt,
    index: u32,
    deaths: u64,
    open: Option<TransactionId>,
    finished: bool,
    record: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Recorder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("attempt", &self.attempt).field("index", &self.index).finish_non_exhaustive()
    }
}

impl<T: Record> Sink for RecordingSink<T> {
    type Item = T;
    type Cut = Option<TransactionId>;
    type Handle = TransactionId;
    type Writer = Recorder<T>;

    fn recover(&self, ctx: &SinkContext, handles: Vec<TransactionId>) -> Result<(), BoxError> {
        self.call(SinkCall::Recover)?;
        self.broker().recover(ctx.attempt, &handles)
    }

    fn open(&self, ctx: &SinkContext) -> Result<Recorder<T>, BoxError> {
        self.call(SinkCall::Open)?;
        let mut broker = self.broker();
        broker.check_attempt(ctx.attempt, "opened a writer")?;
        broker.writers += 1;
        broker.events.push(SinkEvent::Opened(ctx.attempt, ctx.index));
        let deaths = broker.deaths;
        drop(broker);
        let (attempt, index) = (ctx.attempt, ctx.index);
        Ok(Recorder { sink: self.clone(), attempt, index, deaths, open: None, finished: false, record: PhantomData })
    }

    fn make_durable(&self, cut: Option<TransactionId>) -> Result<Vec<TransactionId>, BoxError> {
        self.call(SinkCall::MakeDurable)?;
        let Some(id) = cut else { return Ok(Vec::new()) };
        self.broker().prepare(id)?;
        Ok(vec![id])
    }

    fn commit(&self, handle: &TransactionId) -> Result<(), BoxError> {
        self.call(SinkCall::Commit)?;
        let mut broker = self.broker();
        if let Some(attempt) = broker.transactions.get(handle).map(|transaction| transaction.attempt) {
            broker.check_attempt(attempt, "committed")?;
        }
        broker.commit(*handle)?;
        drop(broker);
        self.call(SinkCall::Committed)
    }
}

impl<T: Record> SinkWriter for Recorder<T> {
    type Item = T;
    type Cut = Option<TransactionId>;

    fn write(&mut self, records: &mut Vec<T>) -> Result<(), BoxError> {
        self.sink.call(SinkCall::Write)?;
        let mut broker = self.sink.broker();
        broker.check_attempt(self.attempt, "written")?;
        if self.finished {
            return Err(broker.violated(format!("writer {} wrote after its end of data", self.index)));
        }
        let id = *self.open.get_or_insert_with(|| broker.begin(self.attempt));
        broker.events.push(SinkEvent::Written(id, records.len()));
        if let Some(transaction) = broker.transactions.get_mut(&id) {
            transaction.records.append(records);
        }
        records.clear();
        Ok(())
    }

    fn cut(&mut self, checkpoint: CheckpointId) -> Result<Option<TransactionId>, BoxError> {
        self.sink.call(SinkCall::Cut)?;
        let mut broker = self.sink.broker();
        broker.check_attempt(self.attempt, "cut")?;
        let cut = self.open.take();
        broker.events.push(SinkEvent::Cut(checkpoint, cut));
        if let Some(transaction) = cut.and_then(|id| broker.transactions.get_mut(&id)) {
            transaction.phase = Phase::Cut;
        }
        Ok(cut)
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        self.sink.call(SinkCall::Finish)?;
        self.finished = true;
        self.sink.broker().events.push(SinkEvent::Finished(self.index));
        Ok(())
    }

    fn close(&mut self) {
        let mut broker = self.sink.broker();
        if broker.deaths != self.deaths {
            return;
        }
        broker.writers = broker.writers.saturating_sub(1);
        broker.events.push(SinkEvent::Closed(self.index));
        if let Some(open) = self.open.take() {
            broker.abort(open);
        }
    }
}
