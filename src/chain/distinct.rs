//! The first record of each key.

use std::marker::PhantomData;

use crate::error::{BoxError, Result};
use crate::key::Key;
use crate::operator::{Context, KeyedOperator, OpenContext};
use crate::state::ValueState;

/// The name of the state that keeps which keys there were.
const SEEN: &str = "seen";

/// Lets the first record of each key through.
pub(crate) struct Distinct<K, T> {
    seen: ValueState<()>,
    types: PhantomData<fn(K, T)>,
}

impl<K: Key, T> Distinct<K, T> {
    /// For one instance.
    ///
    /// # Errors
    /// Where the keys that a checkpoint kept cannot be read.
    pub(crate) fn open(ctx: &mut OpenContext<'_, K>) -> Result<Self> {
        Ok(Distinct { seen: ctx.value(SEEN)?, types: PhantomData })
    }
}

impl<K: Key, T: Send + 'static> KeyedOperator for Distinct<K, T> {
    type Key = K;
    type In = T;
    type Out = (K, T);

    #[inline]
    fn on_record(&mut self, record: T, ctx: &mut Context<'_, Self>) -> std::result::Result<(), BoxError> {
        let mut first = false;
        ctx.state.get_or_insert_with(self.seen, || first = true);
        if first {
            ctx.out.emit((ctx.key().clone(), record));
        }
        Ok(())
    }
}
