//! What has expired leaves memory, also where no record comes any more: measured by the bytes that are allocated.
//!
//! A test binary of its own, with an allocator that counts and a single test, so that nothing else allocates meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

use tidegate::testing::OperatorHarness;
use tidegate::{BoxError, Context, KeyedOperator, ListState, MapState, Stream, Timestamp, Ttl, ValueState, millis};

static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, counted.
struct Counting;

fn count(before: usize, after: usize) {
    LIVE_BYTES.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: what this method's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: what this method's caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: what this method's caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Remembers every number three times: under its own key, and in the list and the map of a few keys.
struct Remembering {
    value: ValueState<String>,
    list: ListState<u64>,
    map: MapState<u64, u64>,
}

impl KeyedOperator for Remembering {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.state.set(self.value, format!("the number {n}, written out"));
        ctx.state.list(self.list).push(n);
        ctx.state.map(self.map).insert(n, n);
        Ok(())
    }
}

fn remembering(keys: u64) -> OperatorHarness<u64, u64> {
    OperatorHarness::of(move |numbers: &Stream<u64>| {
        numbers.key_by(move |n| n % keys).process("remembering", |ctx| {
            let ttl = Ttl::of(millis(1000));
            Ok(Remembering {
                value: ctx.with_ttl(ttl).value("value")?,
                list: ctx.with_ttl(ttl).list("list")?,
                map: ctx.with_ttl(ttl).map("map")?,
            })
        })
    })
    .wall_clock(Timestamp::from_millis(0))
}

#[test]
fn c28_the_memory_of_what_has_expired_comes_back_while_an_operator_idles() {
    for keys in [30_000, 5] {
        let mut open = remembering(keys).open().unwrap();
        let held = || LIVE_BYTES.load(Ordering::Relaxed);
        open.push(0).unwrap();
        let empty = held();
        (0..30_000).for_each(|n| open.push(n).unwrap());
        let full = held() - empty;
        assert!(full > 1_000_000, "{full} bytes with {keys} keys");
        open.advance_clock(millis(900)).unwrap();
        (0..3_000).for_each(|n| open.push(n).unwrap());
        open.advance_clock(millis(300)).unwrap();
        let left = held() - empty;
        assert!(left * 3 < full, "{left} of {full} bytes are left with {keys} keys: a tenth has not expired");
        assert!(left * 40 > full, "{left} of {full} bytes are left with {keys} keys: what has not expired is there");
        open.advance_clock(millis(1200)).unwrap();
        let left = held() - empty;
        assert!(left * 20 < full, "{left} of {full} bytes are left with {keys} keys, and nothing is remembered");
    }
}
