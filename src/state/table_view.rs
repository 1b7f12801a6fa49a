//! The frozen view of a keyed table, and how its entries are written.
//!
//! A view holds shares of the table's segments; the table clones a segment before it writes to one that is shared. Taken on the
//! task's thread, written by the snapshot's writer on another.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::codec;
use crate::error::BoxError;
use crate::ids::KeyGroup;

use super::segment::Entries;
use super::view::{BLOCK_BYTES, Block, StateDescriptor, StateView};

/// The entries of a keyed table at one moment.
pub(crate) struct TableView<K, V> {
    /// Shares of the segments that had entries, key groups ascending.
    shares: Vec<(KeyGroup, Arc<Entries<K, V>>)>,
}

impl<K, V> TableView<K, V> {
    pub(super) fn new(shares: Vec<(KeyGroup, Arc<Entries<K, V>>)>) -> Self {
        TableView { shares }
    }

    /// All entries, key groups ascending, in no particular order within a group.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyGroup, &K, &V)> {
        self.shares.iter().flat_map(|(group, entries)| entries.iter().map(move |(key, value)| (*group, key, value)))
    }

    /// The shares with their key groups.
    pub(super) fn shares(&self) -> impl Iterator<Item = (KeyGroup, &Entries<K, V>)> {
        self.shares.iter().map(|(group, entries)| (*group, &**entries))
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.shares.iter().map(|(_, entries)| entries.len()).sum()
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
    view: TableView<K, V>,
}

impl<K, V> fmt::Debug for DescribedView<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescribedView").field("state", &self.descriptor).field("view", &self.view).finish()
    }
}

impl<K, V> StateView for DescribedView<K, V>
where
    K: Serialize + Send + Sync,
    V: Serialize + Send + Sync,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let shares = self.view.shares().map(|(group, entries)| (group, (), entries));
        write_shares(shares, emit, |(), value, out| codec::encode(value, out))
    }
}

/// Writes the entries of shares, whose key groups ascend: each key, and what `encode` makes of its share's mark and its value.
pub(super) fn write_shares<'a, M: Copy, K: Serialize + 'a, V: 'a>(
    shares: impl IntoIterator<Item = (KeyGroup, M, &'a Entries<K, V>)>,
    emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>,
    encode: impl Fn(M, &V, &mut Vec<u8>) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let mut block = Block { group: None, entries: 0, bytes: Vec::new() };
    for (group, mark, entries) in shares {
        if block.group != Some(group) {
            flush(&mut block, emit)?;
            block.group = Some(group);
        }
        for (key, value) in entries {
            codec::encode(key, &mut block.bytes)?;
            encode(mark, value, &mut block.bytes)?;
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
