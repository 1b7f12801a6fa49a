//! A job that is hurt for as long as you like, and compared with what it should have said.
//!
//!     cargo run --release --example soak -- --minutes 30
//!
//! One process runs the job; the other kills it with SIGKILL at random moments and starts it again, and measures its memory. Within the
//! job operators panic and fail at random, and the sink is slow at times. In the end every row is compared with what arithmetic says,
//! and memory may not have grown: what the process needs at most in the last third of its long lives is held against the first third.
//!
//! The exit code is 0 if all of it holds. `--seed` makes the same kills and the same faults, as far as threads allow.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use tidegate::{
    BoxError, Checkpoints, Context, ExponentialDelay, Job, KeyedOperator, LineFile, MapState, OpenContext, Poll, Records, Source,
    SplitReader, Store, Timestamp, Tumbling, ValueState, Watermarks, millis, secs,
};

/// Different keys; a multiple of the number of splits, so that the records of a key come from one split, in their order.
const KEYS: u64 = 333 * SPLITS;
/// Records of a key between two that are reported.
const REPORTED: u64 = 100;
/// The length of a window, in records: one comes each millisecond of event time.
const WINDOW: u64 = 5000;
/// Groups that windows are counted by.
const GROUPS: u64 = 7;
const SPLITS: u64 = 3;
/// Memory that says nothing, in KiB: a process that has just begun needs less than later ones.
const LITTLE: u64 = 64 * 1024;

#[derive(Parser, Clone)]
#[command(
    args_override_self = true,
    about = "Runs a job under random kills, panics and errors, and compares what comes out with what should"
)]
struct Args {
    /// How long the input takes without any fault, in minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Records a second.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
    /// A process is killed after so many seconds at most.
    #[arg(long, default_value_t = 40.0)]
    killed_within: f64,
    /// One record of so many makes an operator panic or fail.
    #[arg(long, default_value_t = 400_000)]
    fault_every: u64,
    /// Draws the faults.
    #[arg(long)]
    seed: Option<u64>,
    /// Where state and output are; a fresh temporary directory unless it is named, which is removed if all is well.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// This process runs the job; it is started by the other one.
    #[arg(long, hide = true)]
    life: Option<u64>,
}

impl Args {
    fn records(&self) -> u64 {
        (self.minutes * 60.0 * self.rate as f64) as u64
    }
}

/// Draws numbers (splitmix64).
#[derive(Clone)]
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}

/// The numbers below n, dealt to splits.
struct Numbers(u64);

struct Dealt {
    next: u64,
    n: u64,
}

impl Source for Numbers {
    type Item = u64;
    type Position = u64;
    type Reader = Dealt;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok((0..SPLITS).map(|split| (split.to_string(), split)).collect())
    }

    fn open(&self, _: &str, next: u64) -> Result<Dealt, BoxError> {
        Ok(Dealt { next, n: self.0 })
    }
}

impl SplitReader for Dealt {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, _: &Waker) -> Result<Poll, BoxError> {
        let left = self.n.saturating_sub(self.next).div_ceil(SPLITS);
        let count = left.min(out.room() as u64);
        out.extend((0..count).map(|k| self.next + k * SPLITS));
        self.next += count * SPLITS;
        Ok(if count == left { Poll::Ended } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.next
    }
}

/// Counts the records of each key, with how many of them were even, and reports now and then. Strikes at random.
struct Reports {
    count: ValueState<u64>,
    by_parity: MapState<bool, u64>,
    faults: Faults,
}

impl KeyedOperator for Reports {
    type Key = u64;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, number: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        self.faults.may_strike()?;
        let even = (number / KEYS).is_multiple_of(2);
        let mut by_parity = ctx.state.map(self.by_parity);
        let so_far = by_parity.get(&even).copied().unwrap_or(0);
        by_parity.insert(even, so_far + 1);
        let evens = by_parity.get(&true).copied().unwrap_or(0);
        let key = *ctx.key();
        let count = ctx.state.get_or_insert_with(self.count, || 0);
        *count += 1;
        if count.is_multiple_of(REPORTED) {
            ctx.out.emit(format!("{key},{count},{evens}"));
        }
        Ok(())
    }
}

/// Faults at drawn records.
struct Faults {
    draw: Draw,
    every: u64,
    /// Has a byte for each fault that has struck.
    struck: PathBuf,
}

impl Faults {
    fn may_strike(&mut self) -> Result<(), BoxError> {
        let drawn = self.draw.below(2 * self.every);
        if drawn > 1 {
            return Ok(());
        }
        OpenOptions::new().create(true).append(true).open(&self.struck)?.write_all(b".")?;
        if drawn == 0 {
            panic!("a drawn panic");
        }
        Err("a drawn error".into())
    }
}

fn describe(args: &Args, directory: &Path, life: u64) -> Job {
    let job = Job::new("soak")
        .parallelism(1 + (life % 3) as u32)
        .checkpoints(Checkpoints::every(millis(250)).timeout(secs(10)).retain(2))
        .store(Store::directory(directory.join("state")))
        .restart(ExponentialDelay::from(millis(1)).up_to(millis(500)).reset_after(secs(1)));
    let watermarks = Watermarks::bounded(secs(1)).on(|number: &u64| Timestamp::from_millis(*number as i64)).step(millis(100));
    let numbers = job.source("numbers", Numbers(args.records())).max_rate(args.rate as f64).watermarks(watermarks);
    let (seed, every, instances) = (args.seed.unwrap_or_default(), args.fault_every, AtomicU64::new(0));
    let struck = directory.join("struck");
    let reports = numbers.key_by(|number: &u64| number % KEYS).process("reports", move |ctx: &mut OpenContext<'_, u64>| {
        let instance = instances.fetch_add(1, Ordering::Relaxed);
        let faults = Faults { draw: Draw(seed ^ (life << 32) ^ (instance << 16)), every, struck: struck.clone() };
        Ok(Reports { count: ctx.value("count")?, by_parity: ctx.map("by parity")?, faults })
    });
    let rows = Arc::new(AtomicU64::new(0));
    let slowed = reports.map(move |row: String| {
        if rows.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
            std::thread::sleep(millis(20));
        }
        row
    });
    slowed.sink("reports-out", LineFile::exactly_once(directory.join("reports")));
    let windows = numbers.key_by(|number: &u64| number % GROUPS).window(Tumbling::of(millis(WINDOW))).count().uid("windows");
    let rows = windows.map(|result| format!("{},{},{}", result.window.start.millis(), result.key, result.value));
    rows.sink("windows-out", LineFile::exactly_once(directory.join("windows")));
    job
}

/// Runs the job until it finishes, or this process dies.
#[tokio::main(flavor = "current_thread")]
async fn live(args: &Args, directory: &Path, life: u64) -> Result<(), Box<dyn Error>> {
    std::panic::set_hook(Box::new(|_| ()));
    let summary = describe(args, directory, life).start().await?.wait().await?;
    println!("finished; {} restarts and {} checkpoints in its last life", summary.restarts, summary.checkpoints);
    Ok(())
}

/// What a process needed at most while it could be seen: by second of the whole run.
#[derive(Default)]
struct Memory(Vec<(f64, u64)>);

impl Memory {
    /// Looks at a process that has lived long enough to be warm.
    fn look(&mut self, child: &Child, lived: Duration, at: Duration) {
        if lived >= secs(3)
            && let Some(kilobytes) = resident(child.id())
        {
            self.0.push((at.as_secs_f64(), kilobytes));
        }
    }

    /// The peaks of the first, the second and the last third of the run, in KiB.
    fn peaks(&self) -> [u64; 3] {
        let end = self.0.last().map_or(0.0, |(at, _)| *at) + f64::EPSILON;
        let mut peaks = [0; 3];
        for (at, kilobytes) in &self.0 {
            let third = ((at / end * 3.0) as usize).min(2);
            peaks[third] = peaks[third].max(*kilobytes);
        }
        peaks
    }
}

/// The memory in which a process lives, in KiB, where the system tells.
fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Starts the job again and again, and kills it, until it has finished.
fn hurt(args: &Args, directory: &Path, seed: u64) -> Result<Memory, Box<dyn Error>> {
    let (start, mut draw, mut memory) = (Instant::now(), Draw(seed), Memory::default());
    for life in 0.. {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).arg("--life").arg(life.to_string());
        command.arg("--directory").arg(directory).arg("--seed").arg(seed.to_string());
        let (mut child, born) = (command.spawn()?, Instant::now());
        let dies = millis(draw.below((args.killed_within * 1000.0) as u64 + 1));
        while born.elapsed() < dies {
            if let Some(status) = child.try_wait()? {
                println!("{:7.1} s: life {life} ended by itself: {status}", start.elapsed().as_secs_f64());
                return if status.success() { Ok(memory) } else { Err(format!("the job failed: {status}").into()) };
            }
            memory.look(&child, born.elapsed(), start.elapsed());
            std::thread::sleep(millis(100).min(dies));
        }
        child.kill()?;
        child.wait()?;
        let peak = memory.0.last().map_or(0, |(_, kilobytes)| kilobytes / 1024);
        println!("{:7.1} s: life {life} was killed after {dies:?}; {peak} MiB", start.elapsed().as_secs_f64());
    }
    unreachable!("lives are counted for ever")
}

/// How often each committed row is there.
fn rows(directory: &Path) -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let mut rows = BTreeMap::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            fs::read_to_string(&path)?.lines().for_each(|row| *rows.entry(row.to_owned()).or_default() += 1);
        }
    }
    Ok(rows)
}

/// How many numbers below `n` leave this remainder.
fn with_remainder(n: u64, divisor: u64, remainder: u64) -> u64 {
    (n + divisor - 1 - remainder) / divisor
}

/// The reports of all keys, by arithmetic.
fn reports(n: u64) -> impl Iterator<Item = String> {
    (0..KEYS).flat_map(move |key| {
        let all = with_remainder(n, KEYS, key);
        (1..=all / REPORTED).map(move |nth| format!("{key},{},{}", nth * REPORTED, (nth * REPORTED).div_ceil(2)))
    })
}

/// The results of all windows, by arithmetic.
fn windows(n: u64) -> impl Iterator<Item = String> {
    (0..n).step_by(WINDOW as usize).flat_map(move |start| {
        let upto = |end: u64, group| with_remainder(end, GROUPS, group);
        let of_group = move |group| upto(n.min(start + WINDOW), group) - upto(start, group);
        (0..GROUPS)
            .map(move |group| (group, of_group(group)))
            .filter(|(_, count)| *count > 0)
            .map(move |(group, count)| format!("{start},{group},{count}"))
    })
}

/// Compares what is there with what should be.
fn compare(name: &str, mut found: BTreeMap<String, u64>, expected: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut right, mut missing) = (0u64, Vec::new());
    for row in expected {
        match found.remove(&row) {
            Some(1) => right += 1,
            Some(times) => missing.push(format!("{row} came {times} times")),
            None => missing.push(format!("{row} is missing")),
        }
    }
    missing.extend(found.into_keys().map(|row| format!("{row} should not be there")));
    println!("{name}: {right} rows are right, {} are not", missing.len());
    if missing.is_empty() { Ok(()) } else { Err(missing[..missing.len().min(10)].join("\n")) }
}

fn judge(args: &Args, directory: &Path, memory: &Memory) -> Result<(), Box<dyn Error>> {
    compare("reports", rows(&directory.join("reports"))?, reports(args.records()))?;
    compare("windows", rows(&directory.join("windows"))?, windows(args.records()))?;
    let [first, middle, last] = memory.peaks();
    let struck = fs::metadata(directory.join("struck")).map_or(0, |file| file.len());
    println!("{struck} panics and errors have struck");
    if struck == 0 {
        return Err("no fault has struck: run it for longer, or with more of them".into());
    }
    println!("memory, peaks of thirds: {} MiB, {} MiB, {} MiB", first / 1024, middle / 1024, last / 1024);
    if last > first.max(LITTLE) * 3 / 2 {
        return Err("memory has grown by more than a half".into());
    }
    Ok(())
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if let (Some(life), Some(directory)) = (args.life, &args.directory) {
        return live(args, directory, life);
    }
    let drawn = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos().into());
    let seed = args.seed.unwrap_or_else(drawn);
    let directory = args.directory.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("soak-{}", std::process::id())));
    println!("seed {seed}, {}", directory.display());
    let memory = hurt(args, &directory, seed)?;
    judge(args, &directory, &memory)?;
    if args.directory.is_none() {
        fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
