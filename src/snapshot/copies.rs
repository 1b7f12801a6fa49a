//! Who gets what of states that are not divided: union lists, of which each instance gets those of all, and broadcast states, of which
//! each gets one copy.
//!
//! Always: files and views in memory are dealt out by the same two rules. Called by restoring tasks, on threads that may block.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoints::OperatorSnapshot;
use super::restore::{PartBlocks, RestoredOperator, Share, contiguous};
use crate::state::{Kept, StateDescriptor, StateKind, StateView, Union};

/// Those of `before` instances whose part of a union list counts as an instance's own: the one in its place where there are as many
/// as before, else contiguous shares.
fn own_parts(before: u32, share: Share) -> Range<usize> {
    let Range { start, end } = contiguous(u64::from(before), share);
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    index(start)..index(end)
}

/// The instance whose copy of a broadcast state another one gets, of those that have one: its own where there is one and the number of
/// instances is as before, else one of theirs in turn.
pub(super) fn copy_of(having: &BTreeSet<u32>, before: u32, share: Share) -> Option<u32> {
    if before == share.parallelism && having.contains(&share.index) {
        return Some(share.index);
    }
    let turn = (share.index as usize).checked_rem(having.len())?;
    having.iter().nth(turn).copied()
}

/// A union list that was read from files, with the instance that wrote each block.
pub(super) fn union_of_blocks(blocks: PartBlocks, before: u32, share: Share) -> Kept {
    let own = own_parts(before, share);
    let (mut ahead, mut mine, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for (part, block) in blocks {
        let to = match part as usize {
            part if part < own.start => &mut ahead,
            part if part < own.end => &mut mine,
            _ => &mut behind,
        };
        to.push(block);
    }
    Kept::Union(Box::new(Union { before: vec![ahead.into()], own: mine.into(), after: vec![behind.into()] }))
}

/// What an instance begins with where the views of all are still in memory; `instances` are in the order of their indices, and as many
/// as there are now. `None` where the instance has no place among them.
pub(crate) fn restored_from_views(instances: &[&OperatorSnapshot], index: u32) -> Option<RestoredOperator> {
    let mut restored = instances.get(index as usize)?.restored();
    let all = instances.iter().flat_map(|instance| &instance.views).map(|view| view.descriptor());
    let shared: Vec<StateDescriptor> =
        all.filter(|of| matches!(of.kind, StateKind::UnionList | StateKind::Broadcast)).cloned().collect();
    for descriptor in shared {
        let views: Vec<Option<&Arc<dyn StateView>>> = instances.iter().map(|instance| view_of(instance, &descriptor)).collect();
        let share = Share { index, parallelism: u32::try_from(instances.len()).unwrap_or(u32::MAX) };
        let kept = match descriptor.kind {
            StateKind::UnionList => union_of_views(&views, share),
            _ => copy_among(&views, share),
        };
        restored.states.states.insert(descriptor.name.clone(), (descriptor, kept));
    }
    Some(restored)
}

fn view_of<'a>(instance: &'a OperatorSnapshot, state: &StateDescriptor) -> Option<&'a Arc<dyn StateView>> {
    instance.views.iter().find(|view| view.descriptor() == state)
}

fn kept(view: Option<&Arc<dyn StateView>>) -> Kept {
    view.map_or(Kept::NOTHING, |view| Kept::View(Arc::clone(view)))
}

fn union_of_views(views: &[Option<&Arc<dyn StateView>>], share: Share) -> Kept {
    let at = share.index as usize;
    let those = |views: &[Option<&Arc<dyn StateView>>]| views.iter().map(|view| kept(*view)).collect();
    let (before, rest) = views.split_at(at.min(views.len()));
    let own = kept(rest.first().copied().flatten());
    Kept::Union(Box::new(Union { before: those(before), own, after: those(rest.get(1..).unwrap_or_default()) }))
}

fn copy_among(views: &[Option<&Arc<dyn StateView>>], share: Share) -> Kept {
    let having = |(index, view): (u32, &Option<&Arc<dyn StateView>>)| view.filter(|view| !view.is_empty()).map(|_| index);
    let having: BTreeSet<u32> = (0..).zip(views).filter_map(having).collect();
    let from = copy_of(&having, share.parallelism, share);
    kept(from.and_then(|from| views.get(from as usize).copied().flatten()))
}
