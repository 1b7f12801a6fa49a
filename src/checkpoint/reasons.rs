//! Why a checkpoint was not completed, and whether that counts as a failure.

use std::fmt;

use crate::gate::AbortReason;
use crate::ids::{CheckpointId, RegionId, TaskId};

/// Why a task does not deliver its part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A task before it gave the checkpoint up.
    Cancelled,
    /// A newer checkpoint's barrier came before this one was aligned.
    Newer(CheckpointId),
    /// Its snapshot could not be taken or written.
    Snapshot(String),
}

impl From<AbortReason> for Refusal {
    fn from(reason: AbortReason) -> Self {
        match reason {
            AbortReason::Newer(id) => Refusal::Newer(id),
            AbortReason::Cancelled | AbortReason::Notified => Refusal::Cancelled,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Cancelled => f.write_str("a task before it gave the checkpoint up"),
            Refusal::Newer(id) => write!(f, "checkpoint {id} overtook it"),
            Refusal::Snapshot(text) => write!(f, "its snapshot failed: {text}"),
        }
    }
}

/// Why a checkpoint was not begun, or was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was not complete in time.
    Expired,
    /// A task declined.
    Declined { task: TaskId, refusal: Refusal },
    /// No id could be reserved.
    IdsNotReserved(String),
    /// The manifest could not be written.
    ManifestFailed(String),
    /// The manifest may have been written or not.
    ManifestUnknown(String),
    /// A newer one was completed first.
    Subsumed(CheckpointId),
    /// A region failed.
    RegionDown(RegionId),
    /// The coordinator or the snapshot actor failed.
    Replaced,
    /// Not all tasks run.
    NotRunning,
    /// Too many requests wait.
    QueueFull,
    /// The job stops.
    Stopping,
    /// The job is being stopped with a savepoint.
    Leaving,
    /// The data has ended, and the final checkpoint is complete.
    Ended,
}

impl Reason {
    /// True where something went wrong with the checkpoint itself: such failures in a row may fail the job.
    pub(crate) fn counts(&self) -> bool {
        match self {
            Reason::Expired | Reason::IdsNotReserved(_) | Reason::ManifestFailed(_) | Reason::ManifestUnknown(_) => true,
            Reason::Declined { refusal, .. } => matches!(refusal, Refusal::Snapshot(_)),
            Reason::Subsumed(_) | Reason::RegionDown(_) | Reason::Replaced | Reason::NotRunning => false,
            Reason::QueueFull | Reason::Stopping | Reason::Leaving | Reason::Ended => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Expired => {
                f.write_str("it was not complete in time; a longer timeout, or a look at the slowest task, may help")
            }
            Reason::Declined { task, refusal } => write!(f, "task {task} declined: {refusal}"),
            Reason::IdsNotReserved(text) => write!(f, "no checkpoint id could be reserved: {text}"),
            Reason::ManifestFailed(text) => write!(f, "its manifest could not be written: {text}"),
            Reason::ManifestUnknown(text) => write!(f, "its manifest may have been written or not: {text}"),
            Reason::Subsumed(id) => write!(f, "checkpoint {id} was completed first"),
            Reason::RegionDown(region) => write!(f, "region {region} failed"),
            Reason::Replaced => f.write_str("the coordinator or the snapshot actor failed, and both were replaced; ask again"),
            Reason::NotRunning => f.write_str("not all tasks run yet; ask again once they do"),
            Reason::QueueFull => f.write_str("too many requests for checkpoints wait; ask again once one is answered"),
            Reason::Stopping => f.write_str("the job stops"),
            Reason::Leaving => f.write_str("the job is being stopped with a savepoint"),
            Reason::Ended => f.write_str("the data has ended, and the final checkpoint is complete"),
        }
    }
}
