//! Jobs whose store misbehaves: it gives their lock to another process, or does not come back.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::{
    BoxError, CheckpointId, Checkpoints, Error, Job, JobHandle, LineFile, LineFiles, Restart, Sink, SinkContext, SinkWriter,
    Store, millis,
};

use crate::suites::stores::{Flaw, Map};

const RECORDS: u64 = 4000;

/// Counts the numbers of a file by their remainder. It takes about two seconds, and checkpoints when it is asked to.
async fn start(store: &Map, dir: &Path, sink: impl Sink<Item = String>) -> JobHandle {
    let job = Job::new("job").store(Store::of(store.clone())).checkpoints(Checkpoints::manual());
    let job = job.restart(Restart::fixed_delay(3, millis(1)));
    let lines = job.source("lines", LineFiles::at(dir.join("numbers.txt"))).max_rate(2000.0);
    let counts = lines.key_by(|line: &String| line.parse::<u64>().unwrap() % 7).count().uid("counts");
    counts.map(|(key, count): (u64, u64)| format!("{key},{count}")).sink("out", sink);
    let job = job.start().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    job
}

fn write_numbers(dir: &Path) {
    fs::write(dir.join("numbers.txt"), (0..RECORDS).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
}

fn expected() -> Vec<String> {
    let mut rows: Vec<String> = (0..RECORDS).map(|n| format!("{},{}", n % 7, n / 7 + 1)).collect();
    rows.sort();
    rows
}

fn committed(dir: &Path) -> Vec<String> {
    let parts = fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let parts = parts.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    let lines = |path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let mut rows: Vec<String> = parts.flat_map(lines).collect();
    rows.sort();
    rows
}

#[track_caller]
fn was_taken_over(end: &Error) {
    assert!(end.to_string().contains("a newer start of the job has taken it over"), "{end}");
    let cause = if let Error::RestartsExhausted { cause, .. } = end { cause } else { end };
    assert!(matches!(cause, Error::Fenced { path } if path.ends_with("job/head")), "{end:?}");
}

#[tokio::test]
async fn a_store_that_does_not_come_back_holds_a_job_up_for_its_timeout_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    write_numbers(dir.path());
    let (store, out) = (Map::with(Flaw::Hangs), Rows::default());
    let job = Job::new("job").store(Store::of(store).timeout(millis(30))).checkpoints(Checkpoints::every(millis(20)).retain(1));
    let lines = job.source("lines", LineFiles::at(dir.path().join("numbers.txt"))).max_rate(4000.0);
    let counts = lines.key_by(|line: &String| line.parse::<u64>().unwrap() % 7).count().uid("counts");
    counts.map(|(key, count): (u64, u64)| format!("{key},{count}")).sink("out", out.clone());
    // It hangs whenever a checkpoint is deleted, for longer than any test.
    let summary = job.start().await.unwrap().wait().await.unwrap();
    assert!(summary.checkpoints > 10, "{summary:?}");
    assert_eq!(out.sorted(), expected());
}

/// A sink whose rows are in its handles, so that no process can take anything away from another: one row, one commit.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<String>>>);

impl Rows {
    fn sorted(&self) -> Vec<String> {
        let mut rows = self.0.lock().unwrap().clone();
        rows.retain(|row| !row.starts_with("of "));
        rows.sort();
        rows
    }
}

/// Rows of one cut, under a name by which a commit that is made again is known.
type Cut = (String, Vec<String>);

struct RowsWriter(String, Vec<String>);

impl Sink for Rows {
    type Item = String;
    type Cut = Cut;
    type Handle = Cut;
    type Writer = RowsWriter;

    fn recover(&self, _: &SinkContext, handles: Vec<Cut>) -> Result<(), BoxError> {
        handles.iter().try_for_each(|handle| self.commit(handle))
    }

    fn open(&self, ctx: &SinkContext) -> Result<RowsWriter, BoxError> {
        Ok(RowsWriter(format!("{:?}", ctx.attempt), Vec::new()))
    }

    fn make_durable(&self, cut: Cut) -> Result<Vec<Cut>, BoxError> {
        Ok(vec![cut])
    }

    fn commit(&self, (name, rows): &Cut) -> Result<(), BoxError> {
        let mut committed = self.0.lock().unwrap();
        if !committed.contains(name) {
            committed.push(name.clone());
            committed.extend_from_slice(rows);
        }
        Ok(())
    }
}

impl SinkWriter for RowsWriter {
    type Item = String;
    type Cut = Cut;

    fn write(&mut self, records: &mut Vec<String>) -> Result<(), BoxError> {
        self.1.append(records);
        Ok(())
    }

    fn cut(&mut self, checkpoint: CheckpointId) -> Result<Cut, BoxError> {
        Ok((format!("of {} at {checkpoint}", self.0), std::mem::take(&mut self.1)))
    }
}

#[tokio::test]
async fn a8_a_job_that_was_taken_over_completes_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    write_numbers(dir.path());
    // A lease that has run out is a lock that lets a second holder in.
    let (store, out) = (Map::with(Flaw::LocksNobodyOut), Rows::default());
    let zombie = start(&store, dir.path(), out.clone()).await;
    let before = zombie.checkpoint().await.unwrap();

    let job = start(&store, dir.path(), out.clone()).await;
    assert!(zombie.checkpoint().await.is_err());
    assert!(job.checkpoint().await.unwrap() > before, "the other one goes on");
    was_taken_over(&zombie.wait().await.unwrap_err());
    assert_eq!(zombie.status().restarts, 0, "no restart mends it");

    job.wait().await.unwrap();
    assert_eq!(out.sorted(), expected(), "each once, by whichever it was");
}

#[tokio::test]
async fn a8_a_job_that_was_taken_over_takes_no_sink_up_again() {
    let dir = tempfile::tempdir().unwrap();
    write_numbers(dir.path());
    let (store, out) = (Map::with(Flaw::LocksNobodyOut), dir.path().join("out"));
    let zombie = start(&store, dir.path(), LineFile::exactly_once(&out)).await;
    zombie.checkpoint().await.unwrap();

    // The other one removes the part that the first is writing, so that this fails and would be restarted.
    let job = start(&store, dir.path(), LineFile::exactly_once(&out)).await;
    assert!(zombie.checkpoint().await.is_err());
    was_taken_over(&zombie.wait().await.unwrap_err());

    job.wait().await.unwrap();
    assert_eq!(job.status().restarts, 0, "nobody has taken a part of the other one away");
    assert_eq!(committed(dir.path()), expected());
}
