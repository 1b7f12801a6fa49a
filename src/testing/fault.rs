//! A planned fault: what goes wrong at the n-th call of something, and whether it did.
//!
//! Clones are the same fault, so that it counts over restarts and processes. A panic is raised without the panic hook, so that
//! planned ones don't fill the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::BoxError;

/// Goes off at a call, and at some calls after it.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    /// The first call that fails, and how many do.
    first: u64,
    times: u64,
    calls: Arc<AtomicU64>,
    fired: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Panic,
    Error,
}

impl Fault {
    fn new(kind: Kind, first: u64) -> Self {
        Fault { kind, first, times: 1, calls: Arc::default(), fired: Arc::default() }
    }

    /// A panic at the call with this number; the first is 1.
    pub fn panic_at(call: u64) -> Self {
        Fault::new(Kind::Panic, call)
    }

    /// An error at the call with this number; the first is 1. Where a callback can't return one, it is a panic.
    pub fn error_at(call: u64) -> Self {
        Fault::new(Kind::Error, call)
    }

    /// Goes off at this many calls in a row.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Counts a call; true if it is one to fail.
    pub(super) fn strikes(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let strikes = (self.first..self.first.saturating_add(self.times)).contains(&call);
        self.fired.fetch_add(u64::from(strikes), Ordering::SeqCst);
        strikes
    }

    /// Counts a call of a callback that may fail.
    ///
    /// # Errors
    /// At the planned call.
    ///
    /// # Panics
    /// At the planned call, where a panic is planned.
    pub fn call(&self) -> Result<(), BoxError> {
        match (self.strikes(), self.kind) {
            (false, _) => Ok(()),
            (true, Kind::Error) => Err("a planned error".into()),
            (true, Kind::Panic) => std::panic::resume_unwind(Box::new("a planned panic")),
        }
    }

    /// Counts a call of a callback that cannot return an error.
    ///
    /// # Panics
    /// At the planned call.
    pub fn trip(&self) {
        if self.strikes() {
            std::panic::resume_unwind(Box::new("a planned panic"));
        }
    }

    /// How many calls there have been.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether it has gone off.
    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst) > 0
    }
}
