//! A running job, as its users hold it.
//!
//! The handle only reads counters and sends messages; the job runs on threads of its own. Dropping the last handle cancels the
//! job as a crash would: what was not committed is not, and a next start goes on from the latest checkpoint.

mod asking;
mod desk;
mod events;
mod health;
mod question;
mod scan;
mod shutdown;
mod stopping;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub use crate::actor::{CheckpointFailure, JobEvent, PairNode, RegionFailure, RegionState, RestoredFrom};
use crate::actor::{FirstAttempt, JobEnd, JobSpec, JobStatus, Launched, RootMsg, RootRef, launch, post};
use crate::error::{Error, Result};
use crate::executor::{Pool, build_runtime};
use crate::ids::CheckpointId;
use crate::metrics::TimesSummary;

pub(crate) use desk::Desk;
pub use events::Events;
pub use health::Probe;
#[cfg(feature = "testing")]
pub(crate) use question::Posed;
pub use question::{Askable, Queryable};
pub use scan::Scan;
pub use shutdown::Shutdown;
pub use tree::{JobTree, RegionNode, TaskNode, TaskState};

/// How long the end of a job waits for work that still blocks.
const LET_GO: Duration = Duration::from_secs(2);

/// What a job has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobSummary {
    /// True where the job had finished in an earlier run, so that nothing was done in this one.
    pub finished_before: bool,
    /// Checkpoints that were completed in this process.
    pub checkpoints: u64,
    /// Checkpoints that were given up in this process.
    pub failed_checkpoints: u64,
    /// Restarts of regions in this process.
    pub restarts: u64,
    /// How many of them took their state from memory, and read no file: see [`crate::Checkpoints::keep_views`].
    pub restarts_from_memory: u64,
    /// The latest complete checkpoint of this process.
    pub latest_checkpoint: Option<CheckpointId>,
    /// The last failure of a checkpoint in this process that counted as one.
    pub last_checkpoint_failure: Option<Box<CheckpointFailure>>,
    /// The last failure of a region in this process.
    pub last_region_failure: Option<Box<RegionFailure>>,
    /// How long the complete checkpoints of this process took, from the moment when each was begun until its manifest was durable.
    pub checkpoint_times: TimesSummary,
    /// The bytes of all snapshot files of the latest complete checkpoint of this process.
    pub checkpoint_bytes: u64,
    /// The longest that a task went without looking at its messages, in this process, in whole microseconds.
    pub longest_step: Duration,
    /// The same for each interval that ended with a complete checkpoint.
    pub longest_steps: TimesSummary,
    /// By uid: what each operator counted.
    pub operators: BTreeMap<String, OperatorSummary>,
}

/// What an operator has counted, over all its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorSummary {
    /// Records that a source gave, or a sink took, over the job's whole life: a restart takes the number back to the restored
    /// checkpoint's.
    pub records: u64,
    /// Records that could not be decoded or handled and were left out, over the job's whole life as well.
    pub skipped: u64,
    /// Records that were too late for every window and were dropped, over the job's whole life as well.
    pub late_dropped: u64,
}

/// Stops the job when the last handle goes.
#[derive(Debug)]
struct Leash {
    root: Option<RootRef>,
    detached: OnceLock<()>,
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let (Some(root), None) = (&self.root, self.detached.get()) {
            post(root, RootMsg::Abandon);
        }
    }
}

/// A handle on a running job; clones are handles on the same job.
#[derive(Clone, Debug)]
pub struct JobHandle {
    status: Arc<JobStatus>,
    leash: Arc<Leash>,
    desk: Arc<Desk>,
}

impl JobHandle {
    /// A handle on a job that was launched.
    pub(crate) fn new(launched: &Launched) -> Self {
        let root = launched.root.as_ref().map(|(root, _)| root.clone());
        let desk = Arc::new(Desk::new(launched.addresses.clone()));
        JobHandle { status: launched.status.clone(), leash: Arc::new(Leash { root, detached: OnceLock::new() }), desk }
    }

    /// Waits for the job's end.
    ///
    /// # Errors
    /// The root cause where the job failed and is not restarted; [`Error::Cancelled`] where it was cancelled.
    pub async fn wait(&self) -> Result<JobSummary> {
        let mut end = self.status.end();
        let end = end.wait_for(Option::is_some).await.map(|end| end.clone());
        match end {
            Ok(Some(JobEnd::Finished)) => Ok(self.status()),
            Ok(Some(JobEnd::Cancelled)) => Err(Error::Cancelled),
            Ok(Some(JobEnd::Failed(error))) => Err(error),
            Ok(None) | Err(_) => Err(Error::Engine("the job's threads are gone, and it did not say how it ended".into())),
        }
    }

    /// Takes a checkpoint now, and waits until it is complete.
    ///
    /// # Errors
    /// [`Error::CheckpointRefused`] with the reason where it is not taken or not completed; [`Error::Ended`] where the job has
    /// ended.
    pub async fn checkpoint(&self) -> Result<CheckpointId> {
        let Some(root) = &self.leash.root else { return Err(Error::Ended) };
        let (port, answer) = oneshot::channel();
        post(root, RootMsg::Request(port.into()));
        answer.await.unwrap_or(Err(Error::Ended))
    }

    /// Ends the job at once. What is not committed stays uncommitted, and a next start goes on from the latest checkpoint, unless the job
    /// was told [not to keep them](crate::Checkpoints::keep_on_cancel). To end a job and lose nothing of its work, use
    /// [`stop_with_savepoint`](Self::stop_with_savepoint).
    /// Returns when the job has ended.
    ///
    /// # Errors
    /// The job's own error where it failed before.
    pub async fn cancel(&self) -> Result<()> {
        if let Some(root) = &self.leash.root {
            post(root, RootMsg::Cancel);
        }
        match self.wait().await {
            Ok(_) | Err(Error::Cancelled) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets the job run on when the last handle is dropped.
    pub fn detach(self) {
        self.leash.detached.get_or_init(|| ());
    }

    /// What the job has done so far.
    pub fn status(&self) -> JobSummary {
        let operators = self.status.operators.iter().map(|(uid, metrics)| {
            let summary = OperatorSummary {
                records: metrics.records.get(),
                skipped: metrics.skipped.get(),
                late_dropped: metrics.late_dropped.get(),
            };
            (uid.to_string(), summary)
        });
        let known = self.status.chronicle.known();
        JobSummary {
            last_checkpoint_failure: known.checkpoint_failure.map(Box::new),
            last_region_failure: known.region_failure.map(Box::new),
            finished_before: self.leash.root.is_none(),
            checkpoints: self.status.checkpoints.get(),
            failed_checkpoints: self.status.failed_checkpoints.get(),
            restarts: self.status.restarts.get(),
            restarts_from_memory: self.status.restarts_from_memory.get(),
            latest_checkpoint: self.status.latest(),
            checkpoint_times: self.status.checkpoint_times.summary(),
            checkpoint_bytes: self.status.checkpoint_bytes.get(),
            longest_step: self.status.longest_step(),
            longest_steps: self.status.stops.summary(),
            operators: operators.collect(),
        }
    }
}

/// Runs a job on a thread and workers of its own.
pub(crate) async fn start(spec: JobSpec, workers: Option<usize>) -> Result<JobHandle> {
    let (tell, told) = oneshot::channel();
    // The name of a thread cannot hold every character; that of a job is checked where it is used.
    let name = format!("tidegate-{}", spec.name.replace('\0', "?"));
    let thread = std::thread::Builder::new().name(name).spawn(move || run(spec, workers, tell));
    thread.map_err(|error| Error::Engine(format!("the job's thread could not be started: {error}")))?;
    let job = told.await.unwrap_or_else(|_| Err(Error::Engine("the job's thread died while it started".into())))?;
    match job.status.first_attempts.outcome().await {
        // Once it is over, all that it held is free again.
        FirstAttempt::Refused => job.wait().await.map(|_| job),
        FirstAttempt::UnderWay | FirstAttempt::Made => Ok(job),
    }
}

/// The runtime of the job's thread, and the workers beside it.
fn threads(job: &str, workers: Option<usize>) -> Result<(Runtime, Arc<Pool>)> {
    let runtime = build_runtime()?;
    let pool = Pool::start(job, workers, runtime.handle().clone())?;
    Ok((runtime, Arc::new(pool)))
}

/// The job's own thread, from its start to its end.
fn run(spec: JobSpec, workers: Option<usize>, tell: oneshot::Sender<Result<JobHandle>>) {
    let (runtime, pool) = match threads(&spec.name, workers) {
        Ok(threads) => threads,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let executor = pool.clone();
    let status = runtime.block_on(async {
        let launched = match launch(spec, executor).await {
            Ok(launched) => launched,
            Err(error) => {
                drop(tell.send(Err(error)));
                return None;
            }
        };
        drop(tell.send(Ok(JobHandle::new(&launched))));
        if let Some((_, root)) = launched.root
            && let Err(error) = root.await
        {
            launched.status.ended(JobEnd::Failed(Error::Engine(format!("the root of the job panicked: {error}"))));
        }
        Some(launched.status)
    });
    // Whoever hears of the end may start the job again at once: what it held is let go first.
    pool.close(LET_GO);
    runtime.shutdown_timeout(LET_GO);
    if let Some(status) = status {
        status.publish();
    }
}
