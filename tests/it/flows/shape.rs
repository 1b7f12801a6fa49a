//! A small flow as data, and how one is drawn.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// What flows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rec {
    /// No other record of the flow has it.
    pub id: u64,
    pub key: u64,
    pub value: u64,
    /// Event time.
    pub at: i64,
}

/// Data as data: what `records` of a split are made of.
#[derive(Clone, Debug)]
pub struct Split {
    pub records: u64,
    /// From one record to the next, in event time.
    pub gap: i64,
    /// How far a record may be behind the one before.
    pub disorder: i64,
    pub salt: u64,
}

#[derive(Clone, Debug)]
pub struct Input {
    pub splits: Vec<Split>,
    pub batch: usize,
    /// After so many records of a split, so many milliseconds without any.
    pub pause: Option<(u64, u64)>,
    pub parallelism: u32,
    /// Of the watermarks.
    pub bound: i64,
    pub step: u64,
    pub strict: bool,
    pub idle_after: Option<u64>,
}

/// What is done to each record by itself, and by how many instances.
#[derive(Clone, Debug)]
pub struct Step {
    pub op: Op,
    pub parallelism: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Adds to the value.
    Map(u64),
    /// Drops those whose id is a multiple.
    Filter(u64),
    /// Makes this many of each.
    FlatMap(u64),
    /// Fails for those whose value is a multiple; they go to a side output, or are skipped.
    Refuse { multiple: u64, aside: bool },
}

#[derive(Clone, Debug)]
pub struct Branch {
    pub steps: Vec<Step>,
    pub end: End,
    pub parallelism: u32,
    /// Of the sink.
    pub at_sink: u32,
}

/// What a branch comes to.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The records as they are.
    Plain,
    /// How often each key has come.
    Count,
    /// The sum of each key.
    Sum,
    /// The highest value of each key.
    Max,
    /// An operator that gathers by slots of event time, with a timer for each.
    Slots {
        slot: i64,
    },
    /// An operator that gathers until a processing-time timer fires.
    Delayed {
        by: u64,
    },
    Windows(Windows),
    /// How many keys each window has.
    KeysOfWindows {
        size: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Windows {
    pub size: u64,
    /// From one window to the next, for sliding ones.
    pub slide: Option<u64>,
    pub lateness: u64,
    /// Late records go to a side output; else they are counted.
    pub aside: bool,
}

#[derive(Clone, Debug)]
pub struct Shape {
    /// One source, or two that are united.
    pub inputs: Vec<Input>,
    pub steps: Vec<Step>,
    pub branches: Vec<Branch>,
    /// Checkpoints under way at once.
    pub concurrent: usize,
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Split {
    /// The records of split `split` of input `input`.
    pub fn data(&self, input: usize, split: usize) -> Vec<Rec> {
        let record = |i: u64| {
            let drawn = mixed(self.salt.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let back = (drawn >> 32) as i64 % (self.disorder + 1);
            let id = (input as u64) << 24 | (split as u64) << 16 | i;
            Rec { id, key: drawn % 5, value: (drawn >> 8) % 100, at: 1000 + i as i64 * self.gap - back }
        };
        (0..self.records).map(record).collect()
    }

    /// Whether no record can be late for its own split's watermark.
    pub fn on_time(&self, bound: i64) -> bool {
        let mut highest = i64::MIN;
        self.data(0, 0).iter().all(|record| {
            let on_time = highest == i64::MIN || record.at >= highest - bound;
            highest = highest.max(record.at);
            on_time
        })
    }
}

impl Shape {
    /// Whether no record can be late for anyone.
    pub fn on_time(&self) -> bool {
        let of_input = |input: &Input| input.idle_after.is_none() && input.splits.iter().all(|split| split.on_time(input.bound));
        self.inputs.iter().all(of_input)
    }

    /// All records, as they come from the sources.
    pub fn data(&self) -> Vec<Rec> {
        let of_input = |(i, input): (usize, &Input)| {
            let splits = input.splits.iter().enumerate();
            splits.flat_map(|(s, split)| split.data(i, s)).collect::<Vec<Rec>>()
        };
        self.inputs.iter().enumerate().flat_map(of_input).collect()
    }
}

fn parallelism() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(1u32), 4 => Just(2u32), 1 => Just(3u32), 1 => Just(4u32)]
}

fn input() -> impl Strategy<Value = Input> {
    let disorder = prop_oneof![Just(0i64), 0..60i64];
    let split = (0..24u64, 1..20i64, disorder, any::<u64>().no_shrink()).prop_map(|(records, gap, disorder, salt)| Split {
        records,
        gap,
        disorder,
        salt,
    });
    let pause = prop::option::of((1..15u64, 0..25u64));
    let bound = prop_oneof![2 => Just(60i64), 1 => 0..60i64];
    let idle = prop::option::weighted(0.2, 5..40u64);
    let timing = (bound, 1..60u64, any::<bool>(), idle);
    (prop::collection::vec(split, 1..=3), 1..20usize, pause, parallelism(), timing).prop_map(
        |(splits, batch, pause, parallelism, (bound, step, strict, idle_after))| Input {
            splits,
            batch,
            pause,
            parallelism,
            bound,
            step,
            strict,
            idle_after,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop_oneof![
        (1..50u64).prop_map(Op::Map),
        (2..6u64).prop_map(Op::Filter),
        (0..5u64).prop_map(Op::FlatMap),
        (2..7u64, any::<bool>()).prop_map(|(multiple, aside)| Op::Refuse { multiple, aside }),
    ];
    (op, parallelism()).prop_map(|(op, parallelism)| Step { op, parallelism })
}

fn windows() -> impl Strategy<Value = Windows> {
    (5..80u64, prop::option::of(3..40u64), prop_oneof![Just(0u64), 0..80u64], any::<bool>())
        .prop_map(|(size, slide, lateness, aside)| Windows { size, slide: slide.map(|slide| slide.min(size)), lateness, aside })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        1 => Just(End::Plain),
        1 => Just(End::Count),
        1 => Just(End::Sum),
        1 => Just(End::Max),
        2 => (5..60i64).prop_map(|slot| End::Slots { slot }),
        1 => (0..20u64).prop_map(|by| End::Delayed { by }),
        3 => windows().prop_map(End::Windows),
        1 => (5..80u64).prop_map(|size| End::KeysOfWindows { size }),
    ]
}

fn branch() -> impl Strategy<Value = Branch> {
    (prop::collection::vec(step(), 0..=1), end(), parallelism(), parallelism())
        .prop_map(|(steps, end, parallelism, at_sink)| Branch { steps, end, parallelism, at_sink })
}

/// Any small flow.
pub fn shape() -> impl Strategy<Value = Shape> {
    let inputs = prop_oneof![3 => prop::collection::vec(input(), 1..=1), 1 => prop::collection::vec(input(), 2..=2)];
    let branches = prop_oneof![
        4 => prop::collection::vec(branch(), 1..=1),
        2 => prop::collection::vec(branch(), 2..=2),
        1 => prop::collection::vec(branch(), 3..=3),
    ];
    (inputs, prop::collection::vec(step(), 0..=2), branches, 1..=2usize).prop_map(|(inputs, steps, branches, concurrent)| Shape {
        inputs,
        steps,
        branches,
        concurrent,
    })
}
