//! State: what an operator remembers, and the frozen views of it that a snapshot is written from.
//!
//! Always: a view never changes after it was taken, whatever is written to the state afterwards. State is owned by its task and
//! touched by no other thread; views are read by the snapshot's writer.

mod access;
mod aggregate;
mod asked;
mod carried;
mod chunks;
mod counted;
mod expiring;
mod growth;
mod handles;
mod items;
mod key_list;
mod key_map;
mod keyed;
mod list;
mod marked;
mod of_key;
mod of_operator;
mod page;
mod pieces;
mod register;
mod registered;
mod restore;
mod segment;
mod sorted;
mod sweep;
mod table;
mod table_view;
mod timers;
mod ttl;
mod unkeyed;
mod unkeyed_view;
mod values;
mod versions;
mod view;
mod walk;

#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod kinds_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod ttl_tests;
#[cfg(test)]
mod unkeyed_tests;

pub use access::{Adding, Readable};
pub use aggregate::Aggregate;
pub use asked::AskedState;
pub(crate) use asked::{OpenEntries, OpenState, holds};
pub(crate) use counted::{Counted, LATE_DROPPED, SKIPPED, is_count};
pub use handles::{AggregatingState, ListState, MapState, ReducingState, ValueState};
pub use items::{ListItems, ListIter};
pub use key_list::KeyList;
pub use key_map::KeyMap;
pub(crate) use keyed::KeyedState;
pub(crate) use list::{ListView, read_list};
pub(crate) use marked::MarkedTables;
pub(crate) use of_key::passed;
pub use of_key::{KeyState, KeyTimers};
pub use of_operator::{BroadcastReader, BroadcastWriter, OperatorState};
pub(crate) use page::Page;
pub use register::Stored;
pub(crate) use restore::table as read_table;
pub use sorted::BroadcastMap;
pub(crate) use table::{Hint, KeyHasher, KeyedTable, LOOK_AHEAD};
pub(crate) use timers::{DueTimer, TIMERS, Timers};
pub use ttl::Ttl;
pub(crate) use unkeyed::UnkeyedStates;
pub use unkeyed::{BroadcastState, OperatorList};
pub use versions::Versions;
pub(crate) use view::{Block, Kept, RestoredStates, StateDescriptor, StateKind, StateView, Union};
pub(crate) use walk::Cursor;
