//! Sinks: ours, and a slate that has one flaw at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::testing::{RecordingSink, suites};
use tidegate::{BoxError, CheckpointId, CsvFile, LineFile, Sink, SinkContext, SinkWriter};

use super::catches;

/// The lines of all files that `ls` shows.
fn visible_lines(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let shown = paths.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    shown.flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_recording_sink_passes_and_sees_no_violation() {
    let sink = RecordingSink::<u64>::new();
    let (made, seen) = (sink.clone(), sink.clone());
    let make = move || {
        made.die();
        made.clone()
    };
    suites::sink(make, |n| n, move || seen.committed());
    assert_eq!(sink.violations(), Vec::<String>::new());
}

#[test]
fn files_of_lines_pass_also_where_parts_stay_open_over_checkpoints() {
    for roll in [None, Some(1), Some(40), Some(1 << 20)] {
        let dir = tempfile::tempdir().unwrap();
        let (out, seen) = (dir.path().join("out"), dir.path().join("out"));
        let make = move || match roll {
            None => LineFile::<String>::exactly_once(&out),
            Some(bytes) => LineFile::exactly_once(&out).roll_at_bytes(bytes),
        };
        suites::sink(make, |n| format!("line {n}"), move || visible_lines(&seen));
    }
}

#[test]
fn files_of_csv_pass_beside_what_others_have_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("another.csv"), "7,seven\n").unwrap();
    let (out, seen) = (dir.path().to_owned(), dir.path().to_owned());
    let visible = move || visible_lines(&seen).iter().map(|line| parse(line)).collect();
    suites::sink(move || CsvFile::<(u64, String)>::exactly_once(&out), |n| (n, format!("row {n}")), visible);
}

fn parse(line: &str) -> (u64, String) {
    let (n, text) = line.split_once(',').unwrap();
    (n.parse().unwrap(), text.into())
}

/// What is wrong with a slate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    /// Of `write`; the second one is none.
    WritesThrough,
    LeavesTheVector,
    /// Of `cut`.
    CutShowsAll,
    CutsNothing,
    CutAlsoLater,
    CutFails,
    /// Of `make_durable`.
    DurableShows,
    DurableLosesAtDeath,
    DurableForgetsThoseBefore,
    HandleOfNothing,
    /// Of `commit`.
    CommitsAllThatIsDurable,
    CommitLoses,
    CommitsTwice,
    RefusesAgain,
    /// Of `recover`.
    IgnoresHandles,
    KeepsTheUnknown,
    RecoversTwice,
    KeepsTheOldest,
    /// Of writers.
    WritersShare,
    CloseCommits,
    CloseDropsAll,
    /// Of handles.
    HandleForgets,
    /// Of everything.
    Hangs,
}

#[derive(Clone, Debug, PartialEq)]
struct Batch {
    records: Vec<u64>,
    durable: bool,
    committed: bool,
}

/// What outlives the process.
#[derive(Debug, Default)]
struct World {
    batches: BTreeMap<u64, Batch>,
    visible: Vec<u64>,
    next: u64,
    shared: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Slate {
    flaw: Flaw,
    world: Arc<Mutex<World>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Handle {
    batch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forget")]
    flawed: Option<u64>,
}

fn forget<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(|_| None)
}

struct Chalk {
    slate: Slate,
    held: Vec<u64>,
}

impl World {
    fn batch(&mut self, records: Vec<u64>) -> u64 {
        self.next += 1;
        self.batches.insert(self.next, Batch { records, durable: false, committed: false });
        self.next
    }

    fn commit(&mut self, id: u64, flaw: Flaw) -> Result<(), BoxError> {
        let Some(batch) = self.batches.get_mut(&id) else { return Err(format!("batch {id} is not there").into()) };
        match (batch.committed, flaw) {
            (true, Flaw::CommitsTwice) => self.visible.extend(&batch.records),
            (true, Flaw::RefusesAgain) => return Err(format!("batch {id} is committed already").into()),
            (true, _) => {}
            (false, Flaw::CommitLoses) => self.visible.extend(batch.records.iter().skip(1)),
            (false, _) => self.visible.extend(&batch.records),
        }
        batch.committed = true;
        Ok(())
    }
}

impl Sink for Slate {
    type Item = u64;
    type Cut = Option<u64>;
    type Handle = Handle;
    type Writer = Chalk;

    fn recover(&self, _: &SinkContext, handles: Vec<Handle>) -> Result<(), BoxError> {
        let mut world = self.world.lock().unwrap();
        if self.flaw == Flaw::DurableLosesAtDeath {
            world.batches.values_mut().filter(|batch| !batch.committed).for_each(|batch| batch.records.truncate(1));
        }
        for handle in &handles {
            match self.flaw {
                Flaw::IgnoresHandles => {}
                Flaw::RecoversTwice if world.batches.get(&handle.batch).is_some_and(|batch| batch.committed) => {
                    return Err("that was recovered before".into());
                }
                flaw => world.commit(handle.batch, flaw)?,
            }
        }
        match self.flaw {
            Flaw::KeepsTheUnknown => {
                let unknown: Vec<u64> = world.batches.iter().filter(|(_, batch)| batch.durable).map(|(id, _)| *id).collect();
                unknown.into_iter().try_for_each(|id| world.commit(id, Flaw::None))?;
            }
            Flaw::KeepsTheOldest => {}
            _ => world.batches.retain(|_, batch| batch.committed),
        }
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<Chalk, BoxError> {
        let mut held = Vec::new();
        if self.flaw == Flaw::KeepsTheOldest {
            let world = self.world.lock().unwrap();
            held.extend(world.batches.values().filter(|batch| !batch.committed).flat_map(|batch| batch.records.clone()));
        }
        Ok(Chalk { slate: self.clone(), held })
    }

    fn make_durable(&self, cut: Option<u64>) -> Result<Vec<Handle>, BoxError> {
        let mut world = self.world.lock().unwrap();
        let Some(batch) = cut else { return Ok(Vec::new()) };
        if self.flaw == Flaw::CutAlsoLater {
            let later: Vec<u64> = world.shared.drain(..).collect();
            world.batches.get_mut(&batch).unwrap().records.extend(later);
        }
        if self.flaw == Flaw::DurableShows {
            world.commit(batch, Flaw::None)?;
        }
        if self.flaw == Flaw::DurableForgetsThoseBefore {
            world
                .batches
                .values_mut()
                .filter(|before| before.durable && !before.committed)
                .for_each(|before| before.records.clear());
        }
        world.batches.get_mut(&batch).unwrap().durable = true;
        Ok(vec![Handle { batch, flawed: (self.flaw == Flaw::HandleForgets).then_some(1) }])
    }

    fn commit(&self, handle: &Handle) -> Result<(), BoxError> {
        let mut world = self.world.lock().unwrap();
        if self.flaw == Flaw::Hangs {
            thread::sleep(Duration::from_secs(600));
        }
        if self.flaw == Flaw::CommitsAllThatIsDurable {
            let durable: Vec<u64> = world.batches.iter().filter(|(_, batch)| batch.durable).map(|(id, _)| *id).collect();
            return durable.into_iter().try_for_each(|id| world.commit(id, self.flaw));
        }
        world.commit(handle.batch, self.flaw)
    }
}

impl SinkWriter for Chalk {
    type Item = u64;
    type Cut = Option<u64>;

    fn write(&mut self, records: &mut Vec<u64>) -> Result<(), BoxError> {
        let mut world = self.slate.world.lock().unwrap();
        match self.slate.flaw {
            Flaw::WritesThrough => world.visible.append(records),
            Flaw::LeavesTheVector => self.held.extend(records.iter()),
            Flaw::WritersShare => world.shared.append(records),
            Flaw::CutAlsoLater => {
                world.shared.extend(records.iter());
                self.held.append(records);
            }
            _ => self.held.append(records),
        }
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<Option<u64>, BoxError> {
        let mut world = self.slate.world.lock().unwrap();
        let mut held = std::mem::take(&mut self.held);
        match self.slate.flaw {
            Flaw::CutShowsAll => world.visible.extend(&held),
            Flaw::CutsNothing => return Ok(None),
            Flaw::CutFails => return Err("there is no chalk".into()),
            Flaw::WritersShare => held.append(&mut world.shared),
            Flaw::CutAlsoLater => world.shared.clear(),
            _ => {}
        }
        if held.is_empty() && self.slate.flaw != Flaw::HandleOfNothing {
            return Ok(None);
        }
        Ok(Some(world.batch(held)))
    }

    fn close(&mut self) {
        let mut world = self.slate.world.lock().unwrap();
        match self.slate.flaw {
            Flaw::CloseCommits => world.visible.append(&mut self.held),
            Flaw::CloseDropsAll => {
                world.batches.values_mut().filter(|batch| !batch.committed).for_each(|batch| batch.records.clear())
            }
            _ => {}
        }
    }
}

fn slate(flaw: Flaw) -> impl FnOnce() {
    let slate = Slate { flaw, world: Arc::default() };
    let world = slate.world.clone();
    move || suites::sink(move || slate.clone(), |n| n, move || world.lock().unwrap().visible.clone())
}

#[test]
fn a_slate_without_a_flaw_passes() {
    slate(Flaw::None)();
}

#[test]
fn records_that_are_visible_too_early_are_caught() {
    let rule = "nothing is visible before it is committed";
    catches(rule, slate(Flaw::WritesThrough));
    catches(rule, slate(Flaw::CutShowsAll));
    catches(rule, slate(Flaw::DurableShows));
}

#[test]
fn a_write_may_leave_the_records_where_they_are() {
    slate(Flaw::LeavesTheVector)();
}

#[test]
fn records_that_are_lost_are_caught() {
    let rule = "what was committed is visible, each record once, at the latest when the data has ended";
    catches(rule, slate(Flaw::CutsNothing));
    catches(rule, slate(Flaw::CommitLoses));
}

#[test]
fn a_cut_that_reaches_further_is_caught() {
    catches("what is written after a cut belongs to the next one", slate(Flaw::CutAlsoLater));
}

#[test]
fn a_call_that_fails_is_caught() {
    catches("a call in order succeeds", slate(Flaw::CutFails));
}

#[test]
fn what_is_not_durable_is_caught() {
    let rule = "what was made durable survives its process, and its handle is enough to commit it";
    catches(rule, slate(Flaw::DurableLosesAtDeath));
    catches(rule, slate(Flaw::IgnoresHandles));
}

#[test]
fn what_a_checkpoint_that_is_given_up_loses_is_caught() {
    let rule = "a checkpoint that is given up loses nothing: a later one commits what it had prepared";
    catches(rule, slate(Flaw::DurableForgetsThoseBefore));
}

#[test]
fn a_handle_of_nothing_is_caught() {
    catches("where nothing was written there is no handle", slate(Flaw::HandleOfNothing));
}

#[test]
fn a_commit_of_more_than_its_handle_is_caught() {
    catches("a commit makes visible what its handle stands for, and nothing else", slate(Flaw::CommitsAllThatIsDurable));
}

#[test]
fn a_commit_that_is_not_idempotent_is_caught() {
    catches("committing again is a success and changes nothing", slate(Flaw::CommitsTwice));
    catches("committing again is a success and changes nothing", slate(Flaw::RefusesAgain));
}

#[test]
fn what_recover_leaves_behind_is_caught() {
    catches("recover removes what no handle knows of", slate(Flaw::KeepsTheUnknown));
    catches("recover removes what no handle knows of", slate(Flaw::KeepsTheOldest));
}

#[test]
fn a_recover_that_cannot_be_repeated_is_caught() {
    catches("recovering again with the same handles changes nothing", slate(Flaw::RecoversTwice));
}

#[test]
fn writers_that_disturb_each_other_are_caught() {
    catches("the writers of a sink do not disturb each other", slate(Flaw::WritersShare));
}

#[test]
fn a_close_that_does_too_much_is_caught() {
    catches("close gives up what was not cut off, and leaves alone what was", slate(Flaw::CloseCommits));
    catches("close gives up what was not cut off, and leaves alone what was", slate(Flaw::CloseDropsAll));
}

#[test]
fn a_handle_that_is_not_stored_is_caught() {
    catches("a handle is the same after it was stored", slate(Flaw::HandleForgets));
}

#[test]
fn a_call_that_never_returns_is_caught() {
    catches("every call of a sink returns", slate(Flaw::Hangs));
}

#[test]
fn records_that_are_alike_prove_nothing() {
    let sink = RecordingSink::<u64>::new();
    let seen = sink.clone();
    catches("the suite's records can be told apart", || suites::sink(move || sink.clone(), |_| 1, move || seen.committed()));
}
