//! Where actors meet the hook of a job: before each message, and at those messages that may be lost or late.
//!
//! Always: without a hook a message is handled at once and sent as it is.

use ractor::ActorRef;

use super::post::post;
use crate::error::BoxError;
use crate::hook::{Control, Hooks, Point, Role, Route};

/// An actor is about to handle a message: waits as long as the hook says, then goes on or crashes.
pub(super) async fn enter(hooks: &Hooks, role: Role) -> Result<(), BoxError> {
    let Some(hook) = hooks.get() else { return Ok(()) };
    match hook.turn(role) {
        None => std::future::pending().await,
        Some(wait) if wait.is_zero() => {}
        Some(wait) => tokio::time::sleep(wait).await,
    }
    hook.reach(Point::Message(role))
}

/// Sends a message that may be lost or late; within the job's runtime.
pub(super) fn post_control<M: Send + 'static>(hooks: &Hooks, control: Control, to: &ActorRef<M>, message: M) {
    let to = to.clone();
    route(hooks, control, move || post(&to, message));
}

/// Does what sends such a message, now or later, or not at all.
pub(super) fn route(hooks: &Hooks, control: Control, send: impl FnOnce() + Send + 'static) {
    match hooks.route(control) {
        Route::Deliver => send(),
        Route::Lost => {}
        Route::Late(by) => drop(tokio::spawn(async move {
            tokio::time::sleep(by).await;
            send();
        })),
    }
}
