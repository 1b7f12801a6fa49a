//! The gate: how the input channels of one task become one input.
//!
//! Pure machines without threads or clocks. A channel is one input edge, counted over all inputs of the task, so that an operator
//! with several inputs aligns its barriers and merges its watermarks over all of them alike.
//!
//! Owned by the task and called between frames, on the task's thread.

mod alignment;
#[cfg(test)]
mod alignment_tests;
mod barriers;
mod frontier;
#[cfg(test)]
mod frontier_tests;
mod intake;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod model;
mod tracking;
mod watch;

pub(crate) use alignment::{AbortReason, Alignment, Step, Steps};
pub(crate) use frontier::{Frontier, Output};
pub(crate) use intake::{Arrival, Closing, GateStart, Intake};
