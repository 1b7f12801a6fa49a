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
//! What goes wrong is data, a [`FaultPlan`]: a plan strikes any job, without a change of its code, in its callbacks, in calls of the
//! store, in the engine's own actors and messages, and at the [`CrashPoint`]s of a checkpoint's life. At every step the engine's
//! invariants are checked: a run in which one does not hold ends as [`End::Broken`]. A [`Fault`] is for hand-made tests of one callback.
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
//!
//! A test of a job under everything that may go wrong is one line: [`check_exactly_once`]. The job gets its sinks from the [`Kit`]
//! (or shows it what your own sink shows, with [`Kit::shows`]), and may use any source that gives the same records at each attempt:
//!
//! ```
//! use tidegate::testing::{Kit, Scripted, check_exactly_once};
//! use tidegate::{Job, Stream};
//!
//! // What the service runs, with another source and another sink.
//! fn count_words(lines: &Stream<String>) -> Stream<(String, u64)> {
//!     let words = lines.flat_map(|line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
//!     words.key_with(|word| (word, ())).count()
//! }
//!
//! let lines = ["to be or not to be", "that is the question"].map(String::from);
//! check_exactly_once(|kit: &Kit| {
//!     let job = Job::new("words");
//!     let lines = job.source("lines", Scripted::new([lines.to_vec()]));
//!     count_words(&lines).sink("counts", kit.sink("counts"));
//!     job
//! }, 20);
//! ```
//!
//! Besides state in a field of an operator, that finds what a closure remembers between records: both outlive a restart, or are gone
//! with one, and no checkpoint knows of them. What must outlive the job's processes in the test as it does in the world, such as the
//! database behind a sink of your own, is kept with [`Kit::keep`].
//!
//! Where it fails, it panics with what differs, a seed, the faults made as few and as simple as can be, the command that replays
//! the case, and a timeline:
//!
//! ```text
//! exactly-once does not hold: 'out' does not show what it shows without faults:
//!   missing:  (0, 2)
//!   too many: (0, 1)
//! replay it: TIDEGATE_SEED=28 TIDEGATE_PLAN='death:33' cargo test state_in_a_field -- --exact
//! seed 28, faults: the process dies at step 33
//! process 1:
//!      18 ms  totals[0]      its part of checkpoint 1 is durable: totals: no state
//! !    31 ms  FAULT          the process dies at step 33
//! process 2:
//!       4 ms  totals[0]      is opened in attempt 2.0 with totals: no state
//! ```
//!
//! `TIDEGATE_CASES` and `TIDEGATE_SEED` make it more and other cases, for a night. [`simulate`] runs one case, whose faults you plan.

mod armed;
mod broker;
mod clock;
mod disk;
mod disk_entries;
mod exactly_once;
mod executor;
mod fault;
#[doc(hidden)]
pub mod fuzzing;
mod harness;
mod hooked;
mod judge;
mod kit;
mod machines;
mod plan;
mod present;
mod process;
mod recording;
mod replay;
mod rng;
mod scheduler;
mod scripted;
mod setting;
mod simulate;
mod simulation;
mod store;
mod strategy;
pub mod suites;
mod timeline;
mod trace;

pub use broker::{SinkEvent, TransactionId};
pub use disk::{Disk, DiskCall, DiskFault, DiskState};
#[doc(hidden)]
pub use exactly_once::check_drawn;
pub use exactly_once::check_exactly_once;
pub use fault::Fault;
pub use harness::{Emitted, OpenOperator, OperatorHarness, TakenSnapshot};
pub use kit::Kit;
pub use plan::{Calamity, Failure, Fate, FaultPlan, PlannedFault};
pub use process::Restores;
pub use recording::{Recorder, RecordingSink, SinkCall};
pub use scripted::{ScriptReader, Scripted, SourceCall};
#[doc(hidden)]
pub use simulate::simulate_unwatched;
pub use simulate::{Report, simulate};
pub use simulation::{End, Run, Simulation};
pub use timeline::Note;
pub use trace::{Happening, Trace};

pub use crate::hook::{Callback, Canary, Control, CrashPoint, Role};
