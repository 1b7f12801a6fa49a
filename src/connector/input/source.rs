//! The job's end of an input: a source with one split, whose position is how many records were read in all processes together.

use std::sync::Arc;
use std::task::Waker;

use super::handle::Input;
use super::kept::Phase;
use super::shared::Shared;
use crate::actor::Line;
use crate::error::BoxError;
use crate::source::{Poll, Records, Source, SplitReader};

/// The name of the one split.
const SPLIT: &str = "input";

/// Both ends of an input that keeps so many records at most. The line leads to the job that will read it.
pub(crate) fn input<T: Clone + Send + 'static>(name: &str, capacity: usize, line: Arc<Line>) -> (InputSource<T>, Input<T>) {
    let shared = Arc::new(Shared::new(name, capacity.max(1), line));
    (InputSource { at_the_end: Arc::new(AtTheEnd(shared.clone())) }, Input::new(shared))
}

/// Reads what the handles of an input have sent.
pub(crate) struct InputSource<T> {
    at_the_end: Arc<AtTheEnd<T>>,
}

/// The source goes when the job ends, however it ends, or was never started: nobody will read, nor say what a checkpoint covers.
struct AtTheEnd<T>(Arc<Shared<T>>);

impl<T> Drop for AtTheEnd<T> {
    fn drop(&mut self) {
        self.0.close(Phase::Gone);
    }
}

impl<T> InputSource<T> {
    fn shared(&self) -> &Arc<Shared<T>> {
        &self.at_the_end.0
    }
}

impl<T: Clone + Send + 'static> Source for InputSource<T> {
    type Item = T;
    type Position = u64;
    type Reader = InputReader<T>;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok(vec![(SPLIT.to_owned(), 0)])
    }

    fn open(&self, split: &str, position: u64) -> Result<InputReader<T>, BoxError> {
        if split != SPLIT {
            return Err(format!("an input has one split, '{SPLIT}', and not '{split}'").into());
        }
        let next = self.shared().open(position)?;
        Ok(InputReader { shared: self.shared().clone(), next })
    }

    fn on_checkpoint_complete(&self, _: &str, position: &u64) -> Result<(), BoxError> {
        self.shared().cover(*position);
        Ok(())
    }
}

/// Reads the one split.
pub(crate) struct InputReader<T> {
    shared: Arc<Shared<T>>,
    /// The number of the next record.
    next: u64,
}

impl<T: Clone + Send + 'static> SplitReader for InputReader<T> {
    type Item = T;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, T>, waker: &Waker) -> Result<Poll, BoxError> {
        let (room, mut kept) = (out.room(), self.shared.kept());
        let mut handed = 0;
        out.extend(kept.from(self.next).take(room).cloned().inspect(|_| handed += 1));
        self.next += handed;
        if handed > 0 || room == 0 {
            return Ok(Poll::Ready);
        }
        if kept.phase() != Phase::Open {
            return Ok(Poll::Ended);
        }
        kept.wait(waker);
        Ok(Poll::Pending)
    }

    fn position(&self) -> u64 {
        self.shared.kept().position(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::suites;

    fn sent(records: u64) -> (InputSource<u64>, Input<u64>) {
        let (source, input) = input("numbers", 1000, Arc::new(Line::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let receipt = runtime.block_on(input.send_all((0..records).collect())).unwrap();
        assert!(!receipt.unwrap().is_durable());
        (source, input)
    }

    #[test]
    fn an_input_is_a_source_like_any_other() {
        let (source, input) = sent(300);
        input.close();
        suites::source(move || InputSource { at_the_end: source.at_the_end.clone() });
    }

    #[test]
    fn an_input_that_stays_open_is_a_source_like_any_other() {
        let (source, _input) = sent(2);
        suites::source(move || InputSource { at_the_end: source.at_the_end.clone() });
    }
}
