//! Reads snapshot files, and trusts none of their bytes.
//!
//! Opening reads the end, the index and the header; sections are read when they are asked for. Always: a flipped, missing or
//! additional byte anywhere is an error that names the file and, within a section, the operator and the state; nothing is allocated
//! beyond the file's size. Called by restoring tasks, on threads that may block.

use std::path::PathBuf;

use super::file::{BIN_HEAD_BYTES, CODEC_NONE, SNAPSHOT_FORMAT, Section, SectionHead, SnapshotHeader, TAIL_BYTES};
use super::sealed::{corrupt, seal_of, unseal};
use super::store::StoreBackend;
use crate::codec::{self, Reader};
use crate::error::{BoxError, Error, Result};
use crate::state::Block;

/// An open snapshot file.
#[derive(Debug)]
pub(super) struct SnapshotReader<'a> {
    store: &'a dyn StoreBackend,
    path: String,
    located: PathBuf,
    header: SnapshotHeader,
    sections: Vec<Section>,
    index_crc32c: u32,
    size: u64,
}

impl<'a> SnapshotReader<'a> {
    /// Opens the file, and checks all but its sections' bytes.
    pub(super) fn open(store: &'a dyn StoreBackend, path: String) -> Result<Self> {
        let located = store.locate(&path);
        let size = store.size(&path)?.ok_or_else(|| corrupt(&located, "the file is missing".into()))?;
        let tail_at = size.checked_sub(TAIL_BYTES as u64).ok_or_else(|| corrupt(&located, "the file is too short".into()))?;
        let tail = store.read(&path, tail_at..size)?;
        let (crc, index_at) = parse_tail(&tail).ok_or_else(|| corrupt(&located, "its last bytes are damaged".into()))?;
        if index_at > tail_at {
            return Err(corrupt(&located, "the offset of its index is damaged".into()));
        }
        let index = store.read(&path, index_at..tail_at)?;
        if crc32c::crc32c(&index) != crc {
            return Err(corrupt(&located, "its index is damaged, or cut".into()));
        }
        let sections: Vec<Section> =
            codec::decode(&index).map_err(|error| corrupt(&located, format!("its index cannot be read: {error}")))?;
        let header_end = sections.first().map_or(index_at, |section| section.offset);
        if !adjacent(header_end, &sections, index_at) {
            return Err(corrupt(&located, "its sections do not lie where its index says".into()));
        }
        let header = unseal(SNAPSHOT_FORMAT, &located, &store.read(&path, 0..header_end)?)?;
        Ok(SnapshotReader { store, path, located, header, sections, index_crc32c: crc, size })
    }

    /// Whose file it is.
    pub(super) fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Its sections, in order.
    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The checksum of its index.
    pub(super) fn index_crc32c(&self) -> u32 {
        self.index_crc32c
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads one of the file's sections.
    pub(super) fn read(&self, section: &Section) -> Result<Block> {
        let end = section.offset.saturating_add(section.length);
        let bytes = self.store.read(&self.path, section.offset..end);
        let block = match bytes {
            Ok(bytes) => parse_section(section, bytes),
            Err(Error::Corrupt { what, .. }) => Err(what.into()),
            Err(error) => return Err(error),
        };
        block.map_err(|error| self.damaged(section, &*error))
    }

    /// The error for a damaged section.
    pub(super) fn damaged(&self, section: &Section, error: &(dyn std::error::Error + 'static)) -> Error {
        let group = section.group.map(|group| format!(", key group {group}")).unwrap_or_default();
        let place = format!("operator '{}', state '{}'{group}, part {}", section.operator, section.state, section.part);
        corrupt(&self.located, format!("{place}, at byte {}: {error}", section.offset))
    }
}

/// The index's checksum and offset.
fn parse_tail(tail: &[u8]) -> Option<(u32, u64)> {
    let (seal, offset) = tail.split_last_chunk::<9>()?;
    let crc = u32::from_be_bytes(*seal.last_chunk()?);
    let (marker, offset) = offset.split_first()?;
    let valid = seal == seal_of(crc) && *marker == 0xcf;
    valid.then_some((crc, u64::from_be_bytes(offset.try_into().ok()?)))
}

/// True where the sections fill the bytes between the header and the index.
fn adjacent(header_end: u64, sections: &[Section], index_at: u64) -> bool {
    let next = |at: u64, section: &Section| if section.offset == at { at.checked_add(section.length) } else { None };
    header_end <= index_at && sections.iter().try_fold(header_end, next) == Some(index_at)
}

pub(super) fn parse_section(section: &Section, mut bytes: Vec<u8>) -> Result<Block, BoxError> {
    if crc32c::crc32c(&bytes) != section.crc32c {
        return Err("the checksum does not match the content".into());
    }
    let mut reader = Reader::new(&bytes);
    let head: SectionHead = reader.next()?;
    let rest = reader.remaining();
    let matches = head.operator == section.operator
        && head.state == section.state
        && head.group == section.group
        && head.part == section.part
        && head.entries == section.entries
        && head.raw_bytes.checked_add(BIN_HEAD_BYTES as u64) == Some(rest as u64);
    if !matches {
        return Err("its map is not that of the section which the index names".into());
    }
    if head.codec != CODEC_NONE {
        return Err(format!("its codec '{}' is unknown to this version", head.codec).into());
    }
    bytes.drain(..bytes.len() - rest + BIN_HEAD_BYTES);
    Ok(Block { group: section.group, entries: section.entries, bytes })
}
