//! A task: one running instance of a chain, as a machine that steps.
//!
//! Always: a step does a bounded piece of work and never waits; a barrier goes onward before the view is taken, and between the
//! two nothing runs; nothing is emitted once the end of data has been sent. A task is stepped by one driver at a time.

mod covered;
mod gated;
mod head;
mod machine;
#[cfg(test)]
mod machine_tests;
mod pace;
mod pieces;
mod questions;
#[cfg(test)]
mod questions_tests;
mod sourced;
#[cfg(test)]
mod sourced_tests;
mod standstill;

pub(crate) use gated::Gated;
pub(crate) use head::Head;
#[cfg(feature = "testing")]
pub(crate) use head::{Advance, in_order};
pub(crate) use machine::{Command, Progress, Report, Task, TaskParts, TaskView};
pub(crate) use pace::Rate;
pub(crate) use sourced::{RejectPolicy, SPLITS_STATE, Sourced, SourcedParts, Split, SplitState};
pub(crate) use standstill::Standstill;
