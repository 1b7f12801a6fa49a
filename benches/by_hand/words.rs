//! W4 `words`: a running count per word behind a hash exchange; a word is an owned string, allocated for that word.
//!
//! With threads, a word's hash is made once and travels with it, and strings are freed by the source that allocated them. `words_reused` writes each
//! word into the memory of an old one instead, so it allocates nothing a word: a bound, which no flow of owned strings can reach.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Outcome;
use super::exchange::{Inputs, Output, run};

/// A word and its hash.
type Hashed = (u64, String);

/// The words of the lines `s`, `s + p`, … of a text.
pub fn words_of(text: &str, s: usize, p: usize) -> impl Iterator<Item = &str> {
    text.split('\n').skip(s).step_by(p).flat_map(str::split_ascii_whitespace)
}

/// The sink's share of one update.
#[inline]
pub fn counted(word: &str, count: u64) -> u64 {
    (word.len() as u64).wrapping_mul(31).wrapping_add(count)
}

/// The yardstick: threads are faster at every parallelism.
pub fn words(p: usize, text: &Arc<str>) -> Outcome {
    words_exchanged(p, text)
}

/// With `p` source and `p` counter threads.
pub fn words_exchanged(p: usize, text: &Arc<str>) -> Outcome {
    let start = Instant::now();
    outcome(start, run(p, |s, output| source(s, p, text, output), tally))
}

/// With threads, and strings that serve again.
pub fn words_reused(p: usize, text: &Arc<str>) -> Outcome {
    let start = Instant::now();
    outcome(start, run(p, |s, output| reusing_source(s, p, text, output), tally))
}

/// On the calling thread alone.
pub fn words_inline(text: &Arc<str>) -> Outcome {
    let start = Instant::now();
    let hasher = FixedState::default();
    let mut counts = Counts::default();
    for word in words_of(text, 0, 1) {
        let word = word.to_owned();
        counts.add(hasher.hash_one(word.as_str()), &word);
    }
    outcome(start, vec![counts])
}

fn outcome(start: Instant, counters: Vec<Counts>) -> Outcome {
    let sum = counters.iter().fold(0, |sum: u64, counter| sum.wrapping_add(counter.sum));
    Outcome::since(start, sum, counters.iter().map(|counter| counter.records).sum())
}

fn source(s: usize, p: usize, text: &str, mut output: Output<Hashed>) {
    let hasher = FixedState::default();
    for word in words_of(text, s, p) {
        let hash = hasher.hash_one(word);
        output.push(hash, (hash, word.to_owned()), i64::MIN);
    }
    output.finish(i64::MAX);
}

fn reusing_source(s: usize, p: usize, text: &str, mut output: Output<Hashed>) {
    let hasher = FixedState::default();
    for word in words_of(text, s, p) {
        let hash = hasher.hash_one(word);
        output.write(hash, i64::MIN, |(old_hash, old)| {
            *old_hash = hash;
            old.clear();
            old.push_str(word);
        });
    }
    output.finish(i64::MAX);
}

fn tally(inputs: Inputs<Hashed>) -> Counts {
    let mut counts = Counts::default();
    inputs.for_each(|_, batch| {
        for (hash, word) in batch.records() {
            counts.add(*hash, word);
        }
    });
    counts
}

/// The count of each word, the sum of what was emitted, and how much that was.
#[derive(Default)]
struct Counts {
    by_word: HashTable<(String, u64)>,
    hasher: FixedState,
    sum: u64,
    records: u64,
}

impl Counts {
    #[inline]
    fn add(&mut self, hash: u64, word: &str) {
        let Self { by_word, hasher, .. } = self;
        let entry = match by_word.entry(hash, |(known, _)| known == word, |(known, _)| hasher.hash_one(known.as_str())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((word.to_owned(), 0)).into_mut(),
        };
        entry.1 += 1;
        self.sum = self.sum.wrapping_add(counted(word, entry.1));
        self.records += 1;
    }
}
