//! State: what an operator remembers, and the frozen views of it that a snapshot is written from.
//!
//! Always: a view never changes after it was taken, whatever is written to the state afterwards. State is owned by its task and
//! touched by no other thread; views are read by the snapshot's writer.

mod view;

pub(crate) use view::{Block, RestoredStates, StateDescriptor, StateKind, StateView};
