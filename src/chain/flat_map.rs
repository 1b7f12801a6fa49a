//! One record in, any number out; and what becomes of a record for which the function fails.
//!
//! The iterator that a record is turned into is kept while the output is full, so an endless one overruns no bound.

use std::sync::Arc;

use super::steps::{Outs, Stepwise};
use crate::error::{BoxError, chain_text};
use crate::ids::Uid;
use crate::operator::{Cx, OpId, OperatorPart, Side, Signal};
use crate::state::Counted;
use crate::time::Timestamp;

/// A record that an operator could not handle, on its way to a side output.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeadLetter<T> {
    /// The record.
    pub record: T,
    /// The operator that failed.
    pub operator: String,
    /// The error's text.
    pub error: String,
}

/// What becomes of a record for which a function fails.
#[derive(Debug)]
pub(crate) enum Poison<T> {
    /// The region fails.
    Fail,
    /// It is counted and dropped.
    Skip,
    /// It goes to a side output.
    Dead(Side<DeadLetter<T>>, Arc<str>),
}

/// Turns each record into an iterator, by a function that may fail and then hands the record back.
pub(crate) struct FlatMap<F, In, I: IntoIterator> {
    operator: OpId,
    uid: Uid,
    function: Arc<F>,
    poison: Poison<In>,
    skipped: Counted,
    /// What is left of the last record, and its timestamp.
    current: Option<(I::IntoIter, Timestamp)>,
}

impl<F, In, I: IntoIterator> FlatMap<F, In, I> {
    /// `skipped` counts the records that the policy drops.
    pub(crate) fn new((operator, uid): (OpId, Uid), function: Arc<F>, poison: Poison<In>, skipped: Counted) -> Self {
        FlatMap { operator, uid, function, poison, skipped, current: None }
    }
}

impl<F, In, I> FlatMap<F, In, I>
where
    In: Send + 'static,
    I: IntoIterator,
{
    #[cold]
    fn reject(&mut self, record: In, error: BoxError, time: Timestamp, outs: &mut Outs<I::Item>) -> Result<(), BoxError> {
        match &self.poison {
            Poison::Fail => return Err(error),
            Poison::Skip => self.skipped.one(),
            Poison::Dead(side, operator) => {
                let letter = DeadLetter { record, operator: operator.to_string(), error: chain_text(&*error) };
                outs.sides.push(*side, letter, time);
            }
        }
        Ok(())
    }
}

impl<F, In, I> Stepwise for FlatMap<F, In, I>
where
    In: Send + 'static,
    I: IntoIterator,
    I::Item: Send + 'static,
    I::IntoIter: Send,
    F: Fn(In) -> Result<I, (In, BoxError)> + Send + Sync,
{
    type In = In;
    type Out = I::Item;

    #[inline]
    fn record(&mut self, value: In, time: Timestamp, outs: &mut Outs<I::Item>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.operator, "flat_map");
        match (self.function)(value) {
            Ok(made) => self.current = Some((made.into_iter(), time)),
            Err((record, error)) => self.reject(record, error, time, outs)?,
        }
        Ok(())
    }

    #[inline]
    fn rest(&mut self, outs: &mut Outs<I::Item>, _: &mut Cx) -> Result<bool, BoxError> {
        let Some((made, time)) = &mut self.current else { return Ok(true) };
        for value in made.by_ref() {
            outs.main.push(value, *time);
            if outs.main_is_full() {
                return Ok(false);
            }
        }
        self.current = None;
        Ok(true)
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        if let (Signal::Snapshot(_), Some(skipped)) = (signal, self.skipped.view()) {
            cx.parts.push(OperatorPart { uid: self.uid.clone(), views: vec![skipped], prepare: None });
        }
        Ok(())
    }
}
