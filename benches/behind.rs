//! How long a checkpoint takes where a sink is behind: two sources that could give millions of records a second, a count behind a hash
//! exchange, and a sink that takes a millisecond for each record. All edges are full when the checkpoints are asked for.
//!
//!     cargo bench --bench behind -- --checkpoints 10 --sink-us 1000

use std::time::{Duration, Instant};

use clap::Parser;
use tidegate::{BoxError, CheckpointId, Checkpoints, Job, Sink, SinkContext, SinkWriter, Store, secs};

mod by_hand;
mod engine;

/// The arguments.
#[derive(Debug, Parser)]
struct Args {
    /// Checkpoints, one after another.
    #[arg(long, default_value_t = 10)]
    checkpoints: u32,
    /// What the sink takes for each record, in microseconds.
    #[arg(long, default_value_t = 1000)]
    sink_us: u64,
    /// Parallelism.
    #[arg(long, default_value_t = 2)]
    p: usize,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Takes so long for each record, and keeps none.
struct Slow(Duration);

impl Sink for Slow {
    type Item = (u64, u64);
    type Cut = ();
    type Handle = ();
    type Writer = Slow;

    fn recover(&self, _: &SinkContext, _: Vec<()>) -> Result<(), BoxError> {
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<Slow, BoxError> {
        Ok(Slow(self.0))
    }

    fn make_durable(&self, (): ()) -> Result<Vec<()>, BoxError> {
        Ok(Vec::new())
    }

    fn commit(&self, (): &()) -> Result<(), BoxError> {
        Ok(())
    }
}

impl SinkWriter for Slow {
    type Item = (u64, u64);
    type Cut = ();

    fn write(&mut self, records: &mut Vec<(u64, u64)>) -> Result<(), BoxError> {
        records.drain(..).for_each(|_| std::thread::sleep(self.0));
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let job = Job::new("behind").parallelism(args.p as u32).store(Store::memory()).checkpoints(Checkpoints::manual());
    job.source(engine::SOURCE, engine::Made::new(args.p, u64::MAX / 4, |i| (i % 1_000_000, 1u64)))
        .key_with(|(key, one): (u64, u64)| (key, one))
        .count()
        .sink("slow", Slow(Duration::from_micros(args.sink_us)));
    let job = job.start().await?;
    tokio::time::sleep(secs(5)).await;
    for _ in 0..args.checkpoints {
        let began = Instant::now();
        let id = job.checkpoint().await?;
        println!(
            "workload=behind p={} sink_us={} checkpoint={id} seconds={:.3}",
            args.p,
            args.sink_us,
            began.elapsed().as_secs_f64()
        );
    }
    job.cancel().await?;
    Ok(())
}
