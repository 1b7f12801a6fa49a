//! How rows are written into a part: CSV with serde, or lines.
//!
//! Always: a row is buffered whole, and what is flushed ends with a whole row. Called on the sink task's thread.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;

use serde::Serialize;

use super::part::Body;
use crate::error::BoxError;

/// A format of parts.
pub trait Format: Clone + fmt::Debug + Send + Sync + 'static {
    /// The records.
    type Item: Send + 'static;
    /// What writes them into a part.
    type Rows: Rows<Item = Self::Item>;
    /// What the names of parts end in.
    const EXTENSION: &'static str;

    /// Begins a part, with a buffer of so many bytes.
    fn begin(&self, body: Body, buffer_bytes: usize) -> Self::Rows;
}

/// Writes rows into one part.
pub trait Rows: fmt::Debug + Send + 'static {
    /// The records.
    type Item;

    /// Appends a row.
    ///
    /// # Errors
    /// Where the row cannot be written in this format, or the file cannot be written.
    fn push(&mut self, row: &Self::Item) -> Result<(), BoxError>;

    /// Hands what is buffered to the file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    fn flush(&mut self) -> io::Result<()>;

    /// What reached the file so far.
    fn body(&self) -> &Body;
}

/// Rows as CSV.
pub struct Csv<T> {
    pub(crate) headers: bool,
    pub(crate) rows: PhantomData<fn(T)>,
}

impl<T> Clone for Csv<T> {
    fn clone(&self) -> Self {
        Csv { headers: self.headers, rows: PhantomData }
    }
}

impl<T> fmt::Debug for Csv<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csv").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl<T: Serialize + Send + 'static> Format for Csv<T> {
    type Item = T;
    type Rows = CsvRows<T>;
    const EXTENSION: &'static str = "csv";

    fn begin(&self, body: Body, buffer_bytes: usize) -> CsvRows<T> {
        let mut builder = csv::WriterBuilder::new();
        let writer = builder.has_headers(self.headers).buffer_capacity(buffer_bytes).from_writer(body);
        CsvRows { writer, rows: PhantomData }
    }
}

/// Writes the CSV rows of a part.
pub struct CsvRows<T> {
    writer: csv::Writer<Body>,
    rows: PhantomData<fn(T)>,
}

impl<T> fmt::Debug for CsvRows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvRows").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl<T: Serialize + Send + 'static> Rows for CsvRows<T> {
    type Item = T;

    fn push(&mut self, row: &T) -> Result<(), BoxError> {
        self.writer.serialize(row).map_err(innermost)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn body(&self) -> &Body {
        self.writer.get_ref()
    }
}

/// The system's own error, where there is one: it says what kind it is.
fn innermost(error: csv::Error) -> BoxError {
    if !error.is_io_error() {
        return error.into();
    }
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        kind => format!("{kind:?}").into(),
    }
}

/// Rows as lines.
pub struct Lines<T> {
    pub(crate) rows: PhantomData<fn(T)>,
}

impl<T> Clone for Lines<T> {
    fn clone(&self) -> Self {
        Lines { rows: PhantomData }
    }
}

impl<T> fmt::Debug for Lines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl<T: Display + Send + 'static> Format for Lines<T> {
    type Item = T;
    type Rows = LineRows<T>;
    const EXTENSION: &'static str = "txt";

    fn begin(&self, body: Body, buffer_bytes: usize) -> LineRows<T> {
        LineRows { writer: BufWriter::with_capacity(buffer_bytes, body), rows: PhantomData }
    }
}

/// Writes the lines of a part.
pub struct LineRows<T> {
    writer: BufWriter<Body>,
    rows: PhantomData<fn(T)>,
}

impl<T> fmt::Debug for LineRows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineRows").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl<T: Display + Send + 'static> Rows for LineRows<T> {
    type Item = T;

    fn push(&mut self, row: &T) -> Result<(), BoxError> {
        writeln!(self.writer, "{row}").map_err(Into::into)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn body(&self) -> &Body {
        self.writer.get_ref()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::error::io_kind;

    /// Writes rows to a device on which there is never room.
    fn push<F: Format>(format: &F, row: &F::Item) -> Result<(), BoxError> {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut rows = format.begin(Body::new(full), 64);
        (0..100).try_for_each(|_| rows.push(row))
    }

    #[test]
    fn a_row_for_which_there_is_no_room_says_so_in_every_format() {
        let csv = push(&Csv { headers: false, rows: PhantomData }, &("EWR".to_string(), 7)).unwrap_err();
        let lines = push(&Lines { rows: PhantomData }, &"a line".to_string()).unwrap_err();
        for error in [csv, lines] {
            assert_eq!(io_kind(&*error), Some(io::ErrorKind::StorageFull), "{error}");
        }
    }
}
