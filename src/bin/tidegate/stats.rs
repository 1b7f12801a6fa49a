//! `tidegate state stats`: how much state there is, and how it is spread.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use tidegate::stored::{Share, StateStats};

use super::failure::{Failure, Found};
use super::place::checkpoint;
use super::text::{Table, bytes, json_line};

/// The key groups that people are shown of each state.
const FULLEST: usize = 3;

/// Prints the statistics of a checkpoint.
pub(super) fn run(path: &Path, as_json: bool, out: &mut dyn Write) -> Result<Found, Failure> {
    let checkpoint = checkpoint(path)?;
    let stats = checkpoint.stats();
    if as_json {
        stats.iter().try_for_each(|stats| json_line(out, &line(stats)))?;
        return Ok(Found::Nothing);
    }
    let head = ["OPERATOR", "STATE", "KIND", "ENTRIES", "BYTES", "GROUPS", "SKEW", "INSTANCES", "SKEW", "FULLEST GROUPS"];
    let mut table = Table::new(out, head);
    stats.iter().try_for_each(|stats| table.row(row(stats)))?;
    table.finish()?;
    Ok(Found::Nothing)
}

fn row(stats: &StateStats) -> [String; 10] {
    let skew = |skew: Option<f64>| skew.map_or_else(|| "-".into(), |skew| format!("{skew:.2}"));
    let keyed = !stats.groups.is_empty();
    let fullest = stats.fullest(FULLEST).into_iter().map(|(group, share)| format!("{group} ({})", share.entries));
    let fullest = fullest.collect::<Vec<_>>().join(", ");
    [
        stats.operator.to_string(),
        stats.state.clone(),
        stats.kind.clone(),
        stats.total.entries.to_string(),
        bytes(stats.total.bytes),
        if keyed { format!("{} of {}", stats.groups.len(), stats.all_groups) } else { "-".into() },
        skew(stats.skew_of_groups()),
        format!("{} of {}", stats.parts.len(), stats.parallelism),
        skew(stats.skew_of_parts()),
        if keyed { fullest } else { "-".into() },
    ]
}

fn line(stats: &StateStats) -> Value {
    let share = |share: &Share| json!({"entries": share.entries, "bytes": share.bytes});
    let groups: BTreeMap<u16, Value> = stats.groups.iter().map(|(group, of)| (group.0, share(of))).collect();
    let parts: BTreeMap<u32, Value> = stats.parts.iter().map(|(part, of)| (*part, share(of))).collect();
    json!({
        "operator": stats.operator, "state": stats.state, "kind": stats.kind,
        "entries": stats.total.entries, "bytes": stats.total.bytes,
        "groups": groups, "all_groups": stats.all_groups, "skew_of_groups": stats.skew_of_groups(),
        "parts": parts, "parallelism": stats.parallelism, "skew_of_parts": stats.skew_of_parts(),
    })
}
