//! What jobs have stored, as another program reads it: with Python's MessagePack reader and none of our code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde::Deserialize;
use tidegate::stored::{StateWriter, StoredCheckpoint};
use tidegate::testing::{Scripted, Simulation};
use tidegate::{Job, Store, millis};

/// One state, as the script tells it.
#[derive(Debug, Deserialize)]
struct Told {
    operator: String,
    state: String,
    kind: String,
    entries: u64,
    content: Vec<serde_json::Value>,
}

/// Whether there is a Python that has the reader. Where there is none, nothing here can be tested.
fn has_reader() -> bool {
    let asked = Command::new("python3").args(["-c", "import msgpack"]).output();
    let has = asked.is_ok_and(|asked| asked.status.success());
    if !has {
        println!("skipped: python3 cannot import msgpack");
    }
    has
}

fn walk(checkpoint: &Path) -> Output {
    Command::new("python3").arg("tests/oracle/walk_state.py").arg(checkpoint).output().unwrap()
}

/// What the script finds in a checkpoint, by operator and state.
#[track_caller]
fn walked(checkpoint: &Path) -> BTreeMap<(String, String), Told> {
    let output = walk(checkpoint);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let told = lines.lines().map(|line| serde_json::from_str::<Told>(line).unwrap());
    told.map(|told| ((told.operator.clone(), told.state.clone()), told)).collect()
}

/// It finds as many entries of each state as our own reader does.
#[track_caller]
fn agrees(checkpoint: &StoredCheckpoint, told: &BTreeMap<(String, String), Told>) {
    for stats in checkpoint.stats() {
        let told = &told[&(stats.operator.to_string(), stats.state.clone())];
        assert_eq!((&told.kind, told.entries), (&stats.kind, stats.total.entries), "{told:?}");
    }
}

/// The numbers of a state whose keys are numbers.
fn numbers(told: &Told) -> BTreeMap<u64, u64> {
    let number = |entry: &serde_json::Value, at: usize| entry[at].as_u64().unwrap();
    told.content.iter().map(|entry| (number(entry, 0), number(entry, 1))).collect()
}

#[tokio::test]
async fn a_running_jobs_checkpoint_is_read_and_has_what_the_job_has_counted() {
    if !has_reader() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(dir.path());
    let job = Job::new("job").store(store.clone()).parallelism(2);
    let out = Simulation::new(1).sink();
    let numbers_of = Scripted::new([(0..100u64).collect::<Vec<_>>()]).endless();
    job.source("numbers", numbers_of).key_by(|n| n % 7).count().uid("counts").sink("out", out);
    let running = job.start().await.unwrap();
    while running.status().operators["numbers"].records < 100 {
        tokio::time::sleep(millis(1)).await;
    }
    let id = running.checkpoint().await.unwrap();
    running.cancel().await.unwrap();

    let checkpoint = StoredCheckpoint::latest(&store, "job").unwrap().unwrap();
    let path = dir.path().join(format!("job/chk-{id}"));
    let told = walked(&path);
    agrees(&checkpoint, &told);
    let counts = numbers(&told[&("counts".into(), "accumulators".into())]);
    assert_eq!(counts, (0..7).map(|key| (key, if key < 2 { 15 } else { 14 })).collect());
    // A byte of any of its files that is not as it was is found.
    for file in std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        std::fs::write(&file, flipped).unwrap();
        assert!(!walk(&path).status.success(), "{}", file.display());
        std::fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn state_of_every_kind_is_read() {
    if !has_reader() {
        return;
    }
    let golden = Path::new("tests/golden/v1/state");
    let told = walked(&golden.join("golden/chk-1"));
    agrees(&StoredCheckpoint::latest(&Store::directory(golden), "golden").unwrap().unwrap(), &told);
    let mut kinds: BTreeSet<String> = told.into_values().map(|told| told.kind).collect();

    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(dir.path());
    let mut writer = StateWriter::seed(&store, "job", None).unwrap();
    writer.broadcast("rules", "rules", [("b", 2u64), ("a", 1)]).unwrap();
    writer.union_items("lists", "union", [5u64, 6]).unwrap();
    writer.accumulators("means", "mean", [(1u64, (10u64, 4u64))]).unwrap();
    writer.maps("maps", "by number", [(1u64, [(7u64, "seven")])]).unwrap();
    let id = writer.finish().unwrap().checkpoint;
    let told = walked(&dir.path().join(format!("job/chk-{id}")));
    agrees(&StoredCheckpoint::latest(&store, "job").unwrap().unwrap(), &told);
    let content = |operator: &str, state: &str| serde_json::to_string(&told[&(operator.into(), state.into())].content).unwrap();
    assert_eq!(content("rules", "rules"), r#"[["b",2],["a",1]]"#);
    assert_eq!(content("lists", "union"), "[5,6]");
    assert_eq!(content("means", "mean"), "[[1,[10,4]]]");
    assert_eq!(content("maps", "by number"), r#"[[1,[[7,"seven"]]]]"#);

    kinds.extend(told.into_values().map(|told| told.kind));
    let all = ["aggregating", "broadcast", "keyed_list", "list", "map", "reducing", "timers", "union_list", "value", "window"];
    assert!(kinds.iter().eq(all), "{kinds:?}");
}
