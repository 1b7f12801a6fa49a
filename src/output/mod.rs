//! The end of a chain: all outgoing edges of one stream of a task.
//!
//! Always: what goes out on an edge keeps its order; marks go to every edge; a closing mark is sent behind every record that came
//! before it. At most one closed frame an edge waits for room, beside the one that is being filled: then the output is full.

mod exchange;
mod partition;

pub(crate) use exchange::Exchange;
pub(crate) use partition::{Forward, Hash, HashOrAll, Rebalance};
