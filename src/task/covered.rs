//! What the checkpoints that are under way hold of a source: the positions of its splits.
//!
//! Always: what a checkpoint holds is remembered from its view until it, or a later one, is complete, or it is given up; so there are as
//! many as are under way. Owned by the head of the source's task.

use std::collections::VecDeque;

use crate::ids::CheckpointId;

/// Positions by checkpoint, in the order of the splits.
#[derive(Debug)]
pub(super) struct Positions<P>(VecDeque<(CheckpointId, Vec<P>)>);

impl<P> Default for Positions<P> {
    fn default() -> Self {
        Positions(VecDeque::new())
    }
}

impl<P> Positions<P> {
    /// The view for a checkpoint is taken at these positions.
    pub(super) fn taken(&mut self, id: CheckpointId, positions: Vec<P>) {
        self.0.push_back((id, positions));
    }

    /// A checkpoint is complete: what it holds; nothing where that was told before.
    pub(super) fn complete(&mut self, id: CheckpointId) -> Vec<P> {
        let up_to = self.0.iter().take_while(|(taken, _)| *taken <= id).count();
        let covered = self.0.drain(..up_to).rfind(|(taken, _)| *taken == id);
        covered.map(|(_, positions)| positions).unwrap_or_default()
    }

    /// A checkpoint will not be completed.
    pub(super) fn given_up(&mut self, id: CheckpointId) {
        self.0.retain(|(taken, _)| *taken != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_checkpoint_says_what_it_holds_once_and_outdates_those_before() {
        let mut positions = Positions::default();
        for n in 1..=4 {
            positions.taken(CheckpointId(n), vec![n * 10]);
        }
        positions.given_up(CheckpointId(3));
        assert_eq!(positions.complete(CheckpointId(2)), [20]);
        assert_eq!(positions.complete(CheckpointId(1)), [0; 0]);
        assert_eq!(positions.complete(CheckpointId(3)), [0; 0], "it was given up");
        assert_eq!(positions.complete(CheckpointId(4)), [40]);
        assert!(positions.0.is_empty());
    }
}
