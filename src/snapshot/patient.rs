//! A store that answers within a time: calls that fail are made again some times, calls that do not come back are given up.
//!
//! Always: a call is only made again where making it twice is the same as once; what may have taken effect says so to the end. A call
//! that hangs keeps its thread until it comes back, and where [`HANGING_CALLS`] do no more are made, deletions sooner. A lock is not
//! free before every call that may change something has come back: what lands late would else undo what the next holder has done.
//! Blocking, from any thread that may.

use std::cell::Cell;
use std::io::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::store::{Put, StoreBackend, StoreLock, WriteFn};
use crate::config::HANGING_CALLS;
use crate::error::{BoxError, Error, Result, chain_text};

/// Bytes of a file that are handed over at a time, and how often before the first must have been taken.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_AHEAD: usize = 4;

/// What becomes of a file that nobody waits for any more.
const GIVEN_UP: &str = "it was given up while it was written";

/// How long to wait for a store, and how often to ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The longest that a call may take; for a file that is written, each piece of it.
    pub(crate) timeout: Duration,
    /// How often a call that has failed is made again.
    pub(crate) retries: u32,
    /// Before it is made again for the first time; twice as long each time after.
    pub(crate) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { timeout: Duration::from_secs(60), retries: 0, pause: Duration::from_millis(100) }
    }
}

/// Waits for another store so long, and asks it so often.
#[derive(Debug)]
pub(crate) struct PatientStore {
    inner: Arc<dyn StoreBackend>,
    patience: Patience,
    hanging: Arc<AtomicUsize>,
    /// Those that were taken; some may be free again.
    locks: Mutex<Vec<Weak<StoreLock>>>,
}

/// What a call does, for its errors and its bounds.
#[derive(Clone, Copy)]
struct CallOf<'a> {
    action: &'static str,
    path: &'a str,
    effect: Effect,
}

/// What a call leaves in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    File,
    /// Of all that a job asks for, it can do without this longest.
    Deletion,
}

impl Effect {
    /// How many calls may hang before such a one is refused.
    fn bound(self) -> usize {
        if self == Effect::Deletion { HANGING_CALLS / 2 } else { HANGING_CALLS }
    }
}

/// A piece of a file on its way to the thread that writes it.
enum Piece {
    Bytes(Vec<u8>),
    /// It could not be made, for this reason.
    Broken(String),
    End,
}

/// A call under way on a thread of its own.
struct UnderWay<T> {
    answer: Receiver<Result<T>>,
    fate: Arc<Fate>,
}

/// Whether a call has come back or was given up, whichever was first: it counts as hanging from the one to the other.
struct Fate {
    over: AtomicBool,
    hanging: Arc<AtomicUsize>,
}

impl Fate {
    /// Nobody waits for it any more.
    fn given_up(&self) {
        self.hanging.fetch_add(1, Ordering::Relaxed);
        if self.over.swap(true, Ordering::AcqRel) {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn came_back(&self) {
        if self.over.swap(true, Ordering::AcqRel) {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl PatientStore {
    pub(crate) fn new(inner: Arc<dyn StoreBackend>, patience: Patience) -> Self {
        PatientStore { inner, patience, hanging: Arc::default(), locks: Mutex::default() }
    }

    fn locks(&self) -> MutexGuard<'_, Vec<Weak<StoreLock>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The locks that a call keeps until it has come back.
    fn kept_by(&self, of: CallOf<'_>) -> Vec<Arc<StoreLock>> {
        if of.effect == Effect::Nothing { Vec::new() } else { self.locks().iter().filter_map(Weak::upgrade).collect() }
    }

    /// Makes a call once, on a thread of its own.
    fn call<T: Send + 'static>(
        &self,
        of: CallOf<'_>,
        make: impl FnOnce(&dyn StoreBackend) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let call = self.begin(of, make)?;
        self.answer(of, &call)
    }

    /// Has a call made on a thread of its own.
    fn begin<T: Send + 'static>(
        &self,
        of: CallOf<'_>,
        make: impl FnOnce(&dyn StoreBackend) -> Result<T> + Send + 'static,
    ) -> Result<UnderWay<T>> {
        let hanging = self.hanging.load(Ordering::Relaxed);
        if hanging >= of.effect.bound() {
            let cause = format!("{hanging} calls of the store have not come back: look what it waits for");
            return Err(self.failed(of, cause, false));
        }
        let fate = Arc::new(Fate { over: AtomicBool::new(false), hanging: self.hanging.clone() });
        let (inner, made, (answers, answer)) = (self.inner.clone(), fate.clone(), channel());
        let locks = self.kept_by(of);
        let spawned = thread::Builder::new().name("tidegate-store".into()).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| make(&*inner)));
            made.came_back();
            // Before the answer: whoever has it may free the lock, and have it taken at once.
            drop(locks);
            // Where it panicked there is no answer; where it was given up nobody waits for one.
            drop(outcome.map(|outcome| answers.send(outcome)));
        });
        spawned.map_err(|error| self.failed(of, format!("no thread could be started for it: {error}"), false))?;
        Ok(UnderWay { answer, fate })
    }

    fn answer<T>(&self, of: CallOf<'_>, call: &UnderWay<T>) -> Result<T> {
        match call.answer.recv_timeout(self.patience.timeout) {
            Ok(made) => made,
            Err(RecvTimeoutError::Timeout) => {
                call.fate.given_up();
                Err(self.late(of))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(self.failed(of, "the store panicked".into(), of.effect != Effect::Nothing))
            }
        }
    }

    fn late(&self, of: CallOf<'_>) -> Error {
        let cause = format!("the store has not answered within {:?}: look what it waits for", self.patience.timeout);
        self.failed(of, cause, of.effect != Effect::Nothing)
    }

    fn failed(&self, of: CallOf<'_>, cause: String, maybe_done: bool) -> Error {
        Error::Store { action: of.action, path: self.inner.locate(of.path), cause, maybe_done }
    }

    /// Makes a call until it succeeds, has been made often enough, or must not be made again, which `may` says of one that may
    /// have taken effect or has not. What may have taken effect once says so in the end.
    fn again<T>(&self, may: impl Fn(bool) -> bool, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        let (mut left, mut pause, mut maybe) = (self.patience.retries, self.patience.pause, false);
        loop {
            let (action, path, cause) = match call() {
                Err(Error::Store { action, path, cause, maybe_done }) => {
                    maybe |= maybe_done;
                    if left == 0 || !may(maybe_done) {
                        return Err(Error::Store { action, path, cause, maybe_done: maybe });
                    }
                    (action, path, cause)
                }
                made => return made,
            };
            tracing::warn!(action, path = %path.display(), cause, "a call of the store has failed, and is made again");
            thread::sleep(pause);
            (left, pause) = (left - 1, pause.saturating_mul(2));
        }
    }

    /// A call that may be made twice.
    fn asked<T: Send + 'static>(
        &self,
        of: CallOf<'_>,
        make: impl Fn(&dyn StoreBackend) -> Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        self.again(|_| true, || self.call(of, make.clone()))
    }

    /// Has a file written by another thread, which is given its content piece by piece; `broken` tells that the content could not be
    /// made.
    fn put_once(&self, of: CallOf<'_>, put: Put, write: &mut WriteFn<'_>, broken: &Cell<bool>) -> Result<u64> {
        let (pieces, content) = channel();
        let (taken, room) = channel();
        let path = of.path.to_owned();
        let call = self.begin(of, move |store| store.put(&path, put, &mut |out| receive(&content, &taken, out)))?;
        let mut out = Pieces { pieces, room, ahead: PIECES_AHEAD, piece: Vec::new(), timeout: self.patience.timeout, end: None };
        let made = write(&mut out).and_then(|()| Ok(out.flush()?));
        match (out.end, made) {
            // What was given up goes no further, as its end does not come.
            (Some(Stopped::Late), _) => {
                call.fate.given_up();
                return Err(self.late(CallOf { effect: Effect::Nothing, ..of }));
            }
            // It has an answer already.
            (Some(Stopped::Refused), _) => {}
            (None, Ok(())) => drop(out.pieces.send(Piece::End)),
            (None, Err(error)) => {
                broken.set(true);
                drop(out.pieces.send(Piece::Broken(chain_text(&*error))));
            }
        }
        self.answer(of, &call)
    }
}

/// Writes what comes, to its end.
fn receive(content: &Receiver<Piece>, taken: &Sender<()>, out: &mut dyn Write) -> Result<(), BoxError> {
    loop {
        match content.recv() {
            Ok(Piece::Bytes(bytes)) => out.write_all(&bytes)?,
            Ok(Piece::Broken(cause)) => return Err(cause.into()),
            Ok(Piece::End) => return Ok(()),
            Err(_) => return Err(GIVEN_UP.into()),
        }
        taken.send(()).map_err(|_| GIVEN_UP)?;
    }
}

/// Why a file goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// The thread that writes it has taken no piece for too long.
    Late,
    /// It takes no more: the store has failed.
    Refused,
}

/// Where a file's content is written to: another thread, a piece at a time.
struct Pieces {
    pieces: Sender<Piece>,
    room: Receiver<()>,
    /// How many pieces may be sent before one must have been taken.
    ahead: usize,
    piece: Vec<u8>,
    timeout: Duration,
    end: Option<Stopped>,
}

impl Pieces {
    fn stop(&mut self, why: Stopped) -> io::Error {
        self.end = Some(why);
        io::Error::from(if why == Stopped::Late { io::ErrorKind::TimedOut } else { io::ErrorKind::BrokenPipe })
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES.saturating_sub(self.piece.len());
        let (fits, _) = bytes.split_at(room.min(bytes.len()));
        self.piece.extend_from_slice(fits);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(fits.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        while self.room.try_recv().is_ok() {
            self.ahead += 1;
        }
        if self.ahead == 0 {
            match self.room.recv_timeout(self.timeout) {
                Ok(()) => self.ahead += 1,
                Err(RecvTimeoutError::Timeout) => return Err(self.stop(Stopped::Late)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.stop(Stopped::Refused)),
            }
        }
        self.ahead -= 1;
        let piece = std::mem::take(&mut self.piece);
        self.pieces.send(Piece::Bytes(piece)).map_err(|_| self.stop(Stopped::Refused))
    }
}

impl StoreBackend for PatientStore {
    fn lock(&self, path: &str) -> Result<StoreLock> {
        let (of, owned) = (CallOf { action: "lock", path, effect: Effect::Nothing }, path.to_owned());
        let lock = Arc::new(self.asked(of, move |store| store.lock(&owned))?);
        let mut locks = self.locks();
        locks.retain(|lock| lock.strong_count() > 0);
        locks.push(Arc::downgrade(&lock));
        Ok(Box::new(lock))
    }

    fn put(&self, path: &str, put: Put, write: &mut WriteFn<'_>) -> Result<u64> {
        let (of, broken) = (CallOf { action: "write", path, effect: Effect::File }, Cell::new(false));
        let may = |maybe_done: bool| !broken.get() && (!maybe_done || put == Put::Replace);
        self.again(may, || self.put_once(of, put, write, &broken))
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, content: &[u8]) -> Result<bool> {
        let of = CallOf { action: "write", path, effect: Effect::File };
        let (path, expected, content) = (path.to_owned(), expected.map(<[u8]>::to_vec), content.to_vec());
        let swap = move |store: &dyn StoreBackend| store.swap(&path, expected.as_deref(), &content);
        self.again(|maybe_done: bool| !maybe_done, || self.call(of, swap.clone()))
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        let (of, owned) = (CallOf { action: "read", path, effect: Effect::Nothing }, path.to_owned());
        self.asked(of, move |store| store.size(&owned))
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let (of, owned) = (CallOf { action: "read", path, effect: Effect::Nothing }, path.to_owned());
        self.asked(of, move |store| store.read(&owned, range.clone()))
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let (of, owned) = (CallOf { action: "read", path, effect: Effect::Nothing }, path.to_owned());
        self.asked(of, move |store| store.get(&owned))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        let (of, owned) = (CallOf { action: "list", path: dir, effect: Effect::Nothing }, dir.to_owned());
        self.asked(of, move |store| store.list(&owned))
    }

    fn delete(&self, path: &str) -> Result<()> {
        let (of, owned) = (CallOf { action: "delete", path, effect: Effect::Deletion }, path.to_owned());
        self.asked(of, move |store| store.delete(&owned))
    }

    fn delete_all(&self, dir: &str) -> Result<()> {
        let (of, owned) = (CallOf { action: "delete", path: dir, effect: Effect::Deletion }, dir.to_owned());
        self.asked(of, move |store| store.delete_all(&owned))
    }

    fn delete_empty(&self, dir: &str) -> Result<()> {
        let (of, owned) = (CallOf { action: "delete", path: dir, effect: Effect::Deletion }, dir.to_owned());
        self.asked(of, move |store| store.delete_empty(&owned))
    }

    fn clean(&self, dir: &str) -> Result<()> {
        let (of, owned) = (CallOf { action: "clean", path: dir, effect: Effect::Deletion }, dir.to_owned());
        self.asked(of, move |store| store.clean(&owned))
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.inner.locate(path)
    }
}
