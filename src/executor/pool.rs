//! The job's own pool: a tokio runtime with named worker threads, and the machine's clocks.

use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};

use super::{Executor, Pace, Running};
use crate::error::{Error, Result};
use crate::ids::TaskId;
use crate::time::{Clock, SystemClock};

/// Steps before a driver lets others have their turn: enough that a hand-over costs nothing beside them, few enough that none
/// waits long.
const STEPS: usize = 64;
/// Some tens of microseconds of looking, where a worker has nothing else to do.
const IDLE_TURNS: usize = 64;

/// Runs drivers on the workers of a runtime.
#[derive(Debug)]
pub(crate) struct Pool {
    runtime: Handle,
    clock: Arc<SystemClock>,
}

impl Pool {
    /// On the runtime with this handle.
    pub(crate) fn new(runtime: Handle) -> Self {
        Pool { runtime, clock: Arc::new(SystemClock::new()) }
    }
}

/// A runtime with this many workers for a job; one a core where none is given.
///
/// # Errors
/// Where threads can't be started.
pub(crate) fn build_runtime(job: &str, workers: Option<usize>) -> Result<Runtime> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers.unwrap_or_else(cores).max(1)).thread_name(format!("{job}-worker")).enable_time();
    builder.build().map_err(|error| Error::Engine(format!("the job's threads could not be started: {error}")))
}

impl Executor for Pool {
    fn spawn(&self, _: TaskId, driver: Running) {
        drop(self.runtime.spawn(driver));
    }

    fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.runtime.spawn_blocking(work));
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn pace(&self) -> Pace {
        Pace { steps: STEPS, idle_turns: IDLE_TURNS }
    }
}
