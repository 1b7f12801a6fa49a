//! Who gets which state back.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn counts() -> Uid {
    Uid::new("counts")
}

/// The numbers of a state, for each of the instances that restore it.
fn restored(job: &JobStore, manifest: &Manifest, state: &str, parallelism: u32) -> Vec<Vec<u64>> {
    let restore = |index| {
        let operator = job.load_operator(manifest, &counts(), Share { index, parallelism }).unwrap().unwrap();
        numbers(&operator.states.states[state].1.clone().into_blocks().unwrap())
    };
    (0..parallelism).map(restore).collect()
}

#[test]
fn c13_each_instance_gets_exactly_the_groups_that_it_owns() {
    let job = open(&MemoryStore::new());
    let groups = job.record().groups();
    for before in [1, 3, 4] {
        let tasks = (0..before).map(|index| vec![keyed("count", groups.range(index, before))]).collect();
        let manifest = prepare(&job, u64::from(before), tasks);
        for after in [1, 2, 3, 7, 128] {
            for (index, numbers) in restored(&job, &manifest, "count", after).into_iter().enumerate() {
                let owned = groups.range(index as u32, after).flat_map(|group| [u64::from(group), 7]);
                assert_eq!(numbers, owned.collect::<Vec<u64>>());
            }
        }
    }
}

#[test]
fn c12_a_parallelism_above_the_key_groups_is_refused() {
    let job = open(&MemoryStore::new());
    let manifest = complete(&job, 1);
    let error = job.load_operator(&manifest, &counts(), Share { index: 0, parallelism: 200 }).unwrap_err();
    assert!(matches!(error, Error::StateMismatch { .. }), "{error}");
}

#[test]
fn c14_items_of_a_list_are_dealt_out_in_order() {
    let job = open(&MemoryStore::new());
    let manifest = prepare(&job, 1, vec![vec![list("items", &[&[1]])], vec![list("items", &[&[2, 300]])]]);
    assert_eq!(restored(&job, &manifest, "items", 2), [vec![1], vec![2, 300]], "unchanged parallelism: each its own");
    assert_eq!(restored(&job, &manifest, "items", 3), [[1], [2], [300]]);
    assert_eq!(restored(&job, &manifest, "items", 1), [[1, 2, 300]]);
    assert_eq!(restored(&job, &manifest, "items", 5), [vec![1], vec![2], vec![300], vec![], vec![]]);
}

proptest! {
    #[test]
    fn c14_no_item_is_lost_or_there_twice(
        lists in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(any::<u64>(), 0..5), 0..4), 1..5),
        parallelism in 1..9u32,
    ) {
        let job = open(&MemoryStore::new());
        let views = |blocks: &Vec<Vec<u64>>| vec![list("items", &blocks.iter().map(Vec::as_slice).collect::<Vec<_>>())];
        let manifest = prepare(&job, 1, lists.iter().map(views).collect());
        let shares = restored(&job, &manifest, "items", parallelism);
        prop_assert_eq!(shares.concat(), lists.concat().concat());
        let sizes = shares.iter().map(Vec::len);
        if parallelism as usize != lists.len() {
            prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }
}

#[test]
fn c18_state_is_found_by_uid_wherever_the_operator_stands_in_the_plan() {
    let job = open(&MemoryStore::new());
    let moved = TaskSnapshot { task: TaskId { chain: 9, index: 0 }, ..snapshot(1, 0, vec![keyed("count", [4])]) };
    let entries = vec![job.write_snapshot(&moved).unwrap()];
    let manifest = Manifest::assemble(job.record(), note(1), entries).unwrap();
    assert_eq!(restored(&job, &manifest, "count", 1), [[4, 7]]);
}

#[test]
fn c19_state_whose_operator_is_gone_is_an_error_that_names_it() {
    let job = open(&MemoryStore::new());
    let manifest = complete(&job, 1);
    let flow = BTreeSet::from([Uid::new("renamed")]);
    let others = BTreeSet::from([Uid::new("others"), Uid::new("renamed")]);
    for may_be_lost in [BTreeSet::new(), others] {
        let error = manifest.check_operators(&flow, &may_be_lost).unwrap_err();
        assert!(matches!(error, Error::StateMismatch { .. }) && error.to_string().contains("'counts'"), "{error}");
        assert!(error.to_string().contains("allow_lost_state([\"counts\"])"), "{error}");
    }
    let counts = BTreeSet::from([counts()]);
    assert_eq!(manifest.check_operators(&flow, &counts).unwrap(), counts.iter().cloned().collect::<Vec<_>>());
    assert_eq!(manifest.check_operators(&counts, &counts).unwrap(), [], "nothing of what is there is lost");
}

#[test]
fn c19_an_operator_without_entries_may_be_gone() {
    let job = open(&MemoryStore::new());
    let manifest = prepare(&job, 1, vec![vec![keyed("count", 0..0)], vec![list("items", &[&[]])]]);
    assert_eq!(manifest.check_operators(&BTreeSet::new(), &BTreeSet::new()).unwrap(), []);
}

#[test]
fn c20_an_operator_that_is_new_starts_empty() {
    let job = open(&MemoryStore::new());
    let manifest = complete(&job, 1);
    let share = Share { index: 0, parallelism: 1 };
    assert!(job.load_operator(&manifest, &Uid::new("new"), share).unwrap().is_none());
    assert!(job.load_operator(&manifest, &counts(), share).unwrap().is_some());
}

#[test]
fn d13_what_is_restored_from_memory_has_the_watermark_and_the_end_that_it_had() {
    let tasks = [0, 1, 2].map(|index| snapshot(1, index, vec![keyed("count", 0..1)]));
    let instances = tasks.each_ref().map(|task| &task.operators[0]);
    let seen = |operator: RestoredOperator| (operator.ended, operator.watermark.millis());
    let restored = [0, 1, 2, 3].map(|index| crate::snapshot::restored_from_views(&instances, index).map(seen));
    assert_eq!(restored, [Some((false, 100)), Some((true, 101)), Some((false, 102)), None]);
}

#[test]
fn watermark_and_end_are_an_instances_own_unless_the_parallelism_changes() {
    let job = open(&MemoryStore::new());
    let manifest = prepare(&job, 1, vec![vec![], vec![]]);
    let restore = |index, parallelism| job.load_operator(&manifest, &counts(), Share { index, parallelism }).unwrap().unwrap();
    let seen = |operator: RestoredOperator| (operator.ended, operator.watermark.millis());
    assert_eq!(seen(restore(0, 2)), (false, 100));
    assert_eq!(seen(restore(1, 2)), (true, 101));
    assert_eq!(seen(restore(2, 3)), (false, 100));
}

#[test]
fn a_checkpoint_survives_a_restart_in_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(dir.path());
    let written = complete(&open(&store), 12);
    let job = open(&store);
    let manifest = job.latest().unwrap().unwrap();
    assert_eq!(manifest, written);
    assert_eq!(restored(&job, &manifest, "seen", 1), [[12]]);
    assert_eq!(restored(&job, &manifest, "count", 2), [vec![0, 7, 1, 7, 2, 7], vec![]]);
}
