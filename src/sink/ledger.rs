//! The ledger of one sink task: what was cut off, what is durable, what is committed.
//!
//! Always: cuts become durable in the order of their barriers, whoever gets there first, and a handle leaves the ledger only
//! when its commit has succeeded; so the view for checkpoint n holds every handle of a cut ≤ n that is not known to be committed.
//! Once a cut could not be made durable there is no view for any later checkpoint: it would be complete without that cut.
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
    handles: Mutex<Handles<S::Handle>>,
}

/// The handles of what is durable.
struct Handles<H> {
    /// Not yet committed; by checkpoint, ascending.
    waiting: VecDeque<(CheckpointId, H)>,
    /// The checkpoint whose cut is being made durable, or could not be: it is gone, and with it the attempt.
    lost: Option<CheckpointId>,
}

impl<S: Sink> Ledger<S> {
    /// An empty ledger of a writer of this sink.
    pub(crate) fn new(sink: Arc<S>, uid: Uid, hooks: Hooks) -> Self {
        Ledger { sink, uid, hooks, cuts: Mutex::default(), handles: Mutex::new(Handles { waiting: VecDeque::new(), lost: None }) }
    }

    /// Notes what the barrier of `checkpoint` cut off.
    pub(crate) fn add_cut(&self, checkpoint: CheckpointId, cut: S::Cut) {
        locked(&self.cuts).push_back((checkpoint, cut));
    }

    /// Makes every cut up to `checkpoint` durable, and returns the view of the handles that a commit still waits for.
    ///
    /// # Errors
    /// What the sink says. The cut is gone then, so the region has to fail; until it does, every later call fails as well.
    pub(crate) fn prepare(&self, checkpoint: CheckpointId) -> Result<Arc<dyn StateView>, BoxError> {
        let mut handles = locked(&self.handles);
        if let Some(lost) = handles.lost {
            return Err(format!(
                "what was written before checkpoint {lost} could not be made durable, so nothing after it may be"
            )
            .into());
        }
        while let Some((id, cut)) = self.next_cut(checkpoint) {
            handles.lost = Some(id);
            self.hooks.callback(&self.uid, Callback::MakeDurable)?;
            handles.waiting.extend(self.sink.make_durable(cut)?.into_iter().map(|handle| (id, handle)));
            handles.lost = None;
        }
        let forgets = self.hooks.breaks(Canary::HandleForgotten);
        let waits = |id: CheckpointId| id <= checkpoint && (id == checkpoint || !forgets);
        let waiting = handles.waiting.iter().filter(|(id, _)| waits(*id)).map(|(_, handle)| handle.clone());
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
        while let Some((id, handle)) = handles.waiting.front() {
            if *id > checkpoint {
                break;
            }
            self.try_commit(handle)?;
            handles.waiting.pop_front();
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

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sink::{SinkContext, SinkWriter};

    /// Cannot make the cut of the first checkpoint durable, nor commit while it is `refusing`.
    #[derive(Clone, Default)]
    struct Fragile {
        committed: Arc<Mutex<Vec<u64>>>,
        refusing: Arc<AtomicBool>,
    }

    impl Sink for Fragile {
        type Item = u64;
        type Cut = u64;
        type Handle = u64;
        type Writer = Fragile;

        fn recover(&self, _: &SinkContext, _: Vec<u64>) -> Result<(), BoxError> {
            Ok(())
        }

        fn open(&self, _: &SinkContext) -> Result<Fragile, BoxError> {
            Ok(self.clone())
        }

        fn make_durable(&self, cut: u64) -> Result<Vec<u64>, BoxError> {
            if cut == 1 { Err("there is no room".into()) } else { Ok(vec![cut]) }
        }

        fn commit(&self, handle: &u64) -> Result<(), BoxError> {
            if self.refusing.load(Ordering::Relaxed) {
                return Err("not now".into());
            }
            locked(&self.committed).push(*handle);
            Ok(())
        }
    }

    impl SinkWriter for Fragile {
        type Item = u64;
        type Cut = u64;

        fn write(&mut self, _: &mut Vec<u64>) -> Result<(), BoxError> {
            Ok(())
        }

        fn cut(&mut self, id: CheckpointId) -> Result<u64, BoxError> {
            Ok(id.0)
        }
    }

    /// A ledger with a cut of each of these checkpoints.
    fn ledger(sink: &Fragile, ids: RangeInclusive<u64>) -> Ledger<Fragile> {
        let ledger = Ledger::new(Arc::new(sink.clone()), Uid::new("out"), Hooks::default());
        ids.for_each(|id| ledger.add_cut(CheckpointId(id), id));
        ledger
    }

    /// The handles that a checkpoint keeps.
    fn kept(ledger: &Ledger<Fragile>, checkpoint: u64) -> Vec<u64> {
        let view = ledger.prepare(CheckpointId(checkpoint)).unwrap();
        let kept = crate::state::Kept::View(view.clone());
        crate::state::read_list(HANDLES_STATE, Some((view.descriptor().clone(), kept))).unwrap()
    }

    #[test]
    fn a13_behind_a_cut_that_is_lost_nothing_becomes_durable() {
        let ledger = ledger(&Fragile::default(), 1..=2);
        assert_eq!(ledger.prepare(CheckpointId(1)).unwrap_err().to_string(), "there is no room");
        let behind = ledger.prepare(CheckpointId(2)).unwrap_err().to_string();
        assert!(behind.contains("before checkpoint 1 could not be made durable"), "{behind}");
    }

    #[test]
    fn f4_what_is_complete_is_committed_in_order_and_nothing_newer() {
        let sink = Fragile::default();
        let ledger = ledger(&sink, 2..=5);
        assert_eq!(kept(&ledger, 4), [2, 3, 4]);
        assert_eq!(kept(&ledger, 5), [2, 3, 4, 5]);
        ledger.commit(CheckpointId(3)).unwrap();
        assert_eq!(*locked(&sink.committed), [2, 3]);
        assert_eq!(kept(&ledger, 5), [4, 5]);
        ledger.commit(CheckpointId(5)).unwrap();
        assert_eq!(*locked(&sink.committed), [2, 3, 4, 5]);
        assert_eq!(kept(&ledger, 6), [0; 0]);
    }

    #[test]
    fn f6_f7_a_handle_stays_until_its_commit_has_succeeded() {
        let sink = Fragile::default();
        let ledger = ledger(&sink, 2..=3);
        assert_eq!(kept(&ledger, 2), [2]);
        sink.refusing.store(true, Ordering::Relaxed);
        assert_eq!(ledger.commit(CheckpointId(2)).unwrap_err().to_string(), "not now");
        assert_eq!(kept(&ledger, 3), [2, 3], "the next checkpoint holds it as well");
        sink.refusing.store(false, Ordering::Relaxed);
        ledger.commit(CheckpointId(3)).unwrap();
        assert_eq!(*locked(&sink.committed), [2, 3]);
    }
}
