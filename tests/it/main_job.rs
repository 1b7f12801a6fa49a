//! The main job, `examples/flights.rs`, as its users run it: a process that reads real data, that may panic, and that is killed.
//!
//! Its rows are compared with a computation that shares no code with the engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::common::{Draw, drawn_seed, example};

/// By start, by origin and carrier: flights, and their delays together.
type Windows = BTreeMap<i64, BTreeMap<(String, String), (u64, i64)>>;

const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013-01.csv.gz");
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(example("flights"));
    command.args(["--input", INPUT, "--checkpoint-ms", "10"]).args(more);
    command.arg("--output").arg(dir.join("out")).arg("--state").arg(dir.join("state"));
    command.env("RUST_BACKTRACE", "0").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(dir: &Path, more: &[&str]) -> Output {
    command(dir, more).output().unwrap()
}

/// All committed rows below a directory, sorted.
fn rows(dir: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for file in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "csv") {
            rows.extend(fs::read_to_string(&file).unwrap().lines().map(str::to_owned));
        }
    }
    rows.sort();
    rows
}

fn uncommitted(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| !name.to_string_lossy().ends_with(".csv")).count()
}

/// What must come out: results and late rows, sorted.
fn expected() -> (Vec<String>, Vec<String>) {
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(fs::File::open(INPUT).unwrap()));
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let [hour, minute, delay, carrier, flight, origin] =
        ["time_hour", "minute", "dep_delay", "carrier", "flight", "origin"].map(column);
    let (mut results, mut late) = (Vec::new(), Vec::new());
    let mut windows: Windows = BTreeMap::new();
    let (mut highest, mut watermark) = (i64::MIN, None);
    let text = |start: i64| jiff::Timestamp::from_millisecond(start).unwrap().to_string();
    for row in reader.records() {
        let row = row.unwrap();
        let at = row[hour].parse::<jiff::Timestamp>().unwrap().as_millisecond() + row[minute].parse::<i64>().unwrap() * MINUTE;
        let before = watermark;
        if row[delay] != *"NA" {
            let (start, minutes) = (at - at.rem_euclid(HOUR), row[delay].parse::<i64>().unwrap());
            let last = start + HOUR - 1;
            if before.is_some_and(|w| last + 2 * HOUR <= w) {
                late.push([&row[origin], &row[carrier], &row[flight], &row[hour], &row[minute], &row[delay]].join(","));
            } else {
                let key = (row[origin].to_owned(), row[carrier].to_owned());
                let (flights, total) = windows.entry(start).or_default().entry(key).or_default();
                (*flights, *total) = (*flights + 1, *total + minutes);
                if before.is_some_and(|w| last <= w) {
                    results.push(format!("{},{},{},{flights},{total}", &row[origin], &row[carrier], text(start)));
                }
            }
        }
        highest = highest.max(at);
        let next = highest - 15 * MINUTE - 1;
        if watermark.is_none_or(|sent| next >= sent + MINUTE) {
            watermark = Some(next);
        }
        fire(&windows, before, watermark, &mut results);
    }
    fire(&windows, watermark, Some(i64::MAX), &mut results);
    results.sort();
    late.sort();
    (results, late)
}

/// The results of the windows that end between two watermarks.
fn fire(windows: &Windows, before: Option<i64>, now: Option<i64>, results: &mut Vec<String>) {
    if before == now {
        return;
    }
    for (start, keys) in windows {
        let last = start + HOUR - 1;
        if before.is_none_or(|before| last > before) && now.is_some_and(|now| last <= now) {
            let start = jiff::Timestamp::from_millisecond(*start).unwrap();
            results.extend(keys.iter().map(|((origin, carrier), (n, total))| format!("{origin},{carrier},{start},{n},{total}")));
        }
    }
}

fn assert_complete(dir: &Path) {
    let (results, late) = expected();
    assert_eq!(rows(&dir.join("out/late")), late, "the late rows");
    assert!(rows(&dir.join("out/delays")) == results, "the results");
    assert_eq!(uncommitted(&dir.join("out/delays")) + uncommitted(&dir.join("out/late")), 0, "parts that were never committed");
}

#[test]
fn the_rows_are_those_of_an_independent_computation() {
    for parallelism in ["1", "2", "4"] {
        let dir = tempfile::tempdir().unwrap();
        let output = run(dir.path(), &["--parallelism", parallelism]);
        assert!(output.status.success(), "{output:?}");
        assert_complete(dir.path());
    }
}

#[test]
fn a_panic_in_an_operator_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["--parallelism", "2", "--panic-at", "20000"]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("restarts:     1"), "{printed}");
    assert_complete(dir.path());
}

#[test]
fn a_rerun_after_the_end_says_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &[]).status.success());
    let before = rows(&dir.path().join("out/delays"));
    let output = run(dir.path(), &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("has finished before"));
    assert_eq!(rows(&dir.path().join("out/delays")), before);
}

/// Kills the process at the latest after this long, unless it has ended by then.
fn kill_after(mut child: Child, pause: Duration) -> bool {
    let step = Duration::from_millis(2);
    for _ in 0..pause.as_millis() / step.as_millis() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(step);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

/// A job that ends before it is killed was killed often enough, and another one begins.
#[test]
fn f2_a_dozen_kills_at_any_moment_change_nothing() {
    let seed = drawn_seed();
    println!("seed {seed}");
    let (mut draw, mut kills) = (Draw::new(seed), 0);
    let (rate, (results, _)) = (["--parallelism", "2", "--rate", "20000"], expected());
    let mut dir = tempfile::tempdir().unwrap();
    while kills < 12 {
        let pause = Duration::from_millis(20 + draw.below(180));
        if !kill_after(command(dir.path(), &rate).spawn().unwrap(), pause) {
            assert_complete(dir.path());
            dir = tempfile::tempdir().unwrap();
            continue;
        }
        kills += 1;
        let visible = rows_so_far(&dir.path().join("out/delays"));
        assert!(is_part_of(&visible, &results), "seed {seed}, kill {kills}: only committed rows are visible, none twice");
    }
    let output = run(dir.path(), &["--parallelism", "2"]);
    assert!(output.status.success(), "seed {seed}: {output:?}");
    assert_complete(dir.path());
}

/// The newest complete checkpoint.
fn latest_checkpoint(dir: &Path) -> Option<u64> {
    let entries = fs::read_dir(dir.join("state/flights")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let complete = entries.filter(|path| path.join("manifest").exists());
    complete.filter_map(|path| path.file_name()?.to_str()?.strip_prefix("chk-")?.parse().ok()).max()
}

/// Each process is killed as soon as it has taken some checkpoints of its own, long before the end.
#[test]
fn c13_one_three_two_four_one_in_mid_run_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    for parallelism in ["1", "3", "2", "4"] {
        let before = latest_checkpoint(dir.path()).unwrap_or(0);
        let mut child = command(dir.path(), &["--rate", "5000", "--parallelism", parallelism]).spawn().unwrap();
        while latest_checkpoint(dir.path()).is_none_or(|now| now < before + 5) {
            assert!(std::time::Instant::now() < deadline, "no checkpoint in a process with the parallelism {parallelism}");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(child.try_wait().unwrap().is_none(), "it was to be killed in mid-run");
        child.kill().unwrap();
        child.wait().unwrap();
        let visible = rows_so_far(&dir.path().join("out/delays"));
        assert!(is_part_of(&visible, &expected().0), "with the parallelism {parallelism}: only right rows are visible");
    }
    let output = run(dir.path(), &["--parallelism", "1"]);
    assert!(output.status.success(), "{output:?}");
    assert_complete(dir.path());
}

fn rows_so_far(dir: &Path) -> Vec<String> {
    if dir.exists() { rows(dir) } else { Vec::new() }
}

/// Whether every row of `part`, as often as it is there, is in `whole`; both sorted.
fn is_part_of(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|row| whole.any(|other| other == row))
}

#[test]
fn bad_input_is_an_error_that_names_the_thing_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let no_file = dir.path().join("nothing.csv");
    let truncated = dir.path().join("truncated.csv.gz");
    fs::write(&truncated, &fs::read(INPUT).unwrap()[..100_000]).unwrap();
    let malformed = dir.path().join("malformed.csv");
    fs::write(&malformed, "time_hour,minute,dep_delay,carrier,flight,origin\n2013-01-01T10:00:00Z,15,x,UA,1,EWR\n").unwrap();
    for (input, says) in [(&no_file, "nothing.csv"), (&truncated, "truncated.csv.gz"), (&malformed, "malformed.csv:2")] {
        let state = tempfile::tempdir().unwrap();
        let output = run(state.path(), &["--input", input.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{error}");
        assert!(error.contains(says), "{error}");
        let visible = rows_so_far(&state.path().join("out/delays"));
        assert!(is_part_of(&visible, &expected().0), "what was committed before is right");
    }
}

#[test]
fn a_second_process_on_the_same_state_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = command(dir.path(), &["--rate", "20000"]).spawn().unwrap();
    while !dir.path().join("state/flights/job").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = run(dir.path(), &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another process"), "{output:?}");
    assert!(first.wait().unwrap().success());
    assert_complete(dir.path());
}

/// The state is lost, or the only manifest is: nothing may be committed again beside what is there, at the first try or at a later one.
#[test]
fn f33_rows_of_an_earlier_life_are_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &[]).status.success());
    fs::rename(dir.path().join("state"), dir.path().join("gone")).unwrap();
    for _ in 0..3 {
        let output = run(dir.path(), &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{error}");
        assert!(error.contains("of an earlier life of the job whose state is gone") && error.contains("out/delays"), "{error}");
        assert_eq!(rows(&dir.path().join("out/delays")), expected().0);
    }
}
