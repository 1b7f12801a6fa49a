//! What a coordinator and a snapshot actor that have failed leave in the store, and what counts of it.
//!
//! Always: done when no call of theirs is under way any more, so what is found stays as it is. A manifest that is there and can be read
//! counts, and is made durable; what is left of any other checkpoint is removed. A savepoint that is complete is its user's; one with
//! which the job was to end becomes the point that the next start goes on from, because it may be so already. Done once more it finds
//! the same. Called on a thread that may block.

use super::handover::Left;
use super::keeper::{UNKEPT_IDS, tidied};
use super::root::Common;
use super::savepoints;
use crate::checkpoint::Purpose;
use crate::error::Result;
use crate::ids::CheckpointId;
use crate::snapshot::JobStore;

/// What the next pair begins with.
pub(crate) struct Settled {
    /// The latest complete checkpoint, or what the job began from.
    pub(super) latest: Option<CheckpointId>,
    /// The complete checkpoints that the job owns.
    pub(super) retained: Vec<CheckpointId>,
    /// Checkpoint ids that may be used: above the first, up to the second.
    pub(super) ids: (u64, u64),
    /// Savepoints that were under way, and are complete.
    pub(super) saved: Vec<CheckpointId>,
    /// The one of these with which the job ends.
    pub(super) ends_with: Option<CheckpointId>,
}

/// Finds out what counts.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store), [`Error::Fenced`](crate::Error::Fenced).
pub(super) fn settle(common: &Common, left: &Left) -> Result<Settled> {
    let (mut saved, mut ends_with) = (Vec::new(), None);
    for (id, target) in &left.savepoints {
        if !target.folder.settle(*id)? {
            tidied("remove a savepoint that failed", || target.folder.delete());
            continue;
        }
        savepoints::mark(common, *id, target)?;
        saved.push(*id);
        if let Purpose::Stop { .. } = target.purpose {
            ends_with = Some(*id);
        }
    }
    let (latest, retained, ids) = match &common.store {
        None => (common.views.latest(), Vec::new(), (left.used, UNKEPT_IDS)),
        Some(store) => in_store(common, store)?,
    };
    let latest = latest.max(left.announced);
    left.under_way.iter().filter(|id| Some(**id) != latest).for_each(|id| common.views.given_up(*id));
    Ok(Settled { latest, retained, ids, saved, ends_with })
}

/// What of the latest checkpoint, those that are kept, and ids.
type InStore = (Option<CheckpointId>, Vec<CheckpointId>, (u64, u64));

fn in_store(common: &Common, store: &JobStore) -> Result<InStore> {
    store.confirm_epoch()?;
    let latest = store.settle_all()?;
    let mut retained = store.list()?;
    if let Some(begun) = common.begun.as_ref().filter(|begun| begun.claimed)
        && begun.found.folder().settle(begun.found.id())?
    {
        retained.push(begun.found.id());
    }
    let ids = store.reserve_ids()?;
    Ok((latest, retained, (ids.start - 1, ids.end - 1)))
}
