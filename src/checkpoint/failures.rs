//! How many checkpoints have failed in a row.

use crate::checkpoint::reasons::Reason;

/// Counts consecutive failures.
#[derive(Debug)]
pub(crate) struct Failures {
    tolerated: u32,
    in_a_row: u32,
}

impl Failures {
    /// No failure yet; `u32::MAX` tolerates all of them.
    pub(crate) fn new(tolerated: u32) -> Self {
        Failures { tolerated, in_a_row: 0 }
    }

    /// A checkpoint was not completed; true if the job must fail. The count then begins anew, for the job may be restarted.
    pub(crate) fn failed(&mut self, reason: &Reason) -> bool {
        if !reason.counts() {
            return false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let exceeded = self.in_a_row > self.tolerated;
        if exceeded {
            self.in_a_row = 0;
        }
        exceeded
    }

    /// A checkpoint was completed.
    pub(crate) fn succeeded(&mut self) {
        self.in_a_row = 0;
    }
}
