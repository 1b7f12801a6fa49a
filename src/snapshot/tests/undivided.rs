//! Who gets which of the states that are not divided: union lists, broadcast states. From files and from views alike.

use super::*;
use crate::state::{Kept, Union};

fn undivided(kind: StateKind, parts: &[Option<&[u64]>]) -> Vec<Vec<Arc<dyn StateView>>> {
    let part = |numbers: &Option<&[u64]>| {
        let block = |numbers: &&[u64]| {
            let each = if kind == StateKind::Broadcast { 2 } else { 1 };
            Block { group: None, entries: numbers.len() as u64 / each, bytes: objects(numbers) }
        };
        let blocks: Vec<Block> = numbers.iter().map(block).filter(|block| block.entries > 0).collect();
        numbers.iter().map(|_| view("state", kind, blocks.clone())).collect()
    };
    parts.iter().map(part).collect()
}

fn in_files(kind: StateKind, parts: &[Option<&[u64]>], parallelism: u32) -> Vec<Kept> {
    let job = open(&MemoryStore::new());
    let manifest = prepare(&job, 1, undivided(kind, parts));
    let kept = |index| {
        let operator = job.load_operator(&manifest, &Uid::new("counts"), Share { index, parallelism }).unwrap().unwrap();
        operator.states.states["state"].1.clone()
    };
    (0..parallelism).map(kept).collect()
}

fn in_memory(kind: StateKind, parts: &[Option<&[u64]>]) -> Vec<Kept> {
    let instances: Vec<TaskSnapshot> =
        (0..).zip(undivided(kind, parts)).map(|(index, views)| snapshot(1, index, views)).collect();
    let instances: Vec<&OperatorSnapshot> = instances.iter().map(|task| &task.operators[0]).collect();
    let kept = |index| restored_from_views(&instances, index).unwrap().states.states["state"].1.clone();
    (0..parts.len() as u32).map(kept).collect()
}

fn read(kept: Kept) -> Vec<u64> {
    numbers(&kept.into_blocks().unwrap())
}

/// What an instance goes on with of a union list, if it does not read it.
fn own(kept: Kept) -> Vec<u64> {
    let Kept::Union(union) = kept else { panic!("no union list: {kept:?}") };
    let Union { own, .. } = *union;
    read(own)
}

#[test]
fn c15_each_instance_gets_the_items_of_all_at_any_parallelism() {
    let parts: [Option<&[u64]>; 3] = [Some(&[1, 2]), None, Some(&[3])];
    for parallelism in 1..6 {
        let all = in_files(StateKind::UnionList, &parts, parallelism);
        assert!(all.iter().all(|kept| read(kept.clone()) == [1, 2, 3]), "{parallelism}");
        let own: Vec<u64> = all.into_iter().flat_map(own).collect();
        assert_eq!(own, [1, 2, 3], "each item is some instance's own, and no item that of two");
    }
    for (mine, kept) in [&[1, 2][..], &[], &[3]].iter().zip(in_memory(StateKind::UnionList, &parts)) {
        assert_eq!((read(kept.clone()), &*own(kept)), (vec![1, 2, 3], *mine));
    }
    let same = in_files(StateKind::UnionList, &parts, 3);
    assert_eq!(same.into_iter().map(own).collect::<Vec<_>>(), [vec![1, 2], vec![], vec![3]]);
}

#[test]
fn c16_each_instance_gets_one_copy_at_any_parallelism() {
    let parts: [Option<&[u64]>; 2] = [Some(&[1, 10, 2, 20]), Some(&[1, 10, 2, 20])];
    for parallelism in 1..6 {
        for kept in in_files(StateKind::Broadcast, &parts, parallelism) {
            assert_eq!(read(kept), [1, 10, 2, 20], "{parallelism}");
        }
    }
    assert!(in_memory(StateKind::Broadcast, &parts).into_iter().all(|kept| read(kept) == [1, 10, 2, 20]));
}

#[test]
fn c16_an_instance_without_a_copy_gets_that_of_another() {
    let parts: [Option<&[u64]>; 4] = [None, Some(&[1, 10]), Some(&[]), Some(&[1, 11])];
    let copies = [vec![1, 10], vec![1, 10], vec![1, 10], vec![1, 11]];
    let same = |kept: Vec<Kept>| kept.into_iter().map(read).collect::<Vec<_>>();
    assert_eq!(same(in_files(StateKind::Broadcast, &parts, 4)), copies, "its own where there is one, else one of theirs in turn");
    assert_eq!(same(in_memory(StateKind::Broadcast, &parts)), copies, "from memory as from files");
    assert_eq!(same(in_files(StateKind::Broadcast, &parts, 1)), [vec![1, 10]]);
    assert_eq!(same(in_files(StateKind::Broadcast, &parts, 3)), [vec![1, 10], vec![1, 11], vec![1, 10]]);
}

#[test]
fn c16_a_state_that_is_empty_everywhere_is_empty() {
    let parts: [Option<&[u64]>; 2] = [Some(&[]), None];
    assert!(in_files(StateKind::Broadcast, &parts, 3).into_iter().all(|kept| read(kept).is_empty()));
    assert!(in_memory(StateKind::Broadcast, &parts).into_iter().all(|kept| read(kept).is_empty()));
}
