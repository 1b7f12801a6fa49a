//! Whole jobs, a file per behaviour. A test whose name begins with an id proves that statement of the semantics.

mod canary;
mod checkpoints;
mod common;
mod counts;
mod crash;
mod evolution;
mod faults;
mod flow;
mod flows;
mod harness;
mod house;
mod kinds;
mod main_job;
mod memory;
mod newcomer;
mod real_crashes;
mod restarts;
mod short;
mod sinks;
mod state;
mod suites;
