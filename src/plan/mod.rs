//! From the flow that a user describes to the tasks that run it.
//!
//! Always: everything that can be refused is refused here, before anything starts; the same flow always gives the same plan, and
//! the same uids.

mod carrier;
mod compile;
mod flow;
mod opening;
mod uids;
mod wiring;

pub(crate) use carrier::{AnyLink, Carrier, KeyedCarrier, PlainCarrier, link, unlink};
pub(crate) use compile::{Chain, Plan, compile};
pub(crate) use flow::{Flow, Input, Node, NodeId, NodeKind, Port, Routing};
pub(crate) use opening::{Opening, OperatorMetrics, TaskContext};
pub(crate) use wiring::{AttemptContext, Opener, Surroundings, wire};
