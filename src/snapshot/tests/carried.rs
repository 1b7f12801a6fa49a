//! Files of older checkpoints that a newer one names.

use std::collections::BTreeSet;

use super::*;

/// Checkpoint `id`, complete, which holds of `counts` what the one before it does.
fn carry(job: &JobStore, id: u64, base: &Manifest) -> Manifest {
    let mut manifest = prepare(job, id, Vec::new());
    manifest.carry(base, &BTreeSet::from([Uid::new("counts")]));
    job.write_manifest(&manifest).unwrap();
    manifest
}

fn snapshots(store: &MemoryStore, id: u64) -> usize {
    let names = store.list(&format!("job/chk-{id}")).unwrap();
    names.iter().filter(|name| name.ends_with(".snap")).count()
}

fn restored(job: &JobStore) -> Vec<u64> {
    let latest = job.latest().unwrap().unwrap();
    let restored = job.load_operator(&latest, &Uid::new("counts"), Share { index: 0, parallelism: 1 }).unwrap().unwrap();
    numbers(&restored.states.states["count"].1.clone().into_blocks().unwrap())
}

fn delete(job: &JobStore, id: u64) {
    job.delete_checkpoint(CheckpointId(id)).unwrap();
}

#[test]
fn a28_a_file_lives_as_long_as_a_manifest_names_it() {
    let store = MemoryStore::new();
    let job = open(&store);
    let first = complete(&job, 1);
    let fifth = carry(&job, 5, &first);
    delete(&job, 1);
    let ninth = carry(&job, 9, &fifth);
    delete(&job, 5);
    assert_eq!(job.list().unwrap(), [CheckpointId(9)]);
    assert!(ninth.files.iter().all(|file| file.checkpoint == Some(CheckpointId(1))), "a chain leads to the file itself");
    assert_eq!((snapshots(&store, 1), restored(&job)), (1, vec![0, 7, 1, 7, 2, 7]));
    complete(&job, 10);
    assert_eq!(snapshots(&store, 1), 1, "9 is kept still");
    delete(&job, 9);
    assert_eq!((snapshots(&store, 1), latest_id(&job)), (0, Some(10)));
}

#[test]
fn a28_a_start_after_an_interrupted_deletion_keeps_what_is_named_and_removes_the_rest() {
    let store = MemoryStore::new();
    let job = open(&store);
    let first = complete(&job, 1);
    carry(&job, 2, &first);
    complete(&job, 3);
    // The process died between the manifests and the files of two deletions.
    store.delete("job/chk-1/manifest").unwrap();
    store.delete("job/chk-3/manifest").unwrap();
    job.head.change(|head| head.latest = Some(CheckpointId(2))).unwrap();
    job.clean_incomplete(CheckpointId(9)).unwrap();
    assert_eq!((snapshots(&store, 1), snapshots(&store, 3)), (1, 0));
    assert_eq!(restored(&job), [0, 7, 1, 7, 2, 7]);
}

#[test]
fn a28_settling_what_a_process_has_left_keeps_what_is_named() {
    let store = MemoryStore::new();
    let job = open(&store);
    let first = complete(&job, 1);
    carry(&job, 5, &first);
    delete(&job, 1);
    prepare(&job, 6, vec![vec![keyed("count", 0..3)]]);
    assert_eq!(job.settle_all().unwrap(), Some(CheckpointId(5)));
    assert_eq!((snapshots(&store, 1), snapshots(&store, 6)), (1, 0));
    assert_eq!(restored(&job), [0, 7, 1, 7, 2, 7]);
}

#[test]
fn a9_an_ack_that_comes_again_takes_no_file_from_a_checkpoint_that_names_it() {
    let store = MemoryStore::new();
    let job = open(&store);
    let entry = job.write_snapshot(&snapshot(1, 0, vec![keyed("count", 0..3)])).unwrap();
    let first = Manifest::assemble(job.record(), note(1), vec![entry.clone()]).unwrap();
    job.write_manifest(&first).unwrap();
    carry(&job, 5, &first);
    delete(&job, 1);
    job.discard(&entry).unwrap();
    assert_eq!(restored(&job), [0, 7, 1, 7, 2, 7]);
    complete(&job, 9);
    delete(&job, 5);
    assert_eq!(snapshots(&store, 1), 0);
}

#[test]
fn a28_no_file_is_deleted_whose_manifest_may_still_appear() {
    let store = MemoryStore::new();
    let job = open(&store);
    (1..=2).for_each(|id| drop(complete(&job, id)));
    let in_doubt = prepare(&job, 3, vec![vec![keyed("count", 0..3)]]);
    complete(&job, 4);
    delete(&job, 1);
    assert_eq!(snapshots(&store, 3), 1, "2 is complete, so 3 may be");
    job.write_manifest(&in_doubt).unwrap();
    assert!(job.checkpoint(CheckpointId(3)).is_ok());
}

#[test]
fn a28_while_a_manifest_is_damaged_no_file_is_deleted_and_a_start_succeeds() {
    let store = MemoryStore::new();
    let job = open(&store);
    let first = complete(&job, 1);
    carry(&job, 2, &first);
    complete(&job, 3);
    store.damage("job/chk-2/manifest", |bytes| bytes[9] ^= 1);
    let job = restarted_without_memory(&store, job);
    delete(&job, 1);
    assert_eq!(snapshots(&store, 1), 1, "nobody knows what 2 names");
    job.clean_incomplete(CheckpointId(9)).unwrap();
    assert_eq!((snapshots(&store, 1), latest_id(&job)), (1, Some(3)));
    delete(&job, 2);
    assert_eq!(snapshots(&store, 1), 0);
}

/// The store as the next process opens it, which has read no manifest yet.
fn restarted_without_memory(store: &MemoryStore, job: JobStore) -> JobStore {
    drop(job);
    open(store)
}

#[test]
fn a_carried_file_that_is_not_the_one_that_was_meant_is_an_error() {
    let store = MemoryStore::new();
    let job = open(&store);
    let first = complete(&job, 1);
    carry(&job, 2, &first);
    store.delete("job/chk-1/task-2.0-attempt-1.0.snap").unwrap();
    assert!(job.latest().unwrap_err().to_string().contains("chk-1"), "it says where the file should be");
}
