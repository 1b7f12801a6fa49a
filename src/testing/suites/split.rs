//! Reads one split, as a source's task does, and notes what every poll does.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::watch::Doing;
use super::{broken, holds};
use crate::codec;
use crate::source::{Poll, Records, Rejected, Source, SplitReader};

pub(super) const ROOM: &str = "a reader hands out no more records than there is room for";
pub(super) const NEVER_WAITS: &str = "a poll never waits";
pub(super) const WAKES: &str = "a reader that has nothing for now wakes its waker when it has";
pub(super) const STORED: &str = "a position is the same after it was stored";

/// A poll that takes longer has waited for something.
const LONG: Duration = Duration::from_millis(150);
/// A busy machine makes a poll long now and then, though not this often, nor one in so many.
const LONG_POLLS: (u32, u32) = (3, 20);
/// A split that has nothing for so many milliseconds has come to its end for now.
const QUIET_MS: u32 = 250;

/// What was read from a split, from some position on.
pub(super) struct Reading<S: Source> {
    pub(super) values: Vec<S::Item>,
    pub(super) rejected: Vec<Rejected>,
    /// Where the reader stood between two polls: how much it had handed out by then, and its position.
    pub(super) stops: Vec<(usize, usize, S::Position)>,
    /// Whether the split has ended; else it has nothing for now.
    pub(super) ended: bool,
}

/// Reads splits of one source.
pub(super) struct Desk<'a> {
    pub(super) doing: &'a Doing,
    polls: u32,
    long_polls: u32,
}

/// Counts how often it is woken.
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(doing: &'a Doing) -> Self {
        Desk { doing, polls: 0, long_polls: 0 }
    }

    /// Reads a split from a position to its end, with room for so many records at a time.
    pub(super) fn read<S: Source>(&mut self, source: &S, split: &str, from: &S::Position, room: usize) -> Reading<S> {
        self.doing.now(format!("opening the split '{split}' at {from:?}"));
        let mut reader = match source.open(split, stored(split, from)) {
            Ok(reader) => reader,
            Err(error) => {
                broken("a split opens at every position that its reader gave", format!("'{split}' at {from:?}: {error}"))
            }
        };
        let woken = Arc::new(Woken(AtomicU64::new(0)));
        let waker = Waker::from(woken.clone());
        let mut reading = Reading { values: Vec::new(), rejected: Vec::new(), stops: Vec::new(), ended: false };
        loop {
            let before = woken.0.load(Ordering::SeqCst);
            reading.stops.push((reading.values.len(), reading.rejected.len(), reader.position()));
            match self.poll::<S>(&mut reader, split, room, &mut reading, &waker) {
                Poll::Ready => {}
                Poll::Ended => reading.ended = true,
                Poll::Pending if woken_within(&woken, before) => {}
                Poll::Pending => {
                    self.expect_quiet::<S>(&mut reader, split, room, &waker);
                    return reading;
                }
            }
            if reading.ended {
                reading.stops.push((reading.values.len(), reading.rejected.len(), reader.position()));
                return reading;
            }
        }
    }

    fn poll<S: Source>(
        &mut self,
        reader: &mut S::Reader,
        split: &str,
        room: usize,
        reading: &mut Reading<S>,
        waker: &Waker,
    ) -> Poll {
        let (mut values, mut rejected) = (Vec::new(), Vec::new());
        self.doing.now(format!("polling the split '{split}' after {} records", reading.values.len()));
        let began = Instant::now();
        let answer = reader.poll(&mut Records::new(&mut values, &mut rejected, room), waker);
        self.judge_time(split, began.elapsed());
        let answer = answer.unwrap_or_else(|error| broken("the suite's data can be read", format!("split '{split}': {error}")));
        let n = values.len() + rejected.len();
        holds(ROOM, n <= room, || format!("the split '{split}' gave {n} records where there was room for {room}"));
        reading.values.append(&mut values);
        reading.rejected.append(&mut rejected);
        answer
    }

    fn judge_time(&mut self, split: &str, took: Duration) {
        let (many, one_in) = LONG_POLLS;
        self.polls += 1;
        self.long_polls += u32::from(took > LONG);
        let waits = self.long_polls >= many && self.long_polls.saturating_mul(one_in) > self.polls;
        holds(NEVER_WAITS, !waits, || {
            let (long, polls) = (self.long_polls, self.polls);
            format!("{long} of {polls} polls took longer than {LONG:?}, the last one, of the split '{split}', {took:?}")
        });
    }

    /// Nobody was woken, so there is still nothing.
    fn expect_quiet<S: Source>(&mut self, reader: &mut S::Reader, split: &str, room: usize, waker: &Waker) {
        let mut more = Reading { values: Vec::new(), rejected: Vec::new(), stops: Vec::new(), ended: false };
        let answer = self.poll::<S>(reader, split, room, &mut more, waker);
        let quiet = answer == Poll::Pending && more.values.is_empty() && more.rejected.is_empty();
        holds(WAKES, quiet, || {
            format!(
                "the split '{split}' said Pending, woke nobody for {QUIET_MS} ms, and when it was polled all the same it said {answer:?} \
                 and gave {} records",
                more.values.len()
            )
        });
    }
}

fn woken_within(woken: &Woken, before: u64) -> bool {
    // Counted, not timed: where the whole machine stood still, nobody could wake.
    (0..QUIET_MS).any(|_| {
        let woke = woken.0.load(Ordering::SeqCst) != before;
        if !woke {
            thread::sleep(Duration::from_millis(1));
        }
        woke
    })
}

/// A position as a checkpoint gives it back.
pub(super) fn stored<P>(split: &str, position: &P) -> P
where
    P: serde::Serialize + serde::de::DeserializeOwned + Debug,
{
    let bytes = bytes_of(split, position);
    let read: P = codec::decode(&bytes).unwrap_or_else(|error| broken(STORED, format!("{position:?} of '{split}': {error}")));
    holds(STORED, bytes_of(split, &read) == bytes, || format!("{position:?} of '{split}' is {read:?} afterwards"));
    read
}

/// What a checkpoint keeps of a position: two that are written alike are the same.
pub(super) fn bytes_of<P: serde::Serialize + Debug>(split: &str, position: &P) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(position, &mut bytes).unwrap_or_else(|error| broken(STORED, format!("{position:?} of '{split}': {error}")));
    bytes
}
