//! The workloads written by hand: what a good engineer would write for this one job with threads, channels and hash maps.
//!
//! Each is the yardstick for the engine's run of the same workload in the same binary. The inputs are made inside the source from
//! the index alone, by the functions here, which both sides use, so that neither pays for input and both divide by the same constants.
//! Always holds: one call is one run, from before the first thread starts until the last sum is known; nothing survives it.
#![allow(dead_code, unused_imports, reason = "each bench runs one workload of these")]

mod count;
mod exchange;
mod pass;
mod window;
mod words;

pub use count::{One, count, count_exchanged, count_inline, count_key, emitted};
pub use pass::{fold, keeps, pass, pass_fused, pass_retain, scale};
pub use window::{DISORDER_MS, Event, WINDOW_MS, closed, event, window, window_exchanged, window_inline};
pub use words::{counted, words, words_exchanged, words_inline, words_of, words_reused};

use std::time::Instant;

/// Records made at a time, and records in a full batch on a channel.
pub const BATCH: usize = 1_024;

/// What one run of a workload did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// From the start of the job until its last record is in the sink.
    pub seconds: f64,
    /// The sink's wrapping sum, equal for every engine at the same input.
    pub checksum: u64,
    /// Records that the sources made, the unit of the rate.
    pub records: u64,
    /// Records that came after their window had closed; none in these workloads.
    pub late: u64,
}

impl Outcome {
    fn since(start: Instant, checksum: u64, records: u64) -> Self {
        Self { seconds: start.elapsed().as_secs_f64(), checksum, records, late: 0 }
    }
}

/// The splitmix64 finalizer of `i` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[inline]
pub fn mix(i: u64) -> u64 {
    let z = i.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The indices of source `s` of `p` below `n` (`s`, `s + p`, …), a batch at a time.
fn batches(s: usize, p: usize, n: u64) -> impl Iterator<Item = impl Iterator<Item = u64>> {
    let stride = (p * BATCH) as u64;
    (s as u64..n).step_by(p * BATCH).map(move |first| (first..n.min(first + stride)).step_by(p))
}
