//! The store in a directory of the local file system.
//!
//! Always: writes go through `durable.rs`. A lock is the kernel's, on an open file: it ends with the process, however that ends,
//! so a killed process never locks its successor out.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::durable::{self, TEMP_SUFFIX, is_absent};
use super::sealed::corrupt;
use super::store::{Put, StoreBackend, StoreLock, WriteFn, store_error};
use crate::error::{Error, Result};

/// Keeps files under one directory, which is created when it is first needed.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// The store under this directory.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        DirectoryStore { root: root.into() }
    }

    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.locate(dir))? {
            // Names that are no Unicode are none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All names in `dir`, those of interrupted writes included.
    fn all_names(&self, dir: &str) -> Result<Vec<String>> {
        match self.names(dir) {
            Err(error) if is_nowhere(&error) => Ok(Vec::new()),
            names => names.map_err(|error| store_error("list", &self.locate(dir), &error, false)),
        }
    }
}

impl StoreBackend for DirectoryStore {
    fn lock(&self, path: &str) -> Result<StoreLock> {
        let path = self.locate(path);
        let failed = |error: &io::Error| store_error("lock", &path, error, false);
        if let Some(dir) = path.parent() {
            durable::create_dirs(dir)?;
            // A process that was killed may have made it without coming to this.
            durable::sync_parent("lock", dir)?;
        }
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64> {
        match put {
            Put::New => durable::write_new(&self.locate(path), write),
            Put::Replace => durable::replace(&self.locate(path), write),
        }
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        let path = self.locate(path);
        match fs::metadata(&path) {
            Ok(metadata) => Ok((!metadata.is_dir()).then_some(metadata.len())),
            Err(error) if is_nowhere(&error) => Ok(None),
            Err(error) => Err(store_error("read", &path, &error, false)),
        }
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let path = self.locate(path);
        let failed = |error: io::Error| store_error("read", &path, &error, false);
        let mut file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let length = checked_length(&path, &range, size)?;
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        let mut names = self.all_names(dir)?;
        names.retain(|name| !name.ends_with(TEMP_SUFFIX));
        Ok(names)
    }

    fn delete(&self, path: &str) -> Result<()> {
        durable::delete(&self.locate(path))
    }

    fn delete_all(&self, dir: &str) -> Result<()> {
        let path = self.locate(dir);
        match fs::remove_dir_all(&path) {
            Err(error) if !is_absent(&error) => Err(store_error("delete", &path, &error, true)),
            _ => Ok(()),
        }
    }

    fn delete_empty(&self, dir: &str) -> Result<()> {
        let path = self.locate(dir);
        match fs::remove_dir(&path) {
            Err(error) if !is_absent(&error) && error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(store_error("delete", &path, &error, true))
            }
            _ => Ok(()),
        }
    }

    fn clean(&self, dir: &str) -> Result<()> {
        for name in self.all_names(dir)?.iter().filter(|name| name.ends_with(TEMP_SUFFIX)) {
            durable::delete(&self.locate(dir).join(name))?;
        }
        Ok(())
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// What is looked for is not there: not even its directory, or something else has that name.
fn is_nowhere(error: &io::Error) -> bool {
    is_absent(error) || error.kind() == io::ErrorKind::NotADirectory
}

/// The length of a range that lies within a file of `size` bytes.
pub(super) fn checked_length(path: &Path, range: &Range<u64>, size: u64) -> Result<usize> {
    if range.start > range.end || range.end > size {
        let what = format!("bytes {} to {} are expected, and the file has {size}", range.start, range.end);
        return Err(corrupt(path, what));
    }
    usize::try_from(range.end - range.start).map_err(|error| store_error("read", path, &error, false))
}
