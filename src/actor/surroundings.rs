//! How a task reaches those around it: what it has to say, and its work that may block.
//!
//! Always: it goes through the region's supervisor, which knows who is to hear of it; so a task outlives those that it talks to. Part of
//! the region's supervisor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ractor::ActorRef;

use super::keeper::Part;
use super::post::post;
use super::presence::Presence;
use super::region::{RegionMsg, RegionState};
use crate::checkpoint;
use crate::error::panic_text;
use crate::hook::Who;
use crate::ids::{Attempt, TaskId, Uid};
use crate::operator::{OpId, Work};
use crate::plan::{Opener, Surroundings};
use crate::task::{Command, Report};

impl RegionState {
    /// What a task sees around it.
    pub(super) fn surroundings(
        &self,
        opener: &Opener,
        attempt: Attempt,
        presence: &Presence,
        myself: &ActorRef<RegionMsg>,
    ) -> Surroundings {
        let (task, uids): (TaskId, Arc<[Uid]>) = (opener.id, opener.uids().into());
        let (region, of_report, hooks) = (myself.clone(), presence.clone(), self.args.common.hooks.clone());
        let report = move |report| match report {
            Report::View(view) => {
                hooks.tell(Who::Task(task), || format!("sends barrier {} on, and takes its view", view.checkpoint));
                let (uids, presence, of) = (uids.clone(), of_report.clone(), region.clone());
                post(&region, RegionMsg::Persist(Box::new(Part { view, uids, presence, region: of })));
            }
            Report::Declined(id, reason) => {
                let refusal = reason.into();
                post(&region, RegionMsg::Told(checkpoint::Event::Decline { task, attempt, id, refusal }));
            }
            Report::Ended => {
                hooks.tell(Who::Task(task), || "has read its last record".into());
                post(&region, RegionMsg::Told(checkpoint::Event::TaskEnded { task, attempt }));
            }
            Report::Committed(id) => {
                hooks.tell(Who::Task(task), || format!("has heard that checkpoint {id} is complete, and has committed"));
                post(&region, RegionMsg::Committed { task, attempt, id });
            }
        };
        let (executor, region, of_work) = (self.args.common.executor.clone(), myself.clone(), presence.clone());
        let offload = move |operator: OpId, work: Work| {
            let (region, presence) = (region.clone(), of_work.clone());
            executor.offload(Box::new(move || {
                let panicked = |panic: Box<dyn std::any::Any + Send>| Err(format!("panicked: {}", panic_text(&*panic)).into());
                let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked);
                post(&region, RegionMsg::ToTask { task, attempt, command: Command::Worked(operator, result) });
                drop(presence);
            }));
        };
        Surroundings { report: Box::new(report), offload: Box::new(offload) }
    }
}
