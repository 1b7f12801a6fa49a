//! What an attempt needs before its tasks can be opened: sinks taken up, splits found, state read.
//!
//! Always: every handle of the restored checkpoint is committed before any task opens. All of it blocks, so it runs off the actors.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result, chain_text};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::plan::{NodeId, NodeKind, Plan};
use crate::sink::SinkContext;
use crate::snapshot::{JobStore, Manifest, RestoredOperator, Share, deal_blocks};
use crate::state::{Block, RestoredStates, StateDescriptor};
use crate::time::Timestamp;

/// Where an attempt takes its state from.
#[derive(Debug)]
pub(crate) struct RestorePoint {
    store: Option<Arc<JobStore>>,
    manifest: Option<Manifest>,
    /// The splits of sources that the checkpoint does not know, as their whole list.
    splits: BTreeMap<Uid, (StateDescriptor, Vec<Block>)>,
}

/// The one instance that gets everything.
const WHOLE: Share = Share { index: 0, parallelism: 1 };

impl RestorePoint {
    /// Reads the manifest of `point`, commits what its sinks had prepared, and finds the splits of new sources.
    pub(crate) fn prepare(
        plan: &Plan,
        tasks: &[TaskId],
        job: &str,
        store: Option<Arc<JobStore>>,
        point: Option<CheckpointId>,
        attempt: Attempt,
    ) -> Result<Self> {
        let manifest = match (&store, point) {
            (_, None) => None,
            (Some(store), Some(id)) => Some(store.checkpoint(id)?),
            (None, Some(id)) => {
                return Err(Error::StateMismatch {
                    problem: format!("checkpoint {id} was not kept, because the job has no store"),
                    advice: "give the job a store with .store(…)".into(),
                });
            }
        };
        let mut restore = RestorePoint { store, manifest, splits: BTreeMap::new() };
        for id in heads_and_sinks(plan, tasks) {
            let (Some(node), Some(uid)) = (plan.node(id), plan.uid(id)) else { continue };
            match &node.kind {
                NodeKind::Source { discover, .. } if !restore.knows(uid) => {
                    let found = discover().map_err(|error| blame(uid, "splits", error))?;
                    restore.splits.insert(uid.clone(), found);
                }
                NodeKind::Sink { recover, .. } => {
                    let parallelism = plan.parallelism.get(id.0).copied().unwrap_or(1);
                    let ctx = SinkContext { job: job.to_owned(), uid: uid.clone(), attempt, index: 0, parallelism };
                    let parts = restore.handles(uid)?;
                    recover(&ctx, parts).map_err(|error| blame(uid, "recover", error))?;
                }
                _ => {}
            }
        }
        Ok(restore)
    }

    fn knows(&self, uid: &Uid) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.operators.contains_key(uid))
    }

    /// What the checkpoint holds for an instance.
    fn load(&self, uid: &Uid, share: Share) -> Result<Option<RestoredOperator>> {
        match (&self.store, &self.manifest) {
            (Some(store), Some(manifest)) => store.load_operator(manifest, uid, share),
            _ => Ok(None),
        }
    }

    /// The handles of all instances of a sink.
    fn handles(&self, uid: &Uid) -> Result<Vec<(StateDescriptor, Vec<Block>)>> {
        let restored = self.load(uid, WHOLE)?;
        let handles = restored.and_then(|mut restored| restored.states.take(crate::sink::HANDLES_STATE));
        Ok(handles.into_iter().collect())
    }

    /// What the operators of a task begin with.
    pub(crate) fn operators(&self, uids: &[Uid], share: Share) -> Result<BTreeMap<Uid, RestoredOperator>> {
        let mut restored = BTreeMap::new();
        for uid in uids {
            if let Some((descriptor, blocks)) = self.splits.get(uid) {
                let dealt = deal_blocks(blocks, share).map_err(|error| blame(uid, "splits", error))?;
                let mut states = RestoredStates::default();
                states.states.insert(descriptor.name.clone(), (descriptor.clone(), dealt));
                restored.insert(uid.clone(), RestoredOperator { states, watermark: Timestamp::NONE, ended: false });
            } else if let Some(found) = self.load(uid, share)? {
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

fn blame(uid: &Uid, callback: &'static str, error: crate::error::BoxError) -> Error {
    Error::Operator {
        operator: uid.to_string(),
        task: "all".into(),
        callback,
        cause: chain_text(&*error),
        source: Arc::from(error),
    }
}
