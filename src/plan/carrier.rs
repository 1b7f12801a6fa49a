//! What knows the type of the records of a stream, for a plan that does not.
//!
//! A carrier makes everything that carries records of its type: edges, exchanges, gates and tees. Links and edges travel through
//! the plan as `Any` and come out with the type they went in with; another type is a fault of the engine.

use std::any::Any;
use std::marker::PhantomData;

use crate::chain::{Checked, Tee, Watch};
use crate::channel::{Bell, EdgeReceiver, EdgeSender, edge};
use crate::config::Pipes;
use crate::error::BoxError;
use crate::frame::{Keyed, Routed};
use crate::gate::{GateStart, Intake};
use crate::hook::Hooks;
use crate::key::{Key, KeyGroups};
use crate::operator::{Next, Port as OutPort, side_port};
use crate::output::{Exchange, Forward, Hash, HashOrAll, Rebalance};
use crate::task::{Gated, Head};

/// A link whose type the plan does not know.
pub(crate) type AnyLink = Box<dyn Any + Send>;
/// One end of an edge whose type the plan does not know.
pub(crate) type AnyEnd = Box<dyn Any + Send>;

/// Wraps a link.
pub(crate) fn link<T: 'static>(next: Next<T>) -> AnyLink {
    Box::new(next)
}

/// Unwraps a link.
///
/// # Errors
/// Where it is a link for another type.
pub(crate) fn unlink<T: 'static>(any: AnyLink) -> Result<Next<T>, BoxError> {
    take(any)
}

fn take<T: 'static>(any: Box<dyn Any + Send>) -> Result<T, BoxError> {
    let wrong = || format!("the plan joined a stream of {} to one of another type", std::any::type_name::<T>());
    any.downcast::<T>().map(|value| *value).map_err(|_| wrong().into())
}

fn take_all<T: 'static>(ends: Vec<AnyEnd>) -> Result<Vec<T>, BoxError> {
    ends.into_iter().map(take).collect()
}

/// Makes what carries the records of one stream.
pub(crate) trait Carrier: Send + Sync {
    /// An edge between the tasks with these bells.
    fn edge(&self, pipes: Pipes, sender: Bell, receiver: Bell) -> (AnyEnd, AnyEnd);

    /// An output over edges: to each receiver in turn, beginning at `first`, or by key.
    fn exchange(&self, edges: Vec<AnyEnd>, groups: KeyGroups, first: usize) -> Result<AnyLink, BoxError>;

    /// The head of a task over edges, in front of a chain.
    fn gate(&self, edges: Vec<AnyEnd>, start: GateStart, chain: AnyLink, hooks: &Hooks) -> Result<Box<dyn Head>, BoxError>;

    /// A stage that checks, in front of the link of an operator.
    fn checked(&self, link: AnyLink, watch: Watch) -> Result<AnyLink, BoxError>;

    /// A side output in front of a link.
    fn side(&self, link: AnyLink) -> Result<Box<dyn OutPort>, BoxError>;

    /// One link in front of several.
    fn tee(&self, branches: Vec<AnyLink>) -> Result<AnyLink, BoxError>;
}

/// Carries records without a key.
pub(crate) struct PlainCarrier<T>(PhantomData<fn() -> T>);

/// Carries records with their key.
pub(crate) struct KeyedCarrier<K, T>(PhantomData<fn() -> (K, T)>);

/// Carries records of two streams to the instances of one operator.
pub(crate) struct RoutedCarrier<K, T, R>(Nothing<Routed<K, T, R>>);

/// Stands for a type without owning one of it.
type Nothing<T> = PhantomData<fn() -> T>;

impl<K, T, R> RoutedCarrier<K, T, R> {
    pub(crate) fn new() -> Self {
        RoutedCarrier(PhantomData)
    }
}

impl<T> PlainCarrier<T> {
    pub(crate) fn new() -> Self {
        PlainCarrier(PhantomData)
    }
}

impl<K, T> KeyedCarrier<K, T> {
    pub(crate) fn new() -> Self {
        KeyedCarrier(PhantomData)
    }
}

fn typed_edge<T: Send + 'static>(pipes: Pipes, sender: Bell, receiver: Bell) -> (AnyEnd, AnyEnd) {
    let (tx, rx) = edge::<T>(pipes.frames, sender, receiver);
    (Box::new(tx.batches_of(pipes.batch)), Box::new(rx))
}

fn typed_gate<T: Send + 'static>(
    edges: Vec<AnyEnd>,
    start: GateStart,
    chain: AnyLink,
    hooks: &Hooks,
) -> Result<Box<dyn Head>, BoxError> {
    let edges: Vec<EdgeReceiver<T>> = take_all(edges)?;
    Ok(Box::new(Gated::new(Intake::new(edges, start, hooks), unlink(chain)?)))
}

fn typed_checked<T: Send + 'static>(checked: AnyLink, watch: Watch) -> Result<AnyLink, BoxError> {
    Ok(link::<T>(Box::new(Checked::new(watch, unlink(checked)?))))
}

fn typed_tee<T: Clone + Send + 'static>(branches: Vec<AnyLink>) -> Result<AnyLink, BoxError> {
    let branches: Vec<Next<T>> = take_all(branches)?;
    Ok(link::<T>(Box::new(Tee::new(branches))))
}

impl<T: Clone + Send + 'static> Carrier for PlainCarrier<T> {
    fn edge(&self, pipes: Pipes, sender: Bell, receiver: Bell) -> (AnyEnd, AnyEnd) {
        typed_edge::<T>(pipes, sender, receiver)
    }

    fn exchange(&self, edges: Vec<AnyEnd>, _: KeyGroups, first: usize) -> Result<AnyLink, BoxError> {
        let edges: Vec<EdgeSender<T>> = take_all(edges)?;
        let n = edges.len();
        Ok(if n == 1 {
            link::<T>(Box::new(Exchange::new(edges, Forward)))
        } else {
            link::<T>(Box::new(Exchange::new(edges, Rebalance::new(n, first))))
        })
    }

    fn gate(&self, edges: Vec<AnyEnd>, start: GateStart, chain: AnyLink, hooks: &Hooks) -> Result<Box<dyn Head>, BoxError> {
        typed_gate::<T>(edges, start, chain, hooks)
    }

    fn checked(&self, link: AnyLink, watch: Watch) -> Result<AnyLink, BoxError> {
        typed_checked::<T>(link, watch)
    }

    fn side(&self, link: AnyLink) -> Result<Box<dyn OutPort>, BoxError> {
        Ok(side_port::<T>(unlink(link)?))
    }

    fn tee(&self, branches: Vec<AnyLink>) -> Result<AnyLink, BoxError> {
        typed_tee::<T>(branches)
    }
}

impl<K: Key, T: Clone + Send + 'static> Carrier for KeyedCarrier<K, T> {
    fn edge(&self, pipes: Pipes, sender: Bell, receiver: Bell) -> (AnyEnd, AnyEnd) {
        typed_edge::<Keyed<K, T>>(pipes, sender, receiver)
    }

    fn exchange(&self, edges: Vec<AnyEnd>, groups: KeyGroups, _: usize) -> Result<AnyLink, BoxError> {
        let edges: Vec<EdgeSender<Keyed<K, T>>> = take_all(edges)?;
        let owners = u32::try_from(edges.len())?;
        Ok(link::<Keyed<K, T>>(Box::new(Exchange::new(edges, Hash::new(groups, owners)))))
    }

    fn gate(&self, edges: Vec<AnyEnd>, start: GateStart, chain: AnyLink, hooks: &Hooks) -> Result<Box<dyn Head>, BoxError> {
        typed_gate::<Keyed<K, T>>(edges, start, chain, hooks)
    }

    fn checked(&self, link: AnyLink, watch: Watch) -> Result<AnyLink, BoxError> {
        typed_checked::<Keyed<K, T>>(link, watch)
    }

    fn side(&self, link: AnyLink) -> Result<Box<dyn OutPort>, BoxError> {
        Ok(side_port::<Keyed<K, T>>(unlink(link)?))
    }

    fn tee(&self, branches: Vec<AnyLink>) -> Result<AnyLink, BoxError> {
        typed_tee::<Keyed<K, T>>(branches)
    }
}

impl<K: Key, T: Clone + Send + 'static, R: Clone + Send + 'static> Carrier for RoutedCarrier<K, T, R> {
    fn edge(&self, pipes: Pipes, sender: Bell, receiver: Bell) -> (AnyEnd, AnyEnd) {
        typed_edge::<Routed<K, T, R>>(pipes, sender, receiver)
    }

    fn exchange(&self, edges: Vec<AnyEnd>, groups: KeyGroups, _: usize) -> Result<AnyLink, BoxError> {
        let edges: Vec<EdgeSender<Routed<K, T, R>>> = take_all(edges)?;
        let owners = u32::try_from(edges.len())?;
        Ok(link::<Routed<K, T, R>>(Box::new(Exchange::new(edges, HashOrAll::new(groups, owners)))))
    }

    fn gate(&self, edges: Vec<AnyEnd>, start: GateStart, chain: AnyLink, hooks: &Hooks) -> Result<Box<dyn Head>, BoxError> {
        typed_gate::<Routed<K, T, R>>(edges, start, chain, hooks)
    }

    fn checked(&self, link: AnyLink, watch: Watch) -> Result<AnyLink, BoxError> {
        typed_checked::<Routed<K, T, R>>(link, watch)
    }

    fn side(&self, link: AnyLink) -> Result<Box<dyn OutPort>, BoxError> {
        Ok(side_port::<Routed<K, T, R>>(unlink(link)?))
    }

    fn tee(&self, branches: Vec<AnyLink>) -> Result<AnyLink, BoxError> {
        typed_tee::<Routed<K, T, R>>(branches)
    }
}
