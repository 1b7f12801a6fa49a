//! Output for people: aligned columns, sizes and ages.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

/// Characters of one cell that are shown at most; JSON lines show all.
const CELL_CHARS: usize = 100;

/// Rows that are aligned with each other; of longer tables each piece is aligned by itself, so that no table is held in memory.
const ALIGNED_ROWS: usize = 500;

/// A table that is printed piece by piece. The last column is not padded.
pub(super) struct Table<'a, const N: usize> {
    out: &'a mut dyn Write,
    head: Option<[&'static str; N]>,
    rows: Vec<[String; N]>,
}

impl<'a, const N: usize> Table<'a, N> {
    /// A table with these heads.
    pub(super) fn new(out: &'a mut dyn Write, head: [&'static str; N]) -> Self {
        Table { out, head: Some(head), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: [String; N]) -> io::Result<()> {
        self.rows.push(row.map(|cell| cut(&cell)));
        if self.rows.len() < ALIGNED_ROWS { Ok(()) } else { self.print() }
    }

    /// Prints what is left. A table without rows is nothing.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.print()
    }

    fn print(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let head = self.head.take().map(|head| head.map(str::to_owned));
        let rows: Vec<[String; N]> = head.into_iter().chain(self.rows.drain(..)).collect();
        let mut widths = [0; N];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                // Writing to a string cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// One line, of bounded length.
fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CELL_CHARS + 1).collect();
    match line.char_indices().nth(CELL_CHARS) {
        None => line,
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
    }
}

/// One JSON object on a line of its own.
pub(super) fn json_line<T: Serialize>(out: &mut dyn Write, value: &T) -> Result<(), super::failure::Failure> {
    let line = serde_json::to_string(value)?;
    Ok(writeln!(out, "{line}")?)
}

/// A value as people read it.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("({error})"))
}

/// A size.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut name) = (bytes as f64 / 1024.0, "KiB");
    for unit in UNITS.into_iter().skip(1) {
        if size < 1024.0 {
            break;
        }
        (size, name) = (size / 1024.0, unit);
    }
    format!("{size:.1} {name}")
}

/// How long ago something was, of so many milliseconds.
pub(super) fn age(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        ..0 => "in the future".into(),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!(
            [0, 1023, 1024, 1536, 5 << 20, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
        );
        let ages = [-5000, 0, 59_999, 60_000, 3_660_000, 864_000_000].map(age);
        assert_eq!(ages, ["in the future", "0 s", "59 s", "1 min", "1 h 1 min", "10 d"]);
    }

    #[test]
    fn columns_are_aligned_and_long_cells_are_cut() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, ["A", "B"]);
        table.row(["long one".into(), "x".repeat(200)]).unwrap();
        table.row(["s".into(), "two\nlines".into()]).unwrap();
        table.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, format!("A         B\nlong one  {}…\ns         two lines\n", "x".repeat(100)));
    }
}
