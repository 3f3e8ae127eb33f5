//! Groups: blocks of a part with one more filter in common, of the long ids of all.
//!
//! One of 256 ids passes the filter of a block that does not have it, which makes many blocks to read where there are many,
//! each with the tables of its part. Of these, one of 256 passes the filter of the group. It is asked once for all its blocks,
//! and mostly theirs need not be in memory then.
//!
//! The invariant: every long id (see `terms`) of a group's blocks is a key of its filter. A merge copies the filter with the
//! blocks; it may then know of more blocks than there are.

use std::collections::HashMap;

use super::filters::FilterCache;
use super::{Part, PartId, Place};
use crate::block::{BlockError, Input, Malformed, put_varint};
use crate::terms::{BlockLongIds, GroupLongIds, IdFilter, MAX_GROUP_IDS};

/// Where the filter of a group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) at: u64,
    pub(super) len: u32,
}

/// The groups of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    /// The group of each block, by number; empty where there are no groups.
    of_blocks: Vec<Option<u32>>,
}

/// Makes the groups of a part while it is written: of the blocks that are new to it as they come, of others as they were.
#[derive(Debug)]
pub(super) struct GroupBuilder {
    long_ids: GroupLongIds,
    /// The group of blocks that are new, while it is not full.
    open: Option<u32>,
    /// Filters of all groups but that one, by number; empty where they would not pay.
    filters: Vec<Vec<u8>>,
    of_blocks: Vec<Option<u32>>,
    /// Groups that came with blocks of other parts: where from, and their number here.
    copied: HashMap<(PartId, u32), u32>,
}

// === impl Groups ===

impl Groups {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.groups.len() as u64);
        for group in &self.groups {
            put_varint(out, group.at);
            put_varint(out, u64::from(group.len));
        }
        if !self.groups.is_empty() {
            for group in &self.of_blocks {
                put_varint(out, group.map_or(0, |number| u64::from(number) + 1));
            }
        }
    }

    pub(super) fn decode(input: &mut Input<'_>, blocks: usize) -> Result<Self, Malformed> {
        let mut decoded = Self::default();
        for _ in 0..input.varint("number of groups")? {
            let at = input.varint("place of a group")?;
            decoded.groups.push(Group { at, len: input.varint_u32("length of a group")? });
        }
        if !decoded.groups.is_empty() {
            for _ in 0..blocks {
                let group = input.varint_u32("group of a block")?.checked_sub(1);
                if group.is_some_and(|number| number as usize >= decoded.groups.len()) {
                    return Err(Malformed("group of a block"));
                }
                decoded.of_blocks.push(group);
            }
        }
        Ok(decoded)
    }

    /// The group of block `number`, if it is in one.
    pub(super) fn of(&self, number: u32) -> Option<u32> {
        self.of_blocks.get(number as usize).copied().flatten()
    }
}

// === impl GroupBuilder ===

impl Default for GroupBuilder {
    fn default() -> Self {
        Self::with_max_ids(MAX_GROUP_IDS)
    }
}

impl GroupBuilder {
    pub(super) fn with_max_ids(max_ids: usize) -> Self {
        Self {
            long_ids: GroupLongIds::new(max_ids),
            open: None,
            filters: Vec::new(),
            of_blocks: Vec::new(),
            copied: HashMap::new(),
        }
    }

    /// Adds the next block, with these ids, to the group of those before it.
    pub(super) fn add(&mut self, ids: &BlockLongIds) {
        let number = *self.open.get_or_insert_with(|| {
            self.filters.push(Vec::new());
            self.filters.len() as u32 - 1
        });
        self.of_blocks.push(Some(number));
        self.long_ids.add(ids);
        if self.long_ids.is_full() {
            self.complete();
        }
    }

    /// Adds the next block, which was block `number` of `from`, to the group that it had there; where it had none, or one
    /// that is damaged, as a new one.
    pub(super) fn add_copied(&mut self, ids: &BlockLongIds, from: &Part, number: u32) {
        let Some(group) = from.groups.of(number) else { return self.add(ids) };
        let known = self.copied.get(&(from.id, group)).copied();
        let Some(here) = known.or_else(|| {
            let filter = from.read_group(group).ok()?;
            self.filters.push(filter);
            let here = self.filters.len() as u32 - 1;
            self.copied.insert((from.id, group), here);
            Some(here)
        }) else {
            return self.add(ids);
        };
        self.of_blocks.push(Some(here));
    }

    fn complete(&mut self) {
        if let Some(filter) = self.open.take().and_then(|open| self.filters.get_mut(open as usize)) {
            *filter = self.long_ids.finish().unwrap_or_default();
        }
    }

    /// The groups and their filters, which will lie at `at`; `places` are those of the blocks.
    pub(super) fn finish(mut self, places: &[Place], mut at: u64) -> (Groups, Vec<u8>) {
        self.complete();
        let pays = self.that_pay(places);
        let mut finished = Groups::default();
        let (mut bytes, mut numbers) = (Vec::new(), Vec::with_capacity(pays.len()));
        for (filter, pays) in self.filters.iter().zip(pays) {
            numbers.push(pays.then_some(finished.groups.len() as u32));
            if pays {
                let len = filter.len() as u32;
                finished.groups.push(Group { at, len });
                at += u64::from(len);
                bytes.extend_from_slice(filter);
            }
        }
        if !finished.groups.is_empty() {
            let renumbered = self.of_blocks.iter().map(|group| numbers.get((*group)? as usize).copied()?);
            finished.of_blocks = renumbered.collect();
        }
        (finished, bytes)
    }

    /// Which groups are worth their bytes: those of several blocks that are smaller than the filters of these, so that it
    /// spares to ask them. Others are left of groups of which few blocks were copied.
    fn that_pay(&self, places: &[Place]) -> Vec<bool> {
        let mut spared = vec![(0_u32, 0_u64); self.filters.len()];
        for (group, place) in self.of_blocks.iter().zip(places) {
            if let Some((blocks, bytes)) = group.and_then(|number| spared.get_mut(number as usize)) {
                *blocks += 1;
                *bytes += u64::from(place.filter_len);
            }
        }
        let pays = |(filter, (blocks, bytes)): (&Vec<u8>, (u32, u64))| {
            !filter.is_empty() && blocks > 1 && filter.len() as u64 <= bytes
        };
        self.filters.iter().zip(spared).map(pays).collect()
    }
}

impl Part {
    /// The group of block `number`, if it is in one.
    pub(crate) fn group_of(&self, number: u32) -> Option<u32> {
        self.groups.of(number)
    }

    /// Asks the filter of a group of what long ids its blocks have; `None` when it cannot be read, so that each of them may
    /// have any.
    pub(crate) fn with_long_ids<T>(
        &self,
        group: u32,
        cache: &FilterCache,
        ask: impl FnOnce(&IdFilter<'_>) -> T,
    ) -> Option<T> {
        let bytes = match cache.group(self, group) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "cannot read ids of a group of blocks, searching without them");
                return None;
            }
        };
        Some(ask(&IdFilter::decode(&bytes).ok()?))
    }

    /// The filter of a group.
    ///
    /// # Errors
    /// When there is no such group, or its filter cannot be read or is damaged.
    pub(super) fn read_group(&self, group: u32) -> Result<Vec<u8>, BlockError> {
        let place = self.groups.groups.get(group as usize);
        let Some(Group { at, len }) = place.copied() else {
            return Err(self.file.damaged(0, "there is no such group"));
        };
        let bytes = self.file.read(at, len as usize, 0)?;
        if IdFilter::is_whole(&bytes) && IdFilter::decode(&bytes).is_ok() {
            Ok(bytes)
        } else {
            Err(self.file.damaged(0, "checksum of the ids of a group"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::PartWriter;
    use super::*;
    use crate::block::Block;
    use crate::config::ByteSize;
    use crate::record::Labels;
    use crate::terms::SoughtId;
    use crate::{Level, Record, StreamId, TimeRange};

    fn id(block: usize, i: usize) -> String {
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(format!("{block} {i}").as_bytes()))
    }

    /// A block whose lines have ids of their own.
    fn block(block: usize, lines: usize) -> Block {
        let labels = Arc::new(Labels::default());
        let record = |i: usize| Record {
            timestamp_ns: i as i64,
            labels: Arc::clone(&labels),
            line: format!("{i} {}", id(block, i)).into(),
            level: Level::Unset,
            pairs: Vec::new(),
        };
        let records: Vec<Record> = (0..lines).map(record).collect();
        Block::from_records(StreamId(block as u64), Arc::clone(&labels), records.iter())
    }

    fn part(path: &Path, number: u64, blocks: &[(usize, usize)]) -> Part {
        let mut writer = PartWriter::create(path, PartId(number), TimeRange::ALL).unwrap();
        for (number, lines) in blocks {
            writer.add(&block(*number, *lines), 0).unwrap();
        }
        writer.finish().unwrap();
        Part::open(path).unwrap()
    }

    /// What is known of an id: whether the group of block `number` may have it.
    fn asked(part: &Part, number: u32, id: &str) -> Option<bool> {
        let cache = FilterCache::new(ByteSize(0), ByteSize(1 << 20));
        let id = SoughtId::of(id.as_bytes());
        part.with_long_ids(part.group_of(number)?, &cache, |ids| ids.may_contain(id))
    }

    fn copied(from: &[(&Part, u32)], path: &Path, number: u64) -> Part {
        let mut writer = PartWriter::create(path, PartId(number), TimeRange::ALL).unwrap();
        for (part, block) in from {
            writer.add_raw(part.read_raw(*block).unwrap(), part).unwrap();
        }
        writer.finish().unwrap();
        let part = Part::open(path).unwrap();
        assert_eq!(part.damage(), Vec::<String>::new());
        part
    }

    #[test]
    fn blocks_of_several_parts_keep_their_groups_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: u64| dir.path().join(format!("part-{number}.blk"));
        let first = part(&path(1), 1, &[(0, 40), (1, 40), (2, 40)]);
        let second = part(&path(2), 2, &[(3, 40), (4, 40), (5, 40)]);
        assert_eq!((asked(&first, 2, &id(0, 7)), asked(&second, 0, &id(0, 7))), (Some(true), Some(false)));
        let both = copied(
            &[(&second, 2), (&first, 0), (&second, 0), (&first, 2), (&first, 1), (&second, 1)],
            &path(3),
            3,
        );
        let groups: Vec<_> = (0..6).map(|number| both.group_of(number)).collect();
        assert_eq!(groups, [0, 1, 0, 1, 1, 0].map(Some));
        assert_eq!((asked(&both, 3, &id(0, 7)), asked(&both, 2, &id(0, 7))), (Some(true), Some(false)));
        // And once more.
        let again = copied(&[(&both, 1), (&both, 2), (&both, 3), (&both, 0)], &path(4), 4);
        assert_eq!((0..4).map(|n| again.group_of(n)).collect::<Vec<_>>(), [0, 1, 0, 1].map(Some));
        assert_eq!(asked(&again, 0, &id(2, 7)), Some(true));
    }

    #[test]
    fn groups_end_when_they_are_full_and_those_that_spare_nothing_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: u64| dir.path().join(format!("part-{number}.blk"));
        let writer = PartWriter::create(&path(1), PartId(1), TimeRange::ALL).unwrap();
        let mut writer = writer.with_max_group_ids(100);
        for number in 0..5 {
            writer.add(&block(number, 60), 0).unwrap();
        }
        writer.finish().unwrap();
        let several = Part::open(&path(1)).unwrap();
        let groups: Vec<_> = (0..5).map(|number| several.group_of(number)).collect();
        assert_eq!(groups, [Some(0), Some(0), Some(1), Some(1), None], "the last has a single block");
        assert_eq!(several.damage(), Vec::<String>::new());

        // Two small blocks of a group with a large one: the filters of both are smaller than that of the group.
        let from = part(&path(2), 2, &[(0, 4), (1, 4), (2, 4000)]);
        assert_eq!(from.group_of(2), Some(0));
        let few = copied(&[(&from, 0), (&from, 1)], &path(3), 3);
        assert_eq!((few.group_of(0), few.group_of(1), few.groups.groups.len()), (None, None, 0));
    }

    #[test]
    fn a_damaged_group_denies_nothing_is_told_of_and_is_made_anew_by_a_merge() {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: u64| dir.path().join(format!("part-{number}.blk"));
        let part = part(&path(1), 1, &[(0, 40), (1, 40)]);
        let Group { at, len } = part.groups.groups[0];
        let bytes = std::fs::read(path(1)).unwrap();
        for at in (at..at + u64::from(len)).step_by(5) {
            let mut harmed = bytes.clone();
            harmed[at as usize] ^= 0x10;
            std::fs::write(path(1), harmed).unwrap();
            let harmed = Part::open(&path(1)).unwrap();
            assert_eq!(asked(&harmed, 1, &id(1, 7)), None, "byte {at}");
            let damage = harmed.damage();
            assert!(damage.len() == 1 && damage[0].contains("ids of a group"), "{damage:?}");
            let healed = copied(&[(&harmed, 1), (&harmed, 0)], &path(2), 2);
            let known = (asked(&healed, 0, &id(1, 7)), asked(&healed, 0, &id(2, 7)));
            assert_eq!(known, (Some(true), Some(false)), "byte {at}");
        }
    }

    #[test]
    fn verify_finds_a_group_that_does_not_know_an_id_of_its_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [1, 2].map(|number| dir.path().join(format!("part-{number}.blk")));
        let writer = PartWriter::create(&paths[0], PartId(1), TimeRange::ALL).unwrap();
        let mut writer = writer.with_max_group_ids(100);
        for number in 0..4 {
            writer.add(&block(number, 60), 0).unwrap();
        }
        writer.finish().unwrap();
        let mut part = Part::open(&paths[0]).unwrap();
        assert_eq!(part.damage(), Vec::<String>::new());
        part.groups.of_blocks.swap(1, 2);
        let damage = part.damage();
        assert!(damage.len() == 2 && damage[0].contains("its group does not know"), "{damage:?}");
    }

    #[test]
    fn a_part_written_without_groups_is_read_as_before_and_gets_them_when_it_is_merged() {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: u64| dir.path().join(format!("part-{number}.blk"));
        std::fs::write(path(1), include_bytes!("fixtures/format-3-without-groups.blk")).unwrap();
        let old = Part::open(&path(1)).unwrap();
        assert_eq!((old.salvaged(), old.damage(), old.blocks().len()), (None, Vec::new(), 2));
        assert_eq!((&old.groups, old.group_of(0)), (&Groups::default(), None));
        let step = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        let id = |i: u128| format!("{:032x}", i.wrapping_mul(step).wrapping_add(12345));
        for number in 0..2 {
            let lines = old.read(number).unwrap();
            let lines: Vec<_> = lines.lines().unwrap().iter().map(<[u8]>::to_vec).collect();
            assert_eq!(lines.len(), 150);
            let holds = |line: &Vec<u8>| memchr::memmem::find(line, id(7).as_bytes()).is_some();
            assert!((2..=3).contains(&lines.iter().filter(|line| holds(line)).count()));
        }
        let merged = copied(&[(&old, 1), (&old, 0)], &path(2), 2);
        assert_eq!((asked(&merged, 0, &id(7)), asked(&merged, 1, &id(700))), (Some(true), Some(false)));
    }

    #[test]
    fn directories_of_groups_that_lie_are_refused() {
        let groups = Groups {
            groups: vec![Group { at: 7, len: 300 }, Group { at: 307, len: 5 }],
            of_blocks: vec![Some(1), None, Some(0)],
        };
        let mut bytes = Vec::new();
        groups.encode(&mut bytes);
        let decoded = |bytes: &[u8], blocks: usize| Groups::decode(&mut Input::new(bytes), blocks);
        assert_eq!(decoded(&bytes, 3).unwrap(), groups);
        assert!(decoded(&bytes, 4).is_err());
        for len in 0..bytes.len() {
            assert!(decoded(&bytes[..len], 3).is_err(), "{len} bytes");
        }
        *bytes.last_mut().unwrap() = 3;
        assert!(decoded(&bytes, 3).is_err());
    }
}
