//! A store that is waited for, and asked again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::*;
use crate::config::HANGING_CALLS;
use crate::snapshot::store::Put;

fn patient(inner: &MemoryStore, timeout_ms: u64, retries: u32) -> PatientStore {
    let patience = Patience { timeout: Duration::from_millis(timeout_ms), retries, pause: Duration::from_micros(1) };
    PatientStore::new(Arc::new(inner.clone()), patience)
}

/// The first so many calls of a kind meet this fault; returns how many calls there were.
fn fails_first(store: &MemoryStore, kind: CallKind, times: usize, fault: Fault) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    store.on_call(move |call| {
        let before = if call.kind == kind { counted.fetch_add(1, Ordering::Relaxed) } else { times };
        (before < times).then_some(fault)
    });
    calls
}

fn write(store: &PatientStore, put: Put, bytes: &[u8]) -> Result<u64> {
    store.put("dir/file", put, &mut |out| Ok(bytes.chunks(10_000).try_for_each(|piece| out.write_all(piece))?))
}

fn large() -> Vec<u8> {
    (0..3_000_000u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_call_that_fails_is_made_again_and_does_what_it_was_to_do_once() {
    for (kind, put) in [(CallKind::Write, Put::New), (CallKind::Rename, Put::New), (CallKind::Write, Put::Replace)] {
        let inner = MemoryStore::new();
        let store = patient(&inner, 60_000, 2);
        fails_first(&inner, kind, 2, Fault::Before);
        assert_eq!(write(&store, put, &large()).unwrap(), 3_000_000);
        assert_eq!(inner.get("dir/file").unwrap().unwrap(), large());
        fails_first(&inner, CallKind::Read, 2, Fault::Before);
        assert_eq!(store.read("dir/file", 5..7).unwrap(), [5, 6]);
        fails_first(&inner, CallKind::Delete, 3, Fault::Before);
        assert!(store.delete("dir/file").is_err(), "three failures, and two retries");
        assert_eq!(store.list("dir").unwrap(), ["file"]);
    }
}

#[test]
fn a3_what_may_have_been_done_is_only_done_again_where_that_does_no_harm_and_says_so_to_the_end() {
    let inner = MemoryStore::new();
    let store = patient(&inner, 60_000, 5);
    let calls = fails_first(&inner, CallKind::Rename, 1, Fault::After);
    let error = write(&store, Put::New, b"new").unwrap_err();
    assert!(matches!(error, Error::Store { maybe_done: true, .. }), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "a second try would find it there, and say that nothing was done");

    fails_first(&inner, CallKind::Rename, 1, Fault::Unsynced);
    assert_eq!(write(&store, Put::Replace, b"other").unwrap(), 5);
    inner.crash();
    assert_eq!(store.get("dir/file").unwrap().unwrap(), b"other");

    let calls = fails_first(&inner, CallKind::Rename, 1, Fault::After);
    assert!(matches!(store.swap("dir/file", Some(b"other"), b"third"), Err(Error::Store { maybe_done: true, .. })));
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    let faults = Mutex::new(vec![Fault::Before, Fault::After]);
    inner.on_call(
        move |call| if call.kind == CallKind::Rename { faults.lock().unwrap().pop().or(Some(Fault::Before)) } else { None },
    );
    let error = write(&store, Put::Replace, b"fourth").unwrap_err();
    assert!(matches!(error, Error::Store { maybe_done: true, .. }), "the first try may have: {error}");
}

#[test]
fn content_that_cannot_be_made_is_asked_for_once() {
    let inner = MemoryStore::new();
    let (store, mut asked) = (patient(&inner, 60_000, 5), 0);
    let put = store.put("file", Put::New, &mut |out| {
        asked += 1;
        out.write_all(b"half")?;
        Err("no entry 7".into())
    });
    let error = put.unwrap_err();
    assert!(error.to_string().contains("no entry 7") && matches!(error, Error::Store { maybe_done: false, .. }), "{error}");
    assert_eq!((asked, inner.get("file").unwrap()), (1, None));
}

/// Holds calls up until it is opened.
#[derive(Default)]
struct Barrier(Mutex<bool>, Condvar);

impl Barrier {
    fn before(inner: &MemoryStore, kind: CallKind) -> Arc<Self> {
        let barrier = Arc::new(Barrier::default());
        let held = barrier.clone();
        inner.on_call(move |call| {
            if call.kind == kind {
                drop(held.1.wait_while(held.0.lock().unwrap(), |open| !*open));
            }
            None
        });
        barrier
    }

    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[test]
fn a_call_that_hangs_is_given_up_and_says_what_it_may_have_done() {
    let inner = MemoryStore::new();
    let store = patient(&inner, 20, 0);
    let text = |error: &Error| assert!(error.to_string().contains("the store has not answered within 20ms"), "{error}");
    let reads = Barrier::before(&inner, CallKind::Read);
    text(&store.get("dir/file").unwrap_err());
    reads.open();

    let renames = Barrier::before(&inner, CallKind::Rename);
    let error = write(&store, Put::New, b"small").unwrap_err();
    text(&error);
    assert!(matches!(error, Error::Store { maybe_done: true, .. }), "all of it is under way: {error}");
    renames.open();
    let writes = Barrier::before(&inner, CallKind::Write);
    let error = store.put("dir/other", Put::New, &mut |out| Ok(out.write_all(&large())?)).unwrap_err();
    text(&error);
    assert!(matches!(error, Error::Store { maybe_done: false, .. }), "its end will never come: {error}");
    writes.open();
    let late = || inner.get("dir/file").unwrap().is_some();
    (0..1000).find(|_| {
        late() || {
            thread::sleep(Duration::from_millis(5));
            false
        }
    });
    assert!(late(), "it comes late");
    assert_eq!(inner.get("dir/other").unwrap(), None);
}

/// A process start of the job, and its epoch.
fn start(store: Arc<dyn StoreBackend>) -> Result<(u64, JobStore)> {
    let job = JobStore::open(store, "job", &JobOptions::default())?;
    let latest = job.latest()?.map(|latest| latest.id());
    Ok((job.begin_epoch(latest)?, job))
}

#[test]
fn a8_a_swap_that_lands_after_its_run_has_ended_does_not_undo_what_the_next_start_has_done() {
    let inner = MemoryStore::new();
    let (epoch, job) = start(Arc::new(patient(&inner, 20, 0))).unwrap();
    let renames = Barrier::before(&inner, CallKind::Rename);
    let error = job.reserve_ids().unwrap_err();
    assert!(matches!(error, Error::Store { maybe_done: true, .. }), "it may land: {error}");
    drop(job);
    let refused = start(Arc::new(patient(&inner, 20, 0))).unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }), "what may still land keeps the job locked: {refused}");

    renames.open();
    let next = (0..1000).find_map(|_| {
        thread::sleep(Duration::from_millis(5));
        start(Arc::new(patient(&inner, 60_000, 0))).ok()
    });
    let (next, job) = next.expect("the lock is free once the call has come back");
    assert_eq!(next, epoch + 1);
    assert_eq!(job.reserve_ids().unwrap().start, 1001, "what came late is counted");
}

#[test]
fn a_call_that_has_come_back_keeps_no_lock() {
    let inner = MemoryStore::new();
    for epoch in 1..200 {
        let (begun, job) = start(Arc::new(patient(&inner, 60_000, 0))).unwrap();
        assert_eq!(begun, epoch);
        drop(job);
    }
}

#[test]
fn calls_that_hang_are_so_many_and_no_more() {
    let inner = MemoryStore::new();
    let store = patient(&inner, 1, 0);
    let reads = Barrier::before(&inner, CallKind::Read);
    for _ in 0..HANGING_CALLS {
        assert!(store.size("file").unwrap_err().to_string().contains("has not answered"));
    }
    assert!(store.size("file").unwrap_err().to_string().contains("16 calls of the store have not come back"));
    assert!(write(&store, Put::New, b"x").unwrap_err().to_string().contains("16 calls"));
    reads.open();
    let again = (0..1000).find_map(|_| {
        store.size("file").ok().or_else(|| {
            thread::sleep(Duration::from_millis(5));
            None
        })
    });
    assert_eq!(again, Some(None), "they have come back");
}

#[test]
fn a_store_that_panics_is_an_error() {
    let inner = MemoryStore::new();
    inner.on_call(|_| panic!("out of cheese"));
    let error = patient(&inner, 60_000, 0).delete("file").unwrap_err();
    assert!(error.to_string().contains("panicked") && matches!(error, Error::Store { maybe_done: true, .. }), "{error}");
}
