//! The supervisor of a region: feeds the machine of its life, starts and stops its tasks, and passes commands on to them.
//!
//! Always: a task is told about under its attempt only; what an older attempt still sends is dropped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::alarm::Alarm;
use super::coordinator::CoordinatorMsg;
use super::entrant::{Entrant, Reach};
use super::event::JobEvent;
use super::farewell::Farewell;
use super::hooked::{enter, route};
use super::keeper::{KeeperMsg, Part, guarded};
use super::opened::{Opened, open_task};
use super::pair::PairRef;
use super::post::post;
use super::presence::Presence;
use super::restore::{Origin, RestorePoint, Wanted};
use super::root::{Common, RootMsg};
use super::shell::Shell;
use crate::checkpoint::{self, Member};
use crate::error::{BoxError, Error, Result};
use crate::executor::{Driver, Ending, drive};
use crate::hook::{Control, CrashPoint, Role, Who};
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
use crate::operator::Question;
use crate::plan::{AttemptContext, wire};
use crate::snapshot::TaskEntry;
use crate::supervision::{Action, Event, Region};
use crate::task::{Command, Standstill};

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
    /// To one task, whatever the attempt.
    Ask { task: TaskId, question: Question },
    /// To all tasks: the checkpoint is complete.
    Complete(CheckpointId),
    /// To all tasks: the checkpoint was given up; the latest complete one.
    Aborted(CheckpointId, Option<CheckpointId>),
    /// The final checkpoint is complete: tasks go once they have committed it.
    Finish(CheckpointId),
    /// Behind the barrier of this checkpoint tasks stand still.
    StandStill(CheckpointId),
    /// They go on.
    GoOn,
    /// The savepoint with which the job ends is complete, and lies there: tasks go once they have committed it.
    Leave { id: CheckpointId, savepoint: PathBuf },
    /// What a task has to say to the coordinator.
    Told(checkpoint::Event<TaskEntry>),
    /// A task's part of a checkpoint, for the keeper.
    Persist(Box<Part>),
    /// Another coordinator and another keeper are to be talked to from now on.
    Pair(PairRef),
    /// A task has committed everything up to a checkpoint.
    Committed { task: TaskId, attempt: Attempt, id: CheckpointId },
    /// The alarm.
    Tick,
}

/// What a region's supervisor begins with.
pub(crate) struct RegionArgs {
    pub(crate) id: RegionId,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) common: Arc<Common>,
    pub(crate) root: ActorRef<RootMsg>,
    pub(crate) pair: PairRef,
}

/// The supervisor's behaviour.
pub(crate) struct RegionSupervisor;

/// The machine, and the tasks of the current attempt.
pub(crate) struct RegionState {
    pub(super) args: RegionArgs,
    machine: Region,
    alarm: Alarm,
    pub(super) entrants: BTreeMap<TaskId, Entrant>,
    /// The attempt that is being prepared was told to stop.
    abandoned: bool,
    /// The checkpoint that the current attempt began from.
    pub(super) point: Option<CheckpointId>,
    standstill: Standstill,
    pub(super) finishing: Farewell,
    /// Why the attempt before failed, until the next one runs.
    cause: Option<Error>,
}

impl RegionState {
    fn feed(&mut self, event: Event, myself: &ActorRef<RegionMsg>) -> Result<(), BoxError> {
        let now = self.args.common.executor.clock().now();
        for action in self.machine.handle(event, now) {
            self.act(action, myself)?;
        }
        self.alarm.set(self.machine.next_deadline(), myself, RegionMsg::Tick);
        Ok(())
    }

    fn act(&mut self, action: Action, myself: &ActorRef<RegionMsg>) -> Result<(), BoxError> {
        // Whoever hears that the job runs finds it running.
        let events = JobEvent::of_region(self.args.id, &action, self.machine.delay());
        events.into_iter().for_each(|event| self.args.common.status.tell(event));
        self.args.common.status.first_attempts.note(self.args.id, &action);
        match action {
            Action::ReportDown => self.tell_coordinator(checkpoint::Event::RegionDown { region: self.args.id }),
            Action::StartTasks { attempt, point } => {
                let from = point.map_or("the beginning".into(), |id| format!("checkpoint {id}"));
                self.args.common.hooks.tell(Who::Region(self.args.id), || format!("attempt {attempt} begins from {from}"));
                self.prepare(attempt, point, myself);
            }
            Action::ReportRunning { attempt } => {
                self.cause = None;
                self.report_running(attempt);
            }
            Action::ReportAgain { attempt } => self.report_running(attempt),
            Action::CancelTasks { tasks, .. } => {
                self.abandoned = self.entrants.is_empty();
                self.each(&tasks, |entrant| entrant.reach.tell(Command::Cancel));
            }
            Action::FinishTasks { .. } => self.release(),
            Action::ReportRestart { cause, restarts } => {
                self.args.common.status.restarts.add(1);
                tracing::warn!(region = %self.args.id, %cause, restarts, "a region failed and is restarted");
                let told = || format!("failed, and is restarted ({restarts}): {cause}");
                self.args.common.hooks.tell_failure(Who::Region(self.args.id), told);
                self.cause = Some(cause);
                self.args.common.hooks.crash(CrashPoint::Backoff)?;
            }
            Action::Over(outcome) => {
                self.args.common.hooks.tell(Who::Region(self.args.id), || format!("is over: {outcome:?}"));
                post(
                    &self.args.root,
                    RootMsg::RegionOver { region: self.args.id, outcome, checkpoint: self.finishing.final_checkpoint() },
                );
            }
        }
        Ok(())
    }

    fn tell_coordinator(&self, event: checkpoint::Event<TaskEntry>) {
        post(&self.args.pair.coordinator, CoordinatorMsg::Event(event));
    }

    fn each(&self, tasks: &[TaskId], act: impl Fn(&Entrant)) {
        tasks.iter().filter_map(|task| self.entrants.get(task)).for_each(act);
    }

    /// Passes on what a task has to say, and remembers which ones have ended.
    fn told(&mut self, event: checkpoint::Event<TaskEntry>) {
        if let checkpoint::Event::TaskEnded { task, attempt } = &event
            && *attempt == self.machine.attempt()
            && let Some(entrant) = self.entrants.get_mut(task)
        {
            entrant.ended = true;
        }
        self.tell_coordinator(event);
    }

    fn report_running(&mut self, attempt: Attempt) {
        let plan = &self.args.common.plan;
        let member = |task: &TaskId| Member { task: *task, source: plan.is_source(*task) };
        let members = self.args.tasks.iter().map(member).collect();
        self.tell_coordinator(checkpoint::Event::RegionUp { region: self.args.id, attempt, members });
        // One that ended while another coordinator was there, or none, has told nobody who is here now.
        let ended = self.entrants.iter().filter(|(_, entrant)| entrant.ended);
        ended.for_each(|(task, _)| self.tell_coordinator(checkpoint::Event::TaskEnded { task: *task, attempt }));
    }

    /// Reads the restore point and takes the sinks up, off this actor.
    fn prepare(&mut self, attempt: Attempt, point: Option<CheckpointId>, myself: &ActorRef<RegionMsg>) {
        for (_, entrant) in std::mem::take(&mut self.entrants) {
            if let Reach::Shell(shell) = entrant.reach {
                shell.stop(None);
            }
        }
        (self.abandoned, self.point, self.finishing) = (false, point, Farewell::NotYet);
        self.standstill = Standstill::default();
        let (common, region, tasks, myself) = (self.args.common.clone(), self.args.id, self.args.tasks.clone(), myself.clone());
        self.args.common.executor.offload(Box::new(move || {
            let (plan, job, hooks) = (&*common.plan, &*common.job, &common.hooks);
            let wanted = Wanted { plan, job, tasks: &tasks, point, attempt, hooks };
            let origin = guarded(|| Origin::of(&common, region, &tasks, point));
            let restore = origin.and_then(|origin| guarded(|| RestorePoint::prepare(origin, &wanted)));
            post(&myself, RegionMsg::Prepared { attempt, restore: restore.map(Arc::new) });
        }));
    }

    fn prepared(
        &mut self,
        attempt: Attempt,
        restore: Result<Arc<RestorePoint>>,
        myself: &ActorRef<RegionMsg>,
    ) -> Result<(), BoxError> {
        match restore {
            Err(cause) => self.feed(Event::StartFailed { attempt, cause }, myself)?,
            Ok(_) if self.abandoned => {
                for task in self.args.tasks.clone() {
                    self.feed(Event::TaskGone { task, attempt }, myself)?;
                }
            }
            Ok(restore) => {
                let (region, checkpoint, from) = (self.args.id, self.point, restore.is_from());
                self.args.common.status.tell(JobEvent::RegionRestored { region, attempt, checkpoint, from });
                self.open(attempt, &restore, myself);
            }
        }
        Ok(())
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
            pipes: common.pipes,
            guarantee: common.guarantee,
            restored: self.point,
            standstill: self.standstill.clone(),
            hooks: common.hooks.clone(),
        };
        self.reset_counters();
        for opener in wire(&common.plan, &self.args.tasks, &context) {
            let reach = Reach::Lane(opener.commands.clone());
            self.entrants.insert(opener.id, Entrant { reach, committed: None, ended: false });
            let watched = (common.hooks.clone(), self.args.id);
            let presence = Presence::new(opener.id, attempt, myself.clone(), watched);
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
        let metrics = uids.filter_map(|uid| common.status.operators.get(uid));
        let counters = metrics.flat_map(|metrics| [&metrics.records, &metrics.skipped, &metrics.late_dropped]);
        counters.for_each(|counter| counter.set(0));
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
                self.feed(Event::TaskFailed { task: id, attempt, cause }, myself)?;
                return Ok(());
            }
        };
        let hooks = self.args.common.hooks.clone();
        let Some(entrant) = self.entrants.get_mut(&id) else { return Ok(()) };
        if let Reach::Lane(lane) = &entrant.reach {
            let (shell, _) = Actor::spawn_linked(None, Shell(hooks), lane.clone(), myself.get_cell()).await?;
            entrant.reach = Reach::Shell(shell);
        }
        let executor = &self.args.common.executor;
        let pulse = self.args.common.status.watched.begin(id, attempt, executor.clock().now());
        let driver = Driver { id, bell, uids: uids.to_vec(), clock: executor.clock(), steps: executor.steps(), pulse };
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
        self.feed(Event::TaskRunning { task: id, attempt }, myself)?;
        Ok(())
    }

    /// Tells a task what it may miss.
    fn notify(&self, entrant: &Entrant, control: Control, command: Command) {
        let reach = entrant.reach.clone();
        route(&self.args.common.hooks, control, move || reach.tell(command));
    }

    fn completed(&self, id: CheckpointId) -> Result<(), BoxError> {
        for (told, entrant) in self.entrants.values().enumerate() {
            if told == 1 {
                self.args.common.hooks.crash(CrashPoint::CompleteToSome)?;
            }
            self.notify(entrant, Control::Complete, Command::Complete(id));
        }
        Ok(())
    }

    fn tell(&self, task: TaskId, command: Command) {
        match (self.entrants.get(&task), command) {
            (Some(entrant), Command::Trigger(id)) => self.notify(entrant, Control::Trigger, Command::Trigger(id)),
            (Some(entrant), command) => entrant.reach.tell(command),
            (None, _) => {}
        }
    }

    /// Passes a question on to a task that runs; any other has no answer, and the reason is told.
    fn ask(&self, task: TaskId, question: Question) {
        let shell = self.entrants.get(&task).and_then(Entrant::shell);
        match (self.machine.silence(), shell, &self.cause) {
            (None, Some(shell), _) => post(shell, Command::Ask(question)),
            (None, None, None) => question.refuse("the job is being started"),
            (None, None, Some(cause)) => question.refuse(format!("its state is being restored after a failure: {cause}")),
            (Some(silence), _, None) => question.refuse(silence),
            (Some(silence), _, Some(cause)) => question.refuse(format!("{silence}: {cause}")),
        }
    }

    /// The task of the current attempt whose shell this actor is.
    fn task_behind(&self, actor: ActorId) -> Option<TaskId> {
        let is_shell = |reach: &Reach| matches!(reach, Reach::Shell(shell) if shell.get_id() == actor);
        self.entrants.iter().find(|(_, entrant)| is_shell(&entrant.reach)).map(|(task, _)| *task)
    }

    fn committed(&mut self, task: TaskId, id: CheckpointId) {
        if let Some(entrant) = self.entrants.get_mut(&task) {
            entrant.committed = Some(id);
        }
        self.release();
    }
}

impl Actor for RegionSupervisor {
    type Msg = RegionMsg;
    type State = RegionState;
    type Arguments = RegionArgs;

    async fn pre_start(&self, _: ActorRef<RegionMsg>, args: RegionArgs) -> Result<RegionState, ActorProcessingErr> {
        let (common, tasks) = (args.common.clone(), args.tasks.clone());
        let operators = common.status.watched.operators(&tasks);
        Ok(RegionState {
            machine: Region::new(tasks, &common.restart, common.epoch)
                .watched(common.status.watchdog.gives_up_after(), operators),
            alarm: Alarm::new(common.executor.clock()),
            entrants: BTreeMap::new(),
            abandoned: false,
            point: None,
            standstill: Standstill::default(),
            finishing: Farewell::NotYet,
            cause: None,
            args,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RegionMsg>,
        message: RegionMsg,
        state: &mut RegionState,
    ) -> Result<(), ActorProcessingErr> {
        enter(&state.args.common.hooks, Role::Region).await?;
        let current = state.machine.attempt();
        match message {
            RegionMsg::Event(event) => state.feed(event, &myself)?,
            RegionMsg::Prepared { attempt, restore } => state.prepared(attempt, restore, &myself)?,
            RegionMsg::Opened(opened) => state.opened(*opened, &myself).await?,
            RegionMsg::ToTask { task, attempt, command } if attempt == current => state.tell(task, command),
            RegionMsg::Ask { task, question } => state.ask(task, question),
            RegionMsg::Complete(id) => state.completed(id)?,
            RegionMsg::Aborted(id, latest) => {
                let abort = |entrant| state.notify(entrant, Control::Abort, Command::Aborted(id, latest));
                state.entrants.values().for_each(abort);
            }
            RegionMsg::Finish(id) => {
                state.args.common.hooks.crash(CrashPoint::FinalComplete)?;
                state.say_farewell(Farewell::Final(id));
                state.feed(Event::Finish, &myself)?;
            }
            RegionMsg::Leave { id, savepoint } => {
                state.args.common.hooks.crash(CrashPoint::Stopped)?;
                state.say_farewell(Farewell::Savepoint(id));
                state.feed(Event::Leave { savepoint }, &myself)?;
            }
            RegionMsg::StandStill(id) => state.standstill.behind(id),
            RegionMsg::GoOn => {
                state.standstill.nowhere();
                state.entrants.values().for_each(|entrant| entrant.reach.tell(Command::GoOn));
            }
            RegionMsg::Told(event) => state.told(event),
            RegionMsg::Persist(part) => post(&state.args.pair.keeper, KeeperMsg::Persist(part)),
            RegionMsg::Pair(pair) => {
                state.args.pair = pair;
                state.feed(Event::Introduce, &myself)?;
            }
            RegionMsg::Committed { task, attempt, id } if attempt == current => state.committed(task, id),
            RegionMsg::ToTask { .. } | RegionMsg::Committed { .. } => {}
            RegionMsg::Tick => {
                state.alarm.rang();
                state.feed(Event::Tick, &myself)?;
            }
        }
        Ok(())
    }

    /// A shell that fails takes its task's lane with it, and so its task: also where the task would have been let go, since it may
    /// not have committed.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RegionMsg>,
        event: SupervisionEvent,
        state: &mut RegionState,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(actor, error) = event else { return Ok(()) };
        if let Some(task) = state.task_behind(actor.get_id()) {
            let cause = Error::Engine(format!("the shell of task {task} failed: {error}"));
            state.feed(Event::TaskFailed { task, attempt: state.machine.attempt(), cause }, &myself)?;
        }
        Ok(())
    }
}
