//! The hash of a key: the same on every platform and in every version, for one seed.
//!
//! A key that is a single word (an integer of up to 64 bits, a bool, a char, a float) is mixed with the seed directly. A single string
//! or byte string is hashed as it lies. Any other key is first written as bytes, by the rules in `parts.rs`, and hashed then.
//! The values for seed 0 are checked in (`golden.txt`): a change of any of them loses users' state.
//!
//! Called by the outputs that partition by key, and by whoever restores keyed state; pure functions, on any thread.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::whole::Whole;
use crate::error::BoxError;

/// What [`KeyHasher`] does, by name, as job records and manifests keep it.
pub(crate) const HASH_ALGORITHM: &str = "tidegate-key-1";

/// Hashes keys under a job's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHasher {
    seed: u64,
}

impl KeyHasher {
    /// A hasher with this seed: drawn once for a job, so that nobody outside can craft keys that collide.
    pub(crate) const fn new(seed: u64) -> Self {
        KeyHasher { seed }
    }

    /// The hash of `key`. `scratch` is room to write in; what it holds before and after does not matter.
    ///
    /// # Errors
    /// Where the key's `Serialize` refuses, and for maps, whose order is not the same in every process.
    #[inline]
    pub(crate) fn hash<K: Serialize + ?Sized>(self, key: &K, scratch: &mut Vec<u8>) -> Result<u64, BoxError> {
        Ok(key.serialize(Whole::new(self, scratch))?)
    }

    /// The hash of a key that is one word: Pelle Evensen's `rrmxmx`, with the seed before each multiplication. One to one.
    #[inline]
    pub(super) const fn of_word(self, word: u64) -> u64 {
        const FACTOR: u64 = 0x9fb2_1c65_1e98_df25;
        const OFFSET: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut x = word ^ self.seed ^ OFFSET;
        x ^= x.rotate_right(49) ^ x.rotate_right(24);
        x = x.wrapping_mul(FACTOR);
        x ^= x >> 28;
        x ^= self.seed.rotate_left(32);
        x = x.wrapping_mul(FACTOR);
        x ^ (x >> 28)
    }

    /// The hash of a key's bytes: xxh3 with 64 bits.
    #[inline]
    pub(super) fn of_bytes(self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
