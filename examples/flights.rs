//! The main job: delays of the flights that left New York, by origin and carrier, in windows of an hour of scheduled time.
//!
//!     cargo run --release --example flights
//!     cargo run --release --example flights -- --input flights.csv.gz --output out --state state --parallelism 2
//!
//! Kill it at any moment and run the same command again: it goes on from its latest checkpoint, and the committed rows in
//! `<output>/delays/*.csv` and `<output>/late/*.csv` are what they would have been.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tidegate::{
    Aggregate, Checkpoints, CsvFile, CsvFiles, Job, JobHandle, JobSummary, Restart, SideOutput, Store, Timestamp, Tumbling,
    Watermarks, Windowed, hours, millis, minutes,
};

/// Checkpoints that may fail in a row: with a full disk the job is to say so and end, and not to try for ever.
const TOLERATED: u32 = 3;

/// What the command line says.
#[derive(Debug, Parser)]
#[command(about = "Delays by origin and carrier, in windows of an hour, exactly once")]
struct Args {
    /// CSV files of flights, plain or gzip: a path or a glob. Default: January 2013, which the repository carries.
    #[arg(long, overrides_with = "input", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013-01.csv.gz"))]
    input: String,
    /// Where the rows go. Default: a fresh temporary directory.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Where checkpoints are kept. Default: a fresh temporary directory.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Instances of each operator.
    #[arg(long, default_value_t = 1)]
    parallelism: u32,
    /// Milliseconds from one checkpoint to the next.
    #[arg(long, default_value_t = 500)]
    checkpoint_ms: u64,
    /// Rows a second that the whole job reads at most.
    #[arg(long)]
    rate: Option<f64>,
    /// An operator panics once, at its record with this number, in the first attempt.
    #[arg(long)]
    panic_at: Option<u64>,
}

/// A row of the input, as far as the job needs it.
#[derive(Clone, Debug, Deserialize)]
struct Flight {
    /// The scheduled hour of departure.
    time_hour: jiff::Timestamp,
    /// The scheduled minute within it.
    minute: i64,
    /// Minutes; none where the flight was cancelled.
    #[serde(deserialize_with = "or_na")]
    dep_delay: Option<i64>,
    carrier: String,
    flight: u32,
    origin: String,
}

/// A number, or `NA`.
fn or_na<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    if text == "NA" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("dep_delay '{text}': {error}")))
}

impl Flight {
    /// The scheduled departure: the event time.
    fn scheduled(&self) -> Timestamp {
        Timestamp::from_millis(self.time_hour.as_millisecond() + self.minute * 60_000)
    }
}

/// A flight that departed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Departure {
    origin: String,
    carrier: String,
    flight: u32,
    time_hour: jiff::Timestamp,
    minute: i64,
    dep_delay: i64,
}

/// None where the flight was cancelled.
fn departed(flight: Flight) -> Option<Departure> {
    let Flight { time_hour, minute, dep_delay, carrier, flight, origin } = flight;
    Some(Departure { origin, carrier, flight, time_hour, minute, dep_delay: dep_delay? })
}

/// How many flights, and their delays in minutes together.
struct TotalDelay;

impl Aggregate for TotalDelay {
    type In = Departure;
    type Acc = (u64, i64);
    type Out = (u64, i64);

    fn create(&self) -> (u64, i64) {
        (0, 0)
    }

    fn add(&self, (flights, minutes): &mut (u64, i64), departure: Departure) {
        *flights += 1;
        *minutes += departure.dep_delay;
    }

    fn merge(&self, (flights, minutes): &mut (u64, i64), other: (u64, i64)) {
        *flights += other.0;
        *minutes += other.1;
    }

    fn result(&self, acc: &(u64, i64)) -> (u64, i64) {
        *acc
    }
}

/// A row of `delays`.
#[derive(Clone, Debug, Serialize)]
struct Delays {
    origin: String,
    carrier: String,
    window_start: String,
    flights: u64,
    total_delay_min: i64,
}

fn row(result: Windowed<(String, String), (u64, i64)>) -> Delays {
    let start = jiff::Timestamp::from_millisecond(result.window.start.millis()).map_or_else(|_| String::new(), |t| t.to_string());
    let ((origin, carrier), (flights, total_delay_min)) = (result.key, result.value);
    Delays { origin, carrier, window_start: start, flights, total_delay_min }
}

/// Passes departures on, and panics once at the record with this number.
fn panicking(at: Option<u64>) -> impl Fn(Departure) -> Departure + Send + Sync + 'static {
    let seen = AtomicU64::new(0);
    move |departure| {
        if at == Some(seen.fetch_add(1, Ordering::Relaxed) + 1) {
            panic!("asked to panic at record {}", at.unwrap_or_default());
        }
        departure
    }
}

/// The flow, and how it runs.
fn describe(args: &Args, output: &Path, state: &Path) -> Job {
    let job = Job::new("flights")
        .parallelism(args.parallelism)
        .checkpoints(Checkpoints::every(millis(args.checkpoint_ms)).tolerable_failures(TOLERATED))
        .store(Store::directory(state))
        .restart(Restart::fixed_delay(3, millis(100)));
    let mut flights = job
        .source("flights", CsvFiles::<Flight>::at(&args.input))
        .watermarks(Watermarks::bounded(minutes(15)).on(Flight::scheduled).step(minutes(1)).strict());
    if let Some(rate) = args.rate {
        flights = flights.max_rate(rate);
    }
    let late = SideOutput::new("late");
    let delays = flights
        .flat_map(departed)
        .map(panicking(args.panic_at))
        .key_by(|departure| (departure.origin.clone(), departure.carrier.clone()))
        .window(Tumbling::of(hours(1)))
        .allowed_lateness(hours(2))
        .late_to(&late)
        .aggregate(TotalDelay)
        .uid("total-delay");
    delays.map(row).sink("delays", CsvFile::exactly_once(output.join("delays")));
    delays.side(&late).sink("late-flights", CsvFile::exactly_once(output.join("late")));
    job
}

/// Shows on a terminal how far the job is.
async fn show_progress(running: JobHandle) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    let mut before = records(&running.status(), "flights");
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let status = running.status();
        let now = records(&status, "flights");
        let rate = now.saturating_sub(before) * 5;
        bar.set_message(format!(
            "{now} records, {rate} a second, {} checkpoints, {} restarts",
            status.checkpoints, status.restarts
        ));
        before = now;
    }
}

fn records(summary: &JobSummary, uid: &str) -> u64 {
    summary.operators.get(uid).map_or(0, |operator| operator.records)
}

fn print_summary(summary: &JobSummary, took: Duration) {
    if summary.finished_before {
        println!("the job has finished before: nothing was done");
        return;
    }
    let read = records(summary, "flights");
    println!("records in:   {read}");
    println!("results:      {}", records(summary, "delays"));
    println!("late:         {}", records(summary, "late-flights"));
    println!("checkpoints:  {}", summary.checkpoints);
    println!("restarts:     {}", summary.restarts);
    println!("time:         {:.3} s", took.as_secs_f64());
    println!("records/s:    {:.0}", read as f64 / took.as_secs_f64());
}

/// The directory that was asked for, or a fresh one.
fn directory(asked: Option<&PathBuf>, fresh: &Path, name: &str) -> PathBuf {
    asked.cloned().unwrap_or_else(|| {
        let path = fresh.join(name);
        println!("{name}: {}", path.display());
        path
    })
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let fresh = std::env::temp_dir().join(format!("flights-{}-{}", std::process::id(), jiff::Timestamp::now().as_millisecond()));
    let (output, state) = (directory(args.output.as_ref(), &fresh, "output"), directory(args.state.as_ref(), &fresh, "state"));
    let start = Instant::now();
    let running = describe(&args, &output, &state).start().await?;
    let progress = std::io::stderr().is_terminal().then(|| tokio::spawn(show_progress(running.clone())));
    let summary = running.wait().await;
    if let Some(progress) = progress {
        progress.abort();
    }
    print_summary(&summary?, start.elapsed());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
