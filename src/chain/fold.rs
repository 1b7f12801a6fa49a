//! One accumulator for each key; every record updates it and emits what it now says.
//!
//! Always: one record in, one out, so timestamps and marks stay in place and a whole batch is folded in one tight loop, in which
//! the memory latencies of different keys overlap. An accumulator is found by one look-up, its key cloned only at its first record.

use std::ops::Range;
use std::sync::Arc;

use crate::config::PIECES_PER_COPY;
use crate::error::Result;
use crate::frame::{Batch, Keyed};
use crate::ids::Uid;
use crate::key::{Key, KeyGroups};
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, OperatorPart, Signal, Stage};
use crate::state::{Hint, Kept, KeyHasher, KeyedState, KeyedTable, RestoredStates, StateDescriptor, StateKind, read_table};

/// The name of the state that keeps the accumulators.
pub(crate) const ACCUMULATORS: &str = "accumulators";

/// Records whose keys are hinted at together: their tags and the beginnings of their entries fit the first-level cache.
const HINTED: usize = 256;

/// Records that are folded at a time while a view shares the table: each may copy a segment, and a step stops soon after it has
/// copied enough.
const PIECE: usize = 8;
/// Pieces in a row that copy nothing after which so little is left to be copied that whole batches are folded again.
const QUIET_PIECES: usize = 32;

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
    /// A view was taken, and writes copy what it shares, until so many more pieces in a row have copied nothing.
    copying: usize,
    /// Scratch: where the keys of a piece may be.
    hints: Vec<Hint>,
    /// Scratch: the records that are folded at a time meanwhile.
    piece: Batch<Keyed<K, F::In>>,
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
        let (found, kept) = restored.take(ACCUMULATORS).unwrap_or_else(|| (descriptor.clone(), Kept::NOTHING));
        found.expect(&descriptor)?;
        let table = read_table(ACCUMULATORS, kept, groups, owned.clone(), &hasher)?;
        let carried = KeyedState::new(groups, owned, hasher, restored);
        Ok(Fold {
            operator,
            uid,
            folding,
            descriptor,
            table,
            carried,
            stage: Stage::new(next),
            copying: 0,
            hints: Vec::new(),
            piece: Batch::new(),
        })
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        let mut views = self.carried.view();
        views.push(Arc::new(self.table.view().described(self.descriptor.clone())));
        cx.parts.push(OperatorPart { uid: self.uid.clone(), views, prepare: None });
    }
}

impl<K: Key, F: Folding> Fold<K, F> {
    /// Folds what is in `batch` into the output.
    fn fold_all(&mut self, batch: &mut Batch<Keyed<K, F::In>>) {
        if self.table.is_large() {
            self.fold_hinted(&mut batch.values);
        } else {
            let (table, folding) = (&mut self.table, &*self.folding);
            self.stage.out.values.extend(batch.values.drain(..).map(|Keyed { hash, key, value }| {
                let emitted = fold(table, folding, (hash, &key), value);
                (key, emitted)
            }));
        }
        let out = &mut self.stage.out;
        std::mem::swap(&mut out.times, &mut batch.times);
        std::mem::swap(&mut out.marks, &mut batch.marks);
    }

    /// Folds into a table that is not in the cache: first a look at where the keys of a piece may be, then the entries.
    fn fold_hinted(&mut self, values: &mut Vec<Keyed<K, F::In>>) {
        let (table, folding, out) = (&mut self.table, &*self.folding, &mut self.stage.out);
        let mut records = values.drain(..);
        while records.len() > 0 {
            self.hints.clear();
            self.hints.extend(records.as_slice().iter().take(HINTED).map(|record| table.hint(record.hash)));
            let hinted = self.hints.iter().zip(records.by_ref());
            out.values.extend(hinted.map(|(hint, Keyed { hash, key, value })| {
                let emitted = match table.hinted_mut(*hint, &key) {
                    Some(acc) => {
                        folding.add(acc, value);
                        folding.out(acc)
                    }
                    None => fold_sought(table, folding, (hash, &key), value),
                };
                (key, emitted)
            }));
        }
    }

    /// Folds a batch, or, while a view shares the table, a piece of it; false where the step has copied enough of the table.
    fn fold_some(&mut self, batch: &mut Batch<Keyed<K, F::In>>, cx: &mut Cx) -> bool {
        if self.copying == 0 {
            self.fold_all(batch);
            return true;
        }
        let mut piece = std::mem::take(&mut self.piece);
        batch.split_front(PIECE, &mut piece);
        let before = self.table.copies();
        self.fold_all(&mut piece);
        piece.clear();
        self.piece = piece;
        let copied = self.table.copies() - before;
        self.copying = if copied == 0 { self.copying - 1 } else { QUIET_PIECES };
        cx.spend(i32::try_from(copied).unwrap_or(i32::MAX).saturating_mul(PIECES_PER_COPY))
    }
}

impl<K: Key, F: Folding> Link<Keyed<K, F::In>> for Fold<K, F>
where
    F::Out: Send + 'static,
{
    fn push(&mut self, batch: &mut Batch<Keyed<K, F::In>>, cx: &mut Cx) -> std::result::Result<Flow, Halt> {
        loop {
            if self.stage.deliver(cx)? == Flow::Full {
                return Ok(Flow::Full);
            }
            if batch.is_empty() {
                return Ok(Flow::Drained);
            }
            cx.enter(self.operator, "fold");
            if !self.fold_some(batch, cx) {
                return Ok(Flow::Full);
            }
        }
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> std::result::Result<Flow, Halt> {
        if let Signal::Snapshot(_) = signal {
            self.snapshot(cx);
            self.copying = QUIET_PIECES;
        }
        self.stage.signal(signal, cx)
    }
}

/// Folds one record.
#[inline]
fn fold<K: Key, F: Folding>(table: &mut KeyedTable<K, F::Acc>, folding: &F, (hash, key): (u64, &K), value: F::In) -> F::Out {
    if let Some(acc) = table.get_mut(hash, key) {
        folding.add(acc, value);
        return folding.out(acc);
    }
    fold_sought(table, folding, (hash, key), value)
}

/// The same for a record whose key is probably new, out of the way of the loop.
#[inline(never)]
fn fold_sought<K: Key, F: Folding>(
    table: &mut KeyedTable<K, F::Acc>,
    folding: &F,
    (hash, key): (u64, &K),
    value: F::In,
) -> F::Out {
    let mut value = Some(value);
    let acc = table.get_or_insert_with(hash, key, || folding.first(value.take().expect("made once")));
    if let Some(value) = value {
        folding.add(acc, value);
    }
    folding.out(acc)
}
