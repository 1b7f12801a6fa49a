//! State as data: what lies in a store, for people and programs that look at it, and state that is written for a job.
//!
//! **Looking.** [`jobs`] lists the jobs of a store with their checkpoints; a [`StoredCheckpoint`] reads one: its [entries], without
//! their types, its [statistics], its [faults], and what [differs] from another one. Looking takes no lock and writes nothing, so it
//! does not disturb a job that runs; such a job may delete a checkpoint while it is read, which is an error that says so. Memory is
//! bounded: by a section at a time (some megabytes, and the largest entry), and for differences by
//! [`DIFF_BYTES`].
//!
//! **Writing.** A [`StateWriter`] makes a checkpoint of entries that a program hands it, from which the job then starts: to begin a
//! job with state that comes from elsewhere, or to repair what a job has kept. It holds the job's lock, so the job does not run
//! meanwhile.
//!
//! The program `tidegate` (feature `cli`) shows the same on a command line: `tidegate state ls`, `show`, `verify`, `diff`, `stats`.
//!
//! All calls block on the store. From asynchronous code, make them on a thread that may (`tokio::task::spawn_blocking`).
//!
//! ```
//! use tidegate::Store;
//! use tidegate::stored::{ACCUMULATORS, StateWriter, StoredCheckpoint, Wanted, jobs};
//!
//! # fn main() -> tidegate::Result<()> {
//! let store = Store::memory();
//! let mut writer = StateWriter::seed(&store, "orders", None)?;
//! writer.values("by-customer", ACCUMULATORS, [("ada".to_string(), 3u64), ("bob".to_string(), 5)])?;
//! let id = writer.finish()?.checkpoint;
//!
//! let found = jobs(&store)?;
//! assert_eq!(found[0].checkpoints[0].id, id);
//! let checkpoint = StoredCheckpoint::latest(&store, "orders")?.expect("there is one");
//! for entry in checkpoint.entries(&Wanted::everything().operator("by-customer")) {
//!     let entry = entry?;
//!     println!("{:?}: {:?}", entry.key, entry.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [entries]: StoredCheckpoint::entries
//! [statistics]: StoredCheckpoint::stats
//! [faults]: StoredCheckpoint::verify
//! [differs]: StoredCheckpoint::diff

mod checkpoint;
mod diff;
mod edits;
mod entries;
mod finish;
mod grouped;
mod keyed;
mod listing;
mod stats;
mod timed;
mod unkeyed;
mod verify;
mod writer;

pub use checkpoint::{StoredCheckpoint, StoredOperator, StoredState};
pub use diff::{Change, Changed, DIFF_BYTES};
pub use entries::{Entries, Entry, Wanted};
pub use listing::{Condition, ListedCheckpoint, StoredJob, Summary, job, jobs};
pub use stats::{Share, StateStats};
pub use timed::TimedWriter;
pub use verify::Verified;
pub use writer::{StateWriter, Written};

pub use crate::codec::Datum;
pub use crate::snapshot::CheckpointKind;

/// The name of the state in which `count`, `reduce` and `aggregate` of a keyed stream keep an accumulator for each key.
pub const ACCUMULATORS: &str = crate::chain::ACCUMULATORS;
