//! A task's one bell.
//!
//! The driver of the task registers its waker here before it looks for work; anyone else rings. Rung before it is registered, the
//! bell stays silent: the look that follows the registration finds what was rung for.

use std::sync::Arc;
use std::task::Waker;

use atomic_waker::AtomicWaker;

/// Wakes one task; shared by cloning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<AtomicWaker>);

impl Bell {
    /// From now on ringing wakes this waker.
    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }

    /// Wakes the task if it has registered.
    pub(crate) fn ring(&self) {
        self.0.wake();
    }
}

/// Rings when it is dropped. The last field of whatever has to ring once its other fields are gone.
#[derive(Debug)]
pub(super) struct RingOnDrop(pub(super) Bell);

impl Drop for RingOnDrop {
    fn drop(&mut self) {
        self.0.ring();
    }
}
