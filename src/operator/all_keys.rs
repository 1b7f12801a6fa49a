//! Walks over all keys of an instance, which a broadcast record asks for.
//!
//! Always: a walk is over before anything else is taken: a record, a timer, a barrier. It runs in pieces, so that it keeps its task no
//! longer than a step may last, and holds no more output than other callbacks do. Asked for in a callback, done by the loop around
//! it, on the task's thread.

use std::collections::VecDeque;
use std::fmt;

use super::context::Emitter;
use crate::error::BoxError;
use crate::frame::Batch;
use crate::key::Key;
use crate::state::{Cursor, KeyedState, Stored, ValueState};
use crate::time::Timestamp;

/// Does one piece of a walk, and emits up to so many records; true when it was the last piece.
type Piece<K, Out> = Box<dyn FnMut(&mut KeyedState<K>, &mut Batch<Out>, usize) -> Result<bool, BoxError> + Send>;

/// The walks that were asked for and are not over.
pub(crate) struct Walks<K: 'static, Out>(VecDeque<Piece<K, Out>>);

impl<K: 'static, Out> Default for Walks<K, Out> {
    fn default() -> Self {
        Walks(VecDeque::new())
    }
}

impl<K: 'static, Out> Walks<K, Out> {
    /// Whether none is left.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does one piece of the first walk, with an output that is full with so many records. True when no walk is left.
    ///
    /// # Errors
    /// What a visit fails with.
    pub(crate) fn go_on(&mut self, states: &mut KeyedState<K>, out: &mut Batch<Out>, full: usize) -> Result<bool, BoxError> {
        if let Some(walk) = self.0.front_mut()
            && walk(states, out, full)?
        {
            self.0.pop_front();
        }
        Ok(self.is_empty())
    }
}

impl<K: 'static, Out> fmt::Debug for Walks<K, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Walks").field(&self.0.len()).finish()
    }
}

/// All keys of an instance that have a value in a state.
///
/// A visit is called once for each such key, in no order that means anything, **after the callback** has returned and before the next
/// record, timer or barrier: so it owns what it needs (`move`, clones), and may be called for many millions of keys without holding
/// anything up. All instances together visit every key once. Several walks are done one after the other, in the order in which
/// they were asked for.
///
/// What a visit emits has the timestamp of the broadcast record. An error that it returns fails the operator's region.
///
/// ```
/// use tidegate::{BoxError, BroadcastContext, BroadcastOperator, ValueState};
/// # struct Totals { total: ValueState<u64> }
/// # impl BroadcastOperator for Totals {
/// #     type Key = String;
/// #     type In = u64;
/// #     type Broadcast = u64;
/// #     type Out = (String, u64);
/// #     fn on_record(&mut self, _: u64, _: &mut tidegate::KeyedSideContext<'_, Self>) -> Result<(), BoxError> { Ok(()) }
///
/// /// Says who has more than the new limit.
/// fn on_broadcast(&mut self, limit: u64, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
///     ctx.keys.for_each(self.total, move |key, total, out| {
///         if *total > limit {
///             out.emit((key.clone(), *total));
///         }
///         Ok(())
///     });
///     Ok(())
/// }
/// # }
/// ```
///
/// # Panics
/// A walk panics where the handle comes from another operator. A panic in a visit fails the operator's region.
pub struct AllKeys<'a, K: 'static, Out> {
    walks: &'a mut Walks<K, Out>,
    time: Timestamp,
}

impl<'a, K: 'static, Out> AllKeys<'a, K, Out> {
    /// For one callback, whose records have this timestamp.
    pub(super) fn new(walks: &'a mut Walks<K, Out>, time: Timestamp) -> Self {
        AllKeys { walks, time }
    }
}

impl<K: Key, Out: 'static> AllKeys<'_, K, Out> {
    /// Visits all keys and their values in a state.
    pub fn for_each<V: Stored>(
        &mut self,
        state: ValueState<V>,
        mut visit: impl FnMut(&K, &V, &mut Emitter<'_, Out>) -> Result<(), BoxError> + Send + 'static,
    ) {
        let (mut cursor, time) = (Cursor::default(), self.time);
        self.walks.0.push_back(Box::new(move |states, out, full| {
            let mut failed = None;
            let done = states.walk(state, &mut cursor, |key, value| {
                failed = visit(key, value, &mut Emitter::new(out, time)).err();
                failed.is_none() && out.len() < full
            });
            failed.map_or(Ok(done), Err)
        }));
    }

    /// Visits all keys, and changes their values in a state.
    pub fn update_each<V: Stored>(
        &mut self,
        state: ValueState<V>,
        mut visit: impl FnMut(&K, &mut V, &mut Emitter<'_, Out>) -> Result<(), BoxError> + Send + 'static,
    ) {
        self.retain(state, move |key, value, out| visit(key, value, out).map(|()| true));
    }

    /// Visits all keys, changes their values in a state, and clears it for those for which the visit says false.
    pub fn retain<V: Stored>(
        &mut self,
        state: ValueState<V>,
        mut visit: impl FnMut(&K, &mut V, &mut Emitter<'_, Out>) -> Result<bool, BoxError> + Send + 'static,
    ) {
        let (mut cursor, time) = (Cursor::default(), self.time);
        self.walks.0.push_back(Box::new(move |states, out, full| {
            let mut failed = None;
            let done = states.walk_and_prune(state, &mut cursor, |key, value| {
                let stays = visit(key, value, &mut Emitter::new(out, time)).unwrap_or_else(|error| {
                    failed = Some(error);
                    true
                });
                (stays, failed.is_none() && out.len() < full)
            });
            failed.map_or(Ok(done), Err)
        }));
    }
}

impl<K: 'static, Out> fmt::Debug for AllKeys<'_, K, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllKeys").field("walks", &self.walks).field("time", &self.time).finish()
    }
}
