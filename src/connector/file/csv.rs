//! The source of CSV files: one split a file, rows decoded with serde.
//!
//! Always: a reader's position lies between two rows and moves past every row, decoded or rejected, in the same poll that hands
//! it out; what the parser has read ahead does not count. Reads on the source task's thread, a bounded piece in each poll.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::task::Waker;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};
use serde::de::DeserializeOwned;

use super::decode::Decoded;
use super::position::FilePosition;
use super::window::Window;
use super::{BUFFER_BYTES, POLL_BYTES, find};
use crate::error::BoxError;
use crate::source::{Poll, Records, Rejected, Source, SplitReader};

/// Bytes of a rejected row that are shown.
pub(crate) const RAW_BYTES: usize = 1024;

/// Rows of CSV files, decoded into `T`; files whose names end in `.gz` are unpacked.
///
/// Each file is a split. A row that does not decode (a column that is not what `T` says, not UTF-8, more or fewer fields than the
/// header) is rejected, and the source's poison policy decides; a row longer than a megabyte fails the job. A plain file is read as far
/// as it reached when the job first began: what is appended later is left alone. After a restart a file that is no longer the one
/// that was being read is refused.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Flight {
///     origin: String,
///     dep_delay: Option<f64>,
/// }
/// let flights = tidegate::CsvFiles::<Flight>::at("flights/2013-*.csv.gz").delimiter(b';');
/// ```
pub struct CsvFiles<T> {
    pattern: PathBuf,
    headers: bool,
    delimiter: u8,
    rows: PhantomData<fn() -> T>,
}

impl<T> CsvFiles<T> {
    /// The file at a path, or all files that match a glob, in the order of their names. They are found when the job first
    /// begins: a file that matches later is none of its splits.
    pub fn at(path_or_glob: impl AsRef<Path>) -> Self {
        CsvFiles { pattern: path_or_glob.as_ref().to_owned(), headers: true, delimiter: b',', rows: PhantomData }
    }

    /// Whether each file's first row names its columns (so unless said otherwise); else columns are taken by their order.
    pub fn headers(mut self, headers: bool) -> Self {
        self.headers = headers;
        self
    }

    /// What separates the fields: a comma unless said otherwise.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    fn parser(&self, input: Decoded, lead: bool) -> csv::Reader<Window> {
        // Lengths are compared with the header here: the parser would compare with the first row that it happens to see.
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.delimiter).buffer_capacity(BUFFER_BYTES);
        builder.from_reader(Window::new(input, lead))
    }

    /// The names of the columns, and where the first row begins.
    fn read_header(&self, split: &str, beginning: FilePosition) -> Result<(ByteRecord, FilePosition), BoxError> {
        let mut parser = self.parser(Decoded::open(split, beginning)?, false);
        let mut header = ByteRecord::new();
        parser.read_byte_record(&mut header).map_err(|error| explain(&error, split, 1))?;
        let at = parser.position();
        Ok((header, FilePosition { offset: at.byte(), line: at.line(), ..beginning }))
    }
}

impl<T> Clone for CsvFiles<T> {
    fn clone(&self) -> Self {
        CsvFiles { pattern: self.pattern.clone(), headers: self.headers, delimiter: self.delimiter, rows: PhantomData }
    }
}

impl<T> fmt::Debug for CsvFiles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvFiles").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned + Send + 'static> Source for CsvFiles<T> {
    type Item = T;
    type Position = FilePosition;
    type Reader = CsvReader<T>;

    fn splits(&self) -> Result<Vec<(String, FilePosition)>, BoxError> {
        find::find(&self.pattern)
    }

    fn open(&self, split: &str, position: FilePosition) -> Result<CsvReader<T>, BoxError> {
        let mut begin = position;
        let mut header = None;
        if self.headers {
            let (names, first_row) = self.read_header(split, FilePosition::beginning(position.file))?;
            header = Some(names);
            if position.offset < first_row.offset {
                begin = first_row;
            }
        }
        let lead = begin.offset > 0;
        let parser = self.parser(Decoded::open(split, begin)?, lead);
        Ok(CsvReader { parser, lead: u64::from(lead), begin, header, row: ByteRecord::new(), rows: PhantomData })
    }
}

/// Reads the rows of one file.
pub struct CsvReader<T> {
    parser: csv::Reader<Window>,
    /// Bytes, and lines, that the parser is given before the first of the file.
    lead: u64,
    begin: FilePosition,
    header: Option<ByteRecord>,
    row: ByteRecord,
    rows: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> CsvReader<T> {
    /// Reads a row; false at the end.
    fn next_row(&mut self) -> Result<bool, BoxError> {
        let at = self.parser.position();
        let (byte, line) = (at.byte(), at.line());
        self.parser.get_mut().row_begins(byte);
        match self.parser.read_byte_record(&mut self.row) {
            Ok(more) => Ok(more),
            Err(error) => Err(explain(&error, self.split(), self.line(line))),
        }
    }

    fn decode(&self) -> Result<T, String> {
        let Some(header) = &self.header else {
            return self.row.deserialize(None).map_err(|error| self.describe(&error));
        };
        if header.len() != self.row.len() {
            return Err(format!("the row has {} fields, the header has {}", self.row.len(), header.len()));
        }
        self.row.deserialize(Some(header)).map_err(|error| self.describe(&error))
    }

    /// What is wrong with a row, with the column's name and value; the parser's own place is not the file's.
    fn describe(&self, error: &csv::Error) -> String {
        let ErrorKind::Deserialize { err, .. } = error.kind() else { return error.to_string() };
        let Some(field) = err.field().and_then(|field| usize::try_from(field).ok()) else { return err.kind().to_string() };
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..RAW_BYTES).unwrap_or(bytes)).into_owned();
        let name = self.header.as_ref().and_then(|header| header.get(field)).map_or_else(|| (field + 1).to_string(), lossy);
        let value = self.row.get(field).map(lossy).unwrap_or_default();
        format!("column '{name}' holds '{value}': {}", err.kind())
    }

    fn reject(&self, error: String) -> Rejected {
        let end = self.parser.position().byte();
        let (from, line) = self.row.position().map_or((end, 1), |at| (at.byte(), at.line()));
        // The line feed of the row before, and empty lines, go with the row that follows them.
        let mut raw = self.parser.get_ref().bytes(from..end);
        let mut passed = 0;
        while let Some((b'\r' | b'\n', rest)) = raw.split_first() {
            passed += u64::from(raw.starts_with(b"\n"));
            raw = rest;
        }
        Rejected { place: format!("{}:{}", self.split(), self.line(line + passed)), raw: shown(raw), error }
    }

    fn split(&self) -> &str {
        self.parser.get_ref().input.split()
    }

    /// The file's line for a line of the parser, which counts from 1 where it began.
    fn line(&self, line: u64) -> u64 {
        self.begin.line + line.saturating_sub(1 + self.lead)
    }
}

impl<T: DeserializeOwned + Send + 'static> SplitReader for CsvReader<T> {
    type Item = T;
    type Position = FilePosition;

    fn poll(&mut self, out: &mut Records<'_, T>, _waker: &Waker) -> Result<Poll, BoxError> {
        if !self.parser.get_mut().input.skip(POLL_BYTES)? {
            return Ok(Poll::Ready);
        }
        let stop = self.parser.position().byte() + POLL_BYTES;
        while out.room() > 0 && self.parser.position().byte() < stop {
            if !self.next_row()? {
                return Ok(Poll::Ended);
            }
            match self.decode() {
                Ok(value) => out.push(value),
                Err(error) => out.reject(self.reject(error)),
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> FilePosition {
        let at = self.parser.position();
        let offset = self.begin.offset + at.byte().saturating_sub(self.lead);
        FilePosition { offset, line: self.line(at.line()), ..self.begin }
    }
}

impl<T> fmt::Debug for CsvReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvReader").field("parser", &self.parser).finish_non_exhaustive()
    }
}

/// A row as it is shown: cut, without its line end, whatever is not UTF-8 replaced.
pub(crate) fn shown(mut row: &[u8]) -> String {
    while let Some((b'\r' | b'\n', rest)) = row.split_last() {
        row = rest;
    }
    String::from_utf8_lossy(row.get(..RAW_BYTES).unwrap_or(row)).into_owned()
}

/// An error of reading; those of [`Decoded`] already name the file.
fn explain(error: &csv::Error, split: &str, line: u64) -> BoxError {
    match error.kind() {
        ErrorKind::Io(error) => format!("{split}:{line}: {error}").into(),
        _ => format!("{split}:{line}: {error}").into(),
    }
}
