//! The ways in which the engine can be broken on purpose, so that a test kit can prove that it would see it.
//!
//! Always: the engine asks for them at cold points only, once for a barrier, a checkpoint, a blocked edge or a wiring; and without
//! the feature `testing` the answer is a constant: no.

use super::Hooks;

/// A bug that the engine can be made to have: see [`Kit::break_engine`](crate::testing::Kit::break_engine).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Canary {
    /// A task handles records between the barrier that it sends on and its view: they are in its state, and behind its barrier.
    RecordBehindBarrier,
    /// Sinks hear that a checkpoint is complete, and commit, before its manifest is written.
    NotifyBeforeManifest,
    /// A gate goes on reading edges whose barrier has come.
    NoAlignment,
    /// Parts that an attempt has delivered still count when it has failed and another one runs.
    StaleAttempt,
    /// The store gives files their names without having synced them.
    RenameWithoutSync,
    /// A source goes on reading before it notes its positions.
    PositionsBehindBarrier,
    /// What is written to a state after the barrier shows in its view.
    ViewNotFrozen,
    /// A task that waits for room on an edge is not woken when there is some.
    LostWakeUp,
    /// A snapshot holds the handles of its own cut only, not those of earlier ones that a commit still waits for.
    HandleForgotten,
}

impl Canary {
    /// All of them.
    pub const ALL: [Canary; 9] = [
        Canary::RecordBehindBarrier,
        Canary::NotifyBeforeManifest,
        Canary::NoAlignment,
        Canary::StaleAttempt,
        Canary::RenameWithoutSync,
        Canary::PositionsBehindBarrier,
        Canary::ViewNotFrozen,
        Canary::LostWakeUp,
        Canary::HandleForgotten,
    ];
}

impl Hooks {
    /// Whether the engine is to be broken so.
    #[inline]
    pub(crate) fn breaks(&self, canary: Canary) -> bool {
        cfg!(feature = "testing") && self.get().is_some_and(|hook| hook.breaks(canary))
    }
}
