//! What fuzzers feed: plain functions over any bytes, and samples of bytes to begin with.
//!
//! Always: whatever the bytes, a call returns. What is damaged is an error inside, and is dropped here; a machine that differs from
//! its model is a panic. Called by the targets in `fuzz/`, and with random and damaged bytes by the tests below.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use super::machines::{alignment, timers};
use crate::codec::Reader;
use crate::error::Result;
use crate::ids::KeyGroup;
use crate::key::KeyGroups;
use crate::snapshot::{Share, deal_blocks, probe};
use crate::state::{
    Block, KeyHasher, KeyState, KeyedState, KeyedTable, ListView, MarkedTables, RestoredStates, StateDescriptor, StateKind,
    StateView, TIMERS, Timers, Ttl, UnkeyedStates, read_list, read_table,
};
use crate::time::{Timestamp, millis};
use crate::timer::{TimeDomain, Timer};

/// The name of the state as which a block is read.
const STATE: &str = "state";

/// All keys are of one key group, so that what a fuzzer finds is not refused for its hash.
const ONE_GROUP: KeyGroups = KeyGroups::new(1);

/// A fuzzed function.
pub type Target = fn(&[u8]);

/// All of them, by the names of the targets in `fuzz/`.
pub const TARGETS: [(&str, Target); 7] = [
    ("snapshot_file", snapshot_file),
    ("manifest", manifest),
    ("documents", documents),
    ("blocks", blocks),
    ("objects", objects),
    ("alignment", alignment),
    ("timers", timers),
];

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

/// Reads the bytes as each of a job's small documents, and once more with a checksum that fits.
pub fn documents(bytes: &[u8]) {
    probe::documents(bytes);
    probe::documents(&probe::with_seal(bytes));
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

/// Restores every kind of state from the bytes, taken as what stands in a section's `bin`. The first byte decides the key group,
/// the second says how many entries there are.
pub fn blocks(bytes: &[u8]) {
    let [group, entries, bytes @ ..] = bytes else { return };
    let group = [Some(KeyGroup(0)), None, Some(KeyGroup(1)), Some(KeyGroup(u16::MAX))].get(usize::from(group % 4)).copied();
    let entries = if *entries == u8::MAX { u64::MAX } else { u64::from(*entries) };
    let stored = vec![Block { group: group.flatten(), entries, bytes: bytes.to_vec() }];
    drop(table::<u64, u64>(stored.clone()));
    drop(table::<String, Vec<Option<i64>>>(stored.clone()));
    drop(read_list::<(String, u64)>(STATE, Some((described(STATE, StateKind::List), stored.clone().into()))));
    drop(restore_timers(stored.clone()));
    drop(restore_panes(stored.clone()));
    drop(unkeyed(StateKind::UnionList, stored.clone()).list::<(String, u64)>(STATE, StateKind::UnionList, None));
    drop(unkeyed(StateKind::Broadcast, stored.clone()).broadcast::<String, Option<u64>>(STATE, None));
    restore_kinds(&stored);
    for index in 0..3 {
        drop(deal_blocks(&stored, Share { index, parallelism: 3 }));
    }
}

fn hasher<K: std::hash::Hash + 'static>() -> KeyHasher<K> {
    Arc::new(|key| {
        let mut hasher = std::hash::DefaultHasher::new();
        key.hash(&mut hasher);
        std::hash::Hasher::finish(&hasher)
    })
}

pub(super) fn described(name: &str, kind: StateKind) -> StateDescriptor {
    StateDescriptor::new(name, kind, 1)
}

fn table<K, V>(stored: Vec<Block>) -> Result<KeyedTable<K, V>>
where
    K: Clone + Eq + std::hash::Hash + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static,
    V: Clone + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    read_table(STATE, stored.into(), ONE_GROUP, 0..1, &hasher())
}

fn unkeyed(kind: StateKind, stored: Vec<Block>) -> UnkeyedStates {
    let mut restored = RestoredStates::default();
    restored.states.insert(STATE.into(), (described(STATE, kind), stored.into()));
    UnkeyedStates::new(restored)
}

fn restore_timers(stored: Vec<Block>) -> Result<Timers<u64>> {
    Timers::new(ONE_GROUP, 0..1, &hasher(), Some((described(TIMERS, StateKind::Timers), stored.into())))
}

fn restore_panes(stored: Vec<Block>) -> Result<u64> {
    let mut restored = RestoredStates::default();
    restored.states.insert(STATE.into(), (described(STATE, StateKind::Window), stored.into()));
    let mut panes = 0;
    MarkedTables::<u64>::new(STATE, ONE_GROUP, 0..1, hasher()).restore(
        &mut restored,
        |_: (Timestamp, Timestamp), _, _, _: Vec<Option<u64>>| {
            panes += 1;
            Ok(())
        },
    )?;
    Ok(panes)
}

/// Restores lists, maps and what was reduced, with times and without, as what they are and with a time to live that is new or gone.
fn restore_kinds(stored: &[Block]) {
    for (kind, stamped) in
        [StateKind::KeyedList, StateKind::Map, StateKind::Reducing].into_iter().flat_map(|kind| [(kind, false), (kind, true)])
    {
        for ttl in [None, Some(Ttl::of(millis(10)))] {
            let descriptor = StateDescriptor { stamped, ..described(STATE, kind) };
            let mut restored = RestoredStates::default();
            restored.states.insert(STATE.into(), (descriptor, stored.to_vec().into()));
            let mut states = KeyedState::<u64>::new(ONE_GROUP, 0..1, hasher(), restored);
            let registering = states.at(Timestamp::from_millis(0)).register(STATE, ttl);
            match kind {
                StateKind::KeyedList => drop(registering.list::<Option<i64>>()),
                StateKind::Map => drop(registering.map::<String, u64>()),
                _ => drop(registering.reducing(Box::new(|a: &String, _| a.clone()))),
            }
        }
    }
}

/// Bytes as the engine writes them, each with the name of its target: where a fuzzer begins.
///
/// # Panics
/// Where the engine cannot write them.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let written = probe::written(views());
    let Ok(written) = written else { panic!("the engine writes what the fuzzer begins with: {written:?}") };
    let mut samples = vec![("objects", written.snapshot_file.clone()), ("objects", written.manifest.clone())];
    samples.push(("snapshot_file", written.snapshot_file));
    samples.push(("manifest", written.manifest));
    samples.extend(written.documents.into_iter().map(|document| ("documents", document)));
    samples.extend(written.blocks.into_iter().map(|block| {
        let head = [u8::from(block.group.is_none()), block.entries.min(255) as u8];
        ("blocks", [head.as_slice(), &block.bytes].concat())
    }));
    samples.push(("alignment", (0..96u8).map(|n| n.wrapping_mul(37)).collect()));
    samples.push(("timers", (0..96u8).map(|n| n.wrapping_mul(37)).collect()));
    samples
}

/// A view of each kind of state.
fn views() -> Vec<Arc<dyn StateView>> {
    let hash = hasher::<u64>();
    let fresh = || KeyedTable::<u64, u64>::new(ONE_GROUP, 0..1, hash.clone());
    let (mut counts, mut panes) = (fresh(), fresh());
    let mut timers = Timers::new(ONE_GROUP, 0..1, &hash, None).unwrap_or_else(|error| panic!("no timers are restored: {error}"));
    for key in 0..20 {
        *counts.get_or_insert_with(hash(&key), &key, || 1 << key) += key;
        *panes.get_or_insert_with(hash(&key), &key, || 0) += 1;
        for domain in [TimeDomain::Event, TimeDomain::Processing] {
            timers.register(hash(&(key % 7)), &(key % 7), Timer { domain, time: Timestamp::from_millis(key as i64) });
        }
    }
    let window = (Timestamp::from_millis(0), Timestamp::from_millis(1000));
    let kinds = [None, Some(Ttl::of(millis(10)))].into_iter().flat_map(kinds);
    let mut views: Vec<Arc<dyn StateView>> = vec![
        Arc::new(counts.view().described(described("count", StateKind::Value))),
        MarkedTables::<u64>::new("panes", ONE_GROUP, 0..1, hash.clone()).view(vec![(window, panes.view())]),
        timers.view(),
        Arc::new(ListView::new("splits", vec![("a".to_owned(), 1u64), ("b".to_owned(), 2)])),
    ];
    views.extend(kinds);
    views
}

/// Views of a list and of a map for each of a few keys.
fn kinds(ttl: Option<Ttl>) -> Vec<Arc<dyn StateView>> {
    let hash = hasher::<u64>();
    let mut states = KeyedState::<u64>::new(ONE_GROUP, 0..1, hash.clone(), RestoredStates::default());
    let name = |kind: &str| format!("{kind}{}", if ttl.is_some() { " that expires" } else { "" });
    states.at(Timestamp::from_millis(0));
    let list = states.register(&name("list"), ttl).list::<Option<i64>>();
    let map = states.register(&name("map"), ttl).map::<String, u64>();
    let (Ok(list), Ok(map)) = (list, map) else { panic!("nothing is restored") };
    for key in 0..20 {
        let mut state = KeyState::new(&mut states, hash(&key), &key);
        state.list(list).extend((0..key as i64).map(Some));
        state.map(map).insert(key.to_string(), key);
    }
    states.view()
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
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        bytes
    }

    fn written() -> probe::Written {
        probe::written(views()).unwrap()
    }

    #[test]
    fn what_the_engine_writes_is_read() {
        let written = written();
        assert_eq!(probe::snapshot_file(&written.snapshot_file).unwrap(), 20 + 20 + 7 + 2 + 2 * (19 + 20));
        assert_eq!(probe::manifest(&written.manifest).unwrap(), 1);
        assert!(written.documents.iter().all(|document| probe::documents(document) == 1));
        assert_eq!(probe::with_index_sealed(&written.snapshot_file), written.snapshot_file);
        assert_eq!(probe::with_seal(&written.manifest), written.manifest);
        let [counts, lists, _, maps, _, panes, splits, timers] = written.blocks.try_into().unwrap();
        let restored = |kind, block: Block| {
            let states = [(STATE.into(), (described(STATE, kind), vec![block].into()))].into();
            KeyedState::<u64>::new(ONE_GROUP, 0..1, hasher(), RestoredStates { states })
        };
        assert!(restored(StateKind::KeyedList, lists).register(STATE, None).list::<Option<i64>>().is_ok());
        assert!(restored(StateKind::Map, maps).register(STATE, None).map::<String, u64>().is_ok());
        assert_eq!(table::<u64, u64>(vec![counts]).unwrap().len(), 20);
        assert_eq!(
            read_list::<(String, u64)>("x", Some((described("x", StateKind::List), vec![splits].into()))).unwrap().len(),
            2
        );
        assert!(restore_timers(vec![timers]).is_ok());
        assert!(restore_panes(vec![panes]).is_err(), "a pane of the sample is a number, not a list");
    }

    #[test]
    fn every_target_has_a_sample() {
        let samples = samples();
        assert!(TARGETS.iter().all(|(name, _)| samples.iter().any(|(of, bytes)| of == name && !bytes.is_empty())));
        samples.iter().for_each(|(of, bytes)| TARGETS.iter().filter(|(name, _)| name == of).for_each(|(_, body)| body(bytes)));
    }

    #[test]
    fn damage_behind_a_seal_that_fits_is_an_error() {
        let written = written();
        let changed = |bytes: &[u8], at: usize| damage(bytes.to_vec(), vec![(at, 0xc1)], 0);
        let file = &written.snapshot_file;
        assert!((0..file.len()).all(|at| file[at] == 0xc1 || probe::snapshot_file(&changed(file, at)).is_err()));
        assert!(probe::manifest(&probe::with_seal(&changed(&written.manifest, 0))).is_err());
        assert!(written.documents.iter().all(|document| probe::documents(&probe::with_seal(&changed(document, 0))) == 0));
    }

    proptest! {
        #[test]
        fn c22_no_bytes_stop_a_reader(bytes in vec(any::<u8>(), 0..300)) {
            TARGETS.iter().for_each(|(_, target)| target(&bytes));
        }

        #[test]
        fn c22_no_damage_stops_a_reader(
            pick in any::<prop::sample::Index>(), patches in vec((any::<usize>(), any::<u8>()), 0..6), cut in 0..40usize,
        ) {
            let samples = samples();
            let (of, bytes) = pick.get(&samples);
            let bytes = damage(bytes.clone(), patches, cut);
            TARGETS.iter().filter(|(name, _)| name == of).for_each(|(_, target)| target(&bytes));
        }

        #[test]
        fn machines_do_what_their_models_do(script in vec(any::<u8>(), 0..1500)) {
            alignment(&script);
            timers(&script);
        }

        #[test]
        fn objects_that_were_written_are_walked(values in vec((any::<u64>(), any::<Option<String>>()), 0..20)) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| encode(value, &mut bytes).unwrap());
            objects(&bytes);
        }
    }
}
