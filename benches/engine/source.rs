//! A source that makes its records from their index alone: split s of p has the indices s, s + p, … below n.

use std::sync::Arc;
use std::task::Waker;

use tidegate::{BoxError, Poll, Records, Source, SplitReader};

/// Records made from indices.
pub struct Made<F> {
    pub p: usize,
    pub n: u64,
    pub make: Arc<F>,
}

impl<F> Made<F> {
    /// Records `make(i)` for i below n, in p splits.
    pub fn new(p: usize, n: u64, make: F) -> Self {
        Made { p, n, make: Arc::new(make) }
    }
}

/// Reads one split.
pub struct Reader<F> {
    next: u64,
    step: u64,
    n: u64,
    make: Arc<F>,
}

impl<T: Send + 'static, F: Fn(u64) -> T + Send + Sync + 'static> Source for Made<F> {
    type Item = T;
    type Position = u64;
    type Reader = Reader<F>;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok((0..self.p).map(|s| (s.to_string(), s as u64)).collect())
    }

    fn open(&self, _: &str, position: u64) -> Result<Reader<F>, BoxError> {
        Ok(Reader { next: position, step: self.p as u64, n: self.n, make: self.make.clone() })
    }
}

impl<T: Send + 'static, F: Fn(u64) -> T + Send + Sync + 'static> SplitReader for Reader<F> {
    type Item = T;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, T>, _: &Waker) -> Result<Poll, BoxError> {
        let (first, step, make) = (self.next, self.step, &*self.make);
        let left = self.n.saturating_sub(first).div_ceil(step);
        let count = left.min(out.room() as u64);
        if step == 1 {
            out.extend((first..first + count).map(make));
        } else {
            out.extend((0..count).map(|k| make(first + k * step)));
        }
        self.next = first + count * step;
        Ok(if count == left { Poll::Ended } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.next
    }
}
