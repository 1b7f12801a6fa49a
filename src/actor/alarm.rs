//! An actor's alarm: one message at a moment, which replaces the one before.

use std::sync::Arc;

use ractor::ActorRef;
use tokio::task::JoinHandle;

use super::post::post;
use crate::time::{Clock, Moment};

/// Sends a message to an actor at a moment.
#[derive(Debug)]
pub(super) struct Alarm {
    clock: Arc<dyn Clock>,
    set: Option<(Moment, JoinHandle<()>)>,
}

impl Alarm {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Alarm { clock, set: None }
    }

    /// Sets the alarm to `at`; `None` turns it off.
    pub(super) fn set<M: Send + 'static>(&mut self, at: Option<Moment>, to: &ActorRef<M>, message: M) {
        if self.set.as_ref().map(|(at, _)| *at) == at {
            return;
        }
        if let Some((_, before)) = self.set.take() {
            before.abort();
        }
        let Some(at) = at else { return };
        let (left, to) = (at.since(self.clock.now()), to.clone());
        let ringing = tokio::spawn(async move {
            tokio::time::sleep(left).await;
            post(&to, message);
        });
        self.set = Some((at, ringing));
    }

    /// The alarm has rung.
    pub(super) fn rang(&mut self) {
        self.set = None;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((_, ringing)) = self.set.take() {
            ringing.abort();
        }
    }
}
