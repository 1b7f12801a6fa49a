//! Tests of the window operator by scripts: records `key=value@time` in, results `key[start,end)=value@time` out.

mod restore;
mod resume;
mod scripts;

use std::ops::Range;
use std::sync::Arc;

use super::*;
use crate::chain::script::{Out, Script};
use crate::chain::{Folding, Steps};
use crate::frame::Keyed;
use crate::ids::Uid;
use crate::key::{KeyGroups, KeyHasher};
use crate::metrics::Counter;
use crate::operator::{OpId, SideOutput, Sides, side_port};
use crate::snapshot::RestoredOperator;
use crate::time::{Timestamp, millis};

type Record = Keyed<String, String>;

const GROUPS: KeyGroups = KeyGroups::new(8);

/// Keeps the values that it saw, in order.
struct Gather;

impl Folding for Gather {
    type In = String;
    type Acc = String;
    type Out = String;

    fn first(&self, value: String) -> String {
        value
    }

    fn add(&self, acc: &mut String, value: String) {
        acc.push('+');
        acc.push_str(&value);
    }

    fn out(&self, acc: &String) -> String {
        acc.clone()
    }
}

fn hash(key: &str) -> u64 {
    KeyHasher::new(0).hash(key, &mut Vec::new()).unwrap()
}

/// A record from `key=value`.
fn record(text: &str) -> Record {
    let (key, value) = text.split_once('=').unwrap();
    Keyed { hash: hash(key), key: key.to_owned(), value: value.to_owned() }
}

fn show(result: &Windowed<String, String>) -> String {
    let Window { start, end } = result.window;
    format!("{}[{},{})={}", result.key, start.millis(), end.millis(), result.value)
}

/// A window operator to be opened.
struct Setup<A, G> {
    assigner: A,
    trigger: G,
    lateness: u64,
    late: bool,
    room: usize,
    owned: Range<u16>,
    dropped: Counter,
}

/// Counts all records of a key and window: fires and forgets at the second one, and fires at the third.
#[derive(Clone)]
struct SecondAndThird;

impl Trigger for SecondAndThird {
    type State = u64;

    fn on_record(&self, seen: &mut u64, _: &TriggerContext) -> TriggerResult {
        *seen += 1;
        match *seen {
            2 => TriggerResult::FireAndPurge,
            3 => TriggerResult::Fire,
            _ => TriggerResult::Continue,
        }
    }

    fn on_event_time(&self, _: &mut u64, _: &TriggerContext) -> TriggerResult {
        TriggerResult::Continue
    }
}

fn setup<A: Assigner>(assigner: A) -> Setup<A, EventTime> {
    let (trigger, dropped) = (EventTime, Counter::default());
    Setup { assigner, trigger, lateness: 0, late: true, room: usize::MAX, owned: 0..GROUPS.max(), dropped }
}

fn tumbling(size: u64) -> Setup<Tumbling, EventTime> {
    setup(Tumbling::of(millis(size)))
}

impl<A: Assigner + Clone, G: Trigger + Clone> Setup<A, G> {
    fn trigger<H>(self, trigger: H) -> Setup<A, H> {
        let Setup { assigner, lateness, late, room, owned, dropped, .. } = self;
        Setup { assigner, trigger, lateness, late, room, owned, dropped }
    }

    fn open(&self) -> Script<Record> {
        self.restore(RestoredOperator::nothing())
    }

    fn restore(&self, restored: RestoredOperator) -> Script<Record> {
        self.try_restore(restored).unwrap()
    }

    fn try_restore(&self, restored: RestoredOperator) -> crate::Result<Script<Record>> {
        let (out, mut sides) = (Out::default(), Sides::default());
        let late = SideOutput::<String>::new("late");
        sides.add("late".into(), side_port(out.side("late", String::clone)));
        let side = self.late.then(|| sides.open(&late).unwrap());
        let (assigner, trigger) = (Arc::new(self.assigner.clone()), Arc::new(self.trigger.clone()));
        let rules = Rules { folding: Arc::new(Gather), assigner, trigger, lateness: millis(self.lateness) };
        let keys = Keys { groups: GROUPS, owned: self.owned.clone(), hasher: Arc::new(|key: &String| hash(key)) };
        let name = Name { operator: OpId(0), uid: Uid::new("counts") };
        let operator = WindowOperator::open(name, rules, Late { side, dropped: self.dropped.clone() }, keys, restored)?;
        Ok(Script::new(Steps::new(operator, false, out.link(self.room, show), sides), &out, record))
    }
}

/// The words in order, for results that come in no particular order.
fn sorted(words: &str) -> Vec<String> {
    let mut words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    words.sort();
    words
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
