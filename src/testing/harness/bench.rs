//! The tasks of a harness on their bench: planned, wired, opened and stepped as in a job, by one thread.
//!
//! Always: between two calls every task is at rest: it has nothing to read, and nothing that it could hand on. What fails fails for
//! good, as an attempt does.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use super::hand_clock::HandClock;
use super::taken::TakenSnapshot;
use crate::actor::{Origin, RestorePoint, Wanted, prepare_parts, to_snapshot};
use crate::channel::LaneSender;
use crate::config::{Guarantee, Pipes};
use crate::error::{Error, Result};
use crate::executor::{Driver, Ending};
use crate::hook::Hooks;
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::job::{Askable, Desk, Posed};
use crate::metrics::Longest;
use crate::operator::{Answers, OpId, Work};
use crate::plan::{Addresses, AttemptContext, Opener, OperatorMetrics, Plan, Surroundings, wire};
use crate::snapshot::{CheckpointKind, CheckpointNote, JobOptions, JobStore, Manifest, MemoryStore, Share, TaskEntry};
use crate::task::{Command, Progress, Report, Standstill, Task, TaskView};
use crate::time::{Clock, Moment, Timestamp};

/// The name of the job that a harness plays.
const JOB: &str = "harness";
/// Keys are hashed alike in every harness, so that a test gives the same at each run.
const SEED: u64 = 7;
/// After so many steps in a row an operator counts as one that never comes to rest.
const MAX_STEPS: usize = 1_000_000;

/// What tasks have said and have not been heard with.
type Heard<T> = Arc<Mutex<Vec<T>>>;

/// How a bench is set up.
pub(super) struct Setup<'a> {
    pub(super) plan: Plan,
    pub(super) wall: Timestamp,
    pub(super) from: Option<&'a TakenSnapshot>,
}

/// A task, and what the engine has around it.
struct Placed {
    driver: Driver,
    task: Task,
    commands: LaneSender<Command>,
}

/// All tasks of a flow.
pub(super) struct Bench {
    plan: Arc<Plan>,
    tasks: Vec<Placed>,
    clock: Arc<HandClock>,
    reports: Heard<Report>,
    works: Heard<(TaskId, OpId, Work)>,
    store: Arc<JobStore>,
    attempt: Attempt,
    next: CheckpointId,
    failed: Option<Error>,
}

impl Bench {
    /// Opens the tasks as an attempt of a job does, and runs them until they are at rest.
    ///
    /// # Errors
    /// What does not fit in the snapshot, and what an operator says in `open`.
    #[track_caller]
    pub(super) fn open(setup: Setup<'_>) -> Result<Bench> {
        let Setup { plan, wall, from } = setup;
        check_fits(&plan, from)?;
        let options = JobOptions { max_parallelism: Some(plan.groups.max()), seed: Some(SEED) };
        let mut bench = Bench {
            plan: Arc::new(plan),
            tasks: Vec::new(),
            clock: Arc::new(HandClock::new(wall)),
            reports: Heard::default(),
            works: Heard::default(),
            store: Arc::new(JobStore::open(Arc::new(MemoryStore::new()), JOB, &options)?),
            attempt: Attempt { epoch: from.map_or(1, |from| from.manifest.note.epoch + 1), n: 1 },
            next: CheckpointId(from.map_or(1, |from| from.id().0 + 1)),
            failed: None,
        };
        bench.place_all(from)?;
        bench.run()?;
        Ok(bench)
    }

    fn place_all(&mut self, from: Option<&TakenSnapshot>) -> Result<()> {
        let (plan, attempt, restored) = (self.plan.clone(), self.attempt, from.map(TakenSnapshot::id));
        let tasks: Vec<TaskId> = plan.tasks().collect();
        let hooks = Hooks::default();
        let origin = Origin::in_files(from.map(|from| from.store.clone()), restored)?;
        let wanted = Wanted { plan: &plan, job: JOB, tasks: &tasks, point: restored, attempt, hooks: &hooks };
        let point = RestorePoint::prepare(origin, &wanted)?;
        let context = AttemptContext {
            job: JOB.into(),
            attempt,
            hasher: self.store.record().hasher(),
            clock: self.clock.clone(),
            metrics: Arc::new(plan.uids.iter().map(|uid| (uid.clone(), OperatorMetrics::default())).collect()),
            longest_step: Longest::default(),
            pipes: Pipes::default(),
            guarantee: Guarantee::default(),
            restored,
            standstill: Standstill::default(),
            hooks: hooks.clone(),
        };
        for opener in wire(&plan, &tasks, &context) {
            self.place(opener, &point)?;
        }
        Ok(())
    }

    fn place(&mut self, opener: Opener, point: &RestorePoint) -> Result<()> {
        let (id, uids) = (opener.id, opener.uids());
        let share = Share { index: id.index, parallelism: self.plan.chain(id).map_or(1, |chain| chain.parallelism) };
        let kept = point.operators(&uids, share)?;
        let (bell, commands, clock) = (opener.bell.clone(), opener.commands.clone(), self.clock.clone());
        let (reports, works) = (self.reports.clone(), self.works.clone());
        let to = Surroundings {
            report: Box::new(move |report| hear(&reports, report)),
            offload: Box::new(move |operator, work| hear(&works, (id, operator, work))),
        };
        let task = opener.open(kept, to)?;
        self.tasks.push(Placed { driver: Driver { id, bell, uids, clock, steps: 1, pulse: Arc::default() }, task, commands });
        Ok(())
    }

    /// Steps the tasks until all are at rest; returns when the first of them has something to do by itself.
    ///
    /// # Errors
    /// Why an operator failed, now or before.
    #[track_caller]
    pub(super) fn run(&mut self) -> Result<Option<Moment>> {
        let mut left = MAX_STEPS;
        loop {
            if let Some(failed) = &self.failed {
                return Err(failed.clone());
            }
            let round = self.round(&mut left);
            let worked = self.work();
            match round {
                Ok((false, until)) if !worked => return Ok(until),
                Ok(_) => assert!(left > 0, "the operator does not come to rest: does a timer register another one in the past?"),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Each task until it has nothing to do, those before others first. True where any had.
    fn round(&mut self, left: &mut usize) -> Result<(bool, Option<Moment>)> {
        let (mut moved, mut first) = (false, None);
        let now = self.clock.now();
        for Placed { driver, task, .. } in &mut self.tasks {
            let progress = loop {
                *left = left.saturating_sub(1);
                match driver.step(task, &Context::from_waker(Waker::noop())) {
                    Ok(Progress::Ready) if *left > 0 => moved = true,
                    Ok(progress) => break progress,
                    Err(Ending::Failed(error)) => return Err(error),
                    Err(Ending::Done) => break Progress::Done,
                }
            };
            match progress {
                Progress::Idle(until) => {
                    moved |= until.is_some_and(|until| until <= now);
                    first = first.into_iter().chain(until).min();
                }
                Progress::Ready | Progress::Blocked => moved = true,
                Progress::Done => {}
            }
        }
        Ok((moved, first))
    }

    /// Does what tasks have handed to threads that may block. True where there was any.
    fn work(&mut self) -> bool {
        let works = heard(&self.works);
        let any = !works.is_empty();
        for (id, operator, work) in works {
            let outcome = work();
            if let Some(placed) = self.tasks.iter().find(|placed| placed.driver.id == id) {
                placed.commands.send(Command::Worked(operator, outcome));
            }
        }
        any
    }

    /// Moves the clock, and stops wherever some task has something to do.
    ///
    /// # Errors
    /// Those of [`Bench::run`].
    #[track_caller]
    pub(super) fn advance_clock(&mut self, by: Duration) -> Result<()> {
        let end = self.clock.now().plus(by);
        while let Some(due) = self.run()?.filter(|due| *due <= end) {
            self.clock.set(due);
        }
        self.clock.set(end);
        self.run().map(drop)
    }

    /// The wall time.
    pub(super) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Sends a barrier through, and keeps what all tasks have at it.
    ///
    /// # Errors
    /// Those of [`Bench::run`], and what a sink or a state says while it is written.
    #[track_caller]
    pub(super) fn checkpoint(&mut self) -> Result<TakenSnapshot> {
        self.run()?;
        let id = self.next;
        self.next = CheckpointId(id.0 + 1);
        let heads = self.tasks.iter().filter(|placed| self.plan.is_source(placed.driver.id));
        heads.for_each(|placed| placed.commands.send(Command::Trigger(id)));
        self.run()?;
        let mut entries = Vec::new();
        for report in heard(&self.reports) {
            if let Report::View(view) = report
                && view.checkpoint == id
            {
                entries.push(self.write(view)?);
            }
        }
        let note =
            CheckpointNote { checkpoint: id, epoch: self.attempt.epoch, kind: CheckpointKind::Checkpoint, created: self.wall() };
        let manifest = Manifest::assemble(self.store.record(), note, entries)?;
        self.store.write_manifest(&manifest)?;
        Ok(TakenSnapshot { store: self.store.clone(), manifest })
    }

    fn write(&self, mut view: TaskView) -> Result<TaskEntry> {
        prepare_parts(&mut view)?;
        let placed = self.tasks.iter().find(|placed| placed.driver.id == view.task);
        let uids: &[Uid] = placed.map_or(&[], |placed| &placed.driver.uids);
        self.store.write_snapshot(&to_snapshot(&view, uids))
    }

    /// Asks an operator, as a service does that the job runs in.
    ///
    /// # Errors
    /// Those of [`Bench::run`], and why there is no answer.
    #[track_caller]
    pub(super) fn ask<O, A>(&mut self, operator: &Askable<O>, key: &O::Key, ask: A) -> Result<O::Reply>
    where
        O: Answers<A>,
        A: Send + 'static,
    {
        self.run()?;
        let addresses = Addresses::of(&self.plan, self.store.record().hasher());
        let Posed { task, question, mut answer, .. } = Desk::new(addresses).ask(operator, key.clone(), ask)?;
        let asked = self.tasks.iter().find(|placed| placed.driver.id == task);
        if let Some(asked) = asked {
            asked.commands.send(Command::Ask(question));
        }
        let ran = self.run();
        answer.try_recv().unwrap_or_else(|_| {
            ran?;
            Err(Error::Engine(format!("task {task} is at rest, and a question to it was not answered")))
        })
    }

    /// Tells all tasks that a checkpoint is complete.
    ///
    /// # Errors
    /// Those of [`Bench::run`].
    #[track_caller]
    pub(super) fn complete(&mut self, id: CheckpointId) -> Result<()> {
        self.tasks.iter().for_each(|placed| placed.commands.send(Command::Complete(id)));
        self.run().map(drop)
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("wall", &self.wall()).field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// Refuses a snapshot of other operators, or of another number of key groups.
fn check_fits(plan: &Plan, from: Option<&TakenSnapshot>) -> Result<()> {
    let Some(TakenSnapshot { manifest, .. }) = from else { return Ok(()) };
    let uids: BTreeSet<Uid> = plan.uids.iter().cloned().collect();
    manifest.check_operators(&uids, &BTreeSet::new())?;
    if manifest.job.groups() == plan.groups {
        return Ok(());
    }
    Err(Error::StateMismatch {
        problem: format!("the snapshot was taken with a maximum parallelism of {}", manifest.job.max_parallelism),
        advice: "give the harness the same .max_parallelism(…)".into(),
    })
}

fn hear<T>(heard: &Heard<T>, word: T) {
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(word);
}

/// What was said since the last call.
fn heard<T>(heard: &Heard<T>) -> Vec<T> {
    std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner))
}
