//! One accumulator for each key; every record updates it and emits what it now says.
//!
//! Always: one record in, one out, so timestamps and marks stay in place and a whole batch is folded in one tight loop, in which
//! the memory latencies of different keys overlap. An accumulator is found by one look-up, its key cloned only at its first record.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::frame::{Batch, Keyed};
use crate::ids::Uid;
use crate::key::{Key, KeyGroups};
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, OperatorPart, Signal, Stage};
use crate::state::{KeyHasher, KeyedState, KeyedTable, RestoredStates, StateDescriptor, StateKind, read_table};

/// The name of the state that keeps the accumulators.
const ACCUMULATORS: &str = "accumulators";

/// Records whose accumulators are looked for at once, before the first of them is folded: their memory latencies overlap. Enough to
/// keep all of a core's outstanding loads busy, few enough that what was loaded is still in the first-level cache.
const WARMED: usize = 64;

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
    stage: Stage<(K, F::Out)>,
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
        next: Next<(K, F::Out)>,
    ) -> Result<Self> {
        let descriptor = StateDescriptor { name: ACCUMULATORS.into(), kind: StateKind::Value, version: 1 };
        let (found, blocks) = restored.take(ACCUMULATORS).unwrap_or_else(|| (descriptor.clone(), Vec::new()));
        found.expect(&descriptor)?;
        let table = read_table(ACCUMULATORS, blocks, groups, owned.clone(), &hasher)?;
        let carried = KeyedState::new(groups, owned, hasher, restored);
        Ok(Fold { operator, uid, folding, descriptor, table, carried, stage: Stage::new(next) })
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        let mut views = self.carried.view();
        views.push(Arc::new(self.table.view().described(self.descriptor.clone())));
        cx.parts.push(OperatorPart { uid: self.uid.clone(), views, prepare: None });
    }
}

impl<K: Key, F: Folding> Link<Keyed<K, F::In>> for Fold<K, F>
where
    F::Out: Send + 'static,
{
    fn push(&mut self, batch: &mut Batch<Keyed<K, F::In>>, cx: &mut Cx) -> std::result::Result<Flow, Halt> {
        if self.stage.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        cx.enter(self.operator, "fold");
        let (table, folding, out) = (&mut self.table, &*self.folding, &mut self.stage.out);
        out.values.reserve(batch.len());
        let mut records = batch.values.drain(..);
        while !records.as_slice().is_empty() {
            table.warm(records.as_slice().iter().take(WARMED).map(|record| (record.hash, &record.key)));
            for Keyed { hash, key, value } in records.by_ref().take(WARMED) {
                let emitted = fold(table, folding, hash, &key, value);
                out.values.push((key, emitted));
            }
        }
        drop(records);
        std::mem::swap(&mut out.times, &mut batch.times);
        std::mem::swap(&mut out.marks, &mut batch.marks);
        self.stage.deliver(cx)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> std::result::Result<Flow, Halt> {
        if let Signal::Snapshot(_) = signal {
            self.snapshot(cx);
        }
        self.stage.signal(signal, cx)
    }
}

/// Folds one record.
#[inline]
fn fold<K: Key, F: Folding>(table: &mut KeyedTable<K, F::Acc>, folding: &F, hash: u64, key: &K, value: F::In) -> F::Out {
    if let Some(acc) = table.get_mut(hash, key) {
        folding.add(acc, value);
        return folding.out(acc);
    }
    folding.out(table.get_or_insert_with(hash, key, || folding.first(value)))
}
