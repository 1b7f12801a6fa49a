//! The coordinator and the snapshot actor as the root holds them: replaced together when one of them fails.
//!
//! Always: the regions hear of a new pair only after that pair knows what the one before has left, so a region's first word to it is about
//! what it is now. Requests that come in between wait in the handover. Part of the root.

use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};

use super::alarm::Alarm;
use super::coordinator::{CoordinatorActor, CoordinatorArgs, CoordinatorMsg};
use super::event::JobEvent;
use super::handover::{Asker, Handover, Tenure};
use super::keeper::{Keeper, KeeperArgs, KeeperMsg, guarded};
use super::post::post;
use super::region::RegionMsg;
use super::root::{Common, RootMsg, RootState};
use super::settle::{Settled, settle};
use super::status::JobEnd;
use crate::checkpoint::{self, Inherited, Start};
use crate::config::Checkpoints;
use crate::error::{Error, Result};
use crate::hook::Who;
use crate::ids::{CheckpointId, RegionId};
use crate::supervision::{Pair, PairAction, PairEvent};

/// Where the members of a pair are reached.
#[derive(Clone)]
pub(crate) struct PairRef {
    pub(super) coordinator: ActorRef<CoordinatorMsg>,
    pub(super) keeper: ActorRef<KeeperMsg>,
}

/// The pair of a job, and what outlives it.
pub(super) struct PairState {
    machine: Pair,
    options: Checkpoints,
    handover: Arc<Handover>,
    /// None while it is being replaced.
    serving: Option<PairRef>,
    alarm: Alarm,
}

/// What a pair begins with.
pub(super) struct Beginning {
    /// The checkpoint to begin from, and those that are kept.
    pub(super) restore: Option<CheckpointId>,
    pub(super) retained: Vec<CheckpointId>,
    /// Checkpoint ids that may be used: above the first, up to the second.
    pub(super) ids: (u64, u64),
}

/// All regions of the job.
fn regions_of(common: &Common) -> impl Iterator<Item = RegionId> + use<> {
    (0..common.plan.regions.len() as u32).map(RegionId)
}

impl PairState {
    /// Starts the first one.
    pub(super) async fn start(
        common: &Arc<Common>,
        options: Checkpoints,
        beginning: Beginning,
        root: &ActorRef<RootMsg>,
    ) -> Result<(PairState, PairRef), ActorProcessingErr> {
        let handover = Arc::new(Handover::new(regions_of(common), beginning.restore, beginning.ids.0));
        let machine = Pair::first(common.status.watchdog.gives_up_after());
        let alarm = Alarm::new(common.executor.clock());
        let mut pair = PairState { machine, options, handover, serving: None, alarm };
        let serving = pair.appoint(common, beginning, root).await?;
        Ok((pair, serving))
    }

    async fn appoint(
        &mut self,
        common: &Arc<Common>,
        beginning: Beginning,
        root: &ActorRef<RootMsg>,
    ) -> Result<PairRef, ActorProcessingErr> {
        let Beginning { restore, retained, ids } = beginning;
        let (tenure, handover) = (Tenure::begin(self.machine.tenure(), root.clone()), self.handover.clone());
        let regions = regions_of(common).collect();
        let borrowed = common.begun.as_ref().is_some_and(|begun| restore == Some(begun.found.id()));
        let coordinator = CoordinatorArgs {
            options: self.options.clone(),
            start: Start { regions, restore, retained, reserved: ids.0, borrowed },
            reserved_up_to: ids.1,
            clock: common.executor.clock(),
            status: common.status.clone(),
            store: common.store.clone(),
            hooks: common.hooks.clone(),
            handover: handover.clone(),
            tenure: tenure.clone(),
        };
        let (coordinator, _) = Actor::spawn_linked(None, CoordinatorActor, coordinator, root.get_cell()).await?;
        let (common, root) = (common.clone(), root.clone());
        let (above, coordinator_ref) = (root.get_cell(), coordinator.clone());
        let keeper = KeeperArgs { common, coordinator: coordinator_ref, root, handover, _tenure: tenure };
        let (keeper, _) = Actor::spawn_linked(None, Keeper, keeper, above).await?;
        let serving = PairRef { coordinator, keeper };
        self.serving = Some(serving.clone());
        Ok(serving)
    }

    /// Whether one of those that serve is this actor, and what it is called.
    fn member(&self, actor: ActorId) -> Option<&'static str> {
        let pair = self.serving.as_ref()?;
        if pair.coordinator.get_id() == actor {
            return Some("coordinator");
        }
        (pair.keeper.get_id() == actor).then_some("snapshot actor")
    }

    fn dismiss(&mut self) {
        if let Some(pair) = self.serving.take() {
            pair.coordinator.stop(None);
            pair.keeper.stop(None);
        }
    }
}

impl RootState {
    /// Someone asks for a checkpoint or a savepoint.
    pub(super) fn asked(&mut self, asker: Asker) {
        let savepoint = matches!(asker, Asker::Savepoint { .. });
        let token = self.pair.handover.asked(asker);
        self.tell_coordinator(if savepoint { CoordinatorMsg::Savepoint { token } } else { CoordinatorMsg::Request { token } });
    }

    /// Where no pair serves, the next one learns of it by other means.
    pub(super) fn tell_coordinator(&self, message: CoordinatorMsg) {
        if let Some(pair) = &self.pair.serving {
            post(&pair.coordinator, message);
        }
    }

    /// The same.
    pub(super) fn tell_keeper(&self, message: KeeperMsg) {
        if let Some(pair) = &self.pair.serving {
            post(&pair.keeper, message);
        }
    }

    /// An actor below the root has failed.
    pub(super) fn actor_failed(&mut self, actor: ActorId, error: &str, myself: &ActorRef<RootMsg>) {
        if let Some(member) = self.pair.member(actor) {
            let cause = Error::Engine(format!("the {member} failed: {error}"));
            let tenure = self.pair.machine.tenure();
            return self.pair_event(PairEvent::Failed { tenure, cause }, myself);
        }
        // A member that was dismissed may fail on its way out.
        if self.regions.iter().any(|region| region.get_id() == actor) {
            self.end(JobEnd::Failed(Error::Engine(format!("an actor of the job failed: {error}"))), myself);
        }
    }

    /// Does what the machine says; a pair is appointed by [`RootState::settled`], which has what it begins with.
    pub(super) fn pair_event(&mut self, event: PairEvent, myself: &ActorRef<RootMsg>) {
        match self.pair.machine.handle(event, self.common.status.now()) {
            Some(PairAction::Dismiss { cause }) => {
                tracing::warn!(%cause, "the coordinator and the snapshot actor are replaced");
                self.common
                    .hooks
                    .tell_failure(Who::Coordinator, || format!("no checkpoint is taken until it is replaced: {cause}"));
                self.common.status.tell(JobEvent::PairFailed { cause });
                self.pair.dismiss();
            }
            Some(PairAction::Settle { tenure }) => self.settle(tenure, myself),
            Some(PairAction::Fail(error)) => self.end(JobEnd::Failed(error), myself),
            Some(PairAction::Appoint { .. }) | None => {}
        }
        self.set_alarm(myself);
    }

    /// The alarm has rung.
    pub(super) fn tick(&mut self, myself: &ActorRef<RootMsg>) {
        self.pair.alarm.rang();
        self.pair_event(PairEvent::Tick, myself);
    }

    fn set_alarm(&mut self, myself: &ActorRef<RootMsg>) {
        let deadline = self.pair.machine.next_deadline();
        self.pair.alarm.set(deadline, myself, RootMsg::Tick);
    }

    fn settle(&self, tenure: u64, myself: &ActorRef<RootMsg>) {
        let (common, handover, myself) = (self.common.clone(), self.pair.handover.clone(), myself.clone());
        self.common.executor.offload(Box::new(move || {
            let settled = guarded(|| settle(&common, &handover.left()));
            post(&myself, RootMsg::Settled { tenure, settled });
        }));
    }

    /// It is known what the pair before has left, or the store does not say.
    pub(super) async fn settled(
        &mut self,
        tenure: u64,
        settled: Result<Settled>,
        myself: &ActorRef<RootMsg>,
    ) -> Result<(), ActorProcessingErr> {
        let event = PairEvent::Settled { tenure, settled: settled.is_ok() };
        let action = self.pair.machine.handle(event, self.common.status.now());
        self.set_alarm(myself);
        match (settled, action) {
            (Ok(settled), Some(PairAction::Appoint { tenure })) => self.take_over(tenure, settled, myself).await,
            (Ok(_), _) => Ok(()),
            (Err(error), _) => {
                tracing::warn!(%error, "it is not known yet what the coordinator and the snapshot actor have left");
                if let Error::Fenced { .. } = error {
                    self.fail(error.clone());
                }
                self.end_without_pair(error, myself);
                Ok(())
            }
        }
    }

    async fn take_over(&mut self, tenure: u64, settled: Settled, myself: &ActorRef<RootMsg>) -> Result<(), ActorProcessingErr> {
        let Settled { latest, retained, ids, saved, ends_with } = settled;
        let inherited = self.pair.handover.inherited(saved, ends_with);
        let common = self.common.clone();
        let pair = self.pair.appoint(&common, Beginning { restore: latest, retained, ids }, myself).await?;
        common.hooks.tell(Who::Coordinator, || format!("is taken over: its tenure number {tenure}"));
        common.status.tell(JobEvent::PairReplaced { tenure });
        self.introduce(&pair, Some(inherited));
        if self.is_stopping() {
            post(&pair.coordinator, CoordinatorMsg::Event(checkpoint::Event::Stopping));
        }
        self.regions.iter().for_each(|region| post(region, RegionMsg::Pair(pair.clone())));
        self.end_on();
        Ok(())
    }

    /// Tells a pair who there is, before it hears from anyone.
    pub(super) fn introduce(&self, pair: &PairRef, inherited: Option<Inherited>) {
        let regions = self.regions.iter().cloned().zip(self.common.plan.regions.iter().cloned()).collect();
        post(&pair.coordinator, CoordinatorMsg::Peers { keeper: pair.keeper.clone(), regions, inherited });
    }
}
