//! Restarts inside the process, with ten million keys: from the views that are still in memory, and from files, beside the bare
//! program that reads as many pairs from files, decodes them and puts them into a hash map.
//!
//!     cargo bench --bench restore -- --p 2 --runs 3 --keys 10000000
//!
//! A restart is measured from the panic in an operator until the first record is out of the keyed operator behind it: the stop of
//! all tasks, the release of what they held, and everything up to the first step of the new ones are in it.

mod by_hand;
mod engine;
mod harness;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use clap::Parser;
use harness::{Args, median};
use serde::{Deserialize, Serialize};
use tidegate::{BoxError, Checkpoints, Job, JobHandle, Poll, Records, Restart, Source, SplitReader, Store};

fn main() {
    let mut args = Args::parse();
    if args.keys == 1_000_000 {
        args.keys = 10_000_000;
    }
    for &p in &args.p {
        let encode = median((0..args.runs).map(|_| encode(args.keys)).collect());
        println!("median workload=encode engine=by-hand keys={} seconds={encode:.4}", args.keys);
        let bare = median((0..args.runs).map(|_| bare(p, args.keys)).collect());
        println!("median workload=restore engine=by-hand from=files p={p} keys={} seconds={bare:.4}", args.keys);
        let views = Checkpoints::manual().keep_views(16 << 30);
        for (from, options) in [("memory", views), ("files", Checkpoints::manual().restore_from_files())] {
            let took = median(restarts(p, args.keys, args.runs, options));
            let rate = bare / took;
            println!(
                "median workload=restore engine=tidegate from={from} p={p} keys={} seconds={took:.4} rate_to_bare={rate:.2}",
                args.keys
            );
        }
    }
}

/// What the bench, the source and the operators tell each other.
struct Control {
    /// Records that the source gives beyond its keys.
    extra: AtomicU64,
    /// The next record is one to fail at.
    armed: AtomicBool,
    failed: Mutex<Option<Instant>>,
    /// Something was opened since: what comes through now is of the new attempt.
    reopened: AtomicBool,
    took: Mutex<Sender<Duration>>,
    wakers: Mutex<Vec<Waker>>,
}

impl Control {
    fn new() -> (Arc<Control>, Receiver<Duration>) {
        let (took, measured) = channel();
        let (extra, armed, took) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(took));
        (
            Arc::new(Control {
                extra,
                armed,
                failed: Mutex::default(),
                reopened: AtomicBool::new(false),
                took,
                wakers: Mutex::default(),
            }),
            measured,
        )
    }

    /// Makes the next record fail.
    fn strike(&self) {
        self.armed.store(true, Ordering::SeqCst);
        self.extra.fetch_add(1, Ordering::SeqCst);
        self.wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    fn trip(&self) {
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::SeqCst) {
            self.reopened.store(false, Ordering::SeqCst);
            *self.failed.lock().unwrap() = Some(Instant::now());
            std::panic::resume_unwind(Box::new("as planned"));
        }
    }

    fn came_through(&self) {
        if self.reopened.load(Ordering::SeqCst)
            && let Some(failed) = self.failed.lock().unwrap().take()
        {
            self.took.lock().unwrap().send(failed.elapsed()).unwrap();
        }
    }
}

/// Each key once, then a record when it is opened again, and one for each strike.
struct Keys {
    p: u64,
    n: u64,
    control: Arc<Control>,
}

struct Reader {
    next: u64,
    step: u64,
    n: u64,
    /// Of the records beyond the keys, those that were given.
    given: u64,
    control: Arc<Control>,
}

impl Source for Keys {
    type Item = u64;
    type Position = u64;
    type Reader = Reader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok((0..self.p).map(|s| (s.to_string(), s)).collect())
    }

    fn open(&self, _: &str, next: u64) -> Result<Reader, BoxError> {
        self.control.reopened.store(true, Ordering::SeqCst);
        let again = next >= self.n;
        let given = self.control.extra.load(Ordering::SeqCst) - u64::from(again);
        Ok(Reader { next, step: self.p, n: self.n, given, control: self.control.clone() })
    }
}

impl SplitReader for Reader {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, waker: &Waker) -> Result<Poll, BoxError> {
        while out.room() > 0 && self.next < self.n {
            out.push(self.next);
            self.next += self.step;
        }
        if self.next < self.n {
            return Ok(Poll::Ready);
        }
        self.control.wakers.lock().unwrap().push(waker.clone());
        if out.room() > 0 && self.given < self.control.extra.load(Ordering::SeqCst) {
            self.given += 1;
            out.push(self.given % self.n);
        }
        Ok(Poll::Pending)
    }

    fn position(&self) -> u64 {
        self.next
    }
}

/// How long each restart takes, in seconds.
fn restarts(p: usize, keys: u64, runs: usize, options: Checkpoints) -> Vec<f64> {
    let directory = tempfile::tempdir().expect("a directory");
    let (control, measured) = Control::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let job = describe(p, keys, &control).store(Store::directory(directory.path())).checkpoints(options);
        let running = job.start().await.expect("it starts");
        while running.status().operators[engine::SOURCE].records < keys {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        checkpoint(&running).await;
        let mut took = Vec::new();
        for _ in 0..runs {
            control.strike();
            took.push(measured.recv().expect("it restarts").as_secs_f64());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let summary = running.status();
        println!("restarts p={p} restarts={} from_memory={} seconds={took:.4?}", summary.restarts, summary.restarts_from_memory);
        drop(running.cancel().await);
        took
    })
}

async fn checkpoint(running: &JobHandle) {
    let begun = Instant::now();
    running.checkpoint().await.expect("a checkpoint");
    println!("checkpoint seconds={:.3} bytes={}", begun.elapsed().as_secs_f64(), running.status().checkpoint_bytes);
}

fn describe(p: usize, keys: u64, control: &Arc<Control>) -> Job {
    let (at_map, at_end, sum) = (control.clone(), control.clone(), Arc::new(AtomicU64::new(0)));
    let job = Job::new("bench").parallelism(p as u32).restart(Restart::fixed_delay(u32::MAX, Duration::ZERO));
    let source = job.source(engine::SOURCE, Keys { p: p as u64, n: keys, control: control.clone() });
    let tripped = source.map(move |key: u64| {
        at_map.trip();
        key
    });
    let counted = tripped.key_by(|key| by_hand::mix(*key)).count().map(move |counted: (u64, u64)| {
        at_end.came_through();
        counted
    });
    counted.sink("sum", engine::Sum::new(&sum, |(key, count): &(u64, u64)| by_hand::emitted(*key, *count)));
    job
}

/// What any program has to do: `p` threads, each reads a file of pairs, decodes them, and puts them into its map. In seconds.
fn bare(p: usize, keys: u64) -> f64 {
    let directory = tempfile::tempdir().expect("a directory");
    let files: Vec<PathBuf> = (0..p).map(|s| write_pairs(directory.path(), s, p, keys)).collect();
    let begun = Instant::now();
    let maps: Vec<HashMap<u64, u64, foldhash::fast::FixedState>> = std::thread::scope(|scope| {
        let threads: Vec<_> = files.iter().map(|file| scope.spawn(|| read_pairs(file, keys as usize / p))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it reads")).collect()
    });
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(maps.iter().map(HashMap::len).sum::<usize>() as u64, keys);
    took
}

/// What any program has to do to write them: encode all pairs, on one core, into memory. In seconds.
fn encode(keys: u64) -> f64 {
    let map: HashMap<u64, u64, foldhash::fast::FixedState> = (0..keys).map(|key| (by_hand::mix(key), 1)).collect();
    let begun = Instant::now();
    let mut bytes = Vec::new();
    for (key, value) in &map {
        let mut serializer = rmp_serde::Serializer::new(&mut bytes);
        key.serialize(&mut serializer).expect("a key");
        value.serialize(&mut serializer).expect("a count");
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(bytes.len() as u64 > keys);
    took
}

fn write_pairs(directory: &Path, s: usize, p: usize, keys: u64) -> PathBuf {
    let mut bytes = Vec::new();
    for key in (s as u64..keys).step_by(p) {
        let mut serializer = rmp_serde::Serializer::new(&mut bytes);
        by_hand::mix(key).serialize(&mut serializer).expect("a key");
        1u64.serialize(&mut serializer).expect("a count");
    }
    let path = directory.join(s.to_string());
    fs::write(&path, bytes).expect("a file");
    path
}

fn read_pairs(file: &Path, n: usize) -> HashMap<u64, u64, foldhash::fast::FixedState> {
    let bytes = fs::read(file).expect("a file");
    let mut rest = &*bytes;
    let mut map = HashMap::with_capacity_and_hasher(n, foldhash::fast::FixedState::default());
    while !rest.is_empty() {
        let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
        let key = u64::deserialize(&mut deserializer).expect("a key");
        let value = u64::deserialize(&mut deserializer).expect("a count");
        map.insert(key, value);
    }
    map
}
