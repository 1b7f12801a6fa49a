//! A task of a region's current attempt, as the region's supervisor holds it.

use ractor::ActorRef;

use super::post::post;
use crate::channel::LaneSender;
use crate::ids::CheckpointId;
use crate::task::Command;

/// A task of the current attempt.
pub(super) struct Entrant {
    pub(super) reach: Reach,
    pub(super) committed: Option<CheckpointId>,
    /// It has read its last record.
    pub(super) ended: bool,
}

impl Entrant {
    /// Its shell, once it runs.
    pub(super) fn shell(&self) -> Option<&ActorRef<Command>> {
        match &self.reach {
            Reach::Shell(shell) => Some(shell),
            Reach::Lane(_) => None,
        }
    }
}

/// How commands reach a task.
#[derive(Clone)]
pub(super) enum Reach {
    /// It is being opened; what is sent waits in its lane.
    Lane(LaneSender<Command>),
    /// Through its shell, the only holder of its lane.
    Shell(ActorRef<Command>),
}

impl Reach {
    pub(super) fn tell(&self, command: Command) {
        match self {
            Reach::Lane(lane) => lane.send(command),
            Reach::Shell(shell) => post(shell, command),
        }
    }
}
