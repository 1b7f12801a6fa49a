//! The files of a job in a store: the record that is written once, the lock, the head, and the end mark.
//!
//! Always: whoever has a [`JobStore`] holds the job's lock; the hash seed and the maximum parallelism never change after the first
//! start; no epoch and no checkpoint id is ever used twice. Blocking calls.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::carried::CarriedFiles;
use super::checkpoints::parse_directory;
use super::folder::parse_savepoint;
use super::head::{Head, HeadDocument};
use super::origin::ORIGIN;
use super::sealed::{corrupt, seal, unseal};
use super::store::{Put, StoreBackend, StoreLock};
use crate::error::{Error, Result};
use crate::ids::CheckpointId;
use crate::key::{HASH_ALGORITHM, KeyGroups, KeyHasher};

pub(super) const JOB_FORMAT: &str = "tidegate-job";
pub(super) const FINISHED_FORMAT: &str = "tidegate-finished";
/// The name of the file.
pub(super) const FINISHED: &str = "finished";

/// Checkpoint ids that are reserved with one write.
const RESERVED_IDS: u64 = 1000;

/// What the files of a job can be opened with; given values must agree with what is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JobOptions {
    /// The maximum parallelism; where none is given the stored one counts, or the default at the first start.
    pub(crate) max_parallelism: Option<u16>,
    /// The hash seed of the first start, for tests; drawn where none is given.
    pub(crate) seed: Option<u64>,
}

/// What is fixed at a job's first start. The file `job`, and part of every manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    /// The job's name.
    pub(crate) job: String,
    /// How keys are hashed.
    pub(crate) hash_algorithm: String,
    /// The seed for it.
    pub(crate) hash_seed: u64,
    /// The number of key groups.
    pub(crate) max_parallelism: u16,
}

impl JobRecord {
    /// What the first start of a job fixes.
    pub(crate) fn first(job: &str, options: &JobOptions) -> Self {
        JobRecord {
            job: job.into(),
            hash_algorithm: HASH_ALGORITHM.into(),
            hash_seed: options.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
            max_parallelism: options.max_parallelism.unwrap_or_else(|| KeyGroups::default().max()),
        }
    }

    /// The job's hash of keys.
    pub(crate) fn hasher(&self) -> KeyHasher {
        KeyHasher::new(self.hash_seed)
    }

    /// The job's key groups.
    pub(crate) fn groups(&self) -> KeyGroups {
        KeyGroups::new(self.max_parallelism)
    }

    /// Whether keys fall into the same key groups as in another job.
    pub(crate) fn keys_lie_as_in(&self, other: &JobRecord) -> bool {
        let place = |record: &JobRecord| (record.hash_algorithm.clone(), record.hash_seed, record.max_parallelism);
        place(self) == place(other)
    }

    /// Refuses state whose keys lie elsewhere.
    fn check_keys(&self, like: &JobRecord) -> Result<()> {
        if self.keys_lie_as_in(like) {
            return Ok(());
        }
        Err(Error::StateMismatch {
            problem: format!(
                "the state to begin from is that of job '{}' with {} key groups, and the store already keeps the job '{}' with another \
                 hash seed or another number of them ({})",
                like.job, like.max_parallelism, self.job, self.max_parallelism
            ),
            advice: "give the job a store, or a name, under which nothing is kept yet".into(),
        })
    }

    /// Refuses a parallelism above the stored maximum.
    ///
    /// # Errors
    /// [`Error::StateMismatch`].
    pub(crate) fn check_parallelism(&self, operator: &str, parallelism: u32) -> Result<()> {
        if parallelism <= u32::from(self.max_parallelism) {
            return Ok(());
        }
        Err(Error::StateMismatch {
            problem: format!(
                "operator '{operator}' has parallelism {parallelism}, and this job's state is kept in {} key groups",
                self.max_parallelism
            ),
            advice: format!(
                "set a parallelism of at most {}; the number of key groups is fixed at a job's first start",
                self.max_parallelism
            ),
        })
    }

    fn check(&self, job: &str, options: &JobOptions, path: &Path) -> Result<()> {
        if self.job != job {
            return Err(Error::StateMismatch {
                problem: format!("'{}' belongs to the job '{}', not to '{job}'", path.display(), self.job),
                advice: "give the job its former name, or use another store".into(),
            });
        }
        if self.hash_algorithm != HASH_ALGORITHM {
            return Err(Error::StateMismatch {
                problem: format!(
                    "'{}' names the key hash '{}', and this program has '{HASH_ALGORITHM}'",
                    path.display(),
                    self.hash_algorithm
                ),
                advice: "run the version of tidegate that wrote it".into(),
            });
        }
        match options.max_parallelism {
            Some(wanted) if wanted != self.max_parallelism => Err(Error::StateMismatch {
                problem: format!(
                    "the maximum parallelism is set to {wanted}, and the state is kept in {} key groups",
                    self.max_parallelism
                ),
                advice: format!("set it to {}, or leave it out: it is fixed at a job's first start", self.max_parallelism),
            }),
            _ => Ok(()),
        }
    }
}

/// The file `finished`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finished {
    checkpoint: CheckpointId,
}

impl Finished {
    /// The final checkpoint.
    pub(super) fn checkpoint(&self) -> CheckpointId {
        self.checkpoint
    }
}

/// The files of one job. Holds the job's lock until it is dropped.
#[derive(Debug)]
pub(crate) struct JobStore {
    pub(super) store: Arc<dyn StoreBackend>,
    pub(super) head: Head,
    /// What complete checkpoints name of older ones' files, as far as it was looked at.
    pub(super) carried: CarriedFiles,
    record: JobRecord,
    _lock: StoreLock,
}

impl JobStore {
    /// Locks the job's directory, and reads its record; writes it at the first start.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it; [`Error::StateMismatch`] where the options do not fit the record, or it is
    /// another job's; [`Error::Corrupt`]; [`Error::Store`].
    pub(crate) fn open(store: Arc<dyn StoreBackend>, job: &str, options: &JobOptions) -> Result<JobStore> {
        JobStore::open_first_like(store, job, options, None)
    }

    /// The same; a first start fixes what was fixed for `like`, whose state it takes up.
    ///
    /// # Errors
    /// Those of [`JobStore::open`]; [`Error::StateMismatch`] where keys lie elsewhere than in `like`.
    pub(crate) fn open_first_like(
        store: Arc<dyn StoreBackend>,
        job: &str,
        options: &JobOptions,
        like: Option<&JobRecord>,
    ) -> Result<JobStore> {
        check_name(job)?;
        let lock = store.lock(&format!("{job}/lock"))?;
        store.clean(job)?;
        let path = format!("{job}/job");
        let found = read_sealed::<JobRecord>(&*store, JOB_FORMAT, &path)?;
        if found.is_none() {
            refuse_lost(&*store, job, &path)?;
        }
        let (first, head) = (found.is_none(), Head::read(store.clone(), job)?);
        let like_it = || like.map(|like| JobRecord { job: job.into(), ..like.clone() });
        let record = found.or_else(like_it).unwrap_or_else(|| JobRecord::first(job, options));
        record.check(job, options, &store.locate(&path))?;
        if first {
            write_sealed(&*store, JOB_FORMAT, &path, Put::New, &record)?;
        } else if !head.is_there() {
            // An earlier start wrote it and came no further: it may not know whether it lasts.
            write_sealed(&*store, JOB_FORMAT, &path, Put::Replace, &record)?;
        }
        like.map_or(Ok(()), |like| record.check_keys(like))?;
        Ok(JobStore { store, head, carried: CarriedFiles::default(), record, _lock: lock })
    }

    /// The same for a job that has been started before; `None`, and nothing is written, where it has not.
    ///
    /// # Errors
    /// Those of [`JobStore::open`].
    pub(crate) fn open_existing(store: Arc<dyn StoreBackend>, job: &str) -> Result<Option<JobStore>> {
        check_name(job)?;
        if store.size(&format!("{job}/job"))?.is_none() && store.list(job)?.is_empty() {
            return Ok(None);
        }
        JobStore::open(store, job, &JobOptions::default()).map(Some)
    }

    /// What is fixed at the job's first start.
    pub(crate) fn record(&self) -> &JobRecord {
        &self.record
    }

    /// Begins an epoch: the number of this process start, above every earlier one. From here on `latest` is the checkpoint that the
    /// job goes on from, whatever an earlier process still writes.
    pub(crate) fn begin_epoch(&self, latest: Option<CheckpointId>) -> Result<u64> {
        self.head.begin(latest)
    }

    /// Begins an epoch in which the latest checkpoint stays what it is, be it damaged or lost, until one is completed.
    pub(crate) fn begin_epoch_beside(&self) -> Result<u64> {
        let latest = self.latest().map(|latest| latest.map(|latest| latest.id()));
        self.head.begin(latest.unwrap_or_else(|_| self.head.document().latest))
    }

    /// Looks whether this process still runs the job, before it touches what may be another's by now.
    ///
    /// # Errors
    /// [`Error::Fenced`] where it does not.
    pub(crate) fn confirm_epoch(&self) -> Result<()> {
        self.head.confirm()
    }

    /// Counts on from a savepoint of another place as well: what it was made with is above nothing that comes later.
    pub(crate) fn count_above(&self, epoch: u64, id: CheckpointId) -> Result<()> {
        let count = |head: &mut HeadDocument| (head.epoch, head.reserved) = (head.epoch.max(epoch), head.reserved.max(id.0));
        self.head.change(count).map(drop)
    }

    /// Reserves checkpoint ids, above every one ever reserved. What is not used of them is a gap, which is normal.
    pub(crate) fn reserve_ids(&self) -> Result<Range<u64>> {
        let there = self.highest_directory()?.max(self.past()?);
        let head = self.head.change(|head| head.reserved = head.reserved.max(there) + RESERVED_IDS)?;
        let end = head.reserved + 1;
        Ok(end - RESERVED_IDS..end)
    }

    /// Marks the job as finished: the commits of its final checkpoint are confirmed, and a rerun does nothing.
    pub(crate) fn write_finished(&self, checkpoint: CheckpointId) -> Result<()> {
        write_sealed(&*self.store, FINISHED_FORMAT, &self.path(FINISHED), Put::Replace, &Finished { checkpoint })
    }

    /// The final checkpoint of a job that has finished, and was not begun anew from an older point since.
    pub(crate) fn finished(&self) -> Result<Option<CheckpointId>> {
        let finished: Option<Finished> = read_sealed(&*self.store, FINISHED_FORMAT, &self.path(FINISHED))?;
        let past = self.past()?;
        Ok(finished.map(|finished| finished.checkpoint).filter(|id| id.0 > past))
    }

    /// The store's path of one of the job's files.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.record.job)
    }
}

/// Refuses a name that is no directory name everywhere.
fn check_name(job: &str) -> Result<()> {
    let mut components = Path::new(job).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == job);
    let portable = !job.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']) && !job.chars().any(char::is_control);
    if plain && portable && job.len() <= 200 {
        return Ok(());
    }
    Err(Error::InvalidFlow {
        problem: format!("the job's name {job:?} cannot be the name of a directory"),
        advice: "use letters, digits, '-', '_' and '.', at most 200 of them".into(),
    })
}

/// A file that every checkpoint and savepoint is preceded by may be missing only where there is none of them, and no mark of one: what
/// it held must not change.
pub(super) fn refuse_lost(store: &dyn StoreBackend, job: &str, path: &str) -> Result<()> {
    let names = store.list(job)?;
    let needs_it =
        |name: &str| parse_directory(name).is_some() || parse_savepoint(name).is_some() || [ORIGIN, FINISHED].contains(&name);
    match names.iter().find(|name| needs_it(name)) {
        None => Ok(()),
        Some(name) => {
            let what = format!("the file is missing, and '{name}' needs it; bring it back, or use another store to begin anew");
            Err(corrupt(&store.locate(path), what))
        }
    }
}

/// Reads a sealed file; `None` where there is none.
pub(super) fn read_sealed<T: DeserializeOwned>(store: &dyn StoreBackend, format: &str, path: &str) -> Result<Option<T>> {
    match store.get(path)? {
        Some(bytes) => unseal(format, &store.locate(path), &bytes).map(Some),
        None => Ok(None),
    }
}

/// Writes a sealed file durably.
pub(super) fn write_sealed<T: Serialize>(
    store: &dyn StoreBackend,
    format: &str,
    path: &str,
    put: Put,
    document: &T,
) -> Result<()> {
    let bytes = seal(format, document).map_err(|error| Error::Engine(format!("a {format} cannot be encoded: {error}")))?;
    store.put(path, put, &mut |out| Ok(out.write_all(&bytes)?))?;
    Ok(())
}
