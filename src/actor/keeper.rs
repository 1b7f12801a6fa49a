//! The keeper, or snapshot actor: everything that is written to the store while the job runs.
//!
//! Always: what is acknowledged is durable. The work is done on threads that may block; its outcome goes to the coordinator. A
//! task's part is written while its presence is held, so that the task is not gone before. The views of what is complete may stay
//! in memory, for a restart.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::coordinator::CoordinatorMsg;
use super::handover::{Handover, Tenure};
use super::hooked::{enter, post_control};
use super::post::post;
use super::presence::Presence;
use super::region::RegionMsg;
use super::root::{Common, RootMsg};
use super::savepoints::{self, Target};
use super::told::of_parts;
use crate::checkpoint::{Carried, Event, Purpose, Refusal, Written};
use crate::error::{Error, Result, blamed, chain_text, panic_text};
use crate::hook::{Control, CrashPoint, Role, Who};
use crate::ids::{CheckpointId, Uid};
use crate::snapshot::{
    CheckpointKind, CheckpointNote, JobStore, Manifest, OperatorEntry, OperatorSnapshot, Place, TaskEntry, TaskSnapshot,
};
use crate::supervision;
use crate::task::TaskView;

/// What the keeper is sent.
pub(crate) enum KeeperMsg {
    /// Make a task's part durable, and acknowledge it.
    Persist(Box<Part>),
    ReserveIds,
    WriteManifest {
        id: CheckpointId,
        entries: Vec<TaskEntry>,
        carried: Carried,
    },
    /// Make a complete savepoint the one that the job ends with, after a pause: it may be so already.
    MarkLater {
        id: CheckpointId,
    },
    Mark {
        id: CheckpointId,
    },
    /// Find out whether a manifest is there; until it is known.
    ResolveManifest {
        id: CheckpointId,
    },
    /// The same, after a pause.
    ResolveLater {
        id: CheckpointId,
    },
    Discard(TaskEntry),
    Delete(CheckpointId),
    /// A savepoint is wanted there: is that possible?
    Look {
        place: Place,
        token: u64,
        purpose: Purpose,
    },
    /// The job is over, and its checkpoints are not wanted any more.
    DeleteAll,
    /// Every commit is confirmed: note that the job has finished.
    Finished {
        id: CheckpointId,
    },
}

/// A task's part of a checkpoint.
pub(crate) struct Part {
    pub(crate) view: TaskView,
    /// The operators of the task.
    pub(crate) uids: Arc<[Uid]>,
    pub(super) presence: Presence,
    pub(super) region: ActorRef<RegionMsg>,
}

/// What the keeper works with. Where the job keeps nothing, parts are made durable as far as sinks are concerned, and nothing is
/// written.
pub(crate) struct KeeperArgs {
    pub(crate) common: Arc<Common>,
    pub(crate) coordinator: ActorRef<CoordinatorMsg>,
    pub(crate) root: ActorRef<RootMsg>,
    pub(super) handover: Arc<Handover>,
    /// While a call is under way, the keeper is not gone.
    pub(super) _tenure: Tenure,
}

/// The keeper's behaviour.
pub(crate) struct Keeper;

/// Between two attempts to find out whether a manifest was written.
const RESOLVE_PAUSE: Duration = Duration::from_millis(200);
/// Ids that a job without a store may use at once: they need not be kept.
pub(super) const UNKEPT_IDS: u64 = u64::MAX / 2;

impl Actor for Keeper {
    type Msg = KeeperMsg;
    type State = Arc<KeeperArgs>;
    type Arguments = KeeperArgs;

    async fn pre_start(&self, _: ActorRef<KeeperMsg>, args: KeeperArgs) -> Result<Arc<KeeperArgs>, ActorProcessingErr> {
        Ok(Arc::new(args))
    }

    async fn handle(
        &self,
        myself: ActorRef<KeeperMsg>,
        message: KeeperMsg,
        keeper: &mut Arc<KeeperArgs>,
    ) -> Result<(), ActorProcessingErr> {
        enter(&keeper.common.hooks, Role::Keeper).await?;
        match message {
            KeeperMsg::ResolveLater { id } => later(myself, KeeperMsg::ResolveManifest { id }),
            KeeperMsg::MarkLater { id } => later(myself, KeeperMsg::Mark { id }),
            message => {
                let (keeper, target) = (keeper.clone(), keeper.target_of(&message));
                let executor = keeper.common.executor.clone();
                executor.offload(Box::new(move || keeper.work(message, target, &myself)));
            }
        }
        Ok(())
    }
}

/// Sends a message after a pause.
fn later(to: ActorRef<KeeperMsg>, message: KeeperMsg) {
    tokio::spawn(async move {
        tokio::time::sleep(RESOLVE_PAUSE).await;
        post(&to, message);
    });
}

impl KeeperArgs {
    /// Where what a message is about is written, if it is a savepoint.
    fn target_of(&self, message: &KeeperMsg) -> Option<Target> {
        let id = match message {
            KeeperMsg::Persist(part) => part.view.checkpoint,
            KeeperMsg::Discard(entry) => entry.checkpoint,
            KeeperMsg::WriteManifest { id, .. } | KeeperMsg::Mark { id } | KeeperMsg::Delete(id) => *id,
            _ => return None,
        };
        self.handover.target(id)
    }

    fn work(&self, message: KeeperMsg, target: Option<Target>, myself: &ActorRef<KeeperMsg>) {
        match message {
            KeeperMsg::Persist(part) => self.persist(*part, target),
            KeeperMsg::ReserveIds => self.reserve(),
            KeeperMsg::WriteManifest { id, entries, carried } => match target {
                None => self.write_manifest(id, entries, &carried),
                Some(target) => self.write_savepoint(id, entries, &target, myself),
            },
            KeeperMsg::Mark { id } => target.into_iter().for_each(|target| self.mark(id, &target, true, myself)),
            KeeperMsg::ResolveManifest { id } | KeeperMsg::ResolveLater { id } => self.resolve(id, myself),
            KeeperMsg::Discard(entry) => self.discard(&entry, target),
            KeeperMsg::Delete(id) => {
                self.delete(id, target);
                self.tell(Event::Deleted);
            }
            KeeperMsg::Finished { id } => {
                let written = guarded(|| self.common.store.as_ref().map_or(Ok(()), |store| store.write_finished(id)));
                post(&self.root, RootMsg::FinishedWritten(written));
            }
            KeeperMsg::Look { place, token, purpose } => {
                let looked = guarded(|| savepoints::look(&place, self.common.store.as_deref()));
                post(&self.coordinator, CoordinatorMsg::Looked { token, purpose, looked });
            }
            KeeperMsg::DeleteAll => {
                self.delete_all();
                post(&self.root, RootMsg::Tidied);
            }
            KeeperMsg::MarkLater { .. } => {}
        }
    }

    fn discard(&self, entry: &TaskEntry, target: Option<Target>) {
        match target {
            Some(target) => tidied("discard a part of a savepoint", || target.folder.discard(entry)),
            None => {
                self.common.views.refused(entry);
                self.tidy("discard a part", |store| store.discard(entry));
            }
        }
    }

    fn delete(&self, id: CheckpointId, target: Option<Target>) {
        if let Some(target) = target {
            return tidied("remove a savepoint that failed", || target.folder.delete());
        }
        self.common.views.given_up(id);
        self.tidy("delete a checkpoint", |store| store.delete_checkpoint(id));
        if let Some(begun) = self.common.begun.as_ref().filter(|begun| begun.claimed && begun.found.id() == id) {
            tidied("delete a savepoint that was claimed", || begun.found.folder().delete());
        }
    }

    fn delete_all(&self) {
        let Some(store) = &self.common.store else { return };
        // What another process runs by now is another's.
        let ids = guarded(|| store.confirm_epoch().and_then(|()| store.list())).unwrap_or_else(|error| {
            tracing::warn!(%error, "could not list the checkpoints that are to be deleted");
            Vec::new()
        });
        ids.into_iter().for_each(|id| self.tidy("delete a checkpoint", |store| store.delete_checkpoint(id)));
    }

    fn tell(&self, event: Event<TaskEntry>) {
        post(&self.coordinator, CoordinatorMsg::Event(event));
    }

    fn reach(&self, point: CrashPoint) -> Result<()> {
        self.common.hooks.crash(point).map_err(|error| Error::Engine(chain_text(&*error)))
    }

    /// Makes a task's part durable: first what its sinks have prepared, then its state.
    fn persist(&self, part: Part, target: Option<Target>) {
        let Part { mut view, uids, presence, region } = part;
        let (task, attempt, id) = (view.task, view.attempt, view.checkpoint);
        let outcome = match guarded(|| prepare_parts(&mut view)) {
            Ok(()) => guarded(|| {
                self.reach(CrashPoint::SinkPrepared)?;
                let part = self.write(&view, &uids, target.as_ref())?;
                self.common.hooks.tell(Who::Task(task), || {
                    format!("its part of checkpoint {id} is durable: {}", of_parts(&uids, &view.parts))
                });
                Ok(part)
            }),
            Err(cause) => {
                post(&region, RegionMsg::Event(supervision::Event::TaskFailed { task, attempt, cause: cause.clone() }));
                Err(cause)
            }
        };
        match outcome {
            Ok(part) => {
                let ack = CoordinatorMsg::Event(Event::Ack { task, attempt, id, part });
                post_control(&self.common.hooks, Control::Ack, &self.coordinator, ack);
            }
            Err(error) => {
                tracing::warn!(%task, checkpoint = %id, %error, "a snapshot failed");
                self.common
                    .hooks
                    .tell_failure(Who::Task(task), || format!("its part of checkpoint {id} was not written: {error}"));
                let refusal = Refusal::Snapshot(chain_text(&error));
                self.tell(Event::Decline { task, attempt, id, refusal });
            }
        }
        drop(presence);
    }

    fn write(&self, view: &TaskView, uids: &[Uid], target: Option<&Target>) -> Result<TaskEntry> {
        let snapshot = to_snapshot(view, uids);
        let entry = match (target, &self.common.store) {
            (Some(target), _) => return target.folder.write_snapshot(&self.common.record.job, &snapshot),
            (None, Some(store)) => store.write_snapshot(&snapshot)?,
            (None, None) => unkept(&snapshot),
        };
        self.common.views.add(&entry, Arc::new(snapshot));
        Ok(entry)
    }

    fn reserve(&self) {
        let reserved = guarded(|| match &self.common.store {
            Some(store) => store.reserve_ids().map(|ids| ids.end - 1),
            None => Ok(UNKEPT_IDS),
        });
        self.give_way(&reserved);
        self.tell(match reserved {
            Ok(up_to) => Event::Reserved { up_to },
            Err(error) => Event::ReservationFailed { text: chain_text(&error) },
        });
    }

    fn write_manifest(&self, id: CheckpointId, entries: Vec<TaskEntry>, carried: &Carried) {
        let written = guarded(|| self.publish(id, entries, carried));
        match &written {
            Ok(()) => self.common.views.completed(id, carried),
            Err(_) => self.common.views.given_up(id),
        }
        self.written(id, written);
    }

    fn write_savepoint(&self, id: CheckpointId, entries: Vec<TaskEntry>, target: &Target, myself: &ActorRef<KeeperMsg>) {
        match guarded(|| self.publish_savepoint(id, entries, target)) {
            Ok(()) => self.mark(id, target, false, myself),
            failed => self.written(id, failed),
        }
    }

    /// A savepoint is complete; it may be the one that the job ends with. Where nobody knows whether the next start goes on from it, the
    /// job neither carries on nor ends before it does: what would be begun again now takes back what the savepoint has prepared.
    fn mark(&self, id: CheckpointId, target: &Target, in_doubt: bool, myself: &ActorRef<KeeperMsg>) {
        let marked = guarded(|| savepoints::mark(&self.common, id, target));
        self.give_way(&marked);
        match marked {
            Err(Error::Store { maybe_done, cause, .. }) if maybe_done || in_doubt => {
                tracing::warn!(savepoint = %id, cause, "it is still not known whether the job's next start goes on from it");
                post(myself, KeeperMsg::MarkLater { id });
            }
            // The next start may go on from it all the same, so it stays.
            Err(error @ Error::Fenced { .. }) => {
                self.tell(Event::Manifest { id, written: Written::Unknown(chain_text(&error)) });
            }
            marked => self.written(id, marked),
        }
    }

    fn written(&self, id: CheckpointId, written: Result<()>) {
        self.give_way(&written);
        let written = match written {
            Ok(()) => Written::Published,
            Err(error @ Error::Store { maybe_done: true, .. }) => Written::Unknown(chain_text(&error)),
            Err(error) => Written::Failed(chain_text(&error)),
        };
        self.tell(Event::Manifest { id, written });
    }

    fn publish(&self, id: CheckpointId, entries: Vec<TaskEntry>, carried: &Carried) -> Result<()> {
        self.reach(CrashPoint::AllAcked)?;
        let Some(store) = &self.common.store else { return Ok(()) };
        let mut manifest = Manifest::assemble(store.record(), self.note(id, CheckpointKind::Checkpoint), entries)?;
        if let (false, Some(base)) = (carried.regions.is_empty(), carried.base) {
            let plan = &self.common.plan;
            let tasks = carried.regions.iter().filter_map(|region| plan.regions.get(region.0 as usize)).flatten();
            let nodes = tasks.filter_map(|task| plan.chain(*task)).flat_map(|chain| &chain.nodes);
            manifest.carry(&store.checkpoint(base)?, &nodes.filter_map(|node| plan.uid(*node)).cloned().collect());
        }
        store.write_manifest(&manifest)
    }

    fn publish_savepoint(&self, id: CheckpointId, entries: Vec<TaskEntry>, target: &Target) -> Result<()> {
        self.reach(CrashPoint::AllAcked)?;
        savepoints::publish(&self.common, self.note(id, CheckpointKind::Savepoint), entries, target)
    }

    fn note(&self, checkpoint: CheckpointId, kind: CheckpointKind) -> CheckpointNote {
        CheckpointNote { checkpoint, epoch: self.common.epoch, kind, created: self.common.executor.clock().wall() }
    }

    /// A manifest that can be read is there; one that cannot is made sure never to be.
    fn resolve(&self, id: CheckpointId, myself: &ActorRef<KeeperMsg>) {
        let settled = guarded(|| self.common.store.as_ref().map_or(Ok(true), |store| store.settle(id)));
        self.give_way(&settled);
        match settled {
            Ok(published) => self.tell(Event::ManifestResolved { id, published }),
            Err(error) => {
                tracing::warn!(checkpoint = %id, %error, "it is still not known whether the manifest was written");
                post(myself, KeeperMsg::ResolveLater { id });
            }
        }
    }

    /// Whoever was fenced off runs a job that is another process's: it ends.
    fn give_way<T>(&self, done: &Result<T>) {
        if let Err(error @ Error::Fenced { .. }) = done {
            post(&self.root, RootMsg::Fenced(error.clone()));
        }
    }

    /// What may fail without harm.
    fn tidy(&self, what: &str, tidy: impl FnOnce(&JobStore) -> Result<()>) {
        if let Some(store) = &self.common.store {
            tidied(what, || tidy(store));
        }
    }
}

/// Does what may fail without harm.
pub(super) fn tidied(what: &str, tidy: impl FnOnce() -> Result<()>) {
    if let Err(error) = guarded(tidy) {
        tracing::warn!(%error, "could not {what}");
    }
}

/// Runs what sinks have to make durable; its views join the others.
pub(crate) fn prepare_parts(view: &mut TaskView) -> Result<()> {
    for part in &mut view.parts {
        if let Some(prepare) = part.prepare.take() {
            part.views.push(blamed(part.uid.as_str(), &view.task.to_string(), "make_durable", prepare)?);
        }
    }
    Ok(())
}

/// A task's view as it is written, with an entry for each of these operators.
pub(crate) fn to_snapshot(view: &TaskView, uids: &[Uid]) -> TaskSnapshot {
    let operator = |uid: &Uid| OperatorSnapshot {
        uid: uid.clone(),
        ended: view.ended,
        watermark: view.watermark,
        views: view.parts.iter().filter(|part| part.uid == *uid).flat_map(|part| part.views.iter().cloned()).collect(),
    };
    let operators = uids.iter().map(operator).collect();
    TaskSnapshot { checkpoint: view.checkpoint, task: view.task, attempt: view.attempt, operators }
}

/// The entry of a part of which nothing is written.
fn unkept(snapshot: &TaskSnapshot) -> TaskEntry {
    let entry = |operator: &OperatorSnapshot| OperatorEntry {
        uid: operator.uid.clone(),
        ended: operator.ended,
        watermark: operator.watermark,
        states: Vec::new(),
    };
    TaskEntry {
        checkpoint: snapshot.checkpoint,
        task: snapshot.task,
        attempt: snapshot.attempt,
        operators: snapshot.operators.iter().map(entry).collect(),
        file: None,
    }
}

/// A panic in blocking work is an error like any other.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::Engine(format!("panicked: {}", panic_text(&*panic)))))
}
