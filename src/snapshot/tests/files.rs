//! Snapshot files and manifests: what is written is read, and no damage goes unseen.

use proptest::prelude::*;

use super::*;
use crate::snapshot::reader::SnapshotReader;

const FILE: &str = "job/chk-1/task-2.0-attempt-1.0.snap";

/// Reads all of a snapshot file.
fn read_all(store: &MemoryStore) -> Result<Vec<Block>> {
    let reader = SnapshotReader::open(store, FILE.into())?;
    reader.sections().iter().map(|section| reader.read(section)).collect()
}

fn written(views: Vec<Arc<dyn StateView>>) -> (MemoryStore, TaskEntry) {
    let store = MemoryStore::new();
    let entry = open(&store).write_snapshot(&snapshot(1, 0, views)).unwrap();
    (store, entry)
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let (store, entry) = written(vec![keyed("count", [3, 5]), list("seen", &[&[1, 2], &[], &[3]])]);
    let blocks = read_all(&store).unwrap();
    assert_eq!(blocks.iter().map(|block| block.group).collect::<Vec<_>>(), [Some(KeyGroup(3)), Some(KeyGroup(5)), None, None]);
    assert_eq!(numbers(&blocks), [3, 7, 5, 7, 1, 2, 3]);
    let file = entry.file.unwrap();
    assert_eq!(file.bytes, store.size(FILE).unwrap().unwrap());
    assert_eq!(file.sections[0].operator, Uid::new("counts"));
}

#[test]
fn c30_a_task_without_state_writes_no_file() {
    let (store, entry) = written(vec![]);
    assert_eq!(entry.file, None);
    assert_eq!(store.size(FILE).unwrap(), None);
}

#[test]
fn a_file_is_a_plain_sequence_of_objects() {
    let (store, _) = written(vec![keyed("count", [3]), list("seen", &[&[1, 2]])]);
    let bytes = store.get(FILE).unwrap().unwrap();
    let mut reader = Reader::new(&bytes);
    let mut objects = 0;
    while !reader.is_empty() {
        reader.skip().unwrap();
        objects += 1;
    }
    // Head, header and seal; two sections of a map and a bin; index, checksum and offset.
    assert_eq!(objects, 3 + 2 * 2 + 3);
    assert_eq!(bytes[bytes.len() - 9], 0xcf);
}

#[test]
fn c22_a_flipped_byte_anywhere_in_a_snapshot_is_an_error_that_names_the_place() {
    let (store, entry) = written(vec![keyed("count", [3, 5]), list("seen", &[&[1, 2]])]);
    let sections = entry.file.unwrap().sections;
    for at in 0..store.size(FILE).unwrap().unwrap() {
        for change in [1u8, 0x80, 0xff] {
            store.damage(FILE, |bytes| bytes[at as usize] ^= change);
            let text = read_all(&store).unwrap_err().to_string();
            assert!(text.contains(FILE), "{text}");
            if let Some(section) = sections.iter().find(|section| (section.offset..section.offset + section.length).contains(&at))
            {
                assert!(text.contains("operator 'counts'") && text.contains(&format!("state '{}'", section.state)), "{text}");
            }
            store.damage(FILE, |bytes| bytes[at as usize] ^= change);
        }
    }
    read_all(&store).unwrap();
}

#[test]
fn c22_a_cut_snapshot_is_an_error_at_every_length() {
    let (store, _) = written(vec![keyed("count", [3, 5])]);
    let whole = store.get(FILE).unwrap().unwrap();
    for length in 0..whole.len() {
        store.damage(FILE, |bytes| bytes.truncate(length));
        assert!(matches!(read_all(&store), Err(Error::Corrupt { .. })));
        store.damage(FILE, |bytes| bytes.clone_from(&whole));
    }
    store.damage(FILE, |bytes| bytes.push(0));
    assert!(read_all(&store).is_err());
}

#[test]
fn c22_bytes_that_no_section_and_no_index_covers_are_an_error() {
    let (store, _) = written(vec![keyed("count", [3])]);
    store.damage(FILE, |bytes| {
        let offset = bytes.split_off(bytes.len() - 8);
        let index_at = u64::from_be_bytes(offset.try_into().unwrap());
        bytes.insert(index_at as usize, 0xc0);
        bytes.extend((index_at + 1).to_be_bytes());
    });
    assert!(read_all(&store).unwrap_err().to_string().contains("where its index says"));
}

#[test]
fn c22_a_flipped_byte_anywhere_in_a_checkpoint_is_found_by_a_restore() {
    let store = MemoryStore::new();
    let job = open(&store);
    let manifest = complete(&job, 1);
    let restore = || -> Result<()> {
        let manifest = job.latest()?.unwrap();
        job.load_operator(&manifest, &Uid::new("counts"), Share { index: 0, parallelism: 1 }).map(|_| ())
    };
    restore().unwrap();
    for file in ["manifest", &manifest.files[0].name] {
        let path = format!("job/chk-1/{file}");
        for at in 0..store.size(&path).unwrap().unwrap() as usize {
            store.damage(&path, |bytes| bytes[at] ^= 4);
            assert!(matches!(restore(), Err(Error::Corrupt { .. })), "byte {at} of {file}");
            store.damage(&path, |bytes| bytes[at] ^= 4);
        }
    }
}

#[test]
fn a_failing_view_names_its_operator_and_state() {
    #[derive(Debug)]
    struct Failing(StateDescriptor);
    impl StateView for Failing {
        fn descriptor(&self) -> &StateDescriptor {
            &self.0
        }
        fn held_bytes(&self) -> u64 {
            0
        }
        fn write(&self, _emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
            Err("no such luck".into())
        }
    }
    let view = Failing(StateDescriptor::new("total", StateKind::Value, 1));
    let store = MemoryStore::new();
    let text = open(&store).write_snapshot(&snapshot(1, 0, vec![Arc::new(view)])).unwrap_err().to_string();
    assert!(text.contains("operator 'counts', state 'total': no such luck"), "{text}");
    assert_eq!(store.size(FILE).unwrap(), None);
}

fn any_blocks() -> impl Strategy<Value = Vec<Block>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let block = (proptest::option::of(0..128u16), 1..9u64, bytes);
    let block = block.prop_map(|(group, entries, bytes)| Block { group: group.map(KeyGroup), entries, bytes });
    proptest::collection::vec(block, 0..6)
}

proptest! {
    #[test]
    fn any_blocks_are_read_as_they_were_written(blocks in any_blocks()) {
        let (store, _) = written(vec![view("any", StateKind::Value, blocks.clone())]);
        prop_assert_eq!(read_all(&store).unwrap(), blocks);
    }

    #[test]
    fn random_damage_is_an_error_or_changes_nothing(
        blocks in any_blocks(),
        patches in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..9),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let (store, _) = written(vec![view("any", StateKind::Value, blocks.clone())]);
        store.damage(FILE, |bytes| {
            patches.iter().for_each(|(at, byte)| { let at = at.index(bytes.len()); bytes[at] = *byte; });
            if let Some(cut) = cut { bytes.truncate(cut.index(bytes.len())); }
        });
        if let Ok(read) = read_all(&store) {
            prop_assert_eq!(read, blocks);
        }
    }

    #[test]
    fn random_bytes_are_no_snapshot(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
        let store = MemoryStore::new();
        store.damage(FILE, |bytes| *bytes = garbage);
        prop_assert!(read_all(&store).is_err());
    }
}

#[test]
fn checksums_are_joined_alike_however_long_a_block_is() {
    for length in [0, 1, (16 << 10) - 1, 16 << 10, 50_000] {
        let bytes: Vec<u8> = (0..length).map(|i: usize| (i * 31 % 251) as u8).collect();
        let whole = [b"head".as_slice(), &bytes].concat();
        let joined = crate::snapshot::file::joined(crc32c::crc32c(b"head"), crc32c::crc32c(&bytes), &bytes);
        assert_eq!(joined, crc32c::crc32c(&whole), "{length}");
    }
}
