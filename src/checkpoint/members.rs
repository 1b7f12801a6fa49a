//! Who takes part in a checkpoint: the tasks of all regions, each in its current attempt.

use std::collections::BTreeMap;

use crate::checkpoint::words::Member;
use crate::ids::{Attempt, RegionId, TaskId};

#[derive(Debug)]
struct Task {
    attempt: Attempt,
    source: bool,
    /// Parked: its inputs have ended.
    ended: bool,
}

/// The regions of a job, with their tasks while they run.
#[derive(Debug)]
pub(crate) struct Members {
    regions: BTreeMap<RegionId, Option<BTreeMap<TaskId, Task>>>,
}

impl Members {
    /// All regions, none of which runs.
    pub(crate) fn new(regions: impl IntoIterator<Item = RegionId>) -> Self {
        Members { regions: regions.into_iter().map(|region| (region, None)).collect() }
    }

    /// All tasks of a region run.
    pub(crate) fn up(&mut self, region: RegionId, attempt: Attempt, members: Vec<Member>) {
        let tasks = members.into_iter().map(|member| (member.task, Task { attempt, source: member.source, ended: false }));
        self.regions.insert(region, Some(tasks.collect()));
    }

    /// The tasks of a region do not run any more.
    pub(crate) fn down(&mut self, region: RegionId) {
        self.regions.insert(region, None);
    }

    /// A task is parked; what an older attempt says does not count.
    pub(crate) fn ended(&mut self, task: TaskId, attempt: Attempt) {
        let mut tasks = self.regions.values_mut().flatten();
        let task = tasks.find_map(|tasks| tasks.get_mut(&task)).filter(|task| task.attempt == attempt);
        if let Some(task) = task {
            task.ended = true;
        }
    }

    /// True while every task runs, ended or not.
    pub(crate) fn all_run(&self) -> bool {
        !self.regions.is_empty() && self.regions.values().all(Option::is_some)
    }

    /// True while every task runs and is parked.
    pub(crate) fn all_ended(&self) -> bool {
        self.all_run() && self.tasks().all(|(_, task)| task.ended)
    }

    /// Every task that must deliver its part.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (TaskId, Attempt)> + '_ {
        self.tasks().map(|(id, task)| (*id, task.attempt))
    }

    /// The tasks that receive triggers.
    pub(crate) fn sources(&self) -> Vec<(TaskId, Attempt)> {
        self.tasks().filter(|(_, task)| task.source).map(|(id, task)| (*id, task.attempt)).collect()
    }

    fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.regions.values().flatten().flatten()
    }
}
