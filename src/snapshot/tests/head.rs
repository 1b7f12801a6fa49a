//! The head: who runs the job, and which checkpoint is the latest.

use super::*;

/// A process start that goes on from the latest checkpoint.
fn start(store: &MemoryStore) -> JobStore {
    let job = open(store);
    let latest = job.latest_for_good().unwrap().map(|latest| latest.id());
    job.begin_epoch(latest).unwrap();
    job
}

/// A process start beside one that still runs: its lock was lost, as that of a store may be whose locks end by themselves.
fn start_beside(store: &MemoryStore) -> JobStore {
    let files = store.files();
    // Locks are not among the files of a store in memory: a crash that changes no file lets them go.
    store.crash();
    assert_eq!(store.files(), files);
    start(store)
}

fn of_epoch(job: &JobStore, id: u64, epoch: u64) -> Manifest {
    let manifest = prepare(job, id, vec![vec![keyed("count", 0..3)]]);
    Manifest { note: CheckpointNote { epoch, ..manifest.note }, ..manifest }
}

#[test]
fn a5_a_latest_checkpoint_that_is_gone_is_an_error_that_names_the_usable_older_ones() {
    let store = MemoryStore::new();
    let job = start(&store);
    (1..=3).for_each(|id| drop(complete(&job, id)));
    drop(job);
    store.delete("job/chk-3/manifest").unwrap();
    let error = open(&store).latest().unwrap_err();
    let Error::Corrupt { path, usable, .. } = &error else { panic!("{error}") };
    assert!(path.ends_with("job/chk-3/manifest") && error.to_string().contains("is missing"), "{error}");
    assert_eq!(*usable, [CheckpointId(2), CheckpointId(1)]);
    store.delete_all("job/chk-3").unwrap();
    assert!(matches!(open(&store).latest(), Err(Error::Corrupt { .. })), "without its directory as well");
}

#[test]
fn a6_a_checkpoint_that_is_deleted_on_purpose_is_missed_by_nobody() {
    let store = MemoryStore::new();
    let job = start(&store);
    (1..=2).for_each(|id| drop(complete(&job, id)));
    job.delete_checkpoint(CheckpointId(2)).unwrap();
    assert_eq!(latest_id(&job), Some(1));
    job.delete_checkpoint(CheckpointId(1)).unwrap();
    drop(job);
    assert_eq!(latest_id(&open(&store)), None);
}

#[test]
fn a3_a_manifest_that_the_head_does_not_name_counts_if_the_last_process_start_wrote_it() {
    for fault in [Fault::Before, Fault::Unsynced, Fault::After] {
        let store = MemoryStore::new();
        let job = start(&store);
        complete(&job, 1);
        let second = of_epoch(&job, 2, 1);
        store.on_call(move |call| (call.kind == CallKind::Rename && call.path.ends_with("head")).then_some(fault));
        let error = job.write_manifest(&second).unwrap_err();
        assert!(matches!(error, Error::Store { maybe_done: true, .. }), "its manifest is there: {error}");
        store.heal();
        assert!(job.settle(CheckpointId(2)).unwrap(), "in the same process");
        assert_eq!(latest_id(&job), Some(2));
        drop(job);
        store.crash();
        assert_eq!(latest_id(&start(&store)), Some(2), "in the next");
    }
}

#[test]
fn a8_a_process_that_was_taken_over_completes_no_checkpoint_and_takes_no_id() {
    let store = MemoryStore::new();
    let zombie = start(&store);
    assert_eq!(zombie.reserve_ids().unwrap().start, 1);
    complete(&zombie, 1);
    let late = of_epoch(&zombie, 2, 1);
    let job = start_beside(&store);
    assert!(matches!(zombie.write_manifest(&late), Err(Error::Fenced { .. })));
    assert!(matches!(zombie.reserve_ids(), Err(Error::Fenced { .. })));
    assert!(matches!(zombie.begin_epoch(None), Err(Error::Fenced { .. })));
    assert_eq!(latest_id(&job), Some(1));
    assert!(job.reserve_ids().unwrap().start > 1000);
    job.write_manifest(&of_epoch(&job, 1002, 2)).unwrap();
    assert_eq!(latest_id(&job), Some(1002));
}

#[test]
fn a8_a_manifest_that_a_process_wrote_after_it_was_taken_over_is_no_checkpoint() {
    let store = MemoryStore::new();
    let zombie = start(&store);
    complete(&zombie, 1);
    let late = of_epoch(&zombie, 2, 1);
    let job = start_beside(&store);
    // It dies between its manifest and the head.
    store.on_call(|call| (call.path.ends_with("head")).then_some(Fault::Before));
    assert!(matches!(zombie.write_manifest(&late), Err(Error::Store { maybe_done: true, .. })));
    store.heal();
    assert!(store.files().contains(&"job/chk-2/manifest".to_owned()));
    assert_eq!(latest_id(&job), Some(1));
    drop((zombie, job));
    let job = start(&store);
    assert_eq!(latest_id(&job), Some(1));
    job.clean_incomplete(CheckpointId(3)).unwrap();
    assert_eq!(job.list().unwrap(), [CheckpointId(1)], "and what is left of it goes");
}

#[test]
fn a_writer_beside_the_job_leaves_the_latest_checkpoint_what_it_is() {
    let store = MemoryStore::new();
    let job = start(&store);
    (1..=2).for_each(|id| drop(complete(&job, id)));
    drop(job);
    open(&store).begin_epoch_beside().unwrap();
    assert_eq!(latest_id(&open(&store)), Some(2));
    store.delete("job/chk-2/manifest").unwrap();
    open(&store).begin_epoch_beside().unwrap();
    assert!(open(&store).latest().is_err(), "it is still missed");
}

#[test]
fn a8_a_process_that_was_taken_over_deletes_nothing_that_the_next_one_goes_on_from() {
    let store = MemoryStore::new();
    let zombie = start(&store);
    complete(&zombie, 1);
    // Between its manifest and the head the next process starts, finds it, and goes on from it.
    let second = of_epoch(&zombie, 2, 1);
    zombie.folder(CheckpointId(2)).write_manifest(&second).unwrap();
    let job = start_beside(&store);
    assert_eq!(latest_id(&job), Some(2));
    assert!(matches!(zombie.name_latest(CheckpointId(2)), Err(Error::Fenced { .. })));
    for id in [1, 2] {
        assert!(matches!(zombie.delete_checkpoint(CheckpointId(id)), Err(Error::Fenced { .. })), "{id}");
    }
    assert_eq!(job.list().unwrap(), [CheckpointId(1), CheckpointId(2)]);
    assert_eq!(latest_id(&open_again(&store, job)), Some(2));
    // What nobody goes on from it may take away itself.
    let late = of_epoch(&zombie, 3, 1);
    assert!(matches!(zombie.write_manifest(&late), Err(Error::Fenced { .. })));
    assert!(!store.files().iter().any(|file| file.contains("chk-3")), "{:?}", store.files());
}

/// The next process, which only looks.
fn open_again(store: &MemoryStore, job: JobStore) -> JobStore {
    drop(job);
    store.crash();
    open(store)
}

#[test]
fn a34_a_savepoint_to_end_with_is_not_committed_by_a_process_that_was_taken_over() {
    let store = MemoryStore::new();
    let zombie = start(&store);
    complete(&zombie, 1);
    let savepoint = zombie.beside("sp-2");
    // The next process has read the head, and begins once the savepoint may be committed.
    store.crash();
    let late = open(&store);
    let latest = late.latest().unwrap().map(|latest| latest.id());
    zombie.end_with(&savepoint, CheckpointId(2)).unwrap();
    assert!(matches!(late.begin_epoch(latest), Err(Error::Fenced { .. })), "it goes on from a checkpoint that is of the past");
    drop(late);
    let job = start_beside(&store);
    assert!(matches!(zombie.end_with(&savepoint, CheckpointId(3)), Err(Error::Fenced { .. })));
    assert_eq!((job.past().unwrap(), latest_id(&job)), (2, None));
}
