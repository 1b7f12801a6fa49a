//! The disk of a simulation: a store in memory, with planned faults, that loses what was not synced when its process dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::Fault;
use crate::api::Store;
use crate::codec::Reader;
use crate::error::Result;
use crate::ids::CheckpointId;
use crate::snapshot::{self, Call, CallKind, JobOptions, JobStore, MemoryStore, Share};

/// A call of the store that a fault can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// Takes a job's lock.
    Lock,
    /// Writes a file.
    Put,
    /// Reads a file, its size, or a directory.
    Read,
    /// Deletes a file or a directory.
    Delete,
}

/// What a planned fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        let disk = Disk::default();
        let planned = disk.planned.clone();
        disk.files.on_call(move |call| drawn(&planned, call));
        disk
    }

    /// The store of a job on this disk.
    pub fn store(&self) -> Store {
        Store(Arc::new(self.files.clone()))
    }

    /// Plans a fault for those calls whose path contains `part`; they are what the fault counts.
    pub fn plan(&self, call: DiskCall, part: &str, effect: DiskFault, fault: &Fault) {
        let planned = Planned { call, part: part.to_owned(), effect, fault: fault.clone() };
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push(planned);
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

    /// What the latest checkpoint of a job holds: its id, and the encoded entries of each state by its operator's uid and name.
    ///
    /// # Errors
    /// Where the job's files cannot be read, or the job runs.
    pub fn state(&self, job: &str) -> Result<Option<(CheckpointId, DiskState)>> {
        let store = JobStore::open(Arc::new(self.files.clone()), job, &JobOptions::default())?;
        let Some(latest) = store.latest()? else { return Ok(None) };
        let mut found = DiskState::new();
        for uid in latest.operators.keys() {
            let Some(operator) = store.load_operator(&latest, uid, Share { index: 0, parallelism: 1 })? else { continue };
            for (name, (_, blocks)) in operator.states.states {
                let entries: &mut BTreeSet<Vec<u8>> = found.entry((uid.to_string(), name)).or_default();
                entries.extend(blocks.iter().flat_map(|block| entries_of(&block.bytes, block.entries)));
            }
        }
        Ok(Some((latest.id(), found)))
    }
}

/// The entries of states, by operator and state.
pub type DiskState = BTreeMap<(String, String), BTreeSet<Vec<u8>>>;

/// Cuts a block into its entries; what cannot be cut is one.
fn entries_of(bytes: &[u8], entries: u64) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Ok(value) = reader.skip() {
        if value.is_empty() {
            break;
        }
        values.push(value.to_vec());
    }
    let each = values.len() / usize::try_from(entries).unwrap_or(1).max(1);
    values.chunks(each.max(1)).map(<[Vec<u8>]>::concat).collect()
}

fn drawn(planned: &Mutex<Vec<Planned>>, call: &Call<'_>) -> Option<snapshot::Fault> {
    let kind = match call.kind {
        CallKind::Lock => DiskCall::Lock,
        CallKind::Put => DiskCall::Put,
        CallKind::Read => DiskCall::Read,
        CallKind::Delete => DiskCall::Delete,
    };
    let planned = planned.lock().unwrap_or_else(PoisonError::into_inner);
    let meant = planned.iter().filter(|planned| planned.call == kind && call.path.contains(&planned.part));
    // Every fault counts the call, also where an earlier one strikes.
    let strikes = meant.fold(None, |first, planned| if planned.fault.strikes() { first.or(Some(planned.effect)) } else { first });
    Some(match strikes? {
        DiskFault::Refused => snapshot::Fault::Before,
        DiskFault::Torn => snapshot::Fault::Torn,
        DiskFault::Unsynced => snapshot::Fault::Unsynced,
        DiskFault::MaybeDone => snapshot::Fault::After,
        DiskFault::Forgotten => snapshot::Fault::Forgotten,
    })
}
