//! What fuzzers feed: plain functions over any bytes.
//!
//! Always: whatever the bytes, a call returns. What is damaged is an error inside, and is dropped here. Called by the targets in
//! `fuzz/`, and with random and damaged bytes by the tests below.

use std::collections::BTreeMap;

use crate::codec::Reader;
use crate::snapshot::probe;

/// Reads the bytes as a task's snapshot file, all of its sections included; once more with a checksum that fits its index; and as
/// one section.
pub fn snapshot_file(bytes: &[u8]) {
    drop(probe::snapshot_file(bytes));
    drop(probe::snapshot_file(&probe::with_index_sealed(bytes)));
    drop(probe::section(bytes));
}

/// Reads the bytes as a manifest, and once more with a checksum that fits.
pub fn manifest(bytes: &[u8]) {
    drop(probe::manifest(bytes));
    drop(probe::manifest(&probe::with_seal(bytes)));
}

/// Walks over the bytes as MessagePack objects, and decodes each as types that differ in every way that matters.
pub fn objects(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let Ok(object) = reader.skip() else { return };
        drop(Reader::new(object).next::<u64>());
        drop(Reader::new(object).next::<f64>());
        drop(Reader::new(object).next::<Vec<String>>());
        drop(Reader::new(object).next::<Option<(i8, char)>>());
        drop(Reader::new(object).next::<BTreeMap<String, Vec<Option<bool>>>>());
        drop(Reader::new(object).next::<serde::de::IgnoredAny>());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::codec::encode;

    /// Good bytes, with some of them changed and the end cut off: these get further than random ones.
    fn damage(mut bytes: Vec<u8>, patches: Vec<(usize, u8)>, cut: usize) -> Vec<u8> {
        for (at, byte) in patches {
            let at = at % bytes.len().max(1);
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        bytes
    }

    #[test]
    fn what_the_engine_writes_is_read() {
        let (file, manifest) = probe::samples();
        assert!(probe::snapshot_file(&file).unwrap() > 0);
        assert_eq!(probe::manifest(&manifest).unwrap(), 1);
        assert_eq!(probe::with_index_sealed(&file), file);
        assert_eq!(probe::with_seal(&manifest), manifest);
    }

    #[test]
    fn damage_behind_a_seal_that_fits_is_an_error() {
        let (file, manifest) = probe::samples();
        let changed = |bytes: &[u8], at: usize| damage(bytes.to_vec(), vec![(at, 0xc1)], 0);
        assert!((0..file.len()).all(|at| probe::snapshot_file(&changed(&file, at)).is_err()));
        assert!(probe::manifest(&probe::with_seal(&changed(&manifest, 0))).is_err());
    }

    proptest! {
        #[test]
        fn c22_no_bytes_stop_a_reader(bytes in vec(any::<u8>(), 0..300)) {
            snapshot_file(&bytes);
            manifest(&bytes);
            objects(&bytes);
        }

        #[test]
        fn c22_no_damage_stops_a_reader(patches in vec((any::<usize>(), any::<u8>()), 0..6), cut in 0..40usize) {
            let (file, document) = probe::samples();
            let file = damage(file, patches.clone(), cut);
            snapshot_file(&file);
            objects(&file);
            manifest(&damage(document, patches, cut));
        }

        #[test]
        fn objects_that_were_written_are_walked(values in vec((any::<u64>(), any::<Option<String>>()), 0..20)) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| encode(value, &mut bytes).unwrap());
            objects(&bytes);
        }
    }
}
