//! Snapshots, and instances that go on from them with the same key groups or others.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chain::script::{Stored, dealt};

fn restored(stored: &[Stored], owned: Range<u16>, watermark: i64) -> RestoredOperator {
    RestoredOperator { ended: false, watermark: at(watermark), states: dealt(stored, owned) }
}

#[test]
fn d13_what_was_late_before_a_crash_is_late_after_it() {
    let setup = tumbling(10);
    let mut script = setup.open();
    assert_eq!(script.run("a=1@5 w20 |1"), "a[0,10)=1@9 w20 |1");
    let mut again = setup.restore(restored(&script.stored, 0..8, 20));
    assert_eq!(again.run("a=2@5 a=3@25 w29"), "late:2@5 a[20,30)=3@29 w29");
}

#[test]
fn d13_a_window_that_has_fired_does_not_fire_again_after_a_restore() {
    let setup = Setup { lateness: 30, ..tumbling(10) };
    let mut script = setup.open();
    assert_eq!(script.run("a=1@5 b=1@15 w12 |1"), "a[0,10)=1@9 w12 |1");
    let mut again = setup.restore(restored(&script.stored, 0..8, 12));
    assert_eq!(again.run("w13 a=2@6 w20 w39 a=3@6"), "w13 a[0,10)=1+2@9 b[10,20)=1@19 w20 w39 late:3@6".to_owned());
}

#[test]
fn d25_what_a_trigger_remembers_is_restored_after_a_purge() {
    let setup = tumbling(10).trigger(Purging(Count::of(2)));
    let mut script = setup.open();
    assert_eq!(script.run("a=a@1 a=b@2 a=c@3 b=x@3 b=y@4 |1"), "a[0,10)=a+b@9 b[0,10)=x+y@9 |1");
    let mut again = setup.restore(restored(&script.stored, 0..8, 0));
    assert_eq!(again.run("a=d@4 b=z@5 w9"), "a[0,10)=c+d@9 w9");
    let setup = tumbling(10).trigger(SecondAndThird);
    let mut script = setup.open();
    assert_eq!(script.run("a=a@1 a=b@2 |1"), "a[0,10)=a+b@9 |1");
    let mut again = setup.restore(restored(&script.stored, 0..8, 0));
    assert_eq!(again.run("a=c@3 a=d@4 w9"), "a[0,10)=c@9 w9", "the third of all, behind a purge");
}

#[test]
fn windows_of_another_size_are_restored_and_end_as_they_began() {
    let mut script = tumbling(30).open();
    script.run("a=1@5 |1");
    let mut again = tumbling(10).restore(restored(&script.stored, 0..8, 0));
    assert_eq!(again.run("a=2@6 w9 a=3@25 a=4@15 w19"), "a[0,10)=2@9 w9 a[10,20)=4@19 w19");
    assert_eq!(again.run("w29"), "a[0,30)=1@29 a[20,30)=3@29 w29");
}

#[test]
fn entries_are_pairs_that_any_reader_walks() {
    let mut script = Setup { lateness: 9, ..tumbling(10) }.trigger(Purging(Count::of(2))).open();
    script.run("a=x@1 a=y@12 a=z@13 |1");
    let mut seen = Vec::new();
    for (descriptor, blocks) in &script.stored {
        assert_eq!(descriptor.name, "windows");
        for block in blocks {
            let mut reader = crate::codec::Reader::new(&block.bytes);
            while !reader.is_empty() {
                seen.push((reader.next::<String>().unwrap(), reader.next::<((i64, i64), Vec<Thing>)>().unwrap()));
            }
        }
    }
    let (one, x) = (Thing::Number(1), Thing::Text("x".into()));
    assert_eq!(seen, [("a".into(), ((0, 10), vec![one, x])), ("a".into(), ((10, 20), vec![Thing::Number(0)]))]);
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum Thing {
    Number(u64),
    Text(String),
}

#[test]
fn state_of_other_names_is_kept() {
    let mut script = tumbling(10).open();
    script.run("a=1@5 |1");
    let mut stored = script.stored.clone();
    let mut other = stored[0].clone();
    other.0.name = "other".into();
    other.1[0].bytes = vec![1, 2];
    stored.push(other.clone());
    let mut again = tumbling(10).restore(restored(&stored, 0..8, 0));
    again.run("|2");
    assert!(again.stored.contains(&other));
    assert_eq!(again.stored.len(), 2);
}

#[test]
fn damaged_state_is_an_error_and_not_a_panic() {
    let mut script = tumbling(10).open();
    script.run("a=1@5 b=2@6 |1");
    let whole = script.stored.clone();
    for block in 0..whole[0].1.len() {
        for at in 0..whole[0].1[block].bytes.len() {
            for byte in [0, 0x7f, 0xc0, 0xdd, 0xff] {
                let mut stored = whole.clone();
                stored[0].1[block].bytes[at] = byte;
                drop(tumbling(10).try_restore(restored(&stored, 0..8, 0)));
            }
        }
    }
    let mut twice = whole.clone();
    twice[0].1.extend(whole[0].1.clone());
    let error = tumbling(10).try_restore(restored(&twice, 0..8, 0)).err().unwrap().to_string();
    assert!(error.contains("its key was there before in the window [0, 10)"), "{error}");
}

/// Several instances side by side, as one operator.
struct Instances {
    scripts: Vec<Script<Record>>,
    watermark: i64,
}

impl Instances {
    fn open(n: u32, lateness: u64, size: u64, slide: u64, room: usize, stored: &[Stored], watermark: i64) -> Self {
        let open = |index| {
            let owned = GROUPS.range(index, n);
            let state = restored(stored, owned.clone(), watermark);
            if size == slide {
                return Setup { lateness, room, owned, ..tumbling(size) }.restore(state);
            }
            Setup { lateness, room, owned, ..setup(Sliding::of(millis(size), millis(slide))) }.restore(state)
        };
        Instances { scripts: (0..n).map(open).collect(), watermark }
    }

    fn record(&mut self, key: u8, value: usize, time: i64) -> String {
        let text = format!("{key}={value}");
        let owner = GROUPS.owner(GROUPS.of(record(&text).hash), self.scripts.len() as u32);
        self.scripts[owner as usize].run(&format!("{text}@{time}"))
    }

    fn all(&mut self, word: &str) -> Vec<String> {
        self.scripts.iter_mut().map(|script| script.run(word)).collect()
    }
}

/// Results by their times, and the watermark behind them.
fn in_order(out: &str) -> bool {
    let Some((results, watermark)) = out.rsplit_once(' ') else { return out.starts_with('w') };
    let times = results.split(' ').map(|word| word.split_once('@').unwrap().1.parse::<i64>().unwrap());
    watermark.starts_with('w') && times.is_sorted()
}

/// What windows do, record by record and without state to be restored.
struct Model {
    lateness: i64,
    assigner: Sliding,
    watermark: i64,
    /// By end, start and key.
    panes: BTreeMap<(i64, i64, u8), String>,
}

impl Model {
    fn record(&mut self, key: u8, value: usize, time: i64) -> String {
        let (mut out, mut taken, mut any) = (Vec::new(), false, false);
        for window in self.assigner.windows(at(time)) {
            let (start, end) = (window.start.millis(), window.end.millis());
            any = true;
            if end - 1 + self.lateness <= self.watermark {
                continue;
            }
            taken = true;
            let pane = self.panes.entry((end, start, key)).or_default();
            *pane = if pane.is_empty() { value.to_string() } else { format!("{pane}+{value}") };
            if end - 1 <= self.watermark {
                out.push(format!("{key}[{start},{end})={pane}@{}", end - 1));
            }
        }
        if any && !taken { format!("late:{value}@{time}") } else { out.join(" ") }
    }

    fn watermark(&mut self, watermark: i64) -> String {
        let due = |end: i64| self.watermark < end - 1 && end - 1 <= watermark;
        let fired = self.panes.iter().filter(|((end, ..), _)| due(*end));
        let out: Vec<String> =
            fired.map(|((end, start, key), pane)| format!("{key}[{start},{end})={pane}@{}", end - 1)).collect();
        self.watermark = self.watermark.max(watermark);
        let (now, lateness) = (self.watermark, self.lateness);
        self.panes.retain(|(end, ..), _| end - 1 + lateness > now);
        out.join(" ")
    }
}

#[derive(Clone, Debug)]
enum Op {
    Record(u8, i64),
    Watermark(i64),
    Checkpoint,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0..12u8, -15..30i64).prop_map(|(key, time)| Op::Record(key, time)),
        2 => (0..12i64).prop_map(Op::Watermark),
        1 => Just(Op::Checkpoint),
    ];
    proptest::collection::vec(op, 0..60)
}

proptest! {
    #[test]
    fn c13_d13_d22_d23_instances_that_come_and_go_do_what_one_without_end_does(
        ops in ops(),
        (size, slide) in prop_oneof![(1..12u64, 1..8u64), (1..12u64).prop_map(|size| (size, size))],
        lateness in 0..12u64,
        room in 1..5usize,
    ) {
        let mut parallelism = [2, 3, 1].into_iter().cycle();
        let open = |n, stored: &[Stored], watermark| Instances::open(n, lateness, size, slide, room, stored, watermark);
        let mut instances = open(parallelism.next().unwrap(), &[], i64::MIN);
        let assigner = Sliding::of(millis(size), millis(slide));
        let mut model = Model { lateness: lateness as i64, assigner, watermark: i64::MIN, panes: BTreeMap::new() };
        let mut base = 0;
        for (n, op) in ops.into_iter().enumerate() {
            match op {
                Op::Record(key, ahead) => {
                    let time = base + ahead;
                    prop_assert_eq!(instances.record(key, n, time), model.record(key, n, time));
                }
                Op::Watermark(step) => {
                    base += step;
                    instances.watermark = base;
                    let outs = instances.all(&format!("w{base}"));
                    prop_assert!(outs.iter().all(|out| in_order(out)), "{:?}", outs);
                    let results = outs.join(" ").replace(&format!(" w{base}"), "").replace(&format!("w{base}"), "");
                    prop_assert_eq!(sorted(&results), sorted(&model.watermark(base)));
                }
                Op::Checkpoint => {
                    instances.all("|1");
                    let stored: Vec<Stored> = instances.scripts.iter().flat_map(|script| script.stored.clone()).collect();
                    instances = open(parallelism.next().unwrap(), &stored, instances.watermark);
                }
            }
        }
    }
}
