//! Golden files: a store that an older build has written is read, restored and gone on from; and whatever is done to its bytes is
//! found out, never restored as less.
//!
//! They lie in `tests/golden/v1/`: the input `in/`, the store `state/`, what a file sink had written by then `out/`, and what inspection
//! shows of it `entries.jsonl`. Write them again, by this build, after the format has got a new kind of state (never to make a failing
//! test pass: files that users have stored stay as they are):
//!
//! ```text
//! cargo test --test it golden::write_again -- --ignored
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tidegate::stored::{Datum, Entry, StateWriter, StoredCheckpoint, Wanted, jobs};
use tidegate::testing::{End, Run, Simulation};
use tidegate::{
    BoxError, CheckpointId, Context, Error, Job, KeyState, KeyedOperator, LineFile, LineFiles, ListState, MapState, OpenContext,
    ReducingState, Result, Sink, SinkContext, SinkWriter, Store, Timer, Timestamp, Ttl, Tumbling, ValueState, Watermarks, hours,
    millis,
};

use crate::common::finished;

/// From the package's directory on, in which tests run: positions in files hold these paths.
const GOLDEN: &str = "tests/golden/v1";

/// Where the file sink wrote when the golden files were written. Nothing is there any more.
const WRITTEN_TO: &str = "/tidegate-golden/out";

const RECORDS: u64 = 600;
const KEYS: u64 = 5;
const WINDOW: u64 = 100;

/// Everything that the flow emits, as texts.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

impl Collected {
    fn sorted(&self) -> Vec<String> {
        let mut all = self.0.lock().unwrap().clone();
        all.sort();
        all
    }
}

impl Sink for Collected {
    type Item = String;
    type Cut = ();
    type Handle = ();
    type Writer = Collected;

    fn recover(&self, _: &SinkContext, _: Vec<()>) -> Result<(), BoxError> {
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<Collected, BoxError> {
        Ok(self.clone())
    }

    fn make_durable(&self, (): ()) -> Result<Vec<()>, BoxError> {
        Ok(Vec::new())
    }

    fn commit(&self, (): &()) -> Result<(), BoxError> {
        Ok(())
    }
}

impl SinkWriter for Collected {
    type Item = String;
    type Cut = ();

    fn write(&mut self, records: &mut Vec<String>) -> Result<(), BoxError> {
        self.0.lock().unwrap().append(records);
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<(), BoxError> {
        Ok(())
    }
}

/// What is kept of a key: of every kind of value that files may hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Visit {
    seen: u64,
    last: String,
    lowest: Option<i64>,
    mean: f64,
    by_digit: BTreeMap<u8, u32>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Few,
    Many {
        since: u64,
    },
}

/// The first part of a key is its name, the second its number.
type Name = (String, u64);

/// The same numbers in states of all kinds, so that each can be held against the others.
struct Visits {
    visit: ValueState<Visit>,
    flags: ValueState<bool>,
    last: ListState<u64>,
    by_digit: MapState<String, u64>,
    seen: ReducingState<u64>,
    brief: ValueState<u64>,
}

/// How many numbers the list holds.
const LAST: usize = 3;

impl Visits {
    fn open(ctx: &mut OpenContext<'_, Name>) -> Result<Visits, BoxError> {
        Ok(Visits {
            visit: ctx.value("visit")?,
            flags: ctx.value("flags")?,
            last: ctx.list("last")?,
            by_digit: ctx.map("by-digit")?,
            seen: ctx.reducing("seen", |seen, more| seen + more)?,
            brief: ctx.with_ttl(Ttl::of(hours(24 * 365 * 100))).value("brief")?,
        })
    }

    /// Fails where what was restored of one state does not fit what was restored of another.
    fn check(&self, seen: u64, state: &mut KeyState<'_, Name>) -> Result<(), BoxError> {
        let of_others = [
            state.map(self.by_digit).values().sum(),
            state.get(self.seen).copied().unwrap_or(0),
            state.get(self.brief).copied().unwrap_or(0),
        ];
        let listed = state.list(self.last).len();
        if of_others == [seen; 3] && listed == LAST.min(seen as usize) {
            return Ok(());
        }
        Err(format!("the value says {seen}, the others {of_others:?}, the list holds {listed}").into())
    }
}

impl KeyedOperator for Visits {
    type Key = Name;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = ctx.key().1;
        let before = ctx.state.get(self.visit).map_or(0, |visit| visit.seen);
        self.check(before, &mut ctx.state)?;
        let visit = ctx.state.get_or_insert_with(self.visit, Visit::default);
        visit.seen += 1;
        visit.last = format!("n{n}");
        visit.lowest = Some(visit.lowest.unwrap_or(i64::MAX).min(-(n as i64)));
        visit.mean += (n as f64 - visit.mean) / visit.seen as f64;
        *visit.by_digit.entry((n % 10) as u8).or_default() += 1;
        if visit.seen == 20 {
            visit.kind = Kind::Many { since: n };
        }
        let seen = visit.seen;
        ctx.state.set(self.flags, n.is_multiple_of(2));
        ctx.state.set(self.brief, seen);
        ctx.state.add(self.seen, 1);
        *ctx.state.map(self.by_digit).get_or_insert_with(&(n % 10).to_string(), || 0) += 1;
        let mut last = ctx.state.list(self.last);
        last.push(n);
        let surplus = last.len().saturating_sub(LAST);
        let kept: Vec<u64> = last.iter().skip(surplus).copied().collect();
        last.set(kept);
        ctx.timers.event_time(Timestamp::from_millis((n - n % WINDOW + WINDOW) as i64));
        ctx.out.emit(format!("seen {key} {seen}"));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.out.emit(format!("timer {} {}", ctx.key().1, timer.time.millis()));
        Ok(())
    }
}

fn number(line: &str) -> u64 {
    line.parse().unwrap()
}

/// State of all kinds, timers, windows, the positions of a source and counts.
fn describe(store: Store, rate: Option<f64>, out: &Collected) -> Job {
    let job = Job::new("golden").parallelism(2).max_parallelism(16).store(store);
    let watermarks = Watermarks::bounded(millis(5)).on(|line: &String| Timestamp::from_millis(number(line) as i64));
    let lines = job.source("lines", LineFiles::at(format!("{GOLDEN}/in/*.txt"))).watermarks(watermarks);
    let lines = rate.map_or(lines.clone(), |rate| lines.max_rate(rate));
    let numbers = lines.map(|line: String| number(&line));
    let by_number = numbers.key_by(|n| n % KEYS);
    let counts = by_number.count().uid("counts").map(|(key, count): (u64, u64)| format!("count {key} {count}"));
    let by_name = numbers.key_by(|n| ("key".to_owned(), n % KEYS));
    let visits = by_name.process("visits", Visits::open);
    let windows = by_number.window(Tumbling::of(millis(WINDOW))).count().uid("windows");
    let windows = windows.map(|result| format!("window {} {} {}", result.window.start.millis(), result.key, result.value));
    counts.union(&visits).union(&windows).sink("out", out.clone());
    job
}

/// Lines that are copied to a file sink.
fn describe_files(store: Store, rate: Option<f64>, out: &Path) -> Job {
    let job = Job::new("files").max_parallelism(16).store(store);
    let lines = job.source("lines", LineFiles::at(format!("{GOLDEN}/in/*.txt")));
    let lines = rate.map_or(lines.clone(), |rate| lines.max_rate(rate));
    lines.sink("copies", LineFile::exactly_once(out));
    job
}

/// The store as it was written, on a simulation's disk.
fn golden(seed: u64) -> Simulation {
    let sim = Simulation::new(seed);
    for (path, bytes) in stored_files() {
        sim.disk().damage(&path, |file| *file = bytes);
    }
    sim
}

/// The files of the store, by path.
fn stored_files() -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(GOLDEN).join("state");
    let (mut dirs, mut files) = (vec![root.clone()], BTreeMap::new());
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                dirs.push(path);
            } else if !name.ends_with("/lock") {
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    assert!(files.len() >= 8, "the golden files are there: {:?}", files.keys());
    files
}

fn latest(store: &Store, job: &str) -> StoredCheckpoint {
    StoredCheckpoint::latest(store, job).unwrap().unwrap()
}

fn entries(store: &Store, job: &str) -> Vec<Entry> {
    latest(store, job).entries(&Wanted::everything()).map(Result::unwrap).collect()
}

/// What inspection shows of both jobs, a line for each entry.
fn shown(store: &Store) -> String {
    let entries = ["golden", "files"].into_iter().flat_map(|job| entries(store, job));
    entries.map(|entry| serde_json::to_string(&entry).unwrap() + "\n").collect()
}

#[test]
fn what_was_stored_is_read_as_it_was_written() {
    let sim = golden(1);
    let store = sim.disk().store();
    let found = jobs(&store).unwrap();
    assert_eq!(found.iter().map(|job| &*job.name).collect::<Vec<_>>(), ["files", "golden"]);
    for job in &found {
        assert!(job.faults.is_empty(), "{job:?}");
        let verified = latest(&store, &job.name).verify();
        assert!(verified.faults.is_empty() && verified.entries > 0, "{verified:?}");
    }
    assert_eq!(shown(&store), fs::read_to_string(Path::new(GOLDEN).join("entries.jsonl")).unwrap());
    let kinds: BTreeSet<String> = entries(&store, "golden").into_iter().map(|entry| entry.kind).collect();
    assert!(
        ["keyed_list", "list", "map", "reducing", "timers", "value", "window"].iter().all(|kind| kinds.contains(*kind)),
        "{kinds:?}"
    );
}

/// By key: how often it had been seen, as a state says.
fn seen(entries: &[Entry], operator: &str, count: impl Fn(&Datum) -> &Datum) -> BTreeMap<u64, u64> {
    let counts = |entry: &&Entry| ["accumulators", "visit"].contains(&&*entry.state);
    let of = entries.iter().filter(|entry| entry.operator.as_str() == operator).filter(counts);
    let unsigned = |datum: &Datum| match datum {
        Datum::Unsigned(n) => *n,
        Datum::List(parts) => match &parts[..] {
            [_, Datum::Unsigned(n)] => *n,
            parts => panic!("{parts:?}"),
        },
        other => panic!("{other:?}"),
    };
    of.map(|entry| (unsigned(entry.key.as_ref().unwrap()), unsigned(count(&entry.value)))).collect()
}

/// The watermark that an operator had reached.
fn watermark(checkpoint: &StoredCheckpoint, operator: &str) -> i64 {
    checkpoint.operators().into_iter().find(|found| found.uid.as_str() == operator).unwrap().watermark.millis()
}

#[test]
fn c22_a_store_of_this_format_version_is_restored_and_gone_on_from() {
    let (sim, out) = (golden(2), Collected::default());
    let checkpoint = latest(&sim.disk().store(), "golden");
    let stored = entries(&sim.disk().store(), "golden");
    let counts = seen(&stored, "counts", |value| value);
    let visits = seen(&stored, "visits", |value| match value {
        Datum::Map(fields) => &fields.iter().find(|(name, _)| *name == Datum::Text("seen".into())).unwrap().1,
        other => panic!("{other:?}"),
    });
    let read: u64 = counts.values().sum();
    assert!((RECORDS / 10..RECORDS).contains(&read), "it was taken in the middle: {read}");
    finished(&sim.run(describe(sim.disk().store(), None, &out)));

    let mut expected = Vec::new();
    for key in 0..KEYS {
        let all = (0..RECORDS).filter(|n| n % KEYS == key).count() as u64;
        expected.extend((counts[&key] + 1..=all).map(|count| format!("count {key} {count}")));
        expected.extend((visits[&key] + 1..=all).map(|seen| format!("seen {key} {seen}")));
        for start in (0..RECORDS).step_by(WINDOW as usize) {
            if (start + WINDOW) as i64 > watermark(&checkpoint, "visits") {
                expected.push(format!("timer {key} {}", start + WINDOW));
            }
            if (start + WINDOW - 1) as i64 > watermark(&checkpoint, "windows") {
                let count = (start..start + WINDOW).filter(|n| n % KEYS == key).count();
                expected.push(format!("window {start} {key} {count}"));
            }
        }
    }
    expected.sort();
    assert_eq!(out.sorted(), expected);
}

/// A part of the file sink, as checkpoints keep it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    root: String,
    name: String,
    len: u64,
    closed: bool,
}

/// The directory is moved, and the state that names it is put right: what the writer is for.
#[test]
fn a_file_sink_goes_on_in_a_directory_that_was_moved() {
    let (sim, dir) = (golden(3), tempfile::tempdir().unwrap());
    let out = fs::canonicalize(dir.path()).unwrap();
    for path in fs::read_dir(Path::new(GOLDEN).join("out")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&path, out.join(path.file_name().unwrap())).unwrap();
    }
    let moved = || sim.run(describe_files(sim.disk().store(), None, &out));
    failed_with(&moved(), &["copies", WRITTEN_TO, "set the old directory again"]);

    let parts: Vec<Part> = sim.disk().list("files", "copies", "handles").unwrap();
    assert!(!parts.is_empty() && parts.iter().all(|part| part.root == WRITTEN_TO), "{parts:?}");
    let mut writer = StateWriter::repair(&sim.disk().store(), "files", None).unwrap();
    let root = out.to_str().unwrap();
    writer.items("copies", "handles", parts.into_iter().map(|part| Part { root: root.into(), ..part })).unwrap();
    writer.finish().unwrap();
    finished(&moved());
    let visible = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let visible = visible.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut copied: Vec<u64> =
        visible.flat_map(|path| fs::read_to_string(path).unwrap().lines().map(number).collect::<Vec<_>>()).collect();
    copied.sort_unstable();
    assert!(copied.into_iter().eq(0..RECORDS), "each line once");
}

#[track_caller]
fn failed_with(run: &Run, parts: &[&str]) {
    let End::Failed(error) = &run.end else { panic!("it should have been refused: {run}") };
    let text = error.to_string();
    parts.iter().for_each(|part| assert!(text.contains(part), "it does not say '{part}': {text}"));
}

/// Everything that is read of a checkpoint, or the first error.
fn read(store: &Store, dir: &str) -> Result<Vec<Entry>> {
    let checkpoint = StoredCheckpoint::open(store, dir)?;
    let read = checkpoint.entries(&Wanted::everything()).collect::<Result<Vec<Entry>>>();
    let faults = checkpoint.verify().faults;
    assert_eq!(read.is_err(), !faults.is_empty(), "reading and checking say the same: {read:?} {faults:?}");
    read
}

/// The files of the checkpoint, and its directory.
fn checkpoint_files() -> (String, Vec<(String, Vec<u8>)>) {
    let files = stored_files();
    let (manifest, _) = files.iter().find(|(path, _)| path.starts_with("golden/") && path.ends_with("/manifest")).unwrap();
    let dir = manifest.trim_end_matches("/manifest").to_owned();
    let of_checkpoint = files.into_iter().filter(|(path, _)| path.starts_with(&dir)).collect();
    (dir, of_checkpoint)
}

#[test]
fn c22_a_flipped_byte_or_a_cut_is_an_error_that_names_the_place() {
    let (sim, (dir, files)) = (golden(4), checkpoint_files());
    let store = sim.disk().store();
    assert!(read(&store, &dir).is_ok());
    let mut places = BTreeSet::new();
    let mut check = |path: &str, bytes: Vec<u8>, what: &str| {
        sim.disk().damage(path, |file| *file = bytes);
        let text = match read(&store, &dir) {
            Err(error @ Error::Corrupt { .. }) => error.to_string(),
            other => panic!("{path}, {what}: {other:?}"),
        };
        assert!(text.contains(path), "{path}, {what}: {text}");
        let place = text.split_once("operator '").and_then(|(_, rest)| rest.split_once("', state '"));
        places.extend(place.map(|(operator, rest)| (operator.to_owned(), rest.split('\'').next().unwrap().to_owned())));
    };
    for (path, good) in &files {
        // Each byte of the beginning and of the end, where most is decided, and a sample of those between.
        let edge = |at: usize| at < 48 || at + 48 > good.len();
        for at in (0..good.len()).filter(|at| edge(*at) || at % 7 == good.len() % 7) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at / 7 % 8);
            check(path, bad, &format!("byte {at} flipped"));
            check(path, good[..at].to_vec(), &format!("cut at {at}"));
        }
        check(path, [good, &[0][..]].concat(), "one more byte");
        sim.disk().damage(path, |file| *file = good.clone());
    }
    let entries = read(&store, &dir).unwrap();
    let stored: BTreeSet<(String, String)> = entries.into_iter().map(|entry| (entry.operator.to_string(), entry.state)).collect();
    assert_eq!(places, stored, "damage within a section names its operator and state");
}

#[test]
fn c22_no_damage_is_restored_as_less() {
    let (_, files) = checkpoint_files();
    let (sim, undamaged) = (golden(5), Collected::default());
    finished(&sim.run(describe(sim.disk().store(), None, &undamaged)));
    let undamaged = undamaged.sorted();
    for (path, good) in files {
        for at in (0..good.len()).step_by(good.len() / 12) {
            for cut in [false, true] {
                let (sim, out) = (golden(5), Collected::default());
                let mut bad = good.clone();
                if cut {
                    bad.truncate(at)
                } else {
                    bad[at] ^= 0x10
                }
                sim.disk().damage(&path, |file| *file = bad);
                failed_with(&sim.run(describe(sim.disk().store(), None, &out)), &[&path, "is damaged"]);
                // Tasks whose files are whole may have gone on by then: from what was stored.
                let other = out.sorted().into_iter().find(|row| undamaged.binary_search(row).is_err());
                assert_eq!(other, None, "{path}, byte {at}");
            }
        }
    }
}

#[test]
fn files_that_are_missing_newer_or_of_another_job_are_refused_by_name() {
    let (dir, files) = checkpoint_files();
    let out = Collected::default();
    for (path, _) in files.iter().filter(|(path, _)| path.ends_with(".snap")) {
        let sim = golden(6);
        sim.disk().remove(path).unwrap();
        failed_with(&sim.run(describe(sim.disk().store(), None, &out)), &[path, "the file is missing", "usable"]);
    }
    for name in ["golden/job", "golden/head"] {
        let sim = golden(7);
        sim.disk().remove(name).unwrap();
        failed_with(&sim.run(describe(sim.disk().store(), None, &out)), &[name, "the file is missing", "bring it back"]);
    }
    // Each document begins with {"format": .., "version": 1}, and ends with a checksum.
    let manifest = format!("{dir}/manifest");
    for path in [&*manifest, "golden/job", "golden/head"] {
        let sim = golden(8);
        sim.disk().damage(path, |bytes| {
            let at = bytes.windows(8).position(|window| window == b"\xa7version").unwrap() + 8;
            assert_eq!(bytes[at], 1);
            bytes[at] = 2;
            let body = bytes.len() - 4;
            let sum = crc32c::crc32c(&bytes[..body - 1]).to_be_bytes();
            bytes[body..].copy_from_slice(&sum);
        });
        failed_with(&sim.run(describe(sim.disk().store(), None, &out)), &[path, "version 2", "newer version of tidegate"]);
    }
    let sim = golden(9);
    let stored = stored_files();
    sim.disk().damage("golden/job", |bytes| *bytes = stored["files/job"].clone());
    failed_with(&sim.run(describe(sim.disk().store(), None, &out)), &["golden/job", "'files'", "former name"]);
    let other = StoredCheckpoint::open(&sim.disk().store(), &dir).unwrap_err().to_string();
    assert!(other.contains("of job 'golden'"), "{other}");
}

#[test]
#[ignore = "writes the golden files again"]
fn write_again() {
    let root = PathBuf::from(GOLDEN);
    drop(fs::remove_dir_all(&root));
    fs::create_dir_all(root.join("in")).unwrap();
    for part in 0..2 {
        let lines: String = (0..RECORDS).filter(|n| n % 2 == part).map(|n| format!("{n}\n")).collect();
        fs::write(root.join(format!("in/{part}.txt")), lines).unwrap();
    }
    let (state, out) = (root.join("state"), PathBuf::from(WRITTEN_TO));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = || Store::directory(&state);
    for job in [describe(store(), Some(200.0), &Collected::default()), describe_files(store(), Some(200.0), &out)] {
        runtime.block_on(async {
            let job = job.start().await.unwrap();
            tokio::time::sleep(millis(1500)).await;
            job.checkpoint().await.unwrap();
            job.cancel().await.unwrap();
        });
    }
    fs::rename(&out, root.join("out")).or_else(|_| copy_all(&out, &root.join("out"))).unwrap();
    drop(fs::remove_dir_all(out.parent().unwrap()));
    for job in ["golden", "files"] {
        fs::remove_file(state.join(job).join("lock")).unwrap();
    }
    fs::write(root.join("entries.jsonl"), shown(&store())).unwrap();
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        fs::copy(&path, to.join(path.file_name().unwrap()))?;
    }
    Ok(())
}
