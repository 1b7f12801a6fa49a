//! A source that reads what a test wrote down: the same records, in the same splits, at each attempt.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::fault::Fault;
use crate::error::BoxError;
use crate::source::{Poll, Records, Source, SplitReader};

/// A call that a fault can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceCall {
    /// Finds the splits.
    Splits,
    /// Opens a split.
    Open,
    /// Reads from one, while there is no pause.
    Poll,
}

/// Reads lists of records, one a split: the same ones from the same positions, at each attempt and in each process.
///
/// Pauses pass in virtual time, so a source that makes pauses runs in a [`Simulation`](super::Simulation) (or on a tokio runtime
/// with time).
///
/// ```
/// use tidegate::testing::{End, Fault, Scripted, Simulation, SourceCall};
/// use tidegate::{Job, Restart, millis};
///
/// let sim = Simulation::new(3);
/// let out = sim.sink();
/// let breaks = Fault::error_at(2);
/// let script = Scripted::new([vec![1, 2, 3], vec![4]]).batches(2).pause_every(2, millis(5)).fault(SourceCall::Poll, &breaks);
/// let job = Job::new("copy").restart(Restart::fixed_delay(1, millis(5)));
/// job.source("numbers", script).sink("out", out.clone());
/// let run = sim.run(job);
/// assert!(matches!(run.end, End::Finished(_)), "{run}");
/// assert!(breaks.fired());
/// assert_eq!(out.sorted(), [1, 2, 3, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Scripted<T> {
    splits: Vec<Arc<[T]>>,
    batch: usize,
    pause: Option<(u64, Duration)>,
    endless: bool,
    faults: Vec<(SourceCall, Fault)>,
}

impl<T> Scripted<T> {
    /// With these splits.
    pub fn new(splits: impl IntoIterator<Item = Vec<T>>) -> Self {
        let splits = splits.into_iter().map(Arc::from).collect();
        Scripted { splits, batch: usize::MAX, pause: None, endless: false, faults: Vec::new() }
    }

    /// Hands out at most this many records at a time.
    #[must_use]
    pub fn batches(mut self, records: usize) -> Self {
        self.batch = records.max(1);
        self
    }

    /// Has nothing for a while after each `records` records of a split. After no time at all the source is asked again, though
    /// others have their turn before.
    #[must_use]
    pub fn pause_every(mut self, records: u64, pause: Duration) -> Self {
        self.pause = Some((records.max(1), pause));
        self
    }

    /// Never ends: after the last record there is nothing for now, for ever.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Plans a fault.
    #[must_use]
    pub fn fault(mut self, call: SourceCall, fault: &Fault) -> Self {
        self.faults.push((call, fault.clone()));
        self
    }

    fn call(&self, call: SourceCall) -> Result<(), BoxError> {
        self.faults.iter().filter(|(planned, _)| *planned == call).try_for_each(|(_, fault)| fault.call())
    }
}

impl<T: Clone + Send + Sync + 'static> Source for Scripted<T> {
    type Item = T;
    type Position = u64;
    type Reader = ScriptReader<T>;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        self.call(SourceCall::Splits)?;
        Ok((0..self.splits.len()).map(|split| (split.to_string(), 0)).collect())
    }

    fn open(&self, split: &str, position: u64) -> Result<ScriptReader<T>, BoxError> {
        self.call(SourceCall::Open)?;
        let records = split.parse().ok().and_then(|split: usize| self.splits.get(split)).cloned();
        let records = records.ok_or_else(|| format!("there is no split {split}"))?;
        Ok(ScriptReader { script: self.clone(), records, next: position, paused_at: None, pause: None })
    }
}

/// Reads one split of a [`Scripted`].
#[derive(Debug)]
pub struct ScriptReader<T> {
    script: Scripted<T>,
    records: Arc<[T]>,
    next: u64,
    /// Where the last pause was made.
    paused_at: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> ScriptReader<T> {
    /// Whether there is nothing now because of a pause.
    fn pauses(&mut self, waker: &Waker) -> bool {
        if let Some(pause) = &mut self.pause {
            let pending = pause.as_mut().poll(&mut Context::from_waker(waker)).is_pending();
            if !pending {
                self.pause = None;
            }
            return pending;
        }
        let Some((every, pause)) = self.script.pause else { return false };
        if !self.next.is_multiple_of(every) || self.next == 0 || self.paused_at == Some(self.next) {
            return false;
        }
        self.paused_at = Some(self.next);
        if pause.is_zero() {
            waker.wake_by_ref();
            return true;
        }
        self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        self.pauses(waker)
    }

    /// Where the next poll has to stop.
    fn limit(&self) -> u64 {
        let pause = self.script.pause.map_or(u64::MAX, |(every, _)| (self.next / every + 1).saturating_mul(every));
        pause.min(self.next.saturating_add(self.script.batch as u64)).min(self.records.len() as u64)
    }
}

impl<T: Clone + Send + Sync + 'static> SplitReader for ScriptReader<T> {
    type Item = T;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, T>, waker: &Waker) -> Result<Poll, BoxError> {
        let over = self.script.endless && self.next >= self.records.len() as u64;
        if self.pauses(waker) || over {
            return Ok(Poll::Pending);
        }
        self.script.call(SourceCall::Poll)?;
        let to = self.limit().min(self.next + out.room() as u64);
        let records = self.records.get(self.next as usize..to as usize).unwrap_or_default();
        out.extend(records.iter().cloned());
        self.next = to.max(self.next);
        let ended = self.next >= self.records.len() as u64 && !self.script.endless;
        Ok(if ended { Poll::Ended } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.next
    }
}
