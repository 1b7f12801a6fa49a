//! W5 `ckpt`: W2 with an exactly-once checkpoint to the local disk every second, beside W2 without.
//!
//!     cargo bench --bench ckpt -- --p 2 --runs 1 --n 400000000
//!
//! The first contestant, and so the yardstick, is the engine's own run without checkpoints.

mod by_hand;
mod engine;
mod harness;

use clap::Parser;
use harness::{Args, Case, interleave};
use tidegate::{Checkpoints, Job, JobSummary, Store, secs};

/// Records, and the checksum that all engines come to at this number of them and a million keys.
const AGREED: (u64, u64) = (400_000_000, 6_200_305_426_906_973);

fn main() {
    let args = Args::parse();
    let n = args.n.unwrap_or(AGREED.0);
    let agreed = n == AGREED.0 && args.keys == 1_000_000;
    for &p in &args.p {
        let case = Case { workload: "ckpt", p, runs: args.runs, checksum: agreed.then_some(AGREED.1) };
        interleave(
            case,
            &mut [
                ("tidegate-none", &mut || {
                    let (outcome, summary) = count(p, n, args.keys, |job| job);
                    let longest_ms = summary.longest_step.as_secs_f64() * 1e3;
                    println!("stops workload=ckpt engine=tidegate-none p={p} longest_stop_ms={longest_ms:.3}");
                    outcome
                }),
                ("tidegate", &mut || {
                    let directory = tempfile::tempdir().expect("a directory");
                    let store = Store::directory(directory.path());
                    let every = Checkpoints::every(secs(1));
                    let (outcome, summary) = count(p, n, args.keys, |job| job.store(store).checkpoints(every));
                    print_checkpoints(p, &summary);
                    outcome
                }),
            ],
        );
    }
}

fn count(p: usize, n: u64, keys: u64, options: impl FnOnce(Job) -> Job) -> (by_hand::Outcome, JobSummary) {
    engine::run_to_summary(p, |job, sum| {
        job.source(engine::SOURCE, engine::Made::new(p, n, move |i| (by_hand::count_key(i, keys), 1u64)))
            .key_with(|(key, one): (u64, u64)| (key, one))
            .count()
            .sink("sum", engine::Sum::new(sum, |(key, count): &(u64, u64)| by_hand::emitted(*key, *count)));
        options(job)
    })
}

fn print_checkpoints(p: usize, summary: &JobSummary) {
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let (times, stops) = (&summary.checkpoint_times, &summary.longest_steps);
    println!(
        "checkpoints workload=ckpt engine=tidegate p={p} completed={} failed={} mean_ms={:.1} max_ms={:.1} last_bytes={} \
         longest_stop_ms={:.3} mean_longest_stop_ms={:.3}",
        summary.checkpoints,
        summary.failed_checkpoints,
        ms(times.mean),
        ms(times.longest),
        summary.checkpoint_bytes,
        ms(stops.longest),
        ms(stops.mean),
    );
}
