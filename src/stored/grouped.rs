//! Entries that are written: gathered by key group, and handed out in blocks.
//!
//! Always: no more is gathered than [`GATHERED_BYTES`], beside the one entry that overruns it; each block is of one key group.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::codec::encode;
use crate::error::BoxError;
use crate::ids::KeyGroup;
use crate::state::Block;

/// Bound of a block's size, before the one entry that may overrun it.
pub(super) const BLOCK_BYTES: usize = 4 << 20;

/// Bound of what all blocks together hold before some are handed out.
const GATHERED_BYTES: usize = 64 << 20;

/// Blocks in the making.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    blocks: BTreeMap<KeyGroup, Block>,
    gathered: usize,
}

impl Grouped {
    /// Adds an entry; hands out what is full.
    pub(super) fn add<K: Serialize, V: Serialize>(
        &mut self,
        group: KeyGroup,
        (key, value): (&K, &V),
        emit: &mut dyn FnMut(&Block) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let block = self.blocks.entry(group).or_insert_with(|| empty(group));
        let before = block.bytes.len();
        encode(key, &mut block.bytes)?;
        encode(value, &mut block.bytes)?;
        block.entries += 1;
        self.gathered += block.bytes.len() - before;
        if block.bytes.len() >= BLOCK_BYTES {
            self.hand_out(group, emit)?;
        }
        while self.gathered > GATHERED_BYTES {
            let largest = self.blocks.iter().max_by_key(|(_, block)| block.bytes.len()).map(|(group, _)| *group);
            self.hand_out(largest.unwrap_or(group), emit)?;
        }
        Ok(())
    }

    /// Hands out all that is left, key groups ascending.
    pub(super) fn finish(self, emit: &mut dyn FnMut(&Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        self.blocks.values().filter(|block| block.entries > 0).try_for_each(emit)
    }

    fn hand_out(&mut self, group: KeyGroup, emit: &mut dyn FnMut(&Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let Some(block) = self.blocks.remove(&group) else { return Ok(()) };
        self.gathered = self.gathered.saturating_sub(block.bytes.len());
        emit(&block)
    }
}

fn empty(group: KeyGroup) -> Block {
    Block { group: Some(group), entries: 0, bytes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;

    #[test]
    fn all_entries_come_out_in_blocks_that_are_bounded() {
        let (mut grouped, mut blocks) = (Grouped::default(), Vec::new());
        let mut emit = |block: &Block| {
            blocks.push(block.clone());
            Ok(())
        };
        let value = "x".repeat(100_000);
        for n in 0..1000u64 {
            let group = KeyGroup((n % 40) as u16);
            grouped.add(group, (&n, &value), &mut emit).unwrap();
            assert!(grouped.gathered <= GATHERED_BYTES);
        }
        grouped.finish(&mut emit).unwrap();
        let mut keys = Vec::new();
        for block in blocks {
            assert!(block.bytes.len() < BLOCK_BYTES + 200_000);
            let mut reader = Reader::new(&block.bytes);
            for _ in 0..block.entries {
                let key = reader.next::<u64>().unwrap();
                assert_eq!(block.group, Some(KeyGroup((key % 40) as u16)));
                keys.push(key);
                reader.skip().unwrap();
            }
            assert!(reader.is_empty());
        }
        keys.sort_unstable();
        assert!(keys.into_iter().eq(0..1000));
    }
}
