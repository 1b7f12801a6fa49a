//! What an operator can be asked by the service that its job runs in, and what it sees then.
//!
//! Always: a question changes nothing: the operator is there behind a shared reference, and so is the state of the key. Called by the
//! engine between two records, on the task's thread.

use std::fmt;

use super::keyed::KeyedOperator;
use crate::error::BoxError;
use crate::state::AskedState;
use crate::time::Timestamp;

/// A keyed operator that answers questions of type `A` from the service: see [`JobHandle::ask`](crate::JobHandle::ask), which has an
/// example.
///
/// It is a trait of its own, so that an operator that is asked nothing has nothing to say about it, and one that is asked several
/// things implements it once for each of them, each with a reply of its own type.
#[diagnostic::on_unimplemented(
    message = "the operator `{Self}` does not answer questions of type `{A}`",
    label = "implement `Answers<{A}>` for it"
)]
pub trait Answers<A>: KeyedOperator {
    /// What the service gets.
    type Reply: Send + 'static;

    /// Answers a question about a key. It is called between two records, on the operator's thread, and records wait meanwhile: so it
    /// should be as short as `on_record` is. What it sees is the state of the running attempt, of which nothing needs to be in a
    /// checkpoint yet.
    ///
    /// # Errors
    /// An error goes to whoever asks, and has no other effect. A panic fails the operator's region, as in any callback.
    fn on_message(&self, ask: A, ctx: &AskContext<'_, Self>) -> Result<Self::Reply, BoxError>;
}

/// What [`Answers::on_message`] of an operator is handed: the state of the key that it is asked about, to be read.
///
/// ```
/// # use tidegate::{Answers, AskContext, BoxError, Context, KeyedOperator, ValueState};
/// # struct Totals { total: ValueState<u64> }
/// # impl KeyedOperator for Totals {
/// #   type Key = String;
/// #   type In = u64;
/// #   type Out = u64;
/// #   fn on_record(&mut self, _: u64, _: &mut Context<'_, Self>) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # struct Total;
/// # impl Answers<Total> for Totals {
/// #   type Reply = u64;
/// fn on_message(&self, _: Total, ctx: &AskContext<'_, Self>) -> Result<u64, BoxError> {
///     Ok(ctx.state.get(self.total).copied().unwrap_or(0))
/// }
/// # }
/// ```
///
/// Nothing can be written:
///
/// ```compile_fail,E0599
/// # use tidegate::{Answers, AskContext, BoxError, Context, KeyedOperator, ValueState};
/// # struct Totals { total: ValueState<u64> }
/// # impl KeyedOperator for Totals {
/// #   type Key = String;
/// #   type In = u64;
/// #   type Out = u64;
/// #   fn on_record(&mut self, _: u64, _: &mut Context<'_, Self>) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # struct Reset;
/// # impl Answers<Reset> for Totals {
/// #   type Reply = ();
/// fn on_message(&self, _: Reset, ctx: &AskContext<'_, Self>) -> Result<(), BoxError> {
///     ctx.state.set(self.total, 0);
///     Ok(())
/// }
/// # }
/// ```
pub struct AskContext<'a, O: KeyedOperator> {
    /// The state of the key.
    pub state: AskedState<'a, O::Key>,
    watermark: Timestamp,
}

impl<'a, O: KeyedOperator> AskContext<'a, O> {
    /// For one question.
    pub(crate) fn new(state: AskedState<'a, O::Key>, watermark: Timestamp) -> Self {
        AskContext { state, watermark }
    }

    /// The key that is asked about. It need not be one of which any record came.
    pub fn key(&self) -> &'a O::Key {
        self.state.key()
    }

    /// The watermark up to which the operator has done everything. None before the first one.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark.is_some().then_some(self.watermark)
    }
}

impl<O: KeyedOperator> fmt::Debug for AskContext<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskContext").field("state", &self.state).field("watermark", &self.watermark).finish()
    }
}
