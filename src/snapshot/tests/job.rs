//! The job's record, its lock, and the numbers it hands out.

use super::*;
use crate::snapshot::sealed::seal;

#[test]
fn a21_no_epoch_and_no_id_is_handed_out_twice() {
    let store = MemoryStore::new();
    let (mut epochs, mut ids) = (0, 0);
    for _ in 0..5 {
        let job = open(&store);
        let epoch = job.begin_epoch(None).unwrap();
        assert!(epoch > epochs);
        epochs = epoch;
        for _ in 0..2 {
            let range = job.reserve_ids().unwrap();
            assert!(range.start > ids && range.end - range.start == 1000);
            ids = range.end - 1;
        }
        store.crash();
        drop(job);
    }
}

#[test]
fn a21_an_outcome_that_is_unknown_reuses_no_id() {
    for fault in [Fault::Before, Fault::Torn, Fault::Unsynced, Fault::After] {
        let store = MemoryStore::new();
        let job = open(&store);
        let first = job.reserve_ids().unwrap();
        store.on_call(move |call| (call.kind == CallKind::Write).then_some(fault));
        assert!(job.reserve_ids().is_err());
        store.heal();
        assert!(job.reserve_ids().unwrap().start >= first.end);
    }
}

#[test]
fn a21_ids_stay_above_every_checkpoint_that_is_there() {
    let store = MemoryStore::new();
    let job = open(&store);
    job.begin_epoch(None).unwrap();
    complete(&job, 70_000);
    assert_eq!(job.reserve_ids().unwrap().start, 70_001);
}

#[test]
fn c12_the_stored_maximum_parallelism_wins_and_an_explicit_other_one_is_refused() {
    let store = MemoryStore::new();
    drop(open_with(&store, &JobOptions { max_parallelism: Some(64), seed: None }).unwrap());
    let job = open_with(&store, &JobOptions::default()).unwrap();
    assert_eq!(job.record().groups().max(), 64);
    drop(job);
    let error = open_with(&store, &JobOptions { max_parallelism: Some(128), seed: None }).unwrap_err();
    assert!(matches!(error, Error::StateMismatch { .. }) && error.to_string().contains("64"), "{error}");
    let job = open_with(&store, &JobOptions { max_parallelism: Some(64), seed: None }).unwrap();
    job.record().check_parallelism("counts", 64).unwrap();
    assert!(matches!(job.record().check_parallelism("counts", 65), Err(Error::StateMismatch { .. })));
}

#[test]
fn the_seed_is_drawn_once() {
    let store = MemoryStore::new();
    let seed = |store: &MemoryStore| open_with(store, &JobOptions::default()).unwrap().record().hash_seed;
    let first = seed(&store);
    assert_eq!(seed(&store), first);
    assert_ne!(seed(&MemoryStore::new()), first);
}

#[test]
fn a_second_process_is_locked_out_until_the_first_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(dir.path());
    let job = open(&store);
    let error = open_with(&store, &JobOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::Locked { path } if path.ends_with("job/lock")), "{error}");
    drop(job);
    open(&store);
}

#[test]
fn a_directory_of_another_job_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&DirectoryStore::new(dir.path())));
    std::fs::rename(dir.path().join("job"), dir.path().join("other")).unwrap();
    let store = Arc::new(DirectoryStore::new(dir.path()));
    let text = JobStore::open(store, "other", &JobOptions::default()).unwrap_err().to_string();
    assert!(text.contains("belongs to the job 'job', not to 'other'"), "{text}");
}

#[test]
fn a_job_record_of_a_newer_format_is_refused() {
    let store = MemoryStore::new();
    drop(open(&store));
    let mut bytes = seal("tidegate-job", &"?").unwrap();
    let at = bytes.windows(7).position(|window| window == b"version").unwrap() + 7;
    bytes[at] += 1;
    bytes.truncate(bytes.len() - 5);
    let crc = crc32c::crc32c(&bytes).to_be_bytes();
    bytes.push(0xce);
    bytes.extend(crc);
    store.damage("job/job", |old| *old = bytes);
    let text = open_with(&store, &JobOptions::default()).unwrap_err().to_string();
    assert!(text.contains("newer version of tidegate"), "{text}");
}

#[test]
fn c22_a_damaged_job_record_is_an_error() {
    let store = MemoryStore::new();
    drop(open(&store));
    for at in 0..store.size("job/job").unwrap().unwrap() as usize {
        store.damage("job/job", |bytes| bytes[at] ^= 1);
        assert!(matches!(open_with(&store, &JobOptions::default()), Err(Error::Corrupt { .. })), "byte {at}");
        store.damage("job/job", |bytes| bytes[at] ^= 1);
    }
}

#[test]
fn a21_a_lost_record_or_counter_is_not_begun_anew_beside_checkpoints() {
    for file in ["job/job", "job/head"] {
        let store = MemoryStore::new();
        let job = open(&store);
        job.begin_epoch(None).unwrap();
        complete(&job, 1);
        drop(job);
        store.delete(file).unwrap();
        let error = open_with(&store, &JobOptions::default()).and_then(|job| job.begin_epoch(None)).unwrap_err();
        assert!(error.to_string().contains("the file is missing"), "{error}");
    }
}

#[test]
fn a21_a_lost_record_or_counter_is_not_begun_anew_beside_a_savepoint_or_a_mark() {
    for file in ["job/job", "job/head"] {
        for left in ["sp-7/manifest", "origin", "finished"] {
            let store = MemoryStore::new();
            open(&store).begin_epoch(None).unwrap();
            store.damage(&format!("job/{left}"), |bytes| bytes.push(1));
            store.delete(file).unwrap();
            let error = open_with(&store, &JobOptions::default()).unwrap_err();
            assert!(error.to_string().contains("the file is missing"), "{file} beside {left}: {error}");
        }
    }
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    for name in ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a\0b", "a/", "a:b"] {
        let result = JobStore::open(Arc::new(MemoryStore::new()), name, &JobOptions::default());
        assert!(matches!(result, Err(Error::InvalidFlow { .. })), "{name:?}");
    }
    JobStore::open(Arc::new(MemoryStore::new()), "flight delays v2.1", &JobOptions::default()).unwrap();
}

#[test]
fn a_finished_job_says_so_after_a_restart() {
    let store = MemoryStore::new();
    let job = open(&store);
    assert_eq!(job.finished().unwrap(), None);
    job.begin_epoch(None).unwrap();
    job.write_finished(CheckpointId(7)).unwrap();
    store.crash();
    drop(job);
    assert_eq!(open(&store).finished().unwrap(), Some(CheckpointId(7)));
}
