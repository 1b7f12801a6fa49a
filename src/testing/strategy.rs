//! How fault plans are drawn and shrunk.
//!
//! Always: a plan shrinks to fewer faults, each to an earlier and a simpler one.

use std::time::Duration;

use proptest::collection::{SizeRange, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::disk::{DiskCall, DiskFault};
use super::plan::{Calamity, Failure, FaultPlan, PlannedFault};
use crate::hook::{Callback, Control, CrashPoint, Role};

/// Records are many, other events few: up to where faults are aimed.
const RECORDS: u64 = 150;
const CALLS: u64 = 12;
const STEPS: u64 = 600;
const LATE_MS: u64 = 1_000;

impl FaultPlan {
    /// Plans of so many faults, of every kind, of any operator. A plan may aim at what never comes: ask for the
    /// [fates](super::Simulation::fates), and let a property fail in whose cases hardly any fault strikes.
    ///
    /// ```
    /// use proptest::strategy::{Strategy, ValueTree};
    /// use proptest::test_runner::TestRunner;
    /// use tidegate::testing::FaultPlan;
    ///
    /// let plan = FaultPlan::strategy(1..=3).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    /// assert!((1..=3).contains(&plan.faults.len()));
    /// ```
    pub fn strategy(faults: impl Into<SizeRange>) -> impl Strategy<Value = FaultPlan> + Clone {
        vec(PlannedFault::strategy(), faults).prop_map(|faults| FaultPlan { faults })
    }
}

impl PlannedFault {
    /// One fault, of every kind, of any operator.
    pub fn strategy() -> impl Strategy<Value = PlannedFault> + Clone {
        prop_oneof![
            3 => record(),
            4 => callback(),
            3 => (1..=STEPS).prop_map(|step| PlannedFault::Death { step }),
            3 => store(),
            3 => at(),
            1 => (select(&Role::ALL[..]), 1..=3 * CALLS).prop_map(|(role, nth)| PlannedFault::Actor { role, nth }),
            2 => (select(&Control::ALL[..]), 1..=CALLS).prop_map(|(message, nth)| PlannedFault::Lost { message, nth }),
            2 => (select(&Control::ALL[..]), 1..=CALLS, a_while())
                .prop_map(|(message, nth, by)| PlannedFault::Late { message, nth, by }),
            1 => (1..=5 * CALLS, a_while()).prop_map(|(nth, lasts)| PlannedFault::Stall { nth, lasts }),
        ]
    }
}

fn a_while() -> impl Strategy<Value = Duration> + Clone {
    (1..=LATE_MS).prop_map(Duration::from_millis)
}

fn failure() -> impl Strategy<Value = Failure> + Clone {
    select(vec![Failure::Error, Failure::Panic])
}

fn record() -> impl Strategy<Value = PlannedFault> + Clone {
    (1..=RECORDS, failure()).prop_map(|(nth, failure)| PlannedFault::callback(Callback::Record, nth, failure))
}

fn callback() -> impl Strategy<Value = PlannedFault> + Clone {
    (select(&Callback::ALL[1..]), 1..=CALLS, failure())
        .prop_map(|(callback, nth, failure)| PlannedFault::callback(callback, nth, failure))
}

/// Those that a store may do: one that forgets what it said is durable is no fault to be survived.
fn store() -> impl Strategy<Value = PlannedFault> + Clone {
    let effect = select(vec![DiskFault::Refused, DiskFault::Torn, DiskFault::MaybeDone, DiskFault::Unsynced]);
    let path = select(vec!["", "manifest", ".snap", "finished", "head"]).prop_map(str::to_owned);
    (select(&DiskCall::ALL[..]), path, 1..=2 * CALLS, effect).prop_map(|(call, path, nth, effect)| PlannedFault::Store {
        call,
        path,
        nth,
        effect,
    })
}

fn at() -> impl Strategy<Value = PlannedFault> + Clone {
    (select(&CrashPoint::UNASKED[..]), 1..=CALLS / 3, select(&Calamity::ALL[..]))
        .prop_map(|(point, nth, calamity)| PlannedFault::At { point, nth, calamity })
}
