//! Whole jobs, a file per behaviour. A test whose name begins with an id proves that statement of the semantics.

mod checkpoints;
mod common;
mod crash;
mod flow;
mod harness;
mod house;
mod main_job;
mod restarts;
mod sinks;
mod state;
mod suites;
