//! Several consumers of one stream: clones for all but the last, which gets the original.
//!
//! Always: every branch gets every record once, in order; the slowest one sets the pace.

use crate::frame::Batch;
use crate::operator::{Cx, Flow, Halt, Link, Next, Signal, Stage};

/// Hands each batch to several links.
pub(crate) struct Tee<T> {
    branches: Vec<Stage<T>>,
}

impl<T> Tee<T> {
    /// In front of these links.
    pub(crate) fn new(branches: Vec<Next<T>>) -> Self {
        Tee { branches: branches.into_iter().map(Stage::new).collect() }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Stage<T>) -> Result<Flow, Halt>) -> Result<Flow, Halt> {
        let mut flow = Flow::Drained;
        for branch in &mut self.branches {
            if act(branch)? == Flow::Full {
                flow = Flow::Full;
            }
        }
        Ok(flow)
    }
}

impl<T: Clone + Send + 'static> Link<T> for Tee<T> {
    fn push(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.each(|branch| branch.deliver(cx))? == Flow::Full {
            return Ok(Flow::Full);
        }
        if let Some((last, others)) = self.branches.split_last_mut() {
            for branch in others {
                branch.out.values.extend_from_slice(&batch.values);
                branch.out.times.extend_from_slice(&batch.times);
                branch.out.marks.extend_from_slice(&batch.marks);
            }
            last.out.append(batch);
        }
        self.each(|branch| branch.deliver(cx))
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.each(|branch| branch.signal(signal, cx))
    }
}
