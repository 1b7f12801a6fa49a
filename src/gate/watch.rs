//! The checks at the edges of a task in a job that is hooked into, and the stalls of its edges.
//!
//! Always: it only looks and holds back; what is in a frame is not its business to change. Not there in production.

use crate::frame::{Batch, Close};
use crate::hook::{Canary, Hooks};
use crate::ids::CheckpointId;
use crate::time::{Moment, Timestamp};

/// Looks at every frame of a task's edges.
#[derive(Debug)]
pub(super) struct Watch {
    hooks: Hooks,
    edges: Vec<Edge>,
}

/// How far an edge has come.
#[derive(Clone, Debug)]
struct Edge {
    watermark: Timestamp,
    barrier: Option<CheckpointId>,
    ended: bool,
    /// It hands nothing out before this.
    stalls_until: Option<Moment>,
    /// Its next frame was asked for, and does not stall again.
    asked: bool,
}

impl Watch {
    /// Over so many edges; none where nobody hooks in.
    pub(super) fn over(edges: usize, hooks: &Hooks) -> Option<Box<Watch>> {
        hooks.get()?;
        let edge = Edge { watermark: Timestamp::NONE, barrier: None, ended: false, stalls_until: None, asked: false };
        Some(Box::new(Watch { hooks: hooks.clone(), edges: vec![edge; edges] }))
    }

    /// Until when an edge that has a frame stalls.
    pub(super) fn stalls(&mut self, edge: usize, now: Moment) -> Option<Moment> {
        let edge = self.edges.get_mut(edge)?;
        if !std::mem::replace(&mut edge.asked, true) {
            edge.stalls_until = self.hooks.get().and_then(|hook| hook.stall()).map(|stall| now.plus(stall));
        }
        edge.stalls_until.filter(|until| *until > now)
    }

    /// Whether edges that are blocked are to be read all the same.
    pub(super) fn unblocks(&self) -> bool {
        self.hooks.breaks(Canary::NoAlignment)
    }

    /// A frame was taken from an edge.
    pub(super) fn frame<T>(&mut self, at: usize, batch: &Batch<T>, close: Close) {
        let Some(edge) = self.edges.get_mut(at) else { return };
        edge.asked = false;
        if let (Err(what), Some(hook)) = (edge.take(batch, close), self.hooks.get()) {
            hook.broken(format!("edge {at} of a gate: {what}"));
        }
    }
}

impl Edge {
    fn take<T>(&mut self, batch: &Batch<T>, close: Close) -> Result<(), String> {
        if self.ended && (!batch.is_empty() || !matches!(close, Close::Barrier(_) | Close::CancelBarrier(_))) {
            return Err(format!("something else than a barrier came behind the end of data: {close:?}"));
        }
        for mark in &batch.marks {
            if mark.watermark <= self.watermark {
                return Err(format!("the watermark {} came behind {}", mark.watermark, self.watermark));
            }
            self.watermark = mark.watermark;
        }
        match close {
            Close::Barrier(id) | Close::CancelBarrier(id) if self.barrier >= Some(id) => {
                return Err(format!("{close:?} came behind {:?}", self.barrier));
            }
            Close::Barrier(id) => self.barrier = Some(id),
            Close::End => self.ended = true,
            Close::Open | Close::CancelBarrier(_) | Close::State(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::frame::InputState;
    use crate::hook::scripted::Scripted;

    fn watch() -> (Arc<Scripted>, Box<Watch>) {
        let hook = Arc::new(Scripted::default());
        let watch = Watch::over(2, &Hooks::new(hook.clone())).unwrap();
        (hook, watch)
    }

    fn marks(marks: &[i64]) -> Batch<u64> {
        let mut batch = Batch::new();
        for millis in marks {
            batch.push(1, Timestamp::NONE);
            batch.mark(Timestamp::from_millis(*millis));
        }
        batch
    }

    /// What is wrong with these frames of one edge.
    fn wrong(frames: &[(&[i64], Close)]) -> Vec<String> {
        let (hook, mut watch) = watch();
        frames.iter().for_each(|(times, close)| watch.frame(1, &marks(times), *close));
        hook.take_broken()
    }

    #[test]
    fn a_watermark_that_falls_on_an_edge_is_seen() {
        assert_eq!(wrong(&[(&[1, 5], Close::Open), (&[6], Close::State(InputState::Idle))]), Vec::<String>::new());
        assert_eq!(wrong(&[(&[1, 5], Close::Open), (&[4], Close::Open)]).len(), 1);
        assert_eq!(wrong(&[(&[5, 5], Close::Open)]).len(), 1);
    }

    #[test]
    fn barriers_out_of_order_on_an_edge_are_seen() {
        let barrier = |id| (&[][..], Close::Barrier(CheckpointId(id)));
        assert_eq!(wrong(&[barrier(1), (&[], Close::CancelBarrier(CheckpointId(2))), barrier(3)]), Vec::<String>::new());
        assert_eq!(wrong(&[barrier(2), barrier(1)]).len(), 1);
        assert_eq!(wrong(&[barrier(2), barrier(2)]).len(), 1);
    }

    #[test]
    fn what_comes_behind_the_end_of_an_edge_is_seen() {
        let end = (&[][..], Close::End);
        assert_eq!(wrong(&[end, (&[], Close::Barrier(CheckpointId(1)))]), Vec::<String>::new());
        assert_eq!(wrong(&[end, (&[3], Close::Open)]).len(), 1);
        assert_eq!(wrong(&[end, end]).len(), 1);
    }

    #[test]
    fn an_edge_stalls_for_its_time_and_the_other_one_does_not() {
        let (hook, mut watch) = watch();
        let at = |millis| Moment(Duration::from_millis(millis));
        *hook.stalls.lock().unwrap() = Some(Duration::from_millis(50));
        assert_eq!(watch.stalls(0, at(10)), Some(at(60)));
        assert_eq!(watch.stalls(1, at(10)), None);
        assert_eq!(watch.stalls(0, at(59)), Some(at(60)));
        assert_eq!(watch.stalls(0, at(60)), None);
    }
}
