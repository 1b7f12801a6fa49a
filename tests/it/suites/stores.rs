//! Stores: ours, and a map that has one flaw at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tidegate::testing::{Disk, suites};
use tidegate::{Error, Put, Result, Store, StoreBackend, StoreLock, WriteFn};

use super::catches;

#[test]
fn the_directory_the_memory_and_the_simulated_disk_pass() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("not/yet/there");
    suites::store(move || Store::directory(&place));
    let memory = Store::memory();
    suites::store(move || memory.clone());
    let disk = Disk::new();
    suites::store(move || disk.store());
}

/// What is wrong with a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    None,
    LosesTheLastByte,
    SaysNoSize,
    AbsentIsEmpty,
    Overwrites,
    OverwriteMaybe,
    KeepsTheOld,
    SwapsBlindly,
    SwapsNothing,
    SwapsUnseen,
    WritesInPlace,
    ListsUnfinished,
    LeavesHalf,
    ShortIsShort,
    ListsBelow,
    ListsNeighbours,
    ListsNoRoot,
    DeletesNothing,
    DeletesByPrefix,
    DeletesNeighbours,
    DeleteWantsIt,
    CleansAll,
    LocksNobodyOut,
    LocksForEver,
    LocksInTheProcess,
    OwnMemory,
    OneThread,
    NamesNothing,
    Fails,
    Hangs,
}

type Files = BTreeMap<String, Vec<u8>>;

/// Files in memory.
#[derive(Clone, Debug)]
pub struct Map {
    flaw: Flaw,
    files: Arc<Mutex<Files>>,
    locks: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug)]
struct Lock(Map, String);

impl Drop for Lock {
    fn drop(&mut self) {
        if self.0.flaw != Flaw::LocksForEver {
            self.0.locks.lock().unwrap().remove(&self.1);
        }
    }
}

impl Map {
    pub fn with(flaw: Flaw) -> Map {
        Map { flaw, files: Arc::default(), locks: Arc::default() }
    }

    /// As another process has it.
    fn again(&self) -> Map {
        match self.flaw {
            Flaw::OwnMemory => Map { files: Arc::default(), ..self.clone() },
            Flaw::LocksInTheProcess => Map { locks: Arc::default(), ..self.clone() },
            _ => self.clone(),
        }
    }

    fn failed(&self, action: &'static str, path: &str, cause: &str) -> Error {
        let path = if self.flaw == Flaw::NamesNothing { "?" } else { path };
        Error::Store { action, path: path.into(), cause: cause.into(), maybe_done: false }
    }

    fn insert(&self, path: &str, bytes: &[u8]) {
        self.files.lock().unwrap().insert(path.into(), bytes.to_vec());
    }
}

/// Writes in place, as a careless store does.
struct InPlace<'a>(&'a Map, String, Vec<u8>);

impl std::io::Write for InPlace<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.2.extend_from_slice(bytes);
        self.0.insert(&self.1, &self.2);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl StoreBackend for Map {
    fn lock(&self, path: &str) -> Result<StoreLock> {
        let free = self.locks.lock().unwrap().insert(path.into());
        let lock = Box::new(Lock(self.clone(), path.into()));
        if free || self.flaw == Flaw::LocksNobodyOut {
            return Ok(lock);
        }
        std::mem::forget(lock);
        Err(Error::Locked { path: path.into() })
    }

    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64> {
        if self.flaw == Flaw::OneThread && thread::current().name().is_none() && path.contains("threads/7") {
            return Err(self.failed("write", path, "another thread than its own"));
        }
        let taken = put == Put::New && self.files.lock().unwrap().contains_key(path);
        if taken && self.flaw != Flaw::Overwrites {
            let error = self.failed("write", path, "it is there");
            return Err(match (self.flaw, error) {
                (Flaw::OverwriteMaybe, Error::Store { action, path, cause, .. }) => {
                    Error::Store { action, path, cause, maybe_done: true }
                }
                (_, error) => error,
            });
        }
        let staged = match self.flaw {
            Flaw::WritesInPlace => path.to_owned(),
            _ => format!("{path}.tmp"),
        };
        let mut out = InPlace(self, staged.clone(), Vec::new());
        let written = write(&mut out);
        let mut bytes = std::mem::take(&mut out.2);
        if self.flaw != Flaw::WritesInPlace {
            self.files.lock().unwrap().remove(&staged);
        }
        if let Err(error) = written {
            if self.flaw == Flaw::LeavesHalf {
                self.insert(path, &bytes);
            }
            return Err(self.failed("write", path, &error.to_string()));
        }
        if self.flaw == Flaw::LosesTheLastByte {
            bytes.pop();
        }
        let kept = self.flaw == Flaw::KeepsTheOld && self.size(path)?.is_some();
        if !kept {
            self.insert(path, &bytes);
        }
        Ok(if self.flaw == Flaw::SaysNoSize { 0 } else { bytes.len() as u64 })
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, content: &[u8]) -> Result<bool> {
        let fits = self.files.lock().unwrap().get(path).map(Vec::as_slice) == expected;
        match self.flaw {
            Flaw::SwapsBlindly => self.insert(path, content),
            Flaw::SwapsNothing => {}
            Flaw::SwapsUnseen if !fits => self.insert(path, content),
            _ if fits => self.insert(path, content),
            _ => {}
        }
        Ok(fits || self.flaw == Flaw::SwapsBlindly)
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        let size = self.files.lock().unwrap().get(path).map(|bytes| bytes.len() as u64);
        Ok(if self.flaw == Flaw::AbsentIsEmpty { Some(size.unwrap_or(0)) } else { size })
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let files = self.files.lock().unwrap();
        if self.flaw == Flaw::AbsentIsEmpty && !files.contains_key(path) {
            return Ok(Vec::new());
        }
        let bytes = files.get(path).ok_or_else(|| self.failed("read", path, "it is not there"))?;
        if self.flaw == Flaw::ShortIsShort {
            let end = range.end.min(bytes.len() as u64);
            return Ok(bytes[range.start.min(end) as usize..end as usize].to_vec());
        }
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = part.and_then(|(start, end)| bytes.get(start..end)).map(<[u8]>::to_vec);
        part.ok_or_else(|| Error::Corrupt { path: path.into(), what: "it ends earlier".into(), usable: Vec::new() })
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        if self.flaw == Flaw::Fails {
            return Err(self.failed("list", dir, "it cannot"));
        }
        let files = self.files.lock().unwrap();
        let inside = files.keys().filter_map(|path| {
            if dir.is_empty() && self.flaw != Flaw::ListsNoRoot {
                return Some(path.as_str());
            }
            let rest = path.strip_prefix(dir)?;
            if self.flaw == Flaw::ListsNeighbours { Some(rest.trim_start_matches('/')) } else { rest.strip_prefix('/') }
        });
        let name = |rest: &str| match self.flaw {
            Flaw::ListsBelow => rest.to_owned(),
            _ => rest.split('/').next().unwrap().to_owned(),
        };
        let mut names: BTreeSet<String> = inside.map(name).collect();
        if self.flaw != Flaw::ListsUnfinished {
            names.retain(|name| !name.ends_with(".tmp"));
        }
        Ok(names.into_iter().collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        if self.flaw == Flaw::Hangs {
            thread::sleep(Duration::from_secs(600));
        }
        let mut files = self.files.lock().unwrap();
        match self.flaw {
            Flaw::DeletesNothing => {}
            Flaw::DeleteWantsIt if !files.contains_key(path) => return Err(self.failed("delete", path, "it is not there")),
            Flaw::DeletesByPrefix => {
                let dir = path.rsplit_once('/').unwrap().0.to_owned();
                files.retain(|other, _| !other.starts_with(&dir));
            }
            _ => drop(files.remove(path)),
        }
        Ok(())
    }

    fn delete_all(&self, dir: &str) -> Result<()> {
        let prefix = if self.flaw == Flaw::DeletesNeighbours { dir.to_owned() } else { format!("{dir}/") };
        self.files.lock().unwrap().retain(|path, _| !path.starts_with(&prefix));
        Ok(())
    }

    fn clean(&self, _: &str) -> Result<()> {
        if self.flaw == Flaw::CleansAll {
            self.files.lock().unwrap().clear();
        }
        Ok(())
    }
}

fn map(flaw: Flaw) -> impl FnOnce() {
    let map = Map::with(flaw);
    move || suites::store(move || Store::of(map.again()))
}

#[test]
fn a_map_without_a_flaw_passes() {
    map(Flaw::None)();
}

#[test]
fn every_flaw_of_a_store_is_caught_by_its_rule() {
    let never_overwrites = "with Put::New a file that exists is refused and left as it is";
    let atomic = "a file is seen only once it is complete";
    let swaps = "swap writes a file that is as expected, and leaves any other as it is";
    let lists = "list names the files and directories directly in a directory, each once";
    let locks = "a lock has one holder, and is free when that drops it";
    let deletes = "delete removes the file, and only it; one that is not there is no error";
    let short = "a range beyond a file's end is Error::Corrupt";
    let flaws = [
        (Flaw::LosesTheLastByte, "put and size say how many bytes a file has"),
        (Flaw::SaysNoSize, "put and size say how many bytes a file has"),
        (Flaw::AbsentIsEmpty, "a file that is not there has no size, and reading it is an error"),
        (Flaw::Overwrites, never_overwrites),
        (Flaw::OverwriteMaybe, never_overwrites),
        (Flaw::KeepsTheOld, "with Put::Replace the new file takes the old one's place"),
        (Flaw::SwapsBlindly, swaps),
        (Flaw::SwapsNothing, swaps),
        (Flaw::SwapsUnseen, swaps),
        (Flaw::WritesInPlace, atomic),
        (Flaw::ListsUnfinished, atomic),
        (Flaw::LeavesHalf, "a write that fails changes nothing, and says so"),
        (Flaw::ShortIsShort, short),
        (Flaw::ListsBelow, lists),
        (Flaw::ListsNeighbours, lists),
        (Flaw::ListsNoRoot, lists),
        (Flaw::DeletesNothing, deletes),
        (Flaw::DeletesByPrefix, deletes),
        (
            Flaw::DeletesNeighbours,
            "delete_all removes all that is in a directory, and only that; one that is not there is no error",
        ),
        (Flaw::DeleteWantsIt, "a call in order succeeds"),
        (Flaw::CleansAll, "clean leaves all that was written completely"),
        (Flaw::LocksNobodyOut, locks),
        (Flaw::LocksForEver, locks),
        (Flaw::LocksInTheProcess, locks),
        (Flaw::OwnMemory, "whoever opens the store anew sees what was done before"),
        (Flaw::OneThread, "a store is used from several threads at a time"),
        (Flaw::NamesNothing, "an error names the file"),
        (Flaw::Fails, "a call in order succeeds"),
    ];
    for (flaw, rule) in flaws {
        catches(rule, map(flaw));
    }
}

#[test]
fn a_call_of_a_store_that_never_returns_is_caught() {
    catches("every call of a store returns", map(Flaw::Hangs));
}
