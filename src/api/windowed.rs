//! A keyed stream in windows, and what can be computed of each window.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::keyed::{Aggregating, Counting, KeyedStream, Reducing, key_hash};
use super::stream::{Record, Stream, stepwise};
use super::wire::side_of;
use crate::chain::Folding;
use crate::error::BoxError;
use crate::key::Key;
use crate::operator::{Aggregate, SideOutput};
use crate::plan::{AnyLink, Opening};
use crate::snapshot::RestoredOperator;
use crate::window::{Assigner, EventTime, Keys, Late, Name, Rules, Trigger, WindowOperator, Windowed};

impl<K: Key, T: Record> KeyedStream<K, T> {
    /// Puts the records of each key into windows of event time.
    ///
    /// The source must have watermarks; a record without a timestamp fails the region. A window gives its result when the watermark
    /// passes its last millisecond, with that millisecond as the result's timestamp. A record that comes when all its windows are
    /// over is dropped and counted, unless [`WindowedStream::late_to`] says where it goes.
    ///
    /// ```
    /// use tidegate::{KeyedStream, SideOutput, Stream, Tumbling, Windowed, hours};
    ///
    /// #[derive(Clone)]
    /// struct Flight { origin: String }
    ///
    /// fn departures(flights: &KeyedStream<String, Flight>) -> (Stream<Windowed<String, u64>>, Stream<Flight>) {
    ///     let late = SideOutput::new("late");
    ///     let counts = flights.window(Tumbling::of(hours(1))).allowed_lateness(hours(2)).late_to(&late).count();
    ///     let late = counts.side(&late);
    ///     (counts, late)
    /// }
    /// ```
    pub fn window<A: Assigner>(&self, assigner: A) -> WindowedStream<K, T, A> {
        if let Some((problem, advice)) = assigner.fault() {
            self.stream.flow.fault(problem, advice);
        }
        WindowedStream {
            keyed: self.clone(),
            assigner: Arc::new(assigner),
            trigger: Arc::new(EventTime),
            lateness: Duration::ZERO,
            late: None,
        }
    }
}

/// A keyed stream in windows: say how late records may be and when results go out, then what is computed.
pub struct WindowedStream<K, T, A, G = EventTime> {
    keyed: KeyedStream<K, T>,
    assigner: Arc<A>,
    trigger: Arc<G>,
    lateness: Duration,
    late: Option<SideOutput<T>>,
}

impl<K, T, A, G> Clone for WindowedStream<K, T, A, G> {
    fn clone(&self) -> Self {
        WindowedStream {
            keyed: self.keyed.clone(),
            assigner: self.assigner.clone(),
            trigger: self.trigger.clone(),
            lateness: self.lateness,
            late: self.late.clone(),
        }
    }
}

impl<K, T, A, G> fmt::Debug for WindowedStream<K, T, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowedStream")
            .field("stream", &self.keyed)
            .field("lateness", &self.lateness)
            .field("late", &self.late)
            .finish_non_exhaustive()
    }
}

impl<K: Key, T: Record, A: Assigner, G: Trigger> WindowedStream<K, T, A, G> {
    /// Keeps each window for this much event time after it has fired, in whole milliseconds; none unless set. A record that comes
    /// meanwhile updates the result, which goes out again at once.
    #[must_use]
    pub fn allowed_lateness(&self, lateness: Duration) -> Self {
        WindowedStream { lateness, ..self.clone() }
    }

    /// Sends records that come when all their windows are over to a side output, as they are.
    #[must_use]
    pub fn late_to(&self, side: &SideOutput<T>) -> Self {
        WindowedStream { late: Some(side.clone()), ..self.clone() }
    }

    /// Sets when results go out; [`EventTime`] unless set.
    ///
    /// ```
    /// use tidegate::{Count, KeyedStream, Purging, Stream, Tumbling, Windowed, minutes};
    ///
    /// /// A result for every hundred orders of a customer and minute; what is left at the end of the minute is dropped.
    /// fn hundreds(orders: &KeyedStream<u64, f64>) -> Stream<Windowed<u64, f64>> {
    ///     orders.window(Tumbling::of(minutes(1))).trigger(Purging(Count::of(100))).reduce(|sum, order| sum + order)
    /// }
    /// ```
    #[must_use]
    pub fn trigger<H: Trigger>(&self, trigger: H) -> WindowedStream<K, T, A, H> {
        WindowedStream {
            keyed: self.keyed.clone(),
            assigner: self.assigner.clone(),
            trigger: Arc::new(trigger),
            lateness: self.lateness,
            late: self.late.clone(),
        }
    }

    /// Aggregates the records of each key and window, one by one as they come: they are not kept.
    pub fn aggregate<Agg: Aggregate<In = T>>(&self, aggregate: Agg) -> Stream<Windowed<K, Agg::Out>> {
        self.fold(Aggregating(aggregate))
    }

    /// Reduces the records of each key and window to one: the first as it is, then `reduce(&so_far, record)`.
    pub fn reduce(&self, reduce: impl Fn(&T, T) -> T + Send + Sync + 'static) -> Stream<Windowed<K, T>>
    where
        T: Sync + serde::Serialize + serde::de::DeserializeOwned,
    {
        self.fold(Reducing(reduce, PhantomData))
    }

    /// Counts the records of each key and window.
    pub fn count(&self) -> Stream<Windowed<K, u64>> {
        self.fold(Counting(PhantomData))
    }

    fn fold<F: Folding<In = T>>(&self, folding: F) -> Stream<Windowed<K, F::Out>>
    where
        F::Out: Clone,
    {
        let (windows, folding) = (self.clone(), Arc::new(folding));
        let out = self.keyed.keyed("window", move |opening| windows.open(&folding, opening));
        if let Some(late) = &self.late {
            side_of::<T>(&out.flow, out.node, late.name());
        }
        out
    }

    fn open<F: Folding<In = T>>(&self, folding: &Arc<F>, mut opening: Opening) -> Result<AnyLink, BoxError> {
        let next = opening.take_next()?;
        let (assigner, trigger) = (self.assigner.clone(), self.trigger.clone());
        let rules = Rules { folding: folding.clone(), assigner, trigger, lateness: self.lateness };
        let side = self.late.as_ref().map(|late| opening.sides.open(late)).transpose()?;
        let late = Late { side, dropped: opening.metrics.late_dropped.clone() };
        let keys = Keys { groups: opening.context.groups, owned: opening.owned(), hasher: key_hash::<K>(&opening) };
        let name = Name { operator: opening.operator, uid: opening.uid.clone() };
        let restored = std::mem::replace(&mut opening.restored, RestoredOperator::nothing());
        let ended = restored.ended;
        Ok(stepwise(WindowOperator::open(name, rules, late, keys, restored)?, ended, next, opening))
    }
}
