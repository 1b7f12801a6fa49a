//! Where a savepoint lies, or is to lie.
//!
//! Always: a place that was resolved names one directory for good, whatever the process's working directory becomes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::DirectoryStore;
use super::folder::{Folder, savepoint_name};
use super::job_files::JobStore;
use super::patient::{Patience, PatientStore};
use super::store::StoreBackend;
use crate::error::{Error, Result};
use crate::ids::CheckpointId;

/// Where a savepoint is to be written, or lies: a directory of its own.
///
/// A path is a local directory, and says enough: `job.savepoint("savepoints/before-the-upgrade")`. Nothing may lie in it yet when a
/// savepoint is written there.
///
/// ```
/// use tidegate::{Place, Store};
///
/// let local: Place = "savepoints/before-the-upgrade".into();
/// let elsewhere = Place::in_store(&Store::memory(), "before-the-upgrade");
/// let there = Place::beside_checkpoints();
/// # let _ = (local, elsewhere, there);
/// ```
#[derive(Clone)]
pub struct Place(pub(crate) Where);

/// The kinds of places.
#[derive(Clone)]
pub(crate) enum Where {
    /// In the job's own directory of its store, named by the savepoint's number.
    Beside,
    Directory(PathBuf),
    Store(Arc<dyn StoreBackend>, String),
}

impl Place {
    /// In the job's directory of its own store, as `sp-<n>`.
    pub fn beside_checkpoints() -> Self {
        Place(Where::Beside)
    }

    /// A local directory.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Place(Where::Directory(path.into()))
    }

    /// The directory in which savepoint `id` of a job lies here.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`] where there is no such place.
    pub(crate) fn folder(&self, own: Option<&JobStore>, id: CheckpointId) -> Result<Folder> {
        match (&self.0, own) {
            (Where::Beside, Some(store)) => Ok(store.beside(&savepoint_name(id))),
            (Where::Beside, None) => Err(Error::InvalidFlow {
                problem: "a savepoint is to lie beside the job's checkpoints, and the job has no store".into(),
                advice: "name a directory for it, or give the job a store with .store(…)".into(),
            }),
            (Where::Store(store, dir), _) => Ok(Folder::new(store.clone(), dir.clone())),
            (Where::Directory(path), _) => local(path),
        }
    }

    /// As errors name it.
    pub(crate) fn shown(&self) -> PathBuf {
        match &self.0 {
            Where::Beside => "beside the checkpoints".into(),
            Where::Directory(path) => path.clone(),
            Where::Store(store, dir) => store.locate(dir),
        }
    }

    /// Whether both mean the same directory. Places beside the checkpoints are named by their savepoints' numbers, and never the same.
    pub(crate) fn is_same(&self, other: &Place) -> bool {
        let located = |place: &Place| place.fixed().ok().flatten().map(|folder| folder.located());
        located(self).is_some_and(|path| Some(path) == located(other))
    }

    /// The directory that is meant; `None` where only the savepoint's number will tell.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`] where there is no such place.
    pub(crate) fn fixed(&self) -> Result<Option<Folder>> {
        match &self.0 {
            Where::Beside => Ok(None),
            _ => self.folder(None, CheckpointId(0)).map(Some),
        }
    }
}

/// A local directory: its name in a store that is its parent.
fn local(path: &Path) -> Result<Folder> {
    let refused = || Error::InvalidFlow {
        problem: format!("'{}' cannot be the directory of a savepoint", path.display()),
        advice: "name a directory by a path of Unicode that ends with its name".into(),
    };
    let whole = std::path::absolute(path).map_err(|_| refused())?;
    let name = whole.file_name().and_then(|name| name.to_str()).ok_or_else(refused)?;
    let parent = whole.parent().ok_or_else(refused)?;
    let store = PatientStore::new(Arc::new(DirectoryStore::new(parent)), Patience::default());
    Ok(Folder::new(Arc::new(store), name.to_owned()))
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(f)
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Place::directory(path)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Place::directory(path)
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Place::directory(path)
    }
}

impl From<&str> for Place {
    fn from(path: &str) -> Self {
        Place::directory(path)
    }
}

impl From<String> for Place {
    fn from(path: String) -> Self {
        Place::directory(path)
    }
}

/// A savepoint that is complete: all that a job was, in a directory of its own, which is the user's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Savepoint {
    /// Its number, of the same row as those of the job's checkpoints.
    pub id: CheckpointId,
    /// Where it lies, as its store shows it: a path, where that is a local directory.
    pub path: PathBuf,
    place: Place,
}

impl Savepoint {
    /// The savepoint of a job with this number, in this place.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`] where there is no such place.
    pub(crate) fn at(place: &Place, own: Option<&JobStore>, id: CheckpointId) -> Result<Self> {
        let folder = place.folder(own, id)?;
        let path = folder.located();
        Ok(Savepoint { id, path, place: Place(folder.into_where()) })
    }

    /// Where it lies: what a start from it wants to know.
    pub fn place(&self) -> Place {
        self.place.clone()
    }
}

impl From<Savepoint> for Place {
    fn from(savepoint: Savepoint) -> Self {
        savepoint.place
    }
}

impl From<&Savepoint> for Place {
    fn from(savepoint: &Savepoint) -> Self {
        savepoint.place()
    }
}
