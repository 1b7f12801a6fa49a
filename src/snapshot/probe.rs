//! Readers of stored bytes that need no store around them, for the test kit: what a restore reads, from bytes alone.
//!
//! Always: whatever the bytes, the outcome is a value or an error. Checksums stop nearly all damage; so that what lies behind them
//! is reached as well, the bytes can be given seals that fit.

use super::checkpoints::MANIFEST_FORMAT;
use super::file::{Section, TAIL_BYTES};
use super::manifest::Manifest;
use super::memory::MemoryStore;
use super::reader::{SnapshotReader, parse_section};
use super::sealed::{SEAL_BYTES, seal_of, unseal};
use crate::error::{BoxError, Result};
use crate::ids::Uid;

/// The name under which the bytes are read, as errors show it.
const NAME: &str = "bytes";

/// Bytes of the index's offset at the end of a snapshot file.
const OFFSET_BYTES: usize = TAIL_BYTES - SEAL_BYTES;

/// Reads a snapshot file, all of its sections included; returns how many entries they hold.
pub(crate) fn snapshot_file(bytes: &[u8]) -> Result<u64> {
    let store = MemoryStore::new();
    store.damage(NAME, |file| file.extend_from_slice(bytes));
    let reader = SnapshotReader::open(&store, NAME.into())?;
    let mut entries = 0u64;
    for section in reader.sections() {
        entries = entries.saturating_add(reader.read(section)?.entries);
    }
    Ok(entries)
}

/// Reads a section's map and `bin`, under a checksum that fits; returns the size of its block.
pub(crate) fn section(bytes: &[u8]) -> Result<usize, BoxError> {
    let section = Section {
        operator: Uid::new("counts"),
        state: "count".into(),
        group: None,
        part: 0,
        entries: 1,
        offset: 0,
        length: bytes.len() as u64,
        crc32c: crc32c::crc32c(bytes),
    };
    parse_section(&section, bytes.to_vec()).map(|block| block.bytes.len())
}

/// Reads a manifest; returns how many operators it names.
pub(crate) fn manifest(bytes: &[u8]) -> Result<usize> {
    let manifest: Manifest = unseal(MANIFEST_FORMAT, NAME.as_ref(), bytes)?;
    Ok(manifest.operators.len())
}

/// The names of the snapshot files that a manifest asks for; none where it can't be read.
pub(crate) fn files_of(manifest: &[u8]) -> Vec<String> {
    let manifest: Option<Manifest> = unseal(MANIFEST_FORMAT, NAME.as_ref(), manifest).ok();
    manifest.into_iter().flat_map(|manifest| manifest.files).map(|file| file.name).collect()
}

/// A snapshot file whose index has a checksum that fits.
pub(crate) fn with_index_sealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    let Some(tail_at) = bytes.len().checked_sub(TAIL_BYTES) else { return sealed };
    let offset = bytes.last_chunk().map_or(0, |offset| u64::from_be_bytes(*offset));
    let index_at = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(index) = bytes.get(index_at..tail_at) else { return sealed };
    let seal = seal_of(crc32c::crc32c(index));
    sealed.splice(tail_at..bytes.len() - OFFSET_BYTES, seal);
    sealed
}

/// A sealed document whose seal fits.
pub(crate) fn with_seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    sealed.truncate(bytes.len().saturating_sub(SEAL_BYTES));
    let seal = seal_of(crc32c::crc32c(&sealed));
    sealed.extend_from_slice(&seal);
    sealed
}

/// The bytes of a snapshot file and of a manifest, as the engine writes them.
#[cfg(test)]
pub(crate) fn samples() -> (Vec<u8>, Vec<u8>) {
    super::tests::written_bytes()
}
