//! What the hash of a key must be, in every version: checked-in values, and what must not make a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};

use super::*;
use crate::key::KeyGroups;

const GOLDEN: &str = include_str!("golden.txt");

#[derive(Debug, Serialize)]
struct Account(u64);

#[derive(Debug, Serialize)]
struct Route {
    origin: String,
    flight: u16,
}

#[derive(Debug, Serialize)]
enum Shape {
    Point,
    Circle(f64),
    Box { wide: i32, high: i32 },
    Line(i8, i8),
}

fn hash<K: Serialize + ?Sized>(key: &K) -> u64 {
    KeyHasher::new(0).hash(key, &mut vec![7; 3]).unwrap()
}

/// The lines of `golden.txt`, computed.
#[derive(Default)]
struct Table {
    text: String,
    state: u64,
}

impl Table {
    fn key<K: Serialize + Debug>(&mut self, key: K) {
        let hash = hash(&key);
        let (small, odd) = (KeyGroups::default().of(hash), KeyGroups::new(1000).of(hash));
        writeln!(self.text, "{hash:016x} {small} {odd} {key:?}").unwrap();
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.state ^ (self.state >> 29)
    }

    fn word(&mut self, length: u64) -> String {
        (0..length).map(|_| char::from(b'a' + (self.draw() % 26) as u8)).collect()
    }
}

fn table() -> String {
    let mut table = Table::default();
    (0..200u64).for_each(|n| table.key(n));
    (1..=64).for_each(|bits| table.key(u64::MAX >> (64 - bits)));
    (0..100).for_each(|_| {
        let n = table.draw();
        table.key(n as i64);
    });
    for key in [i64::MIN, -1, -2, i64::from(i32::MIN)] {
        table.key(key);
    }
    for key in [u128::MAX, 1 << 64, 5] {
        table.key(key);
    }
    for key in [0.0, 1.5, -1.5, f64::INFINITY, f64::NAN, 1e300] {
        table.key(key);
    }
    table.key(true);
    table.key('ß');
    table.key(());
    for length in 0..300 {
        let word = table.word(length);
        table.key(word);
    }
    for n in 0..200 {
        let pair = (table.word(n % 7), table.word(n % 5));
        table.key(pair);
    }
    for n in 0..50u16 {
        let origin = table.word(3);
        table.key(Route { origin, flight: n * 100 });
    }
    for n in 0..20 {
        table.key(Shape::Box { wide: n, high: -n });
        table.key(Shape::Circle(f64::from(n) / 2.0));
        table.key(Shape::Line(n as i8, -1));
        table.key((n % 2 == 0).then_some(n));
        table.key((0..n).collect::<Vec<i32>>());
        table.key((n, (Account(7), Shape::Point, "x")));
    }
    table.text
}

#[test]
fn c10_the_hash_of_a_key_is_the_checked_in_one() {
    let computed = table();
    assert!(GOLDEN.lines().count() >= 1000);
    for (line, (computed, golden)) in computed.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(computed, golden, "golden.txt, line {}: the stored state of every job depends on this value", line + 1);
    }
    assert_eq!(computed.lines().count(), GOLDEN.lines().count());
}

#[test]
fn c10_the_width_of_an_integer_and_a_newtype_make_no_difference() {
    assert_eq!(hash(&5u8), hash(&5u64));
    assert_eq!(hash(&Account(5)), hash(&5u16));
    assert_eq!(hash(&-1i8), hash(&-1i64));
    assert_eq!(hash(&5u128), hash(&5i128));
    assert_eq!(hash(&(Account(5), "a")), hash(&(5u8, String::from("a"))));
    assert_eq!(hash("abc"), hash(&Box::new(String::from("abc"))));
}

#[test]
fn c10_equal_floats_hash_equally() {
    assert_eq!(hash(&-0.0), hash(&0.0));
    assert_eq!(hash(&f64::NAN), hash(&f64::from_bits(0xfff8_0000_0000_0001)));
    assert_eq!(hash(&1.5f32), hash(&1.5f64));
    assert_eq!(hash(&(-0.0, 1)), hash(&(0.0, 1)));
}

#[test]
fn strings_in_tuples_are_delimited() {
    let keys = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")];
    let hashes: BTreeSet<u64> = keys.iter().map(hash).collect();
    assert_eq!(hashes.len(), keys.len());
}

#[test]
fn lists_options_and_variants_are_told_apart() {
    let none: Option<Option<u8>> = None;
    assert_ne!(hash(&none), hash(&Some(None::<u8>)));
    assert_ne!(hash(&vec![vec![1], vec![]]), hash(&vec![vec![], vec![1]]));
    assert_ne!(hash(&Shape::Line(1, 2)), hash(&Shape::Box { wide: 1, high: 2 }));
    assert_ne!(hash(&(vec![1], vec![2, 3])), hash(&(vec![1, 2], vec![3])));
}

#[test]
fn maps_are_refused_with_advice() {
    let error = KeyHasher::new(0).hash(&BTreeMap::from([(1, 2)]), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("sorted list of pairs"), "{error}");
    let inside = KeyHasher::new(0).hash(&(1, BTreeMap::from([(1, 2)])), &mut Vec::new());
    assert!(inside.is_err());
}

#[test]
fn displayed_keys_hash_like_the_strings_they_are() {
    struct Shown(u8);
    impl Serialize for Shown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("n{}", self.0))
        }
    }
    assert_eq!(hash(&Shown(12)), hash("n12"));
    assert_eq!(hash(&(1, Shown(12))), hash(&(1, "n12")));
}

#[test]
fn the_seed_changes_everything() {
    let mut scratch = Vec::new();
    for seed in 1..100 {
        let hasher = KeyHasher::new(seed);
        assert_ne!(hasher.hash(&1u64, &mut scratch).unwrap(), hash(&1u64));
        assert_ne!(hasher.hash("key", &mut scratch).unwrap(), hash("key"));
    }
}

#[test]
fn a_flipped_bit_of_a_word_flips_each_bit_of_the_hash_half_of_the_time() {
    const ROUNDS: u64 = 2000;
    for bit in 0..64 {
        let mut flips = [0u64; 64];
        for n in 0..ROUNDS {
            let change = hash(&n) ^ hash(&(n ^ (1 << bit)));
            flips.iter_mut().enumerate().for_each(|(at, count)| *count += (change >> at) & 1);
        }
        for (at, count) in flips.iter().enumerate() {
            assert!((ROUNDS * 4 / 10..ROUNDS * 6 / 10).contains(count), "bit {bit} changes bit {at} {count} times of {ROUNDS}");
        }
    }
}

#[test]
fn numbers_in_a_row_fall_evenly_into_groups() {
    for stride in [1u64, 8, 1000, 1 << 20, 1 << 32, 1 << 50] {
        let mut groups = vec![0u32; 128];
        for n in 0..12_800u64 {
            groups[usize::from(KeyGroups::default().of(hash(&n.wrapping_mul(stride))).0)] += 1;
        }
        assert!(groups.iter().all(|count| (50..170).contains(count)), "stride {stride}: {groups:?}");
    }
}
