//! The presence of a task: shared by its driver and by every call that it has under way.
//!
//! When the last holder lets go, and not before, the task is gone, and its supervisor is told.

use std::sync::Arc;

use ractor::ActorRef;

use super::post::post;
use super::region::RegionMsg;
use crate::hook::Hooks;
use crate::ids::{Attempt, RegionId, TaskId};
use crate::supervision::Event;

/// Held by whatever still runs for a task.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    _shared: Arc<Guard>,
}

#[derive(Debug)]
struct Guard {
    task: TaskId,
    attempt: Attempt,
    region: ActorRef<RegionMsg>,
    /// The region that it is of, for who hooks in.
    watched: (Hooks, RegionId),
}

impl Presence {
    /// Of a task that is about to be opened.
    pub(super) fn new(task: TaskId, attempt: Attempt, region: ActorRef<RegionMsg>, watched: (Hooks, RegionId)) -> Self {
        if let (Some(hook), id) = (watched.0.get(), watched.1) {
            hook.came(id, task, attempt);
        }
        Presence { _shared: Arc::new(Guard { task, attempt, region, watched }) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (Some(hook), id) = (self.watched.0.get(), self.watched.1) {
            hook.gone(id, self.task, self.attempt);
        }
        post(&self.region, RegionMsg::Event(Event::TaskGone { task: self.task, attempt: self.attempt }));
    }
}
