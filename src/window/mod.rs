//! Windows of event time: which ones a record belongs to, when they fire, and the operator that keeps them.
//!
//! Always: a window fires when the watermark passes its last millisecond, before the watermark goes on; and it is gone when its
//! allowed lateness is over. Everything here runs on the thread that steps the task.

mod assign;
mod live;
mod operator;
mod pane;
mod trigger;
mod windowed;

#[cfg(test)]
mod tests;

pub use assign::{Assigner, Sliding, SlidingWindows, Tumbling, Window};
pub(crate) use operator::{Keys, Late, Name, Rules, WindowOperator};
pub use trigger::{Count, EventTime, Purging, Trigger, TriggerContext, TriggerResult};
pub use windowed::Windowed;
