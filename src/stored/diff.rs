//! What differs between two checkpoints, by operator, state and key.
//!
//! Both are compared piece by piece: a key group of a state at a time, and a large group in several passes, each of which takes the
//! entries whose keys fall to it by a checksum. Always: what is in memory at a time is about [`DIFF_BYTES`], beside one section of
//! each. Blocking.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::checkpoint::StoredCheckpoint;
use crate::codec::{Datum, Reader, decode};
use crate::error::{BoxError, Error, Result};
use crate::ids::{KeyGroup, Uid};
use crate::key::KeyHasher;
use crate::snapshot::{FileEntry, Section};
use crate::state::{Block, StateKind};

/// How many bytes of entries of both checkpoints are compared at a time, about.
pub const DIFF_BYTES: u64 = 64 << 20;

/// An entry that one of two checkpoints does not have, or has otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The operator's uid.
    pub operator: Uid,
    /// The state's name.
    pub state: String,
    /// The key; `None` for the item of a list.
    pub key: Option<Datum>,
    /// What has become of the entry.
    #[serde(flatten)]
    pub what: Changed,
}

/// What has become of an entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Changed {
    /// Only the second checkpoint has it.
    Added {
        /// Its value.
        after: Datum,
    },
    /// Only the first checkpoint has it.
    Removed {
        /// Its value.
        before: Datum,
    },
    /// Its value differs.
    Changed {
        /// The value in the first checkpoint.
        before: Datum,
        /// The value in the second.
        after: Datum,
    },
}

impl StoredCheckpoint {
    /// Compares this checkpoint with `other`, and hands out every entry that differs, in the order of operators, states, key groups
    /// and stored keys. Returns how many there are.
    ///
    /// Values are the same where they are stored as the same bytes, or differ only in the order of maps' entries. Entries of windows
    /// are told apart by key and window. A list is compared as a heap: an item that has only moved is no difference. Checkpoints of
    /// different jobs can be compared too.
    ///
    /// # Errors
    /// Those of reading either checkpoint, and that of `each`.
    pub fn diff<E: From<Error>>(
        &self,
        other: &StoredCheckpoint,
        mut each: impl FnMut(Change) -> Result<(), E>,
    ) -> Result<u64, E> {
        let comparable = self.dir.manifest().job.keys_lie_as_in(&other.dir.manifest().job);
        let places = |checkpoint: &StoredCheckpoint| -> Vec<Place> {
            checkpoint.dir.sections().map(|(_, section)| Place::of(section, comparable)).collect()
        };
        let all: BTreeSet<Place> = places(self).into_iter().chain(places(other)).collect();
        let mut differences = 0;
        for place in &all {
            let sides = [self, other].map(|checkpoint| Side::new(checkpoint, place, comparable));
            let passes = 1 + sides.iter().map(Side::bytes).fold(0, u64::saturating_add) / DIFF_BYTES;
            for pass in 0..passes {
                let [before, after] = &sides;
                let (before, after) = (before.read((pass, passes))?, after.read((pass, passes))?);
                for change in changes(place, before, after)? {
                    differences += 1;
                    each(change)?;
                }
            }
        }
        Ok(differences)
    }
}

/// What is compared at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    operator: Uid,
    state: String,
    keyed: bool,
    /// `None` where there are none, or where the two checkpoints have different ones.
    group: Option<KeyGroup>,
}

impl Place {
    fn of(section: &Section, comparable: bool) -> Place {
        Place {
            operator: section.operator.clone(),
            state: section.state.clone(),
            keyed: section.group.is_some(),
            group: section.group.filter(|_| comparable),
        }
    }
}

/// What makes an entry the same in both checkpoints: its key, as stored; of a window, the window behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    bytes: Vec<u8>,
    key_bytes: usize,
}

/// Values by identity. Mostly one; several where a state keeps several entries of a key.
type Found = BTreeMap<Identity, Vec<Vec<u8>>>;

/// One checkpoint's sections of a place.
struct Side<'a> {
    checkpoint: &'a StoredCheckpoint,
    sections: Vec<(&'a FileEntry, &'a Section)>,
    windows: bool,
}

impl<'a> Side<'a> {
    fn new(checkpoint: &'a StoredCheckpoint, place: &Place, comparable: bool) -> Self {
        let sections: Vec<_> =
            checkpoint.dir.sections().filter(|(_, section)| Place::of(section, comparable) == *place).collect();
        let descriptor = sections.first().and_then(|(_, section)| checkpoint.descriptor(section));
        let windows = descriptor.is_some_and(|state| state.kind == StateKind::Window);
        Side { checkpoint, sections, windows }
    }

    fn bytes(&self) -> u64 {
        self.sections.iter().map(|(_, section)| section.length).fold(0, u64::saturating_add)
    }

    /// The entries that fall to this pass of so many.
    fn read(&self, pass: (u64, u64)) -> Result<Found> {
        let (mut found, mut reader) = (Found::new(), self.checkpoint.dir.reader());
        for (file, section) in &self.sections {
            let block = reader.read(file, section)?;
            self.take(&block, pass, &mut found).map_err(|error| reader.damaged(section, &error))?;
        }
        Ok(found)
    }

    fn take(&self, block: &Block, (pass, passes): (u64, u64), found: &mut Found) -> Result<(), BoxError> {
        let (mut reader, mut scratch) = (Reader::new(&block.bytes), Vec::new());
        for _ in 0..block.entries {
            let (identity, value) = match block.group {
                Some(_) => {
                    let (key, value) = (reader.skip()?, reader.skip()?);
                    let window = if self.windows { mark(value)? } else { &[] };
                    (Identity { bytes: [key, window].concat(), key_bytes: key.len() }, value.to_vec())
                }
                None => (Identity { bytes: reader.skip()?.to_vec(), key_bytes: 0 }, Vec::new()),
            };
            if passes == 1 || SPREAD.hash(&*identity.bytes, &mut scratch)? % passes == pass {
                found.entry(identity).or_default().push(value);
            }
        }
        Ok(())
    }
}

/// Deals entries out to passes.
const SPREAD: KeyHasher = KeyHasher::new(0);

/// The bytes of the first object in a list.
fn mark(value: &[u8]) -> Result<&[u8], BoxError> {
    let list = value.get(1..).ok_or("a window's entry is empty")?;
    Reader::new(list).skip()
}

fn changes(place: &Place, before: Found, mut after: Found) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (identity, before) in before {
        let after = after.remove(&identity).unwrap_or_default();
        compare(place, &identity, before, after, &mut changes)?;
    }
    for (identity, after) in after {
        compare(place, &identity, Vec::new(), after, &mut changes)?;
    }
    Ok(changes)
}

/// Leaves out what both have, and pairs what is left.
fn compare(
    place: &Place,
    identity: &Identity,
    before: Vec<Vec<u8>>,
    mut after: Vec<Vec<u8>>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let mut only_before = Vec::new();
    for value in before {
        match after.iter().position(|other| *other == value) {
            Some(at) => drop(after.swap_remove(at)),
            None => only_before.push(value),
        }
    }
    let (mut before, mut after) = (only_before.into_iter(), after.into_iter());
    loop {
        let what = match (before.next(), after.next()) {
            (None, None) => return Ok(()),
            (Some(before), None) => Changed::Removed { before: datum(place, identity, &before)? },
            (None, Some(after)) => Changed::Added { after: datum(place, identity, &after)? },
            (Some(before), Some(after)) => {
                let (before, after) = (datum(place, identity, &before)?, datum(place, identity, &after)?);
                if before.clone().in_order() == after.clone().in_order() {
                    continue;
                }
                Changed::Changed { before, after }
            }
        };
        let key = identity.bytes.get(..identity.key_bytes).unwrap_or_default();
        let key = if place.keyed { Some(datum(place, identity, key)?) } else { None };
        changes.push(Change { operator: place.operator.clone(), state: place.state.clone(), key, what });
    }
}

/// The object in `bytes`; an item without a key is its own identity.
fn datum(place: &Place, identity: &Identity, bytes: &[u8]) -> Result<Datum> {
    let bytes = if place.keyed { bytes } else { &identity.bytes };
    decode(bytes).map_err(|error| Error::StateMismatch {
        problem: format!("operator '{}', state '{}' has an entry that cannot be shown: {error}", place.operator, place.state),
        advice: "look at the file with a MessagePack reader".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(entries: &[(u8, u8)]) -> Found {
        let mut found = Found::new();
        for (key, value) in entries {
            found.entry(Identity { bytes: vec![*key], key_bytes: 1 }).or_default().push(vec![*value]);
        }
        found
    }

    /// A line for each change.
    fn lines(before: &[(u8, u8)], after: &[(u8, u8)]) -> Vec<String> {
        let place = Place { operator: Uid::new("o"), state: "s".into(), keyed: true, group: None };
        let line = |change: Change| serde_json::to_string(&(change.key, change.what)).unwrap();
        changes(&place, found(before), found(after)).unwrap().into_iter().map(line).collect()
    }

    #[test]
    fn entries_are_told_apart_by_key_and_what_both_have_is_left_out() {
        assert_eq!(lines(&[(1, 1), (2, 2)], &[(2, 2), (1, 1)]), Vec::<String>::new());
        let expected = [
            r#"[1,{"change":"changed","before":5,"after":6}]"#,
            r#"[2,{"change":"removed","before":5}]"#,
            r#"[3,{"change":"added","after":5}]"#,
        ];
        assert_eq!(lines(&[(1, 5), (2, 5)], &[(1, 6), (3, 5)]), expected);
    }

    #[test]
    fn several_entries_of_one_key_are_compared_as_a_heap() {
        assert_eq!(lines(&[(1, 5), (1, 6), (1, 6)], &[(1, 6), (1, 5), (1, 6)]), Vec::<String>::new());
        assert_eq!(lines(&[(1, 5), (1, 6)], &[(1, 6), (1, 6)]), [r#"[1,{"change":"changed","before":5,"after":6}]"#]);
    }

    #[test]
    fn every_entry_falls_to_one_pass_and_passes_are_alike() {
        let mut counts = [0; 7];
        for n in 0..7000u32 {
            let bytes: &[u8] = &n.to_be_bytes();
            counts[(SPREAD.hash(bytes, &mut Vec::new()).unwrap() % 7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
