//! Takes each record apart into its key and what else there is of it, and adds the key's hash, a whole batch at once.

use std::sync::Arc;

use crate::frame::{Batch, Keyed};
use crate::key::{Key, KeyHasher};
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, Signal, Stage};

/// In front of a keyed exchange.
pub(crate) struct KeyBy<F, K, V> {
    operator: OpId,
    parts_of: Arc<F>,
    hasher: KeyHasher,
    scratch: Vec<u8>,
    stage: Stage<Keyed<K, V>>,
}

impl<F, K, V> KeyBy<F, K, V> {
    /// In front of `next`.
    pub(crate) fn new(operator: OpId, parts_of: Arc<F>, hasher: KeyHasher, next: Next<Keyed<K, V>>) -> Self {
        KeyBy { operator, parts_of, hasher, scratch: Vec::new(), stage: Stage::new(next) }
    }
}

impl<F, K, T, V> Link<T> for KeyBy<F, K, V>
where
    K: Key,
    V: Send + 'static,
    F: Fn(T) -> (K, V) + Send + Sync,
{
    fn push(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.stage.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        cx.enter(self.operator, "key_by");
        let out = &mut self.stage.out;
        out.values.reserve(batch.len());
        for record in batch.values.drain(..) {
            let (key, value) = (self.parts_of)(record);
            let hash = self.hasher.hash(&key, &mut self.scratch)?;
            out.values.push(Keyed { hash, key, value });
        }
        std::mem::swap(&mut out.times, &mut batch.times);
        std::mem::swap(&mut out.marks, &mut batch.marks);
        self.stage.deliver(cx)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.stage.signal(signal, cx)
    }
}
