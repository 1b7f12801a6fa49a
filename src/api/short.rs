//! Short forms on keyed streams: what is asked for every day, without an operator of one's own.
//!
//! What keeps one value for each key emits it with the key at each record. A stream that is to have one result for each key at a time
//! needs windows: without them there is no moment at which a key has ended.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keyed::KeyedStream;
use super::stream::{Record, Stream};
use crate::chain::{Distinct, Extreme, Mapping, Scan, Scanning, Summand, Summing};
use crate::key::Key;
use crate::operator::Emitter;

impl<K: Key, T: Record> KeyedStream<K, T> {
    /// Sums what `amount` says of the records of each key; emits the key and the sum so far at each record.
    ///
    /// ```
    /// # use tidegate::testing::{End, Scripted, Simulation};
    /// # use tidegate::Job;
    /// #[derive(Clone)]
    /// struct Order {
    ///     customer: u64,
    ///     cents: i64,
    /// }
    ///
    /// # let sim = Simulation::new(1);
    /// # let out = sim.sink();
    /// # let job = Job::new("spent");
    /// # let orders = [(7, 250), (8, 40), (7, -50)].map(|(customer, cents)| Order { customer, cents });
    /// # let orders = job.source("orders", Scripted::new([orders.to_vec()]));
    /// let spent = orders.key_by(|order| order.customer).sum(|order| order.cents);
    /// # spent.sink("out", out.clone());
    /// # let run = sim.run(job);
    /// # assert!(matches!(run.end, End::Finished(_)), "{run}");
    /// assert_eq!(out.committed(), [(7, 250), (8, 40), (7, 200)]);
    /// ```
    ///
    /// A sum that its type cannot hold fails the operator's region: it never wraps. What can be summed is said at [`Summand`].
    pub fn sum<N: Summand>(&self, amount: impl Fn(&T) -> N + Send + Sync + 'static) -> Stream<(K, N)> {
        self.fold("sum", Summing::of(amount))
    }

    /// Finds the record of each key of which `rank` says the lowest, and of several that are equal in this the first; emits the key and
    /// the lowest record so far at each record.
    ///
    /// ```
    /// # use tidegate::testing::{End, Scripted, Simulation};
    /// # use tidegate::Job;
    /// #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// struct Offer {
    ///     item: String,
    ///     price: f64,
    ///     shop: u32,
    /// }
    ///
    /// # let sim = Simulation::new(1);
    /// # let out = sim.sink();
    /// # let job = Job::new("best");
    /// # let offers = [(2.5, 1), (1.75, 2), (1.75, 3)].map(|(price, shop)| Offer { item: "tea".into(), price, shop });
    /// # let offers = job.source("offers", Scripted::new([offers.to_vec()]));
    /// let best = offers.key_by(|offer| offer.item.clone()).min_by(|offer| offer.price);
    /// # best.map(|(item, best)| (item, best.price, best.shop)).sink("out", out.clone());
    /// # let run = sim.run(job);
    /// # assert!(matches!(run.end, End::Finished(_)), "{run}");
    /// // As (item, price, shop), for offers of tea at 2.50 in shop 1, and at 1.75 in shops 2 and 3:
    /// assert_eq!(out.committed(), [("tea".into(), 2.5, 1), ("tea".into(), 1.75, 2), ("tea".into(), 1.75, 2)]);
    /// ```
    ///
    /// A rank that cannot be compared, such as [`f64::NAN`], takes no other's place and gives way to any that can.
    pub fn min_by<O: PartialOrd>(&self, rank: impl Fn(&T) -> O + Send + Sync + 'static) -> Stream<(K, T)>
    where
        T: Sync + Serialize + DeserializeOwned,
    {
        self.fold("min_by", Extreme::lowest(rank))
    }

    /// Finds the record of each key of which `rank` says the highest, and of several that are equal in this the first; emits the key
    /// and the highest record so far at each record. Ranks that cannot be compared are treated as by [`min_by`](KeyedStream::min_by).
    ///
    /// ```
    /// # use tidegate::testing::{End, Scripted, Simulation};
    /// # use tidegate::Job;
    /// # let sim = Simulation::new(1);
    /// # let out = sim.sink();
    /// # let job = Job::new("longest");
    /// # let words = job.source("words", Scripted::new([["an", "apple", "ankle"].map(String::from).to_vec()]));
    /// let longest = words.key_by(|word| word.chars().next()).max_by(|word| word.len());
    /// # longest.map(|(_, word)| word).sink("out", out.clone());
    /// # let run = sim.run(job);
    /// # assert!(matches!(run.end, End::Finished(_)), "{run}");
    /// // Of "an", "apple" and "ankle":
    /// assert_eq!(out.committed(), ["an", "apple", "apple"]);
    /// ```
    pub fn max_by<O: PartialOrd>(&self, rank: impl Fn(&T) -> O + Send + Sync + 'static) -> Stream<(K, T)>
    where
        T: Sync + Serialize + DeserializeOwned,
    {
        self.fold("max_by", Extreme::highest(rank))
    }

    /// Applies a function to each record and to a state that its key has, `init` at first; emits the key and what the function returns.
    ///
    /// ```
    /// # use tidegate::testing::{End, Scripted, Simulation};
    /// # use tidegate::Job;
    /// # let sim = Simulation::new(1);
    /// # let out = sim.sink();
    /// # let job = Job::new("growth");
    /// # let readings = job.source("readings", Scripted::new([vec![(1u64, 10u64), (2, 70), (1, 13), (1, 20)]]));
    /// // By how much the reading of each meter has grown.
    /// let growth = readings.key_by(|(meter, _)| *meter).map_with_state(None, |before: &mut Option<u64>, (_, reading)| {
    ///     reading - before.replace(reading).unwrap_or(reading)
    /// });
    /// # growth.sink("out", out.clone());
    /// # let run = sim.run(job);
    /// # assert!(matches!(run.end, End::Finished(_)), "{run}");
    /// // Of the readings (1, 10), (2, 70), (1, 13) and (1, 20):
    /// assert_eq!(out.committed(), [(1, 0), (2, 0), (1, 3), (1, 7)]);
    /// ```
    pub fn map_with_state<S, Out: Record>(
        &self,
        init: S,
        function: impl Fn(&mut S, T) -> Out + Send + Sync + 'static,
    ) -> Stream<(K, Out)>
    where
        S: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        self.fold("map_with_state", Mapping::new(init, function))
    }

    /// Gives each record to a function, with a state that its key has, `init` at first, and with the output: it may emit nothing, or
    /// any number of records.
    ///
    /// ```
    /// # use tidegate::testing::{End, Scripted, Simulation};
    /// # use tidegate::{Emitter, Job};
    /// # let sim = Simulation::new(1);
    /// # let out = sim.sink();
    /// # let job = Job::new("alarms");
    /// # let states = ["up", "down", "down", "up", "down"].map(|state| (1u64, state));
    /// # let states = job.source("states", Scripted::new([states.to_vec()]));
    /// // Each time that a host goes down, and how often it has by then.
    /// let alarms = states.key_by(|(host, _)| *host).scan((false, 0u32), |(down, times), (host, state), out| {
    ///     if state == "down" && !*down {
    ///         *times += 1;
    ///         out.emit(format!("host {host} is down, time {times}"));
    ///     }
    ///     *down = state == "down";
    /// });
    /// # alarms.sink("out", out.clone());
    /// # let run = sim.run(job);
    /// # assert!(matches!(run.end, End::Finished(_)), "{run}");
    /// // Of the states "up", "down", "down", "up" and "down" of host 1:
    /// assert_eq!(out.committed(), ["host 1 is down, time 1", "host 1 is down, time 2"]);
    /// ```
    ///
    /// What is emitted goes on as it is, without the key: key by a part of the record that the record keeps
    /// ([`key_by`](Stream::key_by)) where the key is to be in it. What needs timers, or may fail, is an operator:
    /// [`process`](KeyedStream::process).
    pub fn scan<S, Out: Record>(
        &self,
        init: S,
        function: impl Fn(&mut S, T, &mut Emitter<'_, Out>) + Send + Sync + 'static,
    ) -> Stream<Out>
    where
        S: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        let scanning = Arc::new(Scanning { init, function });
        self.operator("scan", move |ctx| Ok(Scan::<K, T, S, Out, _>::open(scanning.clone(), ctx)?))
    }

    /// Lets the first record of each key through, with the key, and drops all others. For distinct values, key by the value:
    ///
    /// ```
    /// # use tidegate::testing::{End, Scripted, Simulation};
    /// # use tidegate::Job;
    /// # let sim = Simulation::new(1);
    /// # let out = sim.sink();
    /// # let job = Job::new("visitors");
    /// # let visits = ["ann", "bob", "ann"].map(String::from).to_vec();
    /// # let visits = job.source("visits", Scripted::new([visits]));
    /// let visitors = visits.key_with(|name| (name, ())).distinct().map(|(name, ())| name);
    /// # visitors.sink("out", out.clone());
    /// # let run = sim.run(job);
    /// # assert!(matches!(run.end, End::Finished(_)), "{run}");
    /// // Of "ann", "bob" and "ann":
    /// assert_eq!(out.committed(), ["ann", "bob"]);
    /// ```
    ///
    /// Every key that ever came stays in the state. Which of a key's records is the first depends on the order in which they come, where
    /// they come from several splits.
    pub fn distinct(&self) -> Stream<(K, T)> {
        self.operator("distinct", |ctx| Ok(Distinct::open(ctx)?))
    }
}
