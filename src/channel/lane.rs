//! A task's control lane: commands to it from its supervisor, looked at once a step.
//!
//! Not bounded by the channel but by use: a task is sent a handful of commands for each checkpoint, and a job has a bounded
//! number of checkpoints under way.

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use super::bell::{Bell, RingOnDrop};

/// The supervisor's end; when the last clone is dropped, the task cancels itself.
#[derive(Debug)]
pub(crate) struct LaneSender<M> {
    commands: Sender<M>,
    bell: RingOnDrop,
}

/// The task's end.
#[derive(Debug)]
pub(crate) struct LaneReceiver<M> {
    commands: Receiver<M>,
}

/// What a lane has for its task.
#[derive(Debug)]
pub(crate) enum Command<M> {
    /// The next command.
    Got(M),
    /// Nothing for now.
    None,
    /// Nobody is left who could send one.
    Orphaned,
}

/// A lane to the task with this bell.
pub(crate) fn lane<M>(bell: Bell) -> (LaneSender<M>, LaneReceiver<M>) {
    let (tx, rx) = unbounded();
    (LaneSender { commands: tx, bell: RingOnDrop(bell) }, LaneReceiver { commands: rx })
}

impl<M> LaneSender<M> {
    /// Sends a command; one to a task that is gone is dropped.
    pub(crate) fn send(&self, command: M) {
        if self.commands.send(command).is_ok() {
            self.bell.0.ring();
        }
    }
}

impl<M> Clone for LaneSender<M> {
    fn clone(&self) -> Self {
        LaneSender { commands: self.commands.clone(), bell: RingOnDrop(self.bell.0.clone()) }
    }
}

impl<M> LaneReceiver<M> {
    /// The next command, without waiting.
    pub(crate) fn try_recv(&self) -> Command<M> {
        match self.commands.try_recv() {
            Ok(command) => Command::Got(command),
            Err(TryRecvError::Empty) => Command::None,
            Err(TryRecvError::Disconnected) => Command::Orphaned,
        }
    }
}
