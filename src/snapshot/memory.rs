//! The store in memory: for tests, which keep a clone of it over restarts, and for jobs that need not outlive their process.
//!
//! It has a live image, which calls see, and a durable one, which is what a crash leaves. Always: a call without a fault changes
//! both, as a synced write does; a hook may draw a [`Fault`] for any call. Shared by clones; one lock, held for a moment.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::directory::checked_length;
use super::durable::TEMP_SUFFIX;
use super::store::{Put, StoreBackend, StoreLock, WriteFn, store_error};
use crate::error::{BoxError, Error, Result};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// Takes a lock.
    Lock,
    /// Writes a file's content to a temporary file.
    Write,
    /// Makes the temporary file durable.
    Sync,
    /// Gives it the file's name, durably.
    Rename,
    /// Reads a file, or its size.
    Read,
    /// Reads a directory.
    List,
    /// Deletes a file or a directory.
    Delete,
}

/// A call, as the hook sees it before anything is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// What it does.
    pub(crate) kind: CallKind,
    /// To what.
    pub(crate) path: &'a str,
}

/// What goes wrong with a call. For calls that change nothing, every fault is [`Fault::Before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error; nothing was done.
    Before,
    /// An error; half of a temporary file is left.
    Torn,
    /// An error, "maybe done"; the effect is seen, but a crash undoes it.
    Unsynced,
    /// An error, "maybe done"; the effect is there for good.
    After,
    /// No error, but a crash undoes the effect: a disk that lies, or a store that forgets to sync.
    Forgotten,
}

type Hook = Arc<dyn Fn(&Call<'_>) -> Option<Fault> + Send + Sync>;
type Image = BTreeMap<String, Arc<[u8]>>;

#[derive(Default)]
struct Images {
    live: Image,
    durable: Image,
    locks: BTreeMap<String, u64>,
    last_lock: u64,
    hook: Option<Hook>,
}

/// Room for a file of a small job, so that writing it does not grow it step by step.
const USUAL_BYTES: usize = 2048;

/// Keeps files in memory. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore {
    images: Arc<Mutex<Images>>,
}

impl MemoryStore {
    /// An empty store.
    pub(crate) fn new() -> Self {
        MemoryStore::default()
    }

    /// Asks `hook` before every call from now on.
    pub(crate) fn on_call(&self, hook: impl Fn(&Call<'_>) -> Option<Fault> + Send + Sync + 'static) {
        self.images().hook = Some(Arc::new(hook));
    }

    /// No more faults.
    #[cfg(test)]
    pub(crate) fn heal(&self) {
        self.images().hook = None;
    }

    /// The process dies: what was not synced is gone, and so are its locks.
    pub(crate) fn crash(&self) {
        let mut images = self.images();
        images.live = images.durable.clone();
        images.locks.clear();
    }

    /// Changes a file's bytes in both images, as a failing disk would.
    pub(crate) fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut images = self.images();
        let mut bytes = images.live.get(path).map(|bytes| bytes.to_vec()).unwrap_or_default();
        change(&mut bytes);
        images.live.insert(path.into(), bytes.clone().into());
        images.durable.insert(path.into(), bytes.into());
    }

    /// The paths of all files, as calls see them.
    pub(crate) fn files(&self) -> Vec<String> {
        self.images().live.keys().cloned().collect()
    }

    /// Looks at all files, as calls see them and as a crash leaves them.
    pub(crate) fn look<T>(&self, mut look: impl FnMut(&BTreeMap<String, Arc<[u8]>>) -> Option<T>) -> Option<T> {
        let images = self.images();
        look(&images.live).or_else(|| look(&images.durable))
    }

    fn images(&self) -> MutexGuard<'_, Images> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault drawn for a call; the hook runs without the lock, so that it may look at the store.
    fn fault(&self, kind: CallKind, path: &str) -> Option<Fault> {
        let hook = self.images().hook.clone()?;
        hook(&Call { kind, path })
    }

    /// For calls that change nothing.
    fn may_fail(&self, kind: CallKind, action: &'static str, path: &str) -> Result<()> {
        match self.fault(kind, path) {
            None | Some(Fault::Forgotten) => Ok(()),
            Some(fault) => Err(self.injected(action, path, fault)),
        }
    }

    fn injected(&self, action: &'static str, path: &str, fault: Fault) -> Error {
        let maybe_done = matches!(fault, Fault::Unsynced | Fault::After);
        Error::Store { action, path: self.locate(path), cause: format!("injected fault ({fault:?})"), maybe_done }
    }

    /// Applies a change to the images that `fault` lets it reach.
    fn change(&self, action: &'static str, path: &str, fault: Option<Fault>, change: impl Fn(&mut Image)) -> Result<()> {
        let mut images = self.images();
        if !matches!(fault, Some(Fault::Before | Fault::Torn)) {
            change(&mut images.live);
        }
        if matches!(fault, None | Some(Fault::After)) {
            change(&mut images.durable);
        }
        drop(images);
        match fault {
            None | Some(Fault::Forgotten) => Ok(()),
            Some(fault) => Err(self.injected(action, path, fault)),
        }
    }

    /// A fault on the way from a written temporary file to the renamed one.
    fn fault_behind(&self, path: &str, bytes: &[u8]) -> Option<Fault> {
        let fault = self.fault(CallKind::Sync, path).or_else(|| self.fault(CallKind::Rename, path));
        if let Some(Fault::Before | Fault::Torn) = fault {
            self.leave_behind(path, bytes);
        }
        fault
    }

    /// What an interrupted write leaves.
    fn leave_behind(&self, path: &str, bytes: &[u8]) {
        self.damage(&format!("{path}.torn{TEMP_SUFFIX}"), |torn| {
            torn.clear();
            torn.extend_from_slice(bytes);
        });
    }

    fn remove(&self, prefix: &str, which: impl Fn(&str) -> bool) -> Result<()> {
        let fault = self.fault(CallKind::Delete, prefix);
        self.change("delete", prefix, fault, |image| image.retain(|path, _| !which(path)))
    }
}

impl StoreBackend for MemoryStore {
    fn lock(&self, path: &str) -> Result<StoreLock> {
        self.may_fail(CallKind::Lock, "lock", path)?;
        let mut images = self.images();
        if images.locks.contains_key(path) {
            return Err(Error::Locked { path: self.locate(path) });
        }
        images.last_lock += 1;
        let number = images.last_lock;
        images.locks.insert(path.into(), number);
        drop(images);
        Ok(Box::new(MemoryLock { store: self.clone(), path: path.into(), number }))
    }

    /// Goes the way of a durable write: to a temporary file, which is synced, then renamed. What fails on the way leaves that file.
    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64> {
        let at_write = self.fault(CallKind::Write, path);
        let failed = |error: BoxError| store_error("write", &self.locate(path), &*error, false);
        if put == Put::New && self.images().live.contains_key(path) {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::AlreadyExists).into()));
        }
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        write(&mut bytes).map_err(failed)?;
        if at_write == Some(Fault::Torn) {
            self.leave_behind(path, bytes.get(..bytes.len() / 2).unwrap_or_default());
        }
        let size = bytes.len() as u64;
        let fault = match at_write {
            None => self.fault_behind(path, &bytes),
            fault => fault,
        };
        let bytes: Arc<[u8]> = bytes.into();
        self.change("write", path, fault, |image| {
            image.insert(path.into(), bytes.clone());
        })?;
        Ok(size)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.may_fail(CallKind::Read, "read", path)?;
        Ok(self.images().live.get(path).map(|bytes| bytes.to_vec()))
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        self.may_fail(CallKind::Read, "read", path)?;
        Ok(self.images().live.get(path).map(|bytes| bytes.len() as u64))
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.may_fail(CallKind::Read, "read", path)?;
        let bytes = self.images().live.get(path).cloned();
        let absent = || store_error("read", &self.locate(path), &std::io::Error::from(std::io::ErrorKind::NotFound), false);
        let bytes = bytes.ok_or_else(absent)?;
        checked_length(&self.locate(path), &range, bytes.len() as u64)?;
        Ok(bytes.get(range.start as usize..range.end as usize).unwrap_or_default().to_vec())
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.may_fail(CallKind::List, "list", dir)?;
        let images = self.images();
        let below = |path| if dir.is_empty() { Some(path) } else { str::strip_prefix(path, dir)?.strip_prefix('/') };
        let inside = images.live.keys().filter_map(|path| below(path.as_str()));
        let mut names: Vec<String> = inside.map(|path| path.split('/').next().unwrap_or(path).to_string()).collect();
        names.retain(|name| !name.ends_with(TEMP_SUFFIX));
        names.dedup();
        Ok(names)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.remove(path, |other| other == path)
    }

    fn delete_all(&self, dir: &str) -> Result<()> {
        self.remove(dir, |path| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
    }

    fn clean(&self, dir: &str) -> Result<()> {
        let leftover = |path: &str| Path::new(path).parent() == Some(Path::new(dir)) && path.ends_with(TEMP_SUFFIX);
        self.remove(dir, leftover)
    }

    fn locate(&self, path: &str) -> PathBuf {
        Path::new("memory:").join(path)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("files", &self.images().live.len()).finish_non_exhaustive()
    }
}

/// Frees a lock, unless a crash has freed it and somebody else took it.
#[derive(Debug)]
struct MemoryLock {
    store: MemoryStore,
    path: String,
    number: u64,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut images = self.store.images();
        if images.locks.get(&self.path) == Some(&self.number) {
            images.locks.remove(&self.path);
        }
    }
}
