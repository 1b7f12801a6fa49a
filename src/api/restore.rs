//! Where a job begins.

use super::job::Store;
use crate::actor::StartPoint;
use crate::ids::CheckpointId;
use crate::snapshot::{Place, Where};

/// What a job begins from: see [`Job::restore_from`](crate::Job::restore_from).
///
/// ```
/// use tidegate::{CheckpointId, Restore};
///
/// let usual = Restore::latest();
/// let chosen = Restore::savepoint("savepoints/before-the-upgrade");
/// let earlier = Restore::checkpoint(CheckpointId(7));
/// let inherited = Restore::savepoint("savepoints/handed-over").claim();
/// # let _ = (usual, chosen, earlier, inherited);
/// ```
#[derive(Clone, Debug)]
pub struct Restore(pub(crate) StartPoint);

impl Restore {
    /// Where the job was: from its latest checkpoint. Where it has none since it was last begun from a chosen point, or was stopped with a
    /// savepoint, from that point; else from the beginning. What every job does without a word.
    pub fn latest() -> Self {
        Restore(StartPoint::Latest)
    }

    /// From the savepoint that lies there now; or from a copy of a checkpoint's directory, which is made the same way.
    ///
    /// Its files stay as they are, whatever becomes of the job, unless it is [claimed](Self::claim).
    pub fn savepoint(place: impl Into<Place>) -> Self {
        Restore(StartPoint::At { place: place.into(), claimed: false })
    }

    /// From a checkpoint of the job's own that is still [kept](crate::Checkpoints::retain). To go back to an older one repeats the output
    /// that was committed after it.
    pub fn checkpoint(id: CheckpointId) -> Self {
        Restore(StartPoint::Own(id))
    }

    /// Makes the savepoint the job's: it is deleted, as an older checkpoint is, when checkpoints of the job's own have taken its place.
    /// Without effect on the job's own.
    #[must_use]
    pub fn claim(self) -> Self {
        self.claimed(true)
    }

    /// Leaves the savepoint to the user: none of its files is ever deleted. The default. (No checkpoint of the job refers to any of them
    /// in either case: each holds all of the state.)
    #[must_use]
    pub fn no_claim(self) -> Self {
        self.claimed(false)
    }

    fn claimed(self, claimed: bool) -> Self {
        Restore(match self.0 {
            StartPoint::At { place, .. } => StartPoint::At { place, claimed },
            own => own,
        })
    }
}

impl Default for Restore {
    fn default() -> Self {
        Restore::latest()
    }
}

impl Place {
    /// A directory of a store, such as `savepoints/7`.
    pub fn in_store(store: &Store, dir: impl Into<String>) -> Self {
        Place(Where::Store(store.clone().with_patience(), dir.into()))
    }
}
