//! W2 `count`: a running count per key behind a hash exchange, every update emitted into a wrapping sum.
//!
//! At P=1 one thread does both sides, which is a little faster than a second thread: the table's cache misses are nearly all of the time.
//! Either way the keys of a batch are made first and then applied, so that those misses overlap.

use std::hash::BuildHasher;
use std::time::Instant;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::exchange::{Inputs, Output, run};
use super::{BATCH, Outcome, batches, mix};

/// A key and the one that it counts.
pub type One = (u64, u64);

/// The key of index `i`; the division is by a constant for the usual numbers of keys.
#[inline]
pub fn count_key(i: u64, keys: u64) -> u64 {
    match keys {
        1_000_000 => mix(i) % 1_000_000,
        10_000_000 => mix(i) % 10_000_000,
        _ => mix(i) % keys,
    }
}

/// The sink's share of one update.
#[inline]
pub fn emitted(key: u64, count: u64) -> u64 {
    key.wrapping_mul(31).wrapping_add(count)
}

/// The yardstick: the faster of the two at this parallelism.
pub fn count(p: usize, n: u64, keys: u64) -> Outcome {
    if p == 1 { count_inline(n, keys) } else { count_exchanged(p, n, keys) }
}

/// With `p` source and `p` counter threads.
pub fn count_exchanged(p: usize, n: u64, keys: u64) -> Outcome {
    let start = Instant::now();
    let sums = run(p, |s, output| source(s, p, n, keys, output), tally);
    Outcome::since(start, sums.into_iter().fold(0, u64::wrapping_add), n)
}

fn source(s: usize, p: usize, n: u64, keys: u64, mut output: Output<One>) {
    let hasher = FixedState::default();
    for indices in batches(s, p, n) {
        for i in indices {
            let key = count_key(i, keys);
            output.push(hasher.hash_one(key), (key, 1), i64::MIN);
        }
    }
    output.finish(i64::MAX);
}

fn tally(inputs: Inputs<One>) -> u64 {
    let mut counts = Counts::default();
    inputs.for_each(|_, batch| counts.add(batch.records()));
    counts.sum
}

/// On the calling thread alone.
pub fn count_inline(n: u64, keys: u64) -> Outcome {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut batch = Vec::with_capacity(BATCH);
    for indices in batches(0, 1, n) {
        batch.clear();
        batch.extend(indices.map(|i| (count_key(i, keys), 1)));
        counts.add(&batch);
    }
    Outcome::since(start, counts.sum, n)
}

/// The count of each key, and the sum of what was emitted.
#[derive(Default)]
struct Counts {
    by_key: HashMap<u64, u64, FixedState>,
    sum: u64,
}

impl Counts {
    fn add(&mut self, batch: &[One]) {
        for &(key, one) in batch {
            let count = self.by_key.entry(key).or_insert(0);
            *count += one;
            self.sum = self.sum.wrapping_add(emitted(key, *count));
        }
    }
}
