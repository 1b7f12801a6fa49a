//! A file's decoded bytes from an offset on, plain or gzip, and errors that name the file and the place.
//!
//! Always: a plain file is read as far as it reached when its fingerprint was taken; a gzip file to its end, so that one that was
//! cut off can be replaced by the whole one. Read on the source task's thread.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;

use super::position::FilePosition;
use super::{BUFFER_BYTES, find};
use crate::error::BoxError;

/// The decoded bytes of a file.
#[derive(Debug)]
pub(crate) struct Decoded {
    split: String,
    raw: Raw,
    /// Where the next byte that is decoded stands.
    offset: u64,
    /// Where reading begins; bytes before it are decoded and dropped.
    begin: u64,
}

#[derive(Debug)]
enum Raw {
    Plain(io::Take<File>),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Decoded {
    /// Opens a file to be read from a position on, if it is still the one in which the position was taken.
    pub(crate) fn open(split: &str, position: FilePosition) -> Result<Self, BoxError> {
        let mut file = find::open(split)?;
        position.file.check(&mut file, split)?;
        let begin = position.offset;
        if split.ends_with(".gz") {
            file.seek(SeekFrom::Start(0))?;
            let raw = Raw::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))));
            return Ok(Decoded { split: split.to_owned(), raw, offset: 0, begin });
        }
        let Some(rest) = position.file.len.checked_sub(begin) else {
            return Err(format!("the position {begin} lies behind the end of '{split}'; the state does not fit the file").into());
        };
        file.seek(SeekFrom::Start(begin))?;
        Ok(Decoded { split: split.to_owned(), raw: Raw::Plain(file.take(rest)), offset: begin, begin })
    }

    /// The file's name.
    pub(crate) fn split(&self) -> &str {
        &self.split
    }

    /// Decodes and drops up to `limit` bytes of what lies before the place where reading begins; true once it is reached.
    pub(crate) fn skip(&mut self, limit: u64) -> Result<bool, BoxError> {
        if self.offset >= self.begin {
            return Ok(true);
        }
        let wanted = (self.begin - self.offset).min(limit);
        if io::copy(&mut self.by_ref().take(wanted), &mut io::sink())? < wanted {
            let (split, begin) = (&self.split, self.begin);
            return Err(format!("'{split}' ends before byte {begin}, where reading stopped; put the old file back").into());
        }
        Ok(self.offset == self.begin)
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let (split, offset) = (&self.split, self.offset);
        let text = match error.kind() {
            ErrorKind::UnexpectedEof => format!(
                "'{split}' breaks off within its gzip data, behind byte {offset} of what it holds: it was cut off when it was \
                 written or copied; put the whole file in its place, and the job goes on where it stopped"
            ),
            ErrorKind::InvalidInput | ErrorKind::InvalidData => format!(
                "'{split}' is not gzip, or is damaged, behind byte {offset} of what it holds ({error}); put a sound copy in its place"
            ),
            _ => format!("cannot read '{split}' at byte {offset}: {error}; check the volume that it is on"),
        };
        io::Error::new(error.kind(), text)
    }

    /// A plain file that ends early was truncated while it was read.
    fn check_end(&self) -> io::Result<()> {
        match &self.raw {
            Raw::Plain(rest) if rest.limit() > 0 => Err(io::Error::other(format!(
                "'{}' became shorter while it was read: it ends at byte {}, {} bytes early; put the old file back",
                self.split,
                self.offset,
                rest.limit()
            ))),
            _ => Ok(()),
        }
    }
}

impl Read for Decoded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.raw {
                Raw::Plain(raw) => raw.read(into),
                Raw::Gzip(raw) => raw.read(into),
            };
            match read {
                Ok(0) if !into.is_empty() => return self.check_end().map(|()| 0),
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }
}
