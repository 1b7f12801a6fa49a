//! The handles of keyed states: what an operator keeps of a state that it has registered, and shows at each access.
//!
//! Always: a handle is a few bytes, is copied freely and knows the types of its state, so that no access can mistake them. Given out
//! by the registry of the instance that it belongs to.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

/// A handle: the state's place in the registry, and whether what is in it expires.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident<$($type:ident),+>) => {
        $(#[$doc])*
        pub struct $name<$($type),+> {
            pub(super) index: usize,
            pub(super) expires: bool,
            types: PhantomData<fn() -> ($($type,)+)>,
        }

        impl<$($type),+> $name<$($type),+> {
            pub(super) fn new(index: usize, expires: bool) -> Self {
                $name { index, expires, types: PhantomData }
            }
        }

        impl<$($type),+> Clone for $name<$($type),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($type),+> Copy for $name<$($type),+> {}

        impl<$($type),+> fmt::Debug for $name<$($type),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let types = [$(type_name::<$type>()),+].join(", ");
                write!(f, "{}<{types}>({})", stringify!($name), self.index)
            }
        }
    };
}

handle!(
    /// A handle to one registered state: a value of type `V` for each key. Small, and copied freely.
    ///
    /// Read by [`KeyState::get`](crate::KeyState::get); written by `set`, `update`, `get_mut` and `get_or_insert_with`; forgotten by
    /// `clear`.
    ValueState<V>
);

handle!(
    /// A handle to one registered state: a list of elements of type `T` for each key. Small, and copied freely.
    ///
    /// Used by [`KeyState::list`](crate::KeyState::list). Elements keep their order, and the same one may be there twice; an empty
    /// list is none. A list changes in place: a push costs the same whatever is there, also while a checkpoint is written.
    ///
    /// ```
    /// # use tidegate::{BoxError, Context, KeyedOperator, ListState};
    /// # struct Batches { waiting: ListState<u64> }
    /// # impl KeyedOperator for Batches {
    /// #   type Key = String;
    /// #   type In = u64;
    /// #   type Out = Vec<u64>;
    /// fn on_record(&mut self, amount: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
    ///     let mut waiting = ctx.state.list(self.waiting);
    ///     waiting.push(amount);
    ///     if waiting.len() == 10 {
    ///         ctx.out.emit(waiting.take());
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    ListState<T>
);

handle!(
    /// A handle to one registered state: a map from `UK` to `UV` for each key. Small, and copied freely.
    ///
    /// Used by [`KeyState::map`](crate::KeyState::map). An empty map is none. A map changes in place: a change costs nearly the same
    /// whatever its size, also while a checkpoint is written. Its entries are visited in an order that depends on nothing but the
    /// job, its key and the entries' keys: the same in a replay.
    ///
    /// ```
    /// # use tidegate::{BoxError, Context, KeyedOperator, MapState};
    /// # struct Visits { pages: MapState<String, u64> }
    /// # impl KeyedOperator for Visits {
    /// #   type Key = u64;
    /// #   type In = String;
    /// #   type Out = (String, u64);
    /// fn on_record(&mut self, page: String, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
    ///     let mut pages = ctx.state.map(self.pages);
    ///     let visits = pages.get_or_insert_with(&page, || 0);
    ///     *visits += 1;
    ///     ctx.out.emit((page, *visits));
    ///     Ok(())
    /// }
    /// # }
    /// ```
    MapState<UK, UV>
);

handle!(
    /// A handle to one registered state: for each key, what all values that were added reduce to. Small, and copied freely.
    ///
    /// Written by [`KeyState::add`](crate::KeyState::add): the first value is kept as it is, then it is `reduce(&so_far, value)`. Read
    /// by `get`, forgotten by `clear`. The function is given at each registration and is no part of the state.
    ///
    /// ```
    /// # use tidegate::{BoxError, Context, KeyedOperator, OpenContext, ReducingState};
    /// # struct Peaks { peak: ReducingState<i64> }
    /// # fn open(ctx: &mut OpenContext<'_, String>) -> Result<Peaks, BoxError> {
    /// let peak = ctx.reducing("peak", |a: &i64, b| b.max(*a))?;
    /// # Ok(Peaks { peak })
    /// # }
    /// # impl KeyedOperator for Peaks {
    /// #   type Key = String;
    /// #   type In = i64;
    /// #   type Out = i64;
    /// fn on_record(&mut self, load: i64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
    ///     ctx.state.add(self.peak, load);
    ///     if let Some(peak) = ctx.state.get(self.peak) {
    ///         ctx.out.emit(*peak);
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    ReducingState<T>
);

handle!(
    /// A handle to one registered state: for each key, the accumulator of an [`Aggregate`](crate::Aggregate). Small, and copied freely.
    ///
    /// Written by [`KeyState::add`](crate::KeyState::add); `get` says what the accumulator says, none where nothing was added;
    /// forgotten by `clear`. The aggregate is given at each registration; only the accumulators are state.
    AggregatingState<A>
);
