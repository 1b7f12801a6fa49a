//! Between live state and snapshot files: the description of a state, blocks of encoded entries, and the frozen view that
//! writes them.
//!
//! A block is a plain sequence of MessagePack objects: `key, value, key, value …` for keyed state, `item, item …` for an
//! operator's list. Blocks of one group are independent of each other and of their order.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{BoxError, Error, Result};
use crate::ids::KeyGroup;

/// Bound of a block's encoded size, in bytes, before the one entry that may overrun it.
pub(crate) const BLOCK_BYTES: usize = 4 << 20;

/// The kind of a state: it decides what a block's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateKind {
    /// Keyed: one value for each key.
    Value,
    /// Keyed: the timers of each key.
    Timers,
    /// Keyed: the panes of each key and window.
    Window,
    /// An operator's list of items, dealt out anew when the parallelism changes.
    List,
}

/// What identifies and describes one state of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateDescriptor {
    /// The name under which the operator registered it.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: StateKind,
    /// The schema version of its values.
    pub(crate) version: u32,
}

impl StateDescriptor {
    /// Checks that this stored state is the one that was registered.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where kind or version differ.
    pub(crate) fn expect(&self, registered: &StateDescriptor) -> Result<()> {
        if self == registered {
            return Ok(());
        }
        Err(Error::StateMismatch {
            problem: format!("state '{}' was stored as {}, and is registered as {}", self.name, self.text(), registered.text()),
            advice: "register it as it was stored, or under another name".into(),
        })
    }

    fn text(&self) -> String {
        format!("{:?} in version {}", self.kind, self.version)
    }
}

/// Encoded entries of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The key group of all entries; `None` for an operator's list.
    pub(crate) group: Option<KeyGroup>,
    /// How many entries there are.
    pub(crate) entries: u64,
    /// The entries, as MessagePack objects one after another.
    pub(crate) bytes: Vec<u8>,
}

/// Frozen state, ready to be written by someone else than its owner.
pub(crate) trait StateView: Send + Sync + fmt::Debug {
    /// The state that this is a view of.
    fn descriptor(&self) -> &StateDescriptor;

    /// Hands out every entry, encoded, in blocks of about [`BLOCK_BYTES`] at most, key groups ascending. A group without entries
    /// has no block. `emit` gets a block whose buffer it may keep or swap for another.
    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError>;
}

/// The states of one operator instance as a checkpoint kept them, still encoded, until the operator registers them by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestoredStates {
    /// By state name: the description and the blocks of this instance's key groups (or its share of a list).
    pub(crate) states: BTreeMap<String, (StateDescriptor, Vec<Block>)>,
}

impl RestoredStates {
    /// Takes a state's blocks out, for the operator that registers it.
    pub(crate) fn take(&mut self, name: &str) -> Option<(StateDescriptor, Vec<Block>)> {
        self.states.remove(name)
    }
}
