//! What an operator instance is opened with.

use std::ops::Range;
use std::sync::Arc;

use super::carrier::{AnyLink, unlink};
use crate::error::BoxError;
use crate::hook::Hooks;
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::key::{KeyGroups, KeyHasher};
use crate::metrics::Counter;
use crate::operator::{Next, OpId, Sides};
use crate::snapshot::RestoredOperator;
use crate::time::Timestamp;

/// What all operators of a task share.
#[derive(Clone, Debug)]
pub(crate) struct TaskContext {
    pub(crate) job: Arc<str>,
    pub(crate) task: TaskId,
    pub(crate) parallelism: u32,
    pub(crate) attempt: Attempt,
    /// The checkpoint that the attempt begins from.
    pub(crate) restored: Option<CheckpointId>,
    pub(crate) groups: KeyGroups,
    pub(crate) hasher: KeyHasher,
    /// The wall time at which it is opened.
    pub(crate) opened: Timestamp,
}

/// What an operator counts, over all its instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct OperatorMetrics {
    /// Read by a source, or written by a sink.
    pub(crate) records: Counter,
    /// Not decodable, or refused by a fallible function, and left out.
    pub(crate) skipped: Counter,
    /// Too late for every window, and dropped.
    pub(crate) late_dropped: Counter,
}

/// What one operator instance is opened with.
pub(crate) struct Opening {
    pub(crate) context: TaskContext,
    pub(crate) operator: OpId,
    pub(crate) uid: Uid,
    /// What the main output goes to; a sink has none.
    pub(crate) next: Option<AnyLink>,
    pub(crate) sides: Sides,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) restored: RestoredOperator,
    pub(crate) hooks: Hooks,
}

impl Opening {
    /// What the main output goes to.
    ///
    /// # Errors
    /// Where it carries another type: a fault of the plan.
    pub(crate) fn take_next<T: 'static>(&mut self) -> Result<Next<T>, BoxError> {
        unlink(self.next.take().ok_or("the operator has no output")?)
    }

    /// The key groups that this instance owns.
    pub(crate) fn owned(&self) -> Range<u16> {
        self.context.groups.range(self.context.task.index, self.context.parallelism)
    }
}
