//! Writes a checkpoint for a job out of entries: to begin the job with state, or to repair what it has kept.
//!
//! Always: the job's lock is held from the first call to the last, so the job does not run; nothing that was there is changed; and the
//! new checkpoint exists when, and only when, `finish` has returned, as every checkpoint does with its manifest. Blocking.

use std::collections::BTreeMap;
use std::fmt;

use super::checkpoint::kind_name;
use super::edits::{Edits, Places};
use super::timed::TimedWriter;
use crate::api::Store;
use crate::error::{BoxError, Error, Result};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::snapshot::{CheckpointDir, EmitSection, FileEntry, JobOptions, JobStore, OperatorManifest, Part};
use crate::state::{StateDescriptor, TIMERS};
use crate::time::Timestamp;

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
/// State of every kind that an operator registers can be written: keyed state, under the job's own hash, so that every key lies where the
/// job looks for it; state that expires, [with its times](StateWriter::with_times); lists of operators, and broadcast states. Keys, values
/// and items must be written with the types that the operator reads them with, or with such as are serialized alike; of a state that has
/// [`Versions`](crate::Versions), with those of a version that it knows, which [`in_version`](StateWriter::in_version) names. Timers and
/// windows can only be kept or dropped.
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
/// All kinds of state, as an operator registers them by these names:
///
/// ```
/// # use tidegate::{Store, Timestamp};
/// use tidegate::stored::StateWriter;
///
/// # fn main() -> tidegate::Result<()> {
/// # let store = Store::memory();
/// let mut writer = StateWriter::seed(&store, "orders", None)?;
/// writer.lists("customers", "last orders", [("ada".to_string(), vec![17u64, 20])])?;
/// writer.maps("customers", "stock", [("ada".to_string(), vec![("tea".to_string(), 3u64), ("salt".to_string(), 1)])])?;
/// writer.reduced("customers", "largest", [("ada".to_string(), 900u64)])?;
/// writer.accumulators("customers", "mean", [("ada".to_string(), (1_800u64, 2u64))])?;
/// let noon = Timestamp::from_millis(1_700_000_000_000);
/// writer.with_times().values("customers", "last seen", [("ada".to_string(), (noon, "desktop"))])?;
/// writer.items("outbox", "unsent", ["one", "two"])?;
/// writer.union_items("readers", "positions", [("a.csv", 100u64), ("b.csv", 7)])?;
/// writer.broadcast("limits", "by shop", [("north".to_string(), 50u64)])?;
/// assert_eq!(writer.finish()?.added, 10);
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
    /// The schema version of what is written.
    pub(super) version: u32,
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
            version: 1,
        })
    }

    /// Says in which version of the program's types all that follows is written: in 1 unless this was called, as states are that are
    /// registered without [`Versions`](crate::Versions). What is written in an older version than the operator works with is made into
    /// the newest when the job starts.
    pub fn in_version(&mut self, version: u32) -> &mut Self {
        self.version = version;
        self
    }

    /// Writes states that expire, each value with the time at which it was written.
    pub fn with_times(&mut self) -> TimedWriter<'_> {
        TimedWriter::new(self)
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

    /// Sees that a state may be written whole, and whose it is. It counts as written when its file is there, so that an error changes nothing.
    pub(super) fn write_whole(&mut self, operator: &str, descriptor: StateDescriptor) -> Result<(Uid, String)> {
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

    /// Sees that the operator has the state, and that it is kept so.
    pub(super) fn describe(&mut self, operator: &str, written: StateDescriptor) -> Result<()> {
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
        let form = |state: &StateDescriptor| (state.kind, state.version, state.stamped);
        match entry.states.iter().find(|known| known.name == state) {
            None => entry.states.push(written),
            Some(known) if form(known) == form(&written) => known.expect(&written)?,
            Some(known) => {
                return Err(refused(
                    format!(
                        "the state '{state}' of operator '{operator}' is kept as {}, and is written as {}",
                        told(known),
                        told(&written)
                    ),
                    "write it as it is kept (in_version names a version, with_times writes times), or drop it first with drop_state",
                ));
            }
        }
        Ok(())
    }
}

/// How a state is kept.
fn told(state: &StateDescriptor) -> String {
    let times = if state.stamped { " with times" } else { "" };
    format!("'{}' in version {}{times}", kind_name(state.kind), state.version)
}

fn no_checkpoint(job: &str, what: &str) -> Error {
    refused(format!("the job '{job}' has {what} in this store"), "look which there are, or begin with StateWriter::seed")
}

pub(super) fn refused(problem: String, advice: &str) -> Error {
    Error::StateRefused { problem, advice: advice.into() }
}
