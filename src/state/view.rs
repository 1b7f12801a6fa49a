//! Between live state and what a checkpoint keeps of it: the description of a state, the frozen view, and the blocks of encoded
//! entries that the view writes to a snapshot file.
//!
//! A block is a plain sequence of MessagePack objects: `key, value, key, value …` for keyed state, `item, item …` for an
//! operator's list. Blocks of one group are independent of each other and of their order.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::shape_of;
use crate::error::{BoxError, Error, Result};
use crate::ids::KeyGroup;

use super::carried::CarriedState;

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
    /// Keyed: a list for each key, written as an array.
    KeyedList,
    /// Keyed: a map for each key, written as a map, or as an array of pairs where its keys are no strings.
    Map,
    /// Keyed: what the values of each key were reduced to.
    Reducing,
    /// Keyed: the accumulator of each key.
    Aggregating,
    /// An operator's list of items, of which each instance gets those of all.
    UnionList,
    /// A map that is the same in all instances, of which each instance gets one copy.
    Broadcast,
}

impl StateKind {
    /// Whether its entries belong to key groups.
    pub(crate) fn is_keyed(self) -> bool {
        !matches!(self, StateKind::List | StateKind::UnionList | StateKind::Broadcast)
    }

    /// Whether operators register it, and the engine only keeps it.
    pub(crate) fn is_of_user(self) -> bool {
        !matches!(self, StateKind::Timers | StateKind::Window)
    }
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
    /// Whether each value, each element of a list and each value of a map is written as an array of the time at which it was
    /// written, in milliseconds, and itself: for states with a time to live.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) stamped: bool,
    /// The shape of its keys; empty where there are none, or where it was stored before shapes were.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) key: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl StateDescriptor {
    /// Of a state whose entries have no times.
    pub(crate) fn new(name: &str, kind: StateKind, version: u32) -> Self {
        StateDescriptor { name: name.into(), kind, version, stamped: false, key: String::new() }
    }

    /// The same for a state with keys of this type.
    pub(crate) fn keyed_by<K: DeserializeOwned>(self) -> Self {
        StateDescriptor { key: shape_of::<K>(), ..self }
    }

    /// Checks that this stored state is the one that was registered. Whether it has times is no matter: they are added or left out.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where kind or version differ, or the keys are of another type.
    pub(crate) fn expect(&self, registered: &StateDescriptor) -> Result<()> {
        if ![&self.key, &registered.key].contains(&&String::new()) && self.key != registered.key {
            return Err(self.other_key(registered));
        }
        if (&self.name, self.kind, self.version) == (&registered.name, registered.kind, registered.version) {
            return Ok(());
        }
        Err(Error::StateMismatch {
            problem: format!("state '{}' was stored as {}, and is registered as {}", self.name, self.text(), registered.text()),
            advice: "register it as it was stored, or under another name".into(),
        })
    }

    fn other_key(&self, registered: &StateDescriptor) -> Error {
        Error::StateMismatch {
            problem: format!(
                "the keys of state '{}' are stored as {}, and the stream is keyed by {} now",
                self.name, self.key, registered.key
            ),
            advice: "the type of a key never changes, because it decides where its state is: key by what it was, or give the \
                     operator another uid to begin anew"
                .into(),
        }
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

/// Frozen state, ready to be written by someone else than its owner, or to be taken up again in this process.
pub(crate) trait StateView: Any + Send + Sync + fmt::Debug {
    /// The state that this is a view of.
    fn descriptor(&self) -> &StateDescriptor;

    /// The memory that it holds, in bytes, without what keys and values own outside of their table.
    fn held_bytes(&self) -> u64;

    /// Whether it has no entry: asked of broadcast states only, where the copy of another instance may stand in.
    fn is_empty(&self) -> bool {
        false
    }

    /// Hands out every entry, encoded, in blocks of about [`BLOCK_BYTES`] at most, key groups ascending. A group without entries
    /// has no block. `emit` gets a block whose buffer it may keep or swap for another.
    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError>;
}

/// What a checkpoint kept of one state of one operator instance.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// Read from files: the blocks of the instance's key groups, or its share of a list.
    Blocks(Vec<Block>),
    /// Still in memory: the view that the instance before it left.
    View(Arc<dyn StateView>),
    /// A union list: what all instances left.
    Union(Box<Union>),
}

/// What all instances of an operator left of a union list, in their order.
///
/// Always: what is an instance's own is no other's, so that what nobody reads does not multiply from restart to restart.
#[derive(Clone, Debug)]
pub(crate) struct Union {
    pub(crate) before: Vec<Kept>,
    /// What this instance goes on with where it does not read the list.
    pub(crate) own: Kept,
    pub(crate) after: Vec<Kept>,
}

impl Kept {
    /// Nothing.
    pub(crate) const NOTHING: Kept = Kept::Blocks(Vec::new());

    /// The view, if it is in memory and of this type.
    pub(super) fn view<T: StateView>(&self) -> Option<Arc<T>> {
        let Kept::View(view) = self else { return None };
        let view: Arc<dyn Any + Send + Sync> = Arc::clone(view) as _;
        view.downcast().ok()
    }

    /// What each instance left: one part, but for a union list.
    pub(super) fn into_parts(self) -> Vec<Kept> {
        match self {
            Kept::Union(union) => {
                let Union { before, own, after } = *union;
                before.into_iter().chain([own]).chain(after).collect()
            }
            kept => vec![kept],
        }
    }

    /// Everything as blocks: a view is written for that.
    ///
    /// # Errors
    /// Where the view cannot be written.
    pub(crate) fn into_blocks(self) -> Result<Vec<Block>, BoxError> {
        if let Some(carried) = self.view::<CarriedState>() {
            drop(self);
            return Ok(Arc::unwrap_or_clone(carried).blocks);
        }
        let view = match self {
            Kept::Blocks(blocks) => return Ok(blocks),
            Kept::View(view) => view,
            union @ Kept::Union(_) => {
                let parts: Result<Vec<_>, BoxError> = union.into_parts().into_iter().map(Kept::into_blocks).collect();
                return Ok(parts?.concat());
            }
        };
        let mut blocks = Vec::new();
        view.write(&mut |block| {
            blocks.push(block.clone());
            Ok(())
        })?;
        Ok(blocks)
    }
}

/// Two are the same if their entries are written in the same way.
#[cfg(test)]
impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        self.clone().into_blocks().unwrap() == other.clone().into_blocks().unwrap()
    }
}

impl From<Vec<Block>> for Kept {
    fn from(blocks: Vec<Block>) -> Self {
        Kept::Blocks(blocks)
    }
}

/// The states of one operator instance as a checkpoint kept them, until the operator registers them by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestoredStates {
    /// By state name.
    pub(crate) states: BTreeMap<String, (StateDescriptor, Kept)>,
}

impl RestoredStates {
    /// Everything as the views of an operator that reads none of it.
    pub(crate) fn carried(self) -> Vec<Arc<dyn StateView>> {
        self.states.into_values().map(|(descriptor, kept)| CarriedState::carry(descriptor, kept)).collect()
    }

    /// Takes out the states whose entries belong to key groups.
    pub(crate) fn take_keyed(&mut self) -> RestoredStates {
        let all = std::mem::take(&mut self.states).into_iter();
        let (keyed, rest) = all.partition(|(_, (descriptor, _))| descriptor.kind.is_keyed());
        self.states = rest;
        RestoredStates { states: keyed }
    }

    /// Takes a state out, for the operator that registers it.
    pub(crate) fn take(&mut self, name: &str) -> Option<(StateDescriptor, Kept)> {
        self.states.remove(name)
    }
}
