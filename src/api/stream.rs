//! A stream of records without a key, and what can be done with it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::keyed::KeyedStream;
use super::on_error::{Choice, OnError};
use super::wire::{FlowRef, plain_port, port_with, side_of};
use crate::chain::{Filter, FlatMap, KeyBy, Map, SinkLink, Steps, Stepwise};
use crate::error::BoxError;
use crate::frame::Keyed;
use crate::key::Key;
use crate::operator::SideOutput;
use crate::plan::{AnyLink, Input, KeyedCarrier, Node, NodeId, NodeKind, Opening, Routing, link};
use crate::sink::{HANDLES_STATE, Ledger, Sink};
use crate::state::{Counted, SKIPPED, read_list};

/// What can flow: a value that can be sent to another thread, and cloned where a stream has several consumers.
pub trait Record: Clone + Send + 'static {}

impl<T: Clone + Send + 'static> Record for T {}

/// A stream of records of one type.
///
/// Its methods add operators to the flow that it belongs to. A clone is the same stream: what is attached to either of them gets
/// every record.
pub struct Stream<T> {
    pub(crate) flow: FlowRef,
    pub(crate) node: NodeId,
    pub(crate) port: usize,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Stream { flow: self.flow.clone(), node: self.node, port: self.port, record: PhantomData }
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream<{}>({})", std::any::type_name::<T>(), self.node.0)
    }
}

impl<T: Record> Stream<T> {
    pub(crate) fn new(flow: FlowRef, node: NodeId, port: usize) -> Self {
        Stream { flow, node, port, record: PhantomData }
    }

    pub(crate) fn input(&self, routing: Routing) -> Input {
        Input { from: self.node, port: self.port, routing }
    }

    fn add<Out: Record>(
        &self,
        verb: &'static str,
        make: impl Fn(Opening) -> Result<AnyLink, BoxError> + Send + Sync + 'static,
    ) -> Stream<Out> {
        let node = self.flow.operator(verb, false, vec![self.input(Routing::Forward)], plain_port::<Out>(), make);
        Stream::new(self.flow.clone(), node, 0)
    }

    /// Applies a function to each record.
    pub fn map<Out: Record>(&self, function: impl Fn(T) -> Out + Send + Sync + 'static) -> Stream<Out> {
        let function = Arc::new(function);
        self.add("map", move |mut opening| {
            let next = opening.take_next()?;
            Ok(link::<T>(Box::new(Map::new(opening.operator, function.clone(), next))))
        })
    }

    /// Keeps the records that satisfy a condition.
    pub fn filter(&self, condition: impl Fn(&T) -> bool + Send + Sync + 'static) -> Stream<T> {
        let condition = Arc::new(condition);
        self.add("filter", move |mut opening| {
            let next = opening.take_next()?;
            Ok(link::<T>(Box::new(Filter::new(opening.operator, condition.clone(), next))))
        })
    }

    /// Turns each record into any number of records.
    pub fn flat_map<I>(&self, function: impl Fn(T) -> I + Send + Sync + 'static) -> Stream<I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Record,
        I::IntoIter: Send,
    {
        self.fallible("flat_map", OnError::fail(), move |record| Ok(function(record)))
    }

    /// Applies a function that may fail to each record; an error fails the region.
    pub fn try_map<Out: Record, E: Into<BoxError>>(
        &self,
        function: impl Fn(&T) -> Result<Out, E> + Send + Sync + 'static,
    ) -> Stream<Out> {
        self.try_map_or(OnError::fail(), function)
    }

    /// Applies a function that may fail to each record; `on_error` says what becomes of a record for which it does.
    pub fn try_map_or<Out: Record, E: Into<BoxError>>(
        &self,
        on_error: OnError<T>,
        function: impl Fn(&T) -> Result<Out, E> + Send + Sync + 'static,
    ) -> Stream<Out> {
        self.fallible("map", on_error, move |record| match function(&record) {
            Ok(out) => Ok(Some(out)),
            Err(error) => Err((record, error.into())),
        })
    }

    /// Keeps the records that satisfy a condition that may fail; an error fails the region.
    pub fn try_filter<E: Into<BoxError>>(&self, condition: impl Fn(&T) -> Result<bool, E> + Send + Sync + 'static) -> Stream<T> {
        self.try_filter_or(OnError::fail(), condition)
    }

    /// Keeps the records that satisfy a condition that may fail; `on_error` says what becomes of a record for which it does.
    pub fn try_filter_or<E: Into<BoxError>>(
        &self,
        on_error: OnError<T>,
        condition: impl Fn(&T) -> Result<bool, E> + Send + Sync + 'static,
    ) -> Stream<T> {
        self.fallible("filter", on_error, move |record| match condition(&record) {
            Ok(passes) => Ok(passes.then_some(record)),
            Err(error) => Err((record, error.into())),
        })
    }

    /// Turns each record into any number of records, by a function that may fail; an error fails the region.
    pub fn try_flat_map<I, E>(&self, function: impl Fn(&T) -> Result<I, E> + Send + Sync + 'static) -> Stream<I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Record,
        I::IntoIter: Send,
        E: Into<BoxError>,
    {
        self.try_flat_map_or(OnError::fail(), function)
    }

    /// Turns each record into any number of records, by a function that may fail; `on_error` says what becomes of a record for
    /// which it does.
    pub fn try_flat_map_or<I, E>(
        &self,
        on_error: OnError<T>,
        function: impl Fn(&T) -> Result<I, E> + Send + Sync + 'static,
    ) -> Stream<I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Record,
        I::IntoIter: Send,
        E: Into<BoxError>,
    {
        self.fallible("flat_map", on_error, move |record| function(&record).map_err(|error| (record, error.into())))
    }

    fn fallible<I>(
        &self,
        verb: &'static str,
        on_error: OnError<T>,
        function: impl Fn(T) -> Result<I, (T, BoxError)> + Send + Sync + 'static,
    ) -> Stream<I::Item>
    where
        I: IntoIterator + 'static,
        I::Item: Record,
        I::IntoIter: Send,
    {
        let function = Arc::new(function);
        let side = match &on_error.0 {
            Choice::Side(side) => Some(side.name().to_owned()),
            _ => None,
        };
        let out = self.add::<I::Item>(verb, move |mut opening| {
            let next = opening.take_next()?;
            let poison = on_error.open(&mut opening.sides, opening.uid.as_str())?;
            let skipped = Counted::open(SKIPPED, opening.metrics.skipped.clone(), &mut opening.restored.states)?;
            let name = (opening.operator, opening.uid.clone());
            let operator = FlatMap::<_, T, I>::new(name, function.clone(), poison, skipped);
            Ok(stepwise(operator, false, next, opening))
        });
        if let Some(side) = side {
            side_of::<crate::chain::DeadLetter<T>>(&self.flow, out.node, &side);
        }
        out
    }

    /// Both streams as one, in no particular order between them.
    pub fn union(&self, other: &Stream<T>) -> Stream<T> {
        if !self.flow.same(&other.flow) {
            self.flow.fault("two streams of different jobs were joined".into(), "use streams of one job");
        }
        let inputs = vec![self.input(Routing::Forward), other.input(Routing::Forward)];
        let node = Node {
            verb: "union",
            name: None,
            uid: None,
            parallelism: None,
            stateful: false,
            kind: NodeKind::Union,
            inputs,
            ports: vec![plain_port::<T>()],
        };
        let node = self.flow.lock().add(node);
        Stream::new(self.flow.clone(), node, 0)
    }

    /// Sends the records with equal keys to the same task, where state can be kept for each key.
    pub fn key_by<K: Key>(&self, key_of: impl Fn(&T) -> K + Send + Sync + 'static) -> KeyedStream<K, T> {
        self.key_with(move |record| (key_of(&record), record))
    }

    /// Takes each record apart into its key and what else there is of it, and sends those with equal keys to the same task.
    ///
    /// Where the key is a part of the record that costs an allocation, such as a string, this saves the copy that
    /// [`key_by`](Stream::key_by) has to make of it.
    ///
    /// ```
    /// use tidegate::Stream;
    ///
    /// fn count(words: &Stream<String>) -> Stream<(String, u64)> {
    ///     words.key_with(|word| (word, ())).count()
    /// }
    /// ```
    pub fn key_with<K: Key, V: Record>(&self, parts_of: impl Fn(T) -> (K, V) + Send + Sync + 'static) -> KeyedStream<K, V> {
        let parts_of = Arc::new(parts_of);
        let output = port_with::<Keyed<K, V>>(KeyedCarrier::<K, V>::new());
        let node = self.flow.operator("key_by", false, vec![self.input(Routing::Forward)], output, move |mut opening| {
            let next = opening.take_next()?;
            Ok(link::<T>(Box::new(KeyBy::new(opening.operator, parts_of.clone(), opening.context.hasher, next))))
        });
        KeyedStream::new(Stream::new(self.flow.clone(), node, 0))
    }

    /// A side output of the operator that this stream comes from.
    pub fn side<S: Record>(&self, output: &SideOutput<S>) -> Stream<S> {
        let port = side_of::<S>(&self.flow, self.node, output.name());
        Stream::new(self.flow.clone(), self.node, port)
    }

    /// Ends the stream in a sink. `name` is the sink's uid as well, unless one is given.
    pub fn sink<S: Sink<Item = T>>(&self, name: &str, sink: S) -> SinkRef {
        let sink = Arc::new(sink);
        let at_recovery = sink.clone();
        let kind = NodeKind::Sink {
            make: Box::new(move |opening| open_sink(&sink, opening)),
            recover: Box::new(move |ctx, parts| {
                let Some(parts) = parts else { return at_recovery.begin(ctx) };
                let mut handles = Vec::new();
                for part in parts {
                    handles.extend(read_list::<S::Handle>(HANDLES_STATE, Some(part))?);
                }
                at_recovery.recover(ctx, handles)
            }),
        };
        let node = Node {
            verb: "sink",
            name: Some(name.to_owned()),
            uid: None,
            parallelism: None,
            stateful: true,
            kind,
            inputs: vec![self.input(Routing::Forward)],
            ports: Vec::new(),
        };
        let node = self.flow.lock().add(node);
        SinkRef { flow: self.flow.clone(), node }
    }

    /// Gives the operator that this stream comes from a uid: the stable name under which its state is kept.
    ///
    /// Without one the uid is made of what the operator does and of those with state before it: a change of the flow may change it, and
    /// the state is not found then. So an operator whose state is to outlive a change of the flow needs one of its own, as sources,
    /// sinks and [`process`](KeyedStream::process) have by their names.
    pub fn uid(&self, uid: &str) -> Stream<T> {
        if let Some(node) = self.flow.lock().node_mut(self.node) {
            node.uid = Some(uid.to_owned());
        }
        self.clone()
    }

    /// Sets how many instances of the operator that this stream comes from run side by side.
    pub fn parallelism(&self, parallelism: u32) -> Stream<T> {
        if let Some(node) = self.flow.lock().node_mut(self.node) {
            node.parallelism = Some(parallelism);
        }
        self.clone()
    }
}

/// A link that takes records one by one, with the side outputs that were attached to it.
pub(crate) fn stepwise<S: Stepwise + 'static>(
    operator: S,
    ended: bool,
    next: crate::operator::Next<S::Out>,
    opening: Opening,
) -> AnyLink {
    link::<S::In>(Box::new(Steps::new(operator, ended, next, opening.sides)))
}

fn open_sink<S: Sink>(sink: &Arc<S>, mut opening: Opening) -> Result<AnyLink, BoxError> {
    let ctx = crate::sink::SinkContext {
        job: opening.context.job.to_string(),
        uid: opening.uid.clone(),
        attempt: opening.context.attempt,
        index: opening.context.task.index,
        parallelism: opening.context.parallelism,
    };
    let written: u64 =
        read_list::<u64>(crate::chain::RECORDS_STATE, opening.restored.states.take(crate::chain::RECORDS_STATE))?.iter().sum();
    opening.metrics.records.add(written);
    let writer = sink.open(&ctx)?;
    let ended = opening.restored.ended;
    let records = opening.metrics.records.clone();
    let ledger = Ledger::new(sink.clone(), opening.uid.clone(), opening.hooks);
    Ok(link::<S::Item>(Box::new(SinkLink::new(opening.operator, opening.uid, ledger, writer, records, written, ended))))
}

/// A sink of a flow.
#[derive(Clone, Debug)]
pub struct SinkRef {
    flow: FlowRef,
    node: NodeId,
}

impl SinkRef {
    /// Gives the sink a uid other than its name.
    pub fn uid(&self, uid: &str) -> &Self {
        if let Some(node) = self.flow.lock().node_mut(self.node) {
            node.uid = Some(uid.to_owned());
        }
        self
    }

    /// Sets how many instances of the sink run side by side.
    pub fn parallelism(&self, parallelism: u32) -> &Self {
        if let Some(node) = self.flow.lock().node_mut(self.node) {
            node.parallelism = Some(parallelism);
        }
        self
    }
}
