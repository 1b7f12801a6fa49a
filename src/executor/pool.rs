//! The job's own pool: worker threads for drivers, the runtime of the job's thread for timers and blocking work, the machine's
//! clocks.
//!
//! The instances of one chain begin on different workers, and the chains that follow each other too, so that a pipeline of few tasks
//! runs side by side.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use super::driven::Driven;
use super::queues::Queues;
use super::{Executor, Running};
use crate::error::{Error, Result};
use crate::ids::TaskId;
use crate::time::{Clock, SystemClock};

/// Steps before a driver lets others have their turn: enough that a hand-over costs nothing beside them, few enough that none
/// waits long, and that what one driver has sent is still in the cache when the next one reads it.
const STEPS: usize = 16;
/// Looks at its queue that an idle worker takes before it looks at those of others: a driver that waits a moment is better run
/// where its state is.
const LOOKS_BEFORE_STEALING: usize = 200;
/// Looks before it sleeps: some tens of microseconds, about what it costs to be woken.
const LOOKS: usize = 4_000;

/// Runs drivers on workers of its own.
pub(crate) struct Pool {
    queues: Arc<Queues>,
    runtime: Handle,
    clock: Arc<SystemClock>,
    /// All drivers that may still be there: one that sleeps is held by what may wake it alone.
    drivers: Mutex<Vec<Weak<Driven>>>,
    /// Closed when the last worker has ended.
    ended: Mutex<Receiver<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("workers", &self.queues.workers()).finish_non_exhaustive()
    }
}

/// The runtime of a job's thread.
///
/// # Errors
/// Where it can't be built.
pub(crate) fn build_runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.map_err(|error| Error::Engine(format!("the job's runtime could not be started: {error}")))
}

impl Pool {
    /// With this many workers, one a core where no number is given. Timers and blocking work are the runtime's.
    ///
    /// # Errors
    /// Where threads can't be started.
    pub(crate) fn start(job: &str, workers: Option<usize>, runtime: Handle) -> Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let queues = Queues::new(workers.unwrap_or_else(cores).max(1));
        let (alive, ended) = channel();
        let (clock, drivers, ended) = (Arc::new(SystemClock::new()), Mutex::default(), Mutex::new(ended));
        let pool = Pool { queues, runtime, clock, drivers, ended };
        for worker in 0..pool.queues.workers() {
            // Those that were started before would wait for ever.
            pool.start_worker(job, worker, alive.clone()).inspect_err(|_| pool.queues.close())?;
        }
        Ok(pool)
    }

    fn start_worker(&self, job: &str, worker: usize, alive: Sender<()>) -> Result<()> {
        let (queues, runtime) = (self.queues.clone(), self.runtime.clone());
        let name = format!("{}-worker-{worker}", job.replace('\0', "?"));
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let _timers = runtime.enter();
            queues.enrol(worker);
            work(&queues, worker);
            drop(alive);
        });
        thread.map(drop).map_err(|error| Error::Engine(format!("the job's threads could not be started: {error}")))
    }

    /// Ends the workers, and waits so long at most for one that is stuck in a step: that one is left alone. Drivers that are still
    /// there are dropped.
    pub(crate) fn close(&self, wait: Duration) {
        self.queues.close();
        let _all_ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(wait);
        let drivers = std::mem::take(&mut *self.drivers.lock().unwrap_or_else(PoisonError::into_inner));
        drivers.iter().filter_map(Weak::upgrade).for_each(|driven| driven.abandon());
    }
}

/// A worker's life.
fn work(queues: &Queues, worker: usize) {
    let mut looks = 0;
    while !queues.is_closed() {
        let steals = looks >= LOOKS_BEFORE_STEALING;
        let next = queues.pop(worker).or_else(|| if steals { queues.steal(worker) } else { None });
        if let Some(driven) = next {
            looks = 0;
            if driven.run() {
                queues.push_again(driven);
            }
        } else if looks < LOOKS {
            looks += 1;
            std::hint::spin_loop();
        } else {
            queues.sleep(worker);
            looks = 0;
        }
    }
}

impl Executor for Pool {
    fn spawn(&self, task: TaskId, driver: Running) {
        let home = (task.chain as usize).wrapping_add(task.index as usize) % self.queues.workers();
        let driven = Driven::new(driver, home, &self.queues);
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        drivers.retain(|driven| driven.strong_count() > 0);
        drivers.push(Arc::downgrade(&driven));
        drop(drivers);
        self.queues.push(driven);
    }

    fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.runtime.spawn_blocking(work));
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn steps(&self) -> usize {
        STEPS
    }
}
