//! The entries of states on a disk, as tests compare them.
//!
//! Always: what does not differ does not look different: the entries of a map come in the order of their bytes, and not in that of
//! their hashes, which depends on the job's seed. Called by the disk of a simulation, on the test's thread.

use crate::codec::Reader;
use crate::state::{Block, StateKind};

/// Cuts a block into its entries; what cannot be cut is one.
pub(super) fn entries_of(kind: StateKind, block: &Block) -> Vec<Vec<u8>> {
    let mut objects = objects(&block.bytes);
    if kind == StateKind::Map {
        objects.iter_mut().skip(1).step_by(2).for_each(|map| *map = in_order(map));
    }
    let each = objects.len() / usize::try_from(block.entries).unwrap_or(1).max(1);
    objects.chunks(each.max(1)).map(<[Vec<u8>]>::concat).collect()
}

fn objects(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    let next = || reader.skip().ok().filter(|object| !object.is_empty()).map(<[u8]>::to_vec);
    std::iter::from_fn(next).collect()
}

/// A map, or an array of pairs, with its entries in the order of their bytes.
fn in_order(map: &[u8]) -> Vec<u8> {
    let (header, each) = match map.first() {
        Some(0x80..=0x8f) => (1, 2),
        Some(0xde) => (3, 2),
        Some(0xdf) => (5, 2),
        Some(0xdc) => (3, 1),
        Some(0xdd) => (5, 1),
        _ => (1, 1),
    };
    let (header, entries) = map.split_at(header.min(map.len()));
    let mut entries: Vec<Vec<u8>> = objects(entries).chunks(each).map(<[Vec<u8>]>::concat).collect();
    entries.sort();
    [header.to_vec(), entries.concat()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn entries(pairs: &[(u64, u64)]) -> Vec<Vec<u8>> {
        let (mut bytes, mut map) = (Vec::new(), vec![0x90 | pairs.len() as u8]);
        for pair in pairs {
            map.extend([0xdc, 0, 2]);
            codec::encode(&pair.0, &mut map).unwrap();
            codec::encode(&pair.1, &mut map).unwrap();
        }
        codec::encode("key", &mut bytes).unwrap();
        bytes.extend(map);
        entries_of(StateKind::Map, &Block { group: None, entries: 1, bytes })
    }

    #[test]
    fn maps_with_the_same_entries_are_the_same() {
        assert_eq!(entries(&[(1, 2), (3, 4)]), entries(&[(3, 4), (1, 2)]));
        assert_ne!(entries(&[(1, 2), (3, 4)]), entries(&[(1, 4), (3, 2)]));
        let texts = |keys: [&str; 2]| {
            let mut bytes = vec![1, 0x82];
            keys.iter().for_each(|key| codec::encode(key, &mut bytes).and_then(|()| codec::encode(&7, &mut bytes)).unwrap());
            entries_of(StateKind::Map, &Block { group: None, entries: 1, bytes })
        };
        assert_eq!(texts(["a", "b"]), texts(["b", "a"]));
        assert_ne!(texts(["a", "b"]), texts(["a", "c"]));
    }
}
