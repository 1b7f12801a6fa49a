//! State that was restored and that nobody has registered: it is written again as it was read.
//!
//! Blocks stay encoded. Held by the registry of keyed states on the task's thread, read by the snapshot's writer.

use crate::error::BoxError;

use super::view::{Block, StateDescriptor, StateView};

/// A restored state that was not registered.
#[derive(Clone, Debug)]
pub(super) struct CarriedState {
    pub(super) descriptor: StateDescriptor,
    pub(super) blocks: Vec<Block>,
}

impl CarriedState {
    /// The state as it was restored.
    pub(super) fn new(descriptor: StateDescriptor, mut blocks: Vec<Block>) -> Self {
        blocks.sort_by_key(|block| block.group);
        CarriedState { descriptor, blocks }
    }
}

impl StateView for CarriedState {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        self.blocks.iter().filter(|block| block.entries > 0).try_for_each(|block| emit(&mut block.clone()))
    }
}
