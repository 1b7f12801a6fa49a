//! Readers of stored bytes that need no store around them, for the test kit: what a restore reads, from bytes alone.
//!
//! Always: whatever the bytes, the outcome is a value or an error. Checksums stop nearly all damage; so that what lies behind them
//! is reached as well, the bytes can be given seals that fit.

use std::sync::Arc;

use serde::Deserialize;

use super::checkpoints::{MANIFEST_FORMAT, OperatorSnapshot, TaskSnapshot};
use super::file::{Section, TAIL_BYTES, path_of_file};
use super::head::{HEAD_FORMAT, HeadDocument};
use super::job_files::{FINISHED_FORMAT, Finished, JOB_FORMAT, JobOptions, JobRecord, JobStore};
use super::manifest::{CheckpointKind, CheckpointNote, Manifest};
use super::memory::MemoryStore;
use super::reader::{SnapshotReader, parse_section};
use super::restore::Share;
use super::sealed::{SEAL_BYTES, seal_of, unseal};
use super::store::StoreBackend;
use crate::error::{BoxError, Error, Result};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::state::{Block, StateView};
use crate::time::Timestamp;

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

/// What the names of its files are taken from: all else in a manifest is passed over.
#[derive(Deserialize)]
struct Names {
    files: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
    #[serde(default)]
    checkpoint: Option<CheckpointId>,
}

/// The paths of the snapshot files that a manifest in this directory asks for; none where it can't be read.
pub(crate) fn files_of(dir: &str, manifest: &[u8]) -> Vec<String> {
    let manifest: Option<Names> = unseal(MANIFEST_FORMAT, NAME.as_ref(), manifest).ok();
    let path = |file: Name| path_of_file(dir, file.checkpoint, &file.name);
    manifest.into_iter().flat_map(|manifest| manifest.files).map(path).collect()
}

/// Reads any of the small documents of a job: its record, its counters, its end mark. Returns how many of them it is.
pub(crate) fn documents(bytes: &[u8]) -> usize {
    let is = [
        unseal::<JobRecord>(JOB_FORMAT, NAME.as_ref(), bytes).is_ok(),
        unseal::<HeadDocument>(HEAD_FORMAT, NAME.as_ref(), bytes).is_ok(),
        unseal::<Finished>(FINISHED_FORMAT, NAME.as_ref(), bytes).is_ok(),
    ];
    is.into_iter().filter(|is| *is).count()
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

/// Bytes as the engine writes them.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) snapshot_file: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    /// The job's record, its head, its end mark.
    pub(crate) documents: Vec<Vec<u8>>,
    /// The blocks of the snapshot file.
    pub(crate) blocks: Vec<Block>,
}

/// Writes a checkpoint of one task with these views, and all that a job has beside it.
pub(crate) fn written(views: Vec<Arc<dyn StateView>>) -> Result<Written> {
    let (store, id) = (MemoryStore::new(), CheckpointId(1));
    let job = JobStore::open(Arc::new(store.clone()), "job", &JobOptions { max_parallelism: Some(1), seed: Some(1) })?;
    let attempt = Attempt { epoch: job.begin_epoch(None)?, n: 0 };
    let operator = OperatorSnapshot { uid: Uid::new("counts"), ended: false, watermark: Timestamp::from_millis(7), views };
    let task = TaskId { chain: 0, index: 0 };
    let entry = job.write_snapshot(&TaskSnapshot { checkpoint: id, task, attempt, operators: vec![operator] })?;
    let created = Timestamp::from_millis(8);
    let note = CheckpointNote { checkpoint: id, epoch: attempt.epoch, kind: CheckpointKind::Checkpoint, created };
    let name = entry.file.as_ref().map(|file| file.name.clone()).unwrap_or_default();
    let manifest = Manifest::assemble(job.record(), note, vec![entry])?;
    job.write_manifest(&manifest)?;
    job.write_finished(id)?;
    let whole = Share { index: 0, parallelism: 1 };
    let restored = job.load_operator(&manifest, &Uid::new("counts"), whole)?;
    let states = restored.into_iter().flat_map(|operator| operator.states.states.into_values());
    let blocks = states.map(|(_, kept)| kept.into_blocks()).collect::<Result<Vec<_>, _>>();
    let bytes = |path: &str| Ok(store.get(path)?.unwrap_or_default());
    Ok(Written {
        snapshot_file: bytes(&job.checkpoint_path(id, &name))?,
        manifest: bytes(&job.checkpoint_path(id, "manifest"))?,
        documents: ["job/job", "job/head", "job/finished"].into_iter().map(bytes).collect::<Result<_>>()?,
        blocks: blocks.map_err(|error| Error::Engine(error.to_string()))?.concat(),
    })
}
