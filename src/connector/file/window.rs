//! What a CSV parser reads through: it keeps the bytes of the row that is being read, and bounds how many there are.
//!
//! Always: the bytes from the beginning of the current row up to what the parser has read ahead are still here, so that a row
//! which is rejected can be shown as it was found. Offsets count from where the parser began. Lives inside the parser.

use std::io::{self, Read};
use std::ops::Range;

use super::MAX_ROW_BYTES;
use super::decode::Decoded;

/// A file's bytes on their way into a parser.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) input: Decoded,
    /// Whether an empty line is still to go first: a parser takes a byte order mark away where it begins, but within a file such
    /// bytes are data.
    lead: bool,
    kept: Vec<u8>,
    kept_at: u64,
    row_at: u64,
}

impl Window {
    /// A window on `input`; with `lead`, one line feed goes before it.
    pub(crate) fn new(input: Decoded, lead: bool) -> Self {
        Window { input, lead, kept: Vec::new(), kept_at: 0, row_at: 0 }
    }

    /// Says that the next row begins here: what lies before is needed no more.
    pub(crate) fn row_begins(&mut self, at: u64) {
        self.row_at = at;
    }

    /// The bytes in `range`, as far as they are still here.
    pub(crate) fn bytes(&self, range: Range<u64>) -> &[u8] {
        let within = |at: u64| usize::try_from(at.saturating_sub(self.kept_at)).unwrap_or(usize::MAX);
        self.kept.get(within(range.start)..within(range.end)).unwrap_or_default()
    }

    fn forget(&mut self) {
        let passed = usize::try_from(self.row_at - self.kept_at).unwrap_or(usize::MAX).min(self.kept.len());
        self.kept.drain(..passed);
        self.kept_at += passed as u64;
    }

    fn next(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match into.first_mut() {
            Some(first) if self.lead => {
                *first = b'\n';
                self.lead = false;
                Ok(1)
            }
            _ => self.input.read(into),
        }
    }
}

impl Read for Window {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.forget();
        if self.kept.len() > MAX_ROW_BYTES {
            return Err(io::Error::other(format!(
                "the row is longer than {MAX_ROW_BYTES} bytes; is there a quote in it that is not closed?"
            )));
        }
        let read = self.next(into)?;
        self.kept.extend_from_slice(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}
