//! From the plan to one attempt of a region: edges, bells, lanes, and for each task what opens it.
//!
//! Always: the edges of a gate are in the same order in every attempt. Wiring makes only what tasks share; a task's operators are
//! opened later, each task on a thread of its own that may block.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::carrier::{AnyEnd, AnyLink, Carrier};
use super::compile::Plan;
use super::flow::{NodeId, NodeKind};
use super::opening::{Opening, OperatorMetrics, TaskContext};
use crate::chain::Watch;
use crate::channel::{Bell, LaneReceiver, LaneSender, lane};
use crate::config::{Guarantee, Pipes};
use crate::error::{BoxError, Error, Result, blamed};
use crate::gate::GateStart;
use crate::hook::{Callback, Canary, Hooks};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::key::KeyHasher;
use crate::metrics::Longest;
use crate::operator::{OpId, Sides, Work};
use crate::snapshot::RestoredOperator;
use crate::task::{Command, Head, Report, Standstill, Task, TaskParts};
use crate::time::{Clock, Timestamp};

/// What an attempt of the job has in common.
#[derive(Clone, Debug)]
pub(crate) struct AttemptContext {
    pub(crate) job: Arc<str>,
    pub(crate) attempt: Attempt,
    pub(crate) hasher: KeyHasher,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<BTreeMap<Uid, OperatorMetrics>>,
    pub(crate) longest_step: Longest,
    pub(crate) pipes: Pipes,
    pub(crate) guarantee: Guarantee,
    /// The checkpoint that is restored.
    pub(crate) restored: Option<CheckpointId>,
    pub(crate) standstill: Standstill,
    pub(crate) hooks: Hooks,
}

/// A task that is wired and not yet open.
pub(crate) struct Opener {
    pub(crate) id: TaskId,
    pub(crate) bell: Bell,
    pub(crate) commands: LaneSender<Command>,
    lane: LaneReceiver<Command>,
    plan: Arc<Plan>,
    context: AttemptContext,
    inputs: Vec<AnyEnd>,
    outputs: Outputs,
}

/// The edges of a task's outputs, by producer, port and consumer.
type Outputs = BTreeMap<(NodeId, usize, NodeId, usize), Vec<AnyEnd>>;

/// How an open task reaches its surroundings.
pub(crate) struct Surroundings {
    pub(crate) report: Box<dyn Fn(Report) + Send>,
    pub(crate) offload: Box<dyn Fn(OpId, Work) + Send>,
}

/// Wires the tasks of one region.
pub(crate) fn wire(plan: &Arc<Plan>, tasks: &[TaskId], context: &AttemptContext) -> Vec<Opener> {
    let opener = |id: &TaskId| {
        let bell = Bell::default();
        let (commands, lane) = lane(bell.clone());
        let (plan, context) = (plan.clone(), context.clone());
        (*id, Opener { id: *id, bell, commands, lane, plan, context, inputs: Vec::new(), outputs: Outputs::new() })
    };
    let mut openers: BTreeMap<TaskId, Opener> = tasks.iter().map(opener).collect();
    let mut ordinals: BTreeMap<(NodeId, usize, NodeId), usize> = BTreeMap::new();
    for (from, port, to) in plan.streams() {
        // A union of a stream with itself has two edges between the same tasks: the ordinal tells them apart.
        let ordinal = ordinals.entry((from, port, to.node)).or_default();
        let Some(carrier) = plan.node(from).and_then(|node| node.ports.get(port)).map(|port| &port.carrier) else { continue };
        for (sender, receiver) in plan.pairs(from, to) {
            let (sender, receiver) = (plan.task_of(from, sender), plan.task_of(to.node, receiver));
            let bells = openers.get(&sender).zip(openers.get(&receiver)).map(|(s, r)| (s.bell.clone(), r.bell.clone()));
            let Some((at_sender, at_receiver)) = bells else { continue };
            let at_sender = if context.hooks.breaks(Canary::LostWakeUp) { Bell::default() } else { at_sender };
            let (tx, rx) = carrier.edge(context.pipes, at_sender, at_receiver);
            if let Some(sender) = openers.get_mut(&sender) {
                sender.outputs.entry((from, port, to.node, *ordinal)).or_default().push(tx);
            }
            if let Some(receiver) = openers.get_mut(&receiver) {
                receiver.inputs.push(rx);
            }
        }
        *ordinal += 1;
    }
    openers.into_values().collect()
}

impl Opener {
    /// The uids of the task's operators, in the order of their [`OpId`]s.
    pub(crate) fn uids(&self) -> Vec<Uid> {
        let nodes = self.plan.chain(self.id).map_or(&[][..], |chain| &chain.nodes);
        nodes.iter().filter_map(|node| self.plan.uid(*node)).cloned().collect()
    }

    /// Opens the operators with what a checkpoint kept of them, the last one first.
    ///
    /// # Errors
    /// What an operator says in `open`, or its panic.
    pub(crate) fn open(self, mut kept: BTreeMap<Uid, RestoredOperator>, to: Surroundings) -> Result<Task> {
        let uids = self.uids().into();
        let Opener { id, lane, plan, context, inputs, mut outputs, .. } = self;
        let (attempt, clock, restored) = (context.attempt, context.clock.clone(), context.restored);
        let (longest_step, batch) = (context.longest_step.clone(), context.pipes.batch);
        let mut building = Building { plan: &plan, context: &context, task: id, restored: &mut kept, outputs: &mut outputs };
        let head = building.head(inputs)?;
        let (report, offload, hooks, standstill) = (to.report, to.offload, context.hooks, context.standstill);
        Ok(Task::new(TaskParts {
            id,
            attempt,
            head,
            lane,
            batch,
            clock,
            restored,
            standstill,
            longest_step,
            report,
            offload,
            uids,
            hooks,
        }))
    }
}

/// A task whose chain is being built, from its end to its head.
struct Building<'a> {
    plan: &'a Plan,
    context: &'a AttemptContext,
    task: TaskId,
    restored: &'a mut BTreeMap<Uid, RestoredOperator>,
    outputs: &'a mut Outputs,
}

impl Building<'_> {
    fn head(&mut self, inputs: Vec<AnyEnd>) -> Result<Box<dyn Head>> {
        let plan = self.plan;
        let head = plan.chain(self.task).and_then(|chain| chain.nodes.first()).copied().ok_or_else(missing)?;
        let node = plan.node(head).ok_or_else(missing)?;
        if let NodeKind::Source { make, .. } = &node.kind {
            let opening = self.opening(head)?;
            return self.guarded(head, || {
                opening.hooks.callback(&opening.uid, Callback::Open)?;
                make(opening)
            });
        }
        let floor = plan.uid(head).and_then(|uid| self.restored.get(uid)).map_or(Timestamp::NONE, |r| r.watermark);
        let start = GateStart { floor, guarantee: self.context.guarantee };
        let chain = self.link(head)?;
        let input = node.inputs.first().ok_or_else(missing)?;
        let port = plan.node(input.from).and_then(|from| from.ports.get(input.port)).ok_or_else(missing)?;
        self.guarded(head, || port.carrier.gate(inputs, start, chain, &self.context.hooks))
    }

    /// The link of a node, in front of everything behind it.
    fn link(&mut self, id: NodeId) -> Result<AnyLink> {
        let plan = self.plan;
        let opening = self.opening(id)?;
        match &plan.node(id).ok_or_else(missing)?.kind {
            NodeKind::Operator { make } | NodeKind::Adapter { make } | NodeKind::Sink { make, .. } => {
                let watch = Watch { operator: opening.operator, uid: opening.uid.clone(), hooks: opening.hooks.clone() };
                let link = self.guarded(id, || {
                    opening.hooks.callback(&opening.uid, Callback::Open)?;
                    make(opening)
                })?;
                self.checked(id, link, watch)
            }
            NodeKind::Union => opening.next.ok_or_else(missing),
            NodeKind::Source { .. } => Err(missing()),
        }
    }

    /// The link of an operator with a stage in front that checks, where somebody hooks in.
    fn checked(&self, id: NodeId, link: AnyLink, watch: Watch) -> Result<AnyLink> {
        if watch.hooks.get().is_none() {
            return Ok(link);
        }
        let input = self.plan.node(id).and_then(|node| node.inputs.first()).ok_or_else(missing)?;
        let port = self.plan.node(input.from).and_then(|from| from.ports.get(input.port)).ok_or_else(missing)?;
        self.guarded(id, || port.carrier.checked(link, watch))
    }

    /// What one output of a node goes to: its consumers, joined by a tee where there are several.
    fn outlet(&mut self, id: NodeId, port: usize, carrier: &dyn Carrier) -> Result<AnyLink> {
        let plan = self.plan;
        let consumers = plan.consumers.get(id.0).and_then(|ports| ports.get(port)).map_or(&[][..], Vec::as_slice);
        let mut branches = Vec::new();
        let mut ordinals: BTreeMap<NodeId, usize> = BTreeMap::new();
        for consumer in consumers {
            if consumer.chained {
                branches.push(self.link(consumer.node)?);
                continue;
            }
            let ordinal = ordinals.entry(consumer.node).or_default();
            let edges = self.outputs.remove(&(id, port, consumer.node, *ordinal)).unwrap_or_default();
            *ordinal += 1;
            let first = self.task.index as usize;
            branches.push(self.guarded(id, || carrier.exchange(edges, plan.groups, first))?);
        }
        let only = if branches.len() == 1 { branches.pop() } else { None };
        match only {
            Some(link) => Ok(link),
            None => self.guarded(id, || carrier.tee(branches)),
        }
    }

    /// The main output and the side outputs of a node.
    fn outlets(&mut self, id: NodeId) -> Result<(Option<AnyLink>, Sides)> {
        let plan = self.plan;
        let (mut next, mut sides) = (None, Sides::new(self.context.pipes.batch));
        for (port, described) in plan.node(id).ok_or_else(missing)?.ports.iter().enumerate() {
            let outlet = self.outlet(id, port, &*described.carrier)?;
            match &described.name {
                None => next = Some(outlet),
                Some(name) => sides.add(name.clone(), self.guarded(id, || described.carrier.side(outlet))?),
            }
        }
        Ok((next, sides))
    }

    fn opening(&mut self, id: NodeId) -> Result<Opening> {
        let plan = self.plan;
        let (next, sides) = self.outlets(id)?;
        let chain = plan.chain(self.task).ok_or_else(missing)?;
        let operator = chain.nodes.iter().position(|node| *node == id).ok_or_else(missing)?;
        let uid = plan.uid(id).cloned().ok_or_else(missing)?;
        Ok(Opening {
            context: TaskContext {
                job: self.context.job.clone(),
                task: self.task,
                parallelism: chain.parallelism,
                attempt: self.context.attempt,
                restored: self.context.restored,
                groups: plan.groups,
                hasher: self.context.hasher,
                opened: self.context.clock.wall(),
            },
            operator: OpId(operator),
            next,
            sides,
            metrics: self.context.metrics.get(&uid).cloned().unwrap_or_default(),
            restored: self.restored.remove(&uid).unwrap_or_else(RestoredOperator::nothing),
            hooks: self.context.hooks.clone(),
            uid,
        })
    }

    /// Runs what may be user code, and blames the operator for what goes wrong.
    fn guarded<R>(&self, id: NodeId, make: impl FnOnce() -> Result<R, BoxError>) -> Result<R> {
        blamed(self.plan.uid(id).map_or("", Uid::as_str), &self.task.to_string(), "open", make)
    }
}

fn missing() -> Error {
    Error::Engine("the plan names a node that is not in the flow".into())
}
