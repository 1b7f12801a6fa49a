//! W3 `window`: a count per key and window of event time behind a hash exchange, by hand and by the engine.
//!
//!     cargo bench --bench window -- --p 1,2 --runs 5

mod by_hand;
mod engine;
mod harness;

use clap::Parser;
use harness::{Args, Case, compare, interleave};
use tidegate::{Timestamp, Tumbling, Watermarks, Windowed, millis};

/// Records, and the checksum that all engines come to at this number of them.
const AGREED: (u64, u64) = (20_000_000, 3_734_865_725_796);

fn main() {
    let args = Args::parse();
    let n = args.n.unwrap_or(AGREED.0);
    for &p in &args.p {
        let case = Case { workload: "window", p, runs: args.runs, checksum: (n == AGREED.0).then_some(AGREED.1) };
        if args.variants {
            variants(case, n);
        } else {
            compare(case, || by_hand::window(p, n), || window(p, n));
        }
    }
}

/// Watermarks go out about as often as those by hand: there, one goes with every batch of 1,024 records, which is 10 ms of event time.
fn window(p: usize, n: u64) -> by_hand::Outcome {
    let watermarks = Watermarks::bounded(millis(by_hand::DISORDER_MS as u64))
        .on(|event: &by_hand::Event| Timestamp::from_millis(event.ts_ms))
        .step(millis(10));
    engine::run(p, n, |job, sum| {
        job.source(engine::SOURCE, engine::Made::new(p, n, by_hand::event))
            .watermarks(watermarks)
            .key_with(|event| (event.key, ()))
            .window(Tumbling::of(millis(by_hand::WINDOW_MS as u64)))
            .count()
            .sink("sum", engine::Sum::new(sum, closed));
        job
    })
}

fn closed(result: &Windowed<u64, u64>) -> u64 {
    by_hand::closed(result.key, result.window.end.millis(), result.value)
}

fn variants(case: Case, n: u64) {
    let p = case.p;
    interleave(
        case,
        &mut [
            ("by-hand-exchange", &mut || by_hand::window_exchanged(p, n)),
            ("by-hand-inline", &mut || by_hand::window_inline(n)),
        ],
    );
}
