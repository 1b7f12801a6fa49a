//! What every sink must do.

use std::fmt::Debug;

use super::sink_bench::{Given, SinkBench, die};
use super::watch::{Doing, watched};
use super::{broken, holds};
use crate::sink::{Sink, SinkWriter};

const HIDDEN: &str = "nothing is visible before it is committed";
const NEXT_CUT: &str = "what is written after a cut belongs to the next one";
const COMMITS: &str = "what was committed is visible, each record once, at the latest when the data has ended";
const ONLY_ITS_OWN: &str = "a commit makes visible what its handle stands for, and nothing else";
const AGAIN: &str = "committing again is a success and changes nothing";
const NOTHING: &str = "where nothing was written there is no handle";
const SURVIVES: &str = "what was made durable survives its process, and its handle is enough to commit it";
const REMOVED: &str = "recover removes what no handle knows of";
const TAKES_UP_AGAIN: &str = "recovering again with the same handles changes nothing";
const ABORTED: &str = "a checkpoint that is given up loses nothing: a later one commits what it had prepared";
const WRITERS: &str = "the writers of a sink do not disturb each other";
const CLOSES: &str = "close gives up what was not cut off, and leaves alone what was";
const DISTINCT: &str = "the suite's records can be told apart";
const RETURNS: &str = "every call of a sink returns";

/// Checks a sink: begin, write, cut, make durable, commit, in this order and in those that failures make of it.
///
/// `make` makes the sink anew, each time over the same place, as another process would; `record` gives the n-th record, each one
/// different; `visible` reads what consumers of the sink can see. What is visible at the beginning is to stay so. The suite writes
/// some hundred records, as the sink `sink` of the job `suite`.
///
/// The death of a process is played by leaving its writers behind, as they are. What a loss of power would undo cannot be seen
/// from outside.
///
/// ```
/// use tidegate::testing::{RecordingSink, suites};
///
/// let broker = RecordingSink::<String>::new();
/// let (again, seen) = (broker.clone(), broker.clone());
/// let make = move || {
///     again.die();
///     again.clone()
/// };
/// suites::sink(make, |n| format!("order {n}"), move || seen.committed());
/// ```
///
/// # Panics
/// Where a rule is broken: with the rule, and how.
pub fn sink<S: Sink<Item: Clone + Ord + Debug>>(
    make: impl Fn() -> S + Send + 'static,
    record: impl Fn(u64) -> S::Item + Send + 'static,
    visible: impl Fn() -> Vec<S::Item> + Send + 'static,
) {
    let checks = move |doing: &Doing| {
        let (one, other) = (record(0), record(1));
        holds(DISTINCT, one != other, || format!("the records 0 and 1 are both {one:?}"));
        let given = Given { make: Box::new(make), record: Box::new(record), visible: Box::new(visible) };
        let mut bench = SinkBench::new(given, doing);
        check_all(&mut bench);
    };
    watched(checks, |doing| broken(RETURNS, format!("it has not come back from {doing}")));
}

fn check_all<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    nothing_written(bench);
    one_life(bench);
    a_write_behind_a_cut(bench);
    overlapping_checkpoints(bench);
    several_writers(bench);
    a_death_after_the_cut(bench);
    a_death_before_the_manifest(bench);
    a_death_while_recovering(bench);
    a_death_after_the_commit(bench);
    a_closed_writer(bench);
}

fn nothing_written<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let cut = bench.cut_durably(&life, &mut writer, Vec::new());
    holds(NOTHING, cut.handles.is_empty(), || format!("{:?}", cut.handles));
    bench.finish(&life, writer, Vec::new());
    bench.only(NOTHING, "after a life in which nothing was written");
}

fn one_life<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let mut first = bench.write(&mut writer, 5);
    bench.only(HIDDEN, "after a write");
    first.extend(bench.write(&mut writer, 2));
    let cut = bench.cut(&mut writer);
    bench.only(HIDDEN, "after a cut");
    let first = bench.make_durable(&life, cut, first);
    bench.only(HIDDEN, "after make_durable");
    bench.commit(&life, &first);
    bench.count(&first);
    bench.only(ONLY_ITS_OWN, "after the first commit");
    let second = bench.write(&mut writer, 3);
    bench.only(HIDDEN, "after a write that follows a commit");
    bench.finish(&life, writer, second);
    bench.all(COMMITS, "after the last commit");
    bench.only(COMMITS, "after the last commit");
    bench.commit_by(AGAIN, &life, &first);
    bench.only(AGAIN, "after the first commit was repeated");
    bench.all(AGAIN, "after the first commit was repeated");
}

fn a_write_behind_a_cut<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let first = bench.write(&mut writer, 3);
    let cut = bench.cut(&mut writer);
    let second = bench.write(&mut writer, 3);
    let first = bench.make_durable(&life, cut, first);
    bench.commit(&life, &first);
    bench.count(&first);
    bench.only(NEXT_CUT, "after what was cut off before them was committed");
    bench.finish(&life, writer, second);
    bench.all(NEXT_CUT, "after the next cut was committed as well");
}

/// Several cuts wait for their commits, and some of their checkpoints were given up.
fn overlapping_checkpoints<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let records = bench.write(&mut writer, 2);
    let one = bench.cut(&mut writer);
    let other_records = bench.write(&mut writer, 2);
    let other = bench.cut(&mut writer);
    let one = bench.make_durable(&life, one, records);
    let other = bench.make_durable(&life, other, other_records);
    bench.only(HIDDEN, "after two cuts were made durable");
    bench.commit(&life, &one);
    bench.count(&one);
    bench.only(ONLY_ITS_OWN, "after the first of two durable cuts was committed");
    let third = bench.write(&mut writer, 2);
    let third = bench.cut_durably(&life, &mut writer, third);
    bench.commit(&life, &other);
    bench.commit(&life, &third);
    bench.count(&other);
    bench.count(&third);
    bench.finish(&life, writer, Vec::new());
    bench.all(ABORTED, "after the cut of a checkpoint that was given up was committed with the next one");
    bench.only(ABORTED, "after the cut of a checkpoint that was given up was committed with the next one");
}

fn several_writers<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(2);
    let (mut one, mut other) = (bench.open(&life, 0), bench.open(&life, 1));
    let of_one = bench.write(&mut one, 3);
    let of_other = bench.write(&mut other, 3);
    let of_one = bench.cut_durably(&life, &mut one, of_one);
    bench.commit(&life, &of_one);
    bench.count(&of_one);
    bench.only(WRITERS, "after one of two writers was committed");
    bench.finish(&life, one, Vec::new());
    bench.finish(&life, other, of_other);
    bench.all(WRITERS, "after both writers were committed");
    bench.only(WRITERS, "after both writers were committed");
}

fn a_death_after_the_cut<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let kept = bench.write(&mut writer, 4);
    let kept = bench.cut_durably(&life, &mut writer, kept);
    let _lost = bench.write(&mut writer, 4);
    die(life, writer);
    let life = bench.begin_with(SURVIVES, &kept.handles, 1);
    bench.count(&kept);
    bench.all(SURVIVES, "after a death and a recover with the handles");
    bench.only(REMOVED, "after a death and a recover with the handles");
    go_on(bench, &life, REMOVED);
}

/// What was made durable, and is in no checkpoint that was completed.
fn a_death_before_the_manifest<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let lost = bench.write(&mut writer, 4);
    let _forgotten = bench.cut_durably(&life, &mut writer, lost);
    let _also_lost = bench.write(&mut writer, 1);
    let _cut = std::mem::ManuallyDrop::new(bench.cut(&mut writer));
    die(life, writer);
    let life = bench.begin(1);
    bench.only(REMOVED, "after a death and a recover without handles");
    go_on(bench, &life, REMOVED);
}

/// The process after a death writes and commits, with nothing of what the dead one left.
fn go_on<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>, life: &super::sink_bench::Life<S>, rule: &str) {
    let mut writer = bench.open(life, 0);
    let more = bench.write(&mut writer, 2);
    bench.finish(life, writer, more);
    bench.all(COMMITS, "after the process that follows a death has committed");
    bench.only(rule, "after the process that follows a death has committed");
}

fn a_death_while_recovering<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let kept = bench.write(&mut writer, 4);
    let kept = bench.cut_durably(&life, &mut writer, kept);
    die(life, writer);
    let life = bench.begin_with(SURVIVES, &kept.handles, 1);
    bench.count(&kept);
    std::mem::forget(life.sink);
    let _life = bench.begin_with(TAKES_UP_AGAIN, &kept.handles, 1);
    bench.all(TAKES_UP_AGAIN, "after the second recover with the same handles");
    bench.only(TAKES_UP_AGAIN, "after the second recover with the same handles");
}

fn a_death_after_the_commit<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let kept = bench.write(&mut writer, 4);
    let kept = bench.cut_durably(&life, &mut writer, kept);
    bench.commit(&life, &kept);
    die(life, writer);
    let _life = bench.begin_with(AGAIN, &kept.handles, 1);
    bench.count(&kept);
    bench.all(AGAIN, "after a recover with a handle that had been committed");
    bench.only(AGAIN, "after a recover with a handle that had been committed");
}

fn a_closed_writer<S: Sink<Item: Clone + Ord + Debug>>(bench: &mut SinkBench<'_, S>) {
    let life = bench.begin(1);
    let mut writer = bench.open(&life, 0);
    let kept = bench.write(&mut writer, 4);
    let kept = bench.cut_durably(&life, &mut writer, kept);
    let _given_up = bench.write(&mut writer, 3);
    writer.close();
    bench.only(CLOSES, "after close");
    drop((writer, life));
    let life = bench.begin_with(CLOSES, &kept.handles, 1);
    bench.count(&kept);
    bench.all(CLOSES, "after close and a recover with the handles");
    go_on(bench, &life, CLOSES);
}
