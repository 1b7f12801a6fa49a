//! How much of its input a task takes at a time.
//!
//! Always: a step stays short, and what a task has taken and cannot hand on, because the task behind it is slow, is little: a barrier
//! waits for it.

use std::time::Duration;

use crate::config::{FIRST_READ, FRAME_TIME, STEP_TARGET};
use crate::frame::Portion;
use crate::time::Moment;

/// The size of the next piece of input.
#[derive(Debug)]
pub(super) struct Pieces {
    /// As many as a step can do.
    step: usize,
    /// As many as can be handed on in time.
    handed_on: Portion,
    /// Since when the piece that was taken last is stopped.
    stopped: Option<Moment>,
    most: usize,
}

impl Pieces {
    /// Of at most so many records.
    pub(super) fn up_to(most: usize) -> Self {
        Pieces { step: most.min(FIRST_READ), handed_on: Portion::up_to(most), stopped: None, most }
    }

    /// How many records the next piece may have.
    pub(super) fn records(&self) -> usize {
        self.step.min(self.handed_on.records())
    }

    /// A step took so long.
    pub(super) fn took(&mut self, step: Duration) {
        if step > STEP_TARGET {
            self.step = (self.step / 2).max(1);
        } else if step < STEP_TARGET / 4 {
            self.step = (self.step * 2).min(self.most);
        }
    }

    /// The piece could not be handed on completely.
    pub(super) fn stopped(&mut self, now: Moment) {
        self.stopped.get_or_insert(now);
    }

    /// A piece was handed on completely.
    pub(super) fn handed_on(&mut self, now: Moment) {
        let took = self.stopped.take().map_or(Duration::ZERO, |since| now.since(since));
        self.handed_on.took(self.records(), took, FRAME_TIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_task_is_slow_to_take_is_taken_in_small_pieces() {
        let (mut pieces, mut now) = (Pieces::up_to(1024), Moment::default());
        (0..10).for_each(|_| pieces.took(Duration::ZERO));
        let pass = |pieces: &mut Pieces, now: &mut Moment, each: Duration| {
            for _ in 0..20 {
                pieces.stopped(*now);
                *now = now.plus(each * pieces.records() as u32);
                pieces.handed_on(*now);
            }
            pieces.records()
        };
        assert_eq!(pass(&mut pieces, &mut now, Duration::from_nanos(50)), 1024);
        let slow = pass(&mut pieces, &mut now, Duration::from_millis(1));
        assert!((50..=100).contains(&slow), "{slow}");
        assert_eq!(pass(&mut pieces, &mut now, Duration::from_nanos(50)), 1024, "it is quick again");
    }

    #[test]
    fn a_step_that_takes_long_takes_less() {
        let mut pieces = Pieces::up_to(64);
        (0..10).for_each(|_| pieces.took(Duration::ZERO));
        (0..3).for_each(|_| pieces.took(STEP_TARGET * 2));
        assert_eq!(pieces.records(), 8);
        (0..10).for_each(|_| pieces.took(STEP_TARGET * 2));
        assert_eq!(pieces.records(), 1);
        (0..10).for_each(|_| pieces.took(Duration::ZERO));
        assert_eq!(pieces.records(), 64);
    }
}
