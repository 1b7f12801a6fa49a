//! State: what an operator remembers, and the frozen views of it that a snapshot is written from.
//!
//! Always: a view never changes after it was taken, whatever is written to the state afterwards. State is owned by its task and
//! touched by no other thread; views are read by the snapshot's writer.

mod carried;
mod counted;
mod growth;
mod items;
mod keyed;
mod list;
mod marked;
mod of_key;
mod of_operator;
mod restore;
mod segment;
mod sorted;
mod table;
mod table_view;
mod timers;
mod unkeyed;
mod unkeyed_view;
mod view;
mod walk;

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unkeyed_tests;

pub(crate) use counted::{Counted, LATE_DROPPED, SKIPPED, is_count};
pub use items::{ListItems, ListIter};
pub(crate) use keyed::KeyedState;
pub use keyed::ValueState;
pub(crate) use list::{ListView, read_list};
pub(crate) use marked::MarkedTables;
pub(crate) use of_key::passed;
pub use of_key::{KeyState, KeyTimers};
pub use of_operator::{BroadcastReader, BroadcastWriter, OperatorState};
pub(crate) use restore::table as read_table;
pub use sorted::BroadcastMap;
pub(crate) use table::{Hint, KeyHasher, KeyedTable};
pub(crate) use timers::{DueTimer, TIMERS, Timers};
pub(crate) use unkeyed::UnkeyedStates;
pub use unkeyed::{BroadcastState, OperatorList};
pub(crate) use view::{Block, Kept, RestoredStates, StateDescriptor, StateKind, StateView, Union};
pub(crate) use walk::Cursor;
