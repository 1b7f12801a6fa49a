//! Where the operators of a job can be asked: which task has which keys of which operator.
//!
//! Always: a key is hashed and dealt as its records are, from the same numbers. Held by the job's handles, on any thread.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use super::compile::Plan;
use super::flow::{NodeId, NodeKind};
use crate::error::{Error, Result, chain_text};
use crate::ids::{TaskId, Uid};
use crate::key::{Key, KeyGroups, KeyHasher};
use crate::operator::OpId;

/// The operators that keep state by key.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    operators: BTreeMap<Uid, Address>,
    groups: KeyGroups,
    hasher: KeyHasher,
}

/// Where an operator is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) operator: OpId,
    chain: u32,
    parallelism: u32,
}

impl Addresses {
    /// Of a job that does not run.
    pub(crate) fn none() -> Self {
        Addresses { operators: BTreeMap::new(), groups: KeyGroups::default(), hasher: KeyHasher::new(0) }
    }

    /// Of a job with this plan and hasher.
    pub(crate) fn of(plan: &Plan, hasher: KeyHasher) -> Self {
        let operators = (0..plan.flow.nodes.len()).filter_map(|node| address(plan, NodeId(node))).collect();
        Addresses { operators, groups: plan.groups, hasher }
    }

    /// Their uids.
    pub(crate) fn uids(&self) -> impl Iterator<Item = &Uid> {
        self.operators.keys()
    }

    /// Where this operator is.
    ///
    /// # Errors
    /// [`Error::InvalidQuestion`] where it is none of those that keep state by key.
    pub(crate) fn operator(&self, uid: &Uid) -> Result<Address> {
        let unknown = || {
            let known: Vec<String> = self.uids().map(|uid| format!("'{uid}'")).collect();
            let advice = if known.is_empty() {
                "give it one, behind a key_by, to ask for its state".into()
            } else {
                format!("those that it has: {}", known.join(", "))
            };
            Error::InvalidQuestion { problem: format!("it has no operator '{uid}' that keeps state by key"), advice }
        };
        self.operators.get(uid).copied().ok_or_else(unknown)
    }

    /// The hash of a key.
    ///
    /// # Errors
    /// [`Error::InvalidQuestion`] where it can't be hashed.
    pub(crate) fn hash<K: Key>(&self, key: &K) -> Result<u64> {
        self.hasher.hash(key, &mut Vec::new()).map_err(|error| Error::InvalidQuestion {
            problem: format!("its key cannot be hashed: {}", chain_text(&*error)),
            advice: "ask with a key as records have it".into(),
        })
    }

    /// The hashes of these key groups.
    pub(crate) fn hashes(&self, groups: Range<u16>) -> Option<RangeInclusive<u64>> {
        self.groups.hashes(groups)
    }

    /// The task that has the keys with this hash, and the last hash of those that it has.
    pub(crate) fn task(&self, address: Address, hash: u64) -> (TaskId, u64) {
        let index = self.groups.owner(self.groups.of(hash), address.parallelism);
        let owned = self.groups.range(index, address.parallelism);
        let last = self.groups.hashes(owned).map_or(hash, |hashes| *hashes.end());
        (TaskId { chain: address.chain, index }, last)
    }
}

/// The address of an operator that keeps state by key.
fn address(plan: &Plan, id: NodeId) -> Option<(Uid, Address)> {
    plan.node(id).filter(|node| node.stateful && matches!(node.kind, NodeKind::Operator { .. }))?;
    let chain = plan.chain_of.get(id.0).copied()?;
    let operator = plan.chains.get(chain)?.nodes.iter().position(|other| *other == id)?;
    let parallelism = plan.parallelism.get(id.0).copied()?;
    Some((plan.uid(id)?.clone(), Address { operator: OpId(operator), chain: u32::try_from(chain).ok()?, parallelism }))
}
