//! The pipes between tasks: bounded edges, a control lane for each task, and the bell that wakes it.
//!
//! Always: whatever may let a task go on rings its bell: a frame sent or received, the drop of either end of an edge, a command.
//! A task registers with its bell before it looks, so that nothing that happens after the look is missed.

mod bell;
mod edge;
mod lane;

pub(crate) use bell::Bell;
pub(crate) use edge::{EdgeReceiver, EdgeSender, Received, SendError, Spent, edge};
pub(crate) use lane::{Command, LaneReceiver, LaneSender, lane};
