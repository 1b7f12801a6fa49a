//! The frozen views of an operator's lists and broadcast states, and how both are read back.
//!
//! Always: a view holds shares of chunks, and what is made of it again in this process shares them too. Taken on the task's thread,
//! written by the snapshot's writer on another.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{BoxError, Result};

use super::items::ListItems;
use super::restore;
use super::sorted::{BroadcastMap, Entries};
use super::table_view::flush;
use super::view::{BLOCK_BYTES, Block, Kept, StateDescriptor, StateView};

/// The items of an operator's list at one moment.
pub(super) struct ItemsView<T> {
    descriptor: StateDescriptor,
    chunks: Vec<Arc<Vec<T>>>,
}

/// The entries of a broadcast state at one moment.
pub(super) struct BroadcastView<K, V> {
    descriptor: StateDescriptor,
    chunks: Vec<Entries<K, V>>,
}

impl<T> ItemsView<T> {
    pub(super) fn new(descriptor: StateDescriptor, chunks: Vec<Arc<Vec<T>>>) -> Self {
        ItemsView { descriptor, chunks }
    }
}

impl<K, V> BroadcastView<K, V> {
    pub(super) fn new(descriptor: StateDescriptor, chunks: Vec<Entries<K, V>>) -> Self {
        BroadcastView { descriptor, chunks }
    }
}

/// The memory of chunks, without what their items own outside of them.
fn held<T>(chunks: &[Arc<Vec<T>>]) -> u64 {
    let bytes = |chunk: &Arc<Vec<T>>| size_of::<Arc<Vec<T>>>() + size_of::<Vec<T>>() + chunk.capacity() * size_of::<T>();
    chunks.iter().map(bytes).sum::<usize>() as u64
}

/// Writes each item of some chunks as one entry.
fn write<T>(
    chunks: &[Arc<Vec<T>>],
    emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>,
    encode: impl Fn(&T, &mut Vec<u8>) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let mut block = Block { group: None, entries: 0, bytes: Vec::new() };
    for item in chunks.iter().flat_map(|chunk| chunk.iter()) {
        encode(item, &mut block.bytes)?;
        block.entries += 1;
        if block.bytes.len() >= BLOCK_BYTES {
            flush(&mut block, emit)?;
        }
    }
    flush(&mut block, emit)
}

impl<T: Serialize + Send + Sync + 'static> StateView for ItemsView<T> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        held(&self.chunks)
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        write(&self.chunks, emit, codec::encode)
    }
}

impl<K, V> StateView for BroadcastView<K, V>
where
    K: Serialize + Send + Sync + 'static,
    V: Serialize + Send + Sync + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        held(&self.chunks)
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        write(&self.chunks, emit, |(key, value), bytes| {
            codec::encode(key, bytes)?;
            codec::encode(value, bytes)
        })
    }
}

impl<T> fmt::Debug for ItemsView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemsView").field("state", &self.descriptor).field("chunks", &self.chunks.len()).finish()
    }
}

impl<K, V> fmt::Debug for BroadcastView<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastView").field("state", &self.descriptor).field("chunks", &self.chunks.len()).finish()
    }
}

/// Reads back the items of a list.
///
/// # Errors
/// [`crate::Error::StateMismatch`] where they cannot be read.
pub(super) fn read_items<T>(descriptor: &StateDescriptor, kept: Kept) -> Result<ListItems<T>>
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    if let Some(view) = kept.view::<ItemsView<T>>() {
        return Ok(ListItems::of_chunks(view.chunks.clone()));
    }
    let mut items = ListItems::default();
    for part in kept.into_parts() {
        match part.view::<ItemsView<T>>() {
            Some(view) => items.extend(view.chunks.iter().flat_map(|chunk| chunk.iter().cloned())),
            None => items.extend(restore::list::<T>(&descriptor.name, restore::blocks(&descriptor.name, part)?)?),
        }
    }
    Ok(items)
}

/// Reads back the entries of a broadcast state.
///
/// # Errors
/// [`crate::Error::StateMismatch`] where they cannot be read, or a key is there twice.
pub(super) fn read_map<K, V>(descriptor: &StateDescriptor, kept: Kept) -> Result<BroadcastMap<K, V>>
where
    K: Ord + Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    if let Some(view) = kept.view::<BroadcastView<K, V>>() {
        return Ok(BroadcastMap::of_chunks(view.chunks.clone()));
    }
    let mut map = BroadcastMap::default();
    let blocks = restore::blocks(&descriptor.name, kept)?;
    restore::unkeyed(&descriptor.name, blocks, |reader| {
        let key = restore::typed(reader, "key")?;
        match map.insert(key, restore::typed(reader, "value")?) {
            None => Ok(()),
            Some(_) => Err("its key was there before".into()),
        }
    })?;
    Ok(map)
}
