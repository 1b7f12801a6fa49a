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
use super::hooked::{enter, post_control};
use super::post::post;
use super::presence::Presence;
use super::region::RegionMsg;
use super::root::RootMsg;
use super::told::of_parts;
use super::views::Views;
use crate::checkpoint::{Event, Refusal, Written};
use crate::error::{Error, Result, blamed, chain_text, panic_text};
use crate::executor::Executor;
use crate::hook::{Control, CrashPoint, Hooks, Role, Who};
use crate::ids::{CheckpointId, Uid};
use crate::snapshot::{
    CheckpointKind, CheckpointNote, JobStore, Manifest, OperatorEntry, OperatorSnapshot, TaskEntry, TaskSnapshot,
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

/// What the keeper works with.
pub(crate) struct KeeperArgs {
    /// None where the job keeps nothing: parts are made durable as far as sinks are concerned, and nothing is written.
    pub(crate) store: Option<Arc<JobStore>>,
    pub(crate) views: Arc<Views>,
    pub(crate) epoch: u64,
    pub(crate) coordinator: ActorRef<CoordinatorMsg>,
    pub(crate) root: ActorRef<RootMsg>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) hooks: Hooks,
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
        state: &mut Arc<KeeperArgs>,
    ) -> Result<(), ActorProcessingErr> {
        enter(&state.hooks, Role::Keeper).await?;
        if let KeeperMsg::ResolveLater { id } = message {
            tokio::spawn(async move {
                tokio::time::sleep(RESOLVE_PAUSE).await;
                post(&myself, KeeperMsg::ResolveManifest { id });
            });
            return Ok(());
        }
        let keeper = state.clone();
        state.executor.offload(Box::new(move || keeper.work(message, &myself)));
        Ok(())
    }
}

impl KeeperArgs {
    fn work(&self, message: KeeperMsg, myself: &ActorRef<KeeperMsg>) {
        match message {
            KeeperMsg::Persist(part) => self.persist(*part),
            KeeperMsg::ReserveIds => self.reserve(),
            KeeperMsg::WriteManifest { id, entries } => self.write_manifest(id, entries),
            KeeperMsg::ResolveManifest { id } | KeeperMsg::ResolveLater { id } => self.resolve(id, myself),
            KeeperMsg::Discard(entry) => {
                self.views.given_up(entry.checkpoint);
                self.tidy("discard a part", |store| store.discard(&entry));
            }
            KeeperMsg::Delete(id) => {
                self.views.given_up(id);
                self.tidy("delete a checkpoint", |store| store.delete_checkpoint(id));
            }
            KeeperMsg::Finished { id } => {
                let written = guarded(|| self.store.as_ref().map_or(Ok(()), |store| store.write_finished(id)));
                post(&self.root, RootMsg::FinishedWritten(written));
            }
        }
    }

    fn tell(&self, event: Event<TaskEntry>) {
        post(&self.coordinator, CoordinatorMsg::Event(event));
    }

    fn reach(&self, point: CrashPoint) -> Result<()> {
        self.hooks.crash(point).map_err(|error| Error::Engine(chain_text(&*error)))
    }

    /// Makes a task's part durable: first what its sinks have prepared, then its state.
    fn persist(&self, part: Part) {
        let Part { mut view, uids, presence, region } = part;
        let (task, attempt, id) = (view.task, view.attempt, view.checkpoint);
        let outcome = match guarded(|| prepare_parts(&mut view)) {
            Ok(()) => guarded(|| {
                self.reach(CrashPoint::SinkPrepared)?;
                let part = self.write(&view, &uids)?;
                self.hooks.tell(Who::Task(task), || {
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
                post_control(&self.hooks, Control::Ack, &self.coordinator, ack);
            }
            Err(error) => {
                tracing::warn!(%task, checkpoint = %id, %error, "a snapshot failed");
                self.hooks.tell_failure(Who::Task(task), || format!("its part of checkpoint {id} was not written: {error}"));
                let refusal = Refusal::Snapshot(chain_text(&error));
                self.tell(Event::Decline { task, attempt, id, refusal });
            }
        }
        drop(presence);
    }

    fn write(&self, view: &TaskView, uids: &[Uid]) -> Result<TaskEntry> {
        let snapshot = to_snapshot(view, uids);
        let entry = match &self.store {
            Some(store) => store.write_snapshot(&snapshot)?,
            None => unkept(&snapshot),
        };
        self.views.add(&entry, Arc::new(snapshot));
        Ok(entry)
    }

    fn reserve(&self) {
        let reserved = guarded(|| match &self.store {
            Some(store) => store.reserve_ids().map(|ids| ids.end - 1),
            None => Ok(UNKEPT_IDS),
        });
        self.give_way(&reserved);
        self.tell(match reserved {
            Ok(up_to) => Event::Reserved { up_to },
            Err(error) => Event::ReservationFailed { text: chain_text(&error) },
        });
    }

    fn write_manifest(&self, id: CheckpointId, entries: Vec<TaskEntry>) {
        let written = guarded(|| self.publish(id, entries));
        self.give_way(&written);
        match &written {
            Ok(()) => self.views.completed(id),
            Err(_) => self.views.given_up(id),
        }
        let written = match written {
            Ok(()) => Written::Published,
            Err(error @ Error::Store { maybe_done: true, .. }) => Written::Unknown(chain_text(&error)),
            Err(error) => Written::Failed(chain_text(&error)),
        };
        self.tell(Event::Manifest { id, written });
    }

    fn publish(&self, id: CheckpointId, entries: Vec<TaskEntry>) -> Result<()> {
        self.reach(CrashPoint::AllAcked)?;
        let Some(store) = &self.store else { return Ok(()) };
        let created = self.executor.clock().wall();
        let note = CheckpointNote { checkpoint: id, epoch: self.epoch, kind: CheckpointKind::Checkpoint, created };
        store.write_manifest(&Manifest::assemble(store.record(), note, entries)?)
    }

    /// A manifest that can be read is there; one that cannot is made sure never to be.
    fn resolve(&self, id: CheckpointId, myself: &ActorRef<KeeperMsg>) {
        let settled = guarded(|| self.store.as_ref().map_or(Ok(true), |store| store.settle(id)));
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
        let Some(store) = &self.store else { return };
        if let Err(error) = guarded(|| tidy(store)) {
            tracing::warn!(%error, "could not {what}");
        }
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
