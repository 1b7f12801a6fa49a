//! What every store must do, asked of each; then what is particular to each.

use super::*;
use crate::snapshot::store::Put;

/// Runs a test on a store in memory, on one in a directory, and on one that is waited for.
fn each_store(test: impl Fn(&dyn StoreBackend)) {
    test(&MemoryStore::new());
    let dir = tempfile::tempdir().unwrap();
    test(&DirectoryStore::new(dir.path().join("not/yet/there")));
    let inner = DirectoryStore::new(dir.path().join("waited for"));
    test(&PatientStore::new(Arc::new(inner), Patience::default()));
}

fn put(store: &dyn StoreBackend, path: &str, put: Put, text: &str) -> Result<u64> {
    store.put(path, put, &mut |out| Ok(out.write_all(text.as_bytes())?))
}

#[test]
fn what_was_put_is_read_listed_and_deleted() {
    each_store(|store| {
        assert_eq!(store.list("a").unwrap(), [""; 0]);
        assert_eq!(store.get("a/b").unwrap(), None);
        assert_eq!(put(store, "a/b/c", Put::New, "hello").unwrap(), 5);
        put(store, "a/d", Put::New, "x").unwrap();
        assert_eq!(store.get("a/b/c").unwrap().unwrap(), b"hello");
        assert_eq!(store.read("a/b/c", 1..3).unwrap(), b"el");
        assert_eq!(store.list("a").unwrap(), ["b", "d"]);
        store.delete("a/d").unwrap();
        store.delete("a/d").unwrap();
        assert_eq!(store.list("a").unwrap(), ["b"]);
        store.delete_all("a/b").unwrap();
        store.delete_all("a/b").unwrap();
        assert_eq!(store.list("a").unwrap(), [""; 0]);
    });
}

#[test]
fn a4_an_existing_file_is_overwritten_only_when_asked_for() {
    each_store(|store| {
        put(store, "f", Put::New, "old").unwrap();
        let error = put(store, "f", Put::New, "new").unwrap_err();
        assert!(matches!(error, Error::Store { maybe_done: false, .. }), "{error}");
        assert_eq!(store.get("f").unwrap().unwrap(), b"old");
        put(store, "f", Put::Replace, "new").unwrap();
        assert_eq!(store.get("f").unwrap().unwrap(), b"new");
    });
}

#[test]
fn a4_a_write_that_fails_leaves_nothing() {
    each_store(|store| {
        let failing = |out: &mut dyn std::io::Write| {
            out.write_all(b"half")?;
            Err("stop".into())
        };
        for mode in [Put::New, Put::Replace] {
            let error = store.put("d/f", mode, &mut { failing }).unwrap_err();
            assert!(matches!(error, Error::Store { maybe_done: false, .. }), "{error}");
            assert_eq!(store.get("d/f").unwrap(), None);
            assert_eq!(store.list("d").unwrap(), [""; 0]);
        }
    });
}

#[test]
fn a4_a_write_that_fails_leaves_no_file_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(dir.path());
    for mode in [Put::New, Put::Replace] {
        store.put("d/f", mode, &mut |_| Err("stop".into())).unwrap_err();
        let left: Vec<_> = std::fs::read_dir(dir.path().join("d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_range_beyond_the_end_is_an_error_and_not_an_allocation() {
    each_store(|store| {
        put(store, "f", Put::New, "1234").unwrap();
        for range in [0..5, 4..5, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
            assert!(matches!(store.read("f", range), Err(Error::Corrupt { .. })));
        }
        assert_eq!(store.read("f", 4..4).unwrap(), b"");
    });
}

#[test]
fn a_lock_has_one_holder() {
    each_store(|store| {
        let lock = store.lock("j/lock").unwrap();
        assert!(matches!(store.lock("j/lock"), Err(Error::Locked { .. })));
        drop(lock);
        store.lock("j/lock").unwrap();
    });
}

#[test]
fn leftovers_of_interrupted_writes_are_not_listed_and_are_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(dir.path());
    put(&store, "d/f", Put::New, "x").unwrap();
    std::fs::write(dir.path().join("d/f.1-2.tmp"), "half").unwrap();
    assert_eq!(store.list("d").unwrap(), ["f"]);
    store.clean("d").unwrap();
    assert!(!dir.path().join("d/f.1-2.tmp").exists());
    assert!(dir.path().join("d/f").exists());
}

#[test]
fn errors_name_the_file_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(dir.path());
    put(&store, "file", Put::New, "x").unwrap();
    let text = put(&store, "file/inside", Put::New, "x").unwrap_err().to_string();
    assert!(text.contains("file") && text.contains("choose another store directory"), "{text}");
    let text = put(&store, "file", Put::New, "x").unwrap_err().to_string();
    assert!(text.contains("never overwritten"), "{text}");
    let full = |_: &mut dyn std::io::Write| Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
    let text = store.put("big", Put::New, &mut { full }).unwrap_err().to_string();
    assert!(text.contains("free some space"), "{text}");
}

/// What is seen after a put with this fault, before and after a crash, and what the put said.
fn after(fault: Option<Fault>) -> (bool, bool, Option<bool>) {
    let store = MemoryStore::new();
    store.on_call(move |call| if call.kind == CallKind::Write { fault } else { None });
    let error = match put(&store, "f", Put::New, "text") {
        Ok(_) => None,
        Err(Error::Store { maybe_done, .. }) => Some(maybe_done),
        Err(error) => panic!("{error}"),
    };
    store.heal();
    let before = store.get("f").unwrap().is_some();
    store.crash();
    (before, store.get("f").unwrap().is_some(), error)
}

#[test]
fn faults_reach_the_images_that_they_name() {
    assert_eq!(after(None), (true, true, None));
    assert_eq!(after(Some(Fault::Before)), (false, false, Some(false)));
    assert_eq!(after(Some(Fault::Torn)), (false, false, Some(false)));
    assert_eq!(after(Some(Fault::Unsynced)), (true, false, Some(true)));
    assert_eq!(after(Some(Fault::After)), (true, true, Some(true)));
    assert_eq!(after(Some(Fault::Forgotten)), (true, false, None));
}

#[test]
fn a_crash_frees_locks_and_the_dead_do_not_free_those_of_the_living() {
    let store = MemoryStore::new();
    let dead = store.lock("lock").unwrap();
    store.crash();
    let living = store.lock("lock").unwrap();
    drop(dead);
    assert!(store.lock("lock").is_err());
    drop(living);
    assert!(store.lock("lock").is_ok());
}
