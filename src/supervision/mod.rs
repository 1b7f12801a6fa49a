//! Supervision: what happens after a failure.
//!
//! Pure machines without threads or clocks: the restart strategies, and the life of a region. A region's supervisor feeds the
//! machine what happened to its tasks and does what it asks for; so does the root for the coordinator and the snapshot actor.

#[cfg(test)]
mod introduce_tests;
#[cfg(test)]
mod leaving_tests;
mod pair;
mod region;
#[cfg(test)]
mod region_tests;
mod restarts;
mod watchdog;

pub(crate) use pair::{Pair, PairAction, PairEvent};
pub(crate) use region::{Action, Event, Outcome, Region};
pub(crate) use watchdog::{Doing, Finding, Reading, Watch};
