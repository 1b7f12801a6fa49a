//! Where tasks are driven: the worker threads of a job's own pool, or one thread under a seeded simulator.
//!
//! Always: the same driver drives the same tasks in both; only who is stepped next, what time it is and where blocking work runs
//! differ.

mod driven;
mod driver;
mod pool;
mod pulse;
mod queues;
#[cfg(test)]
mod stress_tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use driver::{Driver, Ending, drive};
pub(crate) use pool::{Pool, build_runtime};
pub(crate) use pulse::Pulse;

use crate::ids::TaskId;
use crate::time::Clock;

/// A future that an executor runs.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a restart inside the process takes its state from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreFrom {
    /// From the views of the last complete checkpoint, which are still in memory.
    Memory,
    /// From the checkpoint's files.
    #[cfg(any(test, feature = "testing"))]
    Files,
}

/// Runs drivers and blocking work, and knows what time it is.
pub(crate) trait Executor: Send + Sync + std::fmt::Debug {
    /// Runs the driver of this task.
    fn spawn(&self, task: TaskId, driver: Running);

    /// Runs work that may block.
    fn offload(&self, work: Box<dyn FnOnce() + Send>);

    /// The clock that everything is timed with.
    fn clock(&self) -> Arc<dyn Clock>;

    /// After how many steps a driver lets others have their turn.
    fn steps(&self) -> usize;

    /// Where a restart takes its state from that could do either. Only a simulator ever prefers the files.
    fn restore_from(&self) -> RestoreFrom {
        RestoreFrom::Memory
    }
}
