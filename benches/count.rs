//! W2 `count`: a running count per key behind a hash exchange, by hand and by the engine.
//!
//!     cargo bench --bench count -- --p 1,2 --runs 5 --keys 10000000

mod by_hand;
mod engine;
mod harness;

use clap::Parser;
use harness::{Args, Case, compare, interleave};

/// Records, and the checksum that all engines come to at this number of them and a million keys.
const AGREED: (u64, u64) = (20_000_000, 310_127_995_245_733);

fn main() {
    let args = Args::parse();
    let n = args.n.unwrap_or(AGREED.0);
    let agreed = n == AGREED.0 && args.keys == 1_000_000;
    for &p in &args.p {
        let case = Case { workload: "count", p, runs: args.runs, checksum: agreed.then_some(AGREED.1) };
        if args.variants {
            variants(case, n, args.keys);
        } else {
            compare(case, || by_hand::count(p, n, args.keys), || count(p, n, args.keys));
        }
    }
}

fn count(p: usize, n: u64, keys: u64) -> by_hand::Outcome {
    engine::run(p, n, |job, sum| {
        job.source(engine::SOURCE, engine::Made::new(p, n, move |i| (by_hand::count_key(i, keys), 1u64)))
            .key_with(|(key, one): (u64, u64)| (key, one))
            .count()
            .sink("sum", engine::Sum::new(sum, |(key, count): &(u64, u64)| by_hand::emitted(*key, *count)));
        job
    })
}

fn variants(case: Case, n: u64, keys: u64) {
    let p = case.p;
    interleave(
        case,
        &mut [
            ("by-hand-exchange", &mut || by_hand::count_exchanged(p, n, keys)),
            ("by-hand-inline", &mut || by_hand::count_inline(n, keys)),
        ],
    );
}
