//! What every store must do.

use std::io::Write;
use std::thread;

use super::watch::{Doing, watched};
use super::{broken, holds};
use crate::api::Store;
use crate::error::{BoxError, Error, Result};
use crate::snapshot::{Put, StoreBackend};

const READS_BACK: &str = "what was put is read back, whole and in parts";
const SIZES: &str = "put and size say how many bytes a file has";
const ABSENT: &str = "a file that is not there has no size, and reading it is an error";
const NEVER_OVERWRITES: &str = "with Put::New a file that exists is refused and left as it is";
const REPLACES: &str = "with Put::Replace the new file takes the old one's place";
const SWAPS: &str = "swap writes a file that is as expected, and leaves any other as it is";
const ATOMIC: &str = "a file is seen only once it is complete";
const LEAVES_NOTHING: &str = "a write that fails changes nothing, and says so";
const SHORT: &str = "a range beyond a file's end is Error::Corrupt";
const LISTS: &str = "list names the files and directories directly in a directory, each once";
const DELETES: &str = "delete removes the file, and only it; one that is not there is no error";
const DELETES_ALL: &str = "delete_all removes all that is in a directory, and only that; one that is not there is no error";
const CLEANS: &str = "clean leaves all that was written completely";
const LOCKS: &str = "a lock has one holder, and is free when that drops it";
const OTHERS_SEE: &str = "whoever opens the store anew sees what was done before";
const SHARED: &str = "a store is used from several threads at a time";
const NAMES_THE_FILE: &str = "an error names the file";
const SUCCEEDS: &str = "a call in order succeeds";
const RETURNS: &str = "every call of a store returns";

/// The directory in which the suite writes.
const ROOM: &str = "suite";

/// Checks a store: a file is put at once and completely, refused where it exists, swapped, read, listed and deleted; a lock has one holder;
/// and whoever opens the store anew sees it all.
///
/// `make` opens the store anew, each time over the same place, as another process would. The suite writes below the directory
/// `suite` and deletes it before and afterwards. What a loss of power would undo cannot be seen from outside.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let place = dir.path().to_owned();
/// use tidegate::{Store, testing::suites};
///
/// suites::store(move || Store::directory(&place));
/// ```
///
/// A backend of one's own goes in by [`Store::of`].
///
/// # Panics
/// Where a rule is broken: with the rule, and how.
pub fn store(make: impl Fn() -> Store + Send + 'static) {
    let checks = move |doing: &Doing| {
        let bench = StoreBench { store: &*make().backend, other: &*make().backend, doing };
        bench.clear();
        bench.check_files();
        bench.check_failures();
        bench.check_swaps();
        bench.check_directories();
        bench.check_locks();
        bench.check_threads();
        bench.clear();
    };
    watched(checks, |doing| broken(RETURNS, format!("it has not come back from {doing}")));
}

/// A store, twice, as two processes have it.
struct StoreBench<'a> {
    store: &'a dyn StoreBackend,
    other: &'a dyn StoreBackend,
    doing: &'a Doing,
}

fn path(name: &str) -> String {
    format!("{ROOM}/{name}")
}

fn done<T>(what: &str, result: Result<T>) -> T {
    result.unwrap_or_else(|error| broken(SUCCEEDS, format!("{what} failed: {error}")))
}

/// Whether an error says for sure that nothing was done.
fn undone(error: &Error) -> bool {
    matches!(error, Error::Store { maybe_done: false, .. })
}

impl StoreBench<'_> {
    fn clear(&self) {
        self.doing.now("delete_all");
        done("delete_all", self.store.delete_all(ROOM));
    }

    fn put(&self, name: &str, put: Put, bytes: &[u8]) -> Result<u64> {
        self.doing.now(format!("put '{name}'"));
        // In pieces, as snapshots are written.
        self.store.put(&path(name), put, &mut |out| Ok(bytes.chunks(1000).try_for_each(|piece| out.write_all(piece))?))
    }

    fn get(&self, store: &dyn StoreBackend, name: &str) -> Option<Vec<u8>> {
        self.doing.now(format!("get '{name}'"));
        done("get", store.get(&path(name)))
    }

    /// Both processes see this content.
    fn sees(&self, rule: &str, name: &str, expected: Option<&[u8]>) {
        let text = |bytes: Option<&[u8]>| bytes.map_or("no file".to_string(), |bytes| format!("{} bytes", bytes.len()));
        let found = self.get(self.store, name);
        holds(rule, found.as_deref() == expected, || {
            format!("'{name}' is {} where {} are expected", text(found.as_deref()), text(expected))
        });
        let found = self.get(self.other, name);
        holds(OTHERS_SEE, found.as_deref() == expected, || {
            format!("'{name}' is {} for another process, where {} are expected", text(found.as_deref()), text(expected))
        });
    }

    fn list(&self, dir: &str) -> Vec<String> {
        self.doing.now(format!("list '{dir}'"));
        let mut names = done("list", self.store.list(dir));
        names.sort();
        names
    }

    fn check_files(&self) {
        let large: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
        for (name, bytes) in [("chk-1/task-0.1-attempt-1.2.snap", large.as_slice()), ("empty", b""), ("small", b"hello")] {
            let said = done("put", self.put(name, Put::New, bytes));
            let size = done("size", self.store.size(&path(name)));
            let expected = bytes.len() as u64;
            holds(SIZES, (said, size) == (expected, Some(expected)), || {
                format!("'{name}' has {expected} bytes; put says {said}, size {size:?}")
            });
            self.sees(READS_BACK, name, Some(bytes));
        }
        for (from, to) in [(0, 5), (1, 3), (5, 5), (0, 0)] {
            let part = done("read", self.store.read(&path("small"), from..to));
            let expected = b"hello".get(from as usize..to as usize).unwrap_or_default();
            holds(READS_BACK, part == expected, || format!("bytes {from}..{to} of 'hello' are {part:?}"));
        }
        for range in [0..6, 5..6, 3..u64::MAX, u64::MAX - 1..u64::MAX] {
            let read = self.store.read(&path("small"), range.clone());
            holds(SHORT, matches!(read, Err(Error::Corrupt { .. })), || format!("{range:?} of a file of 5 bytes gives {read:?}"));
        }
        self.sees(ABSENT, "chk-1/absent", None);
        let read = self.store.read(&path("absent"), 0..0);
        holds(ABSENT, read.is_err(), || format!("it is {read:?}"));
    }

    fn check_failures(&self) {
        done("put", self.put("file", Put::New, b"old"));
        let refused = self.put("file", Put::New, b"newer");
        let Err(error) = refused else { broken(NEVER_OVERWRITES, "the second put is a success") };
        holds(NEVER_OVERWRITES, undone(&error), || format!("the error is {error:?}, not Error::Store without 'maybe_done'"));
        holds(NAMES_THE_FILE, error.to_string().contains("file"), || format!("'{error}' is the refusal to overwrite 'file'"));
        self.sees(NEVER_OVERWRITES, "file", Some(b"old"));
        done("put", self.put("file", Put::Replace, b"new"));
        self.sees(REPLACES, "file", Some(b"new"));
        done("put", self.put("replaced", Put::Replace, b"first"));
        self.sees(REPLACES, "replaced", Some(b"first"));
        for (name, put, before) in [("fresh", Put::New, None), ("file", Put::Replace, Some(b"new".as_slice()))] {
            self.check_while_written(name, put, before);
            self.check_broken_off(name, put, before);
        }
    }

    fn check_swaps(&self) {
        let swap = |expected: Option<&[u8]>, content: &[u8]| {
            self.doing.now("swap 'swapped'");
            done("swap", self.store.swap(&path("swapped"), expected, content))
        };
        let steps = [
            (Some(""), "none", false),
            (None, "first", true),
            (None, "none", false),
            (Some("firs"), "none", false),
            (Some("first"), "second", true),
            (Some("first"), "none", false),
            (Some("second"), "second", true),
        ];
        let mut now: Option<&str> = None;
        for (expected, content, swaps) in steps {
            let swapped = swap(expected.map(str::as_bytes), content.as_bytes());
            holds(SWAPS, swapped == swaps, || format!("it says {swapped} where {expected:?} is expected of {now:?}"));
            now = if swaps { Some(content) } else { now };
            self.sees(SWAPS, "swapped", now.map(str::as_bytes));
        }
    }

    /// Looks at a file in the middle of its being written; then the write fails.
    fn check_while_written(&self, name: &str, put: Put, before: Option<&[u8]>) {
        let names = self.list(ROOM);
        let (mut seen, mut listed) = (None, Vec::new());
        let half = &mut |out: &mut dyn Write| -> Result<(), BoxError> {
            out.write_all(&[b'x'; 400_000])?;
            out.flush()?;
            seen = Some((self.get(self.store, name), self.get(self.other, name)));
            listed = self.list(ROOM);
            Err("the suite has seen enough".into())
        };
        self.doing.now(format!("put '{name}'"));
        // It fails, as the next check wants it to.
        drop(self.store.put(&path(name), put, half));
        let Some((here, there)) = seen else { broken(ATOMIC, "put does not call what writes the file") };
        let same = here.as_deref() == before && there.as_deref() == before;
        holds(ATOMIC, same, || format!("'{name}' is seen while it is written ({put:?})"));
        holds(ATOMIC, listed == names, || format!("while '{name}' is written, {listed:?} are listed, and before {names:?}"));
    }

    fn check_broken_off(&self, name: &str, put: Put, before: Option<&[u8]>) {
        let names = self.list(ROOM);
        let failing = &mut |out: &mut dyn Write| -> Result<(), BoxError> {
            out.write_all(b"half")?;
            Err("the suite breaks off".into())
        };
        let Err(error) = self.store.put(&path(name), put, failing) else {
            broken(LEAVES_NOTHING, "a put whose content could not be written is a success")
        };
        holds(LEAVES_NOTHING, undone(&error), || format!("the error is {error:?}, not Error::Store without 'maybe_done'"));
        self.sees(LEAVES_NOTHING, name, before);
        let listed = self.list(ROOM);
        holds(LEAVES_NOTHING, listed == names, || format!("{listed:?} are listed afterwards, and before {names:?}"));
        done("clean", self.store.clean(ROOM));
        self.sees(CLEANS, "file", Some(b"new"));
        self.sees(CLEANS, "small", Some(b"hello"));
    }

    fn check_directories(&self) {
        for name in ["dir/one", "dir/two", "dir/sub/three", "dir/sub/four", "dir-too/five", "dir2"] {
            done("put", self.put(name, Put::New, name.as_bytes()));
        }
        let lists = |rule: &str, dir: &str, expected: &[&str]| {
            let names = self.list(&path(dir));
            holds(rule, names == expected, || format!("in '{dir}' there are {names:?} where {expected:?} are expected"));
        };
        lists(LISTS, "dir", &["one", "sub", "two"]);
        lists(LISTS, "dir/sub", &["four", "three"]);
        lists(LISTS, "nowhere", &[]);
        let root = self.list("");
        holds(LISTS, root.iter().any(|name| name == ROOM), || {
            format!("in the root, which is '', there are {root:?} without '{ROOM}'")
        });
        for _ in 0..2 {
            done("delete", self.store.delete(&path("dir/one")));
            self.sees(DELETES, "dir/one", None);
        }
        done("delete", self.store.delete(&path("nowhere/at-all")));
        self.sees(DELETES, "dir/two", Some(b"dir/two"));
        for _ in 0..2 {
            done("delete_all", self.store.delete_all(&path("dir")));
            self.sees(DELETES_ALL, "dir/two", None);
            self.sees(DELETES_ALL, "dir/sub/four", None);
        }
        lists(DELETES_ALL, "dir", &[]);
        self.sees(DELETES_ALL, "dir-too/five", Some(b"dir-too/five"));
        self.sees(DELETES_ALL, "dir2", Some(b"dir2"));
    }

    fn check_locks(&self) {
        let lock = done("lock", self.store.lock(&path("lock")));
        for (store, whose) in [(self.store, "the same store"), (self.other, "another process")] {
            self.doing.now("lock, which somebody holds");
            let second = store.lock(&path("lock"));
            holds(LOCKS, matches!(second, Err(Error::Locked { .. })), || {
                format!("while it is held, {whose} gets {second:?}, not Error::Locked")
            });
        }
        let elsewhere = self.other.lock(&path("other-lock"));
        holds(LOCKS, elsewhere.is_ok(), || format!("another path cannot be locked: {elsewhere:?}"));
        drop(lock);
        let again = self.other.lock(&path("lock"));
        holds(LOCKS, again.is_ok(), || format!("it was dropped, and another process gets {again:?}"));
    }

    fn check_threads(&self) {
        let store = self.store;
        let write = |n: u32| {
            let name = path(&format!("threads/{n}"));
            let written = store.put(&name, Put::New, &mut |out| Ok(write!(out, "file {n}")?));
            written.and_then(|_| store.get(&name))
        };
        self.doing.now("putting files from several threads");
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| (n, scope.spawn(move || write(n)))).collect();
            for (n, thread) in threads {
                let Ok(read) = thread.join() else { broken(SHARED, "it panicked") };
                let expected = format!("file {n}").into_bytes();
                holds(SHARED, matches!(&read, Ok(Some(bytes)) if *bytes == expected), || format!("file {n} is {read:?}"));
            }
        });
    }
}
