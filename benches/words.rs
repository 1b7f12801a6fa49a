//! W4 `words`: a running count per word of a text behind a hash exchange, by hand and by the engine.
//!
//!     cargo bench --bench words -- --p 1,2 --runs 5 --text PATH

mod by_hand;
mod engine;
mod harness;

use std::sync::Arc;

use clap::Parser;
use harness::{Args, Case, compare, interleave};

fn main() {
    let args = Args::parse();
    let text = harness::text::load(args.text.as_deref()).expect("the text is there and is UTF-8, or can be made");
    for &p in &args.p {
        let case = Case { workload: "words", p, runs: args.runs, checksum: None };
        if args.variants {
            variants(case, &text);
        } else {
            compare(case, || by_hand::words(p, &text), || words(p, &text));
        }
    }
}

/// A word is moved from the source to its key and from there to the sink: it is allocated once, and once more at its first coming.
fn words(p: usize, text: &Arc<str>) -> by_hand::Outcome {
    let (outcome, _) = engine::run_to_summary(p, |job, sum| {
        job.source(engine::SOURCE, engine::Words::new(p, text))
            .key_with(|word| (word, ()))
            .count()
            .sink("sum", engine::Sum::new(sum, |(word, count): &(String, u64)| by_hand::counted(word, *count)));
        job
    });
    outcome
}

fn variants(case: Case, text: &Arc<str>) {
    let p = case.p;
    interleave(
        case,
        &mut [
            ("by-hand-exchange", &mut || by_hand::words_exchanged(p, text)),
            ("by-hand-inline", &mut || by_hand::words_inline(text)),
            ("by-hand-reused", &mut || by_hand::words_reused(p, text)),
        ],
    );
}
