//! What the coordinator is told, and what it asks for.
//!
//! Plain data. Actions are done in the order in which they come.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::reasons::{Reason, Refusal};
use crate::checkpoint::standing::Standing;
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};

/// How a job begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// All regions of the job.
    pub(crate) regions: Vec<RegionId>,
    /// The checkpoint to begin from; `None` to begin anew.
    pub(crate) restore: Option<CheckpointId>,
    /// The complete checkpoints that the job owns.
    pub(crate) retained: Vec<CheckpointId>,
    /// The highest id that was ever reserved; 0 for none.
    pub(crate) reserved: u64,
    /// What is begun from is not one of the job's checkpoints, so none of those may name its files.
    pub(crate) borrowed: bool,
}

/// How far the job was from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    NotYet,
    /// Tasks stand still, or may, behind the barrier of a savepoint with which the job was to end.
    StandingStill,
    /// Sources were told to read no more.
    Draining,
    /// The final checkpoint is complete.
    Final(CheckpointId),
    /// The savepoint with which the job ends is complete.
    Left(CheckpointId),
}

/// What a coordinator takes over from the one before, which has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// The latest checkpoint that all were told of, or that the job began from.
    pub(crate) announced: Option<CheckpointId>,
    /// Where the regions stood when they were last told of one.
    pub(crate) standing: Standing,
    /// What had begun, and was neither called complete nor given up, with the regions that take part and have not failed since.
    pub(crate) under_way: Vec<(CheckpointId, Purpose, BTreeSet<RegionId>)>,
    /// Those that may have been complete before they were announced, with the regions that took part.
    pub(crate) written: BTreeMap<CheckpointId, BTreeSet<RegionId>>,
    /// Those of these that are savepoints, and complete.
    pub(crate) saved: Vec<CheckpointId>,
    pub(crate) ending: Ending,
    /// Requests for checkpoints that wait.
    pub(crate) requests: Vec<u64>,
    /// Requests for savepoints that wait, with the savepoint that was begun for each.
    pub(crate) savepoints: Vec<(u64, Option<CheckpointId>)>,
}

/// A task that takes part in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) task: TaskId,
    /// Sources receive the triggers.
    pub(crate) source: bool,
}

/// What a checkpoint is begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For the job itself, to go back to.
    Recovery,
    /// For the user. It is nobody's business but theirs: it is neither announced, nor gone back to, nor deleted, nor replaced.
    Savepoint,
    /// For the user, and the job ends with it; with `drain`, after everything that it still holds was put out.
    Stop { drain: bool },
}

impl Purpose {
    /// True for what belongs to the user.
    pub(crate) fn is_savepoint(self) -> bool {
        self != Purpose::Recovery
    }
}

/// What a checkpoint holds for regions that do not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) regions: BTreeSet<RegionId>,
    /// The checkpoint that they are restored from; `None` where they begin anew.
    pub(crate) base: Option<CheckpointId>,
}

/// What became of a manifest's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is durable and visible.
    Published,
    /// It is not there, and never will be.
    Failed(String),
    /// It may be there, now or later.
    Unknown(String),
}

/// What the coordinator is told. `E` is what a task's ack carries.
#[derive(Clone, Debug)]
pub(crate) enum Event<E> {
    /// The coordinator before has failed; comes first, if at all.
    TakeOver(Inherited),
    /// All tasks of a region run.
    RegionUp { region: RegionId, attempt: Attempt, members: Vec<Member> },
    /// A region does not run: it failed, or has not begun. It waits for its restore point.
    RegionDown { region: RegionId },
    /// All inputs of a task have ended, and its `finish` has run; it is parked.
    TaskEnded { task: TaskId, attempt: Attempt },
    /// The deadline has come.
    Tick,
    /// Someone asks for a checkpoint; the token is answered exactly once.
    Request { token: u64 },
    /// Someone asks for a savepoint; the token is answered exactly once.
    Savepoint { token: u64 },
    /// Someone wants the job to end with a savepoint; the token is answered exactly once.
    Stop { token: u64, drain: bool },
    /// A checkpoint that was to be deleted is, or stays for good.
    Deleted,
    /// Ids up to this one, inclusive, are reserved durably.
    Reserved { up_to: u64 },
    /// Ids could not be reserved.
    ReservationFailed { text: String },
    /// A task's part is durable.
    Ack { task: TaskId, attempt: Attempt, id: CheckpointId, part: E },
    /// A task does not deliver its part.
    Decline { task: TaskId, attempt: Attempt, id: CheckpointId, refusal: Refusal },
    /// The manifest's write has ended.
    Manifest { id: CheckpointId, written: Written },
    /// It was found out whether a manifest is there; if not, it never will be.
    ManifestResolved { id: CheckpointId, published: bool },
    /// The job stops: no checkpoint is begun any more.
    Stopping,
}

/// What became of an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckAnswer {
    /// It counts; the part's files belong to the checkpoint now.
    Accepted,
    /// It was there already; nothing is to be deleted.
    Duplicate,
    /// The checkpoint does not await this task, or not in this attempt; the part is discarded.
    Unknown,
    /// The checkpoint was given up or replaced; the part is discarded.
    Discarded,
}

/// What the coordinator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<E> {
    /// Reserve ids up to this one, inclusive, durably; answer with `Reserved` or `ReservationFailed`.
    ReserveIds { up_to: u64 },
    /// Tell the sources that no more is to be read: all tasks come to their end, each as at the end of its data.
    Drain { sources: Vec<(TaskId, Attempt)> },
    /// The checkpoint that is triggered next is a savepoint, for this request.
    Savepoint { id: CheckpointId, token: u64, purpose: Purpose },
    /// Behind the barrier of the checkpoint that is triggered next tasks stand still.
    StandStill { id: CheckpointId },
    /// They need not, or no more: the job goes on.
    GoOn,
    /// What tasks have put out by draining is to be taken back: all regions begin again where they were.
    StartAnew(Reason),
    /// The savepoint with which the job ends is complete: tasks commit what it holds and go, and none is ever started again.
    Leave { id: CheckpointId },
    /// Tell the sources to begin the checkpoint.
    Trigger { id: CheckpointId, sources: Vec<(TaskId, Attempt)> },
    /// What became of an ack.
    Acked { task: TaskId, id: CheckpointId, answer: AckAnswer },
    /// Write, sync and publish the manifest, with what these regions restore from in place of parts of theirs; answer with
    /// `Manifest`.
    WriteManifest { id: CheckpointId, parts: Vec<(TaskId, E)>, carried: Carried },
    /// Find out whether the manifest is there, and make sure that it will not appear later if it is not; try until it is known,
    /// then answer with `ManifestResolved`. A region waits for it.
    ResolveManifest { id: CheckpointId },
    /// Tell the tasks of these regions, which took part in it, that the checkpoint is complete.
    NotifyComplete { id: CheckpointId, regions: BTreeSet<RegionId> },
    /// Tell the tasks of these regions that the checkpoint was given up, and which one is the latest that they took part in, or
    /// were restored from.
    NotifyAborted { id: CheckpointId, regions: BTreeMap<RegionId, Option<CheckpointId>> },
    /// Delete the files of a part that no checkpoint holds.
    Discard(E),
    /// Delete a checkpoint with all that belongs to it, its manifest first. A failure is logged and harms nothing.
    DeleteCheckpoint(CheckpointId),
    /// Answer a request.
    Answer { token: u64, answer: Result<CheckpointId, Reason> },
    /// The region may start from this checkpoint, or anew.
    RestoreFrom { region: RegionId, point: Option<CheckpointId> },
    /// The final checkpoint is complete: parked tasks may go once their commits are confirmed.
    FinalDone(CheckpointId),
    /// More checkpoints than tolerable failed in a row.
    FailJob(Reason),
}
