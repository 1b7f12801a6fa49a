//! State that belongs to no key, as it is written: lists of operators, and broadcast states.
//!
//! Always: a list is dealt out in contiguous shares among the instances that the operator has; a broadcast state is written once, and
//! every instance gets that copy. Blocking, under the job's lock.

use std::collections::HashSet;

use serde::Serialize;

use super::edits::unwritable;
use super::grouped::BLOCK_BYTES;
use super::keyed::unfit;
use super::writer::{Fate, StateWriter};
use crate::codec::encode;
use crate::error::{BoxError, Result};
use crate::snapshot::{EmitSection, SectionOf};
use crate::state::{Block, StateDescriptor, StateKind};

impl StateWriter {
    /// Writes the whole list `state` of the operator with this uid, in the place of what it held. Returns how many items there are.
    ///
    /// A list is dealt out to the operator's instances in contiguous shares. All items are in memory, encoded.
    ///
    /// # Errors
    /// [`Error::StateRefused`](crate::Error::StateRefused) where the state was written before or is of another kind, or an item cannot
    /// be written; [`Error::Store`](crate::Error::Store).
    pub fn items<T: Serialize>(&mut self, operator: &str, state: &str, items: impl IntoIterator<Item = T>) -> Result<u64> {
        self.list_of(operator, state, StateKind::List, items)
    }

    /// Writes the whole union list `state` of the operator with this uid, in the place of what it held. Returns how many items there
    /// are. Every instance sees all of them when the job starts; they are kept in shares, as those of a list are.
    ///
    /// # Errors
    /// Those of [`items`](StateWriter::items).
    pub fn union_items<T: Serialize>(&mut self, operator: &str, state: &str, items: impl IntoIterator<Item = T>) -> Result<u64> {
        self.list_of(operator, state, StateKind::UnionList, items)
    }

    /// Writes the whole broadcast state `state` of the operator with this uid, in the place of what it held. Returns how many entries
    /// there are. All instances get them.
    ///
    /// # Errors
    /// [`Error::StateRefused`](crate::Error::StateRefused) where the state was written before or is of another kind;
    /// [`Error::Store`](crate::Error::Store), also where a key comes twice, or a key or value cannot be written.
    pub fn broadcast<K: Serialize, V: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        let of = self.write_whole(operator, StateDescriptor::new(state, StateKind::Broadcast, self.version))?;
        let (mut entries, mut count) = (Some(entries.into_iter()), 0);
        self.write_file(&mut |emit| {
            let section = SectionOf { operator: &of.0, state: &of.1, part: 0 };
            let (mut block, mut seen) = (Block { group: None, entries: 0, bytes: Vec::new() }, HashSet::new());
            for (key, value) in entries.take().into_iter().flatten() {
                count += 1;
                let mut bytes = Vec::new();
                encode(&key, &mut bytes)?;
                block.bytes.extend_from_slice(&bytes);
                encode(&value, &mut block.bytes)?;
                if !seen.insert(bytes) {
                    return Err(unfit(&of, count, &key, "came before; hand over each key once"));
                }
                filled(&mut block, section, emit)?;
            }
            emit(section, &block)
        })?;
        self.not_copied.insert(of, Fate::WrittenWhole);
        self.added += count;
        Ok(count)
    }

    fn list_of<T: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        kind: StateKind,
        items: impl IntoIterator<Item = T>,
    ) -> Result<u64> {
        let mut encoded = Vec::new();
        for item in items {
            let mut bytes = Vec::new();
            encode(&item, &mut bytes).map_err(|error| unwritable(&error))?;
            encoded.push(bytes);
        }
        let (uid, name) = self.write_whole(operator, StateDescriptor::new(state, kind, self.version))?;
        let parallelism = self.operators.get(&uid).map_or(1, |operator| operator.parallelism.max(1));
        let count = encoded.len() as u64;
        let share = encoded.len().div_ceil(parallelism as usize).max(1);
        self.write_file(&mut |emit| {
            for (part, items) in (0..).zip(encoded.chunks(share)) {
                let section = SectionOf { operator: &uid, state: &name, part };
                let mut block = Block { group: None, entries: 0, bytes: Vec::new() };
                for item in items {
                    block.bytes.extend_from_slice(item);
                    filled(&mut block, section, emit)?;
                }
                emit(section, &block)?;
            }
            Ok(())
        })?;
        self.not_copied.insert((uid, name), Fate::WrittenWhole);
        self.added += count;
        Ok(count)
    }
}

/// Counts the entry that was added to a block, and hands the block out where it is full.
fn filled(block: &mut Block, of: SectionOf<'_>, emit: &mut EmitSection<'_>) -> Result<(), BoxError> {
    block.entries += 1;
    if block.bytes.len() >= BLOCK_BYTES {
        emit(of, block)?;
        (block.entries, block.bytes) = (0, Vec::new());
    }
    Ok(())
}
