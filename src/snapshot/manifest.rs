//! The manifest: all that a checkpoint consists of, by operator uid, and how it is put together from the acks of tasks.
//!
//! Always: its parts of an operator are numbered from 0 without gaps, its parallelism is their count, and a task's place in the
//! plan is of no meaning on restore. Pure data; assembled by the coordinator, written by the snapshot actor.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::file::{FileEntry, Section};
use super::job_files::JobRecord;
use crate::error::{Error, Result};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::state::StateDescriptor;
use crate::time::Timestamp;

/// Whose checkpoint it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckpointKind {
    /// The job's: it is deleted when newer ones have taken its place.
    Checkpoint,
    /// The user's: it is never deleted by the job.
    Savepoint,
}

/// What the coordinator knows of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointNote {
    /// Its number.
    pub(crate) checkpoint: CheckpointId,
    /// The process start of the job that took it.
    pub(crate) epoch: u64,
    /// Whose it is.
    pub(crate) kind: CheckpointKind,
    /// When it was begun, in wall time.
    #[serde(rename = "created_ms")]
    pub(crate) created: Timestamp,
}

/// One operator of a task, as the task's ack describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperatorEntry {
    /// The operator.
    pub(crate) uid: Uid,
    /// True when this instance's input has ended and `finish` has run.
    pub(crate) ended: bool,
    /// The watermark that this instance had reached.
    pub(crate) watermark: Timestamp,
    /// Its states, the empty ones included.
    pub(crate) states: Vec<StateDescriptor>,
}

/// What a task's ack carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskEntry {
    /// The checkpoint.
    pub(crate) checkpoint: CheckpointId,
    /// The task.
    pub(crate) task: TaskId,
    /// The task's attempt.
    pub(crate) attempt: Attempt,
    /// Its operators, in the order of the chain.
    pub(crate) operators: Vec<OperatorEntry>,
    /// Its snapshot file; `None` where no operator has a state.
    pub(crate) file: Option<FileEntry>,
}

/// One instance of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// True when its input has ended and `finish` has run.
    pub(crate) ended: bool,
    /// The watermark that it had reached.
    pub(crate) watermark: Timestamp,
}

/// One operator, over all its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperatorManifest {
    /// How many instances it had.
    pub(crate) parallelism: u32,
    /// The instances, by index.
    pub(crate) parts: Vec<Part>,
    /// The lowest watermark of all instances.
    pub(crate) watermark: Timestamp,
    /// Its states.
    pub(crate) states: Vec<StateDescriptor>,
}

/// All that a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The job, and how it hashes keys.
    pub(crate) job: JobRecord,
    /// The checkpoint.
    pub(crate) note: CheckpointNote,
    /// The operators, by uid.
    pub(crate) operators: BTreeMap<Uid, OperatorManifest>,
    /// The snapshot files, and where their sections lie.
    pub(crate) files: Vec<FileEntry>,
}

impl Manifest {
    /// Puts a checkpoint together from the entries of all its tasks, in any order.
    ///
    /// # Errors
    /// [`Error::Engine`] where an instance of an operator is missing or there twice, or two disagree about a state.
    pub(crate) fn assemble(job: &JobRecord, note: CheckpointNote, mut tasks: Vec<TaskEntry>) -> Result<Manifest> {
        tasks.sort_by_key(|entry| entry.task);
        let mut operators = BTreeMap::new();
        for entry in &tasks {
            for operator in &entry.operators {
                add_part(&mut operators, operator, entry.task, note.checkpoint)?;
            }
        }
        let files = tasks.into_iter().filter_map(|entry| entry.file).collect();
        Ok(Manifest { job: job.clone(), note, operators, files })
    }

    /// Adds what an older checkpoint holds for these operators, whose tasks have no part of their own. The files stay where they are.
    /// An operator that it does not know begins anew.
    pub(crate) fn carry(&mut self, base: &Manifest, uids: &BTreeSet<Uid>) {
        let known = base.operators.iter().filter(|(uid, _)| uids.contains(*uid));
        self.operators.extend(known.map(|(uid, operator)| (uid.clone(), operator.clone())));
        for file in &base.files {
            let sections: Vec<Section> =
                file.sections.iter().filter(|section| uids.contains(&section.operator)).cloned().collect();
            if !sections.is_empty() {
                let checkpoint = Some(file.checkpoint.unwrap_or(base.id()));
                self.files.push(FileEntry { checkpoint, sections, ..file.clone() });
            }
        }
    }

    /// The files of older checkpoints that it names.
    pub(super) fn carried(&self) -> impl Iterator<Item = (CheckpointId, &str)> {
        self.files.iter().filter_map(|file| Some((file.checkpoint?, &*file.name)))
    }

    /// The checkpoint's number.
    pub(crate) fn id(&self) -> CheckpointId {
        self.note.checkpoint
    }

    /// The sections of one operator, each with its file.
    pub(crate) fn sections<'a>(&'a self, uid: &'a Uid) -> impl Iterator<Item = (&'a FileEntry, &'a Section)> + Clone {
        let of_operator = move |section: &&Section| section.operator == *uid;
        self.files.iter().flat_map(move |file| file.sections.iter().filter(of_operator).map(move |section| (file, section)))
    }
}

/// Tasks come in the order of their indices, so each is the next part of its operators.
fn add_part(
    operators: &mut BTreeMap<Uid, OperatorManifest>,
    entry: &OperatorEntry,
    task: TaskId,
    checkpoint: CheckpointId,
) -> Result<()> {
    let empty = || OperatorManifest { parallelism: 0, parts: Vec::new(), watermark: Timestamp::MAX, states: Vec::new() };
    let operator = operators.entry(entry.uid.clone()).or_insert_with(empty);
    if operator.parallelism != task.index {
        let problem = format!(
            "checkpoint {checkpoint} has an ack of task {task} where part {} of operator '{}' is expected",
            operator.parallelism, entry.uid
        );
        return Err(Error::Engine(problem));
    }
    operator.parallelism += 1;
    operator.parts.push(Part { ended: entry.ended, watermark: entry.watermark });
    operator.watermark = operator.watermark.min(entry.watermark);
    for state in &entry.states {
        add_state(&mut operator.states, state, entry, checkpoint)?;
    }
    Ok(())
}

fn add_state(
    states: &mut Vec<StateDescriptor>,
    state: &StateDescriptor,
    entry: &OperatorEntry,
    checkpoint: CheckpointId,
) -> Result<()> {
    match states.iter().find(|known| known.name == state.name) {
        None => states.push(state.clone()),
        Some(known) if known == state => {}
        Some(known) => {
            let problem = format!(
                "checkpoint {checkpoint}: tasks of operator '{}' disagree about a state: {known:?} and {state:?}",
                entry.uid
            );
            return Err(Error::Engine(problem));
        }
    }
    Ok(())
}
