//! Files that outlive the checkpoint that they were written for, because the manifest of a newer one names them.
//!
//! Always: a snapshot file lives as long as a complete checkpoint's manifest names it. The directory that it lies in has lost its own
//! manifest by then, and goes with the last of its files. What a manifest that can't be read may name is not known, so no files are
//! deleted while there is one; what is left meanwhile goes with a later deletion. Blocking calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::checkpoints::manifest_in;
use super::job_files::JobStore;
use crate::error::{Error, Result};
use crate::ids::CheckpointId;

/// The names of files, by the checkpoint in whose directory they lie.
type Names = BTreeMap<CheckpointId, BTreeSet<String>>;

/// What each complete checkpoint names of older ones. A manifest never changes, so each is read once.
#[derive(Debug, Default)]
pub(super) struct CarriedFiles(Mutex<BTreeMap<CheckpointId, Names>>);

impl JobStore {
    /// Deletes the files of a checkpoint without a manifest that no other's names, and those of all that are older than the oldest
    /// complete one: a newer one without a manifest may be under way, or may still get its manifest.
    pub(super) fn delete_unnamed(&self, id: CheckpointId) -> Result<()> {
        let directories = self.directories()?;
        let complete = self.complete_of(&directories)?;
        let named = match self.named(&complete) {
            Err(Error::Corrupt { path, what, .. }) => {
                tracing::warn!(path = %path.display(), what, "files of deleted checkpoints stay: a manifest that may name them is damaged");
                return Ok(());
            }
            known => known?,
        };
        let older = |other: &CheckpointId| complete.first().is_some_and(|oldest| other < oldest);
        let left = directories.into_iter().filter(|other| *other != id && older(other));
        let mut left = left.filter(|other| self.head.may_delete(*other).is_ok()).chain([id]);
        let nothing = BTreeSet::new();
        left.try_for_each(|id| self.folder(id).delete_but(named.get(&id).unwrap_or(&nothing)))
    }

    /// True if the manifest of another checkpoint names this file.
    pub(super) fn is_carried(&self, id: CheckpointId, name: &str) -> Result<bool> {
        Ok(self.named(&self.list()?)?.get(&id).is_some_and(|names| names.contains(name)))
    }

    /// The files of others that these, which are all complete ones, name.
    fn named(&self, complete: &[CheckpointId]) -> Result<Names> {
        let mut carried = self.carried.0.lock().unwrap_or_else(PoisonError::into_inner);
        carried.retain(|id, _| complete.contains(id));
        for id in complete {
            if carried.contains_key(id) {
                continue;
            }
            let Some(manifest) = manifest_in(&*self.store, self.folder(*id).dir())? else { continue };
            let mut names = Names::new();
            for (older, name) in manifest.carried() {
                names.entry(older).or_default().insert(name.to_owned());
            }
            carried.insert(*id, names);
        }
        let mut named = Names::new();
        for (older, names) in carried.values().flatten() {
            named.entry(*older).or_default().extend(names.iter().cloned());
        }
        Ok(named)
    }
}
