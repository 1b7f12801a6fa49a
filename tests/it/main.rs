//! Whole jobs, a file per behaviour. A test whose name begins with an id proves that statement of the semantics.

mod canary;
mod checkpoints;
mod cli;
mod common;
mod counts;
mod crash;
mod faults;
mod flow;
mod flows;
mod golden;
mod harness;
mod house;
mod main_job;
mod memory;
mod newcomer;
mod real_crashes;
mod restarts;
mod sinks;
mod state;
mod stored;
mod suites;
