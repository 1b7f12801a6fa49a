//! When a checkpoint exists, which one is the latest, and what is deleted.

use super::*;

fn fail_manifests(store: &MemoryStore, fault: Fault) {
    store.on_call(move |call| (call.kind == CallKind::Write && call.path.ends_with("manifest")).then_some(fault));
}

/// Checkpoint 1 is complete; the manifest of checkpoint 2 meets this fault.
fn second_fails(fault: Fault) -> (MemoryStore, JobStore, Error) {
    let store = MemoryStore::new();
    let job = open(&store);
    job.begin_epoch(None).unwrap();
    complete(&job, 1);
    let second = prepare(&job, 2, vec![vec![keyed("count", 0..2)]]);
    fail_manifests(&store, fault);
    let error = job.write_manifest(&second).unwrap_err();
    store.heal();
    (store, job, error)
}

fn restarted(store: &MemoryStore, job: JobStore) -> JobStore {
    store.crash();
    drop(job);
    open(store)
}

#[test]
fn a2_an_add_that_fails_leaves_the_older_checkpoint() {
    for fault in [Fault::Before, Fault::Torn] {
        let (store, job, error) = second_fails(fault);
        assert!(matches!(error, Error::Store { maybe_done: false, .. }));
        assert_eq!(latest_id(&job), Some(1));
        let job = restarted(&store, job);
        let manifest = job.latest().unwrap().unwrap();
        assert_eq!(manifest.id().0, 1);
        assert!(job.load_operator(&manifest, &Uid::new("counts"), Share { index: 0, parallelism: 1 }).is_ok());
    }
}

#[test]
fn a3_after_an_unknown_outcome_the_files_are_there_for_whoever_finds_the_manifest() {
    let (store, job, error) = second_fails(Fault::After);
    assert!(matches!(error, Error::Store { maybe_done: true, .. }));
    let job = restarted(&store, job);
    let manifest = job.latest().unwrap().unwrap();
    assert_eq!(manifest.id().0, 2);
    let restored = job.load_operator(&manifest, &Uid::new("counts"), Share { index: 0, parallelism: 1 }).unwrap().unwrap();
    assert_eq!(numbers(&restored.states.states["count"].1.clone().into_blocks().unwrap()), [0, 7, 1, 7]);
}

#[test]
fn a4_a_manifest_that_was_not_synced_never_existed() {
    let (store, job, error) = second_fails(Fault::Unsynced);
    assert!(matches!(error, Error::Store { maybe_done: true, .. }));
    assert_eq!(latest_id(&restarted(&store, job)), Some(1));
}

#[test]
fn a4_a_manifest_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let job = open(&DirectoryStore::new(dir.path()));
    let manifest = complete(&job, 1);
    let before = std::fs::read(dir.path().join("job/chk-1/manifest")).unwrap();
    let other = Manifest { note: CheckpointNote { epoch: 9, ..manifest.note }, ..manifest };
    assert!(matches!(job.write_manifest(&other), Err(Error::Store { maybe_done: false, .. })));
    assert_eq!(std::fs::read(dir.path().join("job/chk-1/manifest")).unwrap(), before);
}

#[test]
fn a5_a_damaged_latest_checkpoint_is_an_error_that_names_the_usable_older_ones() {
    type Damage = (&'static str, fn(&mut Vec<u8>));
    let damages: [Damage; 4] = [
        ("manifest", |bytes| bytes.truncate(bytes.len() / 2)),
        ("manifest", |bytes| bytes.clear()),
        ("manifest", |bytes| bytes[20] ^= 1),
        ("task-2.0-attempt-1.0.snap", |bytes| bytes.truncate(30)),
    ];
    for (file, damage) in damages {
        let store = MemoryStore::new();
        let job = open(&store);
        (1..=4).for_each(|id| drop(complete(&job, id)));
        store.damage(&format!("job/chk-4/{file}"), damage);
        store.damage("job/chk-2/manifest", |bytes| bytes[9] ^= 1);
        let Err(Error::Corrupt { path, usable, .. }) = job.latest() else { panic!("{file} is damaged") };
        assert!(path.ends_with(format!("chk-4/{file}")), "{path:?}");
        assert_eq!(usable, [CheckpointId(3), CheckpointId(1)]);
        assert_eq!(job.checkpoint(CheckpointId(3)).unwrap().id().0, 3);
    }
}

#[test]
fn a5_damage_that_is_found_while_restoring_names_the_usable_older_ones() {
    let store = MemoryStore::new();
    let job = open(&store);
    (1..=2).for_each(|id| drop(complete(&job, id)));
    store.damage("job/chk-2/task-2.0-attempt-1.0.snap", |bytes| bytes[200] ^= 1);
    let manifest = job.latest().unwrap().unwrap();
    let result = job.load_operator(&manifest, &Uid::new("counts"), Share { index: 0, parallelism: 1 });
    let Err(Error::Corrupt { usable, .. }) = result else { panic!("the file is damaged") };
    assert_eq!(usable, [CheckpointId(1)]);
}

#[test]
fn a5_a_missing_snapshot_file_is_an_error() {
    let store = MemoryStore::new();
    let job = open(&store);
    complete(&job, 1);
    store.delete("job/chk-1/task-2.0-attempt-1.0.snap").unwrap();
    assert!(job.latest().unwrap_err().to_string().contains("missing"));
}

#[test]
fn a6_a_checkpoint_without_a_manifest_is_no_candidate() {
    let store = MemoryStore::new();
    let job = open(&store);
    complete(&job, 4);
    prepare(&job, 5, vec![vec![keyed("count", 0..2)]]);
    assert_eq!(latest_id(&job), Some(4));
    assert_eq!(job.list().unwrap(), [CheckpointId(4)]);
    job.clean_incomplete(CheckpointId(5)).unwrap();
    assert_eq!(store.list("job/chk-5").unwrap().len(), 1, "5 is not below 5");
    job.clean_incomplete(CheckpointId(6)).unwrap();
    assert_eq!(store.list("job/chk-5").unwrap().len(), 0);
    assert_eq!(latest_id(&job), Some(4));
}

#[test]
fn a6_an_interrupted_deletion_leaves_no_candidate() {
    let store = MemoryStore::new();
    let job = open(&store);
    (1..=2).for_each(|id| drop(complete(&job, id)));
    store.on_call(|call| (call.kind == CallKind::Delete && call.path.ends_with("chk-2")).then_some(Fault::Before));
    assert!(job.delete_checkpoint(CheckpointId(2)).is_err());
    store.heal();
    assert_eq!(latest_id(&job), Some(1));
    job.delete_checkpoint(CheckpointId(1)).unwrap();
    assert_eq!(latest_id(&job), None);
}

#[test]
fn a_late_file_of_an_old_attempt_touches_no_other() {
    let store = MemoryStore::new();
    let job = open(&store);
    let old = snapshot(1, 0, vec![keyed("count", 0..1)]);
    let new = TaskSnapshot { attempt: Attempt { epoch: 1, n: 1 }, ..old.clone() };
    let new = job.write_snapshot(&new).unwrap();
    let old = job.write_snapshot(&old).unwrap();
    assert_ne!(old.file, new.file);
    job.discard(&old).unwrap();
    assert_eq!(store.list("job/chk-1").unwrap(), ["task-2.0-attempt-1.1.snap"]);
}

#[test]
fn a4_a_manifest_that_was_not_synced_is_made_durable_before_it_is_gone_on_from() {
    let store = MemoryStore::new();
    let job = open(&store);
    job.begin_epoch(None).unwrap();
    complete(&job, 1);
    store.on_call(|call| (call.kind == CallKind::Rename && call.path.ends_with("chk-2/manifest")).then_some(Fault::Unsynced));
    assert!(job.write_manifest(&prepare(&job, 2, vec![vec![keyed("count", 0..2)]])).is_err());
    store.heal();
    drop(job);
    // The process was killed; what it wrote is seen, until the power fails.
    let job = open(&store);
    assert_eq!(job.latest_for_good().unwrap().unwrap().id().0, 2);
    store.crash();
    assert_eq!(latest_id(&open(&store)), Some(2));
}

#[test]
fn a4_a_manifest_that_was_not_synced_is_made_durable_when_it_is_found_to_be_there() {
    let (store, job, _) = second_fails(Fault::Unsynced);
    assert!(job.settle(CheckpointId(2)).unwrap());
    assert_eq!(latest_id(&restarted(&store, job)), Some(2));
}

#[test]
fn a_checkpoint_that_is_given_up_leaves_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let job = open(&DirectoryStore::new(dir.path()));
    let parts = [0, 1].map(|index| job.write_snapshot(&snapshot(1, index, vec![keyed("count", 0..1)])).unwrap());
    let chk = dir.path().join("job/chk-1");
    job.discard(&parts[0]).unwrap();
    assert!(chk.exists(), "another task's part is there");
    let writing = std::fs::write(chk.join("task.snap.1-2.tmp"), "half");
    job.discard(&parts[1]).unwrap();
    assert!(writing.is_ok() && chk.exists(), "another part is being written");
    std::fs::remove_file(chk.join("task.snap.1-2.tmp")).unwrap();
    job.discard(&parts[1]).unwrap();
    assert!(!chk.exists());

    let torn = Arc::new(Unwritable(StateDescriptor::new("torn", StateKind::Value, 1)));
    assert!(job.write_snapshot(&snapshot(2, 0, vec![torn])).is_err());
    assert!(!dir.path().join("job/chk-2").exists());

    complete(&job, 3);
    let late =
        job.write_snapshot(&TaskSnapshot { attempt: Attempt { epoch: 1, n: 9 }, ..snapshot(3, 0, vec![keyed("count", 0..1)]) });
    job.discard(&late.unwrap()).unwrap();
    assert_eq!(latest_id(&job), Some(3));
}

/// A view that cannot be written.
#[derive(Debug)]
struct Unwritable(StateDescriptor);

impl StateView for Unwritable {
    fn descriptor(&self) -> &StateDescriptor {
        &self.0
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn write(&self, _: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        Err("it cannot be encoded".into())
    }
}

#[test]
fn f10_an_instance_that_is_missing_or_there_twice_makes_no_manifest() {
    let job = open(&MemoryStore::new());
    let entry = |index| job.write_snapshot(&snapshot(1, index, vec![])).unwrap();
    let assemble =
        |indices: &[u32]| Manifest::assemble(job.record(), note(1), indices.iter().map(|index| entry(*index)).collect());
    assert_eq!(assemble(&[1, 0, 2]).unwrap().operators[&Uid::new("counts")].parallelism, 3);
    assert!(assemble(&[0, 2]).is_err());
    assert!(assemble(&[0, 0]).is_err());
}

#[test]
fn a_job_that_was_begun_from_a_savepoint_goes_on_from_nothing_older() {
    let store = MemoryStore::new();
    let job = open(&store);
    complete(&job, 1);
    job.write_finished(CheckpointId(1)).unwrap();
    let savepoint = job.beside("sp-2");
    let entry = savepoint.write_snapshot("job", &snapshot(2, 0, vec![keyed("count", 0..2)])).unwrap();
    let kind = CheckpointKind::Savepoint;
    let manifest = Manifest::assemble(job.record(), CheckpointNote { kind, ..note(2) }, vec![entry]).unwrap();
    assert!(matches!(Found::open(savepoint.clone()), Err(Error::StateMismatch { .. })), "it has no manifest yet");
    savepoint.write_manifest(&manifest).unwrap();
    job.begin_from(&savepoint, CheckpointId(2), 5, true).unwrap();
    let job = restarted(&store, job);
    assert_eq!((job.latest().unwrap(), job.finished().unwrap()), (None, None), "both are of the past");
    assert_eq!(job.list().unwrap(), [CheckpointId(1)], "which is still there");
    let mark = job.origin().unwrap().unwrap();
    let found = job.open_origin(&mark).unwrap();
    assert!(mark.claimed && found.manifest().note.kind == kind);
    let restored = found.load_operator(&Uid::new("counts"), Share { index: 0, parallelism: 1 }).unwrap().unwrap();
    assert_eq!(numbers(&restored.states.states["count"].1.clone().into_blocks().unwrap()), [0, 7, 1, 7]);
    complete(&job, 6);
    assert_eq!(latest_id(&job), Some(6));
    job.clean_incomplete(CheckpointId(9)).unwrap();
    assert!(job.open_origin(&mark).is_ok(), "a complete one is not cleaned up");
    savepoint.delete().unwrap();
    let lost = job.open_origin(&mark).unwrap_err().to_string();
    assert!(lost.contains("where no complete savepoint lies any more") && lost.contains("Restore::savepoint"), "{lost}");
}

#[test]
fn what_is_left_of_a_savepoint_beside_the_checkpoints_is_cleaned_up() {
    let store = MemoryStore::new();
    let job = open(&store);
    job.beside("sp-3").write_snapshot("job", &snapshot(3, 0, vec![keyed("count", 0..2)])).unwrap();
    job.clean_incomplete(CheckpointId(3)).unwrap();
    assert!(!job.beside("sp-3").is_empty().unwrap(), "it may be under way");
    job.clean_incomplete(CheckpointId(4)).unwrap();
    assert!(job.beside("sp-3").is_empty().unwrap());
}

#[test]
fn a_store_whose_keys_lie_elsewhere_takes_no_savepoint_up() {
    let (first, second) = (MemoryStore::new(), MemoryStore::new());
    let like = open(&first).record().clone();
    let options = JobOptions::default();
    let taken = JobStore::open_first_like(Arc::new(second.clone()), "other", &options, Some(&like)).unwrap();
    assert_eq!((taken.record().job.as_str(), taken.record().hash_seed), ("other", 1));
    drop(open_with(&second, &JobOptions { max_parallelism: None, seed: Some(2) }).unwrap());
    let error = JobStore::open_first_like(Arc::new(second), "job", &options, Some(&like)).unwrap_err();
    assert!(matches!(error, Error::StateMismatch { .. }), "{error}");
}
