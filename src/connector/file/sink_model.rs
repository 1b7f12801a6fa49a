//! The sink of files against a model of the engine: random operations, crashes and restarts of any kind.
//!
//! Always: no row is visible twice, no row is visible that is not of a complete checkpoint, and after each recovery, and once all
//! commits are done, exactly the rows of the last complete checkpoint are.

use std::collections::VecDeque;

use proptest::prelude::*;
use tempfile::TempDir;

use super::CsvFile;
use super::part::PartHandle;
use super::sink_tests::{ctx, visible};
use crate::ids::CheckpointId;
use crate::sink::{Sink, SinkWriter};

type Files = CsvFile<(u64, String)>;

/// What happens next.
#[derive(Clone, Debug)]
enum Op {
    Write { writer: usize, rows: u64 },
    Barrier,
    MakeDurable,
    Complete,
    Abort,
    CommitOne,
    Crash { close: bool, process: bool, parallelism: usize, restored_twice: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any::<usize>(), 0..40u64).prop_map(|(writer, rows)| Op::Write { writer, rows }),
        4 => Just(Op::Barrier),
        4 => Just(Op::MakeDurable),
        4 => Just(Op::Complete),
        1 => Just(Op::Abort),
        4 => Just(Op::CommitOne),
        1 => (any::<bool>(), any::<bool>(), 1..4usize, any::<bool>())
            .prop_map(|(close, process, parallelism, restored_twice)| Op::Crash { close, process, parallelism, restored_twice }),
    ]
}

/// A complete checkpoint, or one that could become one.
#[derive(Clone, Debug, Default)]
struct Checkpoint {
    id: u64,
    /// The next row that the source hands out.
    next_row: u64,
    handles: Vec<PartHandle>,
}

struct Engine {
    dir: TempDir,
    sink: Files,
    writers: Vec<<Files as Sink>::Writer>,
    epoch: u64,
    n: u32,
    next_row: u64,
    next_id: u64,
    cuts: VecDeque<(u64, u64, Vec<<Files as Sink>::Cut>)>,
    durable: VecDeque<Checkpoint>,
    /// Handles whose commits are not confirmed, with their checkpoint.
    pending: VecDeque<(u64, PartHandle)>,
    last: Checkpoint,
    rolls_each_time: bool,
}

impl Engine {
    fn new(roll_at_bytes: Option<u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = CsvFile::exactly_once(dir.path());
        if let Some(bytes) = roll_at_bytes {
            sink = sink.roll_at_bytes(bytes);
        }
        let mut engine = Engine {
            dir,
            sink,
            writers: Vec::new(),
            epoch: 0,
            n: 0,
            next_row: 0,
            next_id: 1,
            cuts: VecDeque::new(),
            durable: VecDeque::new(),
            pending: VecDeque::new(),
            last: Checkpoint::default(),
            rolls_each_time: roll_at_bytes.is_none(),
        };
        engine.restart(true, 1, false);
        engine
    }

    fn restart(&mut self, process: bool, parallelism: usize, restored_twice: bool) {
        (self.epoch, self.n) = if process { (self.epoch + 1, 0) } else { (self.epoch, self.n + 1) };
        for _ in 0..=usize::from(restored_twice) {
            self.sink.recover(&ctx(self.epoch, self.n, 0), self.last.handles.clone()).unwrap();
        }
        self.cuts.clear();
        self.durable.clear();
        self.pending.clear();
        self.next_row = self.last.next_row;
        let open = |index: usize| self.sink.open(&ctx(self.epoch, self.n, index as u32)).unwrap();
        self.writers = (0..parallelism).map(open).collect();
        self.assert_all_visible();
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Write { writer, rows } => {
                let writer = writer % self.writers.len();
                let mut rows: Vec<_> =
                    (self.next_row..self.next_row + rows).map(|row| (row, "x".repeat(row as usize % 7))).collect();
                self.next_row += rows.len() as u64;
                self.writers[writer].write(&mut rows).unwrap();
            }
            Op::Barrier => self.barrier(),
            Op::MakeDurable => self.make_durable(),
            Op::Complete => self.complete(),
            Op::Abort => drop(self.durable.pop_front()),
            Op::CommitOne => self.commit_one(),
            Op::Crash { close, process, parallelism, restored_twice } => {
                if close {
                    self.writers.iter_mut().for_each(SinkWriter::close);
                }
                self.writers.clear();
                self.cuts.clear();
                self.restart(process, parallelism, restored_twice);
            }
        }
        self.assert_none_too_many();
    }

    fn barrier(&mut self) {
        let id = CheckpointId(self.next_id);
        let cuts = self.writers.iter_mut().map(|writer| writer.cut(id).unwrap()).collect();
        self.cuts.push_back((self.next_id, self.next_row, cuts));
        self.next_id += 1;
    }

    fn make_durable(&mut self) {
        let Some((id, next_row, cuts)) = self.cuts.pop_front() else { return };
        for cut in cuts {
            self.pending.extend(self.sink.make_durable(cut).unwrap().into_iter().map(|handle| (id, handle)));
        }
        let handles = self.pending.iter().map(|(_, handle)| handle.clone()).collect();
        self.durable.push_back(Checkpoint { id, next_row, handles });
    }

    fn complete(&mut self) {
        if let Some(checkpoint) = self.durable.pop_front() {
            self.last = checkpoint;
        }
    }

    fn commit_one(&mut self) {
        if self.pending.front().is_some_and(|(id, _)| *id <= self.last.id) {
            self.sink.commit(&self.pending.pop_front().unwrap().1).unwrap();
        }
        if self.rolls_each_time && self.pending.front().is_none_or(|(id, _)| *id > self.last.id) {
            self.assert_all_visible();
        }
    }

    fn end(&mut self) {
        self.writers.iter_mut().for_each(|writer| writer.finish().unwrap());
        self.barrier();
        while !self.cuts.is_empty() {
            self.make_durable();
        }
        while !self.durable.is_empty() {
            self.complete();
        }
        while !self.pending.is_empty() {
            self.commit_one();
        }
        assert_eq!(self.last.next_row, self.next_row);
        self.assert_all_visible();
    }

    fn visible_rows(&self) -> Vec<u64> {
        let mut rows = Vec::new();
        for line in visible(self.dir.path()).lines() {
            let (row, text) = line.split_once(',').unwrap();
            rows.push(row.parse().unwrap());
            assert_eq!(text.len() as u64, rows[rows.len() - 1] % 7, "a row is whole");
        }
        rows.sort();
        rows
    }

    fn assert_all_visible(&self) {
        assert!(
            self.visible_rows().into_iter().eq(0..self.last.next_row),
            "{:?} for {}",
            self.visible_rows(),
            self.last.next_row
        );
    }

    fn assert_none_too_many(&self) {
        let rows = self.visible_rows();
        assert!(rows.is_sorted_by(|a, b| a < b), "twice: {rows:?}");
        assert!(rows.last().is_none_or(|row| *row < self.last.next_row), "too early: {rows:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn f31_visible_is_each_row_of_the_last_complete_checkpoint_once(
        roll_at_bytes in proptest::option::of(1..2000u64),
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut engine = Engine::new(roll_at_bytes);
        for op in ops {
            engine.apply(op);
        }
        engine.end();
    }
}
