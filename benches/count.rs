//! W2 `count`: a running count per key behind a hash exchange, by hand and by the engine.
//!
//!     cargo bench --bench count -- --p 1,2 --runs 5 --keys 10000000
//!
//! By the engine twice: with `.count()`, and with an operator that keeps the count in a `ValueState`.

mod by_hand;
mod engine;
mod harness;

use clap::Parser;
use harness::{Args, Case, interleave};
use tidegate::{BoxError, Context, KeyedOperator, OpenContext, ValueState};

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
            engines(case, n, args.keys);
        }
    }
}

fn engines(case: Case, n: u64, keys: u64) {
    let p = case.p;
    interleave(
        case,
        &mut [
            ("by-hand", &mut || by_hand::count(p, n, keys)),
            ("tidegate", &mut || count(p, n, keys)),
            ("tidegate-operator", &mut || count_by_operator(p, n, keys)),
        ],
    );
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

/// Counts as `.count()` does.
struct Counter {
    count: ValueState<u64>,
}

impl KeyedOperator for Counter {
    type Key = u64;
    type In = u64;
    type Out = (u64, u64);

    fn on_record(&mut self, _: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = *ctx.key();
        let count = ctx.state.get_or_insert_with(self.count, || 0);
        *count += 1;
        ctx.out.emit((key, *count));
        Ok(())
    }
}

fn count_by_operator(p: usize, n: u64, keys: u64) -> by_hand::Outcome {
    engine::run(p, n, |job, sum| {
        job.source(engine::SOURCE, engine::Made::new(p, n, move |i| (by_hand::count_key(i, keys), 1u64)))
            .key_with(|(key, one): (u64, u64)| (key, one))
            .process("counter", |ctx: &mut OpenContext<'_, u64>| Ok(Counter { count: ctx.value("count")? }))
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
