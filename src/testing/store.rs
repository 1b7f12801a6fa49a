//! The store as a simulated process sees it: each call is a step, at which the process may die.
//!
//! Always: once the process is dead, no call has any effect.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::DiskCall;
use super::plan::Calamity;
use super::process::Process;
use crate::error::{Error, Result};
use crate::hook::{CrashPoint, Hook};
use crate::snapshot::{Put, StoreBackend, StoreLock, WriteFn};

/// Passes calls on while the process lives.
#[derive(Debug)]
pub(super) struct SimStore {
    inner: Arc<dyn StoreBackend>,
    process: Arc<Process>,
}

impl SimStore {
    pub(super) fn new(inner: Arc<dyn StoreBackend>, process: Arc<Process>) -> Self {
        SimStore { inner, process }
    }

    /// A call is about to be made.
    fn step(&self, call: DiskCall, path: &str) -> Result<()> {
        if self.process.store_called(call, path) {
            return Ok(());
        }
        Err(self.failed("call", path, "the process is dead".into(), false))
    }

    /// A manifest has its name. That happens while a job is launched as well, where nobody would catch what unwinds.
    fn renamed(&self, path: &str) -> Result<()> {
        match self.process.come_to(CrashPoint::ManifestRenamed) {
            Some(Calamity::Death) => Err(self.failed("write", path, "the process is dead".into(), true)),
            Some(Calamity::Panic) => std::panic::resume_unwind(Box::new("a planned panic")),
            None | Some(Calamity::Cancel | Calamity::StoreError) => Ok(()),
        }
    }

    fn failed(&self, action: &'static str, path: &str, cause: String, maybe_done: bool) -> Error {
        Error::Store { action, path: self.inner.locate(path), cause, maybe_done }
    }

    /// What is there has changed: nothing that a checkpoint needs may be missing.
    fn changed(&self) {
        if let Some(missing) = self.process.disk().missing_file() {
            self.process.broken(format!("{missing} is missing, and its checkpoint's manifest is there"));
        }
    }
}

impl StoreBackend for SimStore {
    fn lock(&self, path: &str) -> Result<StoreLock> {
        self.step(DiskCall::Lock, path)?;
        self.inner.lock(path)
    }

    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64> {
        self.step(DiskCall::Put, path)?;
        let size = self.inner.put(path, put, write)?;
        if path.ends_with("/manifest") {
            self.changed();
            self.renamed(path)?;
        }
        Ok(size)
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, content: &[u8]) -> Result<bool> {
        self.step(DiskCall::Put, path)?;
        self.inner.swap(path, expected, content)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.step(DiskCall::Read, path)?;
        self.inner.get(path)
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        self.step(DiskCall::Read, path)?;
        self.inner.size(path)
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.step(DiskCall::Read, path)?;
        self.inner.read(path, range)
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.step(DiskCall::List, dir)?;
        self.inner.list(dir)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.step(DiskCall::Delete, path)?;
        let deleted = self.inner.delete(path);
        self.changed();
        deleted
    }

    fn delete_all(&self, dir: &str) -> Result<()> {
        self.step(DiskCall::Delete, dir)?;
        let deleted = self.inner.delete_all(dir);
        self.changed();
        deleted
    }

    fn clean(&self, dir: &str) -> Result<()> {
        self.step(DiskCall::Delete, dir)?;
        self.inner.clean(dir)
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.inner.locate(path)
    }
}
