//! An operator's list: state without keys, such as a source's splits or a sink's unfinished parts, dealt out anew when the
//! parallelism changes.
//!
//! The operator keeps its items as it likes; at a barrier it makes a view of them, and on restore it reads its share back.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{BoxError, Result};

use super::restore;
use super::table_view::flush;
use super::view::{BLOCK_BYTES, Block, Kept, StateDescriptor, StateKind, StateView};

/// The schema version under which lists are written.
const VERSION: u32 = 1;

/// The items of an operator's list at one moment.
pub(crate) struct ListView<T> {
    descriptor: StateDescriptor,
    items: Vec<T>,
}

impl<T> ListView<T> {
    /// The view of the list `name`, with these items.
    pub(crate) fn new(name: &str, items: Vec<T>) -> Self {
        ListView { descriptor: StateDescriptor::new(name, StateKind::List, VERSION), items }
    }
}

#[cfg(test)]
impl<T> ListView<T> {
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }
}

impl<T: Serialize + Send + Sync + 'static> StateView for ListView<T> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        size_of_val(&*self.items) as u64
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let mut block = Block { group: None, entries: 0, bytes: Vec::new() };
        for item in &self.items {
            codec::encode(item, &mut block.bytes)?;
            block.entries += 1;
            if block.bytes.len() >= BLOCK_BYTES {
                flush(&mut block, emit)?;
            }
        }
        flush(&mut block, emit)
    }
}

impl<T> fmt::Debug for ListView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListView").field("name", &self.descriptor.name).field("items", &self.items.len()).finish()
    }
}

/// Reads back the items of the list `name`; none where nothing was stored.
///
/// # Errors
/// [`crate::Error::StateMismatch`] where what was stored is no list, or its items cannot be read.
pub(crate) fn read_list<T>(name: &str, stored: Option<(StateDescriptor, Kept)>) -> Result<Vec<T>>
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let Some((descriptor, kept)) = stored else { return Ok(Vec::new()) };
    descriptor.expect(&StateDescriptor::new(name, StateKind::List, VERSION))?;
    match kept.view::<ListView<T>>() {
        Some(view) => {
            drop(kept);
            Ok(Arc::try_unwrap(view).map_or_else(|view| view.items.clone(), |view| view.items))
        }
        None => restore::list(name, restore::blocks(name, kept)?),
    }
}
