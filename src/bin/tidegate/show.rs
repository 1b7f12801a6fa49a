//! `tidegate state show`: the entries of a checkpoint.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;
use tidegate::stored::{Entry, StoredCheckpoint, Wanted};

use super::failure::{Failure, Found};
use super::place::checkpoint;
use super::text::{Table, json, json_line};

/// What is shown, and how.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A checkpoint's directory; a job's stands for its latest checkpoint
    checkpoint: PathBuf,
    /// Only the operator with this uid
    #[arg(long, value_name = "UID")]
    operator: Option<String>,
    /// Only states with this name
    #[arg(long, value_name = "NAME")]
    state: Option<String>,
    /// Only entries with this key, as JSON; what is no JSON is a text
    #[arg(long, value_name = "JSON")]
    key: Option<String>,
    /// At most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print JSON lines, with whole values
    #[arg(long)]
    json: bool,
}

/// Prints the entries that are asked for.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Found, Failure> {
    let checkpoint = checkpoint(&args.checkpoint)?;
    let wanted = wanted(args, &checkpoint)?;
    let key = args.key.as_deref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into())));
    let is_asked_for = |entry: &Entry| match (&key, &entry.key) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(key), Some(found)) => serde_json::to_value(found).is_ok_and(|found| found == *key),
    };
    let entries = checkpoint.entries(&wanted).filter(|entry| entry.as_ref().map_or(true, is_asked_for));
    let entries = entries.take(args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    if args.json {
        for entry in entries {
            json_line(out, &entry?)?;
        }
        return Ok(Found::Nothing);
    }
    let mut table = Table::new(out, ["OPERATOR", "STATE", "KIND", "GROUP", "PART", "KEY", "VALUE"]);
    let mut read = Ok(());
    for entry in entries {
        match entry {
            Ok(entry) => table.row(row(&entry))?,
            Err(error) => read = Err(error.into()),
        }
    }
    table.finish()?;
    read.map(|()| Found::Nothing)
}

fn row(entry: &Entry) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        entry.operator.to_string(),
        entry.state.clone(),
        entry.kind.clone(),
        or_dash(entry.group.map(|group| group.to_string())),
        entry.part.to_string(),
        or_dash(entry.key.as_ref().map(json)),
        json(&entry.value),
    ]
}

/// Refuses an operator or a state that the checkpoint does not know: a typing error is no empty state.
fn wanted(args: &Args, checkpoint: &StoredCheckpoint) -> Result<Wanted, Failure> {
    let (mut wanted, mut operators) = (Wanted::everything(), checkpoint.operators());
    if let Some(uid) = &args.operator {
        let known = listed(operators.iter().map(|operator| operator.uid.as_str()));
        operators.retain(|operator| operator.uid.as_str() == uid);
        if operators.is_empty() {
            return Err(Failure::Asked(format!("checkpoint {} has no operator '{uid}'; it has {known}", checkpoint.id())));
        }
        wanted = wanted.operator(uid);
    }
    if let Some(name) = &args.state {
        let states = || operators.iter().flat_map(|operator| &operator.states).map(|state| state.name.as_str());
        if !states().any(|state| state == name) {
            let known = listed(states());
            return Err(Failure::Asked(format!("checkpoint {} has no state '{name}' there; it has {known}", checkpoint.id())));
        }
        wanted = wanted.state(name);
    }
    Ok(wanted)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    names.sort();
    names.dedup();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
