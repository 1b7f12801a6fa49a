//! Checkpoint ids: handed out in order, and only after they were reserved durably.
//!
//! Always: an id is handed out once in a job's whole life. A start goes on above everything that was ever reserved; what was
//! reserved and not handed out is a gap.

use crate::config::ID_BLOCK;
use crate::ids::CheckpointId;

/// The ids that may be handed out.
#[derive(Debug)]
pub(crate) struct Ids {
    /// The next id to hand out.
    next: u64,
    /// The last id that is reserved.
    reserved: u64,
    /// A reservation is under way.
    asked: bool,
}

impl Ids {
    /// Ids above `reserved`, the highest one ever reserved.
    pub(crate) fn above(reserved: u64) -> Self {
        Ids { next: reserved.saturating_add(1), reserved, asked: false }
    }

    /// True while a reservation is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.asked
    }

    /// Hands out an id, if one is reserved.
    pub(crate) fn take(&mut self) -> Option<CheckpointId> {
        if self.next > self.reserved {
            return None;
        }
        self.next += 1;
        Some(CheckpointId(self.next - 1))
    }

    /// Begins a reservation: up to which id, inclusive.
    pub(crate) fn ask(&mut self) -> u64 {
        self.asked = true;
        self.next.saturating_add(ID_BLOCK - 1)
    }

    /// The reservation succeeded.
    pub(crate) fn granted(&mut self, up_to: u64) {
        self.asked = false;
        self.reserved = self.reserved.max(up_to);
    }

    /// The reservation failed, or may have.
    pub(crate) fn refused(&mut self) {
        self.asked = false;
    }
}
