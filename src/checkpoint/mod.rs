//! Checkpoints: when to take one, when it is complete, what becomes of it.
//!
//! Pure machines without threads, clocks or files. The coordinator's actor feeds them what happened and does what they ask for;
//! since completion and failure are events of one machine, a checkpoint is either the one to restore or is never called complete.

mod coordinator;
#[cfg(test)]
mod coordinator_invariants;
#[cfg(test)]
mod coordinator_tests;
mod failures;
mod ids;
mod kept;
mod leaving;
#[cfg(test)]
mod leaving_tests;
mod members;
mod notify;
mod partial;
#[cfg(test)]
mod partial_tests;
mod pending;
mod reasons;
mod requests;
mod retention;
mod standing;
mod takeover;
mod words;

pub(crate) use coordinator::Coordinator;
pub(crate) use kept::KeptViews;
pub(crate) use notify::Notifications;
pub(crate) use reasons::{Reason, Refusal};
pub(crate) use standing::Standing;
pub(crate) use words::{AckAnswer, Action, Carried, Ending, Event, Inherited, Member, Purpose, Start, Written};
