//! Changes to single keys of a state, and how they are made while a checkpoint's sections are copied.
//!
//! Always: keys are compared as keys and not as bytes, so a key finds its entry whatever version of the program wrote it; and an entry
//! whose key is not of the type that the change was made with is an error, never left alone. Types are known here only to the
//! functions that a state's first change brings along.

use std::any::{TypeId, type_name};
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Reader, decode, encode};
use crate::error::{BoxError, Error, Result};
use crate::ids::KeyGroup;
use crate::key::{Key, KeyGroups, KeyHasher};
use crate::state::Block;

/// A key as it is found: its group, and its bytes as the program writes it now.
type Found = (KeyGroup, Vec<u8>);

/// Reads a stored key as one of the operator's keys.
type ReadKey = fn(&Places, &[u8]) -> Result<Found, BoxError>;

/// Checks that a stored value is of the type that is put.
type ReadValue = fn(&[u8]) -> Result<(), BoxError>;

/// How many entries changes have met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) replaced: u64,
    pub(super) removed: u64,
}

/// The changes of one state.
#[derive(Debug)]
pub(super) struct Edits {
    key_type: (TypeId, &'static str),
    read_key: ReadKey,
    /// `None` where nothing is put.
    read_value: Option<ReadValue>,
    /// By group, by the key's bytes: the new value, or none where the entry goes.
    by_group: BTreeMap<KeyGroup, BTreeMap<Vec<u8>, Edit>>,
}

#[derive(Debug)]
struct Edit {
    value: Option<Vec<u8>>,
    met: bool,
}

/// Where keys lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) hasher: KeyHasher,
    pub(super) groups: KeyGroups,
}

impl Places {
    /// The hash and the group of a key.
    pub(super) fn of<K: Serialize>(&self, key: &K, scratch: &mut Vec<u8>) -> Result<(u64, KeyGroup), BoxError> {
        let hash = self.hasher.hash(key, scratch)?;
        Ok((hash, self.groups.of(hash)))
    }
}

fn read_key<K: Key>(places: &Places, bytes: &[u8]) -> Result<Found, BoxError> {
    let key: K = decode(bytes).map_err(|error| format!("its key is no {}: {error}", type_name::<K>()))?;
    let (mut scratch, mut written) = (Vec::new(), Vec::new());
    let (_, group) = places.of(&key, &mut scratch)?;
    encode(&key, &mut written)?;
    Ok((group, written))
}

fn read_value<V: DeserializeOwned>(bytes: &[u8]) -> Result<(), BoxError> {
    let value = decode::<V>(bytes).map(drop);
    value.map_err(|error| format!("its value is no {}: {error}", type_name::<V>()).into())
}

impl Edits {
    /// None yet, of a state with keys of type `K`.
    pub(super) fn of_keys<K: Key>() -> Self {
        let key_type = (TypeId::of::<K>(), type_name::<K>());
        Edits { key_type, read_key: read_key::<K>, read_value: None, by_group: BTreeMap::new() }
    }

    /// Puts a value.
    pub(super) fn put<K: Key, V: Serialize + DeserializeOwned>(&mut self, places: &Places, key: &K, value: &V) -> Result<()> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes).map_err(|error| unwritable(&error))?;
        self.read_value = Some(read_value::<V>);
        self.add(places, key, Some(bytes))
    }

    /// Removes a key's entry.
    pub(super) fn remove<K: Key>(&mut self, places: &Places, key: &K) -> Result<()> {
        self.add(places, key, None)
    }

    fn add<K: Key>(&mut self, places: &Places, key: &K, value: Option<Vec<u8>>) -> Result<()> {
        if self.key_type.0 != TypeId::of::<K>() {
            return Err(Error::StateRefused {
                problem: format!("keys of type {} follow keys of type {}", type_name::<K>(), self.key_type.1),
                advice: "use the key type of the operator for all changes of its state".into(),
            });
        }
        let mut bytes = Vec::new();
        let (_, group) = places.of(key, &mut Vec::new()).map_err(|error| unwritable(&error))?;
        encode(key, &mut bytes).map_err(|error| unwritable(&error))?;
        self.by_group.entry(group).or_default().insert(bytes, Edit { value, met: false });
        Ok(())
    }

    /// A block with the changes that meet its entries; `None` where no entry of its group changes.
    ///
    /// # Errors
    /// Where an entry is not of the types of the changes, or lies in another group.
    pub(super) fn applied(&mut self, places: &Places, block: &Block, met: &mut Met) -> Result<Option<Block>, BoxError> {
        let Some((group, edits)) = block.group.and_then(|group| Some((group, self.by_group.get_mut(&group)?))) else {
            return Ok(None);
        };
        let mut changed = Block { group: block.group, entries: 0, bytes: Vec::with_capacity(block.bytes.len()) };
        let mut reader = Reader::new(&block.bytes);
        for at in 1..=block.entries {
            let (key, value) = (reader.skip()?, reader.skip()?);
            let found = (self.read_key)(places, key).map_err(|error| format!("entry {at}: {error}"))?;
            if found.0 != group {
                let found = found.0;
                return Err(format!("entry {at}: as a {}, its key hashes into key group {found}", self.key_type.1).into());
            }
            if let Some(read_value) = self.read_value {
                read_value(value).map_err(|error| format!("entry {at}: {error}"))?;
            }
            let (key, value) = match edits.get_mut(&found.1) {
                None => (key, value),
                Some(edit) => {
                    edit.met = true;
                    let Some(value) = &edit.value else {
                        met.removed += 1;
                        continue;
                    };
                    met.replaced += 1;
                    (&*found.1, &**value)
                }
            };
            changed.bytes.extend_from_slice(key);
            changed.bytes.extend_from_slice(value);
            changed.entries += 1;
        }
        Ok(Some(changed))
    }

    /// What was put and has met no entry, as blocks, key groups ascending.
    pub(super) fn left(&self) -> impl Iterator<Item = Block> {
        self.by_group.iter().filter_map(|(group, edits)| {
            let mut block = Block { group: Some(*group), entries: 0, bytes: Vec::new() };
            let left = edits.iter().filter(|(_, edit)| !edit.met);
            for (key, value) in left.filter_map(|(key, edit)| Some((key, edit.value.as_ref()?))) {
                block.bytes.extend_from_slice(key);
                block.bytes.extend_from_slice(value);
                block.entries += 1;
            }
            (block.entries > 0).then_some(block)
        })
    }
}

pub(super) fn unwritable(error: &BoxError) -> Error {
    Error::StateRefused {
        problem: format!("a key or a value cannot be written: {error}"),
        advice: "see that serde can write them, and that keys hold no maps".into(),
    }
}
