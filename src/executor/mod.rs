//! Where tasks are driven: the worker threads of a job's own pool, or one thread under a seeded simulator.
//!
//! Always: the same driver drives the same tasks in both; only who is stepped next, what time it is and where blocking work runs
//! differ.

mod driver;

pub(crate) use driver::{Driver, Ending, drive};
