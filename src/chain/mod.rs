//! Links: the operators that live inside a task, joined by plain calls.
//!
//! Always: a batch is one virtual call, a record none. A link that can't hand on what it made keeps it and says so; nothing is
//! lost and nothing is made twice. Called by the task that owns the chain.

mod checked;
mod closing;
mod connected;
mod distinct;
mod ended;
mod extreme;
mod filter;
mod flat_map;
mod fold;
mod key_by;
mod keyed_parts;
mod map;
mod operate;
mod process;
mod running;
#[cfg(test)]
pub(crate) mod script;
mod sink;
mod steps;
mod sum;
mod tee;
mod thawed;
mod with_state;

pub(crate) use checked::{Checked, Watch};
pub(crate) use connected::Connected;
pub(crate) use distinct::Distinct;
pub(crate) use ended::Ended;
pub(crate) use extreme::Extreme;
pub(crate) use filter::Filter;
pub use flat_map::DeadLetter;
pub(crate) use flat_map::{FlatMap, Poison};
pub(crate) use fold::{ACCUMULATORS, Fold, Folding};
pub(crate) use key_by::KeyBy;
pub(crate) use keyed_parts::KeyedParts;
pub(crate) use map::Map;
pub(crate) use operate::Operate;
pub(crate) use process::Process;
pub(crate) use running::Running;
pub(crate) use sink::{RECORDS_STATE, SinkLink};
pub(crate) use steps::{Outs, Steps, Stepwise};
pub use sum::Summand;
pub(crate) use sum::Summing;
pub(crate) use tee::Tee;
pub(crate) use with_state::{Mapping, Scan, Scanning};
