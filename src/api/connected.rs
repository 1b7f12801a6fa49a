//! A keyed stream and a broadcast stream, joined before one operator.
//!
//! Both are brought into one form by an adapter at the end of their chains; the exchange behind it sends what has a key to its owner,
//! and what is broadcast to all. So the operator's gate has edges of one type, and aligns them and merges their watermarks as any.

use std::fmt;
use std::sync::Arc;

use super::keyed::{KeyedStream, instance, key_hash, keyed_state};
use super::stream::{Record, Stream, stepwise};
use super::wire::{FlowRef, plain_port, port_with};
use crate::chain::{Connected, Ended, KeyedParts, Map};
use crate::error::BoxError;
use crate::frame::Routed;
use crate::key::Key;
use crate::operator::{BroadcastOpenContext, BroadcastOperator, OpenContext};
use crate::plan::{Input, Node, NodeKind, Opening, RoutedCarrier, Routing, link};
use crate::state::{TIMERS, Timers, UnkeyedStates};

/// A keyed stream beside a stream of which every instance gets everything: see [`KeyedStream::connect_broadcast`].
pub struct ConnectedStream<K, T, R> {
    keyed: KeyedStream<K, T>,
    broadcast: Stream<R>,
}

impl<K, T, R> Clone for ConnectedStream<K, T, R> {
    fn clone(&self) -> Self {
        ConnectedStream { keyed: self.keyed.clone(), broadcast: self.broadcast.clone() }
    }
}

impl<K, T, R> fmt::Debug for ConnectedStream<K, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectedStream").field("keyed", &self.keyed).field("broadcast", &self.broadcast).finish()
    }
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    /// Puts a stream beside this one, every record of which reaches all instances of the operator that follows: rules for all keys.
    /// See [`BroadcastOperator`], which has an example.
    pub fn connect_broadcast<R: Record>(&self, broadcast: &Stream<R>) -> ConnectedStream<K, T, R> {
        if !self.stream.flow.same(&broadcast.flow) {
            self.stream.flow.fault("two streams of different jobs were joined".into(), "use streams of one job");
        }
        ConnectedStream { keyed: self.clone(), broadcast: broadcast.clone() }
    }
}

impl<K: Key, T: Record, R: Record> ConnectedStream<K, T, R> {
    /// Runs an operator of the user's: see [`BroadcastOperator`], which has an example.
    ///
    /// `name` is the operator's uid as well, unless one is given. The factory is called for each task and attempt; it registers the
    /// operator's states and opens its side outputs. It is not called for an instance that had ended before its last checkpoint.
    pub fn process<O>(
        &self,
        name: &str,
        factory: impl Fn(&mut BroadcastOpenContext<'_, K>) -> Result<O, BoxError> + Send + Sync + 'static,
    ) -> Stream<O::Out>
    where
        O: BroadcastOperator<Key = K, In = T, Broadcast = R>,
        O::Out: Record,
    {
        let flow = &self.keyed.stream.flow;
        let keyed = adapted::<_, K, T, R>(flow, self.keyed.stream.input(Routing::Forward), Routing::Hash, Routed::Keyed);
        let broadcast =
            adapted::<_, K, T, R>(flow, self.broadcast.input(Routing::Forward), Routing::Broadcast, Routed::Broadcast);
        let node = flow.operator("process", true, vec![keyed, broadcast], plain_port::<O::Out>(), move |mut opening| {
            let next = opening.take_next()?;
            if opening.restored.ended {
                let states = std::mem::take(&mut opening.restored.states);
                return Ok(stepwise(Ended::<Routed<K, T, R>, O::Out>::new(opening.uid.clone(), states), true, next, opening));
            }
            let connected = open_connected(&mut opening, &factory)?;
            Ok(stepwise(connected, false, next, opening))
        });
        if let Some(node) = flow.lock().node_mut(node) {
            node.name = Some(name.to_owned());
        }
        Stream::new(flow.clone(), node, 0)
    }
}

/// Adds the adapter of one of the two streams, and returns it as an input of the operator.
fn adapted<In, K, T, R>(flow: &FlowRef, from: Input, routing: Routing, form: fn(In) -> Routed<K, T, R>) -> Input
where
    In: Send + 'static,
    K: Key,
    T: Record,
    R: Record,
{
    let form = Arc::new(form);
    let make = move |mut opening: Opening| {
        let next = opening.take_next()?;
        Ok(link::<In>(Box::new(Map::new(opening.operator, form.clone(), next))))
    };
    let adapter = Node {
        verb: "connect_broadcast",
        name: None,
        uid: None,
        parallelism: None,
        stateful: false,
        kind: NodeKind::Adapter { make: Box::new(make) },
        inputs: vec![from],
        ports: vec![port_with::<Routed<K, T, R>>(RoutedCarrier::<K, T, R>::new())],
    };
    Input { from: flow.lock().add(adapter), port: 0, routing }
}

fn open_connected<O: BroadcastOperator>(
    opening: &mut Opening,
    factory: impl Fn(&mut BroadcastOpenContext<'_, O::Key>) -> Result<O, BoxError>,
) -> Result<Connected<O>, BoxError> {
    let instance = instance(opening);
    let keyed = opening.restored.states.take_keyed();
    let unkeyed = std::mem::replace(&mut opening.restored.states, keyed);
    let mut broadcast = UnkeyedStates::new(unkeyed).beside(&opening.restored.states);
    let stored = opening.restored.states.take(TIMERS);
    let timers = Timers::new(opening.context.groups, opening.owned(), &key_hash(opening), stored)?;
    let mut states = keyed_state(opening);
    let mut ctx = BroadcastOpenContext::new(OpenContext::new(&mut states, &mut opening.sides, instance), &mut broadcast);
    let operator = factory(&mut ctx)?;
    ctx.check()?;
    let parts = KeyedParts::new(states, timers, opening.restored.watermark);
    Ok(Connected::new((opening.operator, opening.uid.clone()), operator, parts, broadcast))
}
