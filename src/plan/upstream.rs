//! What a task knows of its sources: whether the data of all of them has ended.
//!
//! Always: an instance counts as ended only where no record can ever come to it again. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::Plan;
use crate::ids::TaskId;

/// The tasks that a record may still come to, where these sources have not ended.
pub(crate) fn reached_from(plan: &Plan, sources: impl IntoIterator<Item = TaskId>) -> BTreeSet<TaskId> {
    let mut receivers: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
    for (from, _, to) in plan.streams() {
        for (sender, receiver) in plan.pairs(from, to) {
            receivers.entry(plan.task_of(from, sender)).or_default().push(plan.task_of(to.node, receiver));
        }
    }
    let mut reached = BTreeSet::new();
    let mut next: Vec<TaskId> = sources.into_iter().collect();
    while let Some(task) = next.pop() {
        if reached.insert(task) {
            next.extend(receivers.get(&task).into_iter().flatten());
        }
    }
    reached
}
