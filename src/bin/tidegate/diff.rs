//! `tidegate state diff`: what has changed from one checkpoint to another.

use std::io::Write;
use std::path::Path;

use tidegate::stored::{Change, Changed};

use super::failure::{Failure, Found};
use super::place::checkpoint;
use super::text::{Table, json, json_line};

/// Prints every entry that differs.
pub(super) fn run(before: &Path, after: &Path, as_json: bool, out: &mut dyn Write) -> Result<Found, Failure> {
    let (before, after) = (checkpoint(before)?, checkpoint(after)?);
    let differences = if as_json {
        before.diff(&after, |change| json_line(out, &change))?
    } else {
        let mut table = Table::new(out, ["", "OPERATOR", "STATE", "KEY", "BEFORE", "AFTER"]);
        let compared = before.diff(&after, |change| Ok::<_, Failure>(table.row(row(&change))?));
        table.finish()?;
        compared?
    };
    Ok(Found::any(differences > 0))
}

fn row(change: &Change) -> [String; 6] {
    let dash = || "-".to_owned();
    let (sign, before, after) = match &change.what {
        Changed::Added { after } => ("+", dash(), json(after)),
        Changed::Removed { before } => ("-", json(before), dash()),
        Changed::Changed { before, after } => ("~", json(before), json(after)),
    };
    let key = change.key.as_ref().map_or_else(dash, json);
    [sign.into(), change.operator.to_string(), change.state.clone(), key, before, after]
}
