//! The coordinator's actor: feeds the machine, does what it asks for.
//!
//! It talks to tasks through their region's supervisor, and to the store through the keeper.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::alarm::Alarm;
use super::event::JobEvent;
use super::handover::{Asker, Handover, Tenure};
use super::hooked::enter;
use super::keeper::KeeperMsg;
use super::post::post;
use super::region::RegionMsg;
use super::savepoints::Target;
use super::status::JobStatus;
use crate::checkpoint::{AckAnswer, Action, Coordinator, Ending, Event, Inherited, Purpose, Reason, Start};
use crate::config::Checkpoints;
use crate::error::{BoxError, Error};
use crate::hook::{Canary, CrashPoint, Hooks, Role, Who};
use crate::ids::{CheckpointId, RegionId, TaskId};
use crate::snapshot::{JobStore, Savepoint, TaskEntry};
use crate::supervision;
use crate::task::Command;
use crate::time::{Clock, Moment};

/// What the coordinator is sent.
pub(crate) enum CoordinatorMsg {
    /// Who there is to talk to, and what the coordinator before has left; comes first.
    Peers { keeper: ActorRef<KeeperMsg>, regions: Peers, inherited: Option<Inherited> },
    /// For the machine.
    Event(Event<TaskEntry>),
    /// Someone wants a checkpoint.
    Request { token: u64 },
    /// Someone wants a savepoint.
    Savepoint { token: u64 },
    /// Whether it can be written where it is to lie.
    Looked { token: u64, purpose: Purpose, looked: Result<(), Error> },
    /// The alarm.
    Tick,
}

/// The supervisors of the regions, in order, with their tasks.
pub(crate) type Peers = Vec<(ActorRef<RegionMsg>, Vec<TaskId>)>;

/// What the coordinator begins with.
pub(crate) struct CoordinatorArgs {
    pub(crate) options: Checkpoints,
    pub(crate) start: Start,
    pub(crate) reserved_up_to: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) status: Arc<JobStatus>,
    pub(crate) store: Option<Arc<JobStore>>,
    pub(crate) hooks: Hooks,
    pub(super) handover: Arc<Handover>,
    pub(super) tenure: Tenure,
}

/// The coordinator's behaviour.
pub(crate) struct CoordinatorActor;

/// The machine and who it talks to.
pub(crate) struct CoordinatorState {
    machine: Coordinator<TaskEntry>,
    clock: Arc<dyn Clock>,
    status: Arc<JobStatus>,
    hooks: Hooks,
    alarm: Alarm,
    keeper: Option<ActorRef<KeeperMsg>>,
    regions: Vec<ActorRef<RegionMsg>>,
    region_of: BTreeMap<TaskId, RegionId>,
    store: Option<Arc<JobStore>>,
    /// What outlives this coordinator.
    handover: Arc<Handover>,
    under_way: BTreeMap<CheckpointId, UnderWay>,
    _tenure: Tenure,
}

/// A checkpoint that has begun.
struct UnderWay {
    since: Moment,
    /// The bytes of its snapshot files, once the manifest is written.
    bytes: u64,
}

impl CoordinatorState {
    fn feed(&mut self, event: Event<TaskEntry>, myself: &ActorRef<CoordinatorMsg>) -> Result<(), BoxError> {
        let now = self.clock.now();
        match &event {
            Event::RegionUp { region, .. } => self.handover.runs(*region),
            Event::RegionDown { region } => self.handover.fails(*region),
            _ => {}
        }
        let actions = self.machine.handle(event, now);
        for (id, reason) in self.machine.take_failed() {
            self.status.tell(JobEvent::CheckpointFailed { id, reason: reason.to_string(), counts: reason.counts() });
        }
        for action in actions {
            self.act(action, now)?;
        }
        if let (Some(hook), Some(over)) = (self.hooks.get(), self.machine.over_bounds()) {
            hook.broken(over);
        }
        self.alarm.set(self.machine.next_deadline(), myself, CoordinatorMsg::Tick);
        Ok(())
    }

    fn keeper(&self, message: KeeperMsg) {
        if let Some(keeper) = &self.keeper {
            post(keeper, message);
        }
    }

    fn all_regions(&self, message: impl Fn() -> RegionMsg) {
        for region in &self.regions {
            post(region, message());
        }
    }

    fn region(&self, region: RegionId, message: RegionMsg) {
        if let Some(region) = self.regions.get(region.0 as usize) {
            post(region, message);
        }
    }

    fn act(&mut self, action: Action<TaskEntry>, now: Moment) -> Result<(), BoxError> {
        match action {
            Action::ReserveIds { .. } => self.keeper(KeeperMsg::ReserveIds),
            Action::Trigger { id, sources } => {
                let regions = sources.iter().filter_map(|(task, _)| self.region_of.get(task)).copied().collect();
                self.handover.begins(id, regions);
                self.hooks.crash(CrashPoint::BeforeTrigger)?;
                self.hooks.tell(Who::Coordinator, || format!("checkpoint {id} begins"));
                self.status.tell(JobEvent::CheckpointBegun { id });
                self.under_way.insert(id, UnderWay { since: now, bytes: 0 });
                for (task, attempt) in sources {
                    let Some(region) = self.region_of.get(&task) else { continue };
                    self.region(*region, RegionMsg::ToTask { task, attempt, command: Command::Trigger(id) });
                }
            }
            Action::Savepoint { id, token, purpose } => self.savepoint_begins(id, token, purpose),
            Action::StandStill { id } => {
                self.handover.ends(Ending::StandingStill);
                self.all_regions(|| RegionMsg::StandStill(id));
            }
            Action::GoOn => {
                self.handover.ends(Ending::NotYet);
                self.all_regions(|| RegionMsg::GoOn);
            }
            Action::Drain { sources } => {
                self.handover.ends(Ending::Draining);
                self.hooks.tell(Who::Coordinator, || "has the sources read no more: the job drains".into());
                for (task, attempt) in sources {
                    let Some(region) = self.region_of.get(&task) else { continue };
                    self.region(*region, RegionMsg::ToTask { task, attempt, command: Command::Drain });
                }
            }
            Action::StartAnew(reason) => {
                self.handover.ends(Ending::NotYet);
                let cause =
                    Error::CheckpointRefused { reason: format!("the savepoint that the job was to end with failed: {reason}") };
                self.all_regions(|| RegionMsg::Event(supervision::Event::StartAnew { cause: cause.clone() }));
            }
            Action::Leave { id } => {
                self.hooks.tell(Who::Coordinator, || format!("savepoint {id} is complete, and the job ends with it"));
                self.under_way.remove(&id);
                self.handover.ends(Ending::Left(id));
                let savepoint = self.handover.place_of(id);
                self.all_regions(|| RegionMsg::Leave { id, savepoint: savepoint.clone() });
            }
            Action::Acked { task, id, answer } => {
                self.hooks.tell(Who::Task(task), || format!("its part of checkpoint {id} is acknowledged: {answer:?}"));
                trace_ack(task, id, answer);
            }
            Action::WriteManifest { id, parts, carried } => {
                let entries: Vec<_> = parts.into_iter().map(|(_, entry)| entry).collect();
                if let Some(under_way) = self.under_way.get_mut(&id) {
                    under_way.bytes = entries.iter().filter_map(|entry| entry.file.as_ref()).map(|file| file.bytes).sum();
                }
                if self.hooks.breaks(Canary::NotifyBeforeManifest) {
                    self.all_regions(|| RegionMsg::Complete(id));
                }
                self.handover.is_written(id, &carried);
                self.keeper(KeeperMsg::WriteManifest { id, entries, carried });
            }
            Action::ResolveManifest { id } => self.keeper(KeeperMsg::ResolveManifest { id }),
            Action::NotifyComplete { id, regions } => {
                self.hooks.crash(CrashPoint::ManifestDurable)?;
                self.hooks.tell(Who::Coordinator, || format!("checkpoint {id} is complete: its manifest is durable"));
                self.status.completed(id);
                // One that turned out later to be complete is no longer under way.
                let cost = self.under_way.remove(&id).map(|UnderWay { since, bytes }| (now.since(since), bytes));
                cost.into_iter().for_each(|(took, bytes)| self.status.cost(took, bytes));
                let (took, bytes) = cost.unwrap_or_default();
                self.status.tell(JobEvent::CheckpointCompleted { id, took, bytes });
                tracing::debug!(checkpoint = %id, "complete");
                regions.iter().for_each(|region| self.region(*region, RegionMsg::Complete(id)));
                self.handover.announced(id, &regions);
            }
            Action::NotifyAborted { id, regions } => {
                self.hooks.tell(Who::Coordinator, || format!("checkpoint {id} is given up"));
                self.status.failed_checkpoints.add(1);
                self.under_way.remove(&id);
                regions.into_iter().for_each(|(region, latest)| self.region(region, RegionMsg::Aborted(id, latest)));
                self.handover.is_over(id);
            }
            Action::Discard(entry) => self.keeper(KeeperMsg::Discard(entry)),
            Action::DeleteCheckpoint(id) => {
                self.handover.is_deleted(id);
                self.keeper(KeeperMsg::Delete(id));
            }
            Action::Answer { token, answer } => self.answer(token, answer),
            Action::RestoreFrom { region, point } => {
                self.hooks.tell(Who::Region(region), || match point {
                    Some(id) => format!("goes back to checkpoint {id}"),
                    None => "goes back to the beginning: there is no complete checkpoint".into(),
                });
                self.handover.is_restored(region, point);
                self.region(region, RegionMsg::Event(supervision::Event::RestorePoint(point)));
            }
            Action::FinalDone(id) => {
                self.handover.ends(Ending::Final(id));
                self.all_regions(|| RegionMsg::Finish(id));
            }
            Action::FailJob(reason) => {
                let cause =
                    Error::CheckpointRefused { reason: format!("too many checkpoints failed in a row; the last one: {reason}") };
                self.all_regions(|| RegionMsg::Event(supervision::Event::Failed { cause: cause.clone() }));
            }
        }
        Ok(())
    }

    /// Notes where a savepoint is written: the keeper looks there.
    fn savepoint_begins(&mut self, id: CheckpointId, token: u64, purpose: Purpose) {
        let Some((place, ..)) = self.handover.wanted(token) else { return };
        // The place was looked at when it was asked for.
        let Ok(folder) = place.folder(self.store.as_deref(), id) else { return };
        self.handover.aims(id, token, Target { folder, purpose });
    }

    /// A savepoint is asked for: whether it can be written there is looked at first.
    fn ask_savepoint(&mut self, token: u64) {
        let Some((place, purpose, is_taken)) = self.handover.wanted(token) else { return };
        if is_taken {
            let reason = "another savepoint is being written there: name another directory".into();
            return self.refuse(token, Error::SavepointFailed { place: place.shown(), reason });
        }
        self.keeper(KeeperMsg::Look { place, token, purpose });
    }

    fn looked(
        &mut self,
        token: u64,
        purpose: Purpose,
        looked: Result<(), Error>,
        myself: &ActorRef<CoordinatorMsg>,
    ) -> Result<(), BoxError> {
        match (looked, purpose) {
            (Err(error), _) => self.refuse(token, error),
            (Ok(()), Purpose::Stop { drain }) => self.feed(Event::Stop { token, drain }, myself)?,
            (Ok(()), Purpose::Savepoint | Purpose::Recovery) => self.feed(Event::Savepoint { token }, myself)?,
        }
        Ok(())
    }

    fn refuse(&mut self, token: u64, error: Error) {
        if let Some(Asker::Savepoint { port, .. }) = self.handover.take(token) {
            heard(port.send(Err(error)).is_ok());
        }
    }

    fn answer(&mut self, token: u64, answer: Result<CheckpointId, Reason>) {
        match self.handover.take(token) {
            None => {}
            Some(Asker::Checkpoint(port)) => {
                let answer = answer.map_err(|reason| Error::CheckpointRefused { reason: reason.to_string() });
                heard(port.send(answer).is_ok());
            }
            Some(Asker::Savepoint { place, port, .. }) => {
                if let Ok(id) = answer {
                    self.under_way.remove(&id);
                    self.handover.is_over(id);
                }
                let refused = |reason: Reason| Error::SavepointFailed { place: place.shown(), reason: reason.to_string() };
                let savepoint = answer.map_err(refused).and_then(|id| Savepoint::at(&place, self.store.as_deref(), id));
                heard(port.send(savepoint).is_ok());
            }
        }
    }
}

fn heard(heard: bool) {
    if !heard {
        tracing::debug!("nobody waits for the checkpoint that was asked for any more");
    }
}

fn trace_ack(task: TaskId, id: CheckpointId, answer: AckAnswer) {
    tracing::trace!(%task, checkpoint = %id, ?answer, "acknowledged");
}

impl Actor for CoordinatorActor {
    type Msg = CoordinatorMsg;
    type State = CoordinatorState;
    type Arguments = CoordinatorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        args: CoordinatorArgs,
    ) -> Result<CoordinatorState, ActorProcessingErr> {
        let mut machine = Coordinator::new(args.options, args.start);
        if args.hooks.breaks(Canary::StaleAttempt) {
            machine.accept_stale();
        }
        let mut state = CoordinatorState {
            machine,
            alarm: Alarm::new(args.clock.clone()),
            clock: args.clock,
            status: args.status,
            hooks: args.hooks,
            keeper: None,
            regions: Vec::new(),
            region_of: BTreeMap::new(),
            store: args.store,
            handover: args.handover,
            under_way: BTreeMap::new(),
            _tenure: args.tenure,
        };
        state.feed(Event::Reserved { up_to: args.reserved_up_to }, &myself)?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        message: CoordinatorMsg,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        enter(&state.hooks, Role::Coordinator).await?;
        match message {
            CoordinatorMsg::Peers { keeper, regions, inherited } => {
                state.keeper = Some(keeper);
                for (id, (region, tasks)) in regions.into_iter().enumerate() {
                    state.regions.push(region);
                    state.region_of.extend(tasks.into_iter().map(|task| (task, RegionId(id as u32))));
                }
                if let Some(inherited) = inherited {
                    state.feed(Event::TakeOver(inherited), &myself)?;
                }
            }
            CoordinatorMsg::Event(event) => state.feed(event, &myself)?,
            CoordinatorMsg::Request { token } => state.feed(Event::Request { token }, &myself)?,
            CoordinatorMsg::Savepoint { token } => state.ask_savepoint(token),
            CoordinatorMsg::Looked { token, purpose, looked } => state.looked(token, purpose, looked, &myself)?,
            CoordinatorMsg::Tick => {
                state.alarm.rang();
                state.feed(Event::Tick, &myself)?;
            }
        }
        Ok(())
    }
}
