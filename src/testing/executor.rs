//! The simulated executor: hands drivers to the scheduler, and blocking work to tasks of the runtime that wait a drawn while.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use super::clock::SimClock;
use super::process::Process;
use super::trace::Happening;
use crate::executor::{Executor, RestoreFrom, Running};
use crate::ids::TaskId;
use crate::time::Clock;

/// Runs a job's tasks in a simulated process.
#[derive(Debug)]
pub(super) struct SimExecutor {
    process: Arc<Process>,
    clock: Arc<SimClock>,
}

impl SimExecutor {
    pub(super) fn new(process: Arc<Process>, clock: Arc<SimClock>) -> Self {
        SimExecutor { process, clock }
    }
}

impl Executor for SimExecutor {
    fn spawn(&self, task: TaskId, driver: Running) {
        self.process.arrive(task, driver);
    }

    /// Some work is done at once, some after others had their turn, some after a while.
    fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        let process = self.process.clone();
        let number = process.note_offload();
        let (yields, delay_ms) = (process.draw(4), if process.draw(4) == 0 { process.draw(20) } else { 0 });
        tokio::spawn(async move {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms as u64)).await;
            }
            if !process.step(Happening::Worked(number)) {
                pending::<()>().await;
            }
            work();
        });
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn steps(&self) -> usize {
        1
    }

    fn restore_from(&self) -> RestoreFrom {
        let from = self.process.restore_from();
        self.process.note(match from {
            RestoreFrom::Memory => Happening::FromMemory,
            RestoreFrom::Files => Happening::FromFiles,
        });
        from
    }
}
