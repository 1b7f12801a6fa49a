//! Panics at drawn records of a job on the real worker pool and the real file system: nothing of it is seen in what comes out.
//!
//! The seed is printed; `TIDEGATE_SEED` replays it as far as threads allow.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tidegate::testing::Fault;
use tidegate::{Checkpoints, Job, JobSummary, LineFile, LineFiles, Restart, Store, Timestamp, Tumbling, Watermarks, millis};

use crate::common::{Draw, drawn_seed};

const RECORDS: u64 = 60_000;
const PANICS: u64 = 6;

/// The lines of split `s` of 2.
fn lines(s: u64) -> impl Iterator<Item = u64> {
    (0..RECORDS).filter(move |n| n % 2 == s)
}

fn write_input(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for s in 0..2 {
        let text: String = lines(s).map(|n| format!("{n}\n")).collect();
        fs::write(dir.join(format!("{s}.txt")), text).unwrap();
    }
}

/// Each number with how often its remainder has come, and the counts of windows of 100 numbers by remainder.
fn describe(dir: &Path, faults: &[Fault]) -> Job {
    let job = Job::new("crashes").parallelism(2).workers(2).store(Store::directory(dir.join("state")));
    let job = job.checkpoints(Checkpoints::every(millis(15))).restart(Restart::fixed_delay(PANICS as u32, millis(1)));
    let watermarks = Watermarks::bounded(millis(10)).on(|line: &String| Timestamp::from_millis(number(line) as i64));
    let lines = job.source("lines", LineFiles::at(dir.join("in/*.txt"))).max_rate(120_000.0).watermarks(watermarks);
    let [before, behind, at_windows] = [0, 1, 2].map(|place| trips(faults, place));
    let numbers = lines.map(move |line: String| {
        before.iter().for_each(Fault::trip);
        number(&line)
    });
    let keyed = numbers.key_by(|n| n % 7);
    let counted = keyed.count().uid("counts").map(move |(key, count): (u64, u64)| {
        behind.iter().for_each(Fault::trip);
        format!("{key},{count}")
    });
    counted.sink("counted", LineFile::exactly_once(dir.join("out/counted")));
    let windows = numbers.key_by(|n| n % 7).window(Tumbling::of(millis(100))).count().uid("by-window");
    let text = windows.map(move |result| {
        at_windows.iter().for_each(Fault::trip);
        format!("{},{},{}", result.window.start.millis(), result.key, result.value)
    });
    text.sink("windows", LineFile::exactly_once(dir.join("out/windows")));
    job
}

fn number(line: &str) -> u64 {
    line.parse().unwrap()
}

/// The faults of one of the three places where they strike.
fn trips(faults: &[Fault], place: usize) -> Vec<Fault> {
    faults.iter().enumerate().filter(|(at, _)| at % 3 == place).map(|(_, fault)| fault.clone()).collect()
}

fn run(job: Job) -> JobSummary {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { job.start().await.unwrap().wait().await.unwrap() })
}

fn rows(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let committed = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut rows: Vec<String> =
        committed.flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    rows.sort();
    rows
}

/// What must come out, by a computation of its own.
fn expected() -> (Vec<String>, Vec<String>) {
    let (mut counts, mut windows) = (BTreeMap::new(), BTreeMap::new());
    let mut counted = Vec::new();
    for n in 0..RECORDS {
        let count = counts.entry(n % 7).or_insert(0u64);
        *count += 1;
        counted.push(format!("{},{count}", n % 7));
        *windows.entry((n - n % 100, n % 7)).or_insert(0u64) += 1;
    }
    let mut windows: Vec<String> = windows.into_iter().map(|((start, key), count)| format!("{start},{key},{count}")).collect();
    counted.sort();
    windows.sort();
    (counted, windows)
}

#[test]
fn f2_panics_at_drawn_records_on_real_threads_change_nothing() {
    let seed = drawn_seed();
    println!("seed {seed}");
    let mut draw = Draw::new(seed);
    let dir = tempfile::tempdir().unwrap();
    write_input(&dir.path().join("in"));
    // Each place sees its share of the records at least, whatever the restarts make it see again.
    let at_most = [RECORDS, RECORDS, RECORDS / 100 * 7];
    let faults: Vec<Fault> = (0..PANICS as usize).map(|at| Fault::panic_at(1 + draw.below(at_most[at % 3]))).collect();
    let summary = run(describe(dir.path(), &faults));
    assert!(faults.iter().all(Fault::fired), "seed {seed}: {faults:?}");
    assert!((2..=PANICS).contains(&summary.restarts), "seed {seed}: {} restarts", summary.restarts);
    let (counted, windows) = expected();
    assert!(rows(&dir.path().join("out/counted")) == counted, "seed {seed}: the counted records");
    assert!(rows(&dir.path().join("out/windows")) == windows, "seed {seed}: the windows");
}
