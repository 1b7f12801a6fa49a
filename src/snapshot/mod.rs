//! Snapshot files, manifests, and the store that keeps them.
//!
//! Always: a checkpoint exists when, and only when, its manifest does; nothing counts as written before it is synced; nothing is
//! overwritten unless that is asked for; and no byte is trusted on reading: whatever is damaged is an error that names its file.
//!
//! All calls block, so they are made on threads that may: the snapshot actor's, and those of restoring tasks.

mod carried;
mod checkpoints;
mod copies;
mod directory;
mod durable;
mod file;
mod folder;
mod head;
mod job_files;
mod manifest;
#[cfg_attr(not(any(test, feature = "testing")), expect(dead_code, reason = "only the test kit plans faults"))]
mod memory;
mod origin;
mod patient;
mod place;
#[cfg(feature = "testing")]
pub(crate) mod probe;
mod reader;
mod restore;
mod sealed;
mod store;
mod unlocked;

#[cfg(test)]
mod tests;

pub(crate) use checkpoints::{OperatorSnapshot, TaskSnapshot};
pub(crate) use copies::restored_from_views;
pub(crate) use directory::DirectoryStore;
pub(crate) use file::{EmitSection, FileEntry, Section, SectionOf};
pub(crate) use folder::{Folder, Found};
pub(crate) use job_files::{JobOptions, JobRecord, JobStore};
pub use manifest::CheckpointKind;
pub(crate) use manifest::{CheckpointNote, Manifest, OperatorEntry, OperatorManifest, Part, TaskEntry};
pub(crate) use memory::MemoryStore;
#[cfg(any(test, feature = "testing"))]
pub(crate) use memory::{Call, CallKind, Fault};
pub(crate) use patient::{Patience, PatientStore};
pub(crate) use place::Where;
pub use place::{Place, Savepoint};
pub(crate) use restore::{RestoredOperator, Share, deal_blocks};
pub use store::{Put, StoreBackend, StoreLock, WriteFn};
pub(crate) use unlocked::{CheckpointDir, FoundDir, JobDir, SectionReader};
