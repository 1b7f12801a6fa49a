//! The contract of a store: named byte files in directories, written whole, durable once a call has returned.
//!
//! Always: a file is either absent or complete, whatever fails; an error says whether the call may have taken effect all the same
//! (`maybe_done`). Blocking; called from any thread that may.

use std::fmt::Debug;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{BoxError, Error, Result, chain_text, io_kind};

/// What writes a file's content: called once, with where to write it. Its error is the reason why the file is not written.
pub type WriteFn<'a> = dyn FnMut(&mut dyn Write) -> Result<(), BoxError> + 'a;

/// Keeps a lock until it is dropped.
pub type StoreLock = Box<dyn Debug + Send + Sync>;

/// Whether a file may take the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The file must not exist yet.
    New,
    /// The file replaces the one that may exist, at once: whoever reads sees the old one or the new one, whole.
    Replace,
}

/// What keeps the files of checkpoints, behind a [`Store`](crate::Store): implement it to keep them where tidegate does not know
/// how to.
///
/// A path is relative to the store's root, with `/` between its parts, such as `job/chk-7/manifest`. Directories need not be made,
/// and where a store has none, a directory is what paths have in common up to a `/`. All calls block, and come from several
/// threads at a time.
///
/// What the engine builds on:
///
/// - **Atomic**: under its name a file is absent or complete, for every reader, while it is written and whatever fails.
/// - **Durable**: when [`put`](StoreBackend::put) or [`delete`](StoreBackend::delete) has returned, what it did survives the
///   process and a loss of power. Only what is removed by [`delete_all`](StoreBackend::delete_all) and
///   [`clean`](StoreBackend::clean) may come back.
/// - **Honest**: an [`Error::Store`] says `maybe_done: false` only if the call has had no effect and never will have.
/// - **Current**: a call sees what every call has done that returned before, be it another process's.
///
/// The suite `testing::suites::store` (feature `testing`) checks all of it that can be checked from outside.
///
/// A store in a map, which is as durable as its process:
///
/// ```
/// use std::collections::{BTreeMap, BTreeSet};
/// use std::io;
/// use std::ops::Range;
/// use std::sync::{Arc, Mutex};
///
/// use tidegate::{Error, Put, Result, Store, StoreBackend, StoreLock, WriteFn};
///
/// #[derive(Clone, Debug, Default)]
/// struct InAMap {
///     files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
///     locks: Arc<Mutex<BTreeSet<String>>>,
/// }
///
/// #[derive(Debug)]
/// struct Lock(InAMap, String);
///
/// impl Drop for Lock {
///     fn drop(&mut self) {
///         self.0.locks.lock().unwrap().remove(&self.1);
///     }
/// }
///
/// fn failed(action: &'static str, path: &str, cause: impl ToString) -> Error {
///     Error::Store { action, path: path.into(), cause: cause.to_string(), maybe_done: false }
/// }
///
/// impl StoreBackend for InAMap {
///     fn lock(&self, path: &str) -> Result<StoreLock> {
///         let free = self.locks.lock().unwrap().insert(path.to_owned());
///         if free { Ok(Box::new(Lock(self.clone(), path.to_owned()))) } else { Err(Error::Locked { path: path.into() }) }
///     }
///
///     fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64> {
///         let mut bytes = Vec::new();
///         write(&mut bytes).map_err(|error| failed("write", path, error))?;
///         let mut files = self.files.lock().unwrap();
///         if put == Put::New && files.contains_key(path) {
///             return Err(failed("write", path, "it is there already, and is never overwritten"));
///         }
///         let size = bytes.len() as u64;
///         files.insert(path.to_owned(), bytes);
///         Ok(size)
///     }
///
///     fn size(&self, path: &str) -> Result<Option<u64>> {
///         Ok(self.files.lock().unwrap().get(path).map(|bytes| bytes.len() as u64))
///     }
///
///     fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
///         let files = self.files.lock().unwrap();
///         let bytes = files.get(path).ok_or_else(|| failed("read", path, io::ErrorKind::NotFound))?;
///         let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
///         let part = part.and_then(|(start, end)| bytes.get(start..end));
///         let short = || Error::Corrupt { path: path.into(), what: format!("it ends before {}", range.end), usable: Vec::new() };
///         part.map(<[u8]>::to_vec).ok_or_else(short)
///     }
///
///     fn list(&self, dir: &str) -> Result<Vec<String>> {
///         let files = self.files.lock().unwrap();
///         let below = |path| if dir.is_empty() { Some(path) } else { str::strip_prefix(path, dir)?.strip_prefix('/') };
///         let inside = files.keys().filter_map(|path| below(path.as_str()));
///         let names: BTreeSet<&str> = inside.filter_map(|rest| rest.split('/').next()).collect();
///         Ok(names.into_iter().map(str::to_owned).collect())
///     }
///
///     fn delete(&self, path: &str) -> Result<()> {
///         self.files.lock().unwrap().remove(path);
///         Ok(())
///     }
/// }
///
/// let place = InAMap::default();
/// # #[cfg(feature = "testing")]
/// tidegate::testing::suites::store({
///     let place = place.clone();
///     move || Store::of(place.clone())
/// });
/// let job = tidegate::Job::new("orders").store(Store::of(place));
/// ```
pub trait StoreBackend: Send + Sync + Debug {
    /// Locks `path` against every other process and every other holder, until the lock is dropped or the process ends, however it
    /// ends. Does not wait.
    ///
    /// A store that cannot know that another process has ended must make its locks end by themselves, and make
    /// [`swap`](StoreBackend::swap) one step: then a holder that has lost its lock can complete no checkpoint.
    ///
    /// # Errors
    /// [`Error::Locked`] while somebody holds it; [`Error::Store`].
    fn lock(&self, path: &str) -> Result<StoreLock>;

    /// Writes a file, durably and at once; returns its size in bytes. Nobody else puts the same path meanwhile: that is what a
    /// job's lock is for.
    ///
    /// # Errors
    /// [`Error::Store`]: with [`Put::New`] where the file exists, and where `write` fails; nothing has changed then.
    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64>;

    /// Writes a file as [`put`](StoreBackend::put) does if its content still is `expected`, or if there is no such file and nothing
    /// is expected; returns whether it was. By this the job's head changes, which says who runs the job and which checkpoint is its
    /// latest.
    ///
    /// What is there by itself looks and then writes, which is enough where a lock cannot be lost. Where it can, both have to be one
    /// step, such as an object store's conditional put: it is what fences off a process that has lost its lock and does not know.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn swap(&self, path: &str, expected: Option<&[u8]>, content: &[u8]) -> Result<bool> {
        if self.get(path)?.as_deref() != expected {
            return Ok(false);
        }
        self.put(path, Put::Replace, &mut |out| Ok(out.write_all(content)?)).map(|_| true)
    }

    /// The size of a file in bytes; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error::Store`]
    fn size(&self, path: &str) -> Result<Option<u64>>;

    /// Reads these bytes of a file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the file ends earlier; nothing is allocated then. [`Error::Store`], also where there is no such
    /// file.
    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>>;

    /// The names of the files and directories that lie directly in `dir`, or in the root where it is empty, each once, without those of interrupted writes; none
    /// where there is no such directory. Whether a directory in which no file is left is named is up to the store.
    ///
    /// # Errors
    /// [`Error::Store`]
    fn list(&self, dir: &str) -> Result<Vec<String>>;

    /// Deletes a file, durably. It need not exist.
    ///
    /// # Errors
    /// [`Error::Store`]
    fn delete(&self, path: &str) -> Result<()>;

    /// Deletes a directory with all that is in it. It need not exist. Unless a store does better, one by one.
    ///
    /// # Errors
    /// [`Error::Store`]
    fn delete_all(&self, dir: &str) -> Result<()> {
        for name in self.list(dir)? {
            let path = format!("{dir}/{name}");
            self.delete_all(&path)?;
            self.delete(&path)?;
        }
        Ok(())
    }

    /// Deletes a directory if nothing is in it, not even what is being written at this moment. Nothing to do for a store in which
    /// such a directory is not there anyway.
    ///
    /// # Errors
    /// [`Error::Store`]
    fn delete_empty(&self, dir: &str) -> Result<()> {
        let _ = dir;
        Ok(())
    }

    /// Removes what interrupted writes have left in `dir`. Called while nothing is written there. Nothing to do for a store in
    /// which they leave nothing.
    ///
    /// # Errors
    /// [`Error::Store`]
    fn clean(&self, dir: &str) -> Result<()> {
        let _ = dir;
        Ok(())
    }

    /// The path as errors show it: a place that the user can find.
    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }

    /// Reads a whole file; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error::Store`]
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

fn advice(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on its volume, or keep fewer checkpoints; the job goes on from its last checkpoint"
        }
        io::ErrorKind::PermissionDenied => "give this user the right to write there, or choose another store directory",
        io::ErrorKind::ReadOnlyFilesystem => "choose a store directory that can be written",
        io::ErrorKind::NotADirectory => "a file stands where a directory is needed: choose another store directory",
        io::ErrorKind::IsADirectory => "a directory stands where a file is needed: choose another store directory",
        io::ErrorKind::AlreadyExists => "it is never overwritten: remove it, or choose another store directory",
        _ => return None,
    })
}
