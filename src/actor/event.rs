//! What happens to a job, as those who run it hear of it.
//!
//! Plain data: made by the actors, told by [`super::chronicle`], read on any thread.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
use crate::supervision::{Action, Outcome};

/// Where the state of an attempt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoredFrom {
    /// There was no complete checkpoint: it begins anew.
    Nothing,
    /// From the views of the checkpoint, which were still in memory.
    Memory,
    /// From the files of the checkpoint.
    Files,
}

/// What happens to a job: what [`JobHandle::events`](crate::JobHandle::events) gives. Each shows itself as a sentence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum JobEvent {
    /// The job begins in this process.
    Started {
        /// How often it was started, this time included.
        epoch: u64,
    },
    /// A checkpoint begins.
    CheckpointBegun {
        /// Which.
        id: CheckpointId,
    },
    /// A checkpoint is complete: its manifest is durable.
    CheckpointCompleted {
        /// Which.
        id: CheckpointId,
        /// From its beginning on.
        took: Duration,
        /// Of its snapshot files.
        bytes: u64,
    },
    /// A checkpoint will not be completed, or could not be begun.
    CheckpointFailed {
        /// Which; none where it got no number.
        id: Option<CheckpointId>,
        /// Why, as a sentence.
        reason: String,
        /// Whether it counts as a failure: one that a later one has overtaken does not, nor one that a region's failure has ended.
        counts: bool,
    },
    /// A region failed.
    RegionFailed {
        /// Which.
        region: RegionId,
        /// The task that is to blame, where one is.
        task: Option<String>,
        /// The operator that is to blame, where one is.
        operator: Option<String>,
        /// The first cause.
        cause: Error,
    },
    /// A region that failed will be restarted.
    RegionRestarting {
        /// Which.
        region: RegionId,
        /// Not before this time is over.
        after: Duration,
        /// How many restarts its strategy has granted, this one included.
        restarts: u32,
    },
    /// A region has what its attempt begins with.
    RegionRestored {
        /// Which.
        region: RegionId,
        /// The attempt that begins.
        attempt: Attempt,
        /// The checkpoint; none where there is none.
        checkpoint: Option<CheckpointId>,
        /// Where the state comes from.
        from: RestoredFrom,
    },
    /// All tasks of a region run.
    RegionRunning {
        /// Which.
        region: RegionId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A region has come to its end: its data has ended and all is committed, or the job ends.
    RegionEnded {
        /// Which.
        region: RegionId,
    },
    /// A task has input, and makes no progress: it does not come back from a callback.
    TaskStuck {
        /// Which.
        task: TaskId,
        /// The operators of its chain; it is in one of them.
        operators: String,
        /// For how long.
        stuck: Duration,
        /// How many records it had taken in this attempt before.
        records: u64,
    },
    /// A task that was stuck has come back.
    TaskMoves {
        /// Which.
        task: TaskId,
        /// The operators of its chain.
        operators: String,
    },
    /// The coordinator or the snapshot actor failed: both are replaced, and no checkpoint is taken before. Records flow on.
    PairFailed {
        /// Which of them, and why.
        cause: Error,
    },
    /// Both were replaced, and it was settled which checkpoint is the latest.
    PairReplaced {
        /// The number of their tenure; that of the first ones was 1.
        tenure: u64,
    },
    /// The job has finished: all data was handled, all output is committed.
    Finished,
    /// The job was cancelled.
    Cancelled,
    /// The job failed, and is not restarted.
    Failed {
        /// The root cause.
        cause: Error,
    },
    /// Who listens was too slow.
    Missed {
        /// So many events came in between and are lost.
        events: u64,
    },
}

impl JobEvent {
    /// What is told of what a region's supervisor is about to do, with the delay of its latest restart.
    pub(super) fn of_region(region: RegionId, action: &Action, after: Duration) -> Vec<Self> {
        match action {
            Action::ReportRunning { attempt } => vec![JobEvent::RegionRunning { region, attempt: *attempt }],
            Action::ReportRestart { cause, restarts } => {
                let restarting = JobEvent::RegionRestarting { region, after, restarts: *restarts };
                vec![JobEvent::region_failed(region, cause.clone()), restarting]
            }
            Action::Over(Outcome::Failed(cause)) => vec![JobEvent::region_failed(region, cause.clone())],
            Action::Over(Outcome::Ended | Outcome::Cancelled) => vec![JobEvent::RegionEnded { region }],
            _ => Vec::new(),
        }
    }

    /// A region's failure, blamed on whom its cause blames.
    pub(super) fn region_failed(region: RegionId, cause: Error) -> Self {
        let blamed = cause.blames().map(|(operator, task)| (operator.to_owned(), task.to_owned()));
        let (operator, task) = blamed.unzip();
        JobEvent::RegionFailed { region, task, operator, cause }
    }

    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, JobEvent::Finished | JobEvent::Cancelled | JobEvent::Failed { .. })
    }
}

impl fmt::Display for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobEvent::Started { epoch } => write!(f, "the job begins: its start number {epoch}"),
            JobEvent::CheckpointBegun { id } => write!(f, "checkpoint {id} begins"),
            JobEvent::CheckpointCompleted { id, took, bytes } => {
                write!(f, "checkpoint {id} is complete: it took {took:?}, and has {bytes} bytes")
            }
            JobEvent::CheckpointFailed { id: Some(id), reason, .. } => write!(f, "checkpoint {id} is not completed: {reason}"),
            JobEvent::CheckpointFailed { id: None, reason, .. } => write!(f, "no checkpoint could begin: {reason}"),
            JobEvent::RegionFailed { region, cause, .. } => write!(f, "region {region} failed: {cause}"),
            JobEvent::RegionRestarting { region, after, restarts } => {
                write!(f, "region {region} is restarted in {after:?}, its restart number {restarts}")
            }
            JobEvent::RegionRestored { region, attempt, checkpoint, from } => {
                write!(f, "region {region} begins attempt {attempt} ")?;
                match (checkpoint, from) {
                    (Some(id), RestoredFrom::Memory) => write!(f, "from checkpoint {id}, which is still in memory"),
                    (Some(id), _) => write!(f, "from checkpoint {id}, out of its files"),
                    (None, _) => f.write_str("anew: there is no complete checkpoint"),
                }
            }
            JobEvent::RegionRunning { region, attempt } => write!(f, "region {region} runs, in attempt {attempt}"),
            JobEvent::RegionEnded { region } => write!(f, "region {region} has ended"),
            JobEvent::TaskStuck { task, operators, stuck, records } => write!(
                f,
                "task {task} ({operators}) has not come back from a callback for {stuck:?}; it had taken {records} records before: look \
                 for a loop or a wait without end in these operators"
            ),
            JobEvent::TaskMoves { task, operators } => write!(f, "task {task} ({operators}) has come back, and goes on"),
            JobEvent::PairFailed { cause } => write!(f, "no checkpoint is taken until two actors are replaced: {cause}"),
            JobEvent::PairReplaced { tenure } => {
                write!(f, "the coordinator and the snapshot actor are replaced: their tenure number {tenure}")
            }
            JobEvent::Finished => f.write_str("the job has finished"),
            JobEvent::Cancelled => f.write_str("the job was cancelled"),
            JobEvent::Failed { cause } => write!(f, "the job failed: {cause}"),
            JobEvent::Missed { events } => write!(f, "{events} events are lost: who listens is too slow"),
        }
    }
}
