//! One accumulator for each key; every record updates it and emits what it now says.
//!
//! Always: an accumulator is found by one look-up a record, and its key is cloned only at its first record.

use std::ops::Range;
use std::sync::Arc;

use super::steps::{Outs, Stepwise};
use crate::error::{BoxError, Result};
use crate::frame::Keyed;
use crate::ids::Uid;
use crate::key::{Key, KeyGroups};
use crate::operator::{Cx, OpId, OperatorPart, Signal};
use crate::state::{KeyHasher, KeyedState, KeyedTable, RestoredStates, StateDescriptor, StateKind, read_table};
use crate::time::Timestamp;

/// The name of the state that keeps the accumulators.
const ACCUMULATORS: &str = "accumulators";

/// How a record becomes or updates an accumulator, and what is emitted then. Inlined into the loop over a batch.
pub(crate) trait Folding: Send + Sync + 'static {
    /// What comes in.
    type In: Send + 'static;
    /// What is kept for a key.
    type Acc: Clone + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static;
    /// What goes out with the key.
    type Out: Send + 'static;

    /// The accumulator of a key's first record.
    fn first(&self, value: Self::In) -> Self::Acc;

    /// Adds a record to what is there.
    fn add(&self, acc: &mut Self::Acc, value: Self::In);

    /// What to emit.
    fn out(&self, acc: &Self::Acc) -> Self::Out;
}

/// Keeps a folding's accumulators.
pub(crate) struct Fold<K, F: Folding> {
    operator: OpId,
    uid: Uid,
    folding: Arc<F>,
    descriptor: StateDescriptor,
    table: KeyedTable<K, F::Acc>,
    /// What a checkpoint kept under other names, kept on.
    carried: KeyedState<K>,
}

impl<K: Key, F: Folding> Fold<K, F> {
    /// With the state that a checkpoint kept, if any.
    ///
    /// # Errors
    /// Where it can't be read.
    pub(crate) fn open(
        operator: OpId,
        uid: Uid,
        folding: Arc<F>,
        (groups, owned, hasher): (KeyGroups, Range<u16>, KeyHasher<K>),
        mut restored: RestoredStates,
    ) -> Result<Self> {
        let descriptor = StateDescriptor { name: ACCUMULATORS.into(), kind: StateKind::Value, version: 1 };
        let (found, blocks) = restored.take(ACCUMULATORS).unwrap_or_else(|| (descriptor.clone(), Vec::new()));
        found.expect(&descriptor)?;
        let table = read_table(ACCUMULATORS, blocks, groups, owned.clone(), &hasher)?;
        Ok(Fold { operator, uid, folding, descriptor, table, carried: KeyedState::new(groups, owned, hasher, restored) })
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        let mut views = self.carried.view();
        views.push(Arc::new(self.table.view().described(self.descriptor.clone())));
        cx.parts.push(OperatorPart { uid: self.uid.clone(), views, prepare: None });
    }
}

impl<K: Key, F: Folding> Stepwise for Fold<K, F> {
    type In = Keyed<K, F::In>;
    type Out = (K, F::Out);

    #[inline]
    fn record(&mut self, record: Keyed<K, F::In>, time: Timestamp, outs: &mut Outs<(K, F::Out)>, cx: &mut Cx) -> Result<(), BoxError> {
        cx.enter(self.operator, "fold");
        let Keyed { hash, key, value } = record;
        let mut value = Some(value);
        let folding = &*self.folding;
        let acc = self.table.get_or_insert_with(hash, &key, || folding.first(value.take().expect("taken once")));
        if let Some(value) = value {
            folding.add(acc, value);
        }
        let out = folding.out(acc);
        outs.main.push((key, out), time);
        Ok(())
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        if let Signal::Snapshot(_) = signal {
            self.snapshot(cx);
        }
        Ok(())
    }
}
