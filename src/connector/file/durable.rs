//! Files and directories that survive a power cut, and errors that name the path and say what to do.
//!
//! Always: what a function here reports as done is on the disk when it returns, and nothing that exists is replaced. Called on
//! threads for blocking work only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{BoxError, io_kind};

/// The error of a call to the system, with what was attempted, the path, and what to do.
pub(crate) fn failed(action: &str, path: &Path, error: &io::Error) -> BoxError {
    format!("cannot {action} '{}': {error}; {}", path.display(), advice(error.kind())).into()
}

/// The error of a row that could not be written: the row's own, or that of its file, with what to do then.
pub(crate) fn row_failed(path: &Path, error: &BoxError) -> BoxError {
    let advice = io_kind(&**error).map(|kind| format!("; {}", advice(kind))).unwrap_or_default();
    format!("cannot write a row to '{}': {error}{advice}", path.display()).into()
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space on its volume; the job goes on from its last checkpoint"
        }
        ErrorKind::PermissionDenied => "let the user that runs the job read and write there",
        ErrorKind::ReadOnlyFilesystem => "mount its volume for writing, or write elsewhere",
        ErrorKind::NotFound => "was its directory removed or its volume unmounted? Bring it back",
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => "check that the path names what it should",
        ErrorKind::AlreadyExists => "it is not overwritten; move it away after checking whose it is",
        ErrorKind::InvalidFilename => "choose shorter names for the job and the sink's uid",
        _ => "check the volume that it is on",
    }
}

/// Makes a directory, those above it too, durable in their parents. One that exists is left as it is.
pub(crate) fn create_dir(dir: &Path) -> Result<(), BoxError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(failed("write parts into", dir, &ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("look at", dir, &error)),
        Err(_) => {}
    }
    let parent = dir.parent();
    if let Some(parent) = parent {
        create_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed("make the directory", dir, &error)),
        _ => {}
    }
    parent.map_or(Ok(()), sync_dir)
}

/// Makes the names in a directory durable.
#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> Result<(), BoxError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed("sync the directory", dir, &error))
}

/// Where directories cannot be opened, the system itself makes names durable in order.
#[cfg(not(unix))]
pub(crate) fn sync_dir(_dir: &Path) -> Result<(), BoxError> {
    Ok(())
}

/// Makes a file's contents durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<(), BoxError> {
    file.sync_all().map_err(|error| failed("sync", path, &error))
}

/// The length of a file, or nothing where there is none.
pub(crate) fn file_len(path: &Path) -> Result<Option<u64>, BoxError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(format!("'{}' is not a regular file; move it away after checking whose it is", path.display()).into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path, &error)),
    }
}

/// Cuts a file off at `len`, durably.
pub(crate) fn truncate(path: &Path, len: u64) -> Result<(), BoxError> {
    let file = OpenOptions::new().write(true).open(path).map_err(|error| failed("open", path, &error))?;
    file.set_len(len).map_err(|error| failed("truncate", path, &error))?;
    sync_file(&file, path)
}

/// Gives a file another name in its directory, unless that name is taken; [`sync_dir`] makes it durable.
///
/// That the name is free is looked at first: std has no rename that refuses by itself. In between only a writer of the very same
/// name could come, and names carry the attempt.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<(), BoxError> {
    if file_len(to)?.is_some() {
        return Err(failed("rename a part to", to, &ErrorKind::AlreadyExists.into()));
    }
    fs::rename(from, to).map_err(|error| failed("rename", from, &error))
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove(path: &Path) -> Result<(), BoxError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_a_rename_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "ours").unwrap();
        fs::write(&to, "another's").unwrap();
        assert!(rename_new(&from, &to).unwrap_err().to_string().contains("it is not overwritten"));
        assert_eq!((file_len(&from).unwrap(), file_len(&to).unwrap()), (Some(4), Some(9)));
        remove(&to).unwrap();
        rename_new(&from, &to).unwrap();
        assert_eq!((file_len(&from).unwrap(), file_len(&to).unwrap()), (None, Some(4)));
    }

    #[test]
    fn errors_name_the_path_and_say_what_to_do() {
        let full = failed("write", Path::new("out/part"), &ErrorKind::StorageFull.into()).to_string();
        assert!(full.starts_with("cannot write 'out/part': ") && full.contains("free some space on its volume"), "{full}");
        let denied = failed("write", Path::new("out"), &ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.ends_with("let the user that runs the job read and write there"), "{denied}");
        let full = io::Error::from(ErrorKind::StorageFull);
        let row = row_failed(Path::new("out/part"), &full.into()).to_string();
        assert!(row.starts_with("cannot write a row to 'out/part': ") && row.contains("free some space on its volume"), "{row}");
        let no_row = row_failed(Path::new("out/part"), &"a map has no columns".into()).to_string();
        assert!(no_row.ends_with("a map has no columns"), "{no_row}");
    }
}
