//! Whole jobs, a file per behaviour. A test whose name begins with an id proves that statement of the semantics.

mod checkpoints;
mod common;
mod crash;
mod flow;
mod house;
mod main_job;
mod memory;
mod real_crashes;
mod restarts;
mod sinks;
mod state;
