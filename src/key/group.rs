//! Key groups: which group a hash falls into, and which task owns a group.
//!
//! `group = hash * M >> 64` with M, the maximum parallelism; owners hold contiguous ranges of groups. What is left of the product,
//! the fraction, is evenly spread within a group and finds the segment of its table.

use std::ops::{Range, RangeInclusive};

use crate::ids::KeyGroup;

/// The maximum parallelism unless one is set.
pub(crate) const DEFAULT_MAX_PARALLELISM: u16 = 128;

/// The key groups of a job: as many as its maximum parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyGroups {
    max: u16,
}

impl KeyGroups {
    /// `max` key groups, at least one.
    pub(crate) const fn new(max: u16) -> Self {
        KeyGroups { max: if max == 0 { 1 } else { max } }
    }

    /// How many there are.
    pub(crate) const fn max(self) -> u16 {
        self.max
    }

    /// The group that a hash falls into.
    #[inline]
    pub(crate) fn of(self, hash: u64) -> KeyGroup {
        self.place(hash).0
    }

    /// The group that a hash falls into, and the hash's place within it: evenly spread over 64 bits, to be read from the top.
    #[inline]
    pub(crate) fn place(self, hash: u64) -> (KeyGroup, u64) {
        let product = u128::from(hash) * u128::from(self.max);
        (KeyGroup((product >> 64) as u16), product as u64)
    }

    /// The hashes that fall into these groups; none where there is no such group.
    pub(crate) fn hashes(self, groups: Range<u16>) -> Option<RangeInclusive<u64>> {
        let first = |group: u16| (u128::from(group) << 64).div_ceil(u128::from(self.max));
        let (start, end) = (first(groups.start), first(groups.end.min(self.max)));
        if start >= end {
            return None;
        }
        Some(u64::try_from(start).ok()?..=u64::try_from(end - 1).ok()?)
    }

    /// The index of the task that owns `group`, among `parallelism` tasks.
    pub(crate) fn owner(self, group: KeyGroup, parallelism: u32) -> u32 {
        (u64::from(group.0) * u64::from(parallelism) / u64::from(self.max)) as u32
    }

    /// The groups that the task with this index owns, among `parallelism` tasks.
    pub(crate) fn range(self, index: u32, parallelism: u32) -> Range<u16> {
        let max = u64::from(self.max);
        let start = |index: u64| (index * max).div_ceil(u64::from(parallelism.max(1)));
        start(u64::from(index)) as u16..start(u64::from(index) + 1) as u16
    }
}

impl Default for KeyGroups {
    fn default() -> Self {
        KeyGroups::new(DEFAULT_MAX_PARALLELISM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c11_owners_and_ranges_agree() {
        for max in 1..=512u16 {
            let groups = KeyGroups::new(max);
            for parallelism in [1, 2, 3, 5, 7, u32::from(max / 2).max(1), u32::from(max)] {
                if parallelism > u32::from(max) {
                    continue;
                }
                let mut next = 0;
                for index in 0..parallelism {
                    let range = groups.range(index, parallelism);
                    assert_eq!(range.start, next, "ranges are contiguous");
                    next = range.end;
                    for group in range {
                        assert_eq!(groups.owner(KeyGroup(group), parallelism), index);
                    }
                }
                assert_eq!(next, max, "ranges cover all groups");
            }
        }
    }

    #[test]
    fn the_hashes_of_a_group_are_all_that_fall_into_it() {
        for max in [1, 2, 3, 7, 100, 128, 512, u16::MAX] {
            let groups = KeyGroups::new(max);
            let mut next = Some(0);
            for group in (0..max).take(300).chain(max.saturating_sub(2)..max) {
                let (first, last) = groups.hashes(group..group + 1).unwrap().into_inner();
                assert_eq!((groups.of(first), groups.of(last)), (KeyGroup(group), KeyGroup(group)));
                assert!(next.is_none_or(|next| next == first) || group >= 298, "nothing lies between two groups");
                next = last.checked_add(1);
            }
            assert_eq!(groups.hashes(0..max), Some(0..=u64::MAX));
            assert_eq!(groups.hashes(0..u16::MAX), Some(0..=u64::MAX), "there are no more");
            assert_eq!(groups.hashes(max..u16::MAX), None);
            assert_eq!(groups.hashes(0..0), None);
        }
    }

    #[test]
    fn the_ends_of_the_hash_range_fall_into_the_first_and_the_last_group() {
        let groups = KeyGroups::new(100);
        assert_eq!(groups.of(0), KeyGroup(0));
        assert_eq!(groups.of(u64::MAX), KeyGroup(99));
    }
}
