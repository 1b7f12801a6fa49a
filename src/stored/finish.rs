//! The end of writing a checkpoint: what stays of the one that it began with is copied, single keys change on the way, and the manifest
//! makes it a checkpoint.
//!
//! Always: sections that do not change are copied as the bytes that they are, one at a time; what fails in the old checkpoint is told
//! as such. Blocking, under the job's lock.

use super::edits::Met;
use super::writer::{StateWriter, Written, refused};
use crate::error::{BoxError, Error, Result};
use crate::ids::Uid;
use crate::snapshot::{CheckpointKind, CheckpointNote, Manifest, Section, SectionOf};
use crate::time::{Clock, SystemClock};

impl StateWriter {
    pub(super) fn complete(&mut self) -> Result<Written> {
        let met = self.copy_base()?;
        self.write_new_keys()?;
        let note = CheckpointNote {
            checkpoint: self.id,
            epoch: self.attempt.epoch,
            kind: CheckpointKind::Checkpoint,
            created: SystemClock::new().wall(),
        };
        let (operators, files) = (std::mem::take(&mut self.operators), std::mem::take(&mut self.files));
        let manifest = Manifest { job: self.job.record().clone(), note, operators, files };
        self.job.write_manifest(&manifest)?;
        Ok(Written { checkpoint: self.id, added: self.added, replaced: met.replaced, removed: met.removed })
    }

    /// Copies what stays of the checkpoint that it begins with, file by file, and makes the changes of single keys on the way.
    fn copy_base(&mut self) -> Result<Met> {
        let mut met = Met::default();
        let Some(base) = self.base.take() else { return Ok(met) };
        let (mut edits, places) = (std::mem::take(&mut self.edits), self.places);
        for file in &base.manifest().files {
            let stays = |of: &(Uid, String)| !self.not_copied.contains_key(of);
            let of = |section: &Section| (section.operator.clone(), section.state.clone());
            let sections: Vec<_> = file.sections.iter().filter(|section| stays(&of(section))).collect();
            if sections.is_empty() {
                continue;
            }
            // What fails in the old file is told as such, and not as a failure to write the new one.
            let mut failed = None;
            let written = self.write_file(&mut |emit| {
                let mut reader = base.reader();
                for section in &sections {
                    let block = reader.read(file, section).map_err(|error| told(&mut failed, error))?;
                    let changed = match edits.get_mut(&of(section)) {
                        None => None,
                        Some(edits) => {
                            edits.applied(&places, &block, &mut met).map_err(|error| told(&mut failed, unfit(section, &error)))?
                        }
                    };
                    let to = SectionOf { operator: &section.operator, state: &section.state, part: section.part };
                    emit(to, changed.as_ref().unwrap_or(&block))?;
                }
                Ok(())
            });
            failed.map_or(written, Err)?;
        }
        self.edits = edits;
        Ok(met)
    }

    /// Writes what was put under keys that were not there.
    fn write_new_keys(&mut self) -> Result<()> {
        let edits = std::mem::take(&mut self.edits);
        if edits.values().all(|edits| edits.left().next().is_none()) {
            return Ok(());
        }
        let (operators, places, mut added) = (self.operators.clone(), self.places, 0);
        self.write_file(&mut |emit| {
            for ((operator, state), edits) in &edits {
                let parallelism = operators.get(operator).map_or(1, |operator| operator.parallelism);
                for block in edits.left() {
                    let part = block.group.map_or(0, |group| places.groups.owner(group, parallelism));
                    emit(SectionOf { operator, state, part }, &block)?;
                    added += block.entries;
                }
            }
            Ok(())
        })?;
        self.added += added;
        Ok(())
    }
}

/// Keeps an error apart, and ends the writing for it.
fn told(failed: &mut Option<Error>, error: Error) -> BoxError {
    let text = error.to_string();
    failed.get_or_insert(error);
    text.into()
}

fn unfit(section: &Section, error: &BoxError) -> Error {
    let group = section.group.map_or(String::new(), |group| format!(" (key group {group})"));
    refused(
        format!("operator '{}', state '{}'{group}: {error}", section.operator, section.state),
        "make changes with the key and value types of the operator",
    )
}
