//! The queues of a pool's workers: which drivers are due, and who looks.
//!
//! Each driver has a home, so that what it has in its worker's cache stays there; an idle worker takes what waits in another's queue
//! and becomes its home. Always: a worker says that it sleeps before it looks a last time, and whoever adds to a queue looks for
//! sleepers after it has added, so that no driver is left waiting beside a sleeping worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use super::driven::Driven;

/// The queues of all workers.
pub(super) struct Queues {
    workers: Box<[Worker]>,
    /// How many of them sleep, or are about to.
    asleep: AtomicUsize,
    closed: AtomicBool,
}

/// One worker's queue.
#[derive(Default)]
struct Worker {
    due: Mutex<VecDeque<Arc<Driven>>>,
    /// The length of the queue, to be looked at without the lock.
    waiting: AtomicUsize,
    sleeps: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Worker {
    fn due(&self) -> MutexGuard<'_, VecDeque<Arc<Driven>>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, driven: Arc<Driven>) {
        let mut due = self.due();
        due.push_back(driven);
        self.waiting.store(due.len(), Ordering::SeqCst);
    }

    fn pop(&self) -> Option<Arc<Driven>> {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut due = self.due();
        let first = due.pop_front();
        self.waiting.store(due.len(), Ordering::SeqCst);
        first
    }

    /// Wakes the worker if it sleeps; false if it does not.
    fn wake(&self) -> bool {
        let slept = self.sleeps.swap(false, Ordering::SeqCst);
        if slept && let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        slept
    }
}

impl Queues {
    /// Of this many workers.
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let workers = (0..workers).map(|_| Worker::default()).collect();
        Arc::new(Queues { workers, asleep: AtomicUsize::new(0), closed: AtomicBool::new(false) })
    }

    /// The number of workers.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The calling thread is this worker.
    pub(super) fn enrol(&self, worker: usize) {
        if let Some(worker) = self.workers.get(worker) {
            worker.thread.get_or_init(std::thread::current);
        }
    }

    /// Puts a driver that is due into the queue of its home, and wakes whoever can run it first.
    pub(super) fn push(&self, driven: Arc<Driven>) {
        let home = driven.home();
        let Some(worker) = self.workers.get(home) else { return };
        worker.push(driven);
        if self.asleep.load(Ordering::SeqCst) > 0 && !worker.wake() {
            self.wake_one();
        }
    }

    /// Puts a driver back that its worker has just run. Where others wait too, a sleeping worker may take one of them.
    pub(super) fn push_again(&self, driven: Arc<Driven>) {
        let Some(worker) = self.workers.get(driven.home()) else { return };
        worker.push(driven);
        if worker.waiting.load(Ordering::SeqCst) > 1 && self.asleep.load(Ordering::SeqCst) > 0 {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        let _found = self.workers.iter().any(Worker::wake);
    }

    /// The next driver of this worker.
    pub(super) fn pop(&self, worker: usize) -> Option<Arc<Driven>> {
        self.workers.get(worker)?.pop()
    }

    /// A driver that waits for another worker, which has something else to do; it moves here.
    pub(super) fn steal(&self, worker: usize) -> Option<Arc<Driven>> {
        let after = self.workers.iter().skip(worker + 1);
        let mut others = after.chain(self.workers.iter().take(worker));
        let stolen = others.find_map(Worker::pop)?;
        stolen.settle(worker);
        Some(stolen)
    }

    /// Sleeps until there may be something to do.
    pub(super) fn sleep(&self, worker: usize) {
        let Some(own) = self.workers.get(worker) else { return };
        own.sleeps.store(true, Ordering::SeqCst);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        while own.sleeps.load(Ordering::SeqCst) && !self.has_work() && !self.is_closed() {
            std::thread::park();
        }
        own.sleeps.store(false, Ordering::SeqCst);
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    fn has_work(&self) -> bool {
        self.workers.iter().any(|worker| worker.waiting.load(Ordering::SeqCst) > 0)
    }

    /// Lets all workers end. What is in the queues then is dropped with them.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for worker in &self.workers {
            worker.sleeps.store(false, Ordering::SeqCst);
            if let Some(thread) = worker.thread.get() {
                thread.unpark();
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}
