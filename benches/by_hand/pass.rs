//! W1 `pass`: map, filter and map over batches of 1,024, one loop a step, into a wrapping sum.
//!
//! The yardstick is `pass`. `pass_retain` filters with the standard library's `retain`, whose branch is mispredicted; `pass_fused` is one
//! loop over single records, which no engine of separate steps can be: a bound.

use std::time::Instant;

use super::{BATCH, Outcome, batches, mix};

/// The first step.
#[inline]
pub fn scale(x: u64) -> u64 {
    x.wrapping_mul(31).wrapping_add(1)
}

/// The second step: what is kept.
#[inline]
pub fn keeps(x: u64) -> bool {
    !x.is_multiple_of(4)
}

/// The third step.
#[inline]
pub fn fold(x: u64) -> u64 {
    x ^ (x >> 7)
}

/// Each step a loop over the batch.
pub fn pass(n: u64) -> Outcome {
    pass_with(n, keep)
}

/// The same with `retain`.
pub fn pass_retain(n: u64) -> Outcome {
    pass_with(n, |batch| batch.retain(|x| keeps(*x)))
}

fn pass_with(n: u64, keep: impl Fn(&mut Vec<u64>)) -> Outcome {
    let start = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    let mut sum = 0_u64;
    for indices in batches(0, 1, n) {
        batch.clear();
        batch.extend(indices.map(mix));
        batch.iter_mut().for_each(|x| *x = scale(*x));
        keep(&mut batch);
        batch.iter_mut().for_each(|x| *x = fold(*x));
        sum = batch.iter().fold(sum, |sum, x| sum.wrapping_add(*x));
    }
    Outcome::since(start, sum, n)
}

/// Moves what is kept to the front without a branch: a quarter at random is dropped, which no branch predictor can learn.
fn keep(batch: &mut Vec<u64>) {
    let mut kept = 0;
    for at in 0..batch.len() {
        let x = batch[at];
        batch[kept] = x;
        kept += usize::from(keeps(x));
    }
    batch.truncate(kept);
}

/// All steps in one loop.
pub fn pass_fused(n: u64) -> Outcome {
    let start = Instant::now();
    let sum = (0..n).map(|i| scale(mix(i))).filter(|x| keeps(*x)).map(fold).fold(0, u64::wrapping_add);
    Outcome::since(start, sum, n)
}
