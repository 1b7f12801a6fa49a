//! The flow that streams share while it is described.

use std::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::BoxError;
use crate::plan::{AnyLink, Carrier, Flow, Input, Node, NodeId, NodeKind, Opening, PlainCarrier, Port};

use super::stream::Record;

/// A flow under description.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowRef(Arc<Mutex<Flow>>);

impl FlowRef {
    /// The flow, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are the same flow.
    pub(crate) fn same(&self, other: &FlowRef) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes the flow; what is left is empty.
    pub(crate) fn take(&self) -> Flow {
        std::mem::take(&mut *self.lock())
    }

    /// Notes a mistake of the user, to be told when the flow is planned.
    pub(crate) fn fault(&self, problem: String, advice: &str) {
        self.lock().faults.push((problem, advice.to_owned()));
    }

    /// Adds an operator without side outputs.
    pub(crate) fn operator(
        &self,
        verb: &'static str,
        stateful: bool,
        inputs: Vec<Input>,
        output: Port,
        make: impl Fn(Opening) -> Result<AnyLink, BoxError> + Send + Sync + 'static,
    ) -> NodeId {
        let kind = NodeKind::Operator { make: Box::new(make) };
        self.lock().add(Node { verb, name: None, uid: None, parallelism: None, stateful, kind, inputs, ports: vec![output] })
    }
}

/// The main output of records without a key.
pub(crate) fn plain_port<T: Record>() -> Port {
    Port { name: None, record: TypeId::of::<T>(), carrier: Arc::new(PlainCarrier::<T>::new()) }
}

/// A side output.
pub(crate) fn side_port<T: Record>(name: &str) -> Port {
    Port { name: Some(name.into()), ..plain_port::<T>() }
}

/// A main output with a carrier of its own.
pub(crate) fn port_with<T: 'static>(carrier: impl Carrier + 'static) -> Port {
    Port { name: None, record: TypeId::of::<T>(), carrier: Arc::new(carrier) }
}

/// The place of the side output `name` of a node, which is added if it isn't there.
///
/// A second one of that name and of another type is noted as a fault.
pub(crate) fn side_of<T: Record>(flow: &FlowRef, node: NodeId, name: &str) -> usize {
    let mut flow_now = flow.lock();
    let Some(node) = flow_now.node_mut(node) else { return 0 };
    let port = side_port::<T>(name);
    if let Some(at) = node.ports.iter().position(|port| port.name.as_deref() == Some(name)) {
        if node.ports.get(at).is_some_and(|found| found.record != port.record) {
            let problem = format!("the side output '{name}' is used with two types of records");
            flow_now.faults.push((problem, "give each side output its own name".into()));
        }
        return at;
    }
    node.ports.push(port);
    node.ports.len() - 1
}
