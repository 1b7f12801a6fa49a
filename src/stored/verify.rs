//! Whether a checkpoint is what its manifest says: every file, every checksum, every reference, every entry.
//!
//! Always: a fault does not end the search, so all of them are told. What needs the program's types is not looked at: that entries
//! are of the types that operators register, and that keys hash into their key groups; a restore does that. Blocking.

use super::checkpoint::StoredCheckpoint;
use crate::codec::Reader;
use crate::error::{BoxError, Error};
use crate::snapshot::{FileEntry, Section, SectionReader};
use crate::state::Block;

/// What was looked at, and what was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// The snapshot files.
    pub files: u64,
    /// The sections in them.
    pub sections: u64,
    /// The entries that could be read.
    pub entries: u64,
    /// The bytes of all snapshot files, as the manifest says.
    pub bytes: u64,
    /// All that is wrong.
    pub faults: Vec<Error>,
}

impl StoredCheckpoint {
    /// Reads all of it: every checksum is computed, every entry walked over, every reference followed.
    pub fn verify(&self) -> Verified {
        let mut verified = Verified { files: 0, sections: 0, entries: 0, bytes: 0, faults: Vec::new() };
        let mut reader = self.dir.reader();
        for file in &self.dir.manifest().files {
            (verified.files, verified.bytes) = (verified.files + 1, verified.bytes.saturating_add(file.bytes));
            if let Err(error) = self.dir.check_file(file) {
                verified.faults.push(error);
                continue;
            }
            for section in &file.sections {
                self.verify_section(&mut reader, file, section, &mut verified);
            }
        }
        verified
    }

    fn verify_section<'a>(
        &'a self,
        reader: &mut SectionReader<'a>,
        file: &'a FileEntry,
        section: &Section,
        verified: &mut Verified,
    ) {
        verified.sections += 1;
        match reader.read(file, section) {
            Err(error) => verified.faults.push(error),
            Ok(block) => match self.is_known(section).and_then(|()| walked(&block)) {
                Err(error) => verified.faults.push(reader.damaged(section, &error)),
                Ok(()) => verified.entries += block.entries,
            },
        }
    }

    /// Whether the manifest knows what the section belongs to.
    fn is_known(&self, section: &Section) -> Result<(), BoxError> {
        let manifest = self.dir.manifest();
        let operator = manifest.operators.get(&section.operator).ok_or("the manifest knows no such operator")?;
        if section.part >= operator.parallelism {
            return Err(format!("the operator had {} instances, counted from 0", operator.parallelism).into());
        }
        if self.descriptor(section).is_none() {
            return Err("the operator has no such state".into());
        }
        match section.group {
            Some(group) if group.0 >= manifest.job.max_parallelism => {
                Err(format!("the job has {} key groups, counted from 0", manifest.job.max_parallelism).into())
            }
            _ => Ok(()),
        }
    }
}

/// Walks over a section's entries: as many as it says, and nothing is left over.
fn walked(block: &Block) -> Result<(), BoxError> {
    let mut reader = Reader::new(&block.bytes);
    for _ in 0..block.entries {
        reader.skip()?;
        if block.group.is_some() {
            reader.skip()?;
        }
    }
    match reader.remaining() {
        0 => Ok(()),
        rest => Err(format!("{rest} bytes follow its {} entries", block.entries).into()),
    }
}
