//! A simulation: what outlives the processes of a job, and the processes themselves, one after another.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::clock::SimClock;
use super::disk::Disk;
use super::executor::SimExecutor;
use super::process::{Halt, Life, Process, Restores};
use super::recording::{RecordingSink, dies};
use super::scheduler::Scheduler;
use super::trace::Trace;
use crate::actor::{JobSpec, launch};
use crate::api::{Job, Record};
use crate::error::{Error, Result};
use crate::job::{JobHandle, JobSummary};

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
    restores: Restores,
}

impl Simulation {
    /// With an empty disk.
    pub fn new(seed: u64) -> Self {
        let disk = Disk::new();
        let dying = disk.clone();
        let on_death: Vec<OnDeath> = vec![Box::new(move || dying.crash())];
        let (max_steps, max_time) = (100_000, Duration::from_secs(600));
        let (on_death, before, restores) = (Mutex::new(on_death), Mutex::default(), Restores::default());
        Simulation { seed, disk, on_death, before, max_steps, max_time, restores }
    }

    /// Sets after how many steps, and after how much virtual time, a process counts as hung. Default: 100,000, ten minutes.
    #[must_use]
    pub fn bounds(mut self, steps: u64, time: Duration) -> Self {
        (self.max_steps, self.max_time) = (steps, time);
        self
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
        let spec = JobSpec { hash_seed: Some(self.seed), ..job.into_spec() };
        let life = Life { dies_at, max_steps: self.max_steps, restores: self.restores };
        let seed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9));
        let run = runtime.block_on(live(spec, seed, life, (elapsed, self.max_time), script));
        self.bury(&run, runtime);
        *before = (number + 1, elapsed + run.took);
        run
    }

    /// What outlives a process that died forgets what was not synced, before anything of the process is dropped.
    fn bury(&self, run: &Run, runtime: Runtime) {
        if let End::Died | End::Hung(_) = run.end {
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
    Run { end: End::Failed(error), steps: 0, took: Duration::ZERO, trace: Trace::default() }
}

/// A process from its start to its end.
async fn live<F>(spec: JobSpec, seed: u64, life: Life, time: (Duration, Duration), script: impl FnOnce(JobHandle) -> F) -> Run
where
    F: Future<Output = ()> + Send + 'static,
{
    let (born, (before, max_time)) = (tokio::time::Instant::now(), time);
    let process = Process::new(seed, life);
    tokio::spawn(Scheduler::new(process.clone()));
    let executor = Arc::new(SimExecutor::new(process.clone(), Arc::new(SimClock::new(before))));
    let ended = tokio::time::timeout(max_time, first(run_job(spec, executor, script), process.halting.notified())).await;
    let (halt, steps, trace) = process.end();
    let end = match (halt, ended) {
        (Some(Halt::Died), _) => End::Died,
        (Some(Halt::Stuck(text)), _) => End::Hung(text),
        (None, Err(_)) => End::Hung(format!("nothing ends it, in {max_time:?} of virtual time")),
        (None, Ok(Some(end))) => told(end),
        (None, Ok(None)) => End::Hung("it halted for no reason".into()),
    };
    Run { end, steps, took: born.elapsed(), trace }
}

async fn run_job<F>(spec: JobSpec, executor: Arc<SimExecutor>, script: impl FnOnce(JobHandle) -> F) -> Result<JobSummary>
where
    F: Future<Output = ()> + Send + 'static,
{
    let launched = launch(spec, executor).await?;
    let handle = JobHandle::new(&launched);
    let script = tokio::spawn(script(handle.clone()));
    if let Some((_, root)) = launched.root {
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
