//! A count that is state: records that an operator instance left out.
//!
//! Always: each record counts exactly once, over restarts too, because the number goes back to that of the restored checkpoint as
//! everything else does. A count that nobody takes up again is no loss to anyone's results, so it holds up no restore. Owned by the
//! operator and raised on its task's thread; anyone may read the counter behind it.

use std::sync::Arc;

use crate::error::Result;
use crate::metrics::Counter;

use super::list::{ListView, read_list};
use super::view::{RestoredStates, StateView};

/// Records that were too late for every window, and dropped.
pub(crate) const LATE_DROPPED: &str = "late_dropped";
/// Records that could not be handled, and were left out.
pub(crate) const SKIPPED: &str = "skipped";

/// Whether the state with this name is a count.
pub(crate) fn is_count(state: &str) -> bool {
    [LATE_DROPPED, SKIPPED].contains(&state)
}

/// What one instance has counted over the job's life.
#[derive(Debug)]
pub(crate) struct Counted {
    name: &'static str,
    /// Of all instances together.
    all: Counter,
    own: u64,
}

impl Counted {
    /// Goes on from what a checkpoint kept; `all` begins at zero with each attempt.
    ///
    /// # Errors
    /// [`crate::Error::StateMismatch`] where what was stored cannot be read.
    pub(crate) fn open(name: &'static str, all: Counter, restored: &mut RestoredStates) -> Result<Self> {
        let own = read_list::<u64>(name, restored.take(name))?.iter().sum();
        all.add(own);
        Ok(Counted { name, all, own })
    }

    /// One more.
    pub(crate) fn one(&mut self) {
        self.own += 1;
        self.all.add(1);
    }

    /// The view of the count; none where nothing was counted.
    pub(crate) fn view(&self) -> Option<Arc<dyn StateView>> {
        (self.own > 0).then(|| Arc::new(ListView::new(self.name, vec![self.own])) as Arc<dyn StateView>)
    }
}
