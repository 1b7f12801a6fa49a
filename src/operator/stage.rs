//! What every link has behind it: the batch that it fills, and the next link.
//!
//! Always: what is in `out` is handed on before anything newer is.

use super::link::{Cx, Flow, Halt, Next, Signal};
use crate::frame::Batch;

/// A link's output within the chain.
pub(crate) struct Stage<T> {
    pub(crate) out: Batch<T>,
    pub(crate) next: Next<T>,
}

impl<T> Stage<T> {
    /// In front of `next`, with nothing held.
    pub(crate) fn new(next: Next<T>) -> Self {
        Stage { out: Batch::new(), next }
    }

    /// Hands on what is held.
    pub(crate) fn deliver(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.out.is_empty() { Ok(Flow::Drained) } else { self.next.push(&mut self.out, cx) }
    }

    /// What a link without a part of its own does with a signal: hands on what it holds where that is asked for, then the signal.
    pub(crate) fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::Resume | Signal::Due(_) | Signal::Finish => {
                if self.next.signal(Signal::Resume, cx)? == Flow::Full || self.deliver(cx)? == Flow::Full {
                    return Ok(Flow::Full);
                }
                if signal == Signal::Resume { Ok(Flow::Drained) } else { self.next.signal(signal, cx) }
            }
            _ => self.next.signal(signal, cx),
        }
    }
}
