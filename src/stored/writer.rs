//! Writes a checkpoint for a job out of entries: to begin the job with state, or to repair what it has kept.
//!
//! Always: the job's lock is held from the first call to the last, so the job does not run; nothing that was there is changed; and the
//! new checkpoint exists when, and only when, `finish` has returned, as every checkpoint does with its manifest. Blocking.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::kind_name;
use super::edits::{Edits, Places, unwritable};
use super::grouped::{BLOCK_BYTES, Grouped};
use crate::api::Store;
use crate::codec::encode;
use crate::error::{BoxError, Error, Result};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::key::Key;
use crate::snapshot::{CheckpointDir, EmitSection, FileEntry, JobOptions, JobStore, OperatorManifest, Part, SectionOf};
use crate::state::{Block, StateDescriptor, StateKind, TIMERS};
use crate::time::Timestamp;

/// The schema version of what is written here.
const VERSION: u32 = 1;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The new checkpoint, which the job's next start goes on from.
    pub checkpoint: CheckpointId,
    /// Entries that the checkpoint before it did not have, or that are of a state that was written whole.
    pub added: u64,
    /// Entries whose value was replaced by [`StateWriter::put`].
    pub replaced: u64,
    /// Entries that were removed by [`StateWriter::remove`].
    pub removed: u64,
}

/// Makes a checkpoint for a job, from which [`Job::start`](crate::Job::start) goes on.
///
/// Keyed values can be written, under the job's own hash, so that every key lies where the job looks for it; and the lists of
/// operators. Keys, values and items must be written with the types that the operator reads them with, or with such as are
/// serialized alike. Timers and windows can only be kept or dropped.
///
/// Writing takes the job's lock: a job that runs is refused. What was written and not finished is no checkpoint, and the job's next
/// start removes it.
///
/// A job begins with what another program has counted:
///
/// ```
/// # use tidegate::Store;
/// use tidegate::stored::{ACCUMULATORS, StateWriter};
///
/// # fn main() -> tidegate::Result<()> {
/// # let store = Store::memory();
/// let mut writer = StateWriter::seed(&store, "orders", Some(64))?;
/// writer.values("by-customer", ACCUMULATORS, [("ada".to_string(), 3u64), ("bob".to_string(), 5)])?;
/// writer.finish()?;
/// # Ok(())
/// # }
/// ```
///
/// One key of a job's latest checkpoint is put right:
///
/// ```
/// # use tidegate::Store;
/// # use tidegate::stored::{ACCUMULATORS, StateWriter};
/// # fn main() -> tidegate::Result<()> {
/// # let store = Store::memory();
/// # let mut writer = StateWriter::seed(&store, "orders", None)?;
/// # writer.values("by-customer", ACCUMULATORS, [("ada".to_string(), 3u64), ("bob".to_string(), 5)])?;
/// # writer.finish()?;
/// let mut writer = StateWriter::repair(&store, "orders", None)?;
/// writer.put("by-customer", ACCUMULATORS, &"ada".to_string(), &4u64)?;
/// writer.remove("by-customer", ACCUMULATORS, &"bob".to_string())?;
/// let written = writer.finish()?;
/// assert_eq!((written.replaced, written.removed), (1, 1));
/// # Ok(())
/// # }
/// ```
pub struct StateWriter {
    pub(super) job: JobStore,
    pub(super) id: CheckpointId,
    pub(super) attempt: Attempt,
    pub(super) places: Places,
    /// What it begins with.
    pub(super) base: Option<CheckpointDir>,
    pub(super) operators: BTreeMap<Uid, OperatorManifest>,
    /// States of which nothing is copied.
    pub(super) not_copied: BTreeMap<(Uid, String), Fate>,
    pub(super) edits: BTreeMap<(Uid, String), Edits>,
    pub(super) files: Vec<FileEntry>,
    pub(super) added: u64,
}

/// Why nothing of a state is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    WrittenWhole,
    Dropped,
}

impl fmt::Debug for StateWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateWriter")
            .field("job", &self.job.record().job)
            .field("checkpoint", &self.id)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl StateWriter {
    /// Begins with nothing, for a job that has no checkpoint yet. Its maximum parallelism is fixed by this, as by a first start: to
    /// the default of 128 where none is given and none was fixed before.
    ///
    /// # Errors
    /// [`Error::Locked`] while the job runs; [`Error::StateRefused`] where it has a checkpoint or has finished;
    /// [`Error::StateMismatch`] where another maximum parallelism was fixed before; [`Error::Corrupt`]; [`Error::Store`].
    pub fn seed(store: &Store, job: &str, max_parallelism: Option<u16>) -> Result<Self> {
        let files = JobStore::open(store.backend.clone(), job, &JobOptions { max_parallelism, seed: None })?;
        match (files.list()?.last(), files.origin()?) {
            (Some(id), _) => Err(refused(
                format!("the job '{job}' has checkpoint {id}, whose state a new beginning would lose"),
                "change what it has with StateWriter::repair, or seed a job of another name or in another store",
            )),
            (None, Some(begun)) => Err(refused(
                format!("the job '{job}' goes on from savepoint {}, whose state a new beginning would lose", begun.checkpoint()),
                "let the job run until it has a checkpoint, and change that with StateWriter::repair; or seed a job of another name, or in \
                 another store",
            )),
            (None, None) => StateWriter::new(files, None),
        }
    }

    /// Begins with all that a checkpoint of the job holds; with its latest one where none is named. The checkpoint itself stays as it
    /// is.
    ///
    /// To go back to an older one repeats the output that was committed after it.
    ///
    /// # Errors
    /// [`Error::Locked`] while the job runs; [`Error::StateRefused`] where it has no such checkpoint or has finished;
    /// [`Error::Corrupt`] where the checkpoint is damaged; [`Error::Store`].
    pub fn repair(store: &Store, job: &str, checkpoint: Option<CheckpointId>) -> Result<Self> {
        let files = JobStore::open_existing(store.backend.clone(), job)?.ok_or_else(|| no_checkpoint(job, "no state"))?;
        let id = match checkpoint {
            Some(id) if !files.list()?.contains(&id) => return Err(no_checkpoint(job, &format!("no complete checkpoint {id}"))),
            Some(id) => id,
            None => files.latest()?.ok_or_else(|| no_checkpoint(job, "no complete checkpoint"))?.id(),
        };
        let base = CheckpointDir::open(store.backend.clone(), &format!("{job}/chk-{id}"))?;
        StateWriter::new(files, Some(base))
    }

    fn new(job: JobStore, base: Option<CheckpointDir>) -> Result<Self> {
        if let Some(id) = job.finished()? {
            return Err(refused(
                format!("the job '{}' has finished with checkpoint {id}, so that its next start does nothing", job.record().job),
                "run a job of another name or in another store, and seed that",
            ));
        }
        let attempt = Attempt { epoch: job.begin_epoch_beside()?, n: 0 };
        let id = CheckpointId(job.reserve_ids()?.start);
        let places = Places { hasher: job.record().hasher(), groups: job.record().groups() };
        let operators = base.as_ref().map(|base| base.manifest().operators.clone()).unwrap_or_default();
        Ok(StateWriter {
            job,
            id,
            attempt,
            places,
            base,
            operators,
            not_copied: BTreeMap::new(),
            edits: BTreeMap::new(),
            files: Vec::new(),
            added: 0,
        })
    }

    /// Writes the whole state `state` of the operator with this uid, a value for each key, in the place of what it held. Returns how
    /// many entries there are.
    ///
    /// The entries are taken one by one; about 64 MiB of them are in memory at a time, and 8 bytes for each key.
    ///
    /// # Errors
    /// [`Error::StateRefused`] where the state was written before or is of another kind; [`Error::Store`], also where a key comes
    /// twice, or a key or value cannot be written.
    pub fn values<K: Key, V: Serialize>(
        &mut self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        let of = self.write_whole(operator, StateDescriptor::new(state, StateKind::Value, VERSION).keyed_by::<K>())?;
        let (places, mut entries, mut count) = (self.places, Some(entries.into_iter()), 0);
        self.write_file(&mut |emit| {
            let (mut grouped, mut scratch, mut seen) = (Grouped::default(), Vec::new(), HashSet::new());
            let section = SectionOf { operator: &of.0, state: &of.1, part: 0 };
            for (key, value) in entries.take().into_iter().flatten() {
                count += 1;
                let (hash, group) = places.of(&key, &mut scratch)?;
                if !seen.insert(hash) {
                    return Err(twice(&of, count, &key));
                }
                grouped.add(group, (&key, &value), &mut |block| emit(section, block))?;
            }
            grouped.finish(&mut |block| emit(section, block))
        })?;
        self.not_copied.insert(of, Fate::WrittenWhole);
        self.added += count;
        Ok(count)
    }

    /// Writes the whole list `state` of the operator with this uid, in the place of what it held. Returns how many items there are.
    ///
    /// A list is dealt out to the operator's instances in contiguous shares. All items are in memory, encoded.
    ///
    /// # Errors
    /// [`Error::StateRefused`] where the state was written before or is of another kind, or an item cannot be written;
    /// [`Error::Store`].
    pub fn items<T: Serialize>(&mut self, operator: &str, state: &str, items: impl IntoIterator<Item = T>) -> Result<u64> {
        let mut encoded = Vec::new();
        for item in items {
            let mut bytes = Vec::new();
            encode(&item, &mut bytes).map_err(|error| unwritable(&error))?;
            encoded.push(bytes);
        }
        let (uid, name) = self.write_whole(operator, StateDescriptor::new(state, StateKind::List, VERSION))?;
        let parallelism = self.operators.get(&uid).map_or(1, |operator| operator.parallelism.max(1));
        let count = encoded.len() as u64;
        let share = encoded.len().div_ceil(parallelism as usize).max(1);
        self.write_file(&mut |emit| {
            for (part, items) in (0..).zip(encoded.chunks(share)) {
                emit_list(SectionOf { operator: &uid, state: &name, part }, items, emit)?;
            }
            Ok(())
        })?;
        self.not_copied.insert((uid, name), Fate::WrittenWhole);
        self.added += count;
        Ok(count)
    }

    /// Sets the value of one key.
    ///
    /// # Errors
    /// [`Error::StateRefused`] where the state was written whole or is of another kind, or the key or value cannot be written.
    pub fn put<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        operator: &str,
        state: &str,
        key: &K,
        value: &V,
    ) -> Result<()> {
        let places = self.places;
        self.edits_of::<K>(operator, state)?.put(&places, key, value)
    }

    /// Removes one key, if it is there.
    ///
    /// # Errors
    /// Those of [`StateWriter::put`].
    pub fn remove<K: Key>(&mut self, operator: &str, state: &str, key: &K) -> Result<()> {
        let places = self.places;
        self.edits_of::<K>(operator, state)?.remove(&places, key)
    }

    /// Drops a state with all that it held, whatever its kind; does nothing where there is none.
    pub fn drop_state(&mut self, operator: &str, state: &str) {
        let of = (Uid::new(operator), state.to_owned());
        if let Some(operator) = self.operators.get_mut(&of.0) {
            operator.states.retain(|known| known.name != state);
        }
        self.edits.remove(&of);
        self.not_copied.insert(of, Fate::Dropped);
    }

    /// Drops an operator with all its states, as if it had never been part of the job; does nothing where there is none.
    pub fn drop_operator(&mut self, operator: &str) {
        let uid = Uid::new(operator);
        let states = self.operators.remove(&uid).map(|operator| operator.states).unwrap_or_default();
        for state in states {
            self.edits.remove(&(uid.clone(), state.name.clone()));
            self.not_copied.insert((uid.clone(), state.name), Fate::Dropped);
        }
    }

    /// Completes the checkpoint, durably: the job's next start goes on from it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the checkpoint that it began with is damaged; [`Error::Store`], also where an entry beside a changed
    /// one is not of the types that the change was made with. Where an error comes, the job is as it was before.
    pub fn finish(mut self) -> Result<Written> {
        let written = self.complete();
        match &written {
            // A manifest that may be there must not lose its files.
            Ok(_) | Err(Error::Store { maybe_done: true, .. }) => {}
            Err(_) => drop(self.job.delete_checkpoint(self.id)),
        }
        written
    }

    pub(super) fn write_file(&mut self, fill: &mut dyn FnMut(&mut EmitSection<'_>) -> Result<(), BoxError>) -> Result<()> {
        let task = TaskId { chain: self.files.len() as u32, index: 0 };
        let file = self.job.write_sections(self.id, task, self.attempt, fill)?;
        self.files.push(file);
        Ok(())
    }

    /// Sees that a state may be written whole. It counts as written when its file is there, so that an error changes nothing.
    fn write_whole(&mut self, operator: &str, descriptor: StateDescriptor) -> Result<(Uid, String)> {
        let (of, state) = ((Uid::new(operator), descriptor.name.clone()), descriptor.name.clone());
        self.describe(operator, descriptor)?;
        if self.not_copied.get(&of) == Some(&Fate::WrittenWhole) || self.edits.contains_key(&of) {
            return Err(refused(
                format!("the state '{state}' of operator '{operator}' is written more than once"),
                "hand all its entries over in one call, or change single keys",
            ));
        }
        Ok(of)
    }

    fn edits_of<K: Key>(&mut self, operator: &str, state: &str) -> Result<&mut Edits> {
        self.describe(operator, StateDescriptor::new(state, StateKind::Value, VERSION).keyed_by::<K>())?;
        let of = (Uid::new(operator), state.to_owned());
        if self.not_copied.get(&of) == Some(&Fate::WrittenWhole) {
            return Err(refused(
                format!("a key of the state '{state}' of operator '{operator}' is changed, and the state was written whole"),
                "hand the changed entries over with the others",
            ));
        }
        Ok(self.edits.entry(of).or_insert_with(Edits::of_keys::<K>))
    }

    /// Sees that the operator has the state, and that it is kept so.
    fn describe(&mut self, operator: &str, written: StateDescriptor) -> Result<()> {
        let state = &*written.name;
        if state == TIMERS || state.is_empty() || operator.is_empty() {
            return Err(refused(
                format!("the state '{state}' of operator '{operator}' cannot be written"),
                "name the operator's uid and one of its states; timers can only be kept, or dropped with drop_state",
            ));
        }
        let entry = self.operators.entry(Uid::new(operator)).or_insert_with(|| OperatorManifest {
            parallelism: 1,
            parts: vec![Part { ended: false, watermark: Timestamp::NONE }],
            watermark: Timestamp::NONE,
            states: Vec::new(),
        });
        match entry.states.iter().find(|known| known.name == state) {
            None => entry.states.push(written),
            Some(known) if known.stamped => {
                return Err(refused(
                    format!(
                        "the values of the state '{state}' of operator '{operator}' are kept with their times, because they expire"
                    ),
                    "drop the state first with drop_state, and write it whole: its values live from the next start on",
                ));
            }
            Some(known) if (known.kind, known.version) == (written.kind, written.version) => known.expect(&written)?,
            Some(known) => {
                let (kept, version) = (kind_name(known.kind), known.version);
                return Err(refused(
                    format!(
                        "the state '{state}' of operator '{operator}' is kept as '{kept}' in version {version}, and is written as '{}' in \
                         version {VERSION}",
                        kind_name(written.kind)
                    ),
                    "write it as it is kept, or drop it first with drop_state",
                ));
            }
        }
        Ok(())
    }
}

/// Hands out the items of one instance, in blocks.
fn emit_list(of: SectionOf<'_>, items: &[Vec<u8>], emit: &mut EmitSection<'_>) -> Result<(), BoxError> {
    let mut block = Block { group: None, entries: 0, bytes: Vec::new() };
    for item in items {
        block.bytes.extend_from_slice(item);
        block.entries += 1;
        if block.bytes.len() >= BLOCK_BYTES {
            emit(of, &block)?;
            (block.entries, block.bytes) = (0, Vec::new());
        }
    }
    emit(of, &block)
}

fn twice<K: Serialize>(of: &(Uid, String), at: u64, key: &K) -> BoxError {
    let mut bytes = Vec::new();
    let shown = encode(key, &mut bytes).map(|()| crate::codec::shown(&bytes).join(", ")).unwrap_or_default();
    format!("operator '{}', state '{}': entry {at} has a key that came before: {shown}; hand over each key once", of.0, of.1)
        .into()
}

fn no_checkpoint(job: &str, what: &str) -> Error {
    refused(format!("the job '{job}' has {what} in this store"), "look which there are, or begin with StateWriter::seed")
}

pub(super) fn refused(problem: String, advice: &str) -> Error {
    Error::StateRefused { problem, advice: advice.into() }
}
