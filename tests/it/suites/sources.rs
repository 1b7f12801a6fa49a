//! Sources: ours, and a list whose reader has one flaw at a time.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tidegate::testing::{Scripted, suites};
use tidegate::{BoxError, CsvFiles, LineFiles, Poll, Records, Source, SplitReader};

use super::catches;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    value: f64,
}

#[test]
fn scripted_sources_pass() {
    suites::source(|| Scripted::new([(0..300).collect::<Vec<u64>>(), vec![], vec![7]]).batches(11));
    suites::source(|| Scripted::new([vec!["a", "b"]]).endless());
}

#[test]
fn files_of_lines_pass_plain_and_gzipped() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..2500).map(|n| format!("line {n}\n")).collect();
    fs::write(dir.path().join("one.txt"), format!("{text}without an end")).unwrap();
    fs::write(dir.path().join("two.txt"), "a\r\n\nb\n").unwrap();
    let mut gzip = GzEncoder::new(fs::File::create(dir.path().join("three.txt.gz")).unwrap(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap();
    let glob = dir.path().join("*");
    suites::source(move || LineFiles::at(&glob));
}

#[test]
fn files_of_csv_pass_with_rows_that_cannot_be_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let row = |n: u64| if n % 97 == 5 { format!("row {n},none\n") } else { format!("\"row\n{n}\",{n}.5\n") };
    let text: String = std::iter::once("name,value\n".to_string()).chain((0..1500).map(row)).collect();
    fs::write(dir.path().join("rows.csv"), text).unwrap();
    let glob = dir.path().join("*.csv");
    suites::source(move || CsvFiles::<Row>::at(&glob));
}

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    Unstable,
    OneName,
    OpensAnything,
    TooMany,
    Waits,
    Hangs,
    Silent,
    ForgetsPosition,
    SkipsOne,
    RepeatsOne,
    BeginsElsewhere,
    ChangesItsMind,
    NeverEndsAgain,
    Fails,
}

#[derive(Clone, Debug)]
struct List {
    flaw: Flaw,
    calls: Arc<AtomicU64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forget")]
    lost: Option<u64>,
}

/// Reads less than was written.
fn forget<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(|_| None)
}

struct ListReader {
    list: List,
    next: u64,
    polls: u64,
    reopened: bool,
}

const N: u64 = 30;

impl Source for List {
    type Item = u64;
    type Position = Place;
    type Reader = ListReader;

    fn splits(&self) -> Result<Vec<(String, Place)>, BoxError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let place = Place { at: 0, lost: None };
        let second = if self.flaw == Flaw::OneName { "a" } else { "b" };
        let mut splits = vec![("a".to_string(), place.clone()), (second.to_string(), place)];
        if self.flaw == Flaw::Unstable && call % 2 == 1 {
            splits.reverse();
        }
        Ok(splits)
    }

    fn open(&self, split: &str, position: Place) -> Result<ListReader, BoxError> {
        let known = matches!(split, "a" | "b") || self.flaw == Flaw::OpensAnything;
        if !known {
            return Err(format!("there is no split '{split}'").into());
        }
        let next = match self.flaw {
            Flaw::SkipsOne if position.at > 0 => position.at + 1,
            Flaw::RepeatsOne if position.at > 0 => position.at - 1,
            Flaw::Fails if position.at > 20 => return Err("it does not open there".into()),
            _ => position.at,
        };
        Ok(ListReader { list: self.clone(), next, polls: 0, reopened: position.at > 0 })
    }
}

impl SplitReader for ListReader {
    type Item = u64;
    type Position = Place;

    fn poll(&mut self, out: &mut Records<'_, u64>, waker: &Waker) -> Result<Poll, BoxError> {
        self.polls += 1;
        let flaw = self.list.flaw;
        match flaw {
            Flaw::Waits => thread::sleep(Duration::from_millis(200)),
            Flaw::Hangs if self.next >= N => thread::sleep(Duration::from_secs(600)),
            Flaw::Silent if self.polls == 2 => return Ok(Poll::Pending),
            Flaw::None if self.polls % 4 == 2 => {
                waker.wake_by_ref();
                return Ok(Poll::Pending);
            }
            _ => {}
        }
        let room = (out.room() as u64).min(6) + u64::from(flaw == Flaw::TooMany);
        let to = (self.next + room).min(N);
        let shown =
            |n: u64| if flaw == Flaw::ChangesItsMind && n == 3 { self.list.calls.fetch_add(1, Ordering::SeqCst) } else { n };
        out.extend((self.next..to).map(shown));
        self.next = to;
        let ends = self.next >= N && !(flaw == Flaw::NeverEndsAgain && self.reopened);
        Ok(if ends {
            Poll::Ended
        } else if self.next >= N {
            Poll::Pending
        } else {
            Poll::Ready
        })
    }

    fn position(&self) -> Place {
        let at = if self.list.flaw == Flaw::BeginsElsewhere && self.polls == 0 { self.next + 1 } else { self.next };
        Place { at, lost: (self.list.flaw == Flaw::ForgetsPosition && self.next == 12).then_some(1) }
    }
}

fn list(flaw: Flaw) -> impl FnOnce() {
    let list = List { flaw, calls: Arc::default() };
    move || suites::source(move || list.clone())
}

#[test]
fn a_list_without_a_flaw_passes() {
    list(Flaw::None)();
}

#[test]
fn splits_that_change_are_caught() {
    catches("the splits are the same at each call", list(Flaw::Unstable));
}

#[test]
fn two_splits_of_one_name_are_caught() {
    catches("each split has a name of its own", list(Flaw::OneName));
}

#[test]
fn a_lost_split_that_opens_is_caught() {
    catches("a split that is not there does not open", list(Flaw::OpensAnything));
}

#[test]
fn more_records_than_there_is_room_for_are_caught() {
    catches("a reader hands out no more records than there is room for", list(Flaw::TooMany));
}

#[test]
fn a_poll_that_waits_is_caught() {
    catches("a poll never waits", list(Flaw::Waits));
}

#[test]
fn a_poll_that_never_returns_is_caught() {
    catches("a poll never waits", list(Flaw::Hangs));
}

#[test]
fn a_reader_that_wakes_nobody_is_caught() {
    catches("a reader that has nothing for now wakes its waker when it has", list(Flaw::Silent));
}

#[test]
fn a_position_that_is_not_stored_is_caught() {
    catches("a position is the same after it was stored", list(Flaw::ForgetsPosition));
}

#[test]
fn a_record_that_is_skipped_or_repeated_after_a_restart_is_caught() {
    catches("a reader opened at a position goes on exactly there", list(Flaw::SkipsOne));
    catches("a reader opened at a position goes on exactly there", list(Flaw::RepeatsOne));
    catches("a reader opened at a position goes on exactly there", list(Flaw::BeginsElsewhere));
    catches("a reader opened at a position goes on exactly there", list(Flaw::NeverEndsAgain));
}

#[test]
fn a_position_that_does_not_open_is_caught() {
    catches("a split opens at every position that its reader gave", list(Flaw::Fails));
}

#[test]
fn records_that_change_are_caught() {
    catches("a split gives the same records each time it is read", list(Flaw::ChangesItsMind));
}

#[test]
fn a_suite_without_data_proves_nothing() {
    catches("the suite has some data to read", || suites::source(|| Scripted::<u64>::new([vec![]])));
}

#[test]
fn data_that_cannot_be_read_is_told() {
    catches("the suite's data can be read", || {
        let broken = tidegate::testing::Fault::error_at(1).times(99);
        suites::source(move || Scripted::new([vec![1]]).fault(tidegate::testing::SourceCall::Poll, &broken));
    });
}
