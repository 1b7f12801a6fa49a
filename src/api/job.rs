//! The job: what a flow is described in, and how it is to run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::restore::Restore;
use super::sources::SourceStream;
use super::stream::Record;
use super::wire::FlowRef;
use crate::actor::{JobSpec, Line, Safety, check};
use crate::config::{Checkpoints, ExponentialDelay, Pipes, Restart, Watchdog};
use crate::error::Result;
use crate::ids::Uid;
use crate::job::{JobHandle, start};
use crate::snapshot::{DirectoryStore, MemoryStore, Patience, PatientStore, StoreBackend};
use crate::source::Source;

/// Where a job keeps its checkpoints.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) backend: Arc<dyn StoreBackend>,
    /// How a job waits for it; none where it can't hang.
    patience: Option<Patience>,
}

impl Store {
    /// A store of the user's: see [`StoreBackend`], which has an example.
    pub fn of(backend: impl StoreBackend + 'static) -> Self {
        Store { backend: Arc::new(backend), patience: Some(Patience::default()) }
    }

    /// A local directory; each job has a directory of its own in it. It is made at the first start.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Store::of(DirectoryStore::new(path))
    }

    /// Memory: restarts within the process find it, the next process does not. Clones are the same store.
    pub fn memory() -> Self {
        Store::at_hand(MemoryStore::new())
    }

    /// One whose calls do no more than look into memory.
    pub(crate) fn at_hand(backend: impl StoreBackend + 'static) -> Self {
        Store { backend: Arc::new(backend), patience: None }
    }

    /// The longest that a job waits for a call of the store, or, while it writes a file, for each 256 KiB of it. Default: 60 s.
    ///
    /// A call that has not come back by then is an error, and what it was to change may have changed all the same. The call itself
    /// cannot be stopped: it keeps its thread until it comes back. Once sixteen hang like that, further calls are refused at once; deletions, which a
    /// job can do without longest, once eight do.
    /// A store in memory is not waited for.
    ///
    /// ```
    /// use tidegate::{Job, Store, millis, secs};
    ///
    /// let store = Store::directory("/mnt/shared/state").timeout(secs(20)).retries(3, millis(200));
    /// let job = Job::new("orders").store(store);
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.get_or_insert_default().timeout = timeout;
        self
    }

    /// How often a job makes a call again that has failed, and how long it waits before it does so for the first time; twice as long
    /// each time after. Default: no retries, because what a local disk refuses once it refuses twice.
    ///
    /// A call is only made again where that is the same as making it once. Restarts and the next checkpoint, which try again as well,
    /// do so anew, with all that it costs.
    #[must_use]
    pub fn retries(mut self, retries: u32, pause: Duration) -> Self {
        let patience = self.patience.get_or_insert_default();
        (patience.retries, patience.pause) = (retries, pause);
        self
    }

    /// The store as a job uses it.
    pub(crate) fn with_patience(self) -> Arc<dyn StoreBackend> {
        match self.patience {
            Some(patience) => Arc::new(PatientStore::new(self.backend, patience)),
            None => self.backend,
        }
    }
}

/// A flow under description, with the options of the job that will run it.
#[derive(Debug)]
pub struct Job {
    name: String,
    flow: FlowRef,
    parallelism: u32,
    max_parallelism: Option<u16>,
    workers: Option<usize>,
    checkpoints: Option<Checkpoints>,
    store: Option<Store>,
    restart: Option<Restart>,
    watchdog: Watchdog,
    may_be_lost: BTreeSet<Uid>,
    /// The lines of its inputs.
    lines: Mutex<Vec<Arc<Line>>>,
    restore: Restore,
}

impl Job {
    /// A job without operators. The name is that of its directory in the store.
    pub fn new(name: impl Into<String>) -> Self {
        Job {
            name: name.into(),
            flow: FlowRef::default(),
            parallelism: 1,
            max_parallelism: None,
            workers: None,
            checkpoints: None,
            store: None,
            restart: None,
            watchdog: Watchdog::default(),
            may_be_lost: BTreeSet::new(),
            lines: Mutex::default(),
            restore: Restore::latest(),
        }
    }

    /// How many instances of each operator run side by side, unless an operator has a parallelism of its own. Default: 1.
    #[must_use]
    pub fn parallelism(mut self, parallelism: u32) -> Self {
        self.parallelism = parallelism;
        self
    }

    /// The highest parallelism that the job's state can ever be restored at; fixed at the first start. Default: 128.
    #[must_use]
    pub fn max_parallelism(mut self, max_parallelism: u16) -> Self {
        self.max_parallelism = Some(max_parallelism);
        self
    }

    /// How many worker threads the job has. Default: one for each core.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// When checkpoints are taken. They need a store. Default: only when asked for, and at the end of the data.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Where checkpoints are kept. Without a store nothing is, and a restart begins anew.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// What happens after a failure. Default: [`ExponentialDelay`](crate::ExponentialDelay) where checkpoints are taken periodically, else
    /// [`Restart::never`].
    #[must_use]
    pub fn restart(mut self, restart: impl Into<Restart>) -> Self {
        self.restart = Some(restart.into());
        self
    }

    /// When a task that makes no progress is reported and its region fails, and when the job counts as unhealthy.
    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// Gives up the state of operators that the flow has no more, by their uids. Default: none.
    ///
    /// A checkpoint may hold state of an operator that is not in the flow: because it was taken out on purpose, or because its uid was
    /// changed by mistake. The start is refused then, and says which uids they are; those that are named here are let go. Nothing of
    /// them is in the next checkpoint: so even if the operator comes back, its state does not. Each such loss is logged as a warning.
    /// A name that stays here after that does no harm, and does nothing for an operator that is in the flow.
    ///
    /// Positions of a source and output of a sink that is prepared and not committed are state as well.
    #[must_use]
    pub fn allow_lost_state<U: Into<String>>(mut self, uids: impl IntoIterator<Item = U>) -> Self {
        self.may_be_lost.extend(uids.into_iter().map(|uid| Uid::new(uid.into())));
        self
    }

    /// What the job begins from. Default: [`Restore::latest`].
    ///
    /// Any other choice counts for this start, however often the job has run: what was there before is of the past then, and output that
    /// was committed after the chosen point is repeated. Until the job has a checkpoint of its own since, the chosen point stays the one
    /// that restarts go back to, in this process and, without a word, in the next. So say it once, to begin: a service that says it at
    /// each of its starts goes back each time.
    ///
    /// State is found by uid, for any parallelism up to the maximum, and what the flow has no more has to be
    /// [given up](Self::allow_lost_state) by name. A job without a checkpoint yet takes the savepoint's hash seed and maximum parallelism
    /// over; one that has both must have the same.
    #[must_use]
    pub fn restore_from(mut self, restore: Restore) -> Self {
        self.restore = restore;
        self
    }

    /// Adds a source. `name` is its uid as well, unless one is given.
    pub fn source<S: Source>(&self, name: &str, source: S) -> SourceStream<S::Item>
    where
        S::Item: Record,
    {
        SourceStream::add(&self.flow, name, source)
    }

    /// Checks the flow and the options without starting anything.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`](crate::Error::InvalidFlow), with what to change.
    pub fn check(self) -> Result<()> {
        let restart = self.strategy();
        let receipts = !self.take_lines().is_empty();
        let (checkpoints, watchdog) = (self.checkpoints.as_ref(), &self.watchdog);
        let safety = Safety { checkpoints, store: self.store.is_some(), restart: &restart, watchdog, receipts };
        check(self.flow.take(), self.parallelism, self.max_parallelism, &safety).map(drop)
    }

    /// Starts the job: from its latest checkpoint, or, where there is none, from the beginning, unless
    /// [another point](Self::restore_from) is chosen. A job that has finished does nothing.
    ///
    /// The job runs on threads of its own; the future may be awaited on any runtime. It is ready when all operators of the first
    /// attempt have read their state and are open, or when the attempt has failed and is to be made again.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`](crate::Error::InvalidFlow) where the flow can't run, [`Error::Locked`](crate::Error::Locked) where
    /// another process runs the job, and what is wrong with the store or the state in it.
    pub async fn start(self) -> Result<JobHandle> {
        let workers = self.workers;
        start(self.into_spec(), workers).await
    }

    #[cfg(feature = "testing")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What was asked for; else a job that takes checkpoints by itself goes on by itself.
    fn strategy(&self) -> Restart {
        let periodic = self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.interval().is_some());
        let default = || if periodic { ExponentialDelay::default().into() } else { Restart::never() };
        self.restart.clone().unwrap_or_else(default)
    }

    /// Notes the line of an input.
    pub(super) fn add_line(&self, line: Arc<Line>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn take_lines(&self) -> Vec<Arc<Line>> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn into_spec(self) -> JobSpec {
        JobSpec {
            lines: self.take_lines(),
            restart: self.strategy(),
            watchdog: self.watchdog,
            name: self.name,
            flow: self.flow.take(),
            parallelism: self.parallelism,
            max_parallelism: self.max_parallelism,
            checkpoints: self.checkpoints,
            store: self.store.map(Store::with_patience),
            from: self.restore.0,
            may_be_lost: self.may_be_lost,
            pipes: Pipes::default(),
            hash_seed: None,
            hooks: crate::hook::Hooks::default(),
        }
    }
}
