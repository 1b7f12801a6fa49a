//! The ledger of one sink task: what was cut off, what is durable, what is committed.
//!
//! Always: cuts become durable in the order of their barriers, whoever gets there first, and a handle leaves the ledger only
//! when its commit has succeeded; so the view for checkpoint n holds every handle of a cut ≤ n that is not known to be committed.
//!
//! The task adds cuts; everything else is called on threads for blocking work. The lock is held while a cut is made durable or
//! committed, and by the task for the moment in which it adds a cut, once a checkpoint.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::BoxError;
use crate::hook::{Callback, Canary, CrashPoint, Hooks};
use crate::ids::{CheckpointId, Uid};
use crate::sink::Sink;
use crate::state::{ListView, StateView};

/// The state name under which handles are kept.
pub(crate) const HANDLES_STATE: &str = "handles";
/// Between two tries to commit: long enough for a passing fault of a disk.
const COMMIT_PAUSE: Duration = Duration::from_millis(10);
/// How often a commit is tried before the region fails.
const COMMIT_TRIES: u32 = 3;

/// What a sink task has under way.
pub(crate) struct Ledger<S: Sink> {
    sink: Arc<S>,
    uid: Uid,
    hooks: Hooks,
    /// Cut off, not yet durable; by checkpoint, ascending.
    cuts: Mutex<VecDeque<(CheckpointId, S::Cut)>>,
    /// Durable, not yet committed; by checkpoint, ascending.
    handles: Mutex<VecDeque<(CheckpointId, S::Handle)>>,
}

impl<S: Sink> Ledger<S> {
    /// An empty ledger of a writer of this sink.
    pub(crate) fn new(sink: Arc<S>, uid: Uid, hooks: Hooks) -> Self {
        Ledger { sink, uid, hooks, cuts: Mutex::default(), handles: Mutex::default() }
    }

    /// Notes what the barrier of `checkpoint` cut off.
    pub(crate) fn add_cut(&self, checkpoint: CheckpointId, cut: S::Cut) {
        locked(&self.cuts).push_back((checkpoint, cut));
    }

    /// Makes every cut up to `checkpoint` durable, and returns the view of the handles that a commit still waits for.
    ///
    /// # Errors
    /// What the sink says. The cut is gone then, so the region has to fail.
    pub(crate) fn prepare(&self, checkpoint: CheckpointId) -> Result<Arc<dyn StateView>, BoxError> {
        let mut handles = locked(&self.handles);
        while let Some((id, cut)) = self.next_cut(checkpoint) {
            self.hooks.callback(&self.uid, Callback::MakeDurable)?;
            handles.extend(self.sink.make_durable(cut)?.into_iter().map(|handle| (id, handle)));
        }
        let forgets = self.hooks.breaks(Canary::HandleForgotten);
        let waits = |id: CheckpointId| id <= checkpoint && (id == checkpoint || !forgets);
        let waiting = handles.iter().filter(|(id, _)| waits(*id)).map(|(_, handle)| handle.clone());
        Ok(Arc::new(ListView::new(HANDLES_STATE, waiting.collect())))
    }

    fn next_cut(&self, checkpoint: CheckpointId) -> Option<(CheckpointId, S::Cut)> {
        let mut cuts = locked(&self.cuts);
        cuts.front().filter(|(id, _)| *id <= checkpoint)?;
        cuts.pop_front()
    }

    /// Commits, in order, every handle of a cut up to `checkpoint`.
    ///
    /// # Errors
    /// What the sink says at the last try. The handle stays in the ledger.
    pub(crate) fn commit(&self, checkpoint: CheckpointId) -> Result<(), BoxError> {
        let mut handles = locked(&self.handles);
        while let Some((id, handle)) = handles.front() {
            if *id > checkpoint {
                break;
            }
            self.try_commit(handle)?;
            handles.pop_front();
        }
        Ok(())
    }

    fn try_commit(&self, handle: &S::Handle) -> Result<(), BoxError> {
        let mut tries = 1;
        while let Err(error) = self.commit_once(handle) {
            tracing::warn!(%error, tries, ?handle, "a commit failed");
            if tries == COMMIT_TRIES {
                return Err(error);
            }
            tries += 1;
            match self.hooks.get() {
                None => std::thread::sleep(COMMIT_PAUSE),
                Some(hook) => hook.pause(COMMIT_PAUSE),
            }
        }
        Ok(())
    }

    fn commit_once(&self, handle: &S::Handle) -> Result<(), BoxError> {
        self.hooks.callback(&self.uid, Callback::Commit)?;
        self.sink.commit(handle)?;
        self.hooks.crash(CrashPoint::CommitDone)?;
        self.hooks.callback(&self.uid, Callback::Committed)
    }
}

/// A panic of user code under the lock fails the region; what the ledger holds is still in order.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
