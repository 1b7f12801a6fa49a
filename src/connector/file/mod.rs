//! Files as sources and sinks: CSV rows and lines, plain or gzip.
//!
//! Reading: a file is a split, and its position carries a fingerprint, so that nobody goes on reading in another file. Writing:
//! rows go to hidden part files, which a rename makes visible once their checkpoint is complete; a visible file never changes.

mod commit;
mod csv;
mod decode;
mod durable;
mod find;
mod format;
mod lines;
mod name;
mod part;
mod position;
mod sink;
#[cfg(test)]
mod sink_faults;
#[cfg(test)]
mod sink_model;
#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod source_model;
#[cfg(test)]
mod source_tests;
mod window;
mod writer;

pub use csv::CsvFiles;
pub use lines::LineFiles;
pub use position::FilePosition;
pub use sink::{CsvFile, LineFile, PartFiles};

/// Bytes that a row or a line may have at most: far more than rows have in earnest, and what an unclosed quote may cost.
pub(crate) const MAX_ROW_BYTES: usize = 1024 * 1024;
/// Bytes read or written with one call to the system: enough to make the call's own cost negligible.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// Decoded bytes after which a poll ends even if there is room for more records: some two milliseconds' worth.
pub(crate) const POLL_BYTES: u64 = 256 * 1024;

const _: () = assert!(BUFFER_BYTES <= MAX_ROW_BYTES && BUFFER_BYTES as u64 <= POLL_BYTES);
