//! The long ids of a block, and those of the blocks of a group together.
//!
//! Long are ids of at least [`MIN_LONG`] bytes and the middles of UUIDs: trace ids, request ids and the like, which few blocks
//! have in common. The invariant: a group knows every long id of its blocks, and of the longest as much as a block knows of
//! its own; so an [`IdFilter`] of a group denies no long id that one of its blocks has.

use super::id_filter::{IdFilter, LONG_ID_BYTES, LongIds, seal};
use crate::filter::FilterBuilder;

/// Shortest long id, in folded bytes. Shorter ones are mostly counters, codes and times, which many blocks have.
pub(crate) const MIN_LONG: usize = 16;

/// Distinct ids at which a group is full. Bounds the memory for it: twice as many keys of 8 bytes and the block's added last,
/// and some 40 bytes a key while the filter is made.
pub(crate) const MAX_GROUP_IDS: usize = 1 << 17;

/// Distinct ids of a group whose filter costs next to nothing, whatever it spares.
const FEW_IDS: usize = 1 << 14;
/// One id in so many is met again where ids are of requests, and not of single lines.
const MET_AGAIN: usize = 32;

/// Bytes of ids that a group keeps letter by letter: those of some blocks.
const GROUP_ID_BYTES: usize = 8 * LONG_ID_BYTES;

/// The long ids of a block.
#[derive(Debug, Default)]
pub(crate) struct BlockLongIds {
    /// Their keys, ascending.
    pub(super) keys: Vec<u64>,
    pub(super) longest: LongIds,
}

/// The long ids of the blocks of a group.
#[derive(Debug)]
pub(crate) struct GroupLongIds {
    max_ids: usize,
    keys: Vec<u64>,
    /// Of `keys`, those that were sorted and distinct when it was last looked at.
    distinct: usize,
    /// Ids of all blocks, one of several blocks as many times.
    added: usize,
    longest: LongIds,
    filters: FilterBuilder,
}

impl BlockLongIds {
    /// Whether a group with these ids knows all of the block's.
    pub(crate) fn are_known(&self, group: &IdFilter<'_>) -> bool {
        let is_listed = |id: &[u8]| id.len() <= group.others || group.long.contains(&id);
        self.keys.iter().all(|key| group.filter.may_contain(*key))
            && self.longest.others <= group.others
            && self.longest.ids.iter().all(|id| is_listed(id))
    }
}

impl GroupLongIds {
    pub(crate) fn new(max_ids: usize) -> Self {
        let (longest, filters) = (LongIds::default(), FilterBuilder::default());
        Self { max_ids, keys: Vec::new(), distinct: 0, added: 0, longest, filters }
    }

    pub(crate) fn add(&mut self, block: &BlockLongIds) {
        self.longest.add(&block.longest, GROUP_ID_BYTES);
        self.keys.extend_from_slice(&block.keys);
        self.added += block.keys.len();
        if self.keys.len() >= self.max_ids.max(2 * self.distinct) {
            self.sort();
        }
    }

    /// Whether no further blocks should be added.
    pub(crate) const fn is_full(&self) -> bool {
        self.distinct >= self.max_ids
    }

    /// The filter of the blocks that were added, as [`IdFilter`] reads it; `None` where it would not pay. Another group
    /// begins.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        self.sort();
        let filter = self.pays().then(|| {
            let mut ids = Vec::new();
            self.longest.encode(&mut ids);
            self.filters.build(&self.keys, &mut ids);
            seal(&mut ids);
            ids
        });
        self.keys.clear();
        (self.distinct, self.added, self.longest) = (0, 0, LongIds::default());
        filter
    }

    /// Ids that are met again in other blocks lie in tables of the part, and a false candidate costs as much as these. Others
    /// lie in columns of their blocks: one of 256 is read for nothing, which costs less than a further byte for each id. How often
    /// they are met again in the group says which; seldom where a merge has made its blocks, of a few streams each.
    const fn pays(&self) -> bool {
        self.distinct <= FEW_IDS || self.added - self.distinct >= self.added / MET_AGAIN
    }

    fn sort(&mut self) {
        // Each block's are in order: this sort merges such runs, which takes a fraction of the time.
        self.keys.sort();
        self.keys.dedup();
        self.distinct = self.keys.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(ids: &[&str]) -> BlockLongIds {
        let mut block = BlockLongIds::default();
        for id in ids {
            block.keys.push(crate::token::id_key(id.as_bytes()));
            if id.len() > block.longest.others {
                block.longest.insert(id.as_bytes(), LONG_ID_BYTES);
            }
        }
        block.keys.sort_unstable();
        block
    }

    #[test]
    fn a_group_knows_the_ids_of_all_its_blocks_and_is_full_by_distinct_ones() {
        let mut group = GroupLongIds::new(300);
        let names: Vec<String> = (0..1000).map(|i| format!("{i:032}")).collect();
        let blocks: Vec<BlockLongIds> = names
            .chunks(50)
            .map(|names| block(&names.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        for _ in 0..10 {
            group.add(&blocks[0]);
            assert!(!group.is_full(), "the same ids again");
        }
        let added = blocks.iter().take_while(|block| {
            group.add(block);
            !group.is_full()
        });
        let added = added.count() + 1;
        assert!((6..=12).contains(&added), "{added}");
        let bytes = group.finish().unwrap();
        assert!(IdFilter::is_whole(&bytes));
        let ids = IdFilter::decode(&bytes).unwrap();
        assert!(blocks[..added].iter().all(|block| block.are_known(&ids)));
        assert!(!blocks[added..].iter().any(|block| block.are_known(&ids)));
        assert!(!ids.may_contain_longer(32, |_| true));

        let another = group.finish().unwrap();
        assert!(!blocks[0].are_known(&IdFilter::decode(&another).unwrap()));
    }

    #[test]
    fn many_ids_of_one_block_each_make_no_filter() {
        let keys =
            |range: std::ops::Range<u64>| BlockLongIds { keys: range.collect(), ..BlockLongIds::default() };
        let few = FEW_IDS as u64;
        for (blocks, pays) in [
            (vec![keys(0..few)], true),
            (vec![keys(0..few), keys(few..few + 1)], false),
            (vec![keys(0..few), keys(few..2 * few)], false),
            (vec![keys(0..few), keys(few..2 * few), keys(0..few)], true),
            (vec![keys(0..few), keys(few..2 * few), keys(0..few / 8)], true),
            (vec![keys(0..few), keys(few..2 * few), keys(0..few / 32)], false),
        ] {
            let mut group = GroupLongIds::new(MAX_GROUP_IDS);
            blocks.iter().for_each(|block| group.add(block));
            assert_eq!(group.finish().is_some(), pays, "{} blocks", blocks.len());
            group.add(&blocks[0]);
            assert!(group.finish().is_some(), "of another group");
        }
    }

    #[test]
    fn a_group_knows_the_longest_ids_of_blocks_that_list_all_of_theirs_and_of_those_that_do_not() {
        let long = |n: usize, len: usize| format!("{n:0len$}");
        let many: Vec<String> = (0..40).map(|n| long(n, 64)).collect();
        let many = block(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(many.longest.others, 64);
        let few = block(&[&long(1, 64), &long(2, 100), &long(3, 20)]);
        for blocks in [[&many, &few], [&few, &many]] {
            let mut group = GroupLongIds::new(MAX_GROUP_IDS);
            blocks.iter().for_each(|block| group.add(block));
            let bytes = group.finish().unwrap();
            let ids = IdFilter::decode(&bytes).unwrap();
            assert!(blocks.iter().all(|block| block.are_known(&ids)));
            let longer = |len: usize, part: &[u8]| ids.may_contain_longer(len, |id| id.ends_with(part));
            assert_eq!((longer(63, b"no"), longer(64, b"no"), longer(64, b"02")), (true, false, true));
            group.add(&few);
            let alone = group.finish().unwrap();
            assert!(!many.are_known(&IdFilter::decode(&alone).unwrap()));
        }
    }
}
