//! State: what an operator remembers, and the frozen views of it that a snapshot is written from.
//!
//! Always: a view never changes after it was taken, whatever is written to the state afterwards. State is owned by its task and
//! touched by no other thread; views are read by the snapshot's writer.

mod asked;
mod carried;
mod counted;
mod growth;
mod keyed;
mod list;
mod marked;
mod of_key;
mod page;
mod restore;
mod segment;
mod table;
mod table_view;
mod timers;
mod view;
mod walk;

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod tests;

pub use asked::AskedState;
pub(crate) use asked::{OpenEntries, OpenState, holds};
pub(crate) use counted::{Counted, LATE_DROPPED, SKIPPED, is_count};
pub(crate) use keyed::KeyedState;
pub use keyed::ValueState;
pub(crate) use list::{ListView, read_list};
pub(crate) use marked::MarkedTables;
pub(crate) use of_key::passed;
pub use of_key::{KeyState, KeyTimers};
pub(crate) use page::Page;
pub(crate) use restore::table as read_table;
pub(crate) use table::{Hint, KeyHasher, KeyedTable};
pub(crate) use timers::{DueTimer, TIMERS, Timers};
pub(crate) use view::{Block, Kept, RestoredStates, StateDescriptor, StateKind, StateView};
pub(crate) use walk::Cursor;
