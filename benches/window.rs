//! W3 `window`: a count per key and window of event time behind a hash exchange, by hand and by the engine.
//!
//!     cargo bench --bench window -- --p 1,2 --runs 5

mod by_hand;
mod harness;

use clap::Parser;
use harness::{Args, Case, alone, interleave};

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
            // The engine's run is the second argument of `harness::compare`, which takes the place of `alone`.
            alone(case, || by_hand::window(p, n));
        }
    }
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
