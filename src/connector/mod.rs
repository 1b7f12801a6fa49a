//! Connectors: sources and sinks for what lies outside the process.
//!
//! Each one implements the contracts of `source/` and `sink/` and nothing else, so a connector of a user's own is an equal.

#[cfg(feature = "files")]
mod file;
mod input;

#[cfg(feature = "files")]
pub use file::{CsvFile, CsvFiles, FilePosition, LineFile, LineFiles, PartFiles};
pub(crate) use input::input;
pub use input::{Input, Receipt};
