//! How a savepoint is written: to where its user wants it, and with what a start from it needs.
//!
//! Always: nothing is written where anything lies already. A savepoint with which the job ends becomes the point that its next start goes
//! on from, before anything of it is committed. Called by the keeper, on threads that may block.

use std::collections::BTreeSet;

use super::root::Common;
use crate::checkpoint::Purpose;
use crate::error::{Error, Result};
use crate::ids::{CheckpointId, TaskId};
use crate::plan::reached_from;
use crate::snapshot::{CheckpointNote, Folder, JobStore, Manifest, Place, TaskEntry};
use crate::time::Timestamp;

/// Where a savepoint is written, and what for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) folder: Folder,
    pub(super) purpose: Purpose,
}

/// Looks whether a savepoint can be written there.
pub(super) fn look(place: &Place, own: Option<&JobStore>) -> Result<()> {
    let Some(folder) = place.fixed()? else { return place.folder(own, CheckpointId(0)).map(drop) };
    if folder.is_empty()? {
        return Ok(());
    }
    Err(Error::SavepointFailed {
        place: folder.located(),
        reason: "something lies there already, and nothing is ever overwritten: name a directory that is empty or not there"
            .into(),
    })
}

/// Completes a savepoint.
pub(super) fn publish(common: &Common, note: CheckpointNote, mut entries: Vec<TaskEntry>, target: &Target) -> Result<()> {
    if target.purpose == (Purpose::Stop { drain: true }) {
        let read_on = sources_that_have_not_ended(common, &entries);
        let open = reached_from(&common.plan, read_on);
        entries.iter_mut().filter(|entry| open.contains(&entry.task)).for_each(reopen);
    }
    target.folder.write_manifest(&Manifest::assemble(&common.record, note, entries)?)
}

/// Makes a complete savepoint with which the job ends the point that its next start goes on from.
///
/// # Errors
/// [`Error::Store`]: where it says `maybe_done` the next start may go on from there, so nothing may be undone before this has succeeded;
/// [`Error::Fenced`].
pub(super) fn mark(common: &Common, id: CheckpointId, target: &Target) -> Result<()> {
    match (target.purpose, &common.store) {
        (Purpose::Stop { .. }, Some(store)) => store.end_with(&target.folder, id),
        _ => Ok(()),
    }
}

/// The sources that were let go before their data had ended.
fn sources_that_have_not_ended(common: &Common, entries: &[TaskEntry]) -> BTreeSet<TaskId> {
    let is_open = |entry: &&TaskEntry| entry.operators.iter().any(|operator| !operator.ended);
    let sources = entries.iter().filter(|entry| common.plan.is_source(entry.task)).filter(is_open);
    sources.map(|entry| entry.task).collect()
}

/// Draining took a task to the end of time, and to the end of its data. Neither has come: a job that goes on from there reads on, and
/// its sources say what time it is.
fn reopen(entry: &mut TaskEntry) {
    for operator in &mut entry.operators {
        (operator.ended, operator.watermark) = (false, Timestamp::NONE);
    }
}
