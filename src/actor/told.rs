//! What actors tell people who watch a job: texts for a timeline, made only where somebody watches.

use std::collections::BTreeMap;

use crate::codec::shown;
use crate::error::BoxError;
use crate::hook::Hooks;
use crate::ids::Uid;
use crate::operator::OperatorPart;
use crate::plan::Plan;
use crate::snapshot::RestoredOperator;
use crate::state::{Block, StateKind};

/// Characters of one state, and of all that a task holds, at most.
const STATE_CHARS: usize = 120;
const TASK_CHARS: usize = 400;

/// Says how a user knows the tasks of a plan: by the operators that have a name or state.
pub(super) fn name_tasks(plan: &Plan, hooks: &Hooks) {
    let Some(hook) = hooks.get() else { return };
    for task in plan.tasks() {
        let Some(chain) = plan.chain(task) else { continue };
        let known = |node: &&crate::plan::NodeId| plan.node(**node).is_some_and(|node| node.stateful || node.name.is_some());
        let nodes: Vec<_> = chain.nodes.iter().filter(known).collect();
        let shown = if nodes.is_empty() { chain.nodes.iter().take(1).collect() } else { nodes };
        let uids: Vec<&str> = shown.into_iter().filter_map(|node| plan.uid(*node)).map(Uid::as_str).collect();
        hook.named(task, format!("{}[{}]", uids.join("+"), task.index));
    }
}

/// What a task has put into a checkpoint.
pub(super) fn of_parts(uids: &[Uid], parts: &[OperatorPart]) -> String {
    let of = |uid: &Uid| {
        let views = parts.iter().filter(|part| part.uid == *uid).flat_map(|part| &part.views);
        let states = views.filter_map(|view| {
            let mut blocks = Vec::new();
            let mut keep = |block: &mut Block| -> Result<(), BoxError> {
                blocks.push(block.clone());
                Ok(())
            };
            view.write(&mut keep).ok()?;
            Some(state(&view.descriptor().name, view.descriptor().kind, &blocks))
        });
        (uid.clone(), states.flatten().collect())
    };
    told(uids.iter().map(of))
}

/// What a task has got from a checkpoint.
pub(super) fn of_restored(uids: &[Uid], kept: &BTreeMap<Uid, RestoredOperator>) -> String {
    let of = |uid: &Uid| {
        let states = kept.get(uid).into_iter().flat_map(|operator| &operator.states.states);
        (uid.clone(), states.filter_map(|(name, (of, kept))| state(name, of.kind, &kept.clone().into_blocks().ok()?)).collect())
    };
    told(uids.iter().map(of))
}

/// A state with its entries; none where it is empty.
fn state(name: &str, kind: StateKind, blocks: &[Block]) -> Option<String> {
    let objects: Vec<String> = blocks.iter().flat_map(|block| shown(&block.bytes)).collect();
    if objects.is_empty() {
        return None;
    }
    let text = match kind {
        StateKind::List | StateKind::UnionList => format!("{name} [{}]", objects.join(", ")),
        _ => format!("{name} {{{}}}", objects.chunks(2).map(|pair| pair.join(": ")).collect::<Vec<_>>().join(", ")),
    };
    Some(cut(text, STATE_CHARS))
}

/// What each operator holds. One without a name of its own that holds nothing is left out: most keep no state at all.
fn told(operators: impl Iterator<Item = (Uid, Vec<String>)>) -> String {
    let told = operators.filter_map(|(uid, states)| match (states.is_empty(), uid.as_str().contains('(')) {
        (true, true) => None,
        (true, false) => Some(format!("{uid}: no state")),
        (false, _) => Some(format!("{uid}: {}", states.join(", "))),
    });
    let told = told.collect::<Vec<_>>().join("; ");
    if told.is_empty() { "nothing to keep".into() } else { cut(told, TASK_CHARS) }
}

fn cut(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text,
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}
