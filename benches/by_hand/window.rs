//! W3 `window`: a count per key and tumbling window of event time behind a hash exchange, emitted when the watermark passes.
//!
//! Each source sends its watermark with every batch; a counter goes by the lowest of its inputs. Few windows are open at any time, each
//! with a table of its own, so closing one is a walk over one table, and the table serves again.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Instant;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::exchange::{Inputs, Output, run};
use super::{BATCH, Outcome, batches, mix};

/// The length of a window.
pub const WINDOW_MS: i64 = 1_000;
/// How far behind the highest timestamp a record may come.
pub const DISORDER_MS: i64 = 51;

/// A key and its event time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    pub key: u64,
    pub ts_ms: i64,
}

/// The event of index `i`.
#[inline]
pub fn event(i: u64) -> Event {
    let x = mix(i);
    Event { key: x % 10_000, ts_ms: (i / 100 + 50 - (x >> 32) % 50) as i64 }
}

/// The sink's share of one window's count of one key.
#[inline]
pub fn closed(key: u64, window_end: i64, count: u64) -> u64 {
    key.wrapping_mul(31).wrapping_add((window_end as u64).wrapping_mul(17)).wrapping_add(count)
}

/// The yardstick: threads are faster at every parallelism.
pub fn window(p: usize, n: u64) -> Outcome {
    window_exchanged(p, n)
}

/// With `p` source and `p` counter threads.
pub fn window_exchanged(p: usize, n: u64) -> Outcome {
    let start = Instant::now();
    let counters = run(p, |s, output| source(s, p, n, output), tally);
    outcome(start, n, counters)
}

fn outcome(start: Instant, n: u64, counters: Vec<Windows>) -> Outcome {
    let sum = counters.iter().fold(0, |sum: u64, counter| sum.wrapping_add(counter.sum));
    let late = counters.iter().map(|counter| counter.late).sum();
    Outcome { late, ..Outcome::since(start, sum, n) }
}

/// On the calling thread alone.
pub fn window_inline(n: u64) -> Outcome {
    let start = Instant::now();
    let mut windows = Windows::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut highest = 0;
    for indices in batches(0, 1, n) {
        batch.clear();
        batch.extend(indices.map(event));
        windows.add(&batch);
        highest = batch.iter().fold(highest, |highest, event| highest.max(event.ts_ms));
        windows.advance(highest - DISORDER_MS - 1);
    }
    windows.advance(i64::MAX);
    outcome(start, n, vec![windows])
}

fn source(s: usize, p: usize, n: u64, mut output: Output<Event>) {
    let hasher = FixedState::default();
    let mut highest = 0;
    for indices in batches(s, p, n) {
        for event in indices.map(event) {
            highest = event.ts_ms.max(highest);
            output.push(hasher.hash_one(event.key), event, highest - DISORDER_MS - 1);
        }
    }
    output.finish(i64::MAX);
}

fn tally(inputs: Inputs<Event>) -> Windows {
    let mut windows = Windows::default();
    let mut watermarks = vec![i64::MIN; inputs.len()];
    inputs.for_each(|source, batch| {
        windows.add(batch.records());
        watermarks[source] = batch.watermark;
        windows.advance(watermarks.iter().copied().min().unwrap_or(i64::MAX));
    });
    windows
}

/// The counts of one window, of one counter.
type Counts = HashMap<u64, u64, FixedState>;

/// The open windows, oldest first and without gaps, and what the closed ones came to.
#[derive(Default)]
struct Windows {
    /// The number of the oldest open window; those before it are closed.
    first: i64,
    open: VecDeque<Counts>,
    spare: Vec<Counts>,
    sum: u64,
    late: u64,
}

impl Windows {
    fn add(&mut self, events: &[Event]) {
        for event in events {
            let Ok(at) = usize::try_from(event.ts_ms / WINDOW_MS - self.first) else {
                self.late += 1;
                continue;
            };
            while self.open.len() <= at {
                self.open.push_back(self.spare.pop().unwrap_or_default());
            }
            *self.open[at].entry(event.key).or_insert(0) += 1;
        }
    }

    /// Closes each window whose last millisecond the watermark has reached.
    fn advance(&mut self, watermark: i64) {
        while !self.open.is_empty() && (self.first + 1) * WINDOW_MS - 1 <= watermark {
            self.close_first();
        }
    }

    fn close_first(&mut self) {
        self.first += 1;
        let Some(mut counts) = self.open.pop_front() else { return };
        for (key, count) in counts.drain() {
            self.sum = self.sum.wrapping_add(closed(key, self.first * WINDOW_MS, count));
        }
        self.spare.push(counts);
    }
}
