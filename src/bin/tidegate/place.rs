//! What a path on the command line stands for: a store, a job, or a checkpoint.

use std::path::{Path, PathBuf};

use tidegate::Store;
use tidegate::stored::{StoredCheckpoint, StoredJob, job, jobs};

use super::failure::Failure;

/// A directory in which state lies.
pub(super) enum Place {
    /// A store: its directory has those of jobs.
    Store(Store),
    /// A job, by its store and name.
    Job(Store, String),
    /// A checkpoint, by its store and its path in it.
    Checkpoint(Store, String),
}

impl Place {
    /// Looks what a directory is.
    pub(super) fn of(path: &Path) -> Result<Place, Failure> {
        let whole = path.canonicalize().map_err(|error| {
            Failure::Asked(format!(
                "cannot read '{}': {error}; name a store's directory, or a job's or a checkpoint's",
                path.display()
            ))
        })?;
        if !whole.is_dir() {
            return Err(Failure::Asked(format!(
                "'{}' is a file: name a store's directory, or a job's or a checkpoint's",
                path.display()
            )));
        }
        let name = name_of(&whole)?;
        if is_checkpoint(&name) || whole.join("manifest").is_file() {
            let job = whole.parent().unwrap_or(&whole);
            return Ok(match job.parent() {
                Some(store) => Place::Checkpoint(Store::directory(store), format!("{}/{name}", name_of(job)?)),
                None => Place::Checkpoint(Store::directory(job), name),
            });
        }
        let parent = whole.parent().unwrap_or(&whole);
        let store = Store::directory(parent);
        match job(&store, &name)? {
            Some(_) => Ok(Place::Job(store, name)),
            None => Ok(Place::Store(Store::directory(whole))),
        }
    }

    /// The jobs that lie there; a checkpoint is none.
    pub(super) fn jobs(&self) -> Result<Vec<StoredJob>, Failure> {
        match self {
            Place::Store(store) => Ok(jobs(store)?),
            Place::Job(store, name) => Ok(job(store, name)?.into_iter().collect()),
            Place::Checkpoint(..) => Ok(Vec::new()),
        }
    }

    /// Its store.
    pub(super) fn store(&self) -> &Store {
        match self {
            Place::Store(store) | Place::Job(store, _) | Place::Checkpoint(store, _) => store,
        }
    }
}

/// The checkpoint that a path stands for: that of a checkpoint's directory, or the latest of a job's.
pub(super) fn checkpoint(path: &Path) -> Result<StoredCheckpoint, Failure> {
    match Place::of(path)? {
        Place::Checkpoint(store, dir) => Ok(StoredCheckpoint::open(&store, &dir)?),
        Place::Job(store, name) => StoredCheckpoint::latest(&store, &name)?.ok_or_else(|| {
            Failure::Asked(format!(
                "the job '{name}' has no complete checkpoint yet; look with 'tidegate state ls {}'",
                path.display()
            ))
        }),
        Place::Store(_) => Err(Failure::Asked(format!(
            "'{}' is no checkpoint: name a checkpoint's directory, such as '{}', or a job's; 'tidegate state ls' lists them",
            path.display(),
            path.join("<job>").join("chk-<n>").display()
        ))),
    }
}

fn is_checkpoint(name: &str) -> bool {
    name.strip_prefix("chk-").is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

fn name_of(path: &Path) -> Result<String, Failure> {
    match path.file_name() {
        // The root of the file system can be a store, and is neither a job nor a checkpoint.
        None => Ok(String::new()),
        Some(name) => name.to_str().map(str::to_owned).ok_or_else(|| not_unicode(path)),
    }
}

fn not_unicode(path: &Path) -> Failure {
    let path: PathBuf = path.into();
    Failure::Asked(format!("the name '{}' is not UTF-8, so it is that of no job and no checkpoint", path.display()))
}
