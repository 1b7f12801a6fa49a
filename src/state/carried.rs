//! State that was restored and that nobody has registered: it is written again as it was read.
//!
//! Blocks stay encoded; a view that is still in memory is carried as it is. Held by the registry of keyed states on the task's
//! thread, read by the snapshot's writer.

use std::sync::Arc;

use crate::error::BoxError;

use super::view::{Block, Kept, StateDescriptor, StateView};

/// A state that was restored from blocks and not registered.
#[derive(Clone, Debug)]
pub(super) struct CarriedState {
    pub(super) descriptor: StateDescriptor,
    pub(super) blocks: Vec<Block>,
}

impl CarriedState {
    /// The state as it was restored.
    pub(super) fn carry(descriptor: StateDescriptor, kept: Kept) -> Arc<dyn StateView> {
        match kept {
            Kept::Blocks(mut blocks) => {
                blocks.sort_by_key(|block| block.group);
                Arc::new(CarriedState { descriptor, blocks })
            }
            Kept::View(view) => view,
            Kept::Union(union) => CarriedState::carry(descriptor, union.own),
        }
    }
}

impl StateView for CarriedState {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.bytes.capacity() as u64).sum()
    }

    fn is_empty(&self) -> bool {
        self.blocks.iter().all(|block| block.entries == 0)
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        self.blocks.iter().filter(|block| block.entries > 0).try_for_each(|block| emit(&mut block.clone()))
    }
}
