//! Small documents with a seal: a map with the format's name and version, the document, and a checksum of both.
//!
//! Always: a document with a flipped, missing or additional byte is an error, and so is one of a newer format. Three MessagePack
//! objects in a row, so any reader walks them.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{Reader, encode};
use crate::error::{BoxError, Error, Result};

/// The version that this program writes, and the newest that it reads, of every format.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Bytes of a checksum: a MessagePack uint32 of fixed width.
pub(super) const SEAL_BYTES: usize = 5;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// The document's bytes, sealed.
pub(super) fn seal<T: Serialize>(format: &str, document: &T) -> Result<Vec<u8>, BoxError> {
    let mut bytes = Vec::new();
    encode(&Head { format: format.into(), version: FORMAT_VERSION }, &mut bytes)?;
    encode(document, &mut bytes)?;
    let seal = seal_of(crc32c::crc32c(&bytes));
    bytes.extend_from_slice(&seal);
    Ok(bytes)
}

/// A checksum as a MessagePack object.
pub(super) fn seal_of(crc: u32) -> [u8; SEAL_BYTES] {
    let [a, b, c, d] = crc.to_be_bytes();
    [0xce, a, b, c, d]
}

/// Reads a sealed document of this format from the whole of `bytes`; `path` is for the error.
///
/// # Errors
/// [`Error::Corrupt`] for damaged bytes; [`Error::StateMismatch`] for a format newer than this program.
pub(super) fn unseal<T: DeserializeOwned>(format: &str, path: &Path, bytes: &[u8]) -> Result<T> {
    let damaged = |what: &str| corrupt(path, format!("{format}: {what}"));
    let body = bytes.len().checked_sub(SEAL_BYTES).and_then(|length| bytes.split_at_checked(length));
    let (body, seal) = body.ok_or_else(|| damaged("the file is too short"))?;
    if seal != seal_of(crc32c::crc32c(body)) {
        return Err(damaged("its checksum does not match its content"));
    }
    let mut reader = Reader::new(body);
    let head: Head = reader.next().map_err(|_| damaged("it begins with no map of format and version"))?;
    check_head(&head, format, path)?;
    let document = reader.next().map_err(|error| damaged(&error.to_string()))?;
    if reader.is_empty() { Ok(document) } else { Err(damaged("bytes follow the document")) }
}

fn check_head(head: &Head, format: &str, path: &Path) -> Result<()> {
    if head.format != format {
        return Err(corrupt(path, format!("it is a '{}' where a '{format}' is expected", head.format)));
    }
    if head.version > FORMAT_VERSION {
        return Err(Error::StateMismatch {
            problem: format!(
                "'{}' has format version {}, and this program reads versions up to {FORMAT_VERSION}",
                path.display(),
                head.version
            ),
            advice: "it was written by a newer version of tidegate: run that version, or use another store".into(),
        });
    }
    Ok(())
}

/// The error for a damaged file.
pub(super) fn corrupt(path: &Path, what: String) -> Error {
    Error::Corrupt { path: path.into(), what, usable: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "tidegate-test";

    fn read(bytes: &[u8]) -> Result<Vec<u64>> {
        unseal(FORMAT, Path::new("x"), bytes)
    }

    #[test]
    fn c22_a_flipped_missing_or_additional_byte_is_an_error() {
        let good = seal(FORMAT, &vec![1u64, 1000]).unwrap();
        assert_eq!(read(&good).unwrap(), [1, 1000]);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read(&bad).is_err());
            }
            assert!(read(&good[..at]).is_err());
        }
        let long = [good, vec![0]].concat();
        assert!(read(&long).is_err());
    }

    #[test]
    fn a_newer_format_is_refused_saying_so() {
        let mut bytes = Vec::new();
        encode(&Head { format: FORMAT.into(), version: FORMAT_VERSION + 1 }, &mut bytes).unwrap();
        encode(&"something else", &mut bytes).unwrap();
        let seal = seal_of(crc32c::crc32c(&bytes));
        bytes.extend_from_slice(&seal);
        let text = read(&bytes).unwrap_err().to_string();
        assert!(text.contains("newer version of tidegate"), "{text}");
    }

    #[test]
    fn another_format_is_refused() {
        let other = seal("tidegate-other", &vec![1u64]).unwrap();
        assert!(read(&other).unwrap_err().to_string().contains("tidegate-other"));
    }
}
