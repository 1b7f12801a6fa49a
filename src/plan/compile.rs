//! From the flow to the plan: parallelism, uids, chains, regions; and every refusal.
//!
//! Pure: the same flow and options give the same plan.

use std::collections::BTreeMap;

use super::flow::{Flow, Node, NodeId, NodeKind, Routing};
use super::uids::uids;
use crate::error::{Error, Result};
use crate::ids::{TaskId, Uid};
use crate::key::KeyGroups;

/// A consumer of one output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) node: NodeId,
    pub(crate) routing: Routing,
    /// Whether it lives in the same task.
    pub(crate) chained: bool,
}

/// Operators that live in one task, the head first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) parallelism: u32,
}

/// A checked flow, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) flow: Flow,
    pub(crate) uids: Vec<Uid>,
    pub(crate) parallelism: Vec<u32>,
    pub(crate) groups: KeyGroups,
    pub(crate) chains: Vec<Chain>,
    /// By node: its chain.
    pub(crate) chain_of: Vec<usize>,
    /// By node and port: who consumes it.
    pub(crate) consumers: Vec<Vec<Vec<Consumer>>>,
    /// The tasks of each region.
    pub(crate) regions: Vec<Vec<TaskId>>,
}

fn refused<T>(problem: String, advice: &str) -> Result<T> {
    Err(Error::InvalidFlow { problem, advice: advice.to_owned() })
}

/// Checks a flow and plans it.
///
/// # Errors
/// [`Error::InvalidFlow`] with what to change.
pub(crate) fn compile(flow: Flow, parallelism: u32, groups: KeyGroups) -> Result<Plan> {
    if let Some((problem, advice)) = flow.faults.first() {
        return refused(problem.clone(), advice);
    }
    check_shape(&flow)?;
    let uids = uids(&flow)?;
    let parallelism = parallelisms(&flow, &uids, parallelism, groups)?;
    let consumers = consumers(&flow, &parallelism);
    check_consumed(&flow, &uids, &consumers)?;
    let (chains, chain_of) = chains(&flow, &parallelism, &consumers);
    let mut plan = Plan { flow, uids, parallelism, groups, chains, chain_of, consumers, regions: Vec::new() };
    plan.regions = regions(&plan);
    Ok(plan)
}

fn check_shape(flow: &Flow) -> Result<()> {
    if !flow.nodes.iter().any(|node| matches!(node.kind, NodeKind::Source { .. })) {
        return refused("it has no source".into(), "begin it with job.source(…)");
    }
    if !flow.nodes.iter().any(|node| matches!(node.kind, NodeKind::Sink { .. })) {
        return refused("it has no sink, so nothing would come of it".into(), "end each stream with .sink(…)");
    }
    for (id, node) in flow.nodes.iter().enumerate() {
        if node.inputs.iter().any(|input| input.from.0 >= id) {
            return refused(format!("{} takes its own output as input", node.verb), "take the cycle out");
        }
    }
    Ok(())
}

fn parallelisms(flow: &Flow, uids: &[Uid], default: u32, groups: KeyGroups) -> Result<Vec<u32>> {
    let max = u32::from(groups.max());
    let mut parallelisms: Vec<u32> = Vec::new();
    for (node, uid) in flow.nodes.iter().zip(uids) {
        let input = || node.inputs.first().and_then(|input| parallelisms.get(input.from.0)).copied();
        let wanted = match node.kind {
            NodeKind::Adapter { .. } => input(),
            _ => node.parallelism,
        };
        match wanted.unwrap_or(default) {
            0 => return refused(format!("'{uid}' has the parallelism 0"), "use 1 or more"),
            n if n > max => {
                return refused(
                    format!("'{uid}' has the parallelism {n}, above the maximum of {max}"),
                    "lower it, or raise the maximum with .max_parallelism(…) before the job's first start",
                );
            }
            n => parallelisms.push(n),
        }
    }
    Ok(parallelisms)
}

fn consumers(flow: &Flow, parallelism: &[u32]) -> Vec<Vec<Vec<Consumer>>> {
    let mut consumers: Vec<Vec<Vec<Consumer>>> = flow.nodes.iter().map(|node| vec![Vec::new(); node.ports.len()]).collect();
    for (id, node) in flow.nodes.iter().enumerate() {
        for input in &node.inputs {
            let same = parallelism.get(id) == parallelism.get(input.from.0);
            let alone = node.inputs.len() == 1 && !matches!(node.kind, NodeKind::Union);
            let chained = alone && same && input.routing == Routing::Forward;
            if let Some(port) = consumers.get_mut(input.from.0).and_then(|ports| ports.get_mut(input.port)) {
                port.push(Consumer { node: NodeId(id), routing: input.routing, chained });
            }
        }
    }
    consumers
}

fn check_consumed(flow: &Flow, uids: &[Uid], consumers: &[Vec<Vec<Consumer>>]) -> Result<()> {
    for ((node, uid), ports) in flow.nodes.iter().zip(uids).zip(consumers) {
        for (port, consumers) in node.ports.iter().zip(ports) {
            if consumers.is_empty() {
                return match &port.name {
                    None => refused(format!("what '{uid}' puts out goes nowhere"), "end its stream with .sink(…)"),
                    Some(side) => refused(
                        format!("nothing consumes the side output '{side}' of '{uid}'"),
                        "attach a sink to it with .side(&…), or don't ask for it",
                    ),
                };
            }
        }
    }
    Ok(())
}

fn chains(flow: &Flow, parallelism: &[u32], consumers: &[Vec<Vec<Consumer>>]) -> (Vec<Chain>, Vec<usize>) {
    let mut chained_to: BTreeMap<usize, usize> = BTreeMap::new();
    for (id, ports) in consumers.iter().enumerate() {
        for consumer in ports.iter().flatten().filter(|consumer| consumer.chained) {
            chained_to.insert(consumer.node.0, id);
        }
    }
    let (mut chains, mut chain_of): (Vec<Chain>, Vec<usize>) = (Vec::new(), Vec::new());
    for id in 0..flow.nodes.len() {
        let joined = chained_to.get(&id).and_then(|before| chain_of.get(*before).copied());
        let chain = joined.unwrap_or(chains.len());
        match chains.get_mut(chain) {
            Some(chain) => chain.nodes.push(NodeId(id)),
            None => chains.push(Chain { nodes: vec![NodeId(id)], parallelism: parallelism.get(id).copied().unwrap_or(1) }),
        }
        chain_of.push(chain);
    }
    (chains, chain_of)
}

impl Plan {
    /// The node with this id.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.flow.node(id)
    }

    /// The node's uid.
    pub(crate) fn uid(&self, id: NodeId) -> Option<&Uid> {
        self.uids.get(id.0)
    }

    /// The chain of a task.
    pub(crate) fn chain(&self, task: TaskId) -> Option<&Chain> {
        self.chains.get(task.chain as usize)
    }

    /// Whether a task is the instance of a source.
    pub(crate) fn is_source(&self, task: TaskId) -> bool {
        let head = self.chain(task).and_then(|chain| chain.nodes.first()).and_then(|head| self.node(*head));
        head.is_some_and(|head| matches!(head.kind, NodeKind::Source { .. }))
    }

    /// All tasks, in order.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        let chains = self.chains.iter().enumerate();
        chains.flat_map(|(chain, it)| (0..it.parallelism).map(move |index| TaskId { chain: chain as u32, index }))
    }

    /// Every stream between two chains, as its producer, port and consumer.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (NodeId, usize, Consumer)> {
        self.consumers.iter().enumerate().flat_map(|(from, ports)| {
            ports.iter().enumerate().flat_map(move |(port, consumers)| {
                consumers.iter().filter(|consumer| !consumer.chained).map(move |consumer| (NodeId(from), port, *consumer))
            })
        })
    }

    /// The pairs of instances that a stream joins.
    pub(crate) fn pairs(&self, from: NodeId, to: Consumer) -> Vec<(u32, u32)> {
        let of = |id: NodeId| self.parallelism.get(id.0).copied().unwrap_or(1);
        let (senders, receivers) = (of(from), of(to.node));
        if to.routing == Routing::Forward && senders == receivers {
            return (0..senders).map(|index| (index, index)).collect();
        }
        (0..senders).flat_map(|sender| (0..receivers).map(move |receiver| (sender, receiver))).collect()
    }

    /// The instance of the task that a node belongs to.
    pub(crate) fn task_of(&self, node: NodeId, index: u32) -> TaskId {
        TaskId { chain: self.chain_of.get(node.0).copied().unwrap_or(0) as u32, index }
    }
}

/// The connected components of tasks over edges. The instances of a sink belong together as well: a sink is taken up as a whole,
/// and removes what no handle of the restored checkpoint knows of.
fn regions(plan: &Plan) -> Vec<Vec<TaskId>> {
    let mut leader: BTreeMap<TaskId, TaskId> = plan.tasks().map(|task| (task, task)).collect();
    let mut join = |one: TaskId, other: TaskId| {
        let (a, b) = (find(&leader, one), find(&leader, other));
        leader.insert(a.max(b), a.min(b));
    };
    for (from, _, to) in plan.streams() {
        for (sender, receiver) in plan.pairs(from, to) {
            join(plan.task_of(from, sender), plan.task_of(to.node, receiver));
        }
    }
    for (id, _) in plan.flow.nodes.iter().enumerate().filter(|(_, node)| matches!(node.kind, NodeKind::Sink { .. })) {
        let instances = plan.parallelism.get(id).copied().unwrap_or(1);
        (1..instances).for_each(|index| join(plan.task_of(NodeId(id), 0), plan.task_of(NodeId(id), index)));
    }
    let mut regions: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
    for task in plan.tasks() {
        regions.entry(find(&leader, task)).or_default().push(task);
    }
    regions.into_values().collect()
}

fn find(leader: &BTreeMap<TaskId, TaskId>, mut task: TaskId) -> TaskId {
    while let Some(next) = leader.get(&task).filter(|next| **next != task) {
        task = *next;
    }
    task
}
