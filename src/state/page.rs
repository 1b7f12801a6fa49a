//! Pages of a table, for whoever scans it from outside, one page at a time.
//!
//! Entries come by rising hash of their keys, and a page ends at a hash. So a scan does not depend on where entries lie: a key that
//! is there from the scan's beginning to its end is in exactly one page, however the table grows, splits and is restored meanwhile.
//!
//! Always: a page looks at a bounded number of entries. Read on the task's thread.

use std::ops::RangeInclusive;

use crate::config::PAGE_LOOKS;

use super::segment::Segment;
use super::table::KeyedTable;

/// Some entries of a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<K, V> {
    pub(crate) entries: Vec<(K, V)>,
    /// The hash at which the next page begins; none where this one is the last.
    pub(crate) next: Option<u64>,
}

impl<K: Clone, C> KeyedTable<K, C> {
    /// The first entries whose keys have these hashes, those of which `show` shows something: not many more than `limit`, and maybe
    /// none though there are more pages. The first hash must be that of an owned key group.
    pub(crate) fn page<V>(&self, hashes: RangeInclusive<u64>, limit: usize, show: impl Fn(&C) -> Option<V>) -> Page<K, V> {
        let (mut page, mut looked, mut slot) = (Page { entries: Vec::new(), next: None }, 0, self.slot(*hashes.start()));
        while let Some(found) = self.segment_of(slot, &hashes) {
            looked += 1 + found.looked;
            page.next = page.take(found.entries, limit, &show);
            if page.next.is_some() {
                return page;
            }
            slot = self.after(slot);
            page.next = self.first_hash(slot).filter(|first| hashes.contains(first));
            if page.next.is_none() || page.entries.len() >= limit || looked >= PAGE_LOOKS {
                return page;
            }
        }
        page
    }

    /// The entries of a slot's segment that have such hashes, by hash.
    fn segment_of(&self, slot: usize, hashes: &RangeInclusive<u64>) -> Option<Found<'_, K, C>> {
        let leader = self.segments.get(slot)?.leader(slot);
        let entries = self.segments.get(leader)?.entries(self.tables.get(leader)?);
        let hashed = entries.iter().map(|(key, value)| ((self.hasher)(key), key, value));
        let mut found: Vec<_> = hashed.filter(|(hash, ..)| hashes.contains(hash)).collect();
        found.sort_unstable_by_key(|(hash, ..)| *hash);
        Some(Found { looked: entries.len(), entries: found })
    }

    /// The first slot behind the segment of this one.
    fn after(&self, slot: usize) -> usize {
        let behind = self.segments.get(slot + 1..).unwrap_or_default();
        slot + 1 + behind.iter().take_while(|segment| matches!(segment, Segment::Joined(_))).count()
    }

    /// The lowest hash of a slot; none behind the last owned one.
    fn first_hash(&self, slot: usize) -> Option<u64> {
        self.segments.get(slot)?;
        let first = (u128::from(self.base + slot as u64) << 64).div_ceil(u128::from(self.scale));
        u64::try_from(first).ok()
    }
}

/// What a segment has for a page.
struct Found<'a, K, C> {
    /// How many entries there are in all.
    looked: usize,
    entries: Vec<(u64, &'a K, &'a C)>,
}

impl<K: Clone, V> Page<K, V> {
    /// Takes entries up to the limit, and beyond it those with the last one's hash; the hash of the first one that is left.
    fn take<C>(&mut self, found: Vec<(u64, &K, &C)>, limit: usize, show: impl Fn(&C) -> Option<V>) -> Option<u64> {
        let mut last = None;
        for (hash, key, content) in found {
            let Some(value) = show(content) else { continue };
            if self.entries.len() >= limit && last != Some(hash) {
                return Some(hash);
            }
            self.entries.push((key.clone(), value));
            last = Some(hash);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::key::KeyGroups;
    use crate::state::KeyHasher;

    const GROUPS: KeyGroups = KeyGroups::new(16);

    /// Spreads keys over all hashes; every 500 keys in a row have one hash.
    fn hash(key: &u64) -> u64 {
        (key / 500 * 500).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key % 500 / 250) << 7
    }

    fn spread(key: &u64) -> u64 {
        key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn table(hash: fn(&u64) -> u64, keys: impl IntoIterator<Item = u64>) -> KeyedTable<u64, u64> {
        let hasher: KeyHasher<u64> = Arc::new(hash);
        let mut table = KeyedTable::new(GROUPS, 0..16, hasher);
        for key in keys {
            table.insert(hash(&key), &key, key + 1);
        }
        table
    }

    fn first(table: &KeyedTable<u64, u64>, hashes: RangeInclusive<u64>, limit: usize) -> Page<u64, u64> {
        table.page(hashes, limit, |value| Some(*value))
    }

    /// All pages from the beginning; `between` is done after each.
    fn scan(
        table: &mut KeyedTable<u64, u64>,
        limit: usize,
        mut between: impl FnMut(&mut KeyedTable<u64, u64>, usize),
    ) -> BTreeMap<u64, u64> {
        let (mut seen, mut next, mut pages) = (BTreeMap::new(), Some(0), 0);
        while let Some(from) = next {
            let page = first(table, from..=u64::MAX, limit);
            for (key, value) in page.entries {
                assert_eq!(seen.insert(key, value), None, "{key} is in two pages");
            }
            assert!(page.next.is_none_or(|next| next > from), "a scan comes to an end");
            (next, pages) = (page.next, pages + 1);
            between(table, pages);
        }
        seen
    }

    #[test]
    fn every_entry_is_in_one_page() {
        for n in [0, 1, 7, 1000, 3_584, 20_000] {
            for limit in [1, 100, 5000].into_iter().filter(|limit| *limit > 1 || n <= 1000) {
                let mut table = table(spread, 0..n);
                assert_eq!(scan(&mut table, limit, |_, _| ()), (0..n).map(|key| (key, key + 1)).collect());
            }
        }
    }

    #[test]
    fn a_page_is_bounded_and_keys_of_one_hash_stay_together() {
        let mut table = table(hash, 0..5000);
        let page = first(&table, 0..=u64::MAX, 10);
        assert_eq!(page.entries.len(), 250);
        assert_eq!(scan(&mut table, 10, |_, _| ()).len(), 5000);
    }

    #[test]
    fn a_scan_of_an_emptied_table_looks_at_some_segments_at_a_time() {
        let mut table = table(spread, 0..60_000);
        table.retain(|key, _| *key == 77);
        assert!(first(&table, 0..=u64::MAX, 10).next.is_none(), "its segments are looked at at once");
        let mut full = self::table(spread, 0..60_000);
        let page = first(&full, 0..=u64::MAX, usize::MAX);
        assert!(page.entries.len() < 2 * PAGE_LOOKS && page.next.is_some());
        assert_eq!(scan(&mut full, usize::MAX, |_, _| ()).len(), 60_000);
    }

    #[test]
    fn keys_that_stay_are_in_one_page_though_the_table_changes_between_pages() {
        // It grows and splits while views of it are held, and loses keys.
        let mut table = table(spread, 0..2000);
        let mut views = Vec::new();
        let seen = scan(&mut table, 100, |table, page| {
            let more = 10_000 * page as u64;
            for key in more..more + if page < 15 { 5000 } else { 0 } {
                table.insert(spread(&key), &key, 0);
            }
            table.remove(spread(&(1000 + page as u64)), &(1000 + page as u64));
            if page % 3 == 0 {
                views.push(table.view());
            }
        });
        assert!((0..1000).all(|key| seen.get(&key) == Some(&(key + 1))), "those that were there throughout");
        assert!(table.segments.len() > 16 && !views.is_empty());
    }

    #[test]
    fn a_page_keeps_to_its_hashes() {
        let table = table(spread, 0..2000);
        for group in 0..16u16 {
            let hashes = GROUPS.hashes(group..group + 1).unwrap();
            let page = first(&table, hashes.clone(), usize::MAX);
            let expected = (0..2000).filter(|key| hashes.contains(&spread(key))).count();
            assert_eq!((page.entries.len(), page.next), (expected, None), "group {group}");
        }
    }
}
