//! A checkpoint under way: whose parts are there, and whose are awaited.
//!
//! Always: a part counts once, and only from the attempt that the checkpoint was begun with; once the parts were handed over to
//! the manifest's writer, the checkpoint neither expires nor is given up before the outcome is known.

use std::collections::BTreeMap;

use crate::checkpoint::words::{AckAnswer, Purpose};
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::time::Moment;

#[derive(Debug)]
enum Part<E> {
    Awaited,
    Held(E),
    HandedOver,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Collecting,
    Writing,
}

/// A checkpoint that was triggered and is neither complete nor given up.
#[derive(Debug)]
pub(crate) struct Pending<E> {
    pub(crate) id: CheckpointId,
    /// Who asked for it.
    pub(crate) token: Option<u64>,
    pub(crate) purpose: Purpose,
    /// All tasks had ended when it was triggered.
    pub(crate) last: bool,
    deadline: Moment,
    stage: Stage,
    parts: BTreeMap<TaskId, (Attempt, Part<E>)>,
}

impl<E> Pending<E> {
    /// A checkpoint of which every task's part is awaited until the deadline.
    pub(crate) fn new(id: CheckpointId, deadline: Moment, awaited: impl Iterator<Item = (TaskId, Attempt)>) -> Self {
        let parts = awaited.map(|(task, attempt)| (task, (attempt, Part::Awaited))).collect();
        Pending { id, token: None, purpose: Purpose::Recovery, last: false, deadline, stage: Stage::Collecting, parts }
    }

    /// When it expires; never once all parts are there.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        (self.stage == Stage::Collecting && !self.is_collected()).then_some(self.deadline)
    }

    /// True while the manifest is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.stage == Stage::Writing
    }

    /// True if all parts are there, and the manifest is still to be written.
    pub(crate) fn is_collected(&self) -> bool {
        self.stage == Stage::Collecting && self.parts.values().all(|(_, part)| matches!(part, Part::Held(_)))
    }

    /// Takes a task's part, or hands it back.
    pub(crate) fn ack(&mut self, task: TaskId, attempt: Attempt, part: E) -> Result<(), (AckAnswer, E)> {
        match self.parts.get_mut(&task) {
            Some((awaited, slot)) if *awaited == attempt => match slot {
                Part::Awaited => {
                    *slot = Part::Held(part);
                    Ok(())
                }
                Part::Held(_) | Part::HandedOver => Err((AckAnswer::Duplicate, part)),
            },
            _ => Err((AckAnswer::Unknown, part)),
        }
    }

    /// True if this attempt of the task has still to deliver.
    pub(crate) fn awaits(&self, task: TaskId, attempt: Attempt) -> bool {
        matches!(self.parts.get(&task), Some((awaited, Part::Awaited)) if *awaited == attempt)
    }

    /// Hands the parts over to the manifest's writer.
    pub(crate) fn hand_over(&mut self) -> Vec<(TaskId, E)> {
        self.stage = Stage::Writing;
        let taken = self.parts.iter_mut().filter_map(|(task, (_, slot))| match std::mem::replace(slot, Part::HandedOver) {
            Part::Held(part) => Some((*task, part)),
            Part::Awaited | Part::HandedOver => None,
        });
        taken.collect()
    }

    /// The parts that are still held, to be discarded.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = E> {
        self.parts.into_values().filter_map(|(_, part)| match part {
            Part::Held(part) => Some(part),
            Part::Awaited | Part::HandedOver => None,
        })
    }
}
