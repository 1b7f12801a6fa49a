//! What a broadcast operator is: a keyed operator with a second input, whose records reach all its instances.
//!
//! Always: as for [`KeyedOperator`](super::KeyedOperator). A broadcast state changes in `on_broadcast` and `finish` only, which see what
//! all instances see.

use super::broadcast_context::{BroadcastContext, KeyedSideContext};
use crate::error::BoxError;
use crate::ids::CheckpointId;
use crate::key::Key;
use crate::timer::Timer;

/// An operator that keeps state for each key, and broadcast state: rules, rates, settings that come as a stream of their own and hold
/// for all keys.
///
/// It is added to a flow by [`KeyedStream::connect_broadcast`](crate::KeyedStream::connect_broadcast). Each record of the keyed stream
/// reaches the instance that owns its key, each record of the broadcast stream reaches all instances. Both sides may read broadcast
/// state; only [`on_broadcast`](BroadcastOperator::on_broadcast) and [`finish`](BroadcastOperator::finish) may change it, which have
/// no key of their own.
///
/// What one task broadcasts reaches all instances in the order in which it was sent. What several tasks broadcast may reach two
/// instances in different orders, and so may broadcast records and those of keys: what `on_broadcast` does with the state must come
/// to the same in any such order. A stream of rules whose order matters should have a parallelism of 1.
///
/// The watermark is the lowest of both inputs, as for a union: a stream of rules without timestamps should be given watermarks that
/// go idle, or holds back the timers and windows of the others.
///
/// Sales above the limit of their shop, where limits change while the flow runs:
///
/// ```
/// use tidegate::testing::{End, Scripted, Simulation};
/// use tidegate::{
///     BoxError, BroadcastContext, BroadcastOpenContext, BroadcastOperator, BroadcastState, Job, KeyedSideContext, Stream, ValueState,
/// };
///
/// struct Limits {
///     limits: BroadcastState<String, u64>,
///     over: ValueState<u64>,
/// }
///
/// impl BroadcastOperator for Limits {
///     type Key = String;
///     type In = u64;
///     type Broadcast = (String, u64);
///     type Out = (String, u64);
///
///     fn on_record(&mut self, amount: u64, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
///         let shop = ctx.key();
///         if ctx.broadcast.map(self.limits).get(shop).is_some_and(|limit| amount > *limit) {
///             ctx.state.update(self.over, |over| *over += 1);
///             ctx.out.emit((shop.clone(), amount));
///         }
///         Ok(())
///     }
///
///     fn on_broadcast(&mut self, (shop, limit): (String, u64), ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
///         ctx.broadcast.map_mut(self.limits).insert(shop, limit);
///         Ok(())
///     }
/// }
///
/// fn over_the_limit(sales: &Stream<(String, u64)>, limits: &Stream<(String, u64)>) -> Stream<(String, u64)> {
///     let sales = sales.key_with(|(shop, amount)| (shop, amount));
///     sales.connect_broadcast(limits).process("over the limit", |ctx: &mut BroadcastOpenContext<'_, String>| {
///         Ok(Limits { limits: ctx.broadcast_state("limits")?, over: ctx.value("over")? })
///     })
/// }
///
/// let sim = Simulation::new(1);
/// let (job, out) = (Job::new("sales").parallelism(2), sim.sink());
/// let north = "north".to_owned();
/// let limits = job.source("limits", Scripted::new([vec![(north.clone(), 10)]])).parallelism(1);
/// let sales = job.source("sales", Scripted::new([vec![(north.clone(), 5), (north.clone(), 20)]]).pause_every(1, tidegate::secs(1)));
/// over_the_limit(&sales, &limits).sink("over", out.clone());
/// let run = sim.run(job);
/// assert!(matches!(run.end, End::Finished(_)), "{run}");
/// assert_eq!(out.committed(), [(north, 20)]);
/// ```
pub trait BroadcastOperator: Send + Sized + 'static {
    /// What records are keyed by.
    type Key: Key;
    /// The records of the keyed stream.
    type In: Send + 'static;
    /// The records of the broadcast stream.
    type Broadcast: Send + 'static;
    /// The records that go out.
    type Out: Send + 'static;

    /// Takes a record of the keyed stream.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_record(&mut self, record: Self::In, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError>;

    /// Takes a record of the broadcast stream, as all other instances do. What it changes in broadcast state must be the same in all.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_broadcast(&mut self, record: Self::Broadcast, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError>;

    /// A timer of a key has come due. It is no longer registered, and may be registered again.
    ///
    /// An operator that uses timers must implement this: unless it does, a timer is an error, also one that an earlier version of
    /// the operator registered.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        let _ = ctx;
        let Timer { domain, time } = timer;
        Err(format!("a timer came due ({domain:?} time, {time}), and the operator does not implement on_timer: implement it")
            .into())
    }

    /// The data of both streams has ended: the last chance to emit. Called once, after the last record and the last event-time timer,
    /// and only where the data ends by itself; not at a cancel, nor after a failure.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn finish(&mut self, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }

    /// This checkpoint is complete, and with it every earlier one: everything up to its barrier is durable. Ids rise; some may be
    /// left out.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_checkpoint_complete(&mut self, id: CheckpointId) -> Result<(), BoxError> {
        let _ = id;
        Ok(())
    }

    /// The instance's last call, however its attempt ends. Called exactly once; a panic in it is logged and goes no further.
    fn close(&mut self) {}
}
