//! Links: the operators that live inside a task, joined by plain calls.
//!
//! Always: a batch is one virtual call, a record none. A link that can't hand on what it made keeps it and says so; nothing is
//! lost and nothing is made twice. Called by the task that owns the chain.

mod checked;
mod ended;
mod filter;
mod flat_map;
mod fold;
mod key_by;
mod map;
mod process;
#[cfg(test)]
pub(crate) mod script;
mod sink;
mod steps;
mod tee;
mod thawed;

pub(crate) use checked::{Checked, Watch};
pub(crate) use ended::Ended;
pub(crate) use filter::Filter;
pub use flat_map::DeadLetter;
pub(crate) use flat_map::{FlatMap, Poison};
pub(crate) use fold::{ACCUMULATORS, Fold, Folding};
pub(crate) use key_by::KeyBy;
pub(crate) use map::Map;
pub(crate) use process::{KeyedParts, Process};
pub(crate) use sink::{RECORDS_STATE, SinkLink};
pub(crate) use steps::{Outs, Steps, Stepwise};
pub(crate) use tee::Tee;
