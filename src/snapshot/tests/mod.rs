//! Tests of the room as a whole: files, stores, checkpoints, restores. Here: what they have in common.

mod carried;
mod checkpoints;
mod files;
mod head;
mod job;
mod patient;
mod restores;
mod stores;
mod undivided;

use std::sync::Arc;

use super::*;
use crate::codec::{Reader, encode};
use crate::error::{BoxError, Error, Result};
use crate::ids::{Attempt, CheckpointId, KeyGroup, TaskId, Uid};
use crate::state::{Block, StateDescriptor, StateKind, StateView};
use crate::time::Timestamp;

/// A view that hands out these blocks.
#[derive(Debug)]
struct Blocks {
    descriptor: StateDescriptor,
    blocks: Vec<Block>,
}

impl StateView for Blocks {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.bytes.len() as u64).sum()
    }

    fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        self.blocks.iter().try_for_each(|block| emit(&mut block.clone()))
    }
}

fn view(name: &str, kind: StateKind, blocks: Vec<Block>) -> Arc<dyn StateView> {
    Arc::new(Blocks { descriptor: StateDescriptor::new(name, kind, 1), blocks })
}

/// A keyed state: one block for each group, with the entry `group -> value`.
fn keyed(name: &str, groups: impl IntoIterator<Item = u16>) -> Arc<dyn StateView> {
    let block = |group| Block { group: Some(KeyGroup(group)), entries: 1, bytes: objects(&[u64::from(group), 7]) };
    view(name, StateKind::Value, groups.into_iter().map(block).collect())
}

/// A list state, with one block for each slice.
fn list(name: &str, blocks: &[&[u64]]) -> Arc<dyn StateView> {
    let block = |items: &&[u64]| Block { group: None, entries: items.len() as u64, bytes: objects(items) };
    view(name, StateKind::List, blocks.iter().map(block).collect())
}

fn objects(items: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    items.iter().for_each(|item| encode(item, &mut bytes).unwrap());
    bytes
}

fn numbers(blocks: &[Block]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for block in blocks {
        let mut reader = Reader::new(&block.bytes);
        while !reader.is_empty() {
            numbers.push(reader.next().unwrap());
        }
    }
    numbers
}

fn open(store: &(impl StoreBackend + Clone + 'static)) -> JobStore {
    open_with(store, &JobOptions { max_parallelism: None, seed: Some(1) }).unwrap()
}

fn open_with(store: &(impl StoreBackend + Clone + 'static), options: &JobOptions) -> Result<JobStore> {
    JobStore::open(Arc::new(store.clone()), "job", options)
}

fn snapshot(id: u64, index: u32, views: Vec<Arc<dyn StateView>>) -> TaskSnapshot {
    let operator = OperatorSnapshot {
        uid: Uid::new("counts"),
        ended: index == 1,
        watermark: Timestamp::from_millis(100 + i64::from(index)),
        views,
    };
    TaskSnapshot {
        checkpoint: CheckpointId(id),
        task: TaskId { chain: 2, index },
        attempt: Attempt { epoch: 1, n: 0 },
        operators: vec![operator],
    }
}

fn note(id: u64) -> CheckpointNote {
    CheckpointNote {
        checkpoint: CheckpointId(id),
        epoch: 1,
        kind: CheckpointKind::Checkpoint,
        created: Timestamp::from_millis(5),
    }
}

/// Writes the files of a checkpoint whose tasks have these views, and puts its manifest together.
fn prepare(job: &JobStore, id: u64, tasks: Vec<Vec<Arc<dyn StateView>>>) -> Manifest {
    let entries = (0..).zip(tasks).map(|(index, views)| job.write_snapshot(&snapshot(id, index, views)).unwrap());
    Manifest::assemble(job.record(), note(id), entries.collect()).unwrap()
}

fn complete(job: &JobStore, id: u64) -> Manifest {
    let manifest = prepare(job, id, vec![vec![keyed("count", 0..3), list("seen", &[&[id]])]]);
    job.write_manifest(&manifest).unwrap();
    manifest
}

fn latest_id(job: &JobStore) -> Option<u64> {
    job.latest().unwrap().map(|manifest| manifest.id().0)
}
