//! The watchdog of a job: looks at its tasks now and then, reports those that are stuck, and fails their regions in the end.
//!
//! Runs beside the actors, on the job's own runtime, which no task can hold up. Not under the simulator: there a step takes no time at
//! all, and one that does not come back is caught by the simulator itself.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::event::JobEvent;
use super::post::post;
use super::region::RegionMsg;
use super::status::JobStatus;
use super::watched::SeenTask;
use crate::error::Error;
use crate::supervision::{Event, Finding};

/// Watches until the job is over.
pub(super) async fn watch(status: Arc<JobStatus>, regions: Vec<ActorRef<RegionMsg>>) {
    let (bounds, period) = (status.watchdog.bounds(), status.watchdog.period());
    while !status.is_over() {
        tokio::time::sleep(period).await;
        for (task, finding) in status.watched.look(bounds, status.now()) {
            match finding {
                Finding::Stuck(stuck) => report(&status, task, stuck),
                Finding::Hopeless(stuck) => fail(&regions, task, stuck),
                Finding::Moves => {
                    tracing::info!(task = %task.task, operators = %task.operators, "a task that was stuck has come back");
                    status.tell(JobEvent::TaskMoves { task: task.task, operators: task.operators.to_string() });
                }
            }
        }
    }
}

fn report(status: &JobStatus, task: SeenTask, stuck: Duration) {
    let (id, operators, records) = (task.task, task.operators.to_string(), task.reading.records);
    tracing::warn!(task = %id, operators, records, ?stuck, "a task does not come back from a callback");
    status.tell(JobEvent::TaskStuck { task: id, operators, stuck, records });
}

/// The region's supervisor tells its tasks to stop, and starts nothing before the stuck one is gone.
fn fail(regions: &[ActorRef<RegionMsg>], task: SeenTask, stuck: Duration) {
    let (Some(region), Some(attempt)) = (regions.get(task.region.0 as usize), task.attempt) else { return };
    let records = task.reading.records;
    let what = format!("it has not come back from a callback for {stuck:?}, after {records} records");
    let cause = Error::Stuck { task: task.task.to_string(), operators: task.operators.to_string(), what };
    post(region, RegionMsg::Event(Event::TaskFailed { task: task.task, attempt, cause }));
}
