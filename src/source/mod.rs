//! Sources: the contract that users implement, and the watermarks that are made from each split.

mod contract;
mod watermarks;

pub use contract::{Poll, Records, Rejected, Source, SplitReader};
pub(crate) use watermarks::SplitClock;
pub use watermarks::{Bounded, Watermarks};
