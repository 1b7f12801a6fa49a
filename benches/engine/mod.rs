//! The workloads as flows: a source of indices, a sink that sums, and one run of a job.
#![allow(dead_code, unused_imports, reason = "each bench uses its part")]

mod source;
mod sum;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub use source::Made;
pub use sum::Sum;

use crate::by_hand::Outcome;

/// Runs a job to its end. `describe` gets the sum that its sinks add to.
pub fn run(p: usize, n: u64, describe: impl FnOnce(tidegate::Job, &Arc<AtomicU64>) -> tidegate::Job) -> Outcome {
    let sum = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    runtime.block_on(async {
        let job = describe(tidegate::Job::new("bench").parallelism(p as u32), &sum);
        let running = job.start().await.expect("the job starts");
        running.wait().await.expect("the job finishes");
    });
    Outcome { seconds: start.elapsed().as_secs_f64(), checksum: sum.load(Ordering::Relaxed), records: n, late: 0 }
}
