//! From the flow that a user describes to the tasks that run it.
//!
//! Always: everything that can be refused is refused here, before anything starts; the same flow always gives the same plan, and
//! the same uids.

mod addresses;
mod carrier;
mod compile;
mod flow;
mod opening;
mod uids;
mod upstream;
mod wiring;

pub(crate) use addresses::{Address, Addresses};
#[cfg(test)]
pub(crate) use carrier::unlink;
pub(crate) use carrier::{AnyLink, Carrier, KeyedCarrier, PlainCarrier, RoutedCarrier, link};
pub(crate) use compile::{Plan, compile};
pub(crate) use flow::{Flow, Input, Node, NodeId, NodeKind, Port, Routing};
#[cfg(test)]
pub(crate) use opening::TaskContext;
pub(crate) use opening::{Opening, OperatorMetrics};
pub(crate) use upstream::reached_from;
pub(crate) use wiring::{AttemptContext, Opener, Surroundings, wire};
