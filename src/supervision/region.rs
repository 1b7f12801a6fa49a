//! The life of a region: its tasks start together, fail together and are restarted together.
//!
//! Always: an attempt starts only once every task of the one before is confirmed gone, the strategy's delay is over, and the
//! restore point is known. The first cause of a failure is the cause; what fails while the region is torn down neither replaces it
//! nor counts. What carries another attempt is ignored. The end is told once, and only when no task is left, unless one is stuck:
//! a thread can't be killed, so the job fails and names it, and nothing is ever started beside it.
//!
//! Owned by the region's supervisor, which feeds it events with the monotonic time, does the actions in order, and sends a tick at
//! the deadline. Never waits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Restart, STUCK_AFTER};
use crate::error::Error;
use crate::ids::{Attempt, CheckpointId, TaskId};
use crate::supervision::restarts::{Decision, Restarts};
use crate::time::Moment;

/// What happens to a region.
#[derive(Debug)]
pub(crate) enum Event {
    /// The job starts.
    Start,
    /// The coordinator's restore point: `None` to begin anew.
    RestorePoint(Option<CheckpointId>),
    /// The attempt could not be started, for instance because its state could not be read; no task of it exists.
    StartFailed { attempt: Attempt, cause: Error },
    /// A task has opened and runs.
    TaskRunning { task: TaskId, attempt: Attempt },
    /// A task failed; it is gone only when that is said too.
    #[expect(dead_code, reason = "who failed is evidence: it is seen in traces")]
    TaskFailed { task: TaskId, attempt: Attempt, cause: Error },
    /// A task is gone: its driver and its calls in flight have ended.
    TaskGone { task: TaskId, attempt: Attempt },
    /// Something failed that stands for the whole region, such as too many checkpoints.
    Failed { cause: Error },
    /// What its tasks have put out is to be taken back, through no fault of theirs: they begin again where they were, whatever the
    /// strategy.
    StartAnew { cause: Error },
    /// The savepoint with which the job ends is complete, and lies there: the tasks may confirm their commits and go. From now on
    /// nothing is restarted, because what the savepoint holds may be committed.
    Leave { savepoint: PathBuf },
    /// The final checkpoint is complete: the tasks may confirm their commits and go.
    Finish,
    /// There is a new coordinator, which knows nothing of the region.
    Introduce,
    /// The user cancels, or the job stops.
    Cancel,
    /// The deadline has come.
    Tick,
}

/// What the supervisor has to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Tell the coordinator that the region does not run and wants its restore point.
    ReportDown,
    /// Start all tasks, in the plan's order, from this point.
    StartTasks { attempt: Attempt, point: Option<CheckpointId> },
    /// Tell the coordinator that all tasks run.
    ReportRunning { attempt: Attempt },
    /// Tell the coordinator again that all tasks run, and which of them have ended.
    ReportAgain { attempt: Attempt },
    /// Cancel these tasks, in this order, and confirm each as gone.
    #[cfg_attr(not(test), expect(dead_code, reason = "the attempt is evidence: it is read in traces and tests"))]
    CancelTasks { attempt: Attempt, tasks: Vec<TaskId> },
    /// Let these tasks confirm their commits and go.
    #[cfg_attr(not(test), expect(dead_code, reason = "who is meant is evidence: the supervisor means all tasks"))]
    FinishTasks { attempt: Attempt, tasks: Vec<TaskId> },
    /// An attempt failed and is restarted: for the log and the status.
    ReportRestart { cause: Error, restarts: u32 },
    /// The region has come to its end.
    Over(Outcome),
}

/// How a region ends.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// All data was handled, all output is committed.
    Ended,
    Cancelled,
    Failed(Error),
}

/// What a region does, as its tests ask for it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Waits for its restore point.
    Restoring,
    /// Not all tasks run yet.
    Starting,
    Running,
    /// Its data has ended; commits are being confirmed.
    Finishing,
    /// Waits for its tasks to be gone.
    Stopping,
    /// Waits for the strategy's delay.
    Backoff,
    Ended,
    Cancelled,
    Failed,
}

#[derive(Debug)]
enum State {
    Fresh,
    /// Waits for what an attempt needs: no task left, the delay over, the restore point.
    Restarting {
        not_before: Moment,
        point: Option<Option<CheckpointId>>,
    },
    /// These tasks have not said that they run.
    Starting {
        unopened: BTreeSet<TaskId>,
    },
    Running,
    Finishing,
    /// As finishing, behind the savepoint with which the job ends.
    Leaving {
        savepoint: PathBuf,
    },
    /// Ends so, once no task is left.
    Stopping(Outcome),
    Over(Outcome),
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Region {
    /// All tasks, in the order in which they are started.
    tasks: Vec<TaskId>,
    restarts: Restarts,
    /// The delay of the latest restart.
    delay: Duration,
    /// A task that was told to stop and is still there after this is stuck.
    give_up_after: Duration,
    /// The operators of the tasks, for who reads of one that is stuck.
    operators: BTreeMap<TaskId, String>,
    /// The latest attempt that was started, or the one before the first.
    attempt: Attempt,
    started: bool,
    /// The tasks of the attempt that are not gone.
    alive: BTreeSet<TaskId>,
    /// When those that were cancelled count as stuck.
    stuck_at: Option<Moment>,
    /// Why the latest attempt that failed did so.
    failure: Option<Error>,
    state: State,
    actions: Vec<Action>,
}

impl Region {
    /// A region that has not started, of tasks in the order in which they are to be started.
    pub(crate) fn new(tasks: Vec<TaskId>, restart: &Restart, epoch: u64) -> Self {
        Region {
            restarts: Restarts::new(restart, epoch ^ tasks.first().map_or(0, |task| u64::from(task.chain) << 32)),
            delay: Duration::ZERO,
            give_up_after: STUCK_AFTER,
            operators: BTreeMap::new(),
            tasks,
            attempt: Attempt { epoch, n: 0 },
            started: false,
            alive: BTreeSet::new(),
            stuck_at: None,
            failure: None,
            state: State::Fresh,
            actions: Vec::new(),
        }
    }

    /// The same with another patience for what is stuck, and with the names of the operators.
    pub(crate) fn watched(self, give_up_after: Duration, operators: BTreeMap<TaskId, String>) -> Self {
        Region { give_up_after, operators, ..self }
    }

    /// How long the latest restart was put off.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    /// Takes an event in; returns what to do, in order.
    #[must_use]
    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        self.apply(event, now);
        self.advance(now);
        std::mem::take(&mut self.actions)
    }

    /// When the next tick is to come.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        if self.stuck_at.is_some() {
            return self.stuck_at;
        }
        match self.state {
            State::Restarting { not_before, point: Some(_) } => Some(not_before),
            _ => None,
        }
    }

    /// What the region does at `now`.
    #[cfg(test)]
    pub(crate) fn status(&self, now: Moment) -> Status {
        match &self.state {
            State::Fresh => Status::Restoring,
            State::Restarting { .. } | State::Stopping(_) if !self.alive.is_empty() => Status::Stopping,
            State::Restarting { not_before, .. } if *not_before > now => Status::Backoff,
            State::Restarting { .. } => Status::Restoring,
            State::Starting { .. } => Status::Starting,
            State::Running => Status::Running,
            State::Finishing | State::Leaving { .. } => Status::Finishing,
            State::Stopping(_) => Status::Stopping,
            State::Over(Outcome::Ended) => Status::Ended,
            State::Over(Outcome::Cancelled) => Status::Cancelled,
            State::Over(Outcome::Failed(_)) => Status::Failed,
        }
    }

    /// The latest attempt.
    pub(crate) fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Why its tasks answer no questions now; none where they do, each from when it runs.
    pub(crate) fn silence(&self) -> Option<&'static str> {
        match &self.state {
            State::Starting { .. } | State::Running | State::Finishing | State::Leaving { .. } => None,
            State::Fresh | State::Restarting { .. } if !self.started => Some("the job is being started"),
            State::Fresh | State::Restarting { .. } => Some("it has failed and is being restarted"),
            State::Stopping(Outcome::Failed(_)) | State::Over(Outcome::Failed(_)) => Some("it has failed for good"),
            State::Stopping(_) | State::Over(_) => Some("the job is being ended"),
        }
    }

    fn apply(&mut self, event: Event, now: Moment) {
        match event {
            Event::Start => self.start(now),
            Event::RestorePoint(restored) => {
                if let State::Restarting { point, .. } = &mut self.state {
                    *point = Some(restored);
                }
            }
            Event::StartFailed { attempt, cause } if self.is_current(attempt) => {
                self.alive.clear();
                self.fail(cause, now);
            }
            Event::TaskRunning { task, attempt } if self.is_current(attempt) => self.task_running(task),
            Event::TaskFailed { task: _, attempt, cause } if self.is_current(attempt) => self.fail(cause, now),
            Event::TaskGone { task, attempt } if self.is_current(attempt) => self.task_gone(task, now),
            Event::Failed { cause } => self.fail(cause, now),
            Event::StartAnew { cause } => self.start_anew(cause, now),
            Event::Leave { savepoint } => self.leave(savepoint),
            Event::Finish => self.finish(),
            Event::Introduce => self.introduce(),
            Event::Cancel => self.cancel(now),
            Event::StartFailed { .. } | Event::TaskRunning { .. } | Event::TaskFailed { .. } | Event::TaskGone { .. } => {}
            Event::Tick => {}
        }
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        self.started && attempt == self.attempt
    }

    fn start(&mut self, now: Moment) {
        if matches!(self.state, State::Fresh) {
            self.state = State::Restarting { not_before: now, point: None };
            self.actions.push(Action::ReportDown);
        }
    }

    fn task_running(&mut self, task: TaskId) {
        let State::Starting { unopened } = &mut self.state else { return };
        unopened.remove(&task);
        if unopened.is_empty() {
            self.state = State::Running;
            self.actions.push(Action::ReportRunning { attempt: self.attempt });
        }
    }

    /// A task that goes while it should run has failed, though it did not say so.
    fn task_gone(&mut self, task: TaskId, now: Moment) {
        let was_there = self.alive.remove(&task);
        if was_there && matches!(self.state, State::Starting { .. } | State::Running) {
            self.fail(Error::Engine(format!("task {task} is gone and gave no reason")), now);
        }
    }

    /// Failures count while the region starts, runs or finishes; before and after, they are part of a teardown.
    fn fail(&mut self, cause: Error, now: Moment) {
        let after = match &self.state {
            State::Starting { .. } | State::Running | State::Finishing => None,
            State::Leaving { savepoint } => Some(savepoint.clone()),
            _ => return,
        };
        self.actions.push(Action::ReportDown);
        self.cancel_tasks(now);
        if let Some(savepoint) = after {
            self.state = State::Stopping(failed_after(&savepoint, cause));
            return;
        }
        self.state = match self.restarts.failed(&cause, now) {
            Decision::RestartIn(delay) => {
                self.delay = delay;
                self.failure = Some(cause.clone());
                self.actions.push(Action::ReportRestart { cause, restarts: self.restarts.granted() });
                State::Restarting { not_before: now.plus(delay), point: None }
            }
            Decision::GiveUp(strategy) => {
                State::Stopping(Outcome::Failed(Error::RestartsExhausted { strategy, cause: Box::new(cause) }))
            }
        };
    }

    /// A restore point of the coordinator before does not count: what it stood for may be gone by the time when it is used.
    fn introduce(&mut self) {
        match &mut self.state {
            State::Restarting { point, .. } => {
                *point = None;
                self.actions.push(Action::ReportDown);
            }
            State::Running | State::Finishing | State::Leaving { .. } | State::Over(Outcome::Ended) => {
                self.actions.push(Action::ReportAgain { attempt: self.attempt });
            }
            // It says so itself when it runs, or never runs again.
            State::Fresh | State::Starting { .. } | State::Stopping(_) | State::Over(_) => {}
        }
    }

    /// One that is being restarted anyway is.
    fn start_anew(&mut self, cause: Error, now: Moment) {
        if !matches!(self.state, State::Starting { .. } | State::Running) {
            return;
        }
        self.actions.push(Action::ReportDown);
        self.cancel_tasks(now);
        self.actions.push(Action::ReportRestart { cause, restarts: self.restarts.granted() });
        self.state = State::Restarting { not_before: now, point: None };
    }

    /// A region that has failed meanwhile has failed for good.
    fn leave(&mut self, savepoint: PathBuf) {
        match &self.state {
            State::Running => {
                self.state = State::Leaving { savepoint };
                self.finish_tasks();
            }
            State::Fresh | State::Restarting { .. } | State::Starting { .. } => {
                let cause = self.failure.take().unwrap_or_else(|| Error::Engine("a region does not run".into()));
                self.state = State::Stopping(failed_after(&savepoint, cause));
            }
            State::Stopping(Outcome::Failed(cause)) => self.state = State::Stopping(failed_after(&savepoint, cause.clone())),
            State::Finishing | State::Leaving { .. } | State::Stopping(_) | State::Over(_) => {}
        }
    }

    /// In reverse order: what sends goes after what it sends to, and finds a closed channel at worst.
    fn cancel_tasks(&mut self, now: Moment) {
        let alive = &self.alive;
        let tasks: Vec<TaskId> = self.tasks.iter().rev().copied().filter(|task| alive.contains(task)).collect();
        if !tasks.is_empty() {
            self.stuck_at = Some(now.plus(self.give_up_after));
            self.actions.push(Action::CancelTasks { attempt: self.attempt, tasks });
        }
    }

    fn finish(&mut self) {
        if matches!(self.state, State::Running) {
            self.state = State::Finishing;
            self.finish_tasks();
        }
    }

    fn finish_tasks(&mut self) {
        let alive = &self.alive;
        let tasks = self.tasks.iter().copied().filter(|task| alive.contains(task)).collect();
        self.actions.push(Action::FinishTasks { attempt: self.attempt, tasks });
    }

    /// A region that has failed for good stays failed.
    fn cancel(&mut self, now: Moment) {
        match self.state {
            State::Stopping(_) | State::Over(_) => return,
            State::Starting { .. } | State::Running | State::Finishing | State::Leaving { .. } => {
                self.actions.push(Action::ReportDown);
                self.cancel_tasks(now);
            }
            State::Fresh | State::Restarting { .. } => {}
        }
        self.state = State::Stopping(Outcome::Cancelled);
    }

    /// Goes on where everything that was waited for is there.
    fn advance(&mut self, now: Moment) {
        if !self.alive.is_empty() {
            return self.give_up_if_stuck(now);
        }
        self.stuck_at = None;
        match &self.state {
            State::Restarting { not_before, point: Some(point) } if *not_before <= now => {
                let point = *point;
                self.start_tasks(point);
            }
            State::Finishing | State::Leaving { .. } => self.end(Outcome::Ended),
            State::Stopping(outcome) => {
                let outcome = outcome.clone();
                self.end(outcome);
            }
            _ => {}
        }
    }

    fn start_tasks(&mut self, point: Option<CheckpointId>) {
        if self.started {
            self.attempt.n += 1;
        }
        self.started = true;
        self.alive = self.tasks.iter().copied().collect();
        self.state = State::Starting { unopened: self.alive.clone() };
        self.actions.push(Action::StartTasks { attempt: self.attempt, point });
    }

    fn give_up_if_stuck(&mut self, now: Moment) {
        if self.stuck_at.is_none_or(|stuck_at| now < stuck_at) {
            return;
        }
        self.stuck_at = None;
        let stuck: Vec<String> = self.alive.iter().map(TaskId::to_string).collect();
        let operators: Vec<&str> = self.alive.iter().filter_map(|task| self.operators.get(task)).map(String::as_str).collect();
        let what = format!(
            "told to stop {:?} ago, and still there; a thread can't be killed, and no attempt is started beside it: look for a loop or a \
             wait without end in these operators, and start the process anew",
            self.give_up_after
        );
        self.end(Outcome::Failed(Error::Stuck { task: stuck.join(", "), operators: operators.join(", "), what }));
    }

    fn end(&mut self, outcome: Outcome) {
        self.state = State::Over(outcome.clone());
        self.actions.push(Action::Over(outcome));
    }
}

fn failed_after(savepoint: &Path, cause: Error) -> Outcome {
    Outcome::Failed(Error::FailedAfterSavepoint { savepoint: savepoint.into(), cause: Box::new(cause) })
}
