//! Records that satisfy a condition pass, the others don't.

use std::sync::Arc;

use crate::frame::Batch;
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, Signal, Stage};

/// Up to this size, in bytes, moving a record costs less than a branch that is mispredicted.
const SMALL_RECORD_BYTES: usize = 32;

/// Keeps the records for which the condition holds; marks stay between the same records.
pub(crate) struct Filter<F, T> {
    operator: OpId,
    condition: Arc<F>,
    stage: Stage<T>,
    /// Scratch: which records of a batch pass.
    passes: Vec<bool>,
}

impl<F, T> Filter<F, T> {
    /// In front of `next`.
    pub(crate) fn new(operator: OpId, condition: Arc<F>, next: Next<T>) -> Self {
        Filter { operator, condition, stage: Stage::new(next), passes: Vec::new() }
    }
}

impl<T, F> Link<T> for Filter<F, T>
where
    T: Send + 'static,
    F: Fn(&T) -> bool + Send + Sync,
{
    fn push(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.stage.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        cx.enter(self.operator, "filter");
        let out = &mut self.stage.out;
        std::mem::swap(out, batch);
        if out.times.is_empty() && out.marks.is_empty() && size_of::<T>() <= SMALL_RECORD_BYTES {
            keep_small(&mut out.values, &*self.condition);
        } else {
            self.passes.clear();
            self.passes.extend(out.values.iter().map(&*self.condition));
            keep_flagged(out, &self.passes);
        }
        self.stage.deliver(cx)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.stage.signal(signal, cx)
    }
}

/// Keeps what satisfies the condition, in order and without a branch that depends on it.
fn keep_small<T>(values: &mut Vec<T>, condition: &impl Fn(&T) -> bool) {
    let slice = values.as_mut_slice();
    let mut kept = 0;
    for i in 0..slice.len() {
        let passes = slice.get(i).is_some_and(condition);
        slice.swap(kept, i);
        kept += usize::from(passes);
    }
    values.truncate(kept);
}

/// Keeps the flagged records with their timestamps, and moves the marks to where they now belong.
fn keep_flagged<T>(batch: &mut Batch<T>, passes: &[bool]) {
    let (mut counted, mut kept) = (0, 0);
    for mark in &mut batch.marks {
        kept += passes.iter().take(mark.at).skip(counted).filter(|&&pass| pass).count();
        counted = mark.at;
        mark.at = kept;
    }
    batch.marks.dedup_by(|later, earlier| {
        let same = earlier.gives_way_to(*later);
        if same {
            earlier.watermark = later.watermark;
        }
        same
    });
    let mut flags = passes.iter();
    batch.values.retain(|_| flags.next() == Some(&true));
    let mut flags = passes.iter();
    batch.times.retain(|_| flags.next() == Some(&true));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    proptest! {
        #[test]
        fn small_and_flagged_keep_the_same_records_in_order(values in proptest::collection::vec(0u32..100, 0..60)) {
            let even = |v: &u32| v.is_multiple_of(2);
            let expected: Vec<u32> = values.iter().copied().filter(even).collect();
            let mut small = values.clone();
            keep_small(&mut small, &even);
            prop_assert_eq!(&small, &expected);
            let mut batch = Batch { values: values.clone(), times: Vec::new(), marks: Vec::new() };
            keep_flagged(&mut batch, &values.iter().map(even).collect::<Vec<_>>());
            prop_assert_eq!(&batch.values, &expected);
        }
    }

    #[test]
    fn marks_stay_between_the_same_records() {
        let mut batch = Batch::new();
        for i in 0..6 {
            batch.mark(Timestamp::from_millis(i * 10));
            batch.push(i, Timestamp::from_millis(i));
        }
        keep_flagged(&mut batch, &[false, true, false, false, true, false]);
        assert_eq!(batch.values, vec![1, 4]);
        let marks: Vec<_> = batch.marks.iter().map(|mark| (mark.at, mark.watermark.millis())).collect();
        assert_eq!(marks, vec![(0, 10), (1, 40), (2, 50)]);
    }
}
