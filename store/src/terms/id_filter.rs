//! What is told of the ids of a block, or of the long ids of a group: the longest letter by letter, all by a filter.
//!
//! The invariant: an id that a block or a group has is never denied. Others are denied but for one of 256 or so, and short
//! numbers for certain.

use super::long::MIN_LONG;
use crate::block::{Input, Malformed, crc, put_bytes, put_varint};
use crate::filter::Filter;
use crate::short_numbers::{ShortNumber, ShortSets};
use crate::token;

/// Bytes of ids a block keeps letter by letter. One container id and some long names fit.
pub(super) const LONG_ID_BYTES: usize = 512;

/// The longest ids of a block or a group, letter by letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LongIds {
    /// Every id longer than this, in folded bytes, is in `ids`.
    pub(super) others: usize,
    pub(super) ids: Vec<Box<[u8]>>,
    bytes: usize,
}

impl LongIds {
    /// `id` is longer than `others`; no more than `max_bytes` of ids are kept.
    pub(super) fn insert(&mut self, id: &[u8], max_bytes: usize) {
        if self.ids.iter().any(|known| known.as_ref() == id) {
            return;
        }
        self.ids.push(id.into());
        self.bytes += id.len();
        while self.bytes > max_bytes {
            // All ids of the shortest length go: then one number says what is left.
            self.keep_beyond(self.ids.iter().map(|id| id.len()).min().unwrap_or(0));
        }
    }

    /// Adds what is known of others' ids.
    pub(super) fn add(&mut self, further: &Self, max_bytes: usize) {
        if further.others > self.others {
            self.keep_beyond(further.others);
        }
        for id in &further.ids {
            if id.len() > self.others {
                self.insert(id, max_bytes);
            }
        }
    }

    fn keep_beyond(&mut self, len: usize) {
        self.others = len;
        self.ids.retain(|id| id.len() > len);
        self.bytes = self.ids.iter().map(|id| id.len()).sum();
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.others as u64);
        put_varint(out, self.ids.len() as u64);
        for id in &self.ids {
            put_bytes(out, id);
        }
    }
}

/// An id that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoughtId {
    key: u64,
    number: Option<ShortNumber>,
    is_long: bool,
}

impl SoughtId {
    /// Of its folded bytes.
    pub(crate) fn of(folded: &[u8]) -> Self {
        let is_long = folded.len() >= MIN_LONG;
        Self { key: token::id_key(folded), number: ShortNumber::of(folded), is_long }
    }

    /// Of the groups in the middle of a UUID, which together are one more id, see [`token::uuid_middle`].
    pub(crate) fn of_uuid_middle(middle: &[u8]) -> Self {
        Self { is_long: true, ..Self::of(&middle.to_ascii_lowercase()) }
    }

    /// Whether the group of a block that has it knows of it.
    pub(crate) const fn is_long(self) -> bool {
        self.is_long
    }
}

/// Appends the checksum of an [`IdFilter`] that is complete but for it.
pub(super) fn seal(ids: &mut Vec<u8>) {
    let checksum = crc(ids);
    ids.extend_from_slice(&checksum.to_le_bytes());
}

/// The ids of a block, or the long ids of a group, as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct IdFilter<'a> {
    pub(super) filter: Filter<'a>,
    /// `None` in filters of older builds, which have the keys of short numbers too, and in those of groups, which have neither.
    numbers: Option<ShortSets<'a>>,
    pub(super) others: usize,
    pub(super) long: Vec<&'a [u8]>,
}

impl<'a> IdFilter<'a> {
    /// Whether the checksum at the end of `bytes` is theirs.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        bytes.split_last_chunk().is_some_and(|(bytes, found)| crc(bytes) == u32::from_le_bytes(*found))
    }

    /// Reads what [`IdFilter::is_whole`].
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (bytes, _) = bytes.split_last_chunk::<4>().ok_or(Malformed("length of a filter"))?;
        let mut input = Input::new(bytes);
        let others = input.len("length of ids")?;
        let mut long = Vec::new();
        for _ in 0..input.varint("number of long ids")? {
            long.push(input.bytes("long id")?);
        }
        let filter = Filter::decode(&mut input)?;
        let numbers = if input.is_empty() { None } else { Some(ShortSets::decode(&mut input)?) };
        if input.is_empty() {
            Ok(Self { filter, numbers, others, long })
        } else {
            Err(Malformed("end of a filter"))
        }
    }

    /// Whether this id may be in the block.
    pub(crate) fn may_contain(&self, id: SoughtId) -> bool {
        match (&self.numbers, id.number) {
            (Some(numbers), Some(number)) => numbers.contain(number),
            _ => self.filter.may_contain(id.key),
        }
    }

    /// Whether an id longer than `len` folded bytes for which `fits` holds may be in the block.
    pub(crate) fn may_contain_longer(&self, len: usize, fits: impl Fn(&[u8]) -> bool) -> bool {
        self.others > len || self.long.iter().any(|id| id.len() > len && fits(id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Collector;
    use super::*;
    use crate::filter::FilterBuilder;

    #[test]
    fn the_longest_ids_are_known_letter_by_letter() {
        let mut long = LongIds::default();
        for i in 0..1000_u32 {
            let id = format!("{i:032}");
            if id.len() > long.others {
                long.insert(id.as_bytes(), LONG_ID_BYTES);
            }
        }
        assert_eq!((long.others, long.ids.len()), (32, 0));
        long.insert(&[b'7'; 64], LONG_ID_BYTES);
        long.insert(&[b'7'; 64], LONG_ID_BYTES);
        assert_eq!((long.others, long.ids.len()), (32, 1));
        long.insert(&[b'8'; 600], LONG_ID_BYTES);
        assert_eq!((long.others, long.ids.len()), (600, 0));
    }

    #[test]
    fn short_numbers_are_told_exactly_and_by_their_keys_in_filters_of_older_builds() {
        let has =
            |ids: &[u8], id: &str| IdFilter::decode(ids).unwrap().may_contain(SoughtId::of(id.as_bytes()));
        let mut collector = Collector::default();
        collector.begin();
        collector.add(b"took 4711 ms and 007, 123456 in all and not more");
        let ids = collector.finish().ids;
        assert!(IdFilter::is_whole(&ids));
        assert!(["4711", "007", "123456"].iter().all(|id| has(&ids, id)));
        let others = (0..10_000).map(|n| format!("{n:04}")).filter(|id| has(&ids, id)).count();
        assert_eq!((others, has(&ids, "7")), (1, false));

        let mut older = Vec::new();
        LongIds::default().encode(&mut older);
        FilterBuilder::default().build(&[token::id_key(b"4711")], &mut older);
        older.extend_from_slice(&crc(&older).to_le_bytes());
        assert!(has(&older, "4711"));
    }
}
