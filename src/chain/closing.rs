//! The last call of what a user has implemented.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ids::Uid;

/// Closes an operator or a writer, however its attempt ends: a panic here must not hide the failure that led here.
pub(super) fn close(uid: &Uid, what: &str, close: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(close)).is_err() {
        tracing::warn!(%uid, "{what} panicked in close");
    }
}
