//! The tasks of a job as they are watched: what each shows of itself, and since when it has not moved.
//!
//! Always: what is watched is the latest attempt of each task. Written by the region supervisors when a task begins, looked at by the
//! watchdog, and read by the job's handles; never touched by a task, which has its pulse.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::executor::Pulse;
use crate::ids::{Attempt, RegionId, TaskId, Uid};
use crate::plan::Plan;
use crate::supervision::{Doing, Finding, Reading, Watch};
use crate::time::Moment;

/// All tasks of a job.
#[derive(Debug)]
pub(crate) struct Watched {
    tasks: Mutex<BTreeMap<TaskId, WatchedTask>>,
}

#[derive(Debug)]
struct WatchedTask {
    region: RegionId,
    /// Its operators, for who reads of it.
    operators: Arc<str>,
    /// The latest attempt, once it has begun.
    attempt: Option<Attempt>,
    pulse: Arc<Pulse>,
    watch: Watch,
}

/// A task, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct SeenTask {
    pub(crate) task: TaskId,
    pub(crate) region: RegionId,
    pub(crate) operators: Arc<str>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) reading: Reading,
    /// For how long it has had something to do and has not moved.
    pub(crate) still_for: Option<Duration>,
}

impl Watched {
    /// Of the tasks of a plan, none of which has begun.
    pub(super) fn of(plan: &Plan) -> Self {
        let fresh = |region, task| {
            let operators = operators(plan, task).into();
            (task, WatchedTask { region, operators, attempt: None, pulse: Arc::default(), watch: Watch::new(Moment::default()) })
        };
        let numbered = (0..).map(RegionId).zip(&plan.regions);
        let tasks = numbered.flat_map(|(region, tasks)| tasks.iter().map(move |task| fresh(region, *task)));
        Watched { tasks: Mutex::new(tasks.collect()) }
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, WatchedTask>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task begins in a new attempt; where its driver shows what it does.
    pub(super) fn begin(&self, task: TaskId, attempt: Attempt, now: Moment) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::default());
        if let Some(watched) = self.tasks().get_mut(&task) {
            (watched.attempt, watched.pulse, watched.watch) = (Some(attempt), pulse.clone(), Watch::new(now));
        }
        pulse
    }

    /// The operators of these tasks.
    pub(super) fn operators(&self, of: &[TaskId]) -> BTreeMap<TaskId, String> {
        let tasks = self.tasks();
        of.iter().filter_map(|task| Some((*task, tasks.get(task)?.operators.to_string()))).collect()
    }

    /// Looks at all tasks; what was found of which.
    pub(super) fn look(&self, bounds: (Duration, Duration), now: Moment) -> Vec<(SeenTask, Finding)> {
        let look = |(task, watched): (&TaskId, &mut WatchedTask)| {
            let finding = watched.watch.look(watched.pulse.read(), bounds, now)?;
            Some((watched.seen(*task, now), finding))
        };
        self.tasks().iter_mut().filter_map(look).collect()
    }

    /// All tasks as they are now.
    pub(crate) fn seen(&self, now: Moment) -> Vec<SeenTask> {
        self.tasks().iter().map(|(task, watched)| watched.seen(*task, now)).collect()
    }
}

impl SeenTask {
    /// Whether it has something to do.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.reading.doing, Doing::Stepping | Doing::Waiting)
    }
}

impl WatchedTask {
    fn seen(&self, task: TaskId, now: Moment) -> SeenTask {
        SeenTask {
            task,
            region: self.region,
            operators: self.operators.clone(),
            attempt: self.attempt,
            reading: self.pulse.read(),
            still_for: self.watch.still_for(now),
        }
    }
}

/// The operators of a task's chain, in the order in which records pass them.
fn operators(plan: &Plan, task: TaskId) -> String {
    let nodes = plan.chain(task).map_or(&[][..], |chain| &chain.nodes);
    nodes.iter().filter_map(|node| plan.uid(*node)).map(Uid::as_str).collect::<Vec<_>>().join(" → ")
}
