//! A stream of records with a key, and the operators that keep state for each key.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::stream::{Record, Stream};
use super::wire::plain_port;
use crate::chain::{Fold, Folding};
use crate::error::BoxError;
use crate::frame::Keyed;
use crate::key::Key;
use crate::operator::Aggregate;
use crate::plan::{AnyLink, Opening, Routing, link};

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

    fn fold<F: Folding<In = T>>(&self, verb: &'static str, folding: F) -> Stream<(K, F::Out)>
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
