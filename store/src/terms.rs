//! The distinct tokens of one block: words for the window's word index, ids for the block's filter.
//!
//! The invariant: every token of every line and pair value of the block is either among its words, among its
//! [`ShortNumbers`] or a key of its filter. For needles that end inside a token, the block also knows
//! - every run of at least [`MIN_RUN`] letters inside its ids, hex digits alone excepted, as further
//!   words; or else it is marked as incomplete ([`BlockTerms::runs_complete`]);
//! - its longest ids, letter by letter, and the length that all others stay within ([`LongIds`]).
//!
//! Long ids are known once more by the group that the block belongs to in its part ([`GroupLongIds`]).

mod id_filter;
mod long;
mod values;

use std::ops::Range;

use crate::block::{Block, BlockError, Lines, Pairs, values_beside_lines};
use crate::filter::FilterBuilder;
use crate::index::WordPattern;
use crate::short_numbers::{ShortNumber, ShortNumbers};
use crate::token::{self, Class};
use id_filter::{LONG_ID_BYTES, LongIds, seal};

pub(crate) use id_filter::{IdFilter, SoughtId};
pub(crate) use long::{BlockLongIds, GroupLongIds, MAX_GROUP_IDS, MIN_LONG};

/// Shortest run of letters inside an id that becomes a word. Shorter ones, and those of hex digits, are
/// too common in random ids to say anything.
pub(crate) const MIN_RUN: usize = 4;

/// Longest such run, in bytes; a block with a longer one is marked.
pub(crate) const MAX_RUN: usize = 128;

/// Runs a block may add to its words; with more of them (base64, say) it is marked.
const MAX_RUNS: usize = 256;

/// The distinct words of a block, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockWords(Vec<u8>);

impl BlockWords {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'\n').filter(|word| !word.is_empty())
    }

    /// Whether some word is like `pattern`.
    pub(crate) fn have(&self, pattern: &WordPattern) -> bool {
        let WordPattern { text, open_start, open_end } = pattern;
        // The separator belongs to what is looked for: places that are told apart do not overlap, and in a word that
        // repeats itself (`aaaa` for `aaa` at its end) the first would hide the one that counts.
        let mut sought = text.clone();
        if !open_end {
            sought.push(b'\n');
        }
        memchr::memmem::find_iter(&self.0, &sought)
            .any(|at| *open_start || at.checked_sub(1).is_none_or(|before| self.0[before] == b'\n'))
    }
}

/// What the index gets to know of a block.
#[derive(Debug)]
pub(crate) struct BlockTerms {
    pub(crate) words: BlockWords,
    /// The block's ids, as [`IdFilter`] reads them.
    pub(crate) ids: Vec<u8>,
    pub(crate) long_ids: BlockLongIds,
    pub(crate) runs_complete: bool,
}

/// Collects the terms of one block after the other; keeps its memory.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    words: WordSet,
    /// Of ids that are not long.
    ids: KeySet,
    numbers: ShortNumbers,
    long_ids: KeySet,
    longest: LongIds,
    runs: usize,
    max_runs: usize,
    runs_incomplete: bool,
    folded: Vec<u8>,
    filters: FilterBuilder,
    recent: Recent,
}

impl Collector {
    /// The terms of `block`, read from its lines; with `all_runs`, of every run whatever their number, as the
    /// block promises by its header.
    ///
    /// # Errors
    /// When the block cannot be read.
    pub(crate) fn collect(&mut self, block: &Block, all_runs: bool) -> Result<BlockTerms, BlockError> {
        let (lines, pairs) = (block.lines()?, block.pairs()?);
        self.begin();
        if all_runs {
            self.max_runs = usize::MAX;
        }
        self.add_lines(lines, pairs);
        Ok(self.finish())
    }

    /// Begins the terms of another block.
    pub(crate) fn begin(&mut self) {
        self.words.clear();
        self.ids.clear();
        self.numbers.clear();
        self.long_ids.clear();
        self.longest = LongIds::default();
        (self.runs, self.runs_incomplete, self.max_runs) = (0, false, MAX_RUNS);
        self.recent.clear();
    }

    /// Adds the tokens of all lines and of all values of pairs.
    pub(crate) fn add_lines(&mut self, lines: &Lines, pairs: &Pairs) {
        self.add(lines.bytes()); // no token extends across the separator
        values_beside_lines(lines, pairs, |value| self.add(value.as_bytes()));
    }

    /// Adds the tokens of all values of pairs.
    pub(crate) fn add_pairs(&mut self, pairs: &Pairs) {
        let mut last = None;
        pairs.for_each_value(|value| {
            if last != Some(value) {
                self.add(value.as_bytes());
                last = Some(value);
            }
        });
    }

    /// What the block begun last has.
    pub(crate) fn finish(&mut self) -> BlockTerms {
        let long_keys = self.long_ids.distinct().to_vec();
        self.ids.keys.extend_from_slice(&long_keys);
        let mut ids = Vec::new();
        self.longest.encode(&mut ids);
        self.filters.build(self.ids.distinct(), &mut ids);
        self.numbers.encode(&mut ids);
        seal(&mut ids);
        let words = BlockWords(self.words.text.clone());
        let long_ids = BlockLongIds { keys: long_keys, longest: self.longest.clone() };
        BlockTerms { words, ids, long_ids, runs_complete: !self.runs_incomplete }
    }

    /// Adds the tokens of a text.
    pub(crate) fn add(&mut self, text: &[u8]) {
        self.add_within(text, 0..text.len());
    }

    /// Adds the tokens of the part of `text` at `span`, at whose ends no token goes on.
    fn add_within(&mut self, text: &[u8], span: Range<usize>) {
        token::for_each_within(text, span, |token| {
            if let Some(middle) = token::uuid_middle(text, token) {
                self.long_ids.insert(token::id_key(&middle.to_ascii_lowercase()));
            }
            let short = token.short(text);
            if short.is_some_and(|short| self.recent.has_seen(short)) {
                return;
            }
            match short {
                Some(short) => {
                    self.folded.clear();
                    self.folded.extend_from_slice(&short.to_le_bytes());
                    self.folded.truncate(token.span.len());
                }
                None => token.fold_into(text, &mut self.folded),
            }
            if token.class == Class::Word {
                self.words.insert(token::id_key(&self.folded), &self.folded);
                return;
            }
            match ShortNumber::of(&self.folded) {
                Some(number) => self.numbers.insert(number),
                None if self.folded.len() < MIN_LONG => self.ids.insert(token::id_key(&self.folded)),
                None => self.long_ids.insert(token::id_key(&self.folded)),
            }
            if token.beyond_hex && short.is_none_or(has_run) {
                self.add_runs();
            }
            if self.folded.len() > self.longest.others {
                self.longest.insert(&self.folded, LONG_ID_BYTES);
            }
        });
    }

    /// Adds the letter runs of the id in `folded` to the words.
    fn add_runs(&mut self) {
        let Self { folded, words, runs, max_runs, runs_incomplete, .. } = self;
        token::for_each_run(folded, |run, _| {
            if !is_telling(run) {
                return;
            }
            if run.len() > MAX_RUN || *runs == *max_runs {
                *runs_incomplete = true;
            } else if words.insert(token::id_key(run), run) {
                *runs += 1;
            }
        });
    }
}

/// Tokens seen not long ago, by their bytes: four of five tokens of a log need no more than this.
#[derive(Debug, Default)]
struct Recent(Vec<u128>);

impl Recent {
    /// 64 KiB of tokens: stays in the second-level cache.
    const SLOTS: usize = 4096;

    fn clear(&mut self) {
        self.0.clear();
        self.0.resize(Self::SLOTS, 0);
    }

    #[inline]
    fn has_seen(&mut self, short: u128) -> bool {
        let mixed =
            (short as u64 ^ ((short >> 64) as u64).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = &mut self.0[(mixed >> 52) as usize];
        std::mem::replace(slot, short) == short
    }
}

/// Whether a run of letters inside an id becomes a word.
pub(crate) fn is_telling(run: &[u8]) -> bool {
    run.len() >= MIN_RUN && run.iter().any(|byte| !byte.is_ascii_hexdigit())
}

/// Whether a token (see [`token::Token::short`]) has [`MIN_RUN`] letters in a row.
#[inline]
fn has_run(short: u128) -> bool {
    let letters = short & u128::from_le_bytes([0x40; 16]); // digits lack this bit
    (1..MIN_RUN).fold(letters, |runs, further| runs & letters >> (8 * further)) != 0
}

/// Distinct words, one after the other, each followed by `\n`.
#[derive(Debug, Default)]
struct WordSet {
    text: Vec<u8>,
    /// Open addressing: hash, and place of the word in `text` plus one; 0 is free.
    slots: Vec<(u64, u32)>,
    len: usize,
}

impl WordSet {
    fn clear(&mut self) {
        self.text.clear();
        self.slots.fill((0, 0));
        self.len = 0;
    }

    /// Whether the word is new. Equal hashes do not make equal words: a line must not get lost because
    /// somebody made up a word that collides with one of its own.
    #[inline]
    fn insert(&mut self, hash: u64, word: &[u8]) -> bool {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (found, place) = self.slots[at];
            if place == 0 {
                break;
            }
            if found == hash && self.is_at(place as usize - 1, word) {
                return false;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = (hash, self.text.len() as u32 + 1);
        self.text.extend_from_slice(word);
        self.text.push(b'\n');
        self.len += 1;
        true
    }

    fn is_at(&self, place: usize, word: &[u8]) -> bool {
        self.text
            .get(place..)
            .is_some_and(|text| text.starts_with(word) && text.get(word.len()) == Some(&b'\n'))
    }

    fn grow(&mut self) {
        let slots = vec![(0, 0); (self.slots.len() * 2).max(1024)];
        let mask = slots.len() - 1;
        for (hash, place) in std::mem::replace(&mut self.slots, slots) {
            if place != 0 {
                let mut at = hash as usize & mask;
                while self.slots[at].1 != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = (hash, place);
            }
        }
    }
}

/// Keys, of which the distinct ones are asked for in the end: sorting once is cheaper than looking each up.
#[derive(Debug, Default)]
struct KeySet {
    keys: Vec<u64>,
    /// Of `keys`, those that are sorted and distinct.
    distinct: usize,
}

impl KeySet {
    /// Keys added before repeated ones are looked for, at the least.
    const MANY: usize = 1 << 16;

    fn clear(&mut self) {
        self.keys.clear();
        self.distinct = 0;
    }

    #[inline]
    fn insert(&mut self, key: u64) {
        if self.keys.len() >= Self::MANY.max(self.distinct * 2) {
            self.distinct();
        }
        self.keys.push(key);
    }

    fn distinct(&mut self) -> &[u64] {
        self.keys.sort_unstable();
        self.keys.dedup();
        self.distinct = self.keys.len();
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_ends_however_they_repeat_themselves() {
        let words = BlockWords(b"aaaa\nxabab\n".to_vec());
        let cases = [
            ("aaa", true, false, true),
            ("aaa", false, true, true),
            ("aaa", false, false, false),
            ("aaaa", false, false, true),
            ("aba", true, true, true),
            ("ab", true, false, true),
            ("ab", false, true, false),
            ("a", false, false, false),
        ];
        for (text, open_start, open_end, expected) in cases {
            let pattern = WordPattern { text: text.as_bytes().to_vec(), open_start, open_end };
            assert_eq!(words.have(&pattern), expected, "{pattern:?}");
        }
    }

    #[test]
    fn runs_of_letters_in_short_tokens_are_seen() {
        for (token, expected) in
            [("ab1cde2", false), ("1abcd", true), ("abcdefghijklmnop", true), ("a1b2", false)]
        {
            let mut bytes = [0; 16];
            bytes[..token.len()].copy_from_slice(token.as_bytes());
            assert_eq!(has_run(u128::from_le_bytes(bytes)), expected, "{token}");
        }
    }

    #[test]
    fn sets_hold_each_member_once() {
        let mut words = WordSet::default();
        let mut keys = KeySet::default();
        for round in 0..2 {
            for i in 0..100_000_u64 {
                // All hashes collide.
                if i < 5_000 {
                    assert_eq!(words.insert(i % 7, format!("w{i}").as_bytes()), round == 0);
                }
                keys.insert(i * 1024);
            }
        }
        assert_eq!((words.len, keys.distinct().len()), (5_000, 100_000));
        assert_eq!(words.text.iter().filter(|byte| **byte == b'\n').count(), 5_000);
    }
}
