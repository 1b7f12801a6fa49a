//! The kit for testing flows: single operators, whole jobs under a seed and planned faults, and one's own sources, sinks and stores.
//!
//! - [`OperatorHarness`] tests one operator, alone: records, watermarks, barriers and time in; outputs, state and timers out.
//! - [`Simulation`] runs whole jobs, with planned [`Fault`]s and deaths of the process, over a [`Scripted`] source, a
//!   [`RecordingSink`] and a [`Disk`].
//! - [`suites`] check a source, a sink or a store of one's own against what the engine builds on.
//!
//! A [`Simulation`] runs the same tasks, actors and snapshot code as production, on one thread, in virtual time and in an order
//! drawn from a seed. Always: two runs of one seed are the same, event for event; a run ends, be it by the watchdog. What outlives
//! a process is in the [`Disk`] and in [`RecordingSink`]s; the death of a process takes from both what was not synced.
//!
//! ```
//! use tidegate::testing::{End, Fault, Scripted, Simulation};
//! use tidegate::{Checkpoints, Job, Restart, millis};
//!
//! let sim = Simulation::new(7);
//! let out = sim.sink::<(u64, u64)>();
//! let fault = Fault::panic_at(60);
//! let job = Job::new("counts").store(sim.disk().store()).checkpoints(Checkpoints::every(millis(10)));
//! let job = job.restart(Restart::fixed_delay(1, millis(5)));
//! let numbers = job.source("numbers", Scripted::new([(0..100).collect()]).batches(5).pause_every(10, millis(3)));
//! let tripped = fault.clone();
//! numbers.map(move |n: u64| { tripped.trip(); n }).key_by(|n| n % 3).count().sink("counts", out.clone());
//!
//! let run = sim.run(job);
//! assert!(matches!(run.end, End::Finished(_)), "{run}");
//! assert!(fault.fired());
//! assert_eq!(out.committed().len(), 100);
//! ```

mod broker;
mod clock;
mod disk;
mod executor;
mod fault;
#[doc(hidden)]
pub mod fuzzing;
mod harness;
mod process;
mod recording;
mod rng;
mod scheduler;
mod scripted;
mod simulation;
pub mod suites;
mod trace;

pub use broker::{SinkEvent, TransactionId};
pub use disk::{Disk, DiskCall, DiskFault, DiskState};
pub use fault::Fault;
pub use harness::{Emitted, OpenOperator, OperatorHarness, TakenSnapshot};
pub use recording::{Recorder, RecordingSink, SinkCall};
pub use scripted::{ScriptReader, Scripted, SourceCall};
pub use simulation::{End, Run, Simulation};
pub use trace::{Happening, Trace};
