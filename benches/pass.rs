//! W1 `pass`: map, filter, map, by hand and by the engine; one source, so `--p` is not looked at.
//!
//!     cargo bench --bench pass -- --runs 5

mod by_hand;
mod engine;
mod harness;

use clap::Parser;
use harness::{Args, Case, compare, interleave};

/// Records, and the checksum that all engines come to at this number of them.
const AGREED: (u64, u64) = (50_000_000, 7_410_554_046_003_852_508);

fn main() {
    let args = Args::parse();
    let n = args.n.unwrap_or(AGREED.0);
    let case = Case { workload: "pass", p: 1, runs: args.runs, checksum: (n == AGREED.0).then_some(AGREED.1) };
    if args.variants {
        variants(case, n);
    } else {
        compare(case, || by_hand::pass(n), || pass(n));
    }
}

fn pass(n: u64) -> by_hand::Outcome {
    engine::run(1, n, |job, sum| {
        job.source(engine::SOURCE, engine::Made::new(1, n, by_hand::mix))
            .map(by_hand::scale)
            .filter(|x| by_hand::keeps(*x))
            .map(by_hand::fold)
            .sink("sum", engine::Sum::new(sum, |x: &u64| *x));
        job
    })
}

fn variants(case: Case, n: u64) {
    interleave(
        case,
        &mut [
            ("by-hand", &mut || by_hand::pass(n)),
            ("by-hand-retain", &mut || by_hand::pass_retain(n)),
            ("by-hand-fused", &mut || by_hand::pass_fused(n)),
        ],
    );
}
