//! An allocator that knows what its thread holds, and the bound within which everything that reads bytes has to stay.
//!
//! Used by `tests/decoders.rs` and by the targets in `fuzz/`, each of which makes it the allocator of its process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has allocated and not freed, and the most that they were since the last look.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counted by thread.
pub struct Counted;

fn count(change: isize) {
    HELD.with(|held| {
        let (now, most) = held.get();
        held.set((now + change, most.max(now + change)));
    });
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: what this method's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: what this method's caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is moved, both are there.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: what this method's caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// The most that some work held at once, in bytes, beyond what was held before.
pub fn peak_bytes(work: impl FnOnce()) -> usize {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    work();
    let (_, most) = HELD.with(Cell::get);
    (most - before) as usize
}

/// What reading may hold for each byte of its input. A value of one byte in a file is an empty string of 24 bytes in memory, in a
/// list that doubles as it grows, so that for a moment there are three times as many.
const PER_BYTE: usize = 128;
/// What it may hold beside: the tables and buffers that it begins with, and the text of an error.
const BESIDE: usize = 32 << 10;

/// Does what is to be done with some bytes.
///
/// # Panics
/// Where it holds more memory than `bytes` allow.
pub fn within_bounds(name: &str, bytes: &[u8], work: fn(&[u8])) {
    let (peak, bound) = (peak_bytes(|| work(bytes)), PER_BYTE * bytes.len() + BESIDE);
    assert!(peak <= bound, "{name} holds {peak} bytes for an input of {}, which is more than {bound}", bytes.len());
}
