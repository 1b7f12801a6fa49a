//! The supervisor of a region: feeds the machine of its life, starts and stops its tasks, and passes commands on to them.
//!
//! Always: a task is told about under its attempt only; what an older attempt still sends is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::alarm::Alarm;
use super::coordinator::CoordinatorMsg;
use super::keeper::{KeeperMsg, Part, guarded};
use super::post::post;
use super::presence::Presence;
use super::restore::{RestorePoint, Wanted};
use super::root::{Common, RootMsg};
use super::shell::Shell;
use crate::channel::LaneSender;
use crate::checkpoint::{self, Member, Refusal};
use crate::error::Result;
use crate::executor::{Driver, Ending, drive};
use crate::gate::AbortReason;
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId, Uid};
use crate::operator::{OpId, Work};
use crate::plan::{AttemptContext, Opener, Surroundings, wire};
use crate::snapshot::Share;
use crate::supervision::{Action, Event, Region};
use crate::task::{Command, Report, Task};

/// What a region's supervisor is sent.
pub(crate) enum RegionMsg {
    /// For the machine.
    Event(Event),
    /// The restore point was read: the tasks can be opened.
    Prepared { attempt: Attempt, restore: Result<Arc<RestorePoint>> },
    /// A task's operators were opened.
    Opened(Box<Opened>),
    /// To one task, in this attempt.
    ToTask { task: TaskId, attempt: Attempt, command: Command },
    /// To all tasks: the checkpoint is complete.
    Complete(CheckpointId),
    /// To all tasks: the checkpoint was given up; the latest complete one.
    Aborted(CheckpointId, Option<CheckpointId>),
    /// The final checkpoint is complete: tasks go once they have committed it.
    Finish(CheckpointId),
    /// A task has committed everything up to a checkpoint.
    Committed { task: TaskId, attempt: Attempt, id: CheckpointId },
    /// The alarm.
    Tick,
}

/// A task that was opened, or why it could not be.
pub(crate) struct Opened {
    id: TaskId,
    attempt: Attempt,
    bell: crate::channel::Bell,
    uids: Arc<[Uid]>,
    task: Result<Task>,
    presence: Presence,
}

/// What a region's supervisor begins with.
pub(crate) struct RegionArgs {
    pub(crate) id: RegionId,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) common: Arc<Common>,
    pub(crate) root: ActorRef<RootMsg>,
    pub(crate) coordinator: ActorRef<CoordinatorMsg>,
    pub(crate) keeper: ActorRef<KeeperMsg>,
}

/// The supervisor's behaviour.
pub(crate) struct RegionSupervisor;

/// A task of the current attempt.
struct Entrant {
    reach: Reach,
    committed: Option<CheckpointId>,
}

/// How commands reach a task.
enum Reach {
    /// It is being opened; what is sent waits in its lane.
    Lane(LaneSender<Command>),
    /// Through its shell, the only holder of its lane.
    Shell(ActorRef<Command>),
}

impl Entrant {
    fn tell(&self, command: Command) {
        match &self.reach {
            Reach::Lane(lane) => lane.send(command),
            Reach::Shell(shell) => post(shell, command),
        }
    }
}

/// The machine, and the tasks of the current attempt.
pub(crate) struct RegionState {
    args: RegionArgs,
    machine: Region,
    alarm: Alarm,
    entrants: BTreeMap<TaskId, Entrant>,
    /// The attempt that is being prepared was told to stop.
    abandoned: bool,
    /// The checkpoint that the current attempt began from.
    point: Option<CheckpointId>,
    finishing: Option<CheckpointId>,
}

impl RegionState {
    fn feed(&mut self, event: Event, myself: &ActorRef<RegionMsg>) {
        let now = self.args.common.executor.clock().now();
        for action in self.machine.handle(event, now) {
            self.act(action, myself);
        }
        self.alarm.set(self.machine.next_deadline(), myself, RegionMsg::Tick);
    }

    fn act(&mut self, action: Action, myself: &ActorRef<RegionMsg>) {
        match action {
            Action::ReportDown => self.tell_coordinator(checkpoint::Event::RegionDown { region: self.args.id }),
            Action::StartTasks { attempt, point } => self.prepare(attempt, point, myself),
            Action::ReportRunning { attempt } => self.report_running(attempt),
            Action::CancelTasks { tasks, .. } => {
                self.abandoned = self.entrants.is_empty();
                self.each(&tasks, |entrant| entrant.tell(Command::Cancel));
            }
            Action::FinishTasks { .. } => self.release(),
            Action::ReportRestart { cause, restarts } => {
                self.args.common.status.restarts.add(1);
                tracing::warn!(region = %self.args.id, %cause, restarts, "a region failed and is restarted");
            }
            Action::Over(outcome) => {
                post(&self.args.root, RootMsg::RegionOver { region: self.args.id, outcome, checkpoint: self.finishing });
            }
        }
    }

    fn tell_coordinator(&self, event: checkpoint::Event<crate::snapshot::TaskEntry>) {
        post(&self.args.coordinator, CoordinatorMsg::Event(event));
    }

    fn each(&self, tasks: &[TaskId], act: impl Fn(&Entrant)) {
        tasks.iter().filter_map(|task| self.entrants.get(task)).for_each(act);
    }

    fn report_running(&mut self, attempt: Attempt) {
        let plan = &self.args.common.plan;
        let member = |task: &TaskId| Member { task: *task, source: plan.is_source(*task) };
        let members = self.args.tasks.iter().map(member).collect();
        self.tell_coordinator(checkpoint::Event::RegionUp { region: self.args.id, attempt, members });
    }

    /// Reads the restore point and takes the sinks up, off this actor.
    fn prepare(&mut self, attempt: Attempt, point: Option<CheckpointId>, myself: &ActorRef<RegionMsg>) {
        for (_, entrant) in std::mem::take(&mut self.entrants) {
            if let Reach::Shell(shell) = entrant.reach {
                shell.stop(None);
            }
        }
        (self.abandoned, self.point, self.finishing) = (false, point, None);
        let (common, region, tasks, myself) = (self.args.common.clone(), self.args.id, self.args.tasks.clone(), myself.clone());
        self.args.common.executor.offload(Box::new(move || {
            let wanted = Wanted { common: &common, region, tasks: &tasks, point, attempt };
            let restore = guarded(|| RestorePoint::prepare(&wanted)).map(Arc::new);
            post(&myself, RegionMsg::Prepared { attempt, restore });
        }));
    }

    fn prepared(&mut self, attempt: Attempt, restore: Result<Arc<RestorePoint>>, myself: &ActorRef<RegionMsg>) {
        match restore {
            Err(cause) => self.feed(Event::StartFailed { attempt, cause }, myself),
            Ok(_) if self.abandoned => {
                for task in self.args.tasks.clone() {
                    self.feed(Event::TaskGone { task, attempt }, myself);
                }
            }
            Ok(restore) => self.open(attempt, &restore, myself),
        }
    }

    /// Wires the tasks, and opens each on a thread that may block.
    fn open(&mut self, attempt: Attempt, restore: &Arc<RestorePoint>, myself: &ActorRef<RegionMsg>) {
        let common = &self.args.common;
        let context = AttemptContext {
            job: common.job.clone(),
            attempt,
            hasher: common.hasher,
            clock: common.executor.clock(),
            metrics: common.status.operators.clone(),
            longest_step: common.status.longest_step.clone(),
            restored: self.point,
        };
        self.reset_counters();
        for opener in wire(&common.plan, &self.args.tasks, &context) {
            let reach = Reach::Lane(opener.commands.clone());
            self.entrants.insert(opener.id, Entrant { reach, committed: None });
            let presence = Presence::new(opener.id, attempt, myself.clone());
            let surroundings = self.surroundings(&opener, attempt, &presence, myself);
            let (restore, common, myself) = (restore.clone(), common.clone(), myself.clone());
            self.args.common.executor.offload(Box::new(move || {
                let opened = open_task(opener, attempt, &restore, &common, surroundings, presence);
                post(&myself, RegionMsg::Opened(Box::new(opened)));
            }));
        }
    }

    /// What was counted over the job's life is in the state: each task adds its part when it opens.
    fn reset_counters(&self) {
        let common = &self.args.common;
        let nodes = self.args.tasks.iter().filter_map(|task| common.plan.chain(*task)).flat_map(|chain| &chain.nodes);
        let uids = nodes.filter_map(|node| common.plan.uid(*node));
        uids.filter_map(|uid| common.status.operators.get(uid)).for_each(|metrics| metrics.records.set(0));
    }

    fn surroundings(&self, opener: &Opener, attempt: Attempt, presence: &Presence, myself: &ActorRef<RegionMsg>) -> Surroundings {
        let (task, uids): (TaskId, Arc<[Uid]>) = (opener.id, opener.uids().into());
        let (keeper, coordinator, region) = (self.args.keeper.clone(), self.args.coordinator.clone(), myself.clone());
        let of_report = presence.clone();
        let report = move |report| match report {
            Report::View(view) => {
                let (uids, presence, region) = (uids.clone(), of_report.clone(), region.clone());
                post(&keeper, KeeperMsg::Persist(Box::new(Part { view, uids, presence, region })));
            }
            Report::Declined(id, reason) => {
                let refusal = refusal(reason);
                post(&coordinator, CoordinatorMsg::Event(checkpoint::Event::Decline { task, attempt, id, refusal }));
            }
            Report::Ended => post(&coordinator, CoordinatorMsg::Event(checkpoint::Event::TaskEnded { task, attempt })),
            Report::Committed(id) => post(&region, RegionMsg::Committed { task, attempt, id }),
        };
        let (executor, region, of_work) = (self.args.common.executor.clone(), myself.clone(), presence.clone());
        let offload = move |operator: OpId, work: Work| {
            let (region, presence) = (region.clone(), of_work.clone());
            executor.offload(Box::new(move || {
                let result = guarded(|| Ok(work())).unwrap_or_else(|panic| Err(panic.into()));
                post(&region, RegionMsg::ToTask { task, attempt, command: Command::Worked(operator, result) });
                drop(presence);
            }));
        };
        Surroundings { report: Box::new(report), offload: Box::new(offload) }
    }

    /// Puts a shell around an open task and has it driven.
    async fn opened(&mut self, opened: Opened, myself: &ActorRef<RegionMsg>) -> Result<(), ActorProcessingErr> {
        let Opened { id, attempt, bell, uids, task, presence } = opened;
        if attempt != self.machine.attempt() {
            return Ok(());
        }
        let task = match task {
            Ok(task) => task,
            Err(cause) => {
                self.feed(Event::TaskFailed { task: id, attempt, cause }, myself);
                return Ok(());
            }
        };
        let Some(entrant) = self.entrants.get_mut(&id) else { return Ok(()) };
        if let Reach::Lane(lane) = &entrant.reach {
            let (shell, _) = Actor::spawn_linked(None, Shell, lane.clone(), myself.get_cell()).await?;
            entrant.reach = Reach::Shell(shell);
        }
        let executor = &self.args.common.executor;
        let driver = Driver { id, bell, uids: uids.to_vec(), clock: executor.clock(), steps: executor.steps() };
        let region = myself.clone();
        executor.spawn(
            id,
            Box::pin(async move {
                let (ending, task) = drive(driver, task).await;
                // The failure is told before the task is dropped: what its neighbours find then comes later.
                if let Ending::Failed(cause) = ending {
                    post(&region, RegionMsg::Event(Event::TaskFailed { task: id, attempt, cause }));
                }
                drop(task);
                drop(presence);
            }),
        );
        self.feed(Event::TaskRunning { task: id, attempt }, myself);
        Ok(())
    }

    /// Lets all tasks go once each has committed what the final checkpoint allows: one that went before would take with it those
    /// that still read from it, and what they have to say of a commit that fails.
    fn release(&self) {
        let Some(last) = self.finishing else { return };
        let restored_there = self.point >= Some(last);
        if restored_there || self.entrants.values().all(|entrant| entrant.committed >= Some(last)) {
            self.entrants.values().for_each(|entrant| entrant.tell(Command::Release));
        }
    }

    fn committed(&mut self, task: TaskId, id: CheckpointId) {
        if let Some(entrant) = self.entrants.get_mut(&task) {
            entrant.committed = Some(id);
        }
        self.release();
    }
}

fn refusal(reason: AbortReason) -> Refusal {
    match reason {
        AbortReason::Newer(id) => Refusal::Newer(id),
        AbortReason::Cancelled | AbortReason::Notified => Refusal::Cancelled,
    }
}

/// Reads a task's state and opens its operators.
fn open_task(
    opener: Opener,
    attempt: Attempt,
    restore: &RestorePoint,
    common: &Common,
    surroundings: Surroundings,
    presence: Presence,
) -> Opened {
    let (id, bell, uids): (TaskId, _, Arc<[Uid]>) = (opener.id, opener.bell.clone(), opener.uids().into());
    let parallelism = common.plan.chain(id).map_or(1, |chain| chain.parallelism);
    let share = Share { index: id.index, parallelism };
    let task = guarded(|| opener.open(restore.operators(&uids, share)?, surroundings));
    Opened { id, attempt, bell, uids, task, presence }
}

impl Actor for RegionSupervisor {
    type Msg = RegionMsg;
    type State = RegionState;
    type Arguments = RegionArgs;

    async fn pre_start(&self, _: ActorRef<RegionMsg>, args: RegionArgs) -> Result<RegionState, ActorProcessingErr> {
        let (common, tasks) = (args.common.clone(), args.tasks.clone());
        Ok(RegionState {
            machine: Region::new(tasks, &common.restart, common.epoch),
            alarm: Alarm::new(common.executor.clock()),
            entrants: BTreeMap::new(),
            abandoned: false,
            point: None,
            finishing: None,
            args,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RegionMsg>,
        message: RegionMsg,
        state: &mut RegionState,
    ) -> Result<(), ActorProcessingErr> {
        let current = state.machine.attempt();
        match message {
            RegionMsg::Event(event) => state.feed(event, &myself),
            RegionMsg::Prepared { attempt, restore } => state.prepared(attempt, restore, &myself),
            RegionMsg::Opened(opened) => state.opened(*opened, &myself).await?,
            RegionMsg::ToTask { task, attempt, command } if attempt == current => {
                if let Some(entrant) = state.entrants.get(&task) {
                    entrant.tell(command);
                }
            }
            RegionMsg::Complete(id) => state.entrants.values().for_each(|entrant| entrant.tell(Command::Complete(id))),
            RegionMsg::Aborted(id, latest) => {
                state.entrants.values().for_each(|entrant| entrant.tell(Command::Aborted(id, latest)))
            }
            RegionMsg::Finish(id) => {
                state.finishing = Some(id);
                state.feed(Event::Finish, &myself);
            }
            RegionMsg::Committed { task, attempt, id } if attempt == current => state.committed(task, id),
            RegionMsg::ToTask { .. } | RegionMsg::Committed { .. } => {}
            RegionMsg::Tick => {
                state.alarm.rang();
                state.feed(Event::Tick, &myself);
            }
        }
        Ok(())
    }

    /// A shell that goes takes its task's lane with it; the task then goes too and says so by its presence.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<RegionMsg>,
        event: SupervisionEvent,
        _: &mut RegionState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::warn!(%error, "a task's shell failed");
        }
        Ok(())
    }
}
