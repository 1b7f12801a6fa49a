//! What an attempt needs before its tasks can be opened: sinks taken up, splits found, state read.
//!
//! State comes from the views of the last complete checkpoint, where those of all tasks of the region are still in memory, else from
//! its files. The parallelism is the same inside a process, so each instance takes up what the one before it left.
//!
//! Always: every handle of the restored checkpoint is committed before any task opens. All of it blocks, so it runs off the actors.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::RestoredFrom;
use super::root::Common;
use crate::error::{Error, Result, blamed};
use crate::executor::RestoreFrom;
use crate::hook::{Callback, CrashPoint, Hooks};
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId, Uid};
use crate::plan::{NodeId, NodeKind, Plan};
use crate::sink::SinkContext;
use crate::snapshot::{
    Found, JobStore, Manifest, OperatorSnapshot, RestoredOperator, Share, TaskSnapshot, deal_blocks, restored_from_views,
};
use crate::state::{Block, Kept, RestoredStates, StateDescriptor};
use crate::time::Timestamp;

/// What an attempt begins from.
#[derive(Debug)]
pub(crate) struct RestorePoint {
    origin: Origin,
    /// The splits of sources that the checkpoint does not know, as their whole list.
    splits: BTreeMap<Uid, (StateDescriptor, Vec<Block>)>,
}

/// Where the state comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// There is no checkpoint.
    Nothing,
    Files(Arc<JobStore>, Manifest),
    /// The savepoint or checkpoint that the job was told to begin from, or was stopped with.
    Begun(Arc<Begun>),
    /// The checkpoint's views, of all tasks of the region.
    Memory(Vec<Arc<TaskSnapshot>>),
}

/// What a job begins from, until it has a checkpoint of its own.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(super) found: Found,
    /// It is the job's, and may be deleted once it is not needed.
    pub(super) claimed: bool,
}

/// Which tasks are restored, from which checkpoint, and for which attempt.
pub(crate) struct Wanted<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) job: &'a str,
    pub(crate) tasks: &'a [TaskId],
    pub(crate) point: Option<CheckpointId>,
    pub(crate) attempt: Attempt,
    pub(crate) hooks: &'a Hooks,
}

/// What is named as the task where a call is made for all of them.
const ALL_TASKS: &str = "all";
/// The one instance that gets everything.
const WHOLE: Share = Share { index: 0, parallelism: 1 };

impl Origin {
    /// For the tasks of a region: the views that are still in memory, where they may be used; else the manifest.
    pub(super) fn of(common: &Common, region: RegionId, tasks: &[TaskId], point: Option<CheckpointId>) -> Result<Origin> {
        // Sinks remove what they do not know when they are taken up.
        common.store.as_ref().map_or(Ok(()), |store| store.confirm_epoch())?;
        if let Some(id) = point
            && let Some(views) = common.views.of(id, region, tasks)
            && (common.store.is_none() || common.executor.restore_from() == RestoreFrom::Memory)
        {
            common.status.restarts_from_memory.add(1);
            return Ok(Origin::Memory(views));
        }
        match &common.begun {
            Some(begun) if point == Some(begun.found.id()) => Ok(Origin::Begun(begun.clone())),
            _ => Origin::in_files(common.store.clone(), point),
        }
    }

    /// The manifest of `point`.
    pub(crate) fn in_files(store: Option<Arc<JobStore>>, point: Option<CheckpointId>) -> Result<Origin> {
        match (store, point) {
            (_, None) => Ok(Origin::Nothing),
            (Some(store), Some(id)) => store.checkpoint(id).map(|manifest| Origin::Files(store, manifest)),
            (None, Some(id)) => Err(Error::StateMismatch {
                problem: format!("checkpoint {id} was not kept, because the job has no store"),
                advice: "give the job a store with .store(…)".into(),
            }),
        }
    }

    fn knows(&self, uid: &Uid) -> bool {
        match self {
            Origin::Nothing => false,
            Origin::Files(_, manifest) => manifest.operators.contains_key(uid),
            Origin::Begun(begun) => begun.found.manifest().operators.contains_key(uid),
            Origin::Memory(tasks) => parts(tasks, uid).next().is_some(),
        }
    }

    /// What the checkpoint holds for an instance.
    fn load(&self, uid: &Uid, share: Share) -> Result<Option<RestoredOperator>> {
        match self {
            Origin::Nothing => Ok(None),
            Origin::Files(store, manifest) => store.load_operator(manifest, uid, share),
            Origin::Begun(begun) => begun.found.load_operator(uid, share),
            Origin::Memory(tasks) => {
                let mut instances: Vec<(TaskId, &OperatorSnapshot)> = parts(tasks, uid).collect();
                instances.sort_by_key(|(task, _)| task.index);
                let instances: Vec<&OperatorSnapshot> = instances.into_iter().map(|(_, operator)| operator).collect();
                Ok(restored_from_views(&instances, share.index))
            }
        }
    }

    /// The handles of all instances of a sink.
    fn handles(&self, uid: &Uid) -> Result<Vec<(StateDescriptor, Kept)>> {
        let restored: Vec<RestoredOperator> = match self {
            Origin::Memory(tasks) => parts(tasks, uid).map(|(_, operator)| operator.restored()).collect(),
            origin => origin.load(uid, WHOLE)?.into_iter().collect(),
        };
        Ok(restored.into_iter().filter_map(|mut restored| restored.states.take(crate::sink::HANDLES_STATE)).collect())
    }
}

/// An operator's part of each task that has one.
fn parts<'a>(tasks: &'a [Arc<TaskSnapshot>], uid: &'a Uid) -> impl Iterator<Item = (TaskId, &'a OperatorSnapshot)> {
    tasks.iter().filter_map(move |task| Some((task.task, task.operators.iter().find(|operator| operator.uid == *uid)?)))
}

impl RestorePoint {
    /// Commits what its sinks had prepared, and finds the splits of new sources.
    pub(crate) fn prepare(origin: Origin, wanted: &Wanted<'_>) -> Result<Self> {
        let Wanted { plan, hooks, .. } = wanted;
        let mut restore = RestorePoint { origin, splits: BTreeMap::new() };
        for id in heads_and_sinks(plan, wanted.tasks) {
            let (Some(node), Some(uid)) = (plan.node(id), plan.uid(id)) else { continue };
            match &node.kind {
                NodeKind::Source { discover, .. } if !restore.origin.knows(uid) => {
                    let find = || hooks.callback(uid, Callback::Splits).and_then(|()| discover());
                    let found = blamed(uid.as_str(), ALL_TASKS, "splits", find)?;
                    restore.splits.insert(uid.clone(), found);
                }
                NodeKind::Sink { recover, .. } => {
                    let (job, attempt) = (wanted.job.to_owned(), wanted.attempt);
                    let parallelism = plan.parallelism.get(id.0).copied().unwrap_or(1);
                    let ctx = SinkContext { job, uid: uid.clone(), attempt, index: 0, parallelism };
                    let parts = if restore.origin.knows(uid) { Some(restore.origin.handles(uid)?) } else { None };
                    blamed(uid.as_str(), ALL_TASKS, "recover", || {
                        hooks.callback(uid, Callback::Recover)?;
                        recover(&ctx, parts)?;
                        reach(hooks, wanted.point)
                    })?;
                }
                _ => {}
            }
        }
        Ok(restore)
    }

    /// Where the state comes from, for who hears of it.
    pub(super) fn is_from(&self) -> RestoredFrom {
        match self.origin {
            Origin::Nothing => RestoredFrom::Nothing,
            Origin::Files(..) | Origin::Begun(_) => RestoredFrom::Files,
            Origin::Memory(_) => RestoredFrom::Memory,
        }
    }

    /// Whether there is a checkpoint behind it.
    pub(super) fn is_of_checkpoint(&self) -> bool {
        !matches!(self.origin, Origin::Nothing)
    }

    /// What the operators of a task begin with.
    pub(crate) fn operators(&self, uids: &[Uid], share: Share) -> Result<BTreeMap<Uid, RestoredOperator>> {
        let mut restored = BTreeMap::new();
        for uid in uids {
            if let Some((descriptor, blocks)) = self.splits.get(uid) {
                let dealt = blamed(uid.as_str(), ALL_TASKS, "splits", || deal_blocks(blocks, share))?;
                let mut states = RestoredStates::default();
                states.states.insert(descriptor.name.clone(), (descriptor.clone(), dealt.into()));
                restored.insert(uid.clone(), RestoredOperator { states, watermark: Timestamp::NONE, ended: false });
            } else if let Some(found) = self.origin.load(uid, share)? {
                restored.insert(uid.clone(), found);
            }
        }
        Ok(restored)
    }
}

/// The sources and sinks among the operators of these tasks, each once.
fn heads_and_sinks(plan: &Plan, tasks: &[TaskId]) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> =
        tasks.iter().filter_map(|task| plan.chain(*task)).flat_map(|chain| chain.nodes.clone()).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// A sink was taken up from a checkpoint, and the attempt has not begun.
fn reach(hooks: &Hooks, point: Option<CheckpointId>) -> std::result::Result<(), crate::error::BoxError> {
    if point.is_some() { hooks.crash(CrashPoint::RecoveryCommits) } else { Ok(()) }
}
