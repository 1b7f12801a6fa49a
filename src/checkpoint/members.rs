//! Who takes part in a checkpoint: the tasks of all regions, each in its current attempt.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Tasks that were parked before all tasks of their region ran.
    early: BTreeSet<(TaskId, Attempt)>,
}

impl Members {
    /// All regions, none of which runs.
    pub(crate) fn new(regions: impl IntoIterator<Item = RegionId>) -> Self {
        Members { regions: regions.into_iter().map(|region| (region, None)).collect(), early: BTreeSet::new() }
    }

    /// All tasks of a region run.
    pub(crate) fn up(&mut self, region: RegionId, attempt: Attempt, members: Vec<Member>) {
        let mut tasks = BTreeMap::new();
        for Member { task, source } in members {
            let ended = self.early.contains(&(task, attempt));
            self.early.retain(|(early, _)| *early != task);
            tasks.insert(task, Task { attempt, source, ended });
        }
        self.regions.insert(region, Some(tasks));
    }

    /// The tasks of a region do not run any more.
    pub(crate) fn down(&mut self, region: RegionId) {
        self.regions.insert(region, None);
    }

    /// No region is taken to run before it says so again.
    pub(crate) fn none_runs(&mut self) {
        self.regions.values_mut().for_each(|tasks| *tasks = None);
    }

    /// A task is parked; what an older attempt says does not count.
    pub(crate) fn ended(&mut self, task: TaskId, attempt: Attempt) {
        let mut tasks = self.regions.values_mut().flatten();
        match tasks.find_map(|tasks| tasks.get_mut(&task)) {
            Some(found) if found.attempt == attempt => found.ended = true,
            Some(_) => {}
            None => {
                self.early.insert((task, attempt));
            }
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
