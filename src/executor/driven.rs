//! A driver on the pool: its future, and whether it waits, is due, or runs.
//!
//! Always: a driver stands in at most one queue, and is polled by at most one worker at a time. A wake-up that comes while it runs
//! is remembered, and makes it due again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Wake, Waker};

use super::Running;
use super::queues::Queues;

/// It waits for a wake-up.
const ASLEEP: u8 = 0;
/// It stands in a queue.
const DUE: u8 = 1;
/// A worker polls it.
const RUNNING: u8 = 2;
/// A worker polls it, and it was woken meanwhile.
const WOKEN: u8 = 3;

/// A driver, and where it stands.
pub(super) struct Driven {
    future: Mutex<Option<Running>>,
    state: AtomicU8,
    /// The worker whose queue it joins when it is woken.
    home: AtomicUsize,
    queues: Weak<Queues>,
}

impl Driven {
    /// One that is due from the beginning; the caller puts it into its queue.
    pub(super) fn new(future: Running, home: usize, queues: &Arc<Queues>) -> Arc<Self> {
        let (state, home) = (AtomicU8::new(DUE), AtomicUsize::new(home));
        Arc::new(Driven { future: Mutex::new(Some(future)), state, home, queues: Arc::downgrade(queues) })
    }

    /// The worker whose queue it joins.
    pub(super) fn home(&self) -> usize {
        self.home.load(Ordering::Relaxed)
    }

    /// From now on it joins this worker's queue.
    pub(super) fn settle(&self, worker: usize) {
        self.home.store(worker, Ordering::Relaxed);
    }

    /// Polls it once; true if it is due again.
    pub(super) fn run(self: &Arc<Self>) -> bool {
        self.state.swap(RUNNING, Ordering::SeqCst);
        let waker = Waker::from(self.clone());
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = future.as_mut() else { return false };
        // Panics of steps are caught by the driver; this keeps the worker from those of anything else, such as a drop.
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut Context::from_waker(&waker))));
        if !matches!(polled, Ok(poll) if poll.is_pending()) {
            discard(future.take());
            return false;
        }
        drop(future);
        if self.state.compare_exchange(RUNNING, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return false;
        }
        self.state.swap(DUE, Ordering::SeqCst);
        true
    }

    /// Drops the driver, unless a worker is stuck in it.
    pub(super) fn abandon(&self) {
        if let Ok(mut future) = self.future.try_lock() {
            discard(future.take());
        }
    }

    /// Notes a wake-up; true if it has to be put into a queue.
    fn wakes(&self) -> bool {
        // Also where nothing changes it is written, and [`Driven::run`] swaps: else the poll that is due might not see what whoever
        // wakes has written before.
        let next = |state| match state {
            ASLEEP => Some(DUE),
            RUNNING => Some(WOKEN),
            same => Some(same),
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(ASLEEP)
    }
}

fn discard(future: Option<Running>) {
    if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
        tracing::error!("a driver panicked while it was dropped");
    }
}

impl Wake for Driven {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.wakes()
            && let Some(queues) = self.queues.upgrade()
        {
            queues.push(self.clone());
        }
    }
}
