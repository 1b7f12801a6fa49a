//! What an operator is: to the engine a link of a chain, to the user a trait to implement.
//!
//! Always: a link's calls come from one thread at a time, its task's, and none overlaps another.

mod all_keys;
mod answers;
mod broadcast;
mod broadcast_context;
mod context;
mod keyed;
mod link;
mod open;
mod open_expiring;
mod question;
mod side;
mod stage;
mod unkeyed;
mod unkeyed_open;

pub use all_keys::AllKeys;
pub(crate) use all_keys::Walks;
pub use answers::{Answers, AskContext};
pub use broadcast::BroadcastOperator;
pub use broadcast_context::{BroadcastContext, KeyedSideContext};
pub(crate) use context::Moments;
pub use context::{Context, Emitter, FinishContext, SideEmitter};
pub use keyed::KeyedOperator;
pub(crate) use link::{Cx, Flow, Halt, Link, Next, OpId, OperatorPart, Signal, Work};
pub(crate) use open::Instance;
pub use open::OpenContext;
pub use open_expiring::ExpiringStates;
pub(crate) use question::{Ask, Asked, Question};
pub(crate) use side::{Port, Sides, side_port};
pub use side::{Side, SideOutput};
pub(crate) use stage::Stage;
pub use unkeyed::{Operator, OperatorContext};
pub use unkeyed_open::{BroadcastOpenContext, OperatorOpenContext};

pub use crate::state::Aggregate;
