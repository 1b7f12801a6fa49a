//! From what a checkpoint kept back to tables and lists.
//!
//! A table whose view is still in memory, of the same types and key groups, is made of the view; everything else is read from
//! blocks.
//!
//! Always: whatever the bytes, the result is a value or an error that names the state and the key group; and every key that was
//! read hashes into the group that its block names, which this instance owns. Called on the task's thread before its first record.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Reader, outline};
use crate::error::{BoxError, Error, Result};
use crate::ids::KeyGroup;
use crate::key::KeyGroups;

use super::table::{KeyHasher, KeyedTable};
use super::table_view::DescribedView;
use super::versions::wanted;
use super::view::{Block, Kept};

/// The table of the state `name`.
///
/// # Errors
/// [`Error::StateMismatch`] where an entry cannot be read, or lies in another key group than its block says.
pub(crate) fn table<K, V>(
    name: &str,
    kept: Kept,
    groups: KeyGroups,
    owned: Range<u16>,
    hasher: &KeyHasher<K>,
) -> Result<KeyedTable<K, V>>
where
    K: Clone + Eq + Send + Sync + Serialize + DeserializeOwned + 'static,
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    match kept.view::<DescribedView<K, V>>().filter(|kept| kept.view.is_of(groups, &owned)) {
        Some(kept) => Ok(KeyedTable::of_view(&kept.view, KeyHasher::clone(hasher))),
        None => read_table(name, blocks(name, kept)?, groups, owned, hasher, |_, value| Some(value)),
    }
}

/// What was kept of the state `name`, as blocks.
pub(super) fn blocks(name: &str, kept: Kept) -> Result<Vec<Block>> {
    kept.into_blocks().map_err(|error| Error::StateMismatch {
        problem: format!("state '{name}' cannot be written: {error}"),
        advice: "see that serde can write its keys and values".into(),
    })
}

/// The table of what `make` makes of the entries, each with its key's hash; those that are nothing are left out.
pub(super) fn read_table<K, W, V>(
    name: &str,
    blocks: Vec<Block>,
    groups: KeyGroups,
    owned: Range<u16>,
    hasher: &KeyHasher<K>,
    make: impl Fn(u64, W) -> Option<V>,
) -> Result<KeyedTable<K, V>>
where
    K: Clone + Eq + DeserializeOwned,
    W: DeserializeOwned,
    V: Clone,
{
    let mut expected = BTreeMap::new();
    for block in &blocks {
        *expected.entry(block.group).or_insert(0) += entries_at_most(block);
    }
    let expected = |group| expected.get(&Some(group)).copied().unwrap_or(0);
    let mut table = KeyedTable::with_room(groups, owned.clone(), KeyHasher::clone(hasher), expected);
    Keyed { name, groups, owned, hasher }.entries(blocks, |hash, key, value| {
        match make(hash, value).and_then(|value| table.insert(hash, &key, value)) {
            None => Ok(()),
            Some(_) => Err("its key was there before".into()),
        }
    })?;
    Ok(table)
}

/// A keyed state that is read: its name, and whose keys may be in it.
pub(super) struct Keyed<'a, K> {
    pub(super) name: &'a str,
    pub(super) groups: KeyGroups,
    pub(super) owned: Range<u16>,
    pub(super) hasher: &'a KeyHasher<K>,
}

impl<K: DeserializeOwned> Keyed<'_, K> {
    /// Hands out every entry with its key's hash.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where an entry cannot be read, lies in another key group than its block says, or is refused.
    pub(super) fn entries<V: DeserializeOwned>(
        &self,
        blocks: Vec<Block>,
        mut entry: impl FnMut(u64, K, V) -> Result<(), BoxError>,
    ) -> Result<()> {
        for block in blocks {
            let group = self.group_of(&block)?;
            read(self.name, &block, |reader| {
                let key = typed::<K>(reader, "key")?;
                let value = typed::<V>(reader, "value")?;
                let hash = (self.hasher)(&key);
                match self.groups.of(hash) {
                    found if found == group => entry(hash, key, value),
                    found => Err(format!("its key hashes into key group {found}").into()),
                }
            })?;
        }
        Ok(())
    }

    /// The key group of a block, if this instance owns it.
    fn group_of(&self, block: &Block) -> Result<KeyGroup> {
        let Range { start, end } = self.owned;
        match block.group {
            Some(group) if self.owned.contains(&group.0) => Ok(group),
            Some(_) => Err(mismatch(self.name, block, &format!("this instance owns the key groups {start}..{end}"))),
            None => Err(mismatch(self.name, block, "it is keyed, and has entries without a key group")),
        }
    }
}

/// Reads the items of an operator's list from its blocks.
///
/// # Errors
/// [`Error::StateMismatch`] where an item cannot be read.
pub(crate) fn list<T: DeserializeOwned>(name: &str, blocks: Vec<Block>) -> Result<Vec<T>> {
    let mut items = Vec::with_capacity(blocks.iter().map(entries_at_most).sum());
    unkeyed(name, blocks, |reader| {
        items.push(typed(reader, "item")?);
        Ok(())
    })?;
    Ok(items)
}

/// Reads each entry of a state without key groups.
///
/// # Errors
/// [`Error::StateMismatch`] where an entry cannot be read.
pub(super) fn unkeyed(
    name: &str,
    blocks: Vec<Block>,
    mut entry: impl FnMut(&mut Reader<'_>) -> Result<(), BoxError>,
) -> Result<()> {
    for block in blocks {
        if let Some(group) = block.group {
            return Err(mismatch(name, &block, &format!("it has no keys of records, and has entries of key group {group}")));
        }
        read(name, &block, &mut entry)?;
    }
    Ok(())
}

/// What a block says it has, as far as its bytes allow: every object takes one at least.
fn entries_at_most(block: &Block) -> usize {
    usize::try_from(block.entries).unwrap_or(usize::MAX).min(block.bytes.len())
}

/// Reads as many entries as a block says it has, and no byte is left over.
fn read(name: &str, block: &Block, mut entry: impl FnMut(&mut Reader<'_>) -> Result<(), BoxError>) -> Result<()> {
    let mut reader = Reader::new(&block.bytes);
    for at in 1..=block.entries {
        let read = entry(&mut reader);
        read.map_err(|cause| mismatch(name, block, &format!("entry {at} of {}: {cause}", block.entries)))?;
    }
    match reader.remaining() {
        0 => Ok(()),
        rest => Err(mismatch(name, block, &format!("{rest} bytes follow its {} entries", block.entries))),
    }
}

/// The block, with each entry as `entry` writes it anew.
///
/// # Errors
/// [`Error::StateMismatch`] where an entry cannot be read, or made anew.
pub(super) fn rewritten(
    name: &str,
    block: Block,
    mut entry: impl FnMut(&mut Reader<'_>, &mut Vec<u8>) -> Result<(), BoxError>,
) -> Result<Block> {
    let mut bytes = Vec::with_capacity(block.bytes.len());
    read(name, &block, |reader| entry(reader, &mut bytes))?;
    Ok(Block { bytes, ..block })
}

/// The next object, which is an entry's key, value or item.
pub(super) fn typed<T: DeserializeOwned>(reader: &mut Reader<'_>, what: &str) -> Result<T, BoxError> {
    reader.next().map_err(|cause| misread::<T>(what, reader.rest(), &*cause))
}

/// What was stored, and what it should have been.
#[cold]
fn misread<T: DeserializeOwned>(what: &str, stored: &[u8], cause: &(dyn std::error::Error + 'static)) -> BoxError {
    format!("its {what} is stored as {}, and is to be read as {}: {cause}", outline(stored), wanted::<T>()).into()
}

fn mismatch(name: &str, block: &Block, what: &str) -> Error {
    let place = block.group.map_or(String::new(), |group| format!(" (key group {group})"));
    Error::StateMismatch {
        problem: format!("state '{name}'{place} cannot be read: {what}"),
        advice:
            "keep its key and value types readable from what was stored (serde's defaults and aliases help), say with Versions \
                 how a value is made of an older one, or rename the state to begin with an empty one"
                .into(),
    }
}
