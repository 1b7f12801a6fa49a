//! The one place through which messages are sent to actors.

use ractor::ActorRef;

/// Sends a message; one to an actor that is gone is dropped, because whoever supervises it knows.
pub(crate) fn post<M: Send + 'static>(to: &ActorRef<M>, message: M) {
    if to.cast(message).is_err() {
        tracing::trace!("a message came after its receiver had gone");
    }
}
