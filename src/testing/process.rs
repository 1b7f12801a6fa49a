//! A simulated process: what the scheduler, the executor and the watchdog share.
//!
//! Always: once it has halted, no driver is stepped, no blocking work is done and no call of the store has an effect any more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::armed::Armed;
use super::disk::{Disk, DiskCall};
use super::present::Present;
use super::rng::Rng;
use super::timeline::Note;
use super::trace::{Happening, Trace};
use crate::actor::RootRef;
use crate::executor::{RestoreFrom, Running};
use crate::hook::Canary;
use crate::ids::TaskId;

/// Room for what happens in the process of a small job.
const USUAL_TRACE: usize = 1024;

/// Why a process stopped before its job had ended.
#[derive(Clone, Debug)]
pub(super) enum Halt {
    /// It was to die at this step.
    Died,
    /// It does not go on.
    Stuck(String),
    /// Something that always holds does not.
    Broken(String),
}

/// How long a process may live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// The step at which it dies.
    pub(super) dies_at: Option<u64>,
    /// The step at which it counts as going round in circles.
    pub(super) max_steps: u64,
    /// One turn in so many, a driver is held up.
    pub(super) stall_one_in: usize,
    /// Whether what happens is noted for people.
    pub(super) watched: bool,
    /// What its restarts take their state from.
    pub(super) restores: Restores,
    /// How the engine is broken on purpose.
    pub(super) canary: Option<Canary>,
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
    disk: Disk,
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
    names: BTreeMap<TaskId, String>,
    notes: Vec<Note>,
    halt: Option<Halt>,
    present: Present,
    /// The scheduler looks for lost wake-ups.
    probing: bool,
    root: Option<RootRef>,
}

impl Process {
    /// Within the runtime that it lives on.
    pub(super) fn new(seed: u64, life: Life, disk: Disk) -> Arc<Self> {
        let inner = Inner {
            rng: Rng::new(seed),
            arrived: Vec::new(),
            offloaded: 0,
            steps: 0,
            trace: Trace(Vec::with_capacity(USUAL_TRACE)),
            names: BTreeMap::new(),
            notes: Vec::new(),
            halt: None,
            present: Present::default(),
            probing: false,
            root: None,
        };
        let (inner, scheduler, halting) = (Mutex::new(inner), AtomicWaker::new(), Notify::new());
        Arc::new(Process { inner, life, origin: Instant::now(), disk, scheduler, halting })
    }

    /// Its disk, which outlives it.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether it has halted: then nothing in it has any effect.
    pub(super) fn is_dead(&self) -> bool {
        self.inner().halt.is_some()
    }

    /// The scheduler begins or ends to look for lost wake-ups: what is called meanwhile is called for the look only.
    pub(super) fn probes(&self, probing: bool) {
        self.inner().probing = probing;
    }

    pub(super) fn is_probing(&self) -> bool {
        self.inner().probing
    }

    /// The root of its job, once that is there.
    pub(super) fn root(&self) -> Option<RootRef> {
        self.inner().root.clone()
    }

    /// The job has a root.
    pub(super) fn rooted(&self, root: RootRef) {
        self.inner().root = Some(root);
    }

    /// Looks at who is there, or changes it.
    pub(super) fn presence<T>(&self, change: impl FnOnce(&mut Present) -> T) -> T {
        change(&mut self.inner().present)
    }

    /// Asks the plan whether something strikes, and notes it.
    pub(super) fn strikes<T>(&self, ask: impl FnOnce(&mut Armed) -> Option<T>) -> Option<T> {
        let mut armed = self.disk.armed();
        let effect = ask(&mut armed);
        let struck = armed.take_struck();
        drop(armed);
        for fault in struck {
            self.note(Happening::Struck(fault));
            self.write_down("FAULT", true, || self.disk.armed().named(fault));
        }
        effect
    }

    /// A task has this name for people.
    pub(super) fn name(&self, task: TaskId, name: String) {
        self.inner().names.insert(task, name);
    }

    /// What people call a task.
    pub(super) fn name_of(&self, task: TaskId) -> String {
        self.inner().names.get(&task).cloned().unwrap_or_else(|| task.to_string())
    }

    /// Notes something for people, where anybody watches.
    pub(super) fn write_down(&self, who: &str, matters: bool, what: impl FnOnce() -> String) {
        if self.life.watched {
            let at_ms = self.origin.elapsed().as_millis() as u64;
            let note = Note { at_ms, who: who.to_owned(), what: what(), matters };
            self.inner().notes.push(note);
        }
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.life.watched
    }

    /// What was noted for people.
    pub(super) fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut self.inner().notes)
    }

    /// The store is called: a step; false if the process is dead.
    pub(super) fn store_called(&self, call: DiskCall, path: &str) -> bool {
        self.step(Happening::Stored(call, path.into()))
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

    /// Whether the engine is broken so.
    pub(super) fn is_broken_by(&self, canary: Canary) -> bool {
        self.life.canary == Some(canary)
    }

    pub(super) fn stall_one_in(&self) -> usize {
        self.life.stall_one_in
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
        let steps = inner.steps;
        drop(inner);
        let planned = self.strikes(|armed| armed.dies(steps).then_some(())).is_some();
        let halt = if planned || Some(steps) == self.life.dies_at {
            Some(Halt::Died)
        } else if steps > self.life.max_steps {
            Some(Halt::Stuck(format!("more than {} steps", self.life.max_steps)))
        } else {
            None
        };
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
