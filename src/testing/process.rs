//! A simulated process: what the scheduler, the executor and the watchdog share.
//!
//! Always: once it has halted, no driver is stepped and no blocking work is done any more.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rng::Rng;
use super::trace::{Happening, Trace};
use crate::executor::{RestoreFrom, Running};
use crate::ids::TaskId;

/// Why a process stopped before its job had ended.
#[derive(Clone, Debug)]
pub(super) enum Halt {
    /// It was to die at this step.
    Died,
    /// Something that must not be.
    Stuck(String),
}

/// How long a process may live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// The step at which it dies.
    pub(super) dies_at: Option<u64>,
    /// The step at which it counts as going round in circles.
    pub(super) max_steps: u64,
    /// What its restarts take their state from.
    pub(super) restores: Restores,
}

/// What restarts inside a simulated process take their state from, where the views of the last checkpoint are still in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restores {
    /// One or the other, as the seed decides for each restart.
    #[default]
    Drawn,
    /// Those views.
    FromMemory,
    /// The checkpoint's files.
    FromFiles,
}

pub(super) struct Process {
    inner: Mutex<Inner>,
    life: Life,
    origin: Instant,
    /// Wakes the scheduler.
    pub(super) scheduler: AtomicWaker,
    /// Told when the process halts.
    pub(super) halting: Notify,
}

struct Inner {
    rng: Rng,
    arrived: Vec<(TaskId, Running)>,
    offloaded: u64,
    steps: u64,
    trace: Trace,
    halt: Option<Halt>,
}

impl Process {
    /// Within the runtime that it lives on.
    pub(super) fn new(seed: u64, life: Life) -> Arc<Self> {
        let rng = Rng::new(seed);
        let inner = Inner { rng, arrived: Vec::new(), offloaded: 0, steps: 0, trace: Trace::default(), halt: None };
        let (inner, scheduler, halting) = (Mutex::new(inner), AtomicWaker::new(), Notify::new());
        Arc::new(Process { inner, life, origin: Instant::now(), scheduler, halting })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A driver is to be run.
    pub(super) fn arrive(&self, task: TaskId, driver: Running) {
        self.note(Happening::Started(task));
        self.inner().arrived.push((task, driver));
        self.scheduler.wake();
    }

    /// The drivers that have come since the last call.
    pub(super) fn take_arrived(&self) -> Vec<(TaskId, Running)> {
        std::mem::take(&mut self.inner().arrived)
    }

    /// A number below `bound`.
    pub(super) fn draw(&self, bound: usize) -> usize {
        self.inner().rng.below(bound)
    }

    /// What a restart takes its state from that could take it from memory.
    pub(super) fn restore_from(&self) -> RestoreFrom {
        match self.life.restores {
            Restores::FromMemory => RestoreFrom::Memory,
            Restores::FromFiles => RestoreFrom::Files,
            Restores::Drawn if self.draw(2) == 0 => RestoreFrom::Memory,
            Restores::Drawn => RestoreFrom::Files,
        }
    }

    pub(super) fn note_offload(&self) -> u64 {
        let mut inner = self.inner();
        inner.offloaded += 1;
        let number = inner.offloaded;
        drop(inner);
        self.note(Happening::Offloaded(number));
        number
    }

    pub(super) fn note(&self, happening: Happening) {
        let at_ms = self.origin.elapsed().as_millis() as u64;
        self.inner().trace.0.push((at_ms, happening));
    }

    /// Something is about to be done; false if the process has halted.
    pub(super) fn step(&self, happening: Happening) -> bool {
        let mut inner = self.inner();
        if inner.halt.is_some() {
            return false;
        }
        inner.steps += 1;
        let halt = if Some(inner.steps) == self.life.dies_at {
            Some(Halt::Died)
        } else if inner.steps > self.life.max_steps {
            Some(Halt::Stuck(format!("more than {} steps", self.life.max_steps)))
        } else {
            None
        };
        drop(inner);
        if let Some(halt) = halt {
            self.halt(halt);
            return false;
        }
        self.note(happening);
        true
    }

    pub(super) fn halt(&self, halt: Halt) {
        self.inner().halt.get_or_insert(halt);
        self.halting.notify_one();
    }

    /// Why it halted, how many steps there were, and what happened.
    pub(super) fn end(&self) -> (Option<Halt>, u64, Trace) {
        let mut inner = self.inner();
        (inner.halt.clone(), inner.steps, std::mem::take(&mut inner.trace))
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("life", &self.life).finish_non_exhaustive()
    }
}
