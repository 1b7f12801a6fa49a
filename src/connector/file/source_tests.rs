//! Tests of the sources of files: every file, every position, every damage that a file may come with.
//!
//! Files are small and in a directory of their own.

use std::io::Write;
use std::path::Path;
use std::task::Waker;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

use super::{CsvFiles, FilePosition, LineFiles, MAX_ROW_BYTES, POLL_BYTES};
use crate::codec;
use crate::source::{Poll, Records, Rejected, Source, SplitReader};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Row {
    id: u32,
    name: String,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a reader handed out, with the position behind each poll.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) values: Vec<T>,
    rejected: Vec<Rejected>,
    positions: Vec<(usize, FilePosition)>,
}

fn read<S: Source<Position = FilePosition>>(
    source: &S,
    split: &str,
    at: FilePosition,
    limit: usize,
) -> Result<Read<S::Item>, String> {
    // As a checkpoint does it: the position goes through MessagePack.
    let mut bytes = Vec::new();
    codec::encode(&at, &mut bytes).unwrap();
    let mut reader = source.open(split, codec::decode(&bytes).unwrap()).map_err(|error| error.to_string())?;
    let mut all = Read { values: Vec::new(), rejected: Vec::new(), positions: vec![(0, reader.position())] };
    loop {
        let (mut values, mut rejected) = (Vec::new(), Vec::new());
        let mut out = Records::new(&mut values, &mut rejected, limit);
        let poll = reader.poll(&mut out, Waker::noop()).map_err(|error| error.to_string())?;
        assert!(values.len() + rejected.len() <= limit);
        all.values.append(&mut values);
        all.rejected.append(&mut rejected);
        all.positions.push((all.values.len() + all.rejected.len(), reader.position()));
        if poll == Poll::Ended {
            return Ok(all);
        }
    }
}

fn only_split<S: Source<Position = FilePosition>>(source: &S) -> (String, FilePosition) {
    let mut splits = source.splits().unwrap();
    assert_eq!(splits.len(), 1);
    splits.remove(0)
}

/// Resumes at every position and expects what a reading from the beginning finds behind it; returns that reading.
pub(super) fn resume_everywhere<S>(source: &S) -> Read<S::Item>
where
    S: Source<Position = FilePosition>,
    S::Item: Clone + PartialEq + std::fmt::Debug,
{
    let (split, beginning) = only_split(source);
    let whole = read(source, &split, beginning, 1).unwrap();
    for (seen, position) in &whole.positions {
        let rest = read(source, &split, *position, 3).unwrap();
        let rejected_before = whole.rejected.len() - rest.rejected.len();
        assert_eq!(rest.values, whole.values[seen - rejected_before..], "resumed at {position:?}");
        assert_eq!(rest.rejected, whole.rejected[rejected_before..], "resumed at {position:?}");
    }
    whole
}

pub(super) fn both_ways(contents: &[u8], test: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("plain.csv", contents.to_vec()), ("packed.csv.gz", gzip(contents))] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        test(&path);
    }
}

fn rows(found: &Read<Row>) -> Vec<(u32, &str)> {
    found.values.iter().map(|row| (row.id, row.name.as_str())).collect()
}

#[test]
fn g1_reading_goes_on_exactly_at_the_position_wherever_it_is() {
    let variants: [&[u8]; 7] = [
        b"id,name\n1,a\n2,b\n3,c\n",
        b"id,name\n1,a\n2,b\n3,c",
        b"id,name\r\n1,a\r\n2,b\r\n3,c\r\n",
        b"\xef\xbb\xbfid,name\n1,a\n\n\n2,b\n3,c\n\n",
        b"name,id\na,1\nb,2\nc,3\n",
        b"\"id\",\"name\"\n1,\"a\"\n\"2\",\"b\"\n3,c\n",
        b"id,name\r1,a\r2,b\r3,c\r",
    ];
    for contents in variants {
        both_ways(contents, |path| {
            let found = resume_everywhere(&CsvFiles::<Row>::at(path));
            assert_eq!(rows(&found), [(1, "a"), (2, "b"), (3, "c")], "{:?}", String::from_utf8_lossy(contents));
        });
    }
}

#[test]
fn rows_that_span_lines_are_resumed_at_their_beginning() {
    both_ways(b"id,name\r\n1,\"a\r\nb\"\r\n2,\"c \"\"d\"\"\n\n\"\r\n3,e\r\n", |path| {
        let found = resume_everywhere(&CsvFiles::<Row>::at(path));
        assert_eq!(rows(&found), [(1, "a\r\nb"), (2, "c \"d\"\n\n"), (3, "e")]);
    });
}

#[test]
fn files_without_rows_end_at_once() {
    for contents in [&b""[..], b"id,name", b"id,name\n", b"\n\n"] {
        both_ways(contents, |path| assert!(resume_everywhere(&CsvFiles::<Row>::at(path)).values.is_empty()));
    }
}

#[test]
fn without_headers_columns_are_taken_by_their_order_and_any_delimiter() {
    both_ways(b"1;a\n2;b\n", |path| {
        let found = resume_everywhere(&CsvFiles::<Row>::at(path).headers(false).delimiter(b';'));
        assert_eq!(rows(&found), [(1, "a"), (2, "b")]);
    });
}

#[test]
fn a_byte_order_mark_within_a_file_is_data_also_where_reading_resumes() {
    both_ways(b"a\n\xef\xbb\xbfb\n", |path| {
        let found = resume_everywhere(&CsvFiles::<(String,)>::at(path).headers(false));
        assert_eq!(found.values, [("a".to_owned(),), ("\u{feff}b".to_owned(),)]);
    });
}

#[test]
fn g18_rows_that_do_not_decode_are_rejected_with_their_place_and_passed() {
    let contents = b"id,name\r\n1,a\r\nx,b\r\n\r\n2,\"c\r\nd\"\r\n3\r\n4,\xff\r\n5,e,f\r\n6,g\r\n7,\"h\r\ni\",\r\n";
    both_ways(contents, |path| {
        let found = resume_everywhere(&CsvFiles::<Row>::at(path));
        assert_eq!(rows(&found), [(1, "a"), (2, "c\r\nd"), (6, "g")]);
        let place = |line| format!("{}:{line}", path.display());
        let rejected: Vec<_> = found.rejected.iter().map(|r| (r.place.clone(), r.raw.as_str())).collect();
        let expected =
            [(3, "x,b"), (7, "3"), (8, "4,\u{fffd}"), (9, "5,e,f"), (11, "7,\"h\r\ni\",")].map(|(line, raw)| (place(line), raw));
        assert_eq!(rejected, expected);
        assert!(found.rejected[0].error.starts_with("column 'id' holds 'x': "), "{}", found.rejected[0].error);
        assert_eq!(found.rejected[1].error, "the row has 1 fields, the header has 2");
        assert!(found.rejected[2].error.starts_with("column 'name' holds '\u{fffd}'"), "{}", found.rejected[2].error);
    });
}

#[test]
fn g2_what_was_read_ahead_does_not_count_as_read() {
    both_ways(b"id,name\n1,a\n2,b\n3,c\n", |path| {
        let source = CsvFiles::<Row>::at(path);
        let (split, beginning) = only_split(&source);
        let whole = read(&source, &split, beginning, 1).unwrap();
        let offsets: Vec<u64> = whole.positions.iter().map(|(_, position)| position.offset()).collect();
        assert_eq!(offsets, [8, 12, 16, 20, 20]);
        let lines: Vec<u64> = whole.positions.iter().map(|(_, position)| position.line()).collect();
        assert_eq!(lines, [2, 3, 4, 5, 5]);
    });
}

#[test]
fn rows_across_buffers_are_whole_and_resumed() {
    let mut contents = String::from("id,name\n");
    for id in 0..4000 {
        contents.push_str(&format!("{id},\"{}\n{}\"\n", "x".repeat(id % 97), "y".repeat(id % 53)));
    }
    both_ways(contents.as_bytes(), |path| {
        let source = CsvFiles::<Row>::at(path);
        let (split, beginning) = only_split(&source);
        let whole = read(&source, &split, beginning, 37).unwrap();
        assert!(whole.values.iter().map(|row| row.id).eq(0..4000));
        for (seen, position) in whole.positions.iter().step_by(19) {
            assert_eq!(read(&source, &split, *position, 1024).unwrap().values, whole.values[*seen..]);
        }
    });
}

#[test]
fn members_of_a_gzip_file_are_read_one_after_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv.gz");
    std::fs::write(&path, [gzip(b"id,name\n1,a\n2"), gzip(b",b\n"), gzip(b"")].concat()).unwrap();
    assert_eq!(rows(&resume_everywhere(&CsvFiles::<Row>::at(&path))), [(1, "a"), (2, "b")]);
}

#[test]
fn resuming_far_within_a_gzip_file_takes_many_short_polls() {
    let contents = format!("id,name\n{}", "1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(40_000));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv.gz");
    std::fs::write(&path, gzip(contents.as_bytes())).unwrap();
    let source = CsvFiles::<Row>::at(&path);
    let (split, beginning) = only_split(&source);
    let whole = read(&source, &split, beginning, 1024).unwrap();
    let (seen, last) = whole.positions[whole.positions.len() - 3];
    let resumed = read(&source, &split, last, 1024).unwrap();
    assert_eq!(resumed.values.len(), whole.values.len() - seen);
    let skipping = resumed.positions.iter().filter(|(seen, position)| *seen == 0 && *position == last).count();
    assert!(skipping as u64 > last.offset() / POLL_BYTES, "{skipping} polls");
}

#[test]
fn a_gzip_file_that_was_cut_off_is_named_and_goes_on_once_it_is_whole() {
    let contents = format!("id,name\n{}", (0..50_000).map(|id| format!("{id},{}\n", id * 7919 % 100_003)).collect::<String>());
    let whole = gzip(contents.as_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv.gz");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let source = CsvFiles::<Row>::at(&path);
    let (split, beginning) = only_split(&source);
    let error = read(&source, &split, beginning, 1024).unwrap_err();
    assert!(
        error.contains("a.csv.gz' breaks off within its gzip data, behind byte ") && error.contains("put the whole file"),
        "{error}"
    );
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(read(&source, &split, beginning, 1024).unwrap().values.len(), 50_000);
    std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    assert!(read(&source, &split, only_split(&source).1, 1024).unwrap_err().contains("breaks off"));
    std::fs::write(&path, b"").unwrap();
    assert!(read(&source, &split, only_split(&source).1, 1024).unwrap_err().contains("breaks off"));
    std::fs::write(&path, b"id,name\n1,a\n").unwrap();
    assert!(read(&source, &split, only_split(&source).1, 1024).unwrap_err().contains("is not gzip"));
}

#[test]
fn a_file_that_is_no_longer_the_one_is_refused_and_one_that_grew_is_read_as_far_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "id,name\n1,a\n2,b\n").unwrap();
    let source = CsvFiles::<Row>::at(&path);
    let (split, beginning) = only_split(&source);
    let middle = read(&source, &split, beginning, 1).unwrap().positions[1].1;
    std::fs::write(&path, "id,name\n1,a\n2,b\n3,c\n").unwrap();
    assert_eq!(rows(&read(&source, &split, middle, 9).unwrap()), [(2, "b")]);
    for other in ["id,name\n1,a\n2,c\n", "id,name\n1,a\n", ""] {
        std::fs::write(&path, other).unwrap();
        let error = read(&source, &split, middle, 9).unwrap_err();
        assert!(error.contains("a.csv' is no longer the file in which the job read"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(read(&source, &split, middle, 9).unwrap_err().contains("there is no file '"));
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    std::fs::write(&path, "a\n".repeat(100_000)).unwrap();
    let source = LineFiles::at(&path);
    let (split, beginning) = only_split(&source);
    let mut reader = source.open(&split, beginning).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
    let (mut values, mut rejected) = (Vec::new(), Vec::new());
    let error = (0..1000).find_map(|_| reader.poll(&mut Records::new(&mut values, &mut rejected, 1 << 20), Waker::noop()).err());
    assert!(error.unwrap().to_string().contains("became shorter while it was read"));
}

#[test]
fn a_quote_that_is_not_closed_does_not_swallow_the_file() {
    let contents = format!("id,name\n1,a\n2,\"b\n{}", "3,c\n".repeat(MAX_ROW_BYTES));
    both_ways(contents.as_bytes(), |path| {
        let source = CsvFiles::<Row>::at(path);
        let (split, beginning) = only_split(&source);
        let error = read(&source, &split, beginning, 1024).unwrap_err();
        assert!(error.contains(&format!("{}:3: the row is longer than", path.display())), "{error}");
    });
}

#[test]
fn splits_come_in_the_order_of_their_names_without_directories_and_hidden_files() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.csv", "a.csv", "10.csv", "9.csv", ".hidden.csv", "other.txt"] {
        std::fs::write(dir.path().join(name), "id,name\n1,a\n").unwrap();
    }
    std::fs::create_dir(dir.path().join("dir.csv")).unwrap();
    let splits = CsvFiles::<Row>::at(dir.path().join("*.csv")).splits().unwrap();
    let names: Vec<_> = splits.iter().map(|(split, _)| split.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["10.csv", "9.csv", "a.csv", "b.csv"]);
}

#[test]
fn a_name_that_looks_like_a_pattern_is_the_file_if_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a[1].csv");
    std::fs::write(&path, "id,name\n1,a\n").unwrap();
    assert_eq!(only_split(&CsvFiles::<Row>::at(&path)).0, path.to_str().unwrap());
}

#[test]
fn what_cannot_be_found_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = |pattern: &Path| LineFiles::at(pattern).splits().unwrap_err().to_string();
    assert!(error(&dir.path().join("none.csv")).contains("there is no file '"));
    assert!(error(&dir.path().join("*.csv")).contains("no file matches '"));
    assert!(error(dir.path()).contains("is a directory; name a file in it"));
    assert!(error(&dir.path().join("***")).contains("is not a pattern"));
}

#[test]
fn lines_are_resumed_at_every_position() {
    both_ways(b"a\n\nb c\r\n\xc3\xa4\n\xff\nlast", |path| {
        let found = resume_everywhere(&LineFiles::at(path));
        assert_eq!(found.values, ["a", "", "b c", "ä", "last"]);
        assert_eq!(found.rejected[0].place, format!("{}:5", path.display()));
        assert_eq!(found.rejected[0].raw, "\u{fffd}");
    });
}

#[test]
fn a_line_that_is_too_long_is_rejected_and_passed() {
    let longest = "x".repeat(MAX_ROW_BYTES - 1);
    let contents = format!("a\n{longest}\n{longest}yy\n{}\nb\n{longest}zz", "w".repeat(3 * MAX_ROW_BYTES));
    both_ways(contents.as_bytes(), |path| {
        let found = resume_everywhere(&LineFiles::at(path));
        let lengths: Vec<_> = found.values.iter().map(String::len).collect();
        assert_eq!(lengths, [1, MAX_ROW_BYTES - 1, 1]);
        let places: Vec<_> = found.rejected.iter().map(|rejected| (rejected.place.clone(), rejected.raw.len())).collect();
        assert_eq!(places, [3, 4, 6].map(|line| (format!("{}:{line}", path.display()), 1024)));
    });
}
