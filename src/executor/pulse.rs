//! The pulse of a task: what its driver shows of it to who watches, on another thread.
//!
//! Written by the driver alone, twice a step, with plain stores: never for each record. What is read may be a moment old, and the two
//! numbers may be of two steps that follow each other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::supervision::{Doing, Reading};

/// How many bits say what the task does; the others count its steps.
const DOING_BITS: u32 = 2;

/// What a task does, how many steps it has begun, and how many records it has taken.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    steps: AtomicU64,
    records: AtomicU64,
}

impl Pulse {
    /// A step begins.
    pub(super) fn steps(&self) {
        let begun = (self.steps.load(Ordering::Relaxed) >> DOING_BITS) + 1;
        self.steps.store((begun << DOING_BITS) | code(Doing::Stepping), Ordering::Relaxed);
    }

    /// A step is over; the task has taken so many records since it was opened.
    pub(super) fn beats(&self, doing: Doing, records: u64) {
        self.records.store(records, Ordering::Relaxed);
        let begun = self.steps.load(Ordering::Relaxed) >> DOING_BITS;
        self.steps.store((begun << DOING_BITS) | code(doing), Ordering::Relaxed);
    }

    /// What it shows now.
    pub(crate) fn read(&self) -> Reading {
        let steps = self.steps.load(Ordering::Relaxed);
        let doing = match steps & ((1 << DOING_BITS) - 1) {
            0 => Doing::Resting,
            1 => Doing::Stepping,
            2 => Doing::Waiting,
            _ => Doing::Ended,
        };
        Reading { doing, steps: steps >> DOING_BITS, records: self.records.load(Ordering::Relaxed) }
    }
}

fn code(doing: Doing) -> u64 {
    match doing {
        Doing::Resting => 0,
        Doing::Stepping => 1,
        Doing::Waiting => 2,
        Doing::Ended => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_shows_what_was_told_last() {
        let pulse = Pulse::default();
        assert_eq!(pulse.read(), Reading::NOTHING);
        pulse.steps();
        assert_eq!(pulse.read(), Reading { doing: Doing::Stepping, steps: 1, records: 0 });
        for doing in [Doing::Waiting, Doing::Resting, Doing::Ended] {
            pulse.beats(doing, 12);
            assert_eq!(pulse.read(), Reading { doing, steps: 1, records: 12 });
        }
    }
}
