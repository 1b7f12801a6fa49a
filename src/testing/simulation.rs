//! A simulation: what outlives the processes of a job, and the processes themselves, one after another.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::clock::SimClock;
use super::disk::Disk;
use super::executor::SimExecutor;
use super::plan::{Fate, FaultPlan};
use super::process::{Halt, Life, Process, Restores};
use super::recording::{RecordingSink, dies};
use super::scheduler::{STALL_ONE_IN, Scheduler};
use super::setting::Setting;
use super::store::SimStore;
use super::timeline::Note;
use super::trace::Trace;
use crate::actor::{JobSpec, launch};
use crate::api::{Job, Record};
use crate::error::{Error, Result};
use crate::hook::{Canary, Hooks};
use crate::job::{JobHandle, JobSummary};
use crate::snapshot::StoreBackend;

/// The death of the process, as those see it that outlive it.
type OnDeath = Box<dyn Fn() + Send>;

/// How a simulated process ended.
#[derive(Debug)]
pub enum End {
    /// All data was handled, all output is committed.
    Finished(JobSummary),
    /// The job was refused, or failed and was not restarted.
    Failed(Error),
    /// It was cancelled.
    Cancelled,
    /// The process died as planned.
    Died,
    /// It neither ended nor died within its bounds, or a wake-up was lost: what the watchdog saw.
    Hung(String),
    /// Something that always holds did not: what. A fault of the engine, or of an operator that hands on what it must not.
    Broken(String),
}

/// One run of a process.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// Steps of tasks and pieces of blocking work: a process can be made to die at each of them.
    pub steps: u64,
    /// The virtual time that it took.
    pub took: Duration,
    /// What happened.
    pub trace: Trace,
    /// The same for people, where the simulation was watched.
    pub notes: Vec<Note>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} after {} steps and {:?}\n{}", self.end, self.steps, self.took, self.trace)
    }
}

/// Runs jobs in virtual time, in an order that a seed decides.
pub struct Simulation {
    seed: u64,
    disk: Disk,
    on_death: Mutex<Vec<OnDeath>>,
    /// How many processes there were, and the virtual time that they took.
    before: Mutex<(u64, Duration)>,
    max_steps: u64,
    max_time: Duration,
    /// Drawn, where the job's own options do not count.
    setting: Option<Setting>,
    /// Whether what happens is noted for people.
    watched: bool,
    restores: Restores,
    canary: OnceLock<Canary>,
}

impl Simulation {
    /// With an empty disk.
    pub fn new(seed: u64) -> Self {
        let disk = Disk::new();
        let dying = disk.clone();
        let on_death: Vec<OnDeath> = vec![Box::new(move || dying.crash())];
        let (max_steps, max_time) = (100_000, Duration::from_secs(600));
        Simulation {
            seed,
            disk,
            on_death: Mutex::new(on_death),
            before: Mutex::default(),
            max_steps,
            max_time,
            setting: None,
            watched: false,
            restores: Restores::default(),
            canary: OnceLock::new(),
        }
    }

    /// Breaks the engine on purpose, in all processes from now on.
    pub(super) fn break_engine(&self, canary: Canary) {
        self.canary.get_or_init(|| canary);
    }

    /// Runs jobs in a setting that was drawn; a watched one notes what happens.
    pub(super) fn set_in(self, setting: Setting, watched: bool) -> Self {
        Simulation { setting: Some(setting), watched, ..self }
    }

    /// Does something when a process dies.
    pub(super) fn on_death(&self, die: impl Fn() + Send + 'static) {
        self.on_death.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(die));
    }

    /// Sets after how many steps, and after how much virtual time, a process counts as hung. Default: 100,000, ten minutes.
    #[must_use]
    pub fn bounds(mut self, steps: u64, time: Duration) -> Self {
        (self.max_steps, self.max_time) = (steps, time);
        self
    }

    /// Plans what goes wrong, from now on, in all processes; what was planned so before is forgotten.
    ///
    /// ```
    /// use tidegate::testing::{CrashPoint, Calamity, End, FaultPlan, PlannedFault, Scripted, Simulation};
    /// use tidegate::{Job, Restart, millis};
    ///
    /// let plan = FaultPlan::new().and(PlannedFault::at(CrashPoint::AllAcked, 1, Calamity::Death));
    /// let sim = Simulation::new(7).faults(plan);
    /// let out = sim.sink();
    /// let job = || {
    ///     let job = Job::new("job").store(sim.disk().store());
    ///     job.source("numbers", Scripted::new([(0..100u64).collect()])).sink("out", out.clone());
    ///     job
    /// };
    /// assert!(matches!(sim.run(job()).end, End::Died));
    /// assert!(out.committed().is_empty());
    /// assert!(matches!(sim.run(job()).end, End::Finished(_)));
    /// assert_eq!(out.committed(), (0..100).collect::<Vec<u64>>());
    /// assert!(sim.fates().iter().all(|fate| fate.fired));
    /// ```
    #[must_use]
    pub fn faults(self, plan: FaultPlan) -> Self {
        self.disk.arm(plan);
        self
    }

    /// What became of the planned faults, in the plan's order.
    pub fn fates(&self) -> Vec<Fate> {
        self.disk.fates()
    }

    /// Sets what restarts inside a process take their state from. Default: drawn for each.
    #[must_use]
    pub fn restores(mut self, from: Restores) -> Self {
        self.restores = from;
        self
    }

    /// The disk for the job's store.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A new recording sink, which outlives the processes.
    pub fn sink<T: Record>(&self) -> RecordingSink<T> {
        let sink = RecordingSink::new();
        self.on_death.lock().unwrap_or_else(PoisonError::into_inner).push(dies(&sink));
        sink
    }

    /// Runs a job to its end.
    pub fn run(&self, job: Job) -> Run {
        self.process(job, None, |_| std::future::ready(()))
    }

    /// Runs a job until the process dies at a step; the first is 1. A job that ends before just ends.
    pub fn run_until(&self, step: u64, job: Job) -> Run {
        self.process(job, Some(step), |_| std::future::ready(()))
    }

    /// Runs a job to its end, with a script beside it that holds a handle of it. Time in it is virtual (`tokio::time::sleep`).
    pub fn run_with<F>(&self, job: Job, script: impl FnOnce(JobHandle) -> F) -> Run
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.process(job, None, script)
    }

    fn process<F>(&self, job: Job, dies_at: Option<u64>, script: impl FnOnce(JobHandle) -> F) -> Run
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, elapsed) = *before;
        let runtime = match Builder::new_current_thread().enable_time().start_paused(true).build() {
            Ok(runtime) => runtime,
            Err(error) => return refused(Error::Engine(format!("no runtime for the simulation: {error}"))),
        };
        let spec = match &self.setting {
            Some(setting) => setting.of(job, &self.disk),
            None => job.into_spec(),
        };
        let spec = JobSpec { hash_seed: Some(self.seed), ..spec };
        let stall_one_in = self.setting.as_ref().map_or(STALL_ONE_IN, |setting| setting.stall_one_in);
        let (watched, restores) = (self.watched, self.restores);
        let (max_steps, canary) = (self.max_steps, self.canary.get().copied());
        let life = Life { dies_at, max_steps, stall_one_in, watched, restores, canary };
        let seed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9));
        let run = runtime.block_on(live(spec, seed, life, &self.disk, (elapsed, self.max_time), script));
        self.bury(&run, runtime);
        *before = (number + 1, elapsed + run.took);
        run
    }

    /// What outlives a process that died forgets what was not synced, before anything of the process is dropped.
    fn bury(&self, run: &Run, runtime: Runtime) {
        self.disk.used_by(None);
        if let End::Died | End::Hung(_) | End::Broken(_) = run.end {
            self.on_death.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|die| die());
        }
        drop(runtime);
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed).finish_non_exhaustive()
    }
}

fn refused(error: Error) -> Run {
    Run { end: End::Failed(error), steps: 0, took: Duration::ZERO, trace: Trace::default(), notes: Vec::new() }
}

/// A process from its start to its end.
async fn live<F>(
    mut spec: JobSpec,
    seed: u64,
    life: Life,
    disk: &Disk,
    time: (Duration, Duration),
    script: impl FnOnce(JobHandle) -> F,
) -> Run
where
    F: Future<Output = ()> + Send + 'static,
{
    let (born, (before, max_time)) = (tokio::time::Instant::now(), time);
    let process = Process::new(seed, life, disk.clone());
    disk.used_by(Some(process.clone()));
    spec.store = spec.store.map(|store| -> Arc<dyn StoreBackend> { Arc::new(SimStore::new(store, process.clone())) });
    spec.hooks = Hooks::new(process.clone());
    tokio::spawn(Scheduler::new(process.clone()));
    let executor = Arc::new(SimExecutor::new(process.clone(), Arc::new(SimClock::new(before))));
    let ended =
        tokio::time::timeout(max_time, first(run_job(spec, executor, &process, script), process.halting.notified())).await;
    let (halt, steps, trace) = process.end();
    let notes = process.take_notes();
    let end = match (halt, ended) {
        (Some(Halt::Died), _) => End::Died,
        (Some(Halt::Stuck(text)), _) => End::Hung(text),
        (Some(Halt::Broken(text)), _) => End::Broken(text),
        (None, Err(_)) => End::Hung(format!("nothing ends it, in {max_time:?} of virtual time")),
        (None, Ok(Some(end))) => told(end),
        (None, Ok(None)) => End::Hung("it halted for no reason".into()),
    };
    Run { end, steps, took: born.elapsed(), trace, notes }
}

async fn run_job<F>(
    spec: JobSpec,
    executor: Arc<SimExecutor>,
    process: &Process,
    script: impl FnOnce(JobHandle) -> F,
) -> Result<JobSummary>
where
    F: Future<Output = ()> + Send + 'static,
{
    let launched = launch(spec, executor).await?;
    let handle = JobHandle::new(&launched);
    let script = tokio::spawn(script(handle.clone()));
    if let Some((root, end)) = launched.root {
        process.rooted(root);
        let root = end;
        root.await.map_err(|error| Error::Engine(format!("the root of the job panicked: {error}")))?;
    }
    launched.status.publish();
    let end = handle.wait().await;
    script.await.map_err(|error| Error::Engine(format!("the script failed: {error}")))?;
    end
}

fn told(end: Result<JobSummary>) -> End {
    match end {
        Ok(summary) => End::Finished(summary),
        Err(Error::Cancelled) => End::Cancelled,
        Err(error) => End::Failed(error),
    }
}

/// What the first future says, unless the second one ends before.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = ()>) -> Option<T> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match (one.as_mut() as Pin<&mut dyn Future<Output = T>>).poll(cx) {
        Poll::Ready(end) => Poll::Ready(Some(end)),
        Poll::Pending => other.as_mut().poll(cx).map(|()| None),
    })
    .await
}
