//! The job: what a flow is described in, and how it is to run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::restore::Restore;
use super::sources::SourceStream;
use super::stream::Record;
use super::wire::FlowRef;
use crate::actor::{JobSpec, Safety, check};
use crate::config::{Checkpoints, ExponentialDelay, Pipes, Restart};
use crate::error::Result;
use crate::ids::Uid;
use crate::job::{JobHandle, start};
use crate::snapshot::{DirectoryStore, MemoryStore, StoreBackend};
use crate::source::Source;

/// Where a job keeps its checkpoints.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<dyn StoreBackend>);

impl Store {
    /// A store of the user's: see [`StoreBackend`], which has an example.
    pub fn of(backend: impl StoreBackend + 'static) -> Self {
        Store(Arc::new(backend))
    }

    /// A local directory; each job has a directory of its own in it. It is made at the first start.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Store(Arc::new(DirectoryStore::new(path)))
    }

    /// Memory: restarts within the process find it, the next process does not. Clones are the same store.
    pub fn memory() -> Self {
        Store(Arc::new(MemoryStore::new()))
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
    may_be_lost: BTreeSet<Uid>,
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
            may_be_lost: BTreeSet::new(),
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
        let safety = Safety { checkpoints: self.checkpoints.as_ref(), store: self.store.is_some(), restart: &restart };
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

    pub(crate) fn into_spec(self) -> JobSpec {
        JobSpec {
            restart: self.strategy(),
            name: self.name,
            flow: self.flow.take(),
            parallelism: self.parallelism,
            max_parallelism: self.max_parallelism,
            checkpoints: self.checkpoints,
            store: self.store.map(|store| store.0),
            from: self.restore.0,
            may_be_lost: self.may_be_lost,
            pipes: Pipes::default(),
            hash_seed: None,
            hooks: crate::hook::Hooks::default(),
        }
    }
}
