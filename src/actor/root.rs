//! The root of the tree: starts the others, and knows when the job is over.
//!
//! Always: the job's end is told once, when every region has come to its end; it has finished only when that is durable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;

use super::coordinator::{CoordinatorActor, CoordinatorArgs, CoordinatorMsg};
use super::hooked::enter;
use super::keeper::{Keeper, KeeperArgs, KeeperMsg};
use super::last::{Last, shut_down};
use super::line::{Line, StillWanted, insist};
use super::post::post;
use super::region::{RegionArgs, RegionMsg, RegionSupervisor};
use super::restore::Begun;
use super::status::{JobEnd, JobStatus};
use super::views::Views;
use super::watchdog::watch;
use crate::checkpoint::{self, Purpose, Start};
use crate::config::{Checkpoints, Guarantee, KeepAtEnd, Pipes, Restart};
use crate::error::{Error, Result};
use crate::executor::{Executor, Running};
use crate::hook::{Hooks, Role};
use crate::ids::{CheckpointId, RegionId, TaskId};
use crate::key::KeyHasher;
use crate::operator::Question;
use crate::plan::Plan;
use crate::snapshot::{JobRecord, JobStore, Place, Savepoint};
use crate::supervision::{Event, Outcome};

/// What the root is sent.
pub(crate) enum RootMsg {
    /// A region has come to its end; the checkpoint that was its final one, if it ended well.
    RegionOver { region: RegionId, outcome: Outcome, checkpoint: Option<CheckpointId> },
    /// That the job has finished is durable, or not.
    FinishedWritten(Result<()>),
    /// Another process has taken the job over.
    Fenced(Error),
    /// Someone wants a checkpoint.
    Request(RpcReplyPort<Result<CheckpointId, Error>>),
    /// Someone wants a savepoint, for this purpose.
    Savepoint { place: Place, purpose: Purpose, port: RpcReplyPort<Result<Savepoint, Error>> },
    /// Someone asks an operator.
    Ask(Box<Asking>),
    /// Checkpoints are wanted until this says otherwise.
    Wish(StillWanted),
    /// The user wants it to end within this time, after a last checkpoint, and to hear of that.
    Shutdown { within: Duration, tell: oneshot::Sender<Last> },
    /// The user cancels.
    Cancel,
    /// Nobody holds the job any more: it ends as in a crash.
    Abandon,
    /// Checkpoints that are not wanted after the end are deleted.
    Tidied,
}

/// A question on its way from a handle to a task.
pub(crate) struct Asking {
    pub(crate) task: TaskId,
    pub(crate) question: Question,
    /// Waits for the answer, and gives it up after a while.
    pub(crate) relay: Running,
}

/// How the job's handles reach the root.
pub(crate) type RootRef = ActorRef<RootMsg>;

/// What all actors of a job share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) job: Arc<str>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) store: Option<Arc<JobStore>>,
    /// What is fixed for the job's life, also where it is not kept.
    pub(crate) record: JobRecord,
    /// What the job begins from, until it has a checkpoint of its own.
    pub(crate) begun: Option<Arc<Begun>>,
    /// What may be restored without reading files.
    pub(crate) views: Arc<Views>,
    pub(crate) hasher: KeyHasher,
    pub(crate) restart: Restart,
    pub(crate) pipes: Pipes,
    pub(crate) guarantee: Guarantee,
    pub(crate) epoch: u64,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) status: Arc<JobStatus>,
    pub(crate) hooks: Hooks,
}

/// What the root begins with.
pub(crate) struct RootArgs {
    pub(crate) common: Arc<Common>,
    pub(crate) checkpoints: Checkpoints,
    /// The checkpoint to begin from, and those that are kept.
    pub(crate) restore: Option<CheckpointId>,
    pub(crate) retained: Vec<CheckpointId>,
    /// Checkpoint ids that may be used: above the first, up to the second.
    pub(crate) ids: (u64, u64),
    /// The lines that lead here from outside.
    pub(crate) lines: Vec<Arc<Line>>,
}

/// The root's behaviour.
pub(crate) struct Root;

/// The tree below the root.
pub(crate) struct RootState {
    common: Arc<Common>,
    coordinator: ActorRef<CoordinatorMsg>,
    keeper: ActorRef<KeeperMsg>,
    regions: Vec<ActorRef<RegionMsg>>,
    /// The regions that have not come to their end.
    open: BTreeSet<RegionId>,
    failure: Option<Error>,
    cancelled: bool,
    last: Option<CheckpointId>,
    keep: KeepAtEnd,
    /// Nobody holds the job any more.
    abandoned: bool,
    stage: Stage,
}

/// How far the end is.
enum Stage {
    Running,
    /// It is decided, and checkpoints are being deleted.
    Tidying(JobEnd),
    Over,
}

impl RootState {
    fn cancel(&mut self) {
        post(&self.coordinator, CoordinatorMsg::Event(checkpoint::Event::Stopping));
        for region in &self.regions {
            post(region, RegionMsg::Event(Event::Cancel));
        }
    }

    /// The first failure is the job's.
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
        self.cancel();
    }

    /// Sends a question on its way, and has the answer waited for.
    fn ask(&self, asking: Asking) {
        let Asking { task, question, relay } = asking;
        tokio::spawn(relay);
        let of = self.common.plan.regions.iter().position(|tasks| tasks.contains(&task));
        if let Some(region) = of.and_then(|of| self.regions.get(of)) {
            post(region, RegionMsg::Ask { task, question });
        }
    }

    fn region_over(&mut self, region: RegionId, outcome: Outcome, checkpoint: Option<CheckpointId>, myself: &ActorRef<RootMsg>) {
        self.open.remove(&region);
        self.last = self.last.max(checkpoint);
        match outcome {
            Outcome::Ended => {}
            Outcome::Cancelled => self.cancelled = true,
            Outcome::Failed(error) => self.fail(error),
        }
        if !self.open.is_empty() {
            return;
        }
        match (&self.failure, self.cancelled, self.last) {
            (Some(error), ..) => self.conclude(JobEnd::Failed(error.clone()), myself),
            (None, true, _) => self.conclude(JobEnd::Cancelled, myself),
            (None, false, Some(id)) => post(&self.keeper, KeeperMsg::Finished { id }),
            (None, false, None) => self.conclude(JobEnd::Finished, myself),
        }
    }

    /// The job has come to an end of its own: what becomes of its checkpoints depends on which.
    fn conclude(&mut self, end: JobEnd, myself: &ActorRef<RootMsg>) {
        let keep = match &end {
            JobEnd::Finished => self.keep.finished,
            JobEnd::Cancelled => self.abandoned || self.keep.cancelled,
            JobEnd::Failed(_) => self.keep.failed,
        };
        if keep || self.common.store.is_none() {
            return self.end(end, myself);
        }
        self.stage = Stage::Tidying(end);
        post(&self.keeper, KeeperMsg::DeleteAll);
    }

    fn tidied(&mut self, myself: &ActorRef<RootMsg>) {
        if let Stage::Tidying(end) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.end(end, myself);
        }
    }

    fn end(&mut self, end: JobEnd, myself: &ActorRef<RootMsg>) {
        self.stage = Stage::Over;
        self.common.status.ended(end);
        myself.stop(None);
    }
}

async fn start(args: RootArgs, myself: &ActorRef<RootMsg>) -> Result<RootState, ActorProcessingErr> {
    let RootArgs { common, checkpoints, restore, retained, ids, lines } = args;
    lines.iter().for_each(|line| line.connect(myself));
    let region_ids: Vec<RegionId> = (0..common.plan.regions.len() as u32).map(RegionId).collect();
    let (clock, status) = (common.executor.clock(), common.status.clone());
    let borrowed = common.begun.is_some();
    let start = Start { regions: region_ids.clone(), restore, retained, reserved: ids.0, borrowed };
    let (hooks, store, keep) = (common.hooks.clone(), common.store.clone(), checkpoints.kept_at_end());
    let coordinator = CoordinatorArgs { options: checkpoints, start, reserved_up_to: ids.1, clock, status, store, hooks };
    let (coordinator, _) = Actor::spawn_linked(None, CoordinatorActor, coordinator, myself.get_cell()).await?;
    let keeper = KeeperArgs { common: common.clone(), coordinator: coordinator.clone(), root: myself.clone() };
    let (keeper, _) = Actor::spawn_linked(None, Keeper, keeper, myself.get_cell()).await?;
    let mut regions = Vec::new();
    for (id, tasks) in region_ids.iter().zip(&common.plan.regions) {
        let args = RegionArgs {
            id: *id,
            tasks: tasks.clone(),
            common: common.clone(),
            root: myself.clone(),
            coordinator: coordinator.clone(),
            keeper: keeper.clone(),
        };
        let (region, _) = Actor::spawn_linked(None, RegionSupervisor, args, myself.get_cell()).await?;
        regions.push(region);
    }
    let peers = regions.iter().cloned().zip(common.plan.regions.iter().cloned()).collect();
    post(&coordinator, CoordinatorMsg::Peers { keeper: keeper.clone(), regions: peers });
    for region in &regions {
        post(region, RegionMsg::Event(Event::Start));
    }
    if common.hooks.get().is_none() {
        tokio::spawn(watch(common.status.clone(), regions.clone()));
    }
    let open = region_ids.into_iter().collect();
    Ok(RootState {
        common,
        coordinator,
        keeper,
        regions,
        open,
        failure: None,
        cancelled: false,
        last: None,
        keep,
        abandoned: false,
        stage: Stage::Running,
    })
}

impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(&self, myself: ActorRef<RootMsg>, args: RootArgs) -> Result<RootState, ActorProcessingErr> {
        start(args, &myself).await
    }

    async fn handle(&self, myself: ActorRef<RootMsg>, message: RootMsg, state: &mut RootState) -> Result<(), ActorProcessingErr> {
        enter(&state.common.hooks, Role::Root).await?;
        match message {
            RootMsg::RegionOver { region, outcome, checkpoint } => state.region_over(region, outcome, checkpoint, &myself),
            RootMsg::FinishedWritten(Ok(())) => state.conclude(JobEnd::Finished, &myself),
            RootMsg::FinishedWritten(Err(error)) => state.end(JobEnd::Failed(error), &myself),
            RootMsg::Fenced(error) => state.fail(error),
            RootMsg::Request(port) => post(&state.coordinator, CoordinatorMsg::Request(port)),
            RootMsg::Ask(asking) => state.ask(*asking),
            RootMsg::Wish(still) => drop(tokio::spawn(insist(state.coordinator.clone(), still))),
            RootMsg::Shutdown { within, tell } => {
                drop(tokio::spawn(shut_down(state.coordinator.clone(), myself.clone(), within, tell)));
            }
            RootMsg::Cancel => state.cancel(),
            RootMsg::Abandon => {
                state.abandoned = true;
                state.cancel();
            }
            RootMsg::Tidied => state.tidied(&myself),
            RootMsg::Savepoint { place, purpose, port } => {
                post(&state.coordinator, CoordinatorMsg::Savepoint { place, purpose, port });
            }
        }
        Ok(())
    }

    /// The tree can't go on without one of its branches.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event
            && !matches!(state.stage, Stage::Over)
        {
            state.end(JobEnd::Failed(Error::Engine(format!("an actor of the job failed: {error}"))), &myself);
        }
        Ok(())
    }
}
