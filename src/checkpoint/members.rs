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
    /// Regions that have not run yet.
    fresh: BTreeSet<RegionId>,
    /// Tasks that were parked before all tasks of their region ran.
    early: BTreeSet<(TaskId, Attempt)>,
}

impl Members {
    /// All regions, none of which runs.
    pub(crate) fn new(regions: impl IntoIterator<Item = RegionId>) -> Self {
        let regions: BTreeMap<_, _> = regions.into_iter().map(|region| (region, None)).collect();
        let fresh = regions.keys().copied().collect();
        Members { regions, fresh, early: BTreeSet::new() }
    }

    /// All tasks of a region run.
    pub(crate) fn up(&mut self, region: RegionId, attempt: Attempt, members: Vec<Member>) {
        let mut tasks = BTreeMap::new();
        for Member { task, source } in members {
            let ended = self.early.contains(&(task, attempt));
            self.early.retain(|(early, _)| *early != task);
            tasks.insert(task, Task { attempt, source, ended });
        }
        self.fresh.remove(&region);
        self.regions.insert(region, Some(tasks));
    }

    /// The tasks of a region do not run any more.
    pub(crate) fn down(&mut self, region: RegionId) {
        self.regions.insert(region, None);
    }

    /// A region is not on its way to run for the first time.
    pub(crate) fn is_not_fresh(&mut self, region: RegionId) {
        self.fresh.remove(&region);
    }

    /// The regions that do not run.
    pub(crate) fn absent(&self) -> BTreeSet<RegionId> {
        self.regions.iter().filter(|(_, tasks)| tasks.is_none()).map(|(region, _)| *region).collect()
    }

    /// True while a region runs and no other is still on its way to run for the first time.
    pub(crate) fn some_run(&self) -> bool {
        self.fresh.is_empty() && self.regions.values().any(Option::is_some)
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

    /// Every task that must deliver its part, with its region.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (RegionId, TaskId, Attempt)> + '_ {
        let tasks = self.regions.iter().flat_map(|(region, tasks)| tasks.iter().flatten().map(move |task| (*region, task)));
        tasks.map(|(region, (id, task))| (region, *id, task.attempt))
    }

    /// The tasks that receive triggers.
    pub(crate) fn sources(&self) -> Vec<(TaskId, Attempt)> {
        self.tasks().filter(|(_, task)| task.source).map(|(id, task)| (*id, task.attempt)).collect()
    }

    fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.regions.values().flatten().flatten()
    }
}
