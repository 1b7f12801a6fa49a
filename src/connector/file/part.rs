//! One part: a hidden file that is being written, what a barrier cuts off of it, and the handle that it is committed with.
//!
//! Always: rows reach a part whole, and a part that was closed is not written again. Written and cut on the sink task's thread;
//! made durable on a thread for blocking work, when the task may already be writing behind the cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::durable::{failed, file_len, row_failed, sync_file};
use super::format::{Format, Rows};
use super::name;
use crate::error::BoxError;

/// What a commit needs to know of a part; kept in checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartHandle {
    /// The directory, from the root on.
    pub(crate) root: String,
    /// The name under which the part becomes visible.
    pub(crate) name: String,
    /// The bytes that belong to the checkpoint.
    pub(crate) len: u64,
    /// Whether nothing is written to the part any more.
    pub(crate) closed: bool,
}

/// The file of a part, and how much of it was written.
#[derive(Debug)]
pub struct Body {
    file: Arc<File>,
    len: u64,
}

impl Body {
    /// Of a file in which nothing is yet.
    pub(crate) fn new(file: File) -> Self {
        Body { file: Arc::new(file), len: 0 }
    }

    /// The bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.file).write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part that is being written.
#[derive(Debug)]
pub(crate) struct Part<R> {
    name: String,
    path: PathBuf,
    rows: R,
    /// Whether a checkpoint may know of it.
    cut: bool,
}

impl<R: Rows> Part<R> {
    /// Begins a part under a name that was never used.
    pub(crate) fn begin<F: Format<Rows = R>>(root: &Path, name: String, format: &F, buffer: usize) -> Result<Self, BoxError> {
        let (path, committed) = (root.join(name::uncommitted(&name)), root.join(&name));
        if file_len(&committed)?.is_some() {
            return Err(format!(
                "'{}' is already there, from an earlier life of the job whose state is gone; write to an empty directory, or give the \
                 job or the sink's uid another name",
                committed.display()
            )
            .into());
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| failed("begin a part", &path, &error))?;
        let rows = format.begin(Body::new(file), buffer);
        Ok(Part { name, path, rows, cut: false })
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: &R::Item) -> Result<(), BoxError> {
        self.rows.push(row).map_err(|error| row_failed(&self.path, &error))
    }

    /// The bytes that have left the buffer.
    pub(crate) fn len(&self) -> u64 {
        self.rows.body().len()
    }

    /// Cuts off what was written so far; more will be.
    pub(crate) fn cut(&mut self) -> Result<Piece<R>, BoxError> {
        self.flush()?;
        self.cut = true;
        let body = self.rows.body();
        let file = Some(Arc::clone(&body.file));
        Ok(Piece { name: self.name.clone(), len: body.len(), file, rows: None, closed: false, known: true })
    }

    /// Ends the part for a barrier; whoever makes it durable empties its buffer.
    pub(crate) fn end(self) -> Piece<R> {
        Piece { name: self.name, len: 0, file: None, rows: Some(self.rows), closed: true, known: self.cut }
    }

    /// Ends the part between barriers. Its file is not kept open: there may be many before the next barrier, and a sync through
    /// another descriptor covers, and reports on, all that was written.
    pub(crate) fn roll(mut self) -> Result<Piece<R>, BoxError> {
        self.flush()?;
        Ok(Piece { len: self.len(), name: self.name, file: None, rows: None, closed: true, known: self.cut })
    }

    /// Gives the part up, unless a checkpoint may know of it. What is left behind, the next recovery removes.
    pub(crate) fn give_up(self) {
        if !self.cut {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        self.rows.flush().map_err(|error| failed("write", &self.path, &error))
    }
}

/// What a barrier cut off of one part.
#[derive(Debug)]
pub(crate) struct Piece<R> {
    name: String,
    len: u64,
    file: Option<Arc<File>>,
    rows: Option<R>,
    closed: bool,
    /// Whether a checkpoint may know of it.
    known: bool,
}

impl<R: Rows> Piece<R> {
    /// Gives up a part that was rolled but not cut off, as [`Part::give_up`] does.
    pub(crate) fn give_up(self, root: &Path) {
        if !self.known {
            let _ = std::fs::remove_file(root.join(name::uncommitted(&self.name)));
        }
    }

    /// Makes the piece's bytes durable; the directory is still to be synced.
    pub(crate) fn make_durable(mut self, root: &Path) -> Result<PartHandle, BoxError> {
        let path = root.join(name::uncommitted(&self.name));
        if let Some(mut rows) = self.rows.take() {
            rows.flush().map_err(|error| failed("write", &path, &error))?;
            self.len = rows.body().len();
            self.file = Some(Arc::clone(&rows.body().file));
        }
        match &self.file {
            Some(file) => sync_file(file, &path)?,
            None => sync_file(&File::open(&path).map_err(|error| failed("open", &path, &error))?, &path)?,
        }
        self.check(&path)?;
        let root = root.to_str().ok_or_else(|| format!("the name '{}' is not UTF-8; rename it", root.display()))?;
        Ok(PartHandle { root: root.to_owned(), name: self.name, len: self.len, closed: self.closed })
    }

    /// A file that was removed while it was open takes writes all the same: look whether it is still there.
    fn check(&self, path: &Path) -> Result<(), BoxError> {
        match file_len(path)? {
            Some(found) if found == self.len || (found > self.len && !self.closed) => Ok(()),
            Some(found) => Err(format!(
                "'{}' has {found} bytes where {} were written: something else writes to it; keep others out of the directory",
                path.display(),
                self.len
            )
            .into()),
            None => Err(format!(
                "'{}' was removed while it was written; keep others from removing hidden files there, the job goes on from its last checkpoint",
                path.display()
            )
            .into()),
        }
    }
}
