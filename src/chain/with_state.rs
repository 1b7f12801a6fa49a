//! A function with a state of its own for each key, in place of an operator: one result for each record, or any number.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::running::{Failure, Running};
use crate::error::{BoxError, Result};
use crate::key::Key;
use crate::operator::{Context, Emitter, KeyedOperator, OpenContext};
use crate::state::ValueState;

/// The name of the state of a function that emits any number of records.
const STATE: &str = "state";

/// Gives each record, with the state of its key, to a function that makes one result of it.
pub(crate) struct Mapping<T, S, F> {
    init: S,
    function: F,
    record: PhantomData<fn(T)>,
}

impl<T, S, F> Mapping<T, S, F> {
    /// Every key begins with `init`.
    pub(crate) fn new(init: S, function: F) -> Self {
        Mapping { init, function, record: PhantomData }
    }
}

impl<T, S, Out, F> Running for Mapping<T, S, F>
where
    T: Send + 'static,
    S: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    Out: Send + 'static,
    F: Fn(&mut S, T) -> Out + Send + Sync + 'static,
{
    type In = T;
    type Acc = S;
    type Out = Out;

    #[inline]
    fn begin(&self, value: T) -> (S, Out) {
        let mut state = self.init.clone();
        let out = (self.function)(&mut state, value);
        (state, out)
    }

    #[inline]
    fn go_on(&self, state: &mut S, value: T, _: &mut Failure) -> Out {
        (self.function)(state, value)
    }
}

/// What a scan does: how every key begins, and the function.
pub(crate) struct Scanning<S, F> {
    pub(crate) init: S,
    pub(crate) function: F,
}

/// Gives each record, with the state of its key, to a function that emits what it likes.
pub(crate) struct Scan<K, T, S, Out, F> {
    scanning: Arc<Scanning<S, F>>,
    state: ValueState<S>,
    types: PhantomData<fn(K, T) -> Out>,
}

impl<K, T, S, Out, F> Scan<K, T, S, Out, F>
where
    K: Key,
    S: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    /// For one instance.
    ///
    /// # Errors
    /// Where the states that a checkpoint kept cannot be read.
    pub(crate) fn open(scanning: Arc<Scanning<S, F>>, ctx: &mut OpenContext<'_, K>) -> Result<Self> {
        Ok(Scan { scanning, state: ctx.value(STATE)?, types: PhantomData })
    }
}

impl<K, T, S, Out, F> KeyedOperator for Scan<K, T, S, Out, F>
where
    K: Key,
    T: Send + 'static,
    S: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    Out: Send + 'static,
    F: Fn(&mut S, T, &mut Emitter<'_, Out>) + Send + Sync + 'static,
{
    type Key = K;
    type In = T;
    type Out = Out;

    #[inline]
    fn on_record(&mut self, record: T, ctx: &mut Context<'_, Self>) -> std::result::Result<(), BoxError> {
        let Scanning { init, function } = &*self.scanning;
        let state = ctx.state.get_or_insert_with(self.state, || init.clone());
        function(state, record, &mut ctx.out);
        Ok(())
    }
}
