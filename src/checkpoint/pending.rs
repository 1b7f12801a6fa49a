//! A checkpoint under way: whose parts are there, and whose are awaited.
//!
//! Always: a part counts once, and only from the attempt that the checkpoint was begun with; for a region that fails, or does not run
//! when it is begun, it holds what that region restores from; once the parts were handed over to
//! the manifest's writer, the checkpoint neither expires nor is given up before the outcome is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::members::Members;
use crate::checkpoint::words::{AckAnswer, Purpose};
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
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
    parts: BTreeMap<TaskId, (RegionId, Attempt, Part<E>)>,
    carried: BTreeSet<RegionId>,
}

impl<E> Pending<E> {
    /// A checkpoint of which every member's part is awaited until the deadline; those of other regions are carried.
    pub(crate) fn new(id: CheckpointId, deadline: Moment, members: &Members) -> Self {
        let awaited = members.awaited();
        let parts: BTreeMap<_, _> = awaited.map(|(region, task, attempt)| (task, (region, attempt, Part::Awaited))).collect();
        let (purpose, stage, carried) = (Purpose::Recovery, Stage::Collecting, members.absent());
        Pending { id, token: None, purpose, last: false, deadline, stage, parts, carried }
    }

    /// The regions that take part in it.
    pub(crate) fn regions(&self) -> BTreeSet<RegionId> {
        self.parts.values().map(|(region, ..)| *region).collect()
    }

    /// The regions for which it holds what they restore from.
    pub(crate) fn carried(&self) -> &BTreeSet<RegionId> {
        &self.carried
    }

    /// A region has failed: its parts are handed out, to be discarded, and what it restores from takes their place.
    pub(crate) fn carry(&mut self, region: RegionId) -> Vec<E> {
        self.carried.insert(region);
        self.last = false;
        let parts = std::mem::take(&mut self.parts).into_iter();
        let (failed, others): (BTreeMap<_, _>, BTreeMap<_, _>) = parts.partition(|(_, (of, ..))| *of == region);
        self.parts = others;
        let held = failed.into_iter().filter_map(|(_, (_, _, part))| match part {
            Part::Held(part) => Some(part),
            Part::Awaited | Part::HandedOver => None,
        });
        held.collect()
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
        self.stage == Stage::Collecting && self.parts.values().all(|(_, _, part)| matches!(part, Part::Held(_)))
    }

    /// Takes a task's part, or hands it back.
    pub(crate) fn ack(&mut self, task: TaskId, attempt: Attempt, part: E) -> Result<(), (AckAnswer, E)> {
        match self.parts.get_mut(&task) {
            Some((_, awaited, slot)) if *awaited == attempt => match slot {
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
        matches!(self.parts.get(&task), Some((_, awaited, Part::Awaited)) if *awaited == attempt)
    }

    /// Hands the parts over to the manifest's writer.
    pub(crate) fn hand_over(&mut self) -> Vec<(TaskId, E)> {
        self.stage = Stage::Writing;
        let taken = self.parts.iter_mut().filter_map(|(task, (_, _, slot))| match std::mem::replace(slot, Part::HandedOver) {
            Part::Held(part) => Some((*task, part)),
            Part::Awaited | Part::HandedOver => None,
        });
        taken.collect()
    }

    /// The parts that are still held, to be discarded.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = E> {
        self.parts.into_values().filter_map(|(_, _, part)| match part {
            Part::Held(part) => Some(part),
            Part::Awaited | Part::HandedOver => None,
        })
    }
}
