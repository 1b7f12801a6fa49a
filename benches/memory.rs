//! The memory of keyed state, beside a bare hash map of the same entries: bytes that are allocated and not freed.
//!
//!     cargo bench --bench memory -- --keys 1000000
//!
//! What a job of one key has allocated, its threads' buffers and its frames, is taken off. Then with the views of a checkpoint kept
//! in memory: right after the checkpoint, and once every key has been written to again, which is the worst.

mod by_hand;
mod engine;
mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use clap::Parser;
use foldhash::fast::FixedState;
use harness::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidegate::{BoxError, Checkpoints, Job, JobHandle, Key, Poll, Records, Source, SplitReader, Store};

static LIVE: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, with what it has handed out counted.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: what this method's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: what this method's caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: what this method's caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let args = Args::parse();
    for &p in &args.p {
        let number = |n: u64| (by_hand::mix(n), n);
        compare("u64-to-u64", p, args.keys, number, |_: &u64, new: u64| new);
        let account =
            |n: u64| (format!("account-{n:012}"), Account { owner: format!("owner of {n}"), balance: n as i64, moves: 1 });
        compare("string-to-struct", p, args.keys, account, |_: &Account, new| new);
    }
}

/// What a service keeps for a customer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Account {
    owner: String,
    balance: i64,
    moves: u64,
}

fn compare<K, V>(
    what: &str,
    p: usize,
    keys: u64,
    entry: impl Fn(u64) -> (K, V) + Send + Sync + Copy + 'static,
    reduce: impl Fn(&V, V) -> V + Send + Sync + Copy + 'static,
) where
    K: Key + Hash,
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let bare = bare(keys, entry);
    let nothing = job(p, 1, entry, reduce);
    let full = job(p, keys, entry, reduce);
    for (when, with, without) in [
        ("running", full.running, nothing.running),
        ("views-kept", full.checkpointed, nothing.checkpointed),
        ("views-kept-and-all-written", full.rewritten, nothing.rewritten),
    ] {
        let bytes = with - without;
        let ratio = bytes as f64 / bare as f64;
        println!(
            "workload=memory state={what} when={when} p={p} keys={keys} by_hand_bytes={bare} bytes={bytes} ratio={ratio:.2}"
        );
    }
}

/// What a hash map of the entries takes that has grown with them.
fn bare<K: Hash + Eq, V>(keys: u64, entry: impl Fn(u64) -> (K, V)) -> i64 {
    let before = LIVE.load(Ordering::Relaxed);
    let mut map = HashMap::with_hasher(FixedState::default());
    for (key, value) in (0..keys).map(entry) {
        map.insert(key, value);
    }
    let bytes = LIVE.load(Ordering::Relaxed) - before;
    drop(map);
    bytes
}

/// What is allocated while a job stands still.
struct Seen {
    running: i64,
    checkpointed: i64,
    rewritten: i64,
}

/// How many records the sources may have given, all together, and who waits for more.
#[derive(Default)]
struct Tap {
    upto: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Tap {
    fn open(&self, upto: u64) {
        self.upto.store(upto, Ordering::SeqCst);
        self.wakers.lock().expect("nobody panics").drain(..).for_each(Waker::wake);
    }
}

fn job<K, V>(
    p: usize,
    keys: u64,
    entry: impl Fn(u64) -> (K, V) + Send + Sync + Copy + 'static,
    reduce: impl Fn(&V, V) -> V + Send + Sync + Copy + 'static,
) -> Seen
where
    K: Key,
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let directory = tempfile::tempdir().expect("a directory");
    let (tap, sum) = (Arc::new(Tap::default()), Arc::new(AtomicU64::new(0)));
    let job = Job::new("bench").parallelism(p as u32).store(Store::directory(directory.path()));
    let job = job.checkpoints(Checkpoints::manual().keep_views(64 << 30));
    let source = job.source(engine::SOURCE, Tapped { p: p as u64, tap: tap.clone() });
    let kept = source.key_with(move |n| entry(n % keys)).reduce(reduce);
    kept.map(|_| 1u64).sink("sum", engine::Sum::new(&sum, |one: &u64| *one));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = LIVE.load(Ordering::Relaxed);
    runtime.block_on(async {
        let running = job.start().await.expect("it starts");
        let live = || LIVE.load(Ordering::Relaxed) - before;
        flow(&running, &tap, keys).await;
        let at_first = live();
        running.checkpoint().await.expect("a checkpoint");
        let checkpointed = live();
        flow(&running, &tap, 2 * keys).await;
        let seen = Seen { running: at_first, checkpointed, rewritten: live() };
        drop(running.cancel().await);
        seen
    })
}

/// Lets records through up to so many, and waits until all have come to rest.
async fn flow(running: &JobHandle, tap: &Tap, upto: u64) {
    tap.open(upto);
    while running.status().operators["sum"].records < upto {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// The numbers from 0 on, as far as the tap is open.
struct Tapped {
    p: u64,
    tap: Arc<Tap>,
}

struct Reader {
    next: u64,
    step: u64,
    tap: Arc<Tap>,
}

impl Source for Tapped {
    type Item = u64;
    type Position = u64;
    type Reader = Reader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok((0..self.p).map(|s| (s.to_string(), s)).collect())
    }

    fn open(&self, _: &str, next: u64) -> Result<Reader, BoxError> {
        Ok(Reader { next, step: self.p, tap: self.tap.clone() })
    }
}

impl SplitReader for Reader {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, waker: &Waker) -> Result<Poll, BoxError> {
        self.tap.wakers.lock().expect("nobody panics").push(waker.clone());
        let upto = self.tap.upto.load(Ordering::SeqCst);
        while out.room() > 0 && self.next < upto {
            out.push(self.next);
            self.next += self.step;
        }
        Ok(if self.next < upto { Poll::Ready } else { Poll::Pending })
    }

    fn position(&self) -> u64 {
        self.next
    }
}
