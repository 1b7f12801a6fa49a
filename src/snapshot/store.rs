//! The contract of a store: named byte files in directories, written whole, durable once a call has returned.
//!
//! Paths are relative to the store's root, with `/` between their parts. Always: a file is either absent or complete, whatever
//! fails; an error says whether the call may have taken effect all the same (`maybe_done`). Blocking; called from any thread.

use std::fmt::Debug;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{BoxError, Error, Result, chain_text};

/// What writes a file's content; called once.
pub(crate) type WriteFn<'a> = dyn FnMut(&mut dyn Write) -> Result<(), BoxError> + 'a;

/// Keeps a lock until it is dropped.
pub(crate) type StoreLock = Box<dyn Debug + Send + Sync>;

/// Whether a file may take the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The file must not exist yet.
    New,
    /// The file replaces the one that may exist, at once.
    Replace,
}

/// Where checkpoints are kept.
pub(crate) trait Store: Send + Sync + Debug {
    /// Locks `path` against every other process and every other holder, until the lock is dropped or the process ends.
    ///
    /// # Errors
    /// [`Error::Locked`] while somebody holds it.
    fn lock(&self, path: &str) -> Result<StoreLock>;

    /// Writes a file, durably and at once; returns its size in bytes.
    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64>;

    /// The size of a file in bytes; `None` where there is no such file.
    fn size(&self, path: &str) -> Result<Option<u64>>;

    /// Reads these bytes of a file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the file ends earlier; nothing is allocated then.
    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>>;

    /// The names of the files and directories in `dir`, without those of interrupted writes; none where there is no such directory.
    fn list(&self, dir: &str) -> Result<Vec<String>>;

    /// Deletes a file, durably. It need not exist.
    fn delete(&self, path: &str) -> Result<()>;

    /// Deletes a directory with all that is in it. It need not exist.
    fn delete_all(&self, dir: &str) -> Result<()>;

    /// Removes what interrupted writes have left in `dir`.
    fn clean(&self, dir: &str) -> Result<()>;

    /// The path as errors show it.
    fn locate(&self, path: &str) -> PathBuf;

    /// Reads a whole file; `None` where there is no such file.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.size(path)? {
            Some(size) => self.read(path, 0..size).map(Some),
            None => Ok(None),
        }
    }
}

/// The error of a call that failed.
pub(super) fn store_error(
    action: &'static str,
    path: &Path,
    error: &(dyn std::error::Error + 'static),
    maybe_done: bool,
) -> Error {
    let mut cause = chain_text(error);
    if let Some(advice) = io_kind(error).and_then(advice) {
        cause.push_str("; ");
        cause.push_str(advice);
    }
    Error::Store { action, path: path.into(), cause, maybe_done }
}

/// The kind of the system's error at the bottom of `error`.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

fn advice(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space, or keep fewer checkpoints",
        io::ErrorKind::PermissionDenied => "give this user the right to write there, or choose another store directory",
        io::ErrorKind::ReadOnlyFilesystem => "choose a store directory that can be written",
        io::ErrorKind::NotADirectory => "a file stands where a directory is needed: choose another store directory",
        io::ErrorKind::IsADirectory => "a directory stands where a file is needed: choose another store directory",
        io::ErrorKind::AlreadyExists => "it is never overwritten: remove it, or choose another store directory",
        _ => return None,
    })
}
