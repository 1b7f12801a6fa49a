//! A line from outside the tree to a job's root: who holds it may want a checkpoint soon.
//!
//! Always: before the job is started, and once it is over, a wish is dropped; whoever has it asks again when the job opens its source.

use std::sync::OnceLock;

use tokio::sync::oneshot;

use super::post::post;
use super::root::{RootMsg, RootRef};
use crate::config::WISH_AGAIN;

/// Whether a checkpoint is still wanted.
pub(crate) type StillWanted = Box<dyn Fn() -> bool + Send>;

/// Leads to the root of one job, once it runs.
#[derive(Debug, Default)]
pub(crate) struct Line(OnceLock<RootRef>);

impl Line {
    /// The job runs.
    pub(super) fn connect(&self, root: &RootRef) {
        self.0.get_or_init(|| root.clone());
    }

    /// Has checkpoints taken until none is wanted any more.
    pub(crate) fn want_checkpoint(&self, still: StillWanted) {
        if let Some(root) = self.0.get() {
            post(root, RootMsg::Wish(still));
        }
    }
}

/// Asks for a checkpoint, and again after a while, until none is wanted or nobody is there to be asked.
pub(super) async fn insist(root: RootRef, still: StillWanted) {
    while still() {
        let (port, answer) = oneshot::channel();
        post(&root, RootMsg::Request(port.into()));
        match answer.await {
            Ok(Ok(_)) => {}
            Ok(Err(refused)) => tracing::debug!(%refused, "an input is full, and waits for a checkpoint"),
            Err(_) => return,
        }
        tokio::time::sleep(WISH_AGAIN).await;
    }
}
