//! The graceful end of a job: a last checkpoint, then the end; or the end at once, when there is no more time.
//!
//! Runs beside the actors, on the job's own runtime: whoever asks for it may be on any.

use std::time::Duration;

use tokio::sync::oneshot;

use super::post::post;
use super::root::{RootMsg, RootRef};
use crate::config::WISH_AGAIN;
use crate::error::Error;
use crate::ids::CheckpointId;

/// What became of the last checkpoint, or why there is none.
pub(crate) type Last = Result<CheckpointId, String>;

/// Takes the last checkpoint within this time, tells of it, and ends the job as a crash would: it is to go on from there.
pub(super) async fn shut_down(root: RootRef, within: Duration, tell: oneshot::Sender<Last>) {
    let mut refused = None;
    let taken = tokio::time::timeout(within, take(&root, &mut refused)).await;
    let last = match (taken, refused) {
        (Ok(Some(id)), _) => Ok(id),
        // The job is ending already: it says how.
        (Ok(None), _) => return,
        (Err(_), Some(refused)) => Err(format!("no checkpoint was complete within {within:?}: {refused}")),
        (Err(_), None) => Err(format!("no checkpoint was complete within {within:?}")),
    };
    // Whoever asked may have gone; the job is to end all the same.
    drop(tell.send(last));
    post(&root, RootMsg::Abandon);
}

/// Asks until a checkpoint is complete: a region that is being restarted needs a moment. None where nobody is left to be asked.
async fn take(root: &RootRef, refused: &mut Option<Error>) -> Option<CheckpointId> {
    loop {
        let (port, answer) = oneshot::channel();
        post(root, RootMsg::Request(port.into()));
        match answer.await {
            Ok(Ok(id)) => return Some(id),
            Ok(Err(error)) => *refused = Some(error),
            Err(_) => return None,
        }
        tokio::time::sleep(WISH_AGAIN).await;
    }
}
