//! The disk of a simulation: a store in memory, with planned faults, that loses what was not synced when its process dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;

use super::armed::Armed;
use super::disk_entries::entries_of;
use super::fault::Fault;
use super::plan::{Calamity, Fate, FaultPlan};
use super::process::Process;
use crate::api::Store;
use crate::codec::Reader;
use crate::error::{BoxError, Error, Result};
use crate::hook::{Canary, CrashPoint};
use crate::ids::{CheckpointId, Uid};
use crate::snapshot::{self, Call, CallKind, JobOptions, JobStore, MemoryStore, Share, probe};
use crate::state::StateDescriptor;

/// A call of the store that a fault can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskCall {
    /// Takes a job's lock.
    Lock,
    /// Writes a file: all of the next three, of which each can be aimed at.
    Put,
    /// Writes a file's content to a temporary file.
    Write,
    /// Makes the temporary file durable.
    Sync,
    /// Gives it the file's name, durably.
    Rename,
    /// Reads a file, or its size.
    Read,
    /// Reads a directory.
    List,
    /// Deletes a file or a directory.
    Delete,
}

impl DiskCall {
    /// All of them.
    pub const ALL: [DiskCall; 8] = [
        DiskCall::Put,
        DiskCall::Write,
        DiskCall::Sync,
        DiskCall::Rename,
        DiskCall::Read,
        DiskCall::List,
        DiskCall::Delete,
        DiskCall::Lock,
    ];

    /// Whether a call of the store is counted as one of this kind.
    pub(super) fn covers(self, kind: CallKind) -> bool {
        match kind {
            CallKind::Lock => self == DiskCall::Lock,
            CallKind::Write => matches!(self, DiskCall::Put | DiskCall::Write),
            CallKind::Sync => self == DiskCall::Sync,
            CallKind::Rename => self == DiskCall::Rename,
            CallKind::Read => self == DiskCall::Read,
            CallKind::List => self == DiskCall::List,
            CallKind::Delete => self == DiskCall::Delete,
        }
    }
}

/// What a planned fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskFault {
    /// An error; nothing was done.
    Refused,
    /// An error; half of a temporary file is left.
    Torn,
    /// An error of which nobody knows whether it was done: it is seen, and the process's death undoes it.
    Unsynced,
    /// An error of which nobody knows whether it was done: it was.
    MaybeDone,
    /// No error, but the process's death undoes it: a disk that lies.
    Forgotten,
}

impl DiskFault {
    /// The same, as the store knows it.
    pub(super) fn in_store(self) -> snapshot::Fault {
        match self {
            DiskFault::Refused => snapshot::Fault::Before,
            DiskFault::Torn => snapshot::Fault::Torn,
            DiskFault::Unsynced => snapshot::Fault::Unsynced,
            DiskFault::MaybeDone => snapshot::Fault::After,
            DiskFault::Forgotten => snapshot::Fault::Forgotten,
        }
    }
}

#[derive(Debug)]
struct Planned {
    call: DiskCall,
    part: String,
    effect: DiskFault,
    fault: Fault,
}

/// Files in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: MemoryStore,
    planned: Arc<Mutex<Vec<Planned>>>,
    fate: Arc<Shared>,
}

/// A manifest as it was read, and the paths of the files that it asks for.
type ReadManifest = (Arc<[u8]>, Vec<String>);

/// What the disk and the process that uses it have in common.
#[derive(Debug, Default)]
struct Shared {
    armed: Mutex<Armed>,
    /// The process that lives, if one does.
    process: Mutex<Option<Arc<Process>>>,
    /// How many of the next calls are refused.
    refused: AtomicU64,
    /// By path.
    manifests: Mutex<BTreeMap<String, ReadManifest>>,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        let disk = Disk::default();
        let (planned, fate) = (disk.planned.clone(), disk.fate.clone());
        disk.files.on_call(move |call| drawn(&planned, call).or_else(|| fate.drawn(call)));
        disk
    }

    /// The store of a job on this disk.
    pub fn store(&self) -> Store {
        Store::at_hand(self.files.clone())
    }

    /// Plans a fault for those calls whose path contains `part`; they are what the fault counts.
    pub fn plan(&self, call: DiskCall, part: &str, effect: DiskFault, fault: &Fault) {
        let planned = Planned { call, part: part.to_owned(), effect, fault: fault.clone() };
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push(planned);
    }

    /// Replaces the fault plan.
    pub(super) fn arm(&self, plan: FaultPlan) {
        *self.armed() = Armed::new(plan);
    }

    pub(super) fn armed(&self) -> MutexGuard<'_, Armed> {
        self.fate.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fates(&self) -> Vec<Fate> {
        self.armed().fates()
    }

    /// Who uses it from now on.
    pub(super) fn used_by(&self, process: Option<Arc<Process>>) {
        *self.fate.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        self.fate.refused.store(0, Ordering::SeqCst);
    }

    /// The next call is refused.
    pub(super) fn refuse_next(&self) {
        self.fate.refused.fetch_add(1, Ordering::SeqCst);
    }

    /// A file that is not there, though a manifest asks for it: as calls see it, or as a crash would leave it.
    pub(super) fn missing_file(&self) -> Option<String> {
        let mut read = self.fate.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.look(|image| {
            for (path, bytes) in image.iter().filter(|(path, _)| path.ends_with("/manifest")) {
                if read.get(path).is_none_or(|(as_read, _)| !Arc::ptr_eq(as_read, bytes)) {
                    let dir = path.trim_end_matches("/manifest");
                    let files = probe::files_of(dir, bytes);
                    read.insert(path.clone(), (bytes.clone(), files));
                }
                let files = read.get(path).into_iter().flat_map(|(_, files)| files);
                if let Some(missing) = files.into_iter().find(|file| !image.contains_key(*file)) {
                    return Some(missing.clone());
                }
            }
            None
        })
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<String> {
        self.files.files()
    }

    /// Changes a file's bytes, as a failing disk would.
    pub fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.files.damage(path, change);
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Where a fault is planned for it.
    pub fn remove(&self, path: &str) -> Result<()> {
        snapshot::StoreBackend::delete(&self.files, path)
    }

    /// The process dies: what was not synced is gone, and so are its locks.
    pub fn crash(&self) {
        self.files.crash();
    }

    /// What the latest checkpoint of a job holds: its id, and the encoded entries of each state by its operator's uid and name. States
    /// whose entries expire are left out: what is in them depends on the clock, and so on the faults.
    ///
    /// # Errors
    /// Where the job's files cannot be read, or the job runs.
    pub fn state(&self, job: &str) -> Result<Option<(CheckpointId, DiskState)>> {
        self.state_where(job, |_| true)
    }

    /// The same of those states that are wanted.
    pub(super) fn state_where(
        &self,
        job: &str,
        wanted: impl Fn(&StateDescriptor) -> bool,
    ) -> Result<Option<(CheckpointId, DiskState)>> {
        let store = JobStore::open(Arc::new(self.files.clone()), job, &JobOptions::default())?;
        let Some(latest) = store.latest()? else { return Ok(None) };
        let mut found = DiskState::new();
        for uid in latest.operators.keys() {
            let Some(operator) = store.load_operator(&latest, uid, Share { index: 0, parallelism: 1 })? else { continue };
            for (name, (descriptor, kept)) in operator.states.states {
                if descriptor.stamped || !wanted(&descriptor) {
                    continue;
                }
                let blocks = kept.into_blocks().map_err(|error| Error::Engine(format!("state '{name}': {error}")))?;
                let entries: &mut BTreeSet<Vec<u8>> = found.entry((uid.to_string(), name)).or_default();
                entries.extend(blocks.iter().flat_map(|block| entries_of(descriptor.kind, block)));
            }
        }
        Ok(Some((latest.id(), found)))
    }

    /// The keys and values of an operator's keyed state in the latest checkpoint of a job, in no particular order; none where
    /// there is no such state.
    ///
    /// # Errors
    /// Where the job's files cannot be read, or the job runs, or the state holds another type.
    pub fn keyed<K: DeserializeOwned, V: DeserializeOwned>(&self, job: &str, uid: &str, state: &str) -> Result<Vec<(K, V)>> {
        decoded(&self.blocks(job, uid, state)?, |reader| Ok((reader.next()?, reader.next()?)))
    }

    /// The items of an operator's list in the latest checkpoint of a job: of all instances.
    ///
    /// # Errors
    /// As [`Disk::keyed`].
    pub fn list<T: DeserializeOwned>(&self, job: &str, uid: &str, state: &str) -> Result<Vec<T>> {
        decoded(&self.blocks(job, uid, state)?, |reader| reader.next())
    }

    fn blocks(&self, job: &str, uid: &str, state: &str) -> Result<Vec<Vec<u8>>> {
        let store = JobStore::open(Arc::new(self.files.clone()), job, &JobOptions::default())?;
        let Some(latest) = store.latest()? else { return Ok(Vec::new()) };
        let operator = store.load_operator(&latest, &Uid::new(uid), Share { index: 0, parallelism: 1 })?;
        let found = operator.and_then(|mut operator| operator.states.take(state));
        let Some((_, kept)) = found else { return Ok(Vec::new()) };
        let blocks = kept.into_blocks().map_err(|error| Error::Engine(format!("the state '{state}' of '{uid}': {error}")))?;
        Ok(blocks.into_iter().map(|block| block.bytes).collect())
    }
}

/// Objects that were written one behind the other.
fn decoded<T>(blocks: &[Vec<u8>], read: impl Fn(&mut Reader<'_>) -> Result<T, BoxError>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for block in blocks {
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            all.push(read(&mut reader).map_err(|error| Error::StateMismatch {
                problem: format!("the state is not of the type that it is read as: {error}"),
                advice: "read it as the type that it was registered with".into(),
            })?);
        }
    }
    Ok(all)
}

/// The entries of states, by operator and state.
pub type DiskState = BTreeMap<(String, String), BTreeSet<Vec<u8>>>;

impl Shared {
    /// A fault of the plan, or what a dead process's call comes to.
    fn drawn(&self, call: &Call<'_>) -> Option<snapshot::Fault> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        if process.is_dead() || self.refuses() {
            return Some(snapshot::Fault::Before);
        }
        if call.kind == CallKind::Rename && call.path.ends_with("/manifest") {
            match process.come_to(CrashPoint::ManifestWritten) {
                None | Some(Calamity::Cancel) => {}
                Some(Calamity::Panic) => std::panic::resume_unwind(Box::new("a planned panic")),
                Some(Calamity::Death | Calamity::StoreError) => {
                    self.refuses();
                    return Some(snapshot::Fault::Before);
                }
            }
        }
        let unsynced = call.kind == CallKind::Sync && process.is_broken_by(Canary::RenameWithoutSync);
        let planned = process.strikes(|armed| armed.store(call)).map(DiskFault::in_store);
        planned.or(unsynced.then_some(snapshot::Fault::Forgotten))
    }

    /// Whether this call is one to be refused.
    fn refuses(&self) -> bool {
        self.refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

fn drawn(planned: &Mutex<Vec<Planned>>, call: &Call<'_>) -> Option<snapshot::Fault> {
    let planned = planned.lock().unwrap_or_else(PoisonError::into_inner);
    let meant = planned.iter().filter(|planned| planned.call.covers(call.kind) && call.path.contains(&planned.part));
    // Every fault counts the call, also where an earlier one strikes.
    let strikes = meant.fold(None, |first, planned| if planned.fault.strikes() { first.or(Some(planned.effect)) } else { first });
    strikes.map(DiskFault::in_store)
}
