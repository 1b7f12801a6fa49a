//! The one place where files become durable: write a temporary file, sync it, rename it, sync its directory.
//!
//! Always: under its final name a file is absent or complete, and when a function here returns it stays so through a loss of power.
//! An error before the rename means that nothing happened, a later one that the outcome is unknown (`maybe_done`). That nobody
//! else creates the same file meanwhile is for the caller's lock to ensure. Blocking; called from any thread.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::store::{WriteFn, store_error};
use crate::error::{BoxError, Result};

/// How the names of unfinished files end.
pub(super) const TEMP_SUFFIX: &str = ".tmp";

/// How often a file is created whose directory is removed at the same time: once for each that may be, and then some.
const CREATE_TRIES: u32 = 4;

/// Small writes are gathered to this many bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes a new file durably, creating its directories; returns its size in bytes.
///
/// # Errors
/// [`Error::Store`], also where the file exists already.
pub(crate) fn write_new(path: &Path, write: &mut WriteFn<'_>) -> Result<u64> {
    refuse_existing("create", path)?;
    replace(path, write)
}

/// Writes a file durably in the place of the one that may exist; returns its size in bytes.
pub(super) fn replace(path: &Path, write: &mut WriteFn<'_>) -> Result<u64> {
    let (temp, file) = Temp::create(path)?;
    let size = Temp::fill(file, write).map_err(|error| store_error("write", path, &*error, false))?;
    fs::rename(&temp.0, path).map_err(|error| store_error("write", path, &error, true))?;
    sync_parent("write", path)?;
    Ok(size)
}

/// Deletes a file durably. It need not exist.
pub(super) fn delete(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent("delete", path),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(store_error("delete", path, &error, true)),
    }
}

/// Creates a directory, and those above it, durably.
pub(super) fn create_dirs(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    create_dirs(parent(dir))?;
    match fs::create_dir(dir) {
        Ok(()) => sync_parent("create", dir),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(store_error("create", dir, &error, false)),
    }
}

/// True for the error that a path does not exist.
pub(super) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// The directory of a path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn refuse_existing(action: &'static str, path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(store_error(action, path, &io::Error::from(io::ErrorKind::AlreadyExists), false)),
        Err(_) => Ok(()),
    }
}

/// After a rename or a deletion: without this, a loss of power may undo it.
pub(super) fn sync_parent(action: &'static str, path: &Path) -> Result<()> {
    sync_directory(parent(path)).map_err(|error| store_error(action, path, &error, true))
}

/// Windows has no handles of directories to sync, and journals renames by itself.
fn sync_directory(dir: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(dir)?.sync_all() }
}

/// An unfinished file, removed when dropped unless it was renamed.
struct Temp(PathBuf);

impl Temp {
    /// Creates a file with a name of its own, beside `path`, and the directories above it. One that was empty may be removed
    /// between the two: then once more.
    fn create(path: &Path) -> Result<(Self, File)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{}{TEMP_SUFFIX}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let mut tries = CREATE_TRIES;
        loop {
            create_dirs(parent(path))?;
            tries -= 1;
            match File::create(&name) {
                Ok(file) => return Ok((Temp(name.into()), file)),
                Err(error) if is_absent(&error) && tries > 0 => {}
                Err(error) => return Err(store_error("write", path, &error, false)),
            }
        }
    }

    /// Writes and syncs the file; returns its size.
    fn fill(file: File, write: &mut WriteFn<'_>) -> Result<u64, BoxError> {
        let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, file);
        write(&mut buffer)?;
        buffer.flush()?;
        let mut file = buffer.into_inner()?;
        file.sync_all()?;
        Ok(file.stream_position()?)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        let _ = fs::remove_file(&self.0);
    }
}
