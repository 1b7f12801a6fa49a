//! From a path or a glob to the files that are its splits.
//!
//! Always: in the order of their names, none of them a directory or hidden, each one readable when it was found. Called once in
//! a job's life, before any task starts; [`open`] also whenever a split is opened.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::durable::failed;
use super::position::{FilePosition, Fingerprint};
use crate::error::BoxError;

/// All splits of a path or a glob, each at its beginning.
pub(crate) fn find(pattern: &Path) -> Result<Vec<(String, FilePosition)>, BoxError> {
    let pattern = text(pattern)?;
    if Path::new(pattern).exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![begin(pattern.to_owned())?]);
    }
    let mut splits = Vec::new();
    for path in matches(pattern)? {
        splits.push(begin(text(&path)?.to_owned())?);
    }
    if splits.is_empty() {
        return Err(format!("no file matches '{pattern}' below '{}'; check the path and the pattern", current_dir()).into());
    }
    splits.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(splits)
}

/// Opens a file, or says what hinders it.
pub(crate) fn open(path: &str) -> Result<File, BoxError> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_dir(), file)));
    match opened {
        Ok((false, file)) => Ok(file),
        Ok((true, _)) => Err(format!("'{path}' is a directory; name a file in it, or all of them with '{path}/*'").into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("there is no file '{path}' (seen from '{}'); check the path, or put the file there", current_dir())
                .into())
        }
        Err(error) => Err(failed("read", Path::new(path), &error)),
    }
}

fn begin(path: String) -> Result<(String, FilePosition), BoxError> {
    let mut file = open(&path)?;
    let fingerprint = Fingerprint::take(&mut file).map_err(|error| failed("read", Path::new(&path), &error))?;
    Ok((path, FilePosition::beginning(fingerprint)))
}

/// The files that match; parts that a sink has not committed are hidden, and so are never among them.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, BoxError> {
    let options = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let found = glob::glob_with(pattern, options).map_err(|error| format!("'{pattern}' is not a pattern: {error}"))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| failed("look for files in", error.path(), error.error()))?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<&str, BoxError> {
    path.to_str()
        .ok_or_else(|| format!("the name '{}' is not UTF-8, so no checkpoint can hold it; rename it", path.display()).into())
}

fn current_dir() -> String {
    std::env::current_dir().map_or_else(|_| "?".into(), |dir| dir.display().to_string())
}
