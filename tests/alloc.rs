//! No allocation for a record: what a job allocates does not grow with the number of its records.
//!
//! A test binary of its own, with an allocator that counts and a single test, so that nothing else allocates meanwhile. Each flow
//! runs with N records and with twice as many; the same keys come in both, so that the states are as large. What is left is a few
//! allocations now and then: for the waking of a task, and for a frame that no buffer had come back for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use tidegate::{
    BoxError, CheckpointId, Job, Poll, Records, Sink, SinkContext, SinkWriter, Source, SplitReader, Timestamp, Tumbling,
    Watermarks, millis,
};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what this method's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: what this method's caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what this method's caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records of the shorter run.
const N: u64 = 1 << 19;
/// Distinct keys.
const KEYS: u64 = 1_000;

/// The numbers below a bound; split s of p has s, s + p, …
struct Numbers {
    p: u64,
    n: u64,
}

struct Reader {
    next: u64,
    step: u64,
    n: u64,
}

impl Source for Numbers {
    type Item = u64;
    type Position = u64;
    type Reader = Reader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok((0..self.p).map(|s| (s.to_string(), s)).collect())
    }

    fn open(&self, _: &str, next: u64) -> Result<Reader, BoxError> {
        Ok(Reader { next, step: self.p, n: self.n })
    }
}

impl SplitReader for Reader {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, _: &Waker) -> Result<Poll, BoxError> {
        while out.room() > 0 && self.next < self.n {
            out.push(self.next);
            self.next += self.step;
        }
        Ok(if self.next < self.n { Poll::Ready } else { Poll::Ended })
    }

    fn position(&self) -> u64 {
        self.next
    }
}

/// Forgets its records.
struct Nowhere<T>(std::marker::PhantomData<fn() -> T>);

struct Forget<T>(std::marker::PhantomData<fn() -> T>);

fn nowhere<T>() -> Nowhere<T> {
    Nowhere(std::marker::PhantomData)
}

impl<T: Send + 'static> Sink for Nowhere<T> {
    type Item = T;
    type Cut = ();
    type Handle = ();
    type Writer = Forget<T>;

    fn recover(&self, _: &SinkContext, _: Vec<()>) -> Result<(), BoxError> {
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<Forget<T>, BoxError> {
        Ok(Forget(std::marker::PhantomData))
    }

    fn make_durable(&self, (): ()) -> Result<Vec<()>, BoxError> {
        Ok(Vec::new())
    }

    fn commit(&self, (): &()) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<T: Send + 'static> SinkWriter for Forget<T> {
    type Item = T;
    type Cut = ();

    fn write(&mut self, records: &mut Vec<T>) -> Result<(), BoxError> {
        records.clear();
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<(), BoxError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A flow over the numbers below `n`.
type Describe = fn(&Job, u64, u64);

fn pass(job: &Job, p: u64, n: u64) {
    let passed = job.source("numbers", Numbers { p, n }).map(|x| x * 31 + 1).filter(|x| x % 4 != 0).map(|x| x ^ (x >> 7));
    passed.sink("nowhere", nowhere());
}

fn count(job: &Job, p: u64, n: u64) {
    job.source("numbers", Numbers { p, n }).key_by(|x| x % KEYS).count().sink("nowhere", nowhere());
}

/// Hundreds of records in a millisecond, and a window of many seconds: its panes are made once.
fn window(job: &Job, p: u64, n: u64) {
    let watermarks = Watermarks::bounded(millis(10)).on(|x: &u64| Timestamp::from_millis((x / 300) as i64)).step(millis(3));
    let numbers = job.source("numbers", Numbers { p, n }).watermarks(watermarks);
    numbers.key_by(|x| x % KEYS).window(Tumbling::of(millis(100_000))).count().sink("nowhere", nowhere());
}

/// What a run over `n` records allocates.
fn allocations(describe: Describe, p: u64, n: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    runtime.block_on(async {
        let job = Job::new("alloc").parallelism(p as u32);
        describe(&job, p, n);
        let summary = job.start().await.expect("it starts").wait().await.expect("it finishes");
        assert_eq!(summary.operators.get("numbers").map(|source| source.records), Some(n));
    });
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn what_a_job_allocates_does_not_grow_with_its_records() {
    let flows: [(&str, u64, Describe); 5] =
        [("pass", 1, pass), ("count", 1, count), ("count", 2, count), ("window", 1, window), ("window", 2, window)];
    for (name, p, describe) in flows {
        let (once, twice) = (allocations(describe, p, N), allocations(describe, p, 2 * N));
        println!("{name} p={p}: {once} allocations for {N} records, {twice} for {}", 2 * N);
        let grown = twice.saturating_sub(once);
        assert!(grown < N / 256, "{name} p={p}: {grown} allocations more for {N} records more");
    }
}
