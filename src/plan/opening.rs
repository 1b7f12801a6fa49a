//! What an operator instance is opened with.

use std::sync::Arc;

use crate::ids::{Attempt, TaskId, Uid};
use crate::key::{KeyGroups, KeyHasher};
use crate::metrics::Counter;
use crate::operator::OpId;
use crate::state::RestoredStates;
use crate::time::{Clock, Timestamp};

/// What all operators of a task share.
#[derive(Clone, Debug)]
pub(crate) struct TaskContext {
    pub(crate) job: Arc<str>,
    pub(crate) task: TaskId,
    pub(crate) parallelism: u32,
    pub(crate) attempt: Attempt,
    pub(crate) groups: KeyGroups,
    pub(crate) hasher: KeyHasher,
    pub(crate) clock: Arc<dyn Clock>,
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
    /// The names of the side outputs, in the order of the links behind the main one.
    pub(crate) sides: Vec<Arc<str>>,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) restored: RestoredOperator,
}

/// What a checkpoint kept of one operator instance.
#[derive(Clone, Debug)]
pub(crate) struct RestoredOperator {
    pub(crate) states: RestoredStates,
    /// The watermark that it had seen.
    pub(crate) watermark: Timestamp,
    /// It had come to its end of data.
    pub(crate) ended: bool,
}

impl Default for RestoredOperator {
    fn default() -> Self {
        RestoredOperator { states: RestoredStates::default(), watermark: Timestamp::NONE, ended: false }
    }
}
