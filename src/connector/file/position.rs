//! A place in a file, and the fingerprint by which a resumed source knows that it is still the same file.
//!
//! Always: a position is taken between two rows, and carries the fingerprint that was taken when the job first began. Made and
//! checked when splits are found and opened.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use crate::error::BoxError;

/// Bytes at the beginning, and as many at the end, that the fingerprint covers.
const SAMPLE_BYTES: u64 = 4096;

/// A place in a file, in its decoded bytes; kept in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    pub(crate) offset: u64,
    pub(crate) line: u64,
    pub(crate) file: Fingerprint,
}

impl FilePosition {
    /// The beginning of the file.
    pub(crate) fn beginning(file: Fingerprint) -> Self {
        FilePosition { offset: 0, line: 1, file }
    }

    /// The byte at which the next row begins, or the end of the row before it; in a gzip file a byte of what was packed.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The line of that byte; the first is 1.
    pub fn line(&self) -> u64 {
        self.line
    }
}

/// What a file was when the job first began: its length, and a checksum of its first and its last bytes, as stored.
///
/// The modified time is not part of it: copying a file, or restoring it from a backup, does not make it another one. A file may
/// have grown since, so long as it still begins with what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) len: u64,
    sample: u32,
}

impl Fingerprint {
    /// Takes the fingerprint of a file.
    pub(crate) fn take(file: &mut File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Fingerprint { len, sample: sample(file, len)? })
    }

    /// Refuses a file that is not, or does not begin with, the one whose fingerprint this is.
    pub(crate) fn check(&self, file: &mut File, split: &str) -> Result<(), BoxError> {
        let found = file.metadata()?.len();
        if found < self.len {
            return Err(changed(split, &format!("it had {} bytes and now has {found}", self.len)));
        }
        if sample(file, self.len)? != self.sample {
            return Err(changed(split, "its contents are not the same"));
        }
        Ok(())
    }
}

fn changed(split: &str, what: &str) -> BoxError {
    format!(
        "'{split}' is no longer the file in which the job read: {what}; put the old file back, or give the new one another name \
         and start without the old state"
    )
    .into()
}

/// The checksum of the first and the last bytes of the first `len`.
fn sample(file: &mut File, len: u64) -> io::Result<u32> {
    let size = len.min(SAMPLE_BYTES);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(size).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(len - size))?;
    file.by_ref().take(size).read_to_end(&mut bytes)?;
    Ok(crc32c::crc32c(&bytes))
}
