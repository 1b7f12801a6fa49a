//! The lives of a sink: processes that take it up, write, and die, and what is visible of it all the while.
//!
//! Always: what has been committed is counted here, by the handles; what is visible is asked of the test.

use std::fmt::Debug;

use super::watch::Doing;
use super::{broken, holds};
use crate::codec;
use crate::error::BoxError;
use crate::ids::{Attempt, CheckpointId, Uid};
use crate::sink::{Sink, SinkContext, SinkWriter};

const SUCCEEDS: &str = "a call in order succeeds";
const STORED: &str = "a handle is the same after it was stored";

/// What the test says about its sink.
pub(super) struct Given<S: Sink> {
    pub(super) make: Box<dyn Fn() -> S>,
    pub(super) record: Box<dyn Fn(u64) -> S::Item>,
    pub(super) visible: Box<dyn Fn() -> Vec<S::Item>>,
}

/// A sink, what was done to it, and what must come of it.
pub(super) struct SinkBench<'a, S: Sink> {
    given: Given<S>,
    doing: &'a Doing,
    /// What must be visible, sorted.
    committed: Vec<S::Item>,
    next_record: u64,
    next_checkpoint: u64,
    epoch: u64,
}

/// A process that has taken the sink up.
pub(super) struct Life<S> {
    pub(super) sink: S,
    ctx: SinkContext,
}

/// Records that were cut off together and made durable: their handles, and the records.
pub(super) struct Durable<S: Sink> {
    pub(super) handles: Vec<S::Handle>,
    pub(super) records: Vec<S::Item>,
}

impl<'a, S> SinkBench<'a, S>
where
    S: Sink,
    S::Item: Clone + Ord + Debug,
{
    pub(super) fn new(given: Given<S>, doing: &'a Doing) -> Self {
        doing.now("looking at what is visible");
        let committed = (given.visible)();
        let mut bench = SinkBench { given, doing, committed, next_record: 0, next_checkpoint: 1, epoch: 0 };
        bench.committed.sort();
        bench
    }

    fn done<R>(&self, what: &str, result: Result<R, BoxError>) -> R {
        done(SUCCEEDS, what, result)
    }

    /// A new process takes the sink up, and nothing waits for a commit.
    pub(super) fn begin(&mut self, parallelism: u32) -> Life<S> {
        self.begin_with(SUCCEEDS, &[], parallelism)
    }

    /// A new process takes the sink up with these handles, by this rule.
    pub(super) fn begin_with(&mut self, rule: &str, handles: &[S::Handle], parallelism: u32) -> Life<S> {
        self.epoch += 1;
        let sink = (self.given.make)();
        let attempt = Attempt { epoch: self.epoch, n: 1 };
        let ctx = SinkContext { job: "suite".into(), uid: Uid::new("sink"), attempt, index: 0, parallelism };
        self.doing.now("recover");
        done(rule, "recover", sink.recover(&ctx, handles.iter().map(stored).collect()));
        Life { sink, ctx }
    }

    pub(super) fn open(&self, life: &Life<S>, index: u32) -> S::Writer {
        self.doing.now("open");
        self.done("open", life.sink.open(&SinkContext { index, ..life.ctx.clone() }))
    }

    /// Writes some records that were never written before.
    pub(super) fn write(&mut self, writer: &mut S::Writer, n: u64) -> Vec<S::Item> {
        let records: Vec<S::Item> = (self.next_record..self.next_record + n).map(&self.given.record).collect();
        self.next_record += n;
        let mut given = records.clone();
        self.doing.now("write");
        self.done("write", writer.write(&mut given));
        records
    }

    pub(super) fn cut(&mut self, writer: &mut S::Writer) -> S::Cut {
        self.next_checkpoint += 1;
        self.doing.now("cut");
        self.done("cut", writer.cut(CheckpointId(self.next_checkpoint)))
    }

    /// Makes a cut durable that holds these records.
    pub(super) fn make_durable(&self, life: &Life<S>, cut: S::Cut, records: Vec<S::Item>) -> Durable<S> {
        self.doing.now("make_durable");
        let handles = self.done("make_durable", life.sink.make_durable(cut));
        handles.iter().for_each(|handle| drop(stored(handle)));
        Durable { handles, records }
    }

    /// Cuts off what was written, and makes it durable.
    pub(super) fn cut_durably(&mut self, life: &Life<S>, writer: &mut S::Writer, records: Vec<S::Item>) -> Durable<S> {
        let cut = self.cut(writer);
        self.make_durable(life, cut, records)
    }

    /// Commits for the first time.
    pub(super) fn commit(&self, life: &Life<S>, durable: &Durable<S>) {
        self.commit_by(SUCCEEDS, life, durable);
    }

    /// Commits by this rule.
    pub(super) fn commit_by(&self, rule: &str, life: &Life<S>, durable: &Durable<S>) {
        self.doing.now("commit");
        durable.handles.iter().for_each(|handle| done(rule, "commit", life.sink.commit(handle)));
    }

    /// From now on these records are to be visible.
    pub(super) fn count(&mut self, durable: &Durable<S>) {
        self.committed.extend(durable.records.iter().cloned());
        self.committed.sort();
    }

    /// Ends the data, and commits it: what a sink holds back between checkpoints is visible after that.
    pub(super) fn finish(&mut self, life: &Life<S>, mut writer: S::Writer, records: Vec<S::Item>) {
        self.doing.now("finish");
        self.done("finish", writer.finish());
        let last = self.cut_durably(life, &mut writer, records);
        self.commit(life, &last);
        self.count(&last);
        self.doing.now("close");
        writer.close();
    }

    fn visible(&self) -> Vec<S::Item> {
        self.doing.now("looking at what is visible");
        let mut visible = (self.given.visible)();
        visible.sort();
        visible
    }

    /// Nothing is visible that is not to be, and nothing more often.
    pub(super) fn only(&self, rule: &str, when: &str) {
        let extra = beyond(&self.visible(), &self.committed);
        holds(rule, extra.is_empty(), || format!("{when}, these are visible and must not be: {extra:?}"));
    }

    /// All is visible that is to be.
    pub(super) fn all(&self, rule: &str, when: &str) {
        let lost = beyond(&self.committed, &self.visible());
        holds(rule, lost.is_empty(), || format!("{when}, these are not visible and must be: {lost:?}"));
    }
}

fn done<R>(rule: &str, what: &str, result: Result<R, BoxError>) -> R {
    result.unwrap_or_else(|error| broken(rule, format!("{what} failed: {error}")))
}

/// The process dies: nothing of it runs any more, not even what ends things.
pub(super) fn die<S: Sink>(life: Life<S>, writer: S::Writer) {
    std::mem::forget(writer);
    std::mem::forget(life.sink);
}

/// A handle as a checkpoint gives it back.
fn stored<H>(handle: &H) -> H
where
    H: serde::Serialize + serde::de::DeserializeOwned + Debug,
{
    let bytes = |handle: &H| {
        let mut bytes = Vec::new();
        codec::encode(handle, &mut bytes).unwrap_or_else(|error| broken(STORED, format!("{handle:?}: {error}")));
        bytes
    };
    let written = bytes(handle);
    let read: H = codec::decode(&written).unwrap_or_else(|error| broken(STORED, format!("{handle:?}: {error}")));
    holds(STORED, bytes(&read) == written, || format!("{handle:?} is {read:?} afterwards"));
    read
}

/// What is in `more` beyond what is in `less`, by number; both are sorted.
fn beyond<T: Ord + Clone>(more: &[T], less: &[T]) -> Vec<T> {
    let mut less = less.iter().peekable();
    let mut beyond = Vec::new();
    for item in more {
        while less.next_if(|other| *other < item).is_some() {}
        if less.next_if(|other| *other == item).is_none() {
            beyond.push(item.clone());
        }
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_counts_how_often() {
        assert_eq!(beyond(&[1, 1, 2, 4], &[1, 2, 3]), [1, 4]);
        assert_eq!(beyond(&[1, 2], &[0, 1, 1, 2, 9]), [0; 0]);
    }
}
