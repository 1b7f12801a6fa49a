//! The flow: operators joined by streams, as the fluent API notes them down.
//!
//! Nothing is checked here; [`super::compile`] does that. Nodes only ever take their input from nodes that were there before.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use super::carrier::{AnyLink, Carrier};
use super::opening::Opening;
use crate::error::BoxError;
use crate::sink::SinkContext;
use crate::state::{Block, Kept, StateDescriptor};
use crate::task::Head;

/// The place of a node in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// Everything that a user has described.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) nodes: Vec<Node>,
    /// What went wrong while it was described, to be told when it is checked.
    pub(crate) faults: Vec<(String, String)>,
}

/// How records get from one operator to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routing {
    /// One to one where the parallelisms agree, else to each instance in turn.
    Forward,
    /// To the owner of the key's group.
    Hash,
    /// To every instance, a copy each.
    Broadcast,
}

/// One incoming stream of an operator.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) from: NodeId,
    /// The output of `from` that it is.
    pub(crate) port: usize,
    pub(crate) routing: Routing,
}

/// One outgoing stream of an operator: the first is the main one, the others are side outputs.
pub(crate) struct Port {
    /// `None` for the main output.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) record: TypeId,
    pub(crate) carrier: Arc<dyn Carrier>,
}

/// How a link of the chain is made.
pub(crate) type MakeLink = Box<dyn Fn(Opening) -> Result<AnyLink, BoxError> + Send + Sync>;
/// How the head of a source's task is made.
pub(crate) type MakeSource = Box<dyn Fn(Opening) -> Result<Box<dyn Head>, BoxError> + Send + Sync>;
/// Finds the splits of a source: its list state as it is at the very beginning.
pub(crate) type Discover = Box<dyn Fn() -> Result<(StateDescriptor, Vec<Block>), BoxError> + Send + Sync>;
/// The handles of all parts of a sink; none where no checkpoint knows the sink.
pub(crate) type Handles = Option<Vec<(StateDescriptor, Kept)>>;
/// Takes a sink up before an attempt begins.
pub(crate) type Recover = Box<dyn Fn(&SinkContext, Handles) -> Result<(), BoxError> + Send + Sync>;

/// What an operator is.
pub(crate) enum NodeKind {
    Source {
        make: MakeSource,
        discover: Discover,
    },
    Operator {
        make: MakeLink,
    },
    /// Gives records the form in which their consumer takes them. It has as many instances as its one input, whatever is set for the
    /// job, so that the order of what one task sends stays.
    Adapter {
        make: MakeLink,
    },
    /// Several streams of one type; its task reads from all of them.
    Union,
    Sink {
        make: MakeLink,
        recover: Recover,
    },
}

/// One operator of a flow.
pub(crate) struct Node {
    /// What it does, in a word: part of a derived uid.
    pub(crate) verb: &'static str,
    /// The user's name for a source or a sink.
    pub(crate) name: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) parallelism: Option<u32>,
    /// Whether it keeps state.
    pub(crate) stateful: bool,
    pub(crate) kind: NodeKind,
    pub(crate) inputs: Vec<Input>,
    pub(crate) ports: Vec<Port>,
}

impl Flow {
    /// Notes a node down.
    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// The node with this id.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The node with this id, to be changed.
    pub(crate) fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.0)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("verb", &self.verb).field("name", &self.name).field("uid", &self.uid).finish_non_exhaustive()
    }
}
