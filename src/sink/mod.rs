//! Sinks: the contract that users implement, and the ledger of what each sink task has cut off and not yet committed.

mod contract;
mod ledger;

pub use contract::{Sink, SinkContext, SinkWriter};
pub(crate) use ledger::{HANDLES_STATE, Ledger};
