//! The supervision tree of a job, as it is at a moment.

use std::fmt;
use std::time::Duration;

use super::JobHandle;
use crate::actor::{JobEnd, Known, PairNode, RegionState, SeenTask};
use crate::ids::{Attempt, RegionId, TaskId};
use crate::supervision::Doing;

/// The supervision tree of a job: what [`JobHandle::tree`] gives. It shows itself with a line for each actor, indented by its depth.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobTree {
    /// The job's name.
    pub job: String,
    /// What it does: `running`, or how it ended.
    pub state: String,
    /// Whether the actors below the job are there: none is once it has ended.
    pub alive: bool,
    /// Its coordinator and its snapshot actor, which are replaced together.
    pub pair: PairNode,
    /// The supervisors of its regions, in order.
    pub regions: Vec<RegionNode>,
}

/// The supervisor of a region.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegionNode {
    /// Which.
    pub id: RegionId,
    /// What it does.
    pub state: RegionState,
    /// The latest attempt; none before the first.
    pub attempt: Option<Attempt>,
    /// How often it was restarted in this process.
    pub restarts: u32,
    /// Why it failed last, as a sentence.
    pub last_failure: Option<String>,
    /// Its tasks, in order.
    pub tasks: Vec<TaskNode>,
}

/// A task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskNode {
    /// Which.
    pub id: TaskId,
    /// The operators of its chain.
    pub operators: String,
    /// What it does.
    pub state: TaskState,
    /// The records that it has taken from its inputs in this attempt, up to its last step.
    pub records: u64,
    /// For how long it has had something to do and has not moved, where that is longer than it may be.
    pub stuck: Option<Duration>,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It is being opened, or waits for its region to be restarted.
    Opening,
    /// It has no input for now.
    Resting,
    /// It handles records, or what else there is to do.
    Running,
    /// It has something to do, and waits for room at an output or for its turn.
    Waiting,
    /// It has ended.
    Ended,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Opening => "opening",
            TaskState::Resting => "resting",
            TaskState::Running => "running",
            TaskState::Waiting => "waiting",
            TaskState::Ended => "ended",
        })
    }
}

impl fmt::Display for JobTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "job {}: {}", self.job, self.state)?;
        if self.alive {
            let state = if self.pair.serves { "running" } else { "being replaced" };
            let again = if self.pair.tenure > 1 { format!(", tenure {}", self.pair.tenure) } else { String::new() };
            let why =
                self.pair.last_failure.as_ref().map(|cause| format!("; replaced last because: {cause}")).unwrap_or_default();
            writeln!(f, "  coordinator: {state}{again}{why}")?;
            writeln!(f, "  snapshot actor: {state}{again}")?;
        }
        self.regions.iter().try_for_each(|region| region.fmt(f))
    }
}

impl fmt::Display for RegionNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  region {}: {}", self.id, self.state)?;
        if let Some(attempt) = self.attempt {
            write!(f, ", attempt {attempt}")?;
        }
        write!(f, ", restarts {}", self.restarts)?;
        if let Some(cause) = &self.last_failure {
            write!(f, "; it failed last because: {cause}")?;
        }
        writeln!(f)?;
        self.tasks.iter().try_for_each(|task| task.fmt(f))
    }
}

impl fmt::Display for TaskNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    task {} ({}): {}, {} records", self.id, self.operators, self.state, self.records)?;
        if let Some(stuck) = self.stuck {
            write!(f, ", has not moved for {} s", stuck.as_secs())?;
        }
        writeln!(f)
    }
}

/// Puts the tree together.
fn tree(job: &str, end: Option<&JobEnd>, known: &Known, tasks: &[SeenTask], still: Duration) -> JobTree {
    let state = match end {
        None => "running".into(),
        Some(JobEnd::Finished) => "finished".into(),
        Some(JobEnd::Cancelled) => "cancelled".into(),
        Some(JobEnd::Failed(error)) => format!("failed: {error}"),
    };
    let regions = known.regions.iter().map(|(id, region)| RegionNode {
        id: *id,
        state: region.state,
        attempt: region.attempt,
        restarts: region.restarts,
        last_failure: region.last_failure.clone(),
        tasks: tasks.iter().filter(|task| task.region == *id).map(|seen| task(seen, region.state, still)).collect(),
    });
    JobTree { job: job.to_owned(), state, alive: end.is_none(), pair: known.pair.clone(), regions: regions.collect() }
}

fn task(seen: &SeenTask, region: RegionState, still: Duration) -> TaskNode {
    let state = match (region, seen.reading.doing) {
        (RegionState::Ended | RegionState::Failed, _) | (_, Doing::Ended) => TaskState::Ended,
        (_, _) if seen.reading.steps == 0 => TaskState::Opening,
        (_, Doing::Resting) => TaskState::Resting,
        (_, Doing::Stepping) => TaskState::Running,
        (_, Doing::Waiting) => TaskState::Waiting,
    };
    let stuck = seen.still_for.filter(|time| *time >= still && state != TaskState::Ended);
    let (id, operators, records) = (seen.task, seen.operators.to_string(), seen.reading.records);
    TaskNode { id, operators, state, records, stuck }
}

impl JobHandle {
    /// The job's supervision tree as it is now: its regions with their attempts, restarts and last failures, and what each task does.
    ///
    /// ```
    /// use tidegate::testing::{RecordingSink, Scripted};
    /// use tidegate::{Job, Store};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> tidegate::Result<()> {
    /// let job = Job::new("numbers").store(Store::memory());
    /// let numbers = job.source("numbers", Scripted::new([vec![1, 2, 3]]).endless());
    /// numbers.key_by(|n| n % 2).count().uid("counts").sink("out", RecordingSink::new());
    /// let running = job.start().await?;
    /// let tree = running.tree().to_string();
    /// assert!(tree.starts_with("job numbers: running\n  coordinator: running\n  snapshot actor: running\n  region 0: "), "{tree}");
    /// assert!(tree.contains("\n    task 1.0 (counts → out): "), "{tree}");
    /// running.cancel().await
    /// # }
    /// ```
    pub fn tree(&self) -> JobTree {
        let (status, now) = (&self.status, self.status.now());
        let (known, tasks) = (status.chronicle.known(), status.watched.seen(now));
        tree(&status.job, status.decided(), &known, &tasks, status.watchdog.bounds().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::JobEvent;
    use crate::error::Error;
    use crate::supervision::Reading;
    use crate::time::{Moment, secs};

    #[test]
    fn a_tree_is_printed_by_depth_with_what_each_does() {
        let mut known = Known::new(2, Moment::default());
        let attempt = Attempt { epoch: 4, n: 1 };
        known.learn(&JobEvent::RegionRunning { region: RegionId(0), attempt }, Moment::default());
        let cause = Error::Panic { operator: "spin".into(), task: "1.0".into(), message: "boom".into() };
        let failed = JobEvent::RegionFailed { region: RegionId(1), task: None, operator: None, cause };
        known.learn(&failed, Moment::default());
        known.learn(&JobEvent::RegionRestarting { region: RegionId(1), after: secs(1), restarts: 2 }, Moment::default());
        let seen = |chain, region, operators: &str, doing, steps, still| SeenTask {
            task: TaskId { chain, index: 0 },
            region: RegionId(region),
            operators: operators.into(),
            attempt: Some(attempt),
            reading: Reading { doing, steps, records: 12 },
            still_for: Some(secs(still)),
        };
        let tasks = [seen(0, 0, "in → out", Doing::Stepping, 3, 31), seen(1, 1, "spin", Doing::Resting, 0, 0)];
        let tree = tree("flights", None, &known, &tasks, secs(30)).to_string();
        let expected = "job flights: running\n  coordinator: running\n  snapshot actor: running\n  region 0: running, attempt 4.1, restarts 0\n    \
                        task 0.0 (in → out): running, 12 records, has not moved for 31 s\n  region 1: restarting, restarts 2; it failed \
                        last because: operator 'spin' (task 1.0) panicked: boom\n    task 1.0 (spin): opening, 12 records\n";
        assert_eq!(tree, expected);
    }

    #[test]
    fn a_pair_that_is_replaced_says_so() {
        let mut known = Known::new(0, Moment::default());
        let cause = Error::Engine("the coordinator failed".into());
        known.learn(&JobEvent::PairFailed { cause: cause.clone() }, Moment::default());
        let shown = |known: &Known| tree("flights", None, known, &[], secs(1)).to_string();
        let why = format!("; replaced last because: {cause}");
        let expected = format!("job flights: running\n  coordinator: being replaced{why}\n  snapshot actor: being replaced\n");
        assert_eq!(shown(&known), expected);
        known.learn(&JobEvent::PairReplaced { tenure: 2 }, Moment::default());
        let expected =
            format!("job flights: running\n  coordinator: running, tenure 2{why}\n  snapshot actor: running, tenure 2\n");
        assert_eq!(shown(&known), expected);
    }

    #[test]
    fn nothing_is_alive_once_the_job_has_ended() {
        let mut known = Known::new(1, Moment::default());
        known.learn(&JobEvent::RegionEnded { region: RegionId(0) }, Moment::default());
        let tree = tree("flights", Some(&JobEnd::Cancelled), &known, &[], secs(1)).to_string();
        assert_eq!(tree, "job flights: cancelled\n  region 0: ended, restarts 0\n");
    }
}
