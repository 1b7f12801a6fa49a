//! Tests of the sink of files, phase by phase: what is visible, what is left behind, what is refused.
//!
//! Each works in a directory of its own.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::part::PartHandle;
use super::{CsvFile, LineFile};
use crate::codec;
use crate::ids::{Attempt, CheckpointId, Uid};
use crate::sink::{Sink, SinkContext, SinkWriter};

pub(super) type Row = (u32, String);

pub(super) fn ctx(epoch: u64, n: u32, index: u32) -> SinkContext {
    SinkContext { job: "a job".into(), uid: Uid::new("sink"), attempt: Attempt { epoch, n }, index, parallelism: 4 }
}

pub(super) fn sink(dir: &TempDir) -> CsvFile<Row> {
    let sink = CsvFile::exactly_once(dir.path());
    sink.recover(&ctx(1, 0, 0), Vec::new()).unwrap();
    sink
}

pub(super) fn rows(ids: std::ops::Range<u32>) -> Vec<Row> {
    ids.map(|id| (id, format!("row {id}"))).collect()
}

/// The files of a directory, hidden or not, in order.
pub(super) fn files(dir: &Path, hidden: bool) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with('.') == hidden);
    names.sort();
    names
}

/// What `cat *.csv` shows.
pub(super) fn visible(dir: &Path) -> String {
    files(dir, false).iter().map(|name| fs::read_to_string(dir.join(name)).unwrap()).collect()
}

pub(super) fn text(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{id},row {id}\n")).collect()
}

/// Writes, cuts and makes durable; handles go through MessagePack as in a checkpoint.
pub(super) fn checkpoint<S: Sink<Handle = PartHandle>>(
    sink: &S,
    writer: &mut S::Writer,
    mut rows: Vec<S::Item>,
    id: u64,
) -> Vec<PartHandle> {
    writer.write(&mut rows).unwrap();
    assert!(rows.is_empty());
    let handles = sink.make_durable(writer.cut(CheckpointId(id)).unwrap()).unwrap();
    let mut bytes = Vec::new();
    codec::encode(&handles, &mut bytes).unwrap();
    codec::decode(&bytes).unwrap()
}

#[test]
fn f1_what_is_written_behind_a_barrier_is_not_in_its_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    writer.write(&mut rows(0..2)).unwrap();
    let cut = writer.cut(CheckpointId(1)).unwrap();
    writer.write(&mut rows(2..4)).unwrap();
    let first = sink.make_durable(cut).unwrap();
    assert_eq!(visible(dir.path()), "");
    sink.commit(&first[0]).unwrap();
    assert_eq!(visible(dir.path()), text(0..2));
    let cut = writer.cut(CheckpointId(2)).unwrap();
    let second = sink.make_durable(cut).unwrap();
    assert_eq!(visible(dir.path()), text(0..2));
    sink.commit(&second[0]).unwrap();
    assert_eq!(visible(dir.path()), text(0..4));
}

#[test]
fn f2_another_process_commits_with_the_state_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..3), 1);
    writer.write(&mut rows(3..5)).unwrap();
    drop((writer, sink));
    let sink = CsvFile::<Row>::exactly_once(dir.path());
    sink.recover(&ctx(2, 0, 0), handles).unwrap();
    assert_eq!(visible(dir.path()), text(0..3));
    assert!(files(dir.path(), true).is_empty());
}

#[test]
fn f3_an_aborted_checkpoint_rides_on_the_next_and_f4_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let aborted = checkpoint(&sink, &mut writer, rows(0..1), 1);
    let complete = checkpoint(&sink, &mut writer, rows(1..2), 2);
    let later = checkpoint(&sink, &mut writer, rows(2..3), 3);
    for handle in aborted.iter().chain(&complete) {
        sink.commit(handle).unwrap();
    }
    assert_eq!(visible(dir.path()), text(0..2));
    sink.commit(&later[0]).unwrap();
    assert_eq!(visible(dir.path()), text(0..3));
}

#[test]
fn f5_committing_again_is_a_success_and_what_is_newer_goes() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..2), 1);
    checkpoint(&sink, &mut writer, rows(2..4), 2);
    sink.commit(&handles[0]).unwrap();
    sink.commit(&handles[0]).unwrap();
    sink.recover(&ctx(2, 0, 0), handles.clone()).unwrap();
    sink.recover(&ctx(2, 1, 0), handles).unwrap();
    assert_eq!(visible(dir.path()), text(0..2));
    assert!(files(dir.path(), true).is_empty());
}

#[test]
fn f9_nothing_written_no_handle_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    for id in 0..100 {
        assert!(checkpoint(&sink, &mut writer, Vec::new(), id).is_empty());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn f11_f13_the_end_of_data_rolls_every_part_and_begins_none() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir).roll_at_bytes(1 << 30);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    writer.write(&mut rows(0..2)).unwrap();
    writer.finish().unwrap();
    let aborted = checkpoint(&sink, &mut writer, Vec::new(), 7);
    assert!(checkpoint(&sink, &mut writer, Vec::new(), 8).is_empty());
    assert_eq!(visible(dir.path()), "");
    sink.commit(&aborted[0]).unwrap();
    assert_eq!(visible(dir.path()), text(0..2));
    assert!(writer.write(&mut rows(2..3)).unwrap_err().to_string().contains("after the end of data"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn f15_e16_closing_gives_up_what_is_open_and_leaves_what_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    // Closed by each barrier; rolled as soon as something is written; rolled in between; open for long.
    for limit in [None, Some(4), Some(40), Some(1 << 20)] {
        let sink = limit.into_iter().fold(sink(&dir), |sink, bytes| sink.roll_at_bytes(bytes));
        sink.recover(&ctx(1, 0, 0), Vec::new()).unwrap();
        let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
        let handles = checkpoint(&sink, &mut writer, rows(0..3), 1);
        let cut_off = files(dir.path(), true);
        writer.write(&mut rows(3..9)).unwrap();
        writer.write(&mut rows(9..10)).unwrap();
        writer.close();
        assert_eq!(files(dir.path(), true), cut_off);
        drop(writer);
        sink.recover(&ctx(1, 1, 0), handles).unwrap();
        assert_eq!(visible(dir.path()), text(0..3));
        fs::remove_file(dir.path().join(&files(dir.path(), false)[0])).unwrap();
    }
}

#[test]
fn f17_the_barrier_takes_what_is_buffered() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..10), 1);
    assert_eq!(handles[0].len, text(0..10).len() as u64);
}

#[test]
fn f30_only_what_is_committed_has_a_visible_name() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(12, 3, 2)).unwrap();
    writer.write(&mut rows(0..9)).unwrap();
    assert_eq!(files(dir.path(), false), [""; 0]);
    let handles = checkpoint(&sink, &mut writer, Vec::new(), 1);
    assert_eq!(files(dir.path(), true), [".part-a%20job.sink.000012-0003-0002-000000.csv.inprogress"]);
    assert_eq!(files(dir.path(), false), [""; 0]);
    sink.commit(&handles[0]).unwrap();
    assert_eq!(files(dir.path(), false), ["part-a%20job.sink.000012-0003-0002-000000.csv"]);
    assert_eq!(files(dir.path(), true), [""; 0]);
}

#[test]
fn f31_a_restart_truncates_a_part_to_what_the_checkpoint_knows() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir).roll_at_bytes(1 << 30);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let first = checkpoint(&sink, &mut writer, rows(0..2), 1);
    let mut state = first.clone();
    state.extend(checkpoint(&sink, &mut writer, rows(2..4), 2));
    writer.write(&mut rows(4..50_000)).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(writer);
    sink.recover(&ctx(1, 1, 0), state).unwrap();
    assert_eq!(visible(dir.path()), text(0..4));
    // Going back to what the part has outgrown leaves it as it is.
    sink.recover(&ctx(1, 2, 0), first).unwrap();
    assert_eq!(visible(dir.path()), text(0..4));
}

#[test]
fn f32_a_commit_replaces_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handle = checkpoint(&sink, &mut writer, rows(0..2), 1).remove(0);
    let hidden = dir.path().join(&files(dir.path(), true)[0]);
    let shown = dir.path().join(&handle.name);
    let refused = |why: &str| {
        for error in [sink.commit(&handle).unwrap_err(), sink.recover(&ctx(2, 0, 0), vec![handle.clone()]).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(why) && error.contains(shown.to_str().unwrap()), "{error}");
        }
    };

    fs::write(&shown, "another's").unwrap();
    refused("is not overwritten");
    assert_eq!(fs::read_to_string(&shown).unwrap(), "another's");
    fs::remove_file(&shown).unwrap();

    fs::write(&hidden, "0,r").unwrap();
    refused("rows are lost");
    fs::write(&hidden, text(0..2) + "2,ro").unwrap();
    assert!(sink.commit(&handle).unwrap_err().to_string().contains("longer than when it was closed"));
    sink.recover(&ctx(2, 0, 0), vec![handle.clone()]).unwrap();
    assert_eq!(visible(dir.path()), text(0..2));

    fs::write(&shown, text(0..3)).unwrap();
    refused("another length");
    fs::remove_file(&shown).unwrap();
    refused("it is gone, so its rows are lost");
    let sink = sink.parts_may_be_taken(true);
    sink.commit(&handle).unwrap();
    sink.recover(&ctx(2, 0, 0), vec![handle]).unwrap();
}

#[test]
fn f32_a_failed_recovery_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..2), 1);
    checkpoint(&sink, &mut writer, rows(2..4), 2);
    let before = files(dir.path(), true);
    fs::write(dir.path().join(&handles[0].name), "another's").unwrap();
    assert!(sink.recover(&ctx(2, 0, 0), handles).is_err());
    assert_eq!(files(dir.path(), true), before);
}

#[test]
fn f33_parts_of_all_attempts_and_writers_have_names_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut expected = 0;
    for (epoch, n, parallelism) in [(1, 0, 4), (1, 1, 2), (2, 0, 4), (10, 0, 1)] {
        for index in 0..parallelism {
            let mut writer = sink.open(&ctx(epoch, n, index)).unwrap();
            for id in 0..3 {
                sink.commit(&checkpoint(&sink, &mut writer, rows(0..1), id)[0]).unwrap();
                expected += 1;
            }
        }
    }
    assert_eq!(files(dir.path(), false).len(), expected);
    let mut again = sink.open(&ctx(1, 0, 0)).unwrap();
    let error = again.write(&mut rows(7..8)).unwrap_err().to_string();
    assert!(error.contains("is already there, from an earlier life of the job"), "{error}");
}

#[test]
fn f34_leftovers_are_removed_only_at_recovery_and_only_those_that_no_handle_knows() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let (mut one, mut other) = (sink.open(&ctx(1, 0, 0)).unwrap(), sink.open(&ctx(1, 0, 1)).unwrap());
    let first = checkpoint(&sink, &mut one, rows(0..2), 1);
    let second = checkpoint(&sink, &mut one, rows(2..4), 2);
    let aborted = checkpoint(&sink, &mut one, rows(4..6), 3);
    other.write(&mut rows(6..8)).unwrap();
    let cut = other.cut(CheckpointId(3)).unwrap();
    other.write(&mut rows(8..10)).unwrap();
    assert_eq!(files(dir.path(), true).len(), 5);
    sink.commit(&first[0]).unwrap();
    assert_eq!(files(dir.path(), true).len(), 4, "a commit removes no other part");
    let third = sink.open(&ctx(1, 0, 2)).unwrap();
    assert_eq!(files(dir.path(), true).len(), 4, "nor does a writer that opens");
    let another = ".part-job.another.000001-0000-0000-000000.csv.inprogress";
    fs::write(dir.path().join(another), "9,row 9\n").unwrap();
    sink.recover(&ctx(2, 0, 0), second).unwrap();
    assert_eq!(files(dir.path(), true), [another], "what the checkpoint does not know is gone, and what is another sink's stays");
    assert_eq!(visible(dir.path()), text(0..4));
    assert!(sink.commit(&aborted[0]).is_err());
    drop((cut, third));
}

#[test]
fn f35_parts_roll_by_size_within_and_across_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir).roll_at_bytes(50);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let first = checkpoint(&sink, &mut writer, rows(0..1), 1);
    sink.commit(&first[0]).unwrap();
    assert_eq!(visible(dir.path()), "");
    for id in 1..10 {
        writer.write(&mut rows(id..id + 1)).unwrap();
    }
    let second = checkpoint(&sink, &mut writer, Vec::new(), 2);
    assert!(second.len() >= 2 && second.iter().rev().skip(1).all(|handle| handle.closed && handle.len >= 50), "{second:?}");
    let third = checkpoint(&sink, &mut writer, Vec::new(), 3);
    assert_eq!(third, second[second.len() - 1..], "an open part stays in the state while nothing is written");
    second.iter().for_each(|handle| sink.commit(handle).unwrap());
    let committed = visible(dir.path());
    assert!(text(0..10).starts_with(&committed) && committed.len() >= 50);
    writer.finish().unwrap();
    checkpoint(&sink, &mut writer, Vec::new(), 4).iter().for_each(|handle| sink.commit(handle).unwrap());
    assert_eq!(visible(dir.path()), text(0..10));
}

#[test]
fn f36_after_rescaling_no_part_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir).roll_at_bytes(1 << 30);
    let mut state = Vec::new();
    for index in 0..2 {
        let mut writer = sink.open(&ctx(1, 0, index)).unwrap();
        state.extend(checkpoint(&sink, &mut writer, rows(index * 5..index * 5 + 5), 1));
    }
    sink.recover(&ctx(2, 0, 0), state).unwrap();
    assert_eq!(visible(dir.path()), text(0..10));
}

#[test]
fn headers_head_each_part_and_lines_are_written_as_they_show_themselves() {
    #[derive(serde::Serialize)]
    struct Delay {
        origin: &'static str,
        minutes: f64,
    }
    let dir = tempfile::tempdir().unwrap();
    let sink = CsvFile::exactly_once(dir.path()).headers(true);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    for (id, minutes) in [1.5, 2.5].into_iter().enumerate() {
        let handles = checkpoint(&sink, &mut writer, vec![Delay { origin: "EWR", minutes }], id as u64);
        sink.commit(&handles[0]).unwrap();
    }
    assert_eq!(visible(dir.path()), "origin,minutes\nEWR,1.5\norigin,minutes\nEWR,2.5\n");

    let dir = tempfile::tempdir().unwrap();
    let sink = LineFile::exactly_once(dir.path());
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, vec!["a", "b c"], 1);
    sink.commit(&handles[0]).unwrap();
    assert!(files(dir.path(), false)[0].ends_with(".txt"));
    assert_eq!(visible(dir.path()), "a\nb c\n");
}

#[test]
fn f33_a_directory_with_parts_of_an_earlier_life_is_refused_until_they_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let sink = CsvFile::<Row>::exactly_once(dir.path());
    sink.begin(&ctx(1, 0, 0)).unwrap();
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..2), 1);
    sink.begin(&ctx(1, 1, 0)).unwrap();
    assert_eq!(files(dir.path(), true), Vec::<String>::new(), "what was not committed is no earlier life");
    let mut writer = sink.open(&ctx(1, 1, 0)).unwrap();
    let handles = [handles, checkpoint(&sink, &mut writer, rows(0..2), 2)].concat();
    sink.commit(&handles[1]).unwrap();
    for ctx in [ctx(1, 0, 0), ctx(2, 0, 0)] {
        let error = sink.begin(&ctx).unwrap_err();
        assert!(error.is::<crate::Fatal>() && error.to_string().contains(&handles[1].name), "{error}");
    }
    assert_eq!(visible(dir.path()), text(0..2));
    fs::remove_file(dir.path().join(&handles[1].name)).unwrap();
    sink.begin(&ctx(2, 0, 0)).unwrap();
}
