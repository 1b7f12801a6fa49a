//! The entries of a checkpoint, one after another, without their types.
//!
//! Always: one section is in memory at a time; after an error nothing more comes, so no list is shorter than it should be without an
//! error at its end. Blocking.

use std::fmt;
use std::vec::IntoIter;

use serde::Serialize;

use super::checkpoint::{StoredCheckpoint, kind_name};
use crate::codec::{Datum, Reader};
use crate::error::{BoxError, Result};
use crate::ids::{KeyGroup, Uid};
use crate::snapshot::{FileEntry, Section, SectionReader};

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    operator: Option<String>,
    state: Option<String>,
}

impl Wanted {
    /// All of them.
    pub fn everything() -> Self {
        Wanted::default()
    }

    /// Those of the operator with this uid.
    #[must_use]
    pub fn operator(mut self, uid: impl Into<String>) -> Self {
        self.operator = Some(uid.into());
        self
    }

    /// Those of states with this name.
    #[must_use]
    pub fn state(mut self, name: impl Into<String>) -> Self {
        self.state = Some(name.into());
        self
    }

    fn holds(&self, section: &Section) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.operator, section.operator.as_str()) && is(&self.state, &section.state)
    }
}

/// One entry of a state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// The operator's uid.
    pub operator: Uid,
    /// The state's name.
    pub state: String,
    /// The state's kind, as manifests spell it.
    pub kind: String,
    /// The key group; `None` for what has no key.
    pub group: Option<KeyGroup>,
    /// The operator instance that wrote it.
    pub part: u32,
    /// The key; `None` for what has no key, such as the item of a list.
    pub key: Option<Datum>,
    /// The value, as it is stored. Of a window it is `[window, [trigger, accumulator]]`; of timers, a list of `[domain, time, turn]`.
    pub value: Datum,
}

impl StoredCheckpoint {
    /// Reads the entries of all states that are wanted, in the order of the files.
    pub fn entries(&self, wanted: &Wanted) -> Entries<'_> {
        let sections: Vec<_> = self.dir.sections().filter(|(_, section)| wanted.holds(section)).collect();
        Entries { checkpoint: self, reader: self.dir.reader(), sections: sections.into_iter(), open: None }
    }
}

/// Entries, as they are read. After an error there are no more.
pub struct Entries<'a> {
    checkpoint: &'a StoredCheckpoint,
    reader: SectionReader<'a>,
    sections: IntoIter<(&'a FileEntry, &'a Section)>,
    open: Option<Open<'a>>,
}

/// A section of which some entries are read.
struct Open<'a> {
    section: &'a Section,
    kind: String,
    bytes: Vec<u8>,
    at: usize,
    left: u64,
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("of", &self.checkpoint.id()).finish_non_exhaustive()
    }
}

impl Entries<'_> {
    fn advance(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(open) = self.open.as_mut().filter(|open| open.left > 0) {
                return match open.entry() {
                    Ok(entry) => Ok(Some(entry)),
                    Err(error) => Err(self.reader.damaged(open.section, &error)),
                };
            }
            if let Some(open) = self.open.take()
                && let Err(error) = open.end()
            {
                return Err(self.reader.damaged(open.section, &error));
            }
            let Some((file, section)) = self.sections.next() else { return Ok(None) };
            let block = self.reader.read(file, section)?;
            let kind = self.checkpoint.descriptor(section).map_or_else(|| "unknown".into(), |state| kind_name(state.kind));
            self.open = Some(Open { section, kind, bytes: block.bytes, at: 0, left: block.entries });
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        let next = self.advance();
        if next.is_err() {
            (self.sections, self.open) = (Vec::new().into_iter(), None);
        }
        next.transpose()
    }
}

impl Open<'_> {
    fn entry(&mut self) -> Result<Entry, BoxError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut reader = Reader::new(rest);
        let key = if self.section.group.is_some() { Some(reader.next()?) } else { None };
        let value = reader.next()?;
        self.at += rest.len() - reader.remaining();
        self.left -= 1;
        Ok(Entry {
            operator: self.section.operator.clone(),
            state: self.section.state.clone(),
            kind: self.kind.clone(),
            group: self.section.group,
            part: self.section.part,
            key,
            value,
        })
    }

    /// All entries are read, and nothing is left.
    fn end(&self) -> Result<(), BoxError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            rest => Err(format!("{rest} bytes follow its {} entries", self.section.entries).into()),
        }
    }
}
