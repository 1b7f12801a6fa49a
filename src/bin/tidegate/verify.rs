//! `tidegate state verify`: whether what lies there is whole.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use tidegate::stored::{Condition, ListedCheckpoint, StoredCheckpoint, StoredJob};
use tidegate::{CheckpointId, Error, Store};

use super::failure::{Failure, Found};
use super::place::Place;
use super::text::{bytes, json_line};

/// Checks all that lies in a directory; damage is told, and the search goes on.
pub(super) fn run(dir: &Path, as_json: bool, out: &mut dyn Write) -> Result<Found, Failure> {
    let place = Place::of(dir)?;
    let mut report = Report { out, as_json, found: Found::Nothing };
    if let Place::Checkpoint(store, dir) = &place {
        report.checkpoint(store, dir)?;
        return Ok(report.found);
    }
    let jobs = place.jobs()?;
    if jobs.is_empty() {
        return Err(Failure::Asked(format!(
            "no job has kept anything in '{}': name the directory that the job has as its store",
            dir.display()
        )));
    }
    jobs.iter().try_for_each(|job| report.job(place.store(), job))?;
    Ok(report.found)
}

/// Whether a job no longer has a checkpoint that it had.
fn is_gone(store: &Store, job: &StoredJob, id: CheckpointId) -> Result<bool, Failure> {
    let now = tidegate::stored::job(store, &job.name)?;
    let complete = |found: &ListedCheckpoint| found.id == id && !matches!(found.condition, Condition::Incomplete);
    Ok(!now.is_some_and(|job| job.checkpoints.iter().any(complete)))
}

struct Report<'a> {
    out: &'a mut dyn Write,
    as_json: bool,
    found: Found,
}

impl Report<'_> {
    fn job(&mut self, store: &Store, job: &StoredJob) -> Result<(), Failure> {
        job.faults.iter().try_for_each(|fault| self.fault(&job.name, fault))?;
        for found in &job.checkpoints {
            match found.condition {
                Condition::Incomplete => self.line(&found.dir, "incomplete: no checkpoint, or none yet; no damage", None)?,
                _ => match self.checkpoint(store, &found.dir) {
                    Err(Failure::State(_)) if is_gone(store, job, found.id)? => {
                        self.line(&found.dir, "gone: its job has deleted it while it was read", None)?;
                    }
                    done => done?,
                },
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, store: &Store, dir: &str) -> Result<(), Failure> {
        let verified = match StoredCheckpoint::open(store, dir) {
            Ok(checkpoint) => checkpoint.verify(),
            Err(error @ (Error::Corrupt { .. } | Error::StateMismatch { .. })) => return self.fault(dir, &error),
            Err(error) => return Err(error.into()),
        };
        // What could not be read is not known to be damaged.
        if let Some(unread) = verified.faults.iter().find(|fault| matches!(fault, Error::Store { .. })) {
            return Err(unread.clone().into());
        }
        for fault in &verified.faults {
            self.fault(dir, fault)?;
        }
        if verified.faults.is_empty() {
            let (files, sections, entries) = (verified.files, verified.sections, verified.entries);
            let text = format!("whole: {entries} entries in {sections} sections of {files} files, {}", bytes(verified.bytes));
            self.line(dir, &text, Some(entries))?;
        }
        Ok(())
    }

    fn fault(&mut self, place: &str, fault: &Error) -> Result<(), Failure> {
        self.found = Found::Something;
        if self.as_json {
            json_line(self.out, &json!({"place": place, "whole": false, "fault": fault.to_string()}))
        } else {
            Ok(writeln!(self.out, "{place}  {fault}")?)
        }
    }

    fn line(&mut self, place: &str, text: &str, entries: Option<u64>) -> Result<(), Failure> {
        if self.as_json {
            json_line(self.out, &json!({"place": place, "whole": entries.is_some(), "entries": entries}))
        } else {
            Ok(writeln!(self.out, "{place}  {text}")?)
        }
    }
}
