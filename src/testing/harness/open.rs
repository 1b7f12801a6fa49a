//! An operator under test that is open: what goes in, what comes out, and what it remembers.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::bench::Bench;
use super::inlet::{Given, Inbox};
use super::outlet::{Emitted, Forgets, Outlet};
use super::taken::TakenSnapshot;
use crate::error::Result;
use crate::job::Askable;
use crate::key::Key;
use crate::operator::{Answers, SideOutput};
use crate::time::Timestamp;
use crate::timer::Timer;

/// The outlet of a side output, whatever its records are.
pub(super) trait AnyOutlet: Forgets {
    fn as_any(&self) -> &dyn Any;
}

impl<T: Send + 'static> AnyOutlet for Outlet<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What flows in and out of an operator under test.
pub(super) struct Ends<In, Out> {
    pub(super) inbox: Inbox<In>,
    pub(super) out: Outlet<Out>,
    pub(super) sides: BTreeMap<String, Box<dyn AnyOutlet>>,
}

/// An operator that runs on its own, opened by an [`OperatorHarness`](super::OperatorHarness), which has an example.
///
/// Each call returns once the operator has done all that there is to do. After an error the operator is gone, as the attempt of a
/// job would be: every later call gives the same error. Dropping it closes the operator.
pub struct OpenOperator<In, Out> {
    bench: Bench,
    ends: Ends<In, Out>,
    /// The last one that went in.
    watermark: Timestamp,
}

impl<In, Out> OpenOperator<In, Out> {
    pub(super) fn new(bench: Bench, ends: Ends<In, Out>, watermark: Timestamp) -> Self {
        OpenOperator { bench, ends, watermark }
    }
}

impl<In: Send + 'static, Out: Send + 'static> OpenOperator<In, Out> {
    /// Pushes a record without a timestamp.
    ///
    /// # Errors
    /// Why the operator failed: an error that a callback returned, or its panic.
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn push(&mut self, record: In) -> Result<()> {
        self.give(Given::Record(record, Timestamp::NONE))
    }

    /// Pushes a record with a timestamp. At or before the last watermark it is late.
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn push_at(&mut self, record: In, timestamp: Timestamp) -> Result<()> {
        self.give(Given::Record(record, timestamp))
    }

    /// Pushes a watermark: event time has come to it, and what is due by then fires.
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where it is not above the one before: no source sends such a watermark. Where the operator never comes to rest.
    #[track_caller]
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        let before = self.watermark;
        assert!(watermark > before, "the watermark {watermark} is not above the one before, {before}: watermarks only rise");
        self.watermark = watermark;
        self.give(Given::Watermark(watermark))
    }

    /// Says that no record is to be expected for now. The next record or watermark takes it back.
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn idle(&mut self) -> Result<()> {
        self.give(Given::Idle)
    }

    /// Ends the data: event time comes to its end, then `finish` runs. Barriers still pass.
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn end(&mut self) -> Result<()> {
        self.watermark = Timestamp::MAX;
        self.give(Given::End)
    }

    #[track_caller]
    fn give(&mut self, given: Given<In>) -> Result<()> {
        self.ends.inbox.give(given);
        self.bench.run().map(drop)
    }

    /// Lets the wall clock go on. Processing-time timers fire each at its time, not all at the end.
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn advance_clock(&mut self, by: Duration) -> Result<()> {
        self.bench.advance_clock(by)
    }

    /// What the wall clock shows.
    pub fn wall_clock(&self) -> Timestamp {
        self.bench.wall()
    }

    /// Sends the barrier of a checkpoint through, and keeps what the operator has at it. The checkpoint is not complete, as far as
    /// the operator knows: see [`OpenOperator::complete`].
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`], and where some state cannot be written.
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn snapshot(&mut self) -> Result<TakenSnapshot> {
        self.bench.checkpoint()
    }

    /// Tells the operator that a checkpoint is complete: `on_checkpoint_complete` runs.
    ///
    /// # Errors
    /// Those of [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn complete(&mut self, snapshot: &TakenSnapshot) -> Result<()> {
        self.bench.complete(snapshot.id())
    }

    /// Asks the operator about a key, as the service does that a job runs in: see [`JobHandle::ask`](crate::JobHandle::ask).
    ///
    /// ```
    /// use tidegate::testing::OperatorHarness;
    /// use tidegate::{Answers, AskContext, Askable, BoxError, Context, KeyedOperator, OpenContext, Stream, ValueState};
    ///
    /// struct Sums {
    ///     sum: ValueState<u64>,
    /// }
    ///
    /// impl KeyedOperator for Sums {
    ///     type Key = u64;
    ///     type In = u64;
    ///     type Out = u64;
    ///
    ///     fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
    ///         ctx.state.update(self.sum, |sum| *sum += n);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// /// Whether a key's sum is above this.
    /// struct IsAbove(u64);
    ///
    /// impl Answers<IsAbove> for Sums {
    ///     type Reply = bool;
    ///
    ///     fn on_message(&self, IsAbove(bound): IsAbove, ctx: &AskContext<'_, Self>) -> Result<bool, BoxError> {
    ///         Ok(ctx.state.get(self.sum).is_some_and(|sum| *sum > bound))
    ///     }
    /// }
    ///
    /// # fn main() -> tidegate::Result<()> {
    /// let harness = OperatorHarness::of(|numbers: &Stream<u64>| {
    ///     let open = |ctx: &mut OpenContext<'_, u64>| Ok(Sums { sum: ctx.value("sum")? });
    ///     numbers.key_by(|n| n % 10).process("sums", open)
    /// });
    /// let (mut operator, sums) = (harness.open()?, Askable::<Sums>::new("sums"));
    /// operator.push(7)?;
    /// operator.push(17)?;
    /// assert!(operator.ask(&sums, &7, IsAbove(23))?);
    /// assert!(!operator.ask(&sums, &8, IsAbove(0))?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`JobHandle::ask`](crate::JobHandle::ask), but for those that speak of other questions and of time; those of
    /// [`OpenOperator::push`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn ask<O, A>(&mut self, operator: &Askable<O>, key: &O::Key, ask: A) -> Result<O::Reply>
    where
        O: Answers<A>,
        A: Send + 'static,
    {
        self.bench.ask(operator, key, ask)
    }

    /// The value of a key in the state `name`, as a checkpoint would keep it now; none where the key has none.
    ///
    /// # Errors
    /// Those of [`OpenOperator::snapshot`] and [`TakenSnapshot::state`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn state<K: Key, V: DeserializeOwned>(&mut self, name: &str, key: &K) -> Result<Option<V>> {
        self.look()?.state(name, key)
    }

    /// All keys and values of the state `name`, as a checkpoint would keep them now, in no order that means anything.
    ///
    /// # Errors
    /// Those of [`OpenOperator::state`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn states<K: Key, V: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<(K, V)>> {
        self.look()?.states(name)
    }

    /// The items of the list `name` of an operator without keys, as a checkpoint would keep them now: those of all instances, in
    /// their order.
    ///
    /// # Errors
    /// Those of [`OpenOperator::snapshot`] and [`TakenSnapshot::list`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn list<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<T>> {
        self.look()?.list(name)
    }

    /// The entries of the broadcast state `name`, as a checkpoint would keep them now, in the order of their keys.
    ///
    /// # Errors
    /// Those of [`OpenOperator::snapshot`] and [`TakenSnapshot::broadcast`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn broadcast<K: DeserializeOwned, V: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<(K, V)>> {
        self.look()?.broadcast(name)
    }

    /// The timers that are registered and have not fired, in the order in which they will: by domain and time.
    ///
    /// # Errors
    /// Those of [`OpenOperator::snapshot`] and [`TakenSnapshot::timers`].
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn timers<K: Key>(&mut self) -> Result<Vec<(K, Timer)>> {
        self.look()?.timers()
    }

    /// Takes a checkpoint of which nothing is seen.
    #[track_caller]
    fn look(&mut self) -> Result<TakenSnapshot> {
        let taken = self.bench.checkpoint()?;
        self.ends.out.forget(taken.id());
        self.ends.sides.values().for_each(|side| side.forget(taken.id()));
        Ok(taken)
    }

    /// Takes out the records that have come out since the last look at the output.
    pub fn output(&mut self) -> Vec<Out> {
        self.ends.out.records()
    }

    /// Takes out all that has come out since the last look at the output: records with their timestamps, watermarks, barriers.
    pub fn events(&mut self) -> Vec<Emitted<Out>> {
        self.ends.out.events()
    }

    /// Takes out the records that have come out of a side output since the last look at it.
    ///
    /// # Panics
    /// Where the harness does not know the side output: name it with [`OperatorHarness::side`](super::OperatorHarness::side).
    #[track_caller]
    pub fn side<S: Send + 'static>(&mut self, side: &SideOutput<S>) -> Vec<S> {
        self.outlet(side).records()
    }

    /// Takes out all that has come out of a side output since the last look at it.
    ///
    /// # Panics
    /// Where the harness does not know the side output: name it with [`OperatorHarness::side`](super::OperatorHarness::side).
    #[track_caller]
    pub fn side_events<S: Send + 'static>(&mut self, side: &SideOutput<S>) -> Vec<Emitted<S>> {
        self.outlet(side).events()
    }

    #[track_caller]
    fn outlet<S: Send + 'static>(&self, side: &SideOutput<S>) -> &Outlet<S> {
        let found = self.ends.sides.get(side.name()).and_then(|outlet| outlet.as_any().downcast_ref());
        let Some(outlet) = found else {
            panic!("the harness does not listen to the side output '{}': give it .side(&…) before it is opened", side.name())
        };
        outlet
    }
}

impl<In, Out> fmt::Debug for OpenOperator<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bench, waiting, out) = (&self.bench, &self.ends.inbox, &self.ends.out);
        f.debug_struct("OpenOperator").field("bench", bench).field("waiting", waiting).field("out", out).finish_non_exhaustive()
    }
}
