//! The driver of one task: steps it, yields now and then, and sleeps when there is nothing to do.
//!
//! Always: before the driver sleeps it registers with the task's bell and then looks once more, so that no ring is missed. A panic
//! in a step is caught here and ends the task like an error.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::pulse::Pulse;
use crate::channel::Bell;
use crate::error::{Error, chain_text, panic_text};
use crate::ids::{TaskId, Uid};
use crate::supervision::Doing;
use crate::task::{Progress, Task};
use crate::time::{Clock, Moment};

/// How a task ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// As it was told to.
    Done,
    /// By an error or a panic of its own.
    Failed(Error),
}

/// What the driver knows of its task.
pub(crate) struct Driver {
    pub(crate) id: TaskId,
    pub(crate) bell: Bell,
    pub(crate) uids: Vec<Uid>,
    pub(crate) clock: Arc<dyn Clock>,
    /// After how many of them others have their turn.
    pub(crate) steps: usize,
    /// What it shows of the task to who watches.
    pub(crate) pulse: Arc<Pulse>,
}

/// Rings when there is something to do again.
type Alarm = Pin<Box<Sleep>>;

/// Drives a task to its end, and hands it back to be dropped.
pub(crate) async fn drive(driver: Driver, mut task: Task) -> (Ending, Task) {
    let mut alarm = None;
    let ending = poll_fn(|cx| driver.turn(&mut task, &mut alarm, cx)).await;
    driver.pulse.beats(Doing::Ended, task.taken());
    (ending, task)
}

/// What a task does after a step.
fn doing(progress: Progress) -> Doing {
    match progress {
        Progress::Idle(_) => Doing::Resting,
        Progress::Ready | Progress::Blocked => Doing::Waiting,
        Progress::Done => Doing::Ended,
    }
}

impl Driver {
    /// One turn: some steps, until the task has nothing to do or others should have theirs.
    fn turn(&self, task: &mut Task, alarm: &mut Option<Alarm>, cx: &mut Context<'_>) -> Poll<Ending> {
        let (mut registered, mut left) = (false, self.steps);
        while left > 0 {
            let until = match self.step(task, cx) {
                Err(ending) => return Poll::Ready(ending),
                Ok(Progress::Done) => return Poll::Ready(Ending::Done),
                Ok(Progress::Ready) => {
                    left -= 1;
                    continue;
                }
                Ok(Progress::Idle(until)) => until,
                Ok(Progress::Blocked) => None,
            };
            if !registered {
                self.bell.register(cx.waker());
                registered = true;
            } else if self.falls_asleep(until, alarm, cx) {
                return Poll::Pending;
            } else {
                left -= 1;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sets the alarm; false if it would ring at once.
    fn falls_asleep(&self, until: Option<Moment>, set: &mut Option<Alarm>, cx: &mut Context<'_>) -> bool {
        let Some(until) = until else { return true };
        let left = until.since(self.clock.now());
        if left.is_zero() {
            return false;
        }
        let mut alarm = Box::pin(tokio::time::sleep(left));
        let asleep = alarm.as_mut().poll(cx).is_pending();
        *set = Some(alarm);
        asleep
    }

    /// One step, whose error or panic is blamed on the operator that ran.
    pub(crate) fn step(&self, task: &mut Task, cx: &Context<'_>) -> Result<Progress, Ending> {
        self.pulse.steps();
        let outcome = catch_unwind(AssertUnwindSafe(|| task.step(cx.waker())));
        match outcome {
            Ok(Ok(progress)) => {
                self.pulse.beats(doing(progress), task.taken());
                Ok(progress)
            }
            Ok(Err(error)) => Err(Ending::Failed(Error::Operator {
                operator: self.operator(task),
                task: self.id.to_string(),
                callback: task.running().1,
                cause: chain_text(&*error),
                source: Arc::from(error),
            })),
            Err(panic) => Err(Ending::Failed(Error::Panic {
                operator: self.operator(task),
                task: self.id.to_string(),
                message: panic_text(&*panic),
            })),
        }
    }

    fn operator(&self, task: &Task) -> String {
        self.uids.get(task.running().0.0).map_or_else(String::new, Uid::to_string)
    }
}
