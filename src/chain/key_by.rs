//! Gives each record its key and the key's hash, a whole batch at once.

use std::sync::Arc;

use crate::frame::{Batch, Keyed};
use crate::key::{Key, KeyHasher};
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, Signal, Stage};

/// In front of a keyed exchange.
pub(crate) struct KeyBy<F, K, T> {
    operator: OpId,
    key_of: Arc<F>,
    hasher: KeyHasher,
    scratch: Vec<u8>,
    stage: Stage<Keyed<K, T>>,
}

impl<F, K, T> KeyBy<F, K, T> {
    /// In front of `next`.
    pub(crate) fn new(operator: OpId, key_of: Arc<F>, hasher: KeyHasher, next: Next<Keyed<K, T>>) -> Self {
        KeyBy { operator, key_of, hasher, scratch: Vec::new(), stage: Stage::new(next) }
    }
}

impl<F, K, T> Link<T> for KeyBy<F, K, T>
where
    K: Key,
    T: Send + 'static,
    F: Fn(&T) -> K + Send + Sync,
{
    fn push(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.stage.deliver(cx)? == Flow::Full {
            return Ok(Flow::Full);
        }
        cx.enter(self.operator, "key_by");
        let out = &mut self.stage.out;
        out.values.reserve(batch.len());
        for value in batch.values.drain(..) {
            let key = (self.key_of)(&value);
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
