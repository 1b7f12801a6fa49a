//! What anyone may know of a job: counters, and how it ended.
//!
//! Written by the actors, read by the job's handles on any thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::chronicle::Chronicle;
use super::event::JobEvent;
use super::first::FirstAttempts;
use super::known::Known;
use super::watched::Watched;
use crate::config::Watchdog;
use crate::error::Error;
use crate::ids::{CheckpointId, Uid};
use crate::metrics::{Counter, Longest, Times};
use crate::plan::{OperatorMetrics, Plan};
use crate::time::{Clock, Moment};

/// How a job ended.
#[derive(Clone, Debug)]
pub(crate) enum JobEnd {
    /// All data was handled, all output is committed.
    Finished,
    Cancelled,
    Failed(Error),
}

/// A job's counters and its end.
#[derive(Debug)]
pub(crate) struct JobStatus {
    pub(crate) job: Arc<str>,
    pub(crate) operators: Arc<BTreeMap<Uid, OperatorMetrics>>,
    pub(crate) checkpoints: Counter,
    pub(crate) failed_checkpoints: Counter,
    pub(crate) restarts: Counter,
    /// How many of them read no file.
    pub(crate) restarts_from_memory: Counter,
    /// How long each complete checkpoint took from its beginning.
    pub(crate) checkpoint_times: Times,
    /// The bytes of the snapshot files of the latest complete checkpoint.
    pub(crate) checkpoint_bytes: Counter,
    /// The longest step of a task since the latest complete checkpoint.
    pub(crate) longest_step: Longest,
    /// The longest step of each interval that ended with a complete checkpoint.
    pub(crate) stops: Times,
    /// What has happened.
    pub(crate) chronicle: Chronicle,
    /// What the tasks do.
    pub(crate) watched: Watched,
    pub(crate) watchdog: Watchdog,
    /// How often checkpoints are taken, if they are.
    pub(crate) interval: Option<Duration>,
    clock: Arc<dyn Clock>,
    /// What became of the first attempts.
    pub(crate) first_attempts: FirstAttempts,
    /// The latest complete checkpoint, 0 for none.
    latest: AtomicU64,
    /// How the job ended, as soon as that is decided.
    decided: OnceLock<JobEnd>,
    /// The same, once everything that the job held is let go.
    end: watch::Sender<Option<JobEnd>>,
}

impl JobStatus {
    /// Of a job that has not begun.
    pub(crate) fn new(job: &str, plan: &Plan, (watchdog, interval): (Watchdog, Option<Duration>), clock: Arc<dyn Clock>) -> Self {
        let (regions, metrics) = (plan.regions.len(), plan.uids.iter().map(|uid| (uid.clone(), OperatorMetrics::default())));
        JobStatus {
            job: job.into(),
            operators: Arc::new(metrics.collect()),
            chronicle: Chronicle::new(Known::new(regions, clock.now())),
            watched: Watched::of(plan),
            watchdog,
            interval,
            clock,
            checkpoints: Counter::default(),
            failed_checkpoints: Counter::default(),
            restarts: Counter::default(),
            restarts_from_memory: Counter::default(),
            checkpoint_times: Times::default(),
            checkpoint_bytes: Counter::default(),
            longest_step: Longest::default(),
            stops: Times::default(),
            first_attempts: FirstAttempts::new(regions),
            latest: AtomicU64::new(0),
            decided: OnceLock::new(),
            end: watch::Sender::new(None),
        }
    }

    /// The monotonic time of the job's clock.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Tells of an event.
    pub(super) fn tell(&self, event: JobEvent) {
        self.chronicle.tell(event, self.now());
    }

    /// A checkpoint is complete.
    pub(crate) fn completed(&self, id: CheckpointId) {
        self.latest.store(id.0, Ordering::Relaxed);
        self.checkpoints.add(1);
        self.stops.note(self.longest_step.take());
    }

    /// What a complete checkpoint has cost.
    pub(crate) fn cost(&self, took: Duration, bytes: u64) {
        self.checkpoint_times.note(took);
        self.checkpoint_bytes.set(bytes);
    }

    /// The longest step of a task since the job was started.
    pub(crate) fn longest_step(&self) -> Duration {
        self.stops.summary().longest.max(self.longest_step.get())
    }

    /// The latest complete checkpoint.
    pub(crate) fn latest(&self) -> Option<CheckpointId> {
        Some(self.latest.load(Ordering::Relaxed)).filter(|id| *id > 0).map(CheckpointId)
    }

    /// Whether it is decided how the job ended.
    pub(crate) fn is_over(&self) -> bool {
        self.decided.get().is_some()
    }

    /// How the job ended, as soon as that is decided.
    pub(crate) fn decided(&self) -> Option<&JobEnd> {
        self.decided.get()
    }

    /// Notes how the job ended; the first word counts.
    pub(crate) fn ended(&self, end: JobEnd) {
        self.decided.get_or_init(|| end);
    }

    /// Tells those who wait for the job's end how it ended, now that its threads and its store are free again.
    pub(crate) fn publish(&self) {
        let unsaid = || JobEnd::Failed(Error::Engine("the job's actors are gone, and did not say how it ended".into()));
        let end = self.decided.get().cloned().unwrap_or_else(unsaid);
        self.tell(match &end {
            JobEnd::Finished => JobEvent::Finished,
            JobEnd::Cancelled => JobEvent::Cancelled,
            JobEnd::Failed(cause) => JobEvent::Failed { cause: cause.clone() },
        });
        self.end.send_replace(Some(end));
        self.first_attempts.over();
    }

    /// How the job ended, once it has.
    pub(crate) fn end(&self) -> watch::Receiver<Option<JobEnd>> {
        self.end.subscribe()
    }
}
