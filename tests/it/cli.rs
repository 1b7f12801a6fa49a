//! The program `tidegate`, as people and scripts run it, on what jobs have really stored.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tidegate::stored::{ACCUMULATORS, StateWriter, StoredCheckpoint};
use tidegate::{Checkpoints, Job, LineFile, LineFiles, Place, Store, Timestamp, Tumbling, Watermarks, millis};

const RECORDS: u64 = 2000;

/// Counts the numbers of a file, and once more by windows; ends when all are read.
fn run_job(dir: &Path) {
    fs::write(dir.join("numbers.txt"), (0..RECORDS).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let job = Job::new("job").parallelism(2).store(Store::directory(dir.join("state")));
    let job = job.checkpoints(Checkpoints::every(millis(10)).retain(3));
    let watermarks = Watermarks::bounded(millis(1)).on(|line: &String| Timestamp::from_millis(line.parse().unwrap()));
    let lines = job.source("lines", LineFiles::at(dir.join("numbers.txt"))).max_rate(20_000.0).watermarks(watermarks);
    let keyed = lines.map(|line: String| line.parse::<u64>().unwrap()).key_by(|n| n % 7);
    let counts = keyed.count().uid("counts");
    counts.map(|(key, count): (u64, u64)| format!("{key},{count}")).sink("counted", LineFile::exactly_once(dir.join("out")));
    let windows = keyed.window(Tumbling::of(millis(100))).count().uid("windows");
    windows
        .map(|result| format!("{},{}", result.key, result.value))
        .sink("windowed", LineFile::exactly_once(dir.join("windows")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { job.start().await.unwrap().wait().await.unwrap() });
}

fn command(args: &[&str], paths: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("state").arg(args[0]).args(paths).args(&args[1..]).env("RUST_BACKTRACE", "0");
    command
}

fn output(args: &[&str], paths: &[&Path]) -> Output {
    command(args, paths).output().unwrap()
}

/// What it prints, with this exit code and nothing on stderr.
#[track_caller]
fn prints(code: i32, args: &[&str], paths: &[&Path]) -> String {
    let output = output(args, paths);
    let [text, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((output.status.code(), &*errors), (Some(code), ""), "{text}");
    text
}

/// What it says on stderr, with exit code 2 and nothing on stdout.
#[track_caller]
fn fails(args: &[&str], paths: &[&Path], parts: &[&str]) {
    let output = output(args, paths);
    let [text, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((output.status.code(), &*text), (Some(2), ""), "{errors}");
    parts.iter().for_each(|part| assert!(errors.contains(part), "it does not say '{part}': {errors}"));
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The directory of the job's latest checkpoint.
fn latest(dir: &Path) -> PathBuf {
    StoredCheckpoint::latest(&Store::directory(dir.join("state")), "job").unwrap().unwrap().located()
}

/// A snapshot file of a checkpoint in which the operator has a section, and where the entries of its first one begin.
fn file_of(checkpoint: &Path, operator: &str) -> (PathBuf, usize) {
    let files = fs::read_dir(checkpoint).unwrap().map(|entry| entry.unwrap().path());
    let mut snapshots = files.filter(|path| path.extension().is_some_and(|extension| extension == "snap"));
    let found = snapshots.find_map(|path| {
        let bytes = fs::read(&path).unwrap();
        let named = bytes.windows(operator.len()).position(|window| window == operator.as_bytes())?;
        // The entries lie in a MessagePack `bin 32`: its marker and four bytes of length, far below a whole byte here.
        let marker = bytes.windows(4).skip(named).position(|window| window == [0xc6, 0, 0, 0])?;
        Some((path, named + marker + 5))
    });
    found.unwrap()
}

#[test]
fn what_a_job_has_stored_is_listed_shown_counted_and_found_whole() {
    let dir = tempfile::tempdir().unwrap();
    run_job(dir.path());
    let (state, checkpoint) = (dir.path().join("state"), latest(dir.path()));
    let name = checkpoint.file_name().unwrap().to_str().unwrap();

    let listed = prints(0, &["ls"], &[&state]);
    let row = listed.lines().find(|line| line.contains(name)).unwrap();
    assert!(listed.starts_with("JOB ") && row.starts_with("job ") && row.contains("complete, final"), "{listed}");
    assert!(row.contains("counted, counts") && row.contains(" s ") && row.contains("B "), "{listed}");
    assert_eq!(prints(0, &["ls"], &[&state.join("job")]).lines().count(), listed.lines().count());
    let found = lines(&prints(0, &["ls", "--json"], &[&state]));
    assert_eq!((found[0]["job"].as_str(), found[0]["faults"].as_array().map(Vec::len)), (Some("job"), Some(0)));
    let last = found.last().unwrap();
    assert_eq!((last["condition"].as_str(), last["kind"].as_str()), (Some("complete"), Some("checkpoint")));
    assert_eq!(last["checkpoint"], found[0]["finished"], "the last one is the final one");

    let shown = lines(&prints(0, &["show", "--json", "--operator", "counts"], &[&checkpoint]));
    let counts: BTreeMap<u64, u64> =
        shown.iter().map(|entry| (entry["key"].as_u64().unwrap(), entry["value"].as_u64().unwrap())).collect();
    let expected = |key| (0..RECORDS).filter(|n| n % 7 == key).count() as u64;
    assert_eq!(counts, (0..7).map(|key| (key, expected(key))).collect());
    assert!(shown.iter().all(|entry| entry["state"] == "accumulators" && entry["kind"] == "value"));
    let one = lines(&prints(0, &["show", "--json", "--state", "accumulators", "--key", "3"], &[&checkpoint]));
    assert_eq!((one.len(), one[0]["value"].as_u64()), (1, Some(expected(3))));
    assert_eq!(prints(0, &["show", "--limit", "2", "--operator", "counts"], &[&checkpoint]).lines().count(), 3, "with the head");
    assert_eq!(prints(0, &["show", "--key", "no such key"], &[&checkpoint]), "");
    assert!(prints(0, &["show"], &[&checkpoint]).contains("numbers.txt"), "the source's positions");

    let whole = prints(0, &["verify"], &[&state]);
    assert_eq!(whole.matches("whole: ").count(), found.len() - 1);
    assert_eq!(prints(0, &["verify"], &[&checkpoint]).lines().count(), 1);
    let stats = lines(&prints(0, &["stats", "--json"], &[&checkpoint]));
    let of_counts = stats.iter().find(|line| line["operator"] == "counts").unwrap();
    assert_eq!((of_counts["entries"].as_u64(), of_counts["parallelism"].as_u64()), (Some(7), Some(2)));
    assert!(of_counts["groups"].as_object().unwrap().values().map(|group| group["entries"].as_u64().unwrap()).sum::<u64>() == 7);
    assert!(prints(0, &["stats"], &[&checkpoint]).contains(" of 128"));
}

#[test]
fn a_difference_and_damage_are_found_and_told_by_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    run_job(dir.path());
    let (state, before) = (dir.path().join("state"), latest(dir.path()));
    assert_eq!(prints(0, &["diff"], &[&before, &before]), "");

    fs::remove_file(state.join("job/finished")).unwrap();
    let mut writer = StateWriter::repair(&Store::directory(&state), "job", None).unwrap();
    writer.put("counts", ACCUMULATORS, &3u64, &1u64).unwrap();
    writer.finish().unwrap();
    let after = latest(dir.path());
    let changes = lines(&prints(1, &["diff", "--json"], &[&before, &after]));
    assert_eq!(changes.len(), 1);
    let expected = serde_json::json!({
        "operator": "counts", "state": "accumulators", "key": 3, "change": "changed", "before": RECORDS.div_ceil(7), "after": 1,
    });
    assert_eq!(changes[0], expected);
    assert!(prints(1, &["diff"], &[&before, &state.join("job")]).contains("~  counts"), "a job stands for its latest checkpoint");

    // One byte of an entry, then a whole file.
    let (file, at) = file_of(&before, "counts");
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 1;
    fs::write(&file, &bad).unwrap();
    let told = prints(1, &["verify"], &[&state]);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(name) && told.contains("operator 'counts', state 'accumulators', key group"), "{told}");
    assert!(told.contains("whole: "), "the others are looked at all the same: {told}");
    let told = lines(&prints(1, &["verify", "--json"], &[&before]));
    assert!(told[0]["whole"] == false && told[0]["fault"].as_str().unwrap().contains("is damaged"), "{told:?}");
    let shown = output(&["show"], &[&before]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("operator 'counts'"), "{shown:?}");
    fs::remove_file(&file).unwrap();
    assert!(prints(1, &["verify"], &[&before]).contains("the file is missing"));
    fs::write(&file, good).unwrap();
    fs::write(before.join("manifest"), "no manifest").unwrap();
    assert!(prints(1, &["ls"], &[&state]).contains("damaged"));
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fails(&["ls"], &[&state], &["cannot read", "state'", "name a store's directory"]);
    fs::create_dir(&state).unwrap();
    fails(&["ls"], &[&state], &["no job has kept anything", "as its store"]);
    fails(&["show"], &[&state], &["is no checkpoint", "tidegate state ls"]);
    let mut writer = StateWriter::seed(&Store::directory(&state), "job", None).unwrap();
    writer.values("counts", ACCUMULATORS, [("JFK".to_owned(), 1u64)]).unwrap();
    writer.finish().unwrap();
    let job = state.join("job");
    fails(&["show", "--operator", "count"], &[&job], &["no operator 'count'", "it has 'counts'"]);
    fails(&["show", "--state", "x"], &[&job], &["no state 'x'", "'accumulators'"]);
    assert!(prints(0, &["show", "--key", "JFK"], &[&job]).contains("\"JFK\""), "a word that is no JSON is a text");
    fails(&["verify"], &[&state.join("nowhere")], &["nowhere"]);
    fs::create_dir(job.join("chk-9999")).unwrap();
    fs::write(job.join("chk-9999/half.snap"), "x").unwrap();
    assert!(prints(0, &["ls"], &[&state]).lines().any(|line| line.contains("chk-9999") && line.contains("incomplete")));
    assert!(prints(0, &["verify"], &[&state]).contains("incomplete"));
    fails(&["show"], &[&job.join("chk-9999")], &["no manifest", "take a complete one"]);
    let usage = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["state", "look"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_copied_checkpoint_is_read_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = StateWriter::seed(&Store::directory(dir.path().join("state")), "job", None).unwrap();
    writer.values("counts", ACCUMULATORS, [(1u64, 5u64)]).unwrap();
    writer.finish().unwrap();
    let (from, to) = (latest(dir.path()), dir.path().join("kept for later"));
    fs::create_dir(&to).unwrap();
    fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()).for_each(|path| {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    });
    assert_eq!(prints(0, &["show", "--json"], &[&to]), prints(0, &["show", "--json"], &[&from]));
    // Below another job's directory it would be taken for that job's.
    let other = dir.path().join("state/other");
    StateWriter::seed(&Store::directory(dir.path().join("state")), "other", None).unwrap();
    fs::rename(&to, other.join("chk-1")).unwrap();
    assert!(prints(1, &["verify"], &[&other]).contains("it is that of checkpoint 1 of job 'job'"));
}

#[test]
fn a_reader_that_goes_away_ends_it_silently() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = StateWriter::seed(&Store::directory(dir.path().join("state")), "job", None).unwrap();
    writer.values("counts", ACCUMULATORS, (0..20_000u64).map(|n| (n, n))).unwrap();
    writer.finish().unwrap();
    for args in [&["show"][..], &["show", "--json"]] {
        let mut child =
            command(args, &[&dir.path().join("state/job")]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn savepoints_are_listed_and_shown_wherever_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("numbers.txt"), (0..RECORDS).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let job = Job::new("job").store(Store::directory(dir.path().join("state")));
        let lines = job.source("lines", LineFiles::at(dir.path().join("numbers.txt"))).max_rate(200.0);
        let counts = lines.map(|line: String| line.len() as u64).key_by(|n| *n).count().uid("counts");
        counts
            .map(|(key, count): (u64, u64)| format!("{key},{count}"))
            .sink("out", LineFile::exactly_once(dir.path().join("out")));
        let running = job.start().await.unwrap();
        running.savepoint(dir.path().join("taken")).await.unwrap();
        running.stop_with_savepoint(Place::beside_checkpoints()).await.unwrap();
    });
    let moved = dir.path().join("moved");
    fs::rename(dir.path().join("taken"), &moved).unwrap();
    let listed = prints(0, &["ls"], &[&dir.path().join("state")]);
    let row = listed.lines().find(|line| line.contains(" sp-2 ")).expect("the one beside the checkpoints");
    assert!(row.contains(" savepoint ") && row.contains("complete"), "{listed}");
    let found = lines(&prints(0, &["ls", "--json"], &[&dir.path().join("state")]));
    assert_eq!((found[0]["savepoints"].as_u64(), found[1]["kind"].as_str()), (Some(1), Some("savepoint")));
    let shown = lines(&prints(0, &["show", "--json", "--operator", "lines"], &[&moved]));
    assert!(shown.iter().any(|entry| entry["state"] == "splits"), "{shown:?}");
    prints(0, &["verify"], &[&moved]);
}
