//! The points of the engine at which a test kit may take a hand, by name.
//!
//! Always: a point is named where the thing itself is done, so that a fault aimed at it strikes any job, without a change of the
//! user's code. What happens at a point is decided by whoever hooks in; nobody does in production, where each point costs one
//! branch at a cold place.

mod canary;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::BoxError;
use crate::ids::{Attempt, RegionId, TaskId, Uid};

pub use canary::Canary;

/// A callback of a user's operator, source or sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Callback {
    /// An instance of an operator, source or sink is opened.
    Open,
    /// An operator or a sink is about to take a record.
    Record,
    /// An operator or a sink is about to take a watermark.
    Watermark,
    /// A timer is about to fire; for windows, a window.
    Timer,
    /// The operator's view is about to be taken.
    Snapshot,
    /// The operator is about to hear that a checkpoint is complete.
    Complete,
    /// The data has ended: the last chance to emit.
    Finish,
    /// An instance has been closed. What goes wrong here is logged, and goes no further.
    Close,
    /// A source is about to find its splits.
    Splits,
    /// A source is about to read from a split.
    Poll,
    /// A source's positions are about to be noted for a checkpoint.
    Position,
    /// A sink is about to be taken up after a start.
    Recover,
    /// A sink's writer is about to write some records.
    Write,
    /// A sink's writer is about to cut off what belongs to a checkpoint.
    Cut,
    /// A sink is about to make durable what was cut off.
    MakeDurable,
    /// A sink is about to commit what is durable.
    Commit,
    /// A sink has committed, and its answer is about to be heard.
    Committed,
}

impl Callback {
    /// All of them.
    pub const ALL: [Callback; 17] = [
        Callback::Record,
        Callback::Open,
        Callback::Watermark,
        Callback::Timer,
        Callback::Snapshot,
        Callback::Complete,
        Callback::Finish,
        Callback::Close,
        Callback::Splits,
        Callback::Poll,
        Callback::Position,
        Callback::Recover,
        Callback::Write,
        Callback::Cut,
        Callback::MakeDurable,
        Callback::Commit,
        Callback::Committed,
    ];
}

/// An actor of a job's supervision tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The root of the tree.
    Root,
    /// Decides on checkpoints.
    Coordinator,
    /// The snapshot actor: writes to the store.
    Keeper,
    /// The supervisor of a region.
    Region,
    /// Stands for a task.
    Shell,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [Role::Coordinator, Role::Keeper, Role::Region, Role::Shell, Role::Root];
}

/// A message that may be lost, or come late, without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Control {
    /// To a source's task: begin a checkpoint.
    Trigger,
    /// To the coordinator: a task's part of a checkpoint is durable.
    Ack,
    /// To a task: a checkpoint is complete.
    Complete,
    /// To a task: a checkpoint was given up.
    Abort,
}

impl Control {
    /// All of them.
    pub const ALL: [Control; 4] = [Control::Trigger, Control::Ack, Control::Complete, Control::Abort];
}

/// A moment in the life of a job at which a crash must change nothing: the rows of the crash-point matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CrashPoint {
    /// P0: a checkpoint was decided on, and nobody was told.
    BeforeTrigger,
    /// P1: a source's task was told to begin it, and has sent no barrier.
    Triggered,
    /// P2: the barrier has left a source's task, and has not come to a sink.
    BarrierSent,
    /// P3: what a sink cut off is durable, and the task's part is not acknowledged.
    SinkPrepared,
    /// P4: all parts are acknowledged, and nothing of the manifest is written.
    AllAcked,
    /// P5: the manifest is written to a temporary file, which was not renamed.
    ManifestWritten,
    /// P6: the manifest was renamed, and nobody knows that it is there.
    ManifestRenamed,
    /// P7: the manifest is known to be there, and nobody was told that the checkpoint is complete.
    ManifestDurable,
    /// P8: a task of a region was told that the checkpoint is complete, and the others were not.
    CompleteToSome,
    /// P9: a sink has committed, and nobody has noted it.
    CommitDone,
    /// P10: a region has failed, and waits to be restarted.
    Backoff,
    /// P11: a task is open again with its restored state, and has read nothing.
    Restored,
    /// P12: a sink is being taken up, and commits what the restored checkpoint has of it.
    RecoveryCommits,
    /// P13: a task has read and emitted everything, and the final checkpoint is not complete.
    InputEnded,
    /// P14: the final checkpoint is complete, and the tasks are still there.
    FinalComplete,
    /// P15: the savepoint with which the job ends is durable, and nothing of it is committed.
    Stopped,
}

impl CrashPoint {
    /// Those that a job comes to which is left to itself, P0 first.
    pub const UNASKED: [CrashPoint; 15] = [
        CrashPoint::BeforeTrigger,
        CrashPoint::Triggered,
        CrashPoint::BarrierSent,
        CrashPoint::SinkPrepared,
        CrashPoint::AllAcked,
        CrashPoint::ManifestWritten,
        CrashPoint::ManifestRenamed,
        CrashPoint::ManifestDurable,
        CrashPoint::CompleteToSome,
        CrashPoint::CommitDone,
        CrashPoint::Backoff,
        CrashPoint::Restored,
        CrashPoint::RecoveryCommits,
        CrashPoint::InputEnded,
        CrashPoint::FinalComplete,
    ];

    /// All of them, P0 first.
    pub const ALL: [CrashPoint; 16] = {
        let mut all = [CrashPoint::Stopped; 16];
        let (unasked, _) = all.split_at_mut(15);
        unasked.copy_from_slice(&CrashPoint::UNASKED);
        all
    };
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{} ({self:?})", *self as u8)
    }
}

/// Where the engine is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point<'a> {
    /// A callback of this operator, source or sink is about to be called.
    Callback(&'a Uid, Callback),
    /// An actor is about to handle a message.
    Message(Role),
    /// At a crash point.
    Crash(CrashPoint),
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Deliver,
    Late(Duration),
    Lost,
}

/// Whom something has happened to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Task(TaskId),
    Region(RegionId),
    Coordinator,
}

/// What a test kit does at the points that the engine comes to. Called on whatever thread is there.
pub(crate) trait Hook: Send + Sync + fmt::Debug {
    /// The engine has come to a point.
    ///
    /// # Errors
    /// Where what is about to be done is to fail.
    ///
    /// # Panics
    /// Where it is to panic.
    fn reach(&self, point: Point<'_>) -> Result<(), BoxError>;

    /// How many more of these calls go well before one is to fail.
    fn ahead(&self, uid: &Uid, callback: Callback) -> usize;

    /// So many calls went well.
    fn passed(&self, uid: &Uid, callback: Callback, calls: usize);

    /// What becomes of this message.
    fn route(&self, message: Control) -> Route;

    /// How long an actor waits before its next message; for ever where none is given.
    fn turn(&self, role: Role) -> Option<Duration>;

    /// How long the edge stalls of which a frame is about to be taken.
    fn stall(&self) -> Option<Duration>;

    /// Blocking work waits.
    fn pause(&self, pause: Duration);

    /// A task of an attempt is about to be there.
    fn came(&self, region: RegionId, task: TaskId, attempt: Attempt);

    /// It is gone.
    fn gone(&self, region: RegionId, task: TaskId, attempt: Attempt);

    /// What a user calls a task.
    fn named(&self, task: TaskId, name: String) {
        drop((task, name));
    }

    /// Something has happened, for people who watch; `failure` where it is what they look for.
    fn told(&self, who: Who, failure: bool, what: &dyn Fn() -> String) {
        let _nobody_watches = (who, failure, what);
    }

    /// Something that always holds does not.
    fn broken(&self, what: String);

    /// Whether the engine is to be broken so.
    fn breaks(&self, canary: Canary) -> bool {
        let _never = canary;
        false
    }
}

/// The hook of a job, if it has one. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks(Option<Arc<dyn Hook>>);

impl Hooks {
    /// With a hook.
    pub(crate) fn new(hook: Arc<dyn Hook>) -> Self {
        Hooks(Some(hook))
    }

    /// The hook.
    #[inline]
    pub(crate) fn get(&self) -> Option<&dyn Hook> {
        self.0.as_deref()
    }

    /// The engine has come to a point.
    ///
    /// # Errors
    /// What the hook says.
    #[inline]
    pub(crate) fn reach(&self, point: Point<'_>) -> Result<(), BoxError> {
        match &self.0 {
            None => Ok(()),
            Some(hook) => hook.reach(point),
        }
    }

    /// A callback is about to be called.
    ///
    /// # Errors
    /// What the hook says.
    #[inline]
    pub(crate) fn callback(&self, uid: &Uid, callback: Callback) -> Result<(), BoxError> {
        self.reach(Point::Callback(uid, callback))
    }

    /// The engine has come to a crash point.
    ///
    /// # Errors
    /// What the hook says.
    #[inline]
    pub(crate) fn crash(&self, point: CrashPoint) -> Result<(), BoxError> {
        self.reach(Point::Crash(point))
    }

    /// Something has happened.
    pub(crate) fn tell(&self, who: Who, what: impl Fn() -> String) {
        if let Some(hook) = &self.0 {
            hook.told(who, false, &what);
        }
    }

    /// Something has failed.
    pub(crate) fn tell_failure(&self, who: Who, what: impl Fn() -> String) {
        if let Some(hook) = &self.0 {
            hook.told(who, true, &what);
        }
    }

    /// What becomes of a message.
    pub(crate) fn route(&self, message: Control) -> Route {
        self.get().map_or(Route::Deliver, |hook| hook.route(message))
    }
}

/// A hook for tests of what stands at the points.
#[cfg(test)]
pub(crate) mod scripted {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use crate::error::BoxError;
    use crate::hook::{Callback, Control, Hook, Point, Role, Route};
    use crate::ids::{Attempt, RegionId, TaskId, Uid};

    /// Has one callback fail, stalls one frame, and notes what is broken.
    #[derive(Debug, Default)]
    pub(crate) struct Scripted {
        pub(crate) fails: Option<(Callback, usize)>,
        pub(crate) stalls: Mutex<Option<Duration>>,
        pub(crate) broken: Mutex<Vec<String>>,
        passed: Mutex<usize>,
    }

    impl Scripted {
        /// Has the call of a callback fail that comes after so many.
        pub(crate) fn failing(callback: Callback, after: usize) -> Arc<Self> {
            Arc::new(Scripted { fails: Some((callback, after)), ..Scripted::default() })
        }

        pub(crate) fn take_broken(&self) -> Vec<String> {
            std::mem::take(&mut *self.broken.lock().unwrap())
        }
    }

    impl Hook for Scripted {
        fn reach(&self, point: Point<'_>) -> Result<(), BoxError> {
            match (point, self.fails) {
                (Point::Callback(uid, callback), Some((fails, after)))
                    if callback == fails && *self.passed.lock().unwrap() >= after =>
                {
                    Err(format!("{callback:?} of {uid} fails").into())
                }
                _ => Ok(()),
            }
        }

        fn ahead(&self, _: &Uid, callback: Callback) -> usize {
            let passed = *self.passed.lock().unwrap();
            self.fails.filter(|(fails, _)| *fails == callback).map_or(usize::MAX, |(_, after)| after.saturating_sub(passed))
        }

        fn passed(&self, _: &Uid, callback: Callback, calls: usize) {
            if self.fails.is_some_and(|(fails, _)| fails == callback) {
                *self.passed.lock().unwrap() += calls;
            }
        }

        fn route(&self, _: Control) -> Route {
            Route::Deliver
        }

        fn turn(&self, _: Role) -> Option<Duration> {
            Some(Duration::ZERO)
        }

        fn stall(&self) -> Option<Duration> {
            self.stalls.lock().unwrap().take()
        }

        fn pause(&self, _: Duration) {}

        fn came(&self, _: RegionId, _: TaskId, _: Attempt) {}

        fn gone(&self, _: RegionId, _: TaskId, _: Attempt) {}

        fn broken(&self, what: String) {
            self.broken.lock().unwrap().push(what);
        }
    }
}
