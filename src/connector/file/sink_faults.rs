//! Tests of the sink of files where something is not as it should be: others' files, another directory, one that goes away.
//!
//! Each works in a directory of its own.

use std::fs;

use super::CsvFile;
use super::part::PartHandle;
use super::sink_tests::{Row, checkpoint, ctx, files, rows, sink, text, visible};
use crate::ids::{CheckpointId, Uid};
use crate::sink::{Sink, SinkContext, SinkWriter};

#[test]
fn leftovers_of_others_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let others = [".part-job.sink.1-0-0-0.csv.inprogress", ".part-a%20job.sink2.1-0-0-0.csv.inprogress", ".profile", "notes.csv"];
    for name in others {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    fs::write(dir.path().join(".part-a%20job.sink.000001-0000-0000-000000.csv.inprogress"), "x").unwrap();
    sink(&dir);
    let mut left: Vec<_> = files(dir.path(), true);
    left.extend(files(dir.path(), false));
    left.sort();
    let mut expected = others.map(str::to_owned);
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_changed_directory_or_sink_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..2), 1);
    let elsewhere = CsvFile::<Row>::exactly_once(dir.path().join("elsewhere"));
    let error = elsewhere.recover(&ctx(2, 0, 0), handles.clone()).unwrap_err().to_string();
    assert!(error.contains("but the sink now writes to") && error.contains("elsewhere"), "{error}");
    let renamed = SinkContext { uid: Uid::new("other"), ..ctx(2, 0, 0) };
    assert!(sink.recover(&renamed, handles.clone()).unwrap_err().to_string().contains("is not of this job and sink"));
    let escaping = PartHandle { name: "../part".into(), ..handles[0].clone() };
    assert!(sink.recover(&ctx(2, 0, 0), vec![escaping]).is_err());
    #[cfg(unix)]
    {
        let other = tempfile::tempdir().unwrap();
        let link = other.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        CsvFile::<Row>::exactly_once(&link).recover(&ctx(2, 0, 0), handles).unwrap();
        assert_eq!(visible(dir.path()), text(0..2));
    }
}

#[test]
fn a_directory_that_goes_away_is_noticed_in_every_phase() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/out");
    let sink = CsvFile::<Row>::exactly_once(&out);
    sink.recover(&ctx(1, 0, 0), Vec::new()).unwrap();
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let handles = checkpoint(&sink, &mut writer, rows(0..1), 1);
    writer.write(&mut rows(1..2)).unwrap();
    fs::remove_dir_all(&out).unwrap();
    let says = |error: crate::error::BoxError, what: &str| assert!(error.to_string().contains(what), "{error}");
    says(sink.make_durable(writer.cut(CheckpointId(2)).unwrap()).unwrap_err(), "was removed while it was written");
    says(writer.write(&mut rows(2..3)).unwrap_err(), "cannot begin a part");
    says(sink.commit(&handles[0]).unwrap_err(), "it is gone");
    says(sink.recover(&ctx(2, 0, 0), handles).unwrap_err(), "is its volume mounted?");
    fs::write(&out, "a file").unwrap();
    says(sink.recover(&ctx(2, 0, 0), Vec::new()).unwrap_err(), "check that the path names what it should");
}

#[test]
fn a_row_that_is_no_csv_names_the_part() {
    let dir = tempfile::tempdir().unwrap();
    let sink = CsvFile::exactly_once(dir.path());
    let mut writer = sink.open(&ctx(1, 0, 0)).unwrap();
    let nested = vec![std::collections::BTreeMap::from([(1, 2)])];
    let error = writer.write(&mut { nested }).unwrap_err().to_string();
    assert!(error.contains("cannot write a row to '") && error.contains(dir.path().to_str().unwrap()), "{error}");
}
