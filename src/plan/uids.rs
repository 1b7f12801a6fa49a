//! Uids: given by the user, else the name of a source or sink, else derived from the structure.
//!
//! A derived uid is made of what the operator does, the uids of the nearest named or stateful operators before it, and a number
//! among those alike. Stateless operators are skipped, so that adding one changes no uid behind it; any other change of the
//! topology may, and with it the state that the uid finds.

use std::collections::BTreeMap;

use super::flow::{Flow, Node, NodeId};
use crate::error::{Error, Result};
use crate::ids::Uid;

/// The uid of every node, in their order.
///
/// # Errors
/// Where two are equal.
pub(super) fn uids(flow: &Flow) -> Result<Vec<Uid>> {
    let mut uids: Vec<Uid> = Vec::new();
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    for node in &flow.nodes {
        let text = match node.uid.clone().or_else(|| node.name.clone()) {
            Some(given) => given,
            None => {
                let derived = derive(flow, &uids, node);
                let n = alike.entry(derived.clone()).or_default();
                *n += 1;
                if *n == 1 { derived } else { format!("{derived}#{n}") }
            }
        };
        refuse_twice(flow, &uids, node, &text)?;
        uids.push(Uid::new(text));
    }
    Ok(uids)
}

fn refuse_twice(flow: &Flow, uids: &[Uid], node: &Node, text: &str) -> Result<()> {
    let Some(first) = uids.iter().position(|uid| uid.as_str() == text) else { return Ok(()) };
    let first = flow.nodes.get(first).map_or("?", |first| first.verb);
    Err(Error::InvalidFlow {
        problem: format!("two operators ({first} and {}) have the uid '{text}'", node.verb),
        advice: "give one of them another with .uid(…), or another name".into(),
    })
}

fn derive(flow: &Flow, uids: &[Uid], node: &Node) -> String {
    let mut roots = Vec::new();
    for input in &node.inputs {
        collect_roots(flow, uids, input.from, &mut roots);
    }
    format!("{}({})", node.verb, roots.join("+"))
}

/// The uids of the nearest operators, here or upstream, that have a name of their own or keep state.
fn collect_roots(flow: &Flow, uids: &[Uid], id: NodeId, roots: &mut Vec<String>) {
    let Some(node) = flow.node(id) else { return };
    if node.stateful || node.name.is_some() || node.uid.is_some() {
        roots.extend(uids.get(id.0).map(Uid::to_string));
        return;
    }
    for input in &node.inputs {
        collect_roots(flow, uids, input.from, roots);
    }
}
