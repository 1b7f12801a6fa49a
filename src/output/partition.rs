//! Which edge a record takes.
//!
//! A partitioner sees one record at a time and is inlined into the loop over a batch.

use crate::frame::{Keyed, Routed};
use crate::key::KeyGroups;

/// Picks an edge for each record.
pub(crate) trait Partitioner<T>: Send + 'static {
    /// The index of the edge, below the number of edges.
    fn edge_of(&mut self, record: &T) -> usize;

    /// Whether the record goes to every edge instead.
    #[inline]
    fn is_for_all(_: &T) -> bool {
        false
    }

    /// One more of a record that goes to every edge.
    fn copy(_: &T) -> Option<T> {
        None
    }
}

/// To the one edge there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward;

impl<T> Partitioner<T> for Forward {
    #[inline]
    fn edge_of(&mut self, _: &T) -> usize {
        0
    }
}

/// To each edge in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rebalance {
    next: usize,
    edges: usize,
}

impl Rebalance {
    /// Deals to `edges` edges, beginning at `first`.
    pub(crate) fn new(edges: usize, first: usize) -> Self {
        Rebalance { next: first % edges.max(1), edges }
    }
}

impl<T> Partitioner<T> for Rebalance {
    #[inline]
    fn edge_of(&mut self, _: &T) -> usize {
        let edge = self.next;
        self.next = if edge + 1 == self.edges { 0 } else { edge + 1 };
        edge
    }
}

/// To the owner of the key's group.
#[derive(Clone, Debug)]
pub(crate) struct Hash {
    groups: KeyGroups,
    /// By key group: the edge to its owner.
    owners: Box<[u16]>,
}

impl Hash {
    /// Routes the key groups to `parallelism` owners.
    pub(crate) fn new(groups: KeyGroups, parallelism: u32) -> Self {
        let owner = |group| groups.owner(crate::ids::KeyGroup(group), parallelism) as u16;
        Hash { groups, owners: (0..groups.max()).map(owner).collect() }
    }
}

impl<K: Send + 'static, T: Send + 'static> Partitioner<Keyed<K, T>> for Hash {
    #[inline]
    fn edge_of(&mut self, record: &Keyed<K, T>) -> usize {
        let group = usize::from(self.groups.of(record.hash).0);
        self.owners.get(group).copied().map_or(0, usize::from)
    }
}

/// Records of a key to the owner of its group, others to all.
#[derive(Clone, Debug)]
pub(crate) struct HashOrAll(Hash);

impl HashOrAll {
    /// Routes the key groups to `parallelism` owners.
    pub(crate) fn new(groups: KeyGroups, parallelism: u32) -> Self {
        HashOrAll(Hash::new(groups, parallelism))
    }
}

impl<K, T, R> Partitioner<Routed<K, T, R>> for HashOrAll
where
    K: Clone + Send + 'static,
    T: Clone + Send + 'static,
    R: Clone + Send + 'static,
{
    #[inline]
    fn edge_of(&mut self, record: &Routed<K, T, R>) -> usize {
        match record {
            Routed::Keyed(keyed) => self.0.edge_of(keyed),
            Routed::Broadcast(_) => 0,
        }
    }

    #[inline]
    fn is_for_all(record: &Routed<K, T, R>) -> bool {
        matches!(record, Routed::Broadcast(_))
    }

    fn copy(record: &Routed<K, T, R>) -> Option<Routed<K, T, R>> {
        Some(record.clone())
    }
}
