//! The source of lines: one split a file, an item a line without its end.
//!
//! Always: a reader's position lies between two lines and moves past every line, handed out or rejected, in the same poll. Reads
//! on the source task's thread, a bounded piece in each poll.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::task::Waker;

use super::csv::{RAW_BYTES, shown};
use super::decode::Decoded;
use super::position::FilePosition;
use super::{BUFFER_BYTES, MAX_ROW_BYTES, POLL_BYTES, find};
use crate::error::BoxError;
use crate::source::{Poll, Records, Rejected, Source, SplitReader};

/// Lines of text files; files whose names end in `.gz` are unpacked.
///
/// Each file is a split. A line ends with a line feed, with or without a carriage return before it, which are not part of the
/// item; the last line needs none. A line that is not UTF-8, or is longer than a megabyte, is rejected, and the source's poison
/// policy decides. A plain file is read as far as it reached when the job first began. After a restart a file that is no longer the one
/// that was being read is refused.
///
/// ```
/// let lines = tidegate::LineFiles::at("logs/*.log.gz");
/// ```
#[derive(Clone, Debug)]
pub struct LineFiles {
    pattern: PathBuf,
}

impl LineFiles {
    /// The file at a path, or all files that match a glob, in the order of their names. They are found when the job first
    /// begins: a file that matches later is none of its splits.
    pub fn at(path_or_glob: impl AsRef<Path>) -> Self {
        LineFiles { pattern: path_or_glob.as_ref().to_owned() }
    }
}

impl Source for LineFiles {
    type Item = String;
    type Position = FilePosition;
    type Reader = LineReader;

    fn splits(&self) -> Result<Vec<(String, FilePosition)>, BoxError> {
        find::find(&self.pattern)
    }

    fn open(&self, split: &str, position: FilePosition) -> Result<LineReader, BoxError> {
        let input = BufReader::with_capacity(BUFFER_BYTES, Decoded::open(split, position)?);
        Ok(LineReader { input, position, line: Vec::new(), read: 0 })
    }
}

/// Reads the lines of one file.
#[derive(Debug)]
pub struct LineReader {
    input: BufReader<Decoded>,
    position: FilePosition,
    /// The line that is being read; of one that is too long, its beginning.
    line: Vec<u8>,
    /// Bytes of that line that were read so far.
    read: u64,
}

impl LineReader {
    /// Reads on in the current line; true once it is complete.
    fn read_line(&mut self) -> Result<bool, BoxError> {
        let room = MAX_ROW_BYTES.saturating_sub(self.line.len()) as u64;
        let read = self.input.by_ref().take(room.min(POLL_BYTES)).read_until(b'\n', &mut self.line)?;
        self.read += read as u64;
        if self.line.ends_with(b"\n") || read == 0 {
            return Ok(true);
        }
        if self.line.len() == MAX_ROW_BYTES {
            self.line.truncate(RAW_BYTES);
        }
        Ok(false)
    }

    fn hand_out(&mut self, out: &mut Records<'_, String>) {
        if self.read > self.line.len() as u64 {
            out.reject(self.reject(format!("the line is longer than {MAX_ROW_BYTES} bytes")));
        } else {
            match std::str::from_utf8(without_end(&self.line)) {
                Ok(line) => out.push(line.to_owned()),
                Err(error) => out.reject(self.reject(error.to_string())),
            }
        }
        self.position.offset += self.read;
        self.position.line += 1;
        self.line.clear();
        self.read = 0;
    }

    fn reject(&self, error: String) -> Rejected {
        let place = format!("{}:{}", self.input.get_ref().split(), self.position.line);
        Rejected { place, raw: shown(&self.line), error }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

impl SplitReader for LineReader {
    type Item = String;
    type Position = FilePosition;

    fn poll(&mut self, out: &mut Records<'_, String>, _waker: &Waker) -> Result<Poll, BoxError> {
        if !self.input.get_mut().skip(POLL_BYTES)? {
            return Ok(Poll::Ready);
        }
        let stop = self.position.offset + POLL_BYTES;
        while out.room() > 0 && self.position.offset < stop {
            if !self.read_line()? {
                return Ok(Poll::Ready);
            }
            if self.read == 0 {
                return Ok(Poll::Ended);
            }
            self.hand_out(out);
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> FilePosition {
        self.position
    }
}
