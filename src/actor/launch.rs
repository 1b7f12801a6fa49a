//! From a described job to a running tree: checks, and what is begun with.
//!
//! Always: what can be refused is refused before an epoch is taken. Blocks while it reads the store, so it runs on the job's own
//! thread.

use std::collections::BTreeSet;
use std::sync::Arc;

use ractor::{Actor, ActorRef};
use tokio::task::JoinHandle;

use super::beginning::{Asked, StartPoint, begin};
use super::event::JobEvent;
use super::keeper::guarded;
use super::line::Line;
use super::root::{Common, Root, RootArgs, RootMsg};
use super::status::{JobEnd, JobStatus};
use super::told::name_tasks;
use super::views::Views;
use crate::config::{Checkpoints, Pipes, Restart, Watchdog};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::hook::Hooks;
use crate::ids::Uid;
use crate::key::KeyGroups;
use crate::plan::{Addresses, Flow, Plan, compile};
use crate::snapshot::{JobOptions, StoreBackend};

/// A job as it was described.
#[derive(Debug)]
pub(crate) struct JobSpec {
    pub(crate) name: String,
    pub(crate) flow: Flow,
    pub(crate) parallelism: u32,
    pub(crate) max_parallelism: Option<u16>,
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) store: Option<Arc<dyn StoreBackend>>,
    pub(crate) restart: Restart,
    pub(crate) watchdog: Watchdog,
    /// What to begin from.
    pub(crate) from: StartPoint,
    /// Operators whose state may be lost where the flow has them no more.
    pub(crate) may_be_lost: BTreeSet<Uid>,
    pub(crate) pipes: Pipes,
    /// The seed of the key hash at the very first start; drawn unless given.
    pub(crate) hash_seed: Option<u64>,
    /// The lines that inputs have to its root.
    pub(crate) lines: Vec<Arc<Line>>,
    /// Who takes a hand in it: a test kit.
    pub(crate) hooks: Hooks,
}

/// A job that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) status: Arc<JobStatus>,
    /// Where its operators can be asked.
    pub(crate) addresses: Addresses,
    /// The root of its tree, and its end; none where it had finished before.
    pub(crate) root: Option<(ActorRef<RootMsg>, JoinHandle<()>)>,
}

/// Checks a job without starting it.
///
/// # Errors
/// [`Error::InvalidFlow`].
pub(crate) fn check(flow: Flow, parallelism: u32, max_parallelism: Option<u16>, safety: &Safety<'_>) -> Result<Plan> {
    safety.check()?;
    compile(flow, parallelism, max_parallelism.map_or_else(KeyGroups::default, KeyGroups::new))
}

/// What a job survives by: checkpoints, a place for them, and restarts.
pub(crate) struct Safety<'a> {
    pub(crate) checkpoints: Option<&'a Checkpoints>,
    pub(crate) store: bool,
    pub(crate) restart: &'a Restart,
    pub(crate) watchdog: &'a Watchdog,
    /// Somebody waits for receipts.
    pub(crate) receipts: bool,
}

impl Safety<'_> {
    fn check(&self) -> Result<()> {
        self.restart.check()?;
        self.watchdog.check()?;
        if self.receipts && !self.store {
            return Err(Error::InvalidFlow {
                problem: "an input gives receipts for what is durable, and there is no store in which anything would be".into(),
                advice: "give the job one with .store(Store::directory(…))".into(),
            });
        }
        let Some(checkpoints) = self.checkpoints else { return Ok(()) };
        if !self.store {
            return Err(Error::InvalidFlow {
                problem: "checkpoints are asked for, and there is no store to keep them in".into(),
                advice: "give the job one with .store(Store::directory(…))".into(),
            });
        }
        checkpoints.check()
    }
}

/// Starts a job.
///
/// # Errors
/// What the flow or the store is refused for.
pub(crate) async fn launch(spec: JobSpec, executor: Arc<dyn Executor>) -> Result<Launched> {
    let (checkpoints, receipts) = (spec.checkpoints.as_ref(), !spec.lines.is_empty());
    let (restart, watchdog) = (&spec.restart, &spec.watchdog);
    let safety = Safety { checkpoints, store: spec.store.is_some(), restart, watchdog, receipts };
    let mut plan = check(spec.flow, spec.parallelism, spec.max_parallelism, &safety)?;
    let interval = spec.checkpoints.as_ref().and_then(Checkpoints::interval);
    let status = Arc::new(JobStatus::new(&spec.name, &plan, (spec.watchdog, interval), executor.clock()));
    let options = JobOptions { max_parallelism: spec.max_parallelism, seed: spec.hash_seed };
    let asked = Asked { job: &spec.name, options, from: spec.from, may_be_lost: &spec.may_be_lost, plan: &plan };
    let Some(beginning) = guarded(|| begin(spec.store, asked))? else {
        status.ended(JobEnd::Finished);
        return Ok(Launched { status, addresses: Addresses::none(), root: None });
    };
    plan.groups = beginning.record.groups();
    name_tasks(&plan, &spec.hooks);
    let hasher = beginning.record.hasher();
    let addresses = Addresses::of(&plan, hasher);
    let checkpoints = spec.checkpoints.unwrap_or_else(Checkpoints::manual);
    let common = Common {
        job: spec.name.into(),
        views: Arc::new(Views::new(&checkpoints, &plan.regions)),
        plan: Arc::new(plan),
        store: beginning.store,
        record: beginning.record,
        begun: beginning.begun,
        hasher,
        restart: spec.restart,
        pipes: spec.pipes,
        guarantee: checkpoints.guarantee(),
        epoch: beginning.epoch,
        executor,
        status: status.clone(),
        hooks: spec.hooks,
    };
    status.tell(JobEvent::Started { epoch: beginning.epoch });
    let args = RootArgs {
        common: Arc::new(common),
        checkpoints,
        restore: beginning.restore,
        retained: beginning.retained,
        ids: beginning.ids,
        lines: spec.lines,
    };
    let root =
        Actor::spawn(None, Root, args).await.map_err(|error| Error::Engine(format!("the job could not be started: {error}")))?;
    Ok(Launched { status, addresses, root: Some(root) })
}
