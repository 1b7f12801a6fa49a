//! The snapshot file of one task for one checkpoint, and its writer.
//!
//! A plain sequence of MessagePack objects: the sealed header; for each section a map and a `bin` with the entries; the index, an
//! array of where the sections lie; the index's checksum and its offset, of fixed widths, so that a reader finds the index from the
//! end. Sections follow each other without gaps. Always: every byte is covered by a checksum or has one valid value.
//!
//! Written by the snapshot actor, on a thread that may block.

use std::io::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checkpoints::directory_name;
use super::sealed::{SEAL_BYTES, seal, seal_of};
use crate::codec::encode;
use crate::error::{BoxError, chain_text};
use crate::ids::{Attempt, CheckpointId, KeyGroup, TaskId, Uid};
use crate::state::{Block, StateView};

/// The format's name, in the file's first object.
pub(super) const SNAPSHOT_FORMAT: &str = "tidegate-snapshot";

/// The only codec so far: entries as they are.
pub(super) const CODEC_NONE: &str = "none";

/// Bytes of the `bin` object's marker and length, which are always of this width.
pub(super) const BIN_HEAD_BYTES: usize = 5;

/// Bytes after the index: its checksum, and its offset as a MessagePack uint64 of fixed width.
pub(super) const TAIL_BYTES: usize = SEAL_BYTES + 9;

/// Whose file this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    /// The job.
    pub(crate) job: String,
    /// The checkpoint.
    pub(crate) checkpoint: CheckpointId,
    /// The attempt of the task that took it; its epoch is the process start.
    pub(crate) attempt: Attempt,
    /// The task.
    pub(crate) task: TaskId,
}

/// Where a section lies in its file, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    /// The operator's uid.
    pub(crate) operator: Uid,
    /// The state's name.
    pub(crate) state: String,
    /// The key group of all entries; `None` for a list.
    pub(crate) group: Option<KeyGroup>,
    /// The operator instance that wrote it.
    pub(crate) part: u32,
    /// How many entries it holds.
    pub(crate) entries: u64,
    /// Where its map begins in the file, in bytes.
    pub(crate) offset: u64,
    /// The bytes of its map and its `bin`.
    pub(crate) length: u64,
    /// The checksum of these bytes.
    pub(crate) crc32c: u32,
}

/// The map before a section's `bin`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SectionHead {
    pub(super) operator: Uid,
    pub(super) state: String,
    pub(super) group: Option<KeyGroup>,
    pub(super) part: u32,
    pub(super) entries: u64,
    pub(super) codec: String,
    pub(super) raw_bytes: u64,
    pub(super) crc32c: u32,
}

/// A snapshot file, as acks and manifests describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Its name in the checkpoint's directory.
    pub(crate) name: String,
    /// The older checkpoint in whose directory it lies, which it was written for; `None` for the manifest's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<CheckpointId>,
    /// Its size.
    pub(crate) bytes: u64,
    /// The checksum of its index, which holds those of all sections.
    pub(crate) index_crc32c: u32,
    /// Its sections, in the order of the file.
    pub(crate) sections: Vec<Section>,
}

impl FileEntry {
    /// Its path in the store, where a manifest in this directory names it.
    pub(super) fn path(&self, manifest_dir: &str) -> String {
        path_of_file(manifest_dir, self.checkpoint, &self.name)
    }
}

/// The store's path of a file that a manifest in this directory names: beside the manifest, or in the directory of an older checkpoint
/// beside that.
pub(super) fn path_of_file(manifest_dir: &str, older: Option<CheckpointId>, name: &str) -> String {
    let Some(older) = older.map(directory_name) else { return format!("{manifest_dir}/{name}") };
    match manifest_dir.rsplit_once('/') {
        Some((job_dir, _)) => format!("{job_dir}/{older}/{name}"),
        None => format!("{older}/{name}"),
    }
}

/// Whose entries a section holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionOf<'a> {
    /// The operator.
    pub(crate) operator: &'a Uid,
    /// The state's name.
    pub(crate) state: &'a str,
    /// The operator instance.
    pub(crate) part: u32,
}

/// Takes entries that are to be written, as a section of their own.
pub(crate) type EmitSection<'a> = dyn FnMut(SectionOf<'_>, &Block) -> Result<(), BoxError> + 'a;

/// The views of one operator of a task.
#[derive(Debug)]
pub(super) struct OperatorViews<'a> {
    pub(super) uid: &'a Uid,
    pub(super) views: &'a [Arc<dyn StateView>],
}

/// Writes a whole snapshot file to `out`, and returns its description, under `name`.
///
/// # Errors
/// Where `out` or a view fails; a view's error names the operator and the state.
pub(super) fn write_snapshot<'a>(
    out: &mut dyn Write,
    name: String,
    header: &SnapshotHeader,
    operators: impl Iterator<Item = OperatorViews<'a>>,
) -> Result<FileEntry, BoxError> {
    let mut writer = SnapshotWriter::begin(out, header)?;
    for operator in operators {
        for view in operator.views {
            writer.view(operator.uid, &**view)?;
        }
    }
    writer.finish(name)
}

/// The same with the sections that `fill` hands out.
///
/// # Errors
/// Where `out` or `fill` fails.
pub(super) fn write_sections(
    out: &mut dyn Write,
    name: String,
    header: &SnapshotHeader,
    fill: &mut dyn FnMut(&mut EmitSection<'_>) -> Result<(), BoxError>,
) -> Result<FileEntry, BoxError> {
    let mut writer = SnapshotWriter::begin(out, header)?;
    fill(&mut |of, block| writer.section(of, block))?;
    writer.finish(name)
}

struct SnapshotWriter<'a> {
    out: &'a mut dyn Write,
    at: u64,
    part: u32,
    sections: Vec<Section>,
    head: Vec<u8>,
}

impl<'a> SnapshotWriter<'a> {
    fn begin(out: &'a mut dyn Write, header: &SnapshotHeader) -> Result<Self, BoxError> {
        let mut writer = SnapshotWriter { out, at: 0, part: header.task.index, sections: Vec::new(), head: Vec::new() };
        writer.append(&seal(SNAPSHOT_FORMAT, header)?)?;
        Ok(writer)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BoxError> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn view(&mut self, uid: &Uid, view: &dyn StateView) -> Result<(), BoxError> {
        let state = &view.descriptor().name;
        let of = SectionOf { operator: uid, state, part: self.part };
        let mut failed_write = None;
        let result = view.write(&mut |block| match self.section(of, block) {
            Ok(()) => Ok(()),
            Err(error) => {
                failed_write = Some(error);
                Err("the snapshot file cannot be written".into())
            }
        });
        match (failed_write, result) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(format!("operator '{uid}', state '{state}': {}", chain_text(&*error)).into()),
            (None, Ok(())) => Ok(()),
        }
    }

    fn section(&mut self, of: SectionOf<'_>, block: &Block) -> Result<(), BoxError> {
        if block.entries == 0 {
            return Ok(());
        }
        let crc = crc32c::crc32c(&block.bytes);
        self.encode_head(of, block, crc)?;
        let head_crc = crc32c::crc32c(&self.head);
        let section = Section {
            operator: of.operator.clone(),
            state: of.state.into(),
            group: block.group,
            part: of.part,
            entries: block.entries,
            offset: self.at,
            length: (self.head.len() + block.bytes.len()) as u64,
            crc32c: joined(head_crc, crc, &block.bytes),
        };
        self.out.write_all(&self.head)?;
        self.out.write_all(&block.bytes)?;
        self.at += section.length;
        self.sections.push(section);
        Ok(())
    }

    /// Prepares the section's map, and the marker and length of its `bin`.
    fn encode_head(&mut self, of: SectionOf<'_>, block: &Block, crc32c: u32) -> Result<(), BoxError> {
        let SectionOf { operator: uid, state, part } = of;
        let length = u32::try_from(block.bytes.len())
            .map_err(|_| format!("operator '{uid}', state '{state}': one entry has more than 4 GiB, which no file can hold"))?;
        let head = SectionHead {
            operator: uid.clone(),
            state: state.into(),
            group: block.group,
            part,
            entries: block.entries,
            codec: CODEC_NONE.into(),
            raw_bytes: u64::from(length),
            crc32c,
        };
        self.head.clear();
        encode(&head, &mut self.head)?;
        self.head.push(0xc6);
        self.head.extend_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn finish(mut self, name: String) -> Result<FileEntry, BoxError> {
        let index_at = self.at;
        let mut index = Vec::new();
        encode(&self.sections, &mut index)?;
        let index_crc32c = crc32c::crc32c(&index);
        index.extend_from_slice(&seal_of(index_crc32c));
        index.push(0xcf);
        index.extend_from_slice(&index_at.to_be_bytes());
        self.append(&index)?;
        Ok(FileEntry { name, checkpoint: None, bytes: self.at, index_crc32c, sections: self.sections })
    }
}

/// From so many bytes on, two checksums are combined faster than the bytes are gone over once more.
const COMBINED_FROM: usize = 16 << 10;

/// The checksum of what has the checksum `before`, and of `bytes` behind it, whose own is `crc`.
pub(super) fn joined(before: u32, crc: u32, bytes: &[u8]) -> u32 {
    if bytes.len() < COMBINED_FROM {
        crc32c::crc32c_append(before, bytes)
    } else {
        crc32c::crc32c_combine(before, crc, bytes.len())
    }
}
