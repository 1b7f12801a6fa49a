//! What must come out of a flow, computed record by record, with nothing of the engine in it.
//!
//! Where no record can be late, everything is determined. Else which records are late depends on who was faster, and what holds is
//! that nothing is lost and nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use tidegate::testing::Report;

use super::build::{Gathered, refused, uid};
use super::shape::{Branch, End, Op, Rec, Shape, Step, Windows};

type Verdict = Result<(), String>;

/// Whether a run of the flow came to what it must come to.
pub fn judge(shape: &Shape, report: &Report) -> Verdict {
    if !report.finished() {
        return Err("the job has not finished".into());
    }
    if let Some(violation) = report.violations().first() {
        return Err(violation.clone());
    }
    let records = apply(report, shape.data(), &shape.steps, "main")?;
    for (b, branch) in shape.branches.iter().enumerate() {
        let records = apply(report, records.clone(), &branch.steps, &format!("b{b}"))?;
        judge_end(report, &records, branch, b, shape.on_time()).map_err(|what| format!("branch {b}: {what}"))?;
    }
    Ok(())
}

fn same<T: Ord + Debug>(what: &str, mut found: Vec<T>, mut wanted: Vec<T>) -> Verdict {
    found.sort();
    wanted.sort();
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:?}, wanted {wanted:?}")) }
}

/// What steps make of records, and whether what they refuse is where it should be.
fn apply(report: &Report, mut records: Vec<Rec>, steps: &[Step], place: &str) -> Result<Vec<Rec>, String> {
    for (s, step) in steps.iter().enumerate() {
        records = match step.op {
            Op::Map(n) => records.into_iter().map(|record| Rec { value: record.value + n, ..record }).collect(),
            Op::Filter(n) => records.into_iter().filter(|record| record.id % n != 0).collect(),
            Op::FlatMap(n) => {
                records.iter().flat_map(|record| (0..n).map(|i| Rec { id: record.id * 8 + i, ..record.clone() })).collect()
            }
            Op::Refuse { multiple, aside } => {
                let (bad, good): (Vec<Rec>, Vec<Rec>) = records.into_iter().partition(|record| record.value % multiple == 0);
                if aside {
                    same("refused", report.sink::<Rec>(&refused(place, s)).committed(), bad)?;
                }
                good
            }
        };
    }
    Ok(records)
}

fn judge_end(report: &Report, records: &[Rec], branch: &Branch, b: usize, on_time: bool) -> Verdict {
    let (uid, out) = (uid(b), format!("out-{}", uid(b)));
    let pairs = || report.sink::<(u64, u64)>(&out).committed();
    let gathered = || report.sink::<Gathered>(&out).committed();
    let keys = records.iter().map(|record| record.key).collect::<BTreeSet<u64>>();
    let of_key = |key: u64| records.iter().filter(move |record| record.key == key);
    match branch.end {
        End::Plain => same("records", report.sink::<Rec>(&out).committed(), records.to_vec()),
        End::Count => {
            let counts = |key: &u64| (1..=of_key(*key).count() as u64).map(|n| (*key, n)).collect::<Vec<_>>();
            same("counts", pairs(), keys.iter().flat_map(counts).collect())?;
            accumulated(report, &uid, keys.iter().map(|key| (*key, of_key(*key).count() as u64)).collect())
        }
        End::Sum => {
            let sums: BTreeMap<u64, u64> = keys.iter().map(|key| (*key, of_key(*key).map(|record| record.value).sum())).collect();
            running(pairs(), records, &sums)?;
            accumulated(report, &uid, sums.into_iter().collect())
        }
        End::Max => {
            let max = |key: &u64| (*key, of_key(*key).map(|record| record.value).max().unwrap());
            let maxima: BTreeMap<u64, u64> = keys.iter().map(max).collect();
            running(pairs(), records, &maxima)?;
            accumulated(report, &uid, maxima.into_iter().map(|(key, max)| (key, (key, max))).collect())
        }
        End::Slots { slot } => {
            let end = |record: &Rec| record.at - record.at.rem_euclid(slot) + slot - 1;
            same("what is left in slots", kept::<BTreeMap<i64, Vec<u64>>>(report, &uid, "slots")?, Vec::new())?;
            if on_time {
                return same("slots", gathered(), grouped(records, |record| vec![(end(record), end(record))]));
            }
            each_once(records, gathered(), Vec::new(), |record, (_, from, _, _)| end(record) == *from)
        }
        End::Delayed { .. } => {
            let waiting = kept::<Vec<u64>>(report, &uid, "waiting")?.into_iter().flat_map(|(_, ids)| ids);
            each_once(records, gathered(), waiting.collect(), |_, _| true)
        }
        End::Windows(windows) if on_time => {
            same("late records", late(report, b, windows)?, Vec::new())?;
            let spans = |record: &Rec| windows_of(windows, record.at);
            same("windows", gathered(), grouped(records, spans))
        }
        End::Windows(windows) => judge_late(report, records, gathered(), windows, b),
        End::KeysOfWindows { size } => {
            let size = size as i64;
            let start = |record: &Rec| record.at - record.at.rem_euclid(size);
            let found = pairs();
            let windows: BTreeSet<(u64, i64)> = records.iter().map(|record| (record.key, start(record))).collect();
            let mut n: BTreeMap<u64, u64> = BTreeMap::new();
            windows.iter().for_each(|(_, start)| *n.entry(*start as u64).or_default() += 1);
            if on_time {
                return same("keys", found, n.iter().flat_map(|(start, n)| (1..=*n).map(|i| (*start, i))).collect());
            }
            // A window that is late altogether has no result; one that has one has it once.
            let mut counted: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            found.iter().for_each(|(start, i)| counted.entry(*start).or_default().push(*i));
            let right = |(start, found): (&u64, &mut Vec<u64>)| {
                found.sort();
                found.iter().copied().eq(1..=found.len() as u64) && found.len() as u64 <= n.get(start).copied().unwrap_or(0)
            };
            if counted.iter_mut().all(right) { Ok(()) } else { Err(format!("keys of windows: {found:?}, at most {n:?}")) }
        }
    }
}

/// Each record emits once, and the last that a key emits is what all its records come to.
fn running(found: Vec<(u64, u64)>, records: &[Rec], last: &BTreeMap<u64, u64>) -> Verdict {
    let keys = |pairs: &mut dyn Iterator<Item = u64>| pairs.collect::<Vec<u64>>();
    same("keys", keys(&mut found.iter().map(|(key, _)| *key)), keys(&mut records.iter().map(|record| record.key)))?;
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    found.iter().for_each(|(key, n)| *highest.entry(*key).or_default() = (*n).max(highest.get(key).copied().unwrap_or(0)));
    same("results", highest.into_iter().collect(), last.iter().map(|(key, n)| (*key, *n)).collect())
}

/// The state at the end.
fn accumulated<V: Ord + Debug + serde::de::DeserializeOwned>(report: &Report, uid: &str, wanted: Vec<(u64, V)>) -> Verdict {
    same("the state at the end", kept::<V>(report, uid, "accumulators")?, wanted)
}

fn kept<V: serde::de::DeserializeOwned>(report: &Report, uid: &str, state: &str) -> Result<Vec<(u64, V)>, String> {
    report.disk().heal();
    report.disk().keyed(report.job(), uid, state).map_err(|error| error.to_string())
}

/// The ids of all records of each key and span.
fn grouped(records: &[Rec], spans: impl Fn(&Rec) -> Vec<(i64, i64)>) -> Vec<Gathered> {
    let mut groups: BTreeMap<(u64, i64, i64), Vec<u64>> = BTreeMap::new();
    for record in records {
        spans(record).into_iter().for_each(|(from, to)| groups.entry((record.key, from, to)).or_default().push(record.id));
    }
    let sorted = |mut ids: Vec<u64>| {
        ids.sort();
        ids
    };
    groups.into_iter().map(|((key, from, to), ids)| (key, from, to, sorted(ids))).collect()
}

/// Every record is gathered exactly once, or waits: with its own key, and where it belongs.
fn each_once(records: &[Rec], found: Vec<Gathered>, waiting: Vec<u64>, belongs: impl Fn(&Rec, &Gathered) -> bool) -> Verdict {
    let by_id: BTreeMap<u64, &Rec> = records.iter().map(|record| (record.id, record)).collect();
    for group in &found {
        let wrong =
            group.3.iter().find(|id| !by_id.get(id).is_some_and(|record| record.key == group.0 && belongs(record, group)));
        if let Some(id) = wrong {
            return Err(format!("record {id} does not belong to {group:?}"));
        }
    }
    let ids = found.into_iter().flat_map(|(_, _, _, ids)| ids).chain(waiting);
    same("gathered records", ids.collect(), by_id.into_keys().collect())
}

/// The windows of a time, by rising end.
fn windows_of(windows: Windows, at: i64) -> Vec<(i64, i64)> {
    let (size, slide) = (windows.size as i64, windows.slide.unwrap_or(windows.size) as i64);
    let first = (at - size + 1..=at).filter(|start| start.rem_euclid(slide) == 0);
    first.map(|start| (start, start + size)).collect()
}

/// The records that came too late, where they are kept.
fn late(report: &Report, b: usize, windows: Windows) -> Result<Vec<Rec>, String> {
    if windows.aside {
        return Ok(report.sink::<Rec>(&format!("late-{}", uid(b))).committed());
    }
    match dropped(report, b)? {
        0 => Ok(Vec::new()),
        n => Err(format!("{n} records were dropped as late")),
    }
}

fn dropped(report: &Report, b: usize) -> Result<u64, String> {
    report.disk().heal();
    let counts = report.disk().list::<u64>(report.job(), &uid(b), "late_dropped").map_err(|error| error.to_string())?;
    Ok(counts.iter().sum())
}

/// Every record is in the final results of the last of its windows (at least one), or it is late: aside or counted.
fn judge_late(report: &Report, records: &[Rec], found: Vec<Gathered>, windows: Windows, b: usize) -> Verdict {
    let mut results: BTreeMap<(u64, i64, i64), Vec<Vec<u64>>> = BTreeMap::new();
    for (key, from, to, ids) in found {
        results.entry((key, from, to)).or_default().push(ids);
    }
    let mut last: BTreeMap<(u64, i64, i64), Vec<u64>> = BTreeMap::new();
    for (window, mut updates) in results {
        updates.sort_by_key(Vec::len);
        let grows = |two: &[Vec<u64>]| two[0].len() < two[1].len() && two[0].iter().all(|id| two[1].contains(id));
        if !updates.windows(2).all(grows) {
            return Err(format!("the results of {window:?} do not grow by what comes late: {updates:?}"));
        }
        last.insert(window, updates.pop().unwrap());
    }
    let mut in_windows: BTreeMap<u64, Vec<(u64, i64, i64)>> = BTreeMap::new();
    for (window, ids) in &last {
        ids.iter().for_each(|id| in_windows.entry(*id).or_default().push(*window));
    }
    let aside: Vec<Rec> = if windows.aside { late(report, b, windows)? } else { Vec::new() };
    let mut missing = Vec::new();
    for record in records {
        let mut own: Vec<(u64, i64, i64)> =
            windows_of(windows, record.at).iter().map(|(from, to)| (record.key, *from, *to)).collect();
        let found = in_windows.remove(&record.id).unwrap_or_default();
        if found.is_empty() && !own.is_empty() {
            missing.push(record.clone());
            continue;
        }
        own.drain(..own.len().saturating_sub(found.len()));
        same("the windows of a record", found, own)?;
    }
    same("records in windows that there are not", in_windows.into_keys().collect(), Vec::new())?;
    if windows.aside {
        return same("late records", aside, missing);
    }
    let dropped = dropped(report, b)?;
    if dropped == missing.len() as u64 {
        Ok(())
    } else {
        Err(format!("{dropped} records were counted as late, and {} are", missing.len()))
    }
}
