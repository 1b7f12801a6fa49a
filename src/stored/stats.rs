//! How much state there is, and how it is spread: by operator, state, key group and instance.
//!
//! Counted from the manifest alone, so no file is read. Pure.

use std::collections::BTreeMap;

use super::checkpoint::{StoredCheckpoint, kind_name};
use crate::ids::{KeyGroup, Uid};
use crate::snapshot::Section;

/// Some of a state's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// How many there are.
    pub entries: u64,
    /// Their size in the files, in bytes.
    pub bytes: u64,
}

/// How much one state of an operator holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateStats {
    /// The operator's uid.
    pub operator: Uid,
    /// The state's name.
    pub state: String,
    /// The state's kind, as manifests spell it.
    pub kind: String,
    /// All of it.
    pub total: Share,
    /// By key group; none for what has no key. Groups without entries are left out.
    pub groups: BTreeMap<KeyGroup, Share>,
    /// By the operator instance that wrote it. Instances without entries are left out.
    pub parts: BTreeMap<u32, Share>,
    /// How many key groups there are, those without entries included.
    pub all_groups: u16,
    /// How many instances the operator had.
    pub parallelism: u32,
}

impl StateStats {
    /// How many times as many entries the fullest key group has as all have in the mean; 1 where all have the same. `None` for what
    /// has no key, and where there are no entries.
    pub fn skew_of_groups(&self) -> Option<f64> {
        skew(self.groups.values(), self.total, u32::from(self.all_groups))
    }

    /// The same over the operator's instances, which is what a parallel job waits for.
    pub fn skew_of_parts(&self) -> Option<f64> {
        skew(self.parts.values(), self.total, self.parallelism)
    }

    /// The key groups with the most entries, the fullest first, `n` at most.
    pub fn fullest(&self, n: usize) -> Vec<(KeyGroup, Share)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(group, share)| (*group, *share)).collect();
        groups.sort_by_key(|(group, share)| (std::cmp::Reverse(share.entries), *group));
        groups.truncate(n);
        groups
    }
}

fn skew<'a>(shares: impl Iterator<Item = &'a Share>, total: Share, of: u32) -> Option<f64> {
    let most = shares.map(|share| share.entries).max()?;
    (total.entries > 0).then(|| most as f64 * f64::from(of.max(1)) / total.entries as f64)
}

impl StoredCheckpoint {
    /// How much each state holds, by operator and state; states without entries are there too.
    pub fn stats(&self) -> Vec<StateStats> {
        let manifest = self.dir.manifest();
        let mut stats: BTreeMap<(&Uid, &str), StateStats> = BTreeMap::new();
        for (uid, operator) in &manifest.operators {
            for state in &operator.states {
                let empty = StateStats {
                    operator: uid.clone(),
                    state: state.name.clone(),
                    kind: kind_name(state.kind),
                    total: Share::default(),
                    groups: BTreeMap::new(),
                    parts: BTreeMap::new(),
                    all_groups: manifest.job.max_parallelism,
                    parallelism: operator.parallelism,
                };
                stats.insert((uid, &state.name), empty);
            }
        }
        for (_, section) in self.dir.sections() {
            if let Some(of) = stats.get_mut(&(&section.operator, &*section.state)) {
                of.add(section);
            }
        }
        stats.into_values().collect()
    }
}

impl StateStats {
    fn add(&mut self, section: &Section) {
        self.total.add(section);
        self.parts.entry(section.part).or_default().add(section);
        if let Some(group) = section.group {
            self.groups.entry(group).or_default().add(section);
        }
    }
}

impl Share {
    fn add(&mut self, section: &Section) {
        self.entries = self.entries.saturating_add(section.entries);
        self.bytes = self.bytes.saturating_add(section.length);
    }
}
