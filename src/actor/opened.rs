//! A task is opened: its state is read, its operators are made.
//!
//! Always: what goes wrong on the way is a failure of the task, told to its region. Done on a thread that may block.

use std::sync::Arc;

use super::keeper::guarded;
use super::presence::Presence;
use super::restore::RestorePoint;
use super::root::Common;
use super::told::of_restored;
use crate::channel::Bell;
use crate::error::{Error, Result, chain_text};
use crate::hook::{CrashPoint, Who};
use crate::ids::{Attempt, TaskId, Uid};
use crate::plan::{Opener, Surroundings};
use crate::snapshot::Share;
use crate::task::Task;

/// A task that was opened, or why it could not be.
pub(crate) struct Opened {
    pub(super) id: TaskId,
    pub(super) attempt: Attempt,
    pub(super) bell: Bell,
    pub(super) uids: Arc<[Uid]>,
    pub(super) task: Result<Task>,
    pub(super) presence: Presence,
}

/// Reads a task's state and opens its operators.
pub(super) fn open_task(
    opener: Opener,
    attempt: Attempt,
    restore: &RestorePoint,
    common: &Common,
    surroundings: Surroundings,
    presence: Presence,
) -> Opened {
    let (id, bell, uids): (TaskId, _, Arc<[Uid]>) = (opener.id, opener.bell.clone(), opener.uids().into());
    let parallelism = common.plan.chain(id).map_or(1, |chain| chain.parallelism);
    let share = Share { index: id.index, parallelism };
    let task = guarded(|| {
        let kept = restore.operators(&uids, share)?;
        common.hooks.tell(Who::Task(id), || format!("is opened in attempt {attempt} with {}", of_restored(&uids, &kept)));
        let task = opener.open(kept, surroundings)?;
        if attempt.n > 0 || restore.is_of_checkpoint() {
            common.hooks.crash(CrashPoint::Restored).map_err(|error| Error::Engine(chain_text(&*error)))?;
        }
        Ok(task)
    });
    Opened { id, attempt, bell, uids, task, presence }
}
