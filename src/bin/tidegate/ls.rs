//! `tidegate state ls`: the jobs of a store, and the checkpoints and savepoints of each.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use tidegate::stored::{Condition, ListedCheckpoint, StoredJob};
use tidegate::{Clock, SystemClock, Uid};

use super::failure::{Failure, Found};
use super::place::Place;
use super::text::{Table, age, bytes, json_line};

/// Lists what lies in a directory.
pub(super) fn run(dir: &Path, as_json: bool, out: &mut dyn Write) -> Result<Found, Failure> {
    let place = Place::of(dir)?;
    if let Place::Checkpoint(..) = place {
        return Err(Failure::Asked(format!(
            "'{}' is a checkpoint: name its job's directory or the store's, or look into it with 'tidegate state show'",
            dir.display()
        )));
    }
    let jobs = place.jobs()?;
    if jobs.is_empty() {
        return Err(Failure::Asked(format!(
            "no job has kept anything in '{}': name the directory that the job has as its store",
            dir.display()
        )));
    }
    let now = SystemClock::new().wall().millis();
    if as_json {
        jobs.iter().try_for_each(|job| list_as_json(job, now, out))?;
    } else {
        list_as_text(&jobs, now, out)?;
    }
    let damaged =
        |job: &StoredJob| !job.faults.is_empty() || of(job).any(|found| matches!(found.condition, Condition::Damaged(_)));
    Ok(Found::any(jobs.iter().any(damaged)))
}

fn list_as_text(jobs: &[StoredJob], now: i64, out: &mut dyn Write) -> Result<(), Failure> {
    let mut table = Table::new(out, ["JOB", "CHECKPOINT", "KIND", "AGE", "SIZE", "ENTRIES", "CONDITION", "OPERATORS"]);
    for job in jobs {
        if of(job).next().is_none() {
            let dash = || "-".to_owned();
            table.row([job.name.clone(), dash(), dash(), dash(), dash(), dash(), "no checkpoint yet".into(), dash()])?;
        }
        for found in of(job) {
            table.row(row(job, found, now))?;
        }
    }
    table.finish()?;
    for job in jobs {
        let damage = of(job).filter_map(|found| match &found.condition {
            Condition::Damaged(error) => Some(error),
            _ => None,
        });
        for fault in job.faults.iter().chain(damage) {
            writeln!(out, "\n{fault}")?;
        }
    }
    Ok(())
}

/// What lies in a job's directory.
fn of(job: &StoredJob) -> impl Iterator<Item = &ListedCheckpoint> {
    job.checkpoints.iter().chain(&job.savepoints)
}

fn row(job: &StoredJob, found: &ListedCheckpoint, now: i64) -> [String; 8] {
    let (kind, since, entries, operators) = match &found.condition {
        Condition::Complete(summary) => {
            let operators = summary.operators.iter().map(Uid::as_str).collect::<Vec<_>>().join(", ");
            let since = age(now.saturating_sub(summary.created.millis()));
            (summary.kind.to_string(), since, summary.entries.to_string(), operators)
        }
        _ => ("-".into(), "-".into(), "-".into(), "-".into()),
    };
    let condition = match condition(found) {
        "complete" if job.finished == Some(found.id) => "complete, final",
        condition => condition,
    };
    let name = found.dir.rsplit('/').next().unwrap_or(&found.dir).to_owned();
    [job.name.clone(), name, kind, since, bytes(found.bytes), entries, condition.into(), operators]
}

fn condition(found: &ListedCheckpoint) -> &'static str {
    match found.condition {
        Condition::Complete(_) => "complete",
        Condition::Incomplete => "incomplete",
        Condition::Damaged(_) => "damaged",
        _ => "unknown",
    }
}

fn list_as_json(job: &StoredJob, now: i64, out: &mut dyn Write) -> Result<(), Failure> {
    let faults: Vec<String> = job.faults.iter().map(ToString::to_string).collect();
    let finished = job.finished.map(|id| id.0);
    json_line(
        out,
        &json!({"job": job.name, "checkpoints": job.checkpoints.len(), "savepoints": job.savepoints.len(), "finished": finished, "faults": faults}),
    )?;
    for found in of(job) {
        let mut line = json!({
            "job": job.name, "checkpoint": found.id.0, "dir": found.dir, "bytes": found.bytes, "condition": condition(found),
        });
        match &found.condition {
            Condition::Complete(summary) => {
                add(&mut line, "kind", json!(summary.kind.to_string()));
                add(&mut line, "created_ms", json!(summary.created.millis()));
                add(&mut line, "age_ms", json!(now.saturating_sub(summary.created.millis())));
                add(&mut line, "epoch", json!(summary.epoch));
                add(&mut line, "entries", json!(summary.entries));
                add(&mut line, "operators", json!(summary.operators));
            }
            Condition::Damaged(error) => add(&mut line, "fault", json!(error.to_string())),
            _ => {}
        }
        json_line(out, &line)?;
    }
    Ok(())
}

fn add(line: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = line {
        fields.insert(name.into(), value);
    }
}
