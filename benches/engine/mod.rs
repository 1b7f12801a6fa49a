//! The workloads as flows: sources of what is made from indices and of words, a sink that sums, and one run of a job.
#![allow(dead_code, unused_imports, reason = "each bench uses its part")]

mod source;
mod sum;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub use source::Made;
pub use sum::Sum;
pub use words::Words;

use tidegate::{Job, JobSummary};

use crate::by_hand::Outcome;

/// The name of the source in every flow.
pub const SOURCE: &str = "source";

/// Runs a job over `n` records to its end. `describe` gets the sum that its sinks add to.
pub fn run(p: usize, n: u64, describe: impl FnOnce(Job, &Arc<AtomicU64>) -> Job) -> Outcome {
    Outcome { records: n, ..run_to_summary(p, describe).0 }
}

/// The same; the records are those that the sources say they gave. Tells what the job says of itself too.
pub fn run_to_summary(p: usize, describe: impl FnOnce(Job, &Arc<AtomicU64>) -> Job) -> (Outcome, JobSummary) {
    let sum = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    let summary = runtime.block_on(async {
        let job = describe(Job::new("bench").parallelism(p as u32), &sum);
        let running = job.start().await.expect("the job starts");
        running.wait().await.expect("the job finishes")
    });
    let seconds = start.elapsed().as_secs_f64();
    let late = summary.operators.values().map(|operator| operator.late_dropped).sum();
    let records = summary.operators.get(SOURCE).map_or(0, |source| source.records);
    (Outcome { seconds, checksum: sum.load(Ordering::Relaxed), records, late }, summary)
}
