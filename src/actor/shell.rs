//! The shell of a task: the actor that stands for it in the tree.
//!
//! It passes commands on and owns the task's lane: when the shell goes, however it goes, the lane is dropped and the task cancels
//! itself. No record passes through here.

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::hooked::enter;
use crate::channel::LaneSender;
use crate::hook::{Hooks, Role};
use crate::task::Command;

/// The shell's behaviour; its state is the lane.
pub(super) struct Shell(pub(super) Hooks);

impl Actor for Shell {
    type Msg = Command;
    type State = LaneSender<Command>;
    type Arguments = LaneSender<Command>;

    async fn pre_start(&self, _: ActorRef<Command>, lane: LaneSender<Command>) -> Result<Self::State, ActorProcessingErr> {
        Ok(lane)
    }

    async fn handle(&self, _: ActorRef<Command>, command: Command, lane: &mut Self::State) -> Result<(), ActorProcessingErr> {
        enter(&self.0, Role::Shell).await?;
        lane.send(command);
        Ok(())
    }
}
