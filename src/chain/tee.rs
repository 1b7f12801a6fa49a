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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::script::{Out, Script};
    use crate::time::Timestamp;

    /// In front of branches that are full after so many records.
    fn tee(rooms: [usize; 3]) -> (Tee<String>, [Out; 3]) {
        let outs = [(); 3].map(|()| Out::default());
        let branches = outs.iter().zip(rooms).map(|(out, room)| out.link(room, String::clone)).collect();
        (Tee::new(branches), outs)
    }

    #[test]
    fn h9_each_branch_gets_all_records_marks_and_barriers_in_order_whichever_is_full() {
        const ALL: usize = usize::MAX;
        for rooms in [[1, 3, 2], [2, 1, ALL], [ALL, 2, 1], [1, ALL, ALL], [ALL, ALL, ALL]] {
            let (tee, outs) = tee(rooms);
            let mut script = Script::new(tee, &Out::default(), str::to_owned);
            script.run("a@1,b@2,w2,c@3 d@4 |1 e,f@6,g@7 w7 |2 end");
            for out in outs {
                assert_eq!(out.take().join(" "), "a@1 b@2 w2 c@3 d@4 |1 e f@6 g@7 w7 |2 end", "{rooms:?}");
            }
        }
    }

    #[test]
    fn what_is_pushed_while_a_branch_is_full_stays_with_who_pushes_it() {
        let (mut tee, outs) = tee([usize::MAX, 3, usize::MAX]);
        let (mut batch, mut cx) = (Batch::new(), Cx::default());
        ["a", "b", "c", "d"].into_iter().for_each(|record| batch.push(record.to_owned(), Timestamp::NONE));
        assert_eq!((tee.push(&mut batch, &mut cx).unwrap(), batch.len()), (Flow::Full, 0));
        batch.push("e".to_owned(), Timestamp::NONE);
        assert_eq!((tee.push(&mut batch, &mut cx).unwrap(), batch.len()), (Flow::Full, 1));
        while tee.signal(Signal::Resume, &mut cx).unwrap() == Flow::Full {}
        assert_eq!((tee.push(&mut batch, &mut cx).unwrap(), batch.len()), (Flow::Drained, 0));
        assert_eq!(outs.map(|out| out.take().join(" ")), ["a b c d e"; 3]);
    }
}
