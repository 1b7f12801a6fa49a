//! Whatever bytes are read: an error at worst, and no more memory than the bytes allow.
//!
//! A test binary of its own, for its allocator. What is fuzzed in `fuzz/` is run here with random bytes and with damaged ones.

mod bounded;

use bounded::{Counted, peak_bytes, within_bounds};
use proptest::collection::vec;
use proptest::prelude::*;
use tidegate::testing::fuzzing::{TARGETS, samples};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

#[test]
fn the_allocator_sees_what_is_held() {
    let held = peak_bytes(|| {
        drop(vec![0u8; 5000]);
        let mut long = Vec::<u8>::with_capacity(4000);
        long.reserve_exact(7000);
        assert!(long.is_empty());
    });
    assert_eq!(held, 11_000, "while it grows, the old vector is there beside the new one");
}

#[test]
fn samples_are_read_within_bounds() {
    for (of, bytes) in samples() {
        TARGETS.iter().filter(|(name, _)| *name == of).for_each(|(name, target)| within_bounds(name, &bytes, *target));
    }
}

proptest! {
    #[test]
    fn c22_no_bytes_make_a_reader_allocate_beyond_them(bytes in vec(any::<u8>(), 0..300)) {
        TARGETS.iter().for_each(|(name, target)| within_bounds(name, &bytes, *target));
    }

    #[test]
    fn c22_no_damage_makes_a_reader_allocate_beyond_its_input(
        pick in any::<prop::sample::Index>(), patches in vec((any::<usize>(), any::<u8>()), 0..8), cut in 0..40usize,
    ) {
        let samples = samples();
        let (of, bytes) = pick.get(&samples);
        let mut bytes = bytes.clone();
        bytes.truncate(bytes.len().saturating_sub(cut));
        let len = bytes.len();
        for (at, byte) in patches.into_iter().filter(|_| len > 0) {
            bytes[at % len] = byte;
        }
        TARGETS.iter().filter(|(name, _)| name == of).for_each(|(name, target)| within_bounds(name, &bytes, *target));
    }

    /// Lengths are where an allocation comes from: many small objects, and lists that claim to be long.
    #[test]
    fn c22_objects_that_claim_to_be_long_cost_what_they_have(
        heads in vec((prop::sample::select(vec![0xdcu8, 0xdd, 0xde, 0xdf, 0xda, 0xdb, 0xc5, 0xc6]), any::<u32>()), 1..4),
        filling in prop::sample::select(vec![0u8, 0x80, 0x90, 0xa0, 0xc0]),
        n in 0..20_000usize,
    ) {
        let mut bytes = vec![0, u8::MAX];
        for (marker, length) in heads {
            bytes.push(marker);
            bytes.extend(length.to_be_bytes());
        }
        bytes.resize(bytes.len() + n, filling);
        TARGETS.iter().for_each(|(name, target)| within_bounds(name, &bytes, *target));
    }
}
