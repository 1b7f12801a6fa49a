//! Keyed state in several tables, each under a mark: a window's panes lie in the table of their window.
//!
//! All tables are one state: an entry is written as its key and the pair of its table's mark and its value, so a key may have
//! several. Used by operators of the engine on their task's thread; views are read by the snapshot's writer.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{BoxError, Result};
use crate::ids::KeyGroup;
use crate::key::KeyGroups;

use super::restore;
use super::segment::Entries;
use super::table::{KeyHasher, KeyedTable};
use super::table_view::{TableView, write_shares};
use super::view::{Block, Kept, RestoredStates, StateDescriptor, StateKind, StateView};

/// The schema version under which entries are written.
const VERSION: u32 = 1;

/// What all tables of one such state share.
pub(crate) struct MarkedTables<K> {
    descriptor: StateDescriptor,
    groups: KeyGroups,
    owned: Range<u16>,
    hasher: KeyHasher<K>,
}

impl<K> MarkedTables<K> {
    /// The state `name` of an instance that owns these key groups.
    pub(crate) fn new(name: &str, groups: KeyGroups, owned: Range<u16>, hasher: KeyHasher<K>) -> Self
    where
        K: DeserializeOwned,
    {
        let descriptor = StateDescriptor::new(name, StateKind::Window, VERSION).keyed_by::<K>();
        MarkedTables { descriptor, groups, owned, hasher }
    }

    /// An empty table.
    pub(crate) fn table<V>(&self) -> KeyedTable<K, V> {
        KeyedTable::new(self.groups, self.owned.clone(), KeyHasher::clone(&self.hasher))
    }

    /// Takes out the tables that are still in memory, as views of this instance's; none where they are not.
    pub(crate) fn take<M, V>(&self, restored: &mut RestoredStates) -> Option<Vec<(M, KeyedTable<K, V>)>>
    where
        K: Serialize + Send + Sync + 'static,
        M: Copy + Serialize + Send + Sync + 'static,
        V: Serialize + Send + Sync + 'static,
    {
        let (_, kept) = restored.states.get(&self.descriptor.name)?;
        let kept = kept.view::<MarkedView<M, K, V>>()?;
        if !kept.tables.iter().all(|(_, view)| view.is_of(self.groups, &self.owned)) {
            return None;
        }
        restored.take(&self.descriptor.name);
        let table = |(mark, view): &(M, TableView<K, V>)| (*mark, KeyedTable::of_view(view, KeyHasher::clone(&self.hasher)));
        Some(kept.tables.iter().map(table).collect())
    }

    /// Takes out what a checkpoint kept of the state, and hands out the entries, each with its key's hash and its table's mark.
    ///
    /// # Errors
    /// [`crate::Error::StateMismatch`] where the state is of another kind, or an entry cannot be read or is refused.
    pub(crate) fn restore<M, V>(
        &self,
        restored: &mut RestoredStates,
        mut entry: impl FnMut(M, u64, K, V) -> Result<(), BoxError>,
    ) -> Result<()>
    where
        K: DeserializeOwned,
        M: DeserializeOwned,
        V: DeserializeOwned,
    {
        let (stored, kept) = restored.take(&self.descriptor.name).unwrap_or((self.descriptor.clone(), Kept::NOTHING));
        stored.expect(&self.descriptor)?;
        let blocks = restore::blocks(&self.descriptor.name, kept)?;
        let keyed =
            restore::Keyed { name: &self.descriptor.name, groups: self.groups, owned: self.owned.clone(), hasher: &self.hasher };
        keyed.entries(blocks, |hash, key, (mark, value)| entry(mark, hash, key, value))
    }

    /// The view of the state: of these tables.
    pub(crate) fn view<M, V>(&self, tables: Vec<(M, TableView<K, V>)>) -> Arc<dyn StateView>
    where
        K: Serialize + Send + Sync + 'static,
        M: Serialize + Send + Sync + 'static,
        V: Serialize + Send + Sync + 'static,
    {
        Arc::new(MarkedView { descriptor: self.descriptor.clone(), tables })
    }
}

impl<K> fmt::Debug for MarkedTables<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarkedTables").field("state", &self.descriptor).field("owned", &self.owned).finish_non_exhaustive()
    }
}

/// The entries of several tables at one moment.
struct MarkedView<M, K, V> {
    descriptor: StateDescriptor,
    tables: Vec<(M, TableView<K, V>)>,
}

impl<M, K, V> fmt::Debug for MarkedView<M, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: usize = self.tables.iter().map(|(_, table)| table.len()).sum();
        f.debug_struct("MarkedView").field("state", &self.descriptor).field("entries", &entries).finish_non_exhaustive()
    }
}

impl<M, K, V> StateView for MarkedView<M, K, V>
where
    M: Serialize + Send + Sync + 'static,
    K: Serialize + Send + Sync + 'static,
    V: Serialize + Send + Sync + 'static,
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn held_bytes(&self) -> u64 {
        self.tables.iter().map(|(_, table)| table.held_bytes()).sum()
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let marked = self.tables.iter().flat_map(|(mark, table)| table.shares().map(move |(group, share)| (group, mark, share)));
        let mut shares: Vec<(KeyGroup, &M, &Entries<K, V>)> = marked.collect();
        shares.sort_by_key(|(group, ..)| *group);
        write_shares(shares, emit, |mark, value, out| codec::encode(&(mark, value), out).map(|()| true))
    }
}
