//! What must be the same however a job is interrupted, and whether it is.
//!
//! Always: what is compared was found not to depend on the order in which a job's tasks run: several runs without faults, in
//! different orders, have it in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::disk::DiskState;
use super::kit::Rows;
use super::simulate::Report;
use super::simulation::End;
use crate::state::{StateDescriptor, StateKind};

/// Rows that are shown of each kind.
const SHOWN: usize = 6;
/// Lists that the engine keeps for itself, and that depend on the order of things.
const OF_THE_ENGINE: &[&str] = &["handles", "records", "splits", "skipped", "late_dropped"];

/// What every run must come to.
#[derive(Debug)]
pub(super) struct Expected {
    output: BTreeMap<String, Rows>,
    state: DiskState,
}

impl Expected {
    /// What runs without faults have in common.
    ///
    /// # Errors
    /// Where one of them fails, or two differ in what they put out.
    pub(super) fn of(runs: &[Report]) -> Result<Self, String> {
        let mut expected: Option<Expected> = None;
        for run in runs {
            if let Some(problem) = unfinished(run) {
                return Err(format!("without any fault, {problem}"));
            }
            let found = Expected { output: run.seen.last().cloned().unwrap_or_default(), state: user_state(run)? };
            match &mut expected {
                None => expected = Some(found),
                Some(expected) => expected.narrow(&found)?,
            }
        }
        let expected = expected.ok_or("there was no run without faults")?;
        if expected.output.is_empty() {
            return Err("nothing of the job's output is compared: give it a sink of the kit, or say with Kit::shows what \
                        your own sink shows"
                .into());
        }
        Ok(expected)
    }

    /// Takes more runs without faults into account.
    ///
    /// # Errors
    /// Where one of them fails, or differs in what it puts out.
    pub(super) fn refine(&mut self, runs: &[Report]) -> Result<(), String> {
        self.narrow(&Expected::of(runs)?)
    }

    fn narrow(&mut self, found: &Expected) -> Result<(), String> {
        for (name, rows) in &self.output {
            let other = found.output.get(name).map_or(&[][..], Vec::as_slice);
            if let Some(difference) = difference(rows, other) {
                return Err(format!(
                    "without any fault, '{name}' shows other records when tasks run in another order:\n{difference}\
                     compare what does not depend on the order, with Kit::sink_as, or look for what is not deterministic"
                ));
            }
        }
        self.state.retain(|state, entries| found.state.get(state) == Some(entries));
        Ok(())
    }

    /// What is wrong with a run, if anything is.
    pub(super) fn judge(&self, run: &Report) -> Option<String> {
        for (process, seen) in (1..).zip(&run.seen) {
            for name in run.kit.growing() {
                if let Some(problem) = self.too_early(&name, process, seen) {
                    return Some(problem);
                }
            }
        }
        if let Some(violation) = run.violations().first() {
            return Some(format!("a sink was told what it must never be told: {violation}\n"));
        }
        if let Some(problem) = unfinished(run) {
            return Some(problem);
        }
        let seen = run.seen.last()?;
        for (name, rows) in &self.output {
            let found = seen.get(name).map_or(&[][..], Vec::as_slice);
            if let Some(difference) = difference(rows, found) {
                return Some(format!("'{name}' does not show what it shows without faults:\n{difference}"));
            }
        }
        self.judge_state(run)
    }

    fn too_early(&self, name: &str, process: usize, seen: &BTreeMap<String, Rows>) -> Option<String> {
        let (wanted, found) = (self.output.get(name)?, seen.get(name)?);
        let (_, more) = apart(wanted, found);
        if more.is_empty() {
            return None;
        }
        let shown = listed("  too many: ", &more);
        Some(format!("'{name}' shows, at the end of process {process}, what is not there without faults:\n{shown}"))
    }

    fn judge_state(&self, run: &Report) -> Option<String> {
        let state = match user_state(run) {
            Ok(state) => state,
            Err(problem) => return Some(problem),
        };
        let differs = |((operator, name), entries): (&(String, String), &BTreeSet<Vec<u8>>)| {
            let found = state.get(&(operator.clone(), name.clone()));
            (found != Some(entries)).then(|| {
                let n = found.map_or(0, BTreeSet::len);
                format!(
                    "the state '{name}' of '{operator}' at the end is not what it is without faults: {n} entries, {} there\n",
                    entries.len()
                )
            })
        };
        self.state.iter().find_map(differs)
    }
}

/// Why a job has not come to its end.
fn unfinished(run: &Report) -> Option<String> {
    match run.runs.last().map(|run| &run.end) {
        Some(End::Finished(_)) => None,
        Some(End::Hung(text)) => Some(format!("the job hangs: {text}\n")),
        Some(End::Broken(text)) => Some(format!("what always holds does not: {text}\n")),
        Some(End::Failed(error)) => {
            Some(format!("the job does not finish, in {} processes; the last one: {error}\n", run.runs.len()))
        }
        end => Some(format!("the job does not finish, in {} processes; the last one: {end:?}\n", run.runs.len())),
    }
}

fn user_state(run: &Report) -> Result<DiskState, String> {
    let wanted = |state: &StateDescriptor| state.kind != StateKind::List || !OF_THE_ENGINE.contains(&state.name.as_str());
    run.state_where(wanted).map_err(|error| format!("the last checkpoint cannot be read: {error}\n"))
}

/// What is in the first and not in the second, and the other way around; both sorted.
fn apart(wanted: &[String], found: &[String]) -> (Rows, Rows) {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    wanted.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    found.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    let side = |sign: i64| {
        let of_side = counts.iter().filter(move |(_, n)| **n * sign > 0);
        of_side.map(|(row, n)| if n.abs() > 1 { format!("{row} ×{}", n.abs()) } else { (*row).clone() }).collect()
    };
    (side(1), side(-1))
}

/// How what was found differs from what was wanted.
fn difference(wanted: &[String], found: &[String]) -> Option<String> {
    let (fewer, more) = apart(wanted, found);
    (!fewer.is_empty() || !more.is_empty()).then(|| listed("  missing:  ", &fewer) + &listed("  too many: ", &more))
}

fn listed(what: &str, rows: &[String]) -> String {
    let mut text = String::new();
    for row in rows.iter().take(SHOWN) {
        let _infallible = writeln!(text, "{what}{row}");
    }
    if rows.len() > SHOWN {
        let _infallible = writeln!(text, "{what}… and {} more", rows.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;
    use crate::testing::{FaultPlan, Kit, Scripted, simulate};
    use crate::{Context, Job, KeyedOperator, OpenContext, ValueState};

    /// A user's state that has the name of one of the engine's.
    struct Last(ValueState<u64>);

    impl KeyedOperator for Last {
        type Key = u64;
        type In = u64;
        type Out = u64;

        fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
            ctx.state.set(self.0, n);
            ctx.out.emit(n);
            Ok(())
        }
    }

    fn last(kit: &Kit) -> Job {
        let job = Job::new("last");
        let numbers = job.source("numbers", Scripted::new([vec![1u64, 2, 3]])).key_by(|n| n % 2);
        numbers.process("last", |ctx: &mut OpenContext<'_, u64>| Ok(Last(ctx.value("records")?))).sink("out", kit.sink("out"));
        job
    }

    #[test]
    fn a_users_state_is_judged_whatever_its_name() {
        let report = simulate(last, 1, &FaultPlan::default());
        let judged: Vec<_> = user_state(&report).unwrap().into_keys().collect();
        let of_last = |name: &str| ("last".to_owned(), name.to_owned());
        assert_eq!(judged, [of_last("records"), of_last("timers")], "and none of the lists that the engine keeps");
    }

    fn rows(text: &str) -> Rows {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn rows_are_compared_as_often_as_they_are_there() {
        assert_eq!(difference(&rows("a b b"), &rows("b a b")), None);
        assert_eq!(apart(&rows("a b b c"), &rows("b c c c")), (rows("a b"), vec!["c ×2".to_owned()]));
        let text = difference(&rows("1 2 3 4 5 6 7 8"), &[]).unwrap();
        assert!(text.starts_with("  missing:  1\n") && text.ends_with("… and 2 more\n"), "{text}");
    }
}
