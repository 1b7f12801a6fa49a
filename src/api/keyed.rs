//! A stream of records with a key, and the operators that keep state for each key.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::stream::{Record, Stream, stepwise};
use super::wire::plain_port;
use crate::chain::{Ended, Fold, Folding, KeyedParts, Process, Running};
use crate::error::BoxError;
use crate::frame::Keyed;
use crate::key::Key;
use crate::operator::{Aggregate, Instance, KeyedOperator, OpenContext};
use crate::plan::{AnyLink, Opening, Routing, link};
use crate::state::{KeyedState, TIMERS, Timers};

/// A stream whose records with equal keys go to the same task.
pub struct KeyedStream<K, T> {
    pub(super) stream: Stream<Keyed<K, T>>,
}

impl<K, T> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        KeyedStream { stream: self.stream.clone() }
    }
}

impl<K, T> fmt::Debug for KeyedStream<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed{:?}", self.stream)
    }
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    pub(crate) fn new(stream: Stream<Keyed<K, T>>) -> Self {
        KeyedStream { stream }
    }

    /// Adds a keyed operator.
    pub(crate) fn keyed<Out: Record>(
        &self,
        verb: &'static str,
        make: impl Fn(Opening) -> Result<AnyLink, BoxError> + Send + Sync + 'static,
    ) -> Stream<Out> {
        let flow = &self.stream.flow;
        let node = flow.operator(verb, true, vec![self.stream.input(Routing::Hash)], plain_port::<Out>(), make);
        Stream::new(flow.clone(), node, 0)
    }

    /// Adds an operator that emits one record for each.
    pub(super) fn fold<F: Running<In = T>>(&self, verb: &'static str, folding: F) -> Stream<(K, F::Out)>
    where
        F::Out: Clone,
    {
        let folding = Arc::new(folding);
        self.keyed(verb, move |mut opening| {
            let next = opening.take_next()?;
            let place = (opening.context.groups, opening.owned(), key_hash::<K>(&opening));
            let states = std::mem::take(&mut opening.restored.states);
            let fold = Fold::open(opening.operator, opening.uid, folding.clone(), place, states, next)?;
            Ok(link::<Keyed<K, T>>(Box::new(fold)))
        })
    }

    /// Aggregates the records of each key over the job's whole life; emits the key and the result at each record.
    pub fn aggregate<A: Aggregate<In = T>>(&self, aggregate: A) -> Stream<(K, A::Out)> {
        self.fold("aggregate", Aggregating(aggregate))
    }

    /// Reduces the records of each key to one: the first as it is, then `reduce(&so_far, record)`. Emits it at each record.
    pub fn reduce(&self, reduce: impl Fn(&T, T) -> T + Send + Sync + 'static) -> Stream<(K, T)>
    where
        T: Sync + serde::Serialize + serde::de::DeserializeOwned,
    {
        self.fold("reduce", Reducing(reduce, PhantomData))
    }

    /// Counts the records of each key; emits the key and the count at each record.
    pub fn count(&self) -> Stream<(K, u64)> {
        self.fold("count", Counting(PhantomData))
    }

    /// Runs an operator of the user's: see [`KeyedOperator`], which has an example.
    ///
    /// `name` is the operator's uid as well, unless one is given. The factory is called for each task and attempt; it registers the
    /// operator's states and opens its side outputs. It is not called for an instance that had ended before its last checkpoint.
    pub fn process<O>(
        &self,
        name: &str,
        factory: impl Fn(&mut OpenContext<'_, K>) -> Result<O, BoxError> + Send + Sync + 'static,
    ) -> Stream<O::Out>
    where
        O: KeyedOperator<Key = K, In = T>,
        O::Out: Record,
    {
        let stream = self.operator("process", factory);
        if let Some(node) = stream.flow.lock().node_mut(stream.node) {
            node.name = Some(name.to_owned());
        }
        stream
    }

    /// Adds an operator that a factory makes.
    pub(super) fn operator<O>(
        &self,
        verb: &'static str,
        factory: impl Fn(&mut OpenContext<'_, K>) -> Result<O, BoxError> + Send + Sync + 'static,
    ) -> Stream<O::Out>
    where
        O: KeyedOperator<Key = K, In = T>,
        O::Out: Record,
    {
        self.keyed(verb, move |mut opening| {
            let next = opening.take_next()?;
            if opening.restored.ended {
                let ended = Ended::<Keyed<K, T>, O::Out>::new(opening.uid.clone(), std::mem::take(&mut opening.restored.states));
                return Ok(stepwise(ended, true, next, opening));
            }
            let process = open_process(&mut opening, &factory)?;
            Ok(stepwise(process, false, next, opening))
        })
    }
}

fn open_process<O: KeyedOperator>(
    opening: &mut Opening,
    factory: impl Fn(&mut OpenContext<'_, O::Key>) -> Result<O, BoxError>,
) -> Result<Process<O>, BoxError> {
    let instance = instance(opening);
    let stored = opening.restored.states.take(TIMERS);
    let timers = Timers::new(opening.context.groups, opening.owned(), &key_hash(opening), stored)?;
    let mut states = keyed_state(opening);
    states.at(opening.context.opened);
    let operator = factory(&mut OpenContext::new(&mut states, &mut opening.sides, instance))?;
    let keyed = KeyedParts::new(states, timers, opening.restored.watermark);
    Ok(Process::new(opening.operator, opening.uid.clone(), operator, keyed))
}

/// Which instance it is, before its states are taken out.
pub(super) fn instance(opening: &Opening) -> Instance {
    Instance {
        attempt: opening.context.attempt,
        index: opening.context.task.index,
        parallelism: opening.context.parallelism,
        checkpoint: opening.context.restored,
        restored: !opening.restored.states.states.is_empty(),
    }
}

/// The state of a keyed operator instance, with what a checkpoint kept of it.
pub(super) fn keyed_state<K: Key>(opening: &mut Opening) -> KeyedState<K> {
    let states = std::mem::take(&mut opening.restored.states);
    KeyedState::new(opening.context.groups, opening.owned(), key_hash(opening), states)
}

/// Computes a key's hash again, for a table that splits or grows.
pub(crate) fn key_hash<K: Key>(opening: &Opening) -> crate::state::KeyHasher<K> {
    let hasher = opening.context.hasher;
    Arc::new(move |key: &K| {
        // The key was hashed when its record came, so it can be hashed.
        hasher.hash(key, &mut Vec::new()).unwrap_or_default()
    })
}

pub(super) struct Aggregating<A>(pub(super) A);

impl<A: Aggregate> Folding for Aggregating<A> {
    type In = A::In;
    type Acc = A::Acc;
    type Out = A::Out;

    fn first(&self, value: A::In) -> A::Acc {
        let mut acc = self.0.create();
        self.0.add(&mut acc, value);
        acc
    }

    fn add(&self, acc: &mut A::Acc, value: A::In) {
        self.0.add(acc, value);
    }

    fn out(&self, acc: &A::Acc) -> A::Out {
        self.0.result(acc)
    }
}

pub(super) struct Reducing<T, F>(pub(super) F, pub(super) PhantomData<fn() -> T>);

impl<T, F> Folding for Reducing<T, F>
where
    T: Record + Sync + serde::Serialize + serde::de::DeserializeOwned,
    F: Fn(&T, T) -> T + Send + Sync + 'static,
{
    type In = T;
    type Acc = T;
    type Out = T;

    fn first(&self, value: T) -> T {
        value
    }

    fn add(&self, acc: &mut T, value: T) {
        *acc = (self.0)(acc, value);
    }

    fn out(&self, acc: &T) -> T {
        acc.clone()
    }
}

pub(super) struct Counting<T>(pub(super) PhantomData<fn() -> T>);

impl<T: Send + 'static> Folding for Counting<T> {
    type In = T;
    type Acc = u64;
    type Out = u64;

    fn first(&self, _: T) -> u64 {
        1
    }

    fn add(&self, acc: &mut u64, _: T) {
        *acc += 1;
    }

    fn out(&self, acc: &u64) -> u64 {
        *acc
    }
}
