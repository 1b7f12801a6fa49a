//! One accumulator for each key; every record updates it and emits what it now says.

use std::marker::PhantomData;
use std::sync::Arc;

use super::steps::{Outs, Stepwise};
use crate::error::BoxError;
use crate::frame::Keyed;
use crate::ids::Uid;
use crate::operator::{Cx, OpId, OperatorPart, Signal};
use crate::state::{FoldTable, StateView};
use crate::time::Timestamp;

/// How a record updates an accumulator, and what is emitted then. Inlined into the loop over a batch.
pub(crate) trait Folding: Send + Sync + 'static {
    /// What comes in.
    type In: Send + 'static;
    /// What is kept for a key.
    type Acc: Clone + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static;
    /// What goes out with the key.
    type Out: Send + 'static;

    /// Updates the accumulator of the record's key, `None` before its first record.
    fn fold(&self, acc: &mut Option<Self::Acc>, value: Self::In) -> Self::Out;
}
