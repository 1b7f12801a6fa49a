//! The hash exchange between source threads and counter threads: one bounded channel for each pair of them.
//!
//! A lane writes records into a batch of fixed length and sends it when it is full, with the watermark of its source. The counter hands the
//! batch back with the records still in it, and the source writes over them: with glibc, freeing on another thread than the
//! allocator's is slow, be it a buffer or a string. A counter waits for all of its inputs at once.

use std::thread;

use crossbeam_channel::{Receiver, Select, Sender, bounded};

use super::BATCH;

/// Batches that may wait between two threads.
const DEPTH: usize = 16;
/// Batches on their way back: all that can wait, the one that is applied and the one that is filled.
const USED: usize = DEPTH + 2;

/// Records on their way, and the watermark of their source once they were made.
pub struct Batch<T> {
    slots: Vec<T>,
    len: usize,
    pub watermark: i64,
}

impl<T: Default> Batch<T> {
    fn new() -> Self {
        Self { slots: (0..BATCH).map(|_| T::default()).collect(), len: 0, watermark: i64::MIN }
    }

    pub fn records(&self) -> &[T] {
        &self.slots[..self.len]
    }
}

/// A source's end of the channel to one counter.
struct Lane<T> {
    filling: Batch<T>,
    full: Sender<Batch<T>>,
    used: Receiver<Batch<T>>,
}

impl<T: Default> Lane<T> {
    fn send(&mut self, watermark: i64) {
        self.filling.watermark = watermark;
        let mut next = self.used.try_recv().unwrap_or_else(|_| Batch::new());
        next.len = 0;
        let batch = std::mem::replace(&mut self.filling, next);
        self.full.send(batch).expect("counters read until their sources have ended");
    }
}

/// All lanes of one source, which ends with `finish`.
pub struct Output<T> {
    lanes: Vec<Lane<T>>,
}

impl<T: Default> Output<T> {
    /// Adds a record to the batch for the counter that `hash` names.
    #[inline]
    pub fn push(&mut self, hash: u64, record: T, watermark: i64) {
        self.write(hash, watermark, |slot| *slot = record);
    }

    /// Adds a record by writing over an old one, whose memory may serve again.
    #[inline]
    pub fn write(&mut self, hash: u64, watermark: i64, write: impl FnOnce(&mut T)) {
        let to = lane_of(hash, self.lanes.len());
        let lane = &mut self.lanes[to];
        write(&mut lane.filling.slots[lane.filling.len]);
        lane.filling.len += 1;
        if lane.filling.len == BATCH {
            lane.send(watermark);
        }
    }

    /// Sends what is left, with a last watermark.
    pub fn finish(mut self, watermark: i64) {
        for lane in &mut self.lanes {
            lane.send(watermark);
        }
    }
}

/// From bits that hashbrown uses neither as its tag (the top 7) nor as its index (the low ones), so that the tables stay well spread.
#[inline]
fn lane_of(hash: u64, lanes: usize) -> usize {
    ((((hash >> 25) & 0xFFFF_FFFF) * lanes as u64) >> 32) as usize
}

/// A counter's end of the channel from one source.
struct Input<T> {
    full: Receiver<Batch<T>>,
    used: Sender<Batch<T>>,
}

/// All inputs of one counter.
pub struct Inputs<T> {
    inputs: Vec<Input<T>>,
}

impl<T> Inputs<T> {
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Gives each batch to `apply` with the number of its source, until all sources have ended.
    pub fn for_each(self, mut apply: impl FnMut(usize, &Batch<T>)) {
        let mut select = Select::new();
        for input in &self.inputs {
            select.recv(&input.full);
        }
        let mut live = self.inputs.len();
        while live > 0 {
            let ready = select.select();
            let source = ready.index();
            let Input { full, used } = &self.inputs[source];
            match ready.recv(full) {
                Ok(batch) => {
                    apply(source, &batch);
                    let _ = used.try_send(batch);
                }
                Err(_) => {
                    select.remove(source);
                    live -= 1;
                }
            }
        }
    }
}

/// Runs `p` sources and `p` counters, each on its own thread, and gives what each counter returned.
pub fn run<T: Default + Send, R: Send>(
    p: usize,
    source: impl Fn(usize, Output<T>) + Sync,
    counter: impl Fn(Inputs<T>) -> R + Sync,
) -> Vec<R> {
    let (outputs, inputs) = wire(p);
    let (source, counter) = (&source, &counter);
    thread::scope(|threads| {
        for (s, output) in outputs.into_iter().enumerate() {
            threads.spawn(move || source(s, output));
        }
        let counters: Vec<_> = inputs.into_iter().map(|inputs| threads.spawn(move || counter(inputs))).collect();
        counters.into_iter().map(|counter| counter.join().expect("a counter does not panic")).collect()
    })
}

fn wire<T: Default>(p: usize) -> (Vec<Output<T>>, Vec<Inputs<T>>) {
    let mut outputs: Vec<_> = (0..p).map(|_| Output { lanes: Vec::with_capacity(p) }).collect();
    let mut inputs: Vec<_> = (0..p).map(|_| Inputs { inputs: Vec::with_capacity(p) }).collect();
    for output in &mut outputs {
        for input in &mut inputs {
            let (full, from_source) = bounded(DEPTH);
            let (used, from_counter) = bounded(USED);
            output.lanes.push(Lane { filling: Batch::new(), full, used: from_counter });
            input.inputs.push(Input { full: from_source, used });
        }
    }
    (outputs, inputs)
}
