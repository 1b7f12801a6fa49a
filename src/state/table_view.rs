//! The frozen view of a keyed table, and how its entries are written.
//!
//! A view holds shares of the table's segments; the table clones a segment before it writes to one that is shared. It also knows
//! how the segments lie, so that a table can be made of it again without touching an entry. Taken on the task's thread, written by
//! the snapshot's writer on another.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::codec;
use crate::error::BoxError;
use crate::ids::KeyGroup;
use crate::key::KeyGroups;

use super::segment::{Entries, Segment};
use super::view::{BLOCK_BYTES, Block, StateDescriptor, StateView};

/// The entries of a keyed table at one moment.
pub(crate) struct TableView<K, V> {
    /// For each slot its share; those of segments that had no entries are owned, and empty.
    pub(super) segments: Vec<Segment<K, V>>,
    /// A key group has 2^depth slots.
    pub(super) depth: u32,
    pub(super) groups: KeyGroups,
    pub(super) owned: Range<u16>,
}

impl<K, V> TableView<K, V> {
    pub(super) fn new(segments: Vec<Segment<K, V>>, depth: u32, groups: KeyGroups, owned: Range<u16>) -> Self {
        TableView { segments, depth, groups, owned }
    }

    /// Whether it was taken of a table of these key groups.
    pub(super) fn is_of(&self, groups: KeyGroups, owned: &Range<u16>) -> bool {
        self.groups == groups && self.owned == *owned
    }

    /// The memory of the shared segments, without what keys and values own outside of them.
    pub(super) fn held_bytes(&self) -> u64 {
        self.shares().map(|(_, entries)| entries.allocation_size() as u64).sum()
    }

    /// All entries, key groups ascending, in no particular order within a group.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyGroup, &K, &V)> {
        self.shares().flat_map(|(group, entries)| entries.iter().map(move |(key, value)| (group, key, value)))
    }

    /// The shares that have entries, key groups ascending.
    pub(super) fn shares(&self) -> impl Iterator<Item = (KeyGroup, &Entries<K, V>)> {
        self.segments.iter().enumerate().filter_map(|(slot, segment)| match segment {
            Segment::Shared(entries) => Some((KeyGroup(self.owned.start + (slot >> self.depth) as u16), &**entries)),
            Segment::Owned | Segment::Joined(_) => None,
        })
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.shares().map(|(_, entries)| entries.len()).sum()
    }

    /// The view as a state's view.
    pub(crate) fn described(self, descriptor: StateDescriptor) -> DescribedView<K, V> {
        DescribedView { descriptor, view: self }
    }
}

impl<K, V> fmt::Debug for TableView<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableView").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// A table's view together with the description of the state.
pub(crate) struct DescribedView<K, V> {
    descriptor: StateDescriptor,
    pub(super) view: TableView<K, V>,
}

impl<K, V> fmt::Debug for DescribedView<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescribedView").field("state", &self.descriptor).field("view", &self.view).finish()
    }
}

impl<K, V> StateView for DescribedView<K, V>
where
    K: Serialize + Send + Sync + 'static,
    V: Serialize + Send + Sync + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        self.view.held_bytes()
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let shares = self.view.shares().map(|(group, entries)| (group, (), entries));
        write_shares(shares, emit, |(), value, out| codec::encode(value, out).map(|()| true))
    }
}

/// Writes the entries of shares, whose key groups ascend: each key, and what `encode` makes of its share's mark and its value. An
/// entry of which it says that there is nothing to write is left out.
pub(super) fn write_shares<'a, M: Copy, K: Serialize + 'a, V: 'a>(
    shares: impl IntoIterator<Item = (KeyGroup, M, &'a Entries<K, V>)>,
    emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>,
    encode: impl Fn(M, &V, &mut Vec<u8>) -> Result<bool, BoxError>,
) -> Result<(), BoxError> {
    let mut block = Block { group: None, entries: 0, bytes: Vec::new() };
    for (group, mark, entries) in shares {
        if block.group != Some(group) {
            flush(&mut block, emit)?;
            block.group = Some(group);
        }
        for (key, value) in entries {
            let before = block.bytes.len();
            codec::encode(key, &mut block.bytes)?;
            if !encode(mark, value, &mut block.bytes)? {
                block.bytes.truncate(before);
                continue;
            }
            block.entries += 1;
            if block.bytes.len() >= BLOCK_BYTES {
                flush(&mut block, emit)?;
            }
        }
    }
    flush(&mut block, emit)
}

/// Hands a block out if it has entries, and makes it ready for the next ones of its group.
pub(super) fn flush(block: &mut Block, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
    if block.entries == 0 {
        return Ok(());
    }
    let group = block.group;
    emit(block)?;
    block.bytes.clear();
    (block.group, block.entries) = (group, 0);
    Ok(())
}
