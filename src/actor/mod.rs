//! The supervision tree: a job's actors.
//!
//! ```text
//! job ── coordinator
//!     ├─ keeper (the snapshot actor)
//!     └─ region supervisor, one for each region
//!          └─ shell, one for each task
//! ```
//!
//! Always: a handler never blocks and never waits for another actor; blocking work is handed to the executor, and its outcome
//! comes back as a message. What to do is decided by pure machines; the actors do it. Every message goes through [`post`].

mod alarm;
mod beginning;
mod chronicle;
mod coordinator;
mod entrant;
mod event;
mod farewell;
mod first;
mod handover;
mod hooked;
mod keeper;
mod known;
mod last;
mod launch;
mod line;
mod opened;
mod pair;
mod post;
mod presence;
mod region;
mod restore;
mod root;
mod savepoints;
mod settle;
mod shell;
mod status;
mod surroundings;
mod told;
mod views;
mod watchdog;
mod watched;

pub(crate) use beginning::StartPoint;
pub(crate) use chronicle::Heard;
pub use event::{JobEvent, RestoredFrom};
pub(crate) use first::FirstAttempt;
#[cfg(feature = "testing")]
pub(crate) use keeper::{prepare_parts, to_snapshot};
pub(crate) use known::Known;
pub use known::{CheckpointFailure, PairNode, RegionFailure, RegionState};
pub(crate) use launch::{JobSpec, Launched, Safety, check, launch};
pub(crate) use line::Line;
pub(crate) use post::post;
#[cfg(feature = "testing")]
pub(crate) use restore::{Origin, RestorePoint, Wanted};
pub(crate) use root::{Asking, RootMsg, RootRef};
pub(crate) use status::{JobEnd, JobStatus};
pub(crate) use watched::SeenTask;
