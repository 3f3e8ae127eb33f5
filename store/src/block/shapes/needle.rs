//! A text that is looked for, and pieces of it.

use std::cmp::Ordering;
use std::ops::Range;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::Rows;
use super::bytes::ByteSet;
use crate::block::Separated;

/// Bytes of which the places in a needle are known.
const MAX_PLACES: usize = u64::BITS as usize;

/// A text that is looked for.
#[derive(Clone, Debug)]
pub struct Needle {
    pub(super) bytes: Vec<u8>,
    search: Search,
    /// For each byte, where in the needle it stands, as bits; none for a needle of more bytes than bits.
    places: Box<[u64; 256]>,
    /// The beginning of a needle of more bytes than bits.
    beginning: Option<Box<Self>>,
}

#[derive(Clone, Debug)]
enum Search {
    Exact(Box<memmem::Finder<'static>>),
    AnyCase(Box<Regex>),
}

impl Needle {
    /// These very bytes.
    #[must_use]
    pub fn exact(bytes: &[u8]) -> Self {
        let finder = memmem::Finder::new(bytes).into_owned();
        let mut needle = Self::new(bytes.to_vec(), Search::Exact(Box::new(finder)));
        needle.beginning =
            bytes.get(..MAX_PLACES).filter(|_| !needle.has_places()).map(|b| Self::exact(b).into());
        needle
    }

    /// This text regardless of case, by Unicode's simple case folding, as in regular expressions.
    ///
    /// # Panics
    /// Never: an escaped literal is a valid pattern, and its size is not limited.
    #[must_use]
    pub fn ignoring_case(text: &str) -> Self {
        let regex = RegexBuilder::new(&regex::escape(text))
            .case_insensitive(true)
            .size_limit(usize::MAX)
            .build()
            .expect("BUG: an escaped literal is a valid pattern");
        let mut needle = Self::new(text.as_bytes().to_ascii_lowercase(), Search::AnyCase(Box::new(regex)));
        if !needle.has_places() {
            let beginning = (0..=MAX_PLACES).rev().find_map(|end| text.get(..end));
            needle.beginning = beginning.map(|text| Self::ignoring_case(text).into());
        }
        needle
    }

    /// What a long needle begins with: finding that first, and the needle in what is found, is much cheaper.
    pub(crate) fn beginning(&self) -> Option<&Self> {
        self.beginning.as_deref()
    }

    fn new(bytes: Vec<u8>, search: Search) -> Self {
        let mut needle = Self { bytes, search, places: Box::new([0; 256]), beginning: None };
        if needle.has_places() {
            for at in 0..needle.bytes.len() {
                let byte = needle.bytes[at];
                needle.places[usize::from(byte)] |= 1 << at;
                if needle.ignores_case() {
                    needle.places[usize::from(byte.to_ascii_uppercase())] |= 1 << at;
                    needle.places[usize::from(byte.to_ascii_lowercase())] |= 1 << at;
                }
            }
        }
        needle
    }

    /// Whether [`Needle::places`] are known.
    pub(super) const fn has_places(&self) -> bool {
        self.bytes.len() <= MAX_PLACES
    }

    /// Where in the needle `byte` stands, as bits.
    #[inline]
    pub(super) fn places(&self, byte: u8) -> u64 {
        self.places[usize::from(byte)]
    }

    /// What is looked for; of text regardless of case, in lower case.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether it matches the same bytes in either ASCII case and nothing else, in lines that are ASCII (or not):
    /// beyond, `k` and `s` have variants.
    pub(crate) fn is_bytewise(&self, lines_are_ascii: bool) -> bool {
        let has_variants = |byte: &u8| matches!(byte, b'k' | b's') && !lines_are_ascii;
        !self.ignores_case() || (self.bytes.is_ascii() && !self.bytes.iter().any(has_variants))
    }

    /// Where in the needle a byte of `set` stands, as bits.
    pub(super) fn places_of(&self, set: ByteSet) -> u64 {
        let may_be =
            |byte: u8| set.contains(byte) || (self.ignores_case() && set.contains(byte.to_ascii_uppercase()));
        let at = (0..self.bytes.len()).filter(|at| may_be(self.bytes[*at]));
        at.fold(0, |places, at| places | 1 << at)
    }

    pub(super) fn ignores_case(&self) -> bool {
        matches!(self.search, Search::AnyCase(_))
    }

    pub(super) fn same(&self, a: u8, b: u8) -> bool {
        a == b || (self.ignores_case() && a.eq_ignore_ascii_case(&b))
    }

    /// Whether `text` is the piece `range` of the needle.
    pub(super) fn is(&self, range: &Range<usize>, text: &[u8]) -> bool {
        let piece = &self.bytes[range.clone()];
        if self.ignores_case() { piece.eq_ignore_ascii_case(text) } else { piece == text }
    }

    /// The first occurrence that begins at `from` or later.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        match &self.search {
            Search::Exact(finder) => {
                let start = from + finder.find(text.get(from..)?)?;
                Some(start..start + self.bytes.len())
            }
            Search::AnyCase(_) if from > text.len() => None,
            Search::AnyCase(regex) => regex.find_at(text, from).map(|found| found.range()),
        }
    }

    /// Finds `part` at a place or later; `None` where that takes a look at each text: at what is empty, or is not the
    /// whole needle and may be of either case.
    pub(super) fn finder(&self, part: &Part) -> Option<impl Fn(&[u8], usize) -> Option<Range<usize>>> {
        let is_whole = part.range == (0..self.bytes.len());
        if part.range.is_empty() || (self.ignores_case() && !is_whole) {
            return None;
        }
        let piece = (!is_whole).then(|| memmem::Finder::new(&self.bytes[part.range.clone()]));
        Some(move |text: &[u8], from: usize| match &piece {
            Some(piece) => {
                let start = from + piece.find(text.get(from..)?)?;
                Some(start..start + piece.needle().len())
            }
            None => self.find(text, from),
        })
    }

    /// Whether `part` has a line end.
    pub(super) fn has_line_end(&self, part: &Part) -> bool {
        self.bytes[part.range.clone()].contains(&b'\n')
    }

    /// The lines with the needle.
    pub(crate) fn lines(&self, lines: Separated<'_>) -> Rows {
        let mut rows = Rows::none(lines.len());
        let mut from = 0;
        while let Some(hit) = self.find(lines.bytes, from) {
            let line = lines.at(hit.start);
            let span = lines.span(line);
            // A line may hold line ends itself, and so may the needle.
            if hit.end <= span.end {
                rows.insert(line);
                from = span.end + 1;
            } else {
                from = hit.start + 1;
            }
        }
        rows
    }

    /// Whether `text` holds the needle.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.find(text, 0).is_some()
    }

    pub(super) fn has(&self, part: &Part, text: &[u8]) -> bool {
        match (part.from_start, part.to_end) {
            (false, false) => self.find(text, 0).is_some(),
            (true, true) => self.is(&part.range, text),
            (true, false) => text.get(..part.range.len()).is_some_and(|text| self.is(&part.range, text)),
            (false, true) => {
                let start = text.len().checked_sub(part.range.len());
                start.is_some_and(|start| self.is(&part.range, &text[start..]))
            }
        }
    }
}

/// A piece of the needle, and whether a value must begin and end with it. The whole needle, or else at least
/// one of both holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) range: Range<usize>,
    pub(super) from_start: bool,
    pub(super) to_end: bool,
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |part: &Self| (part.range.start, part.range.end, part.from_start, part.to_end);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Part {
    /// Whether it may stand anywhere in a value.
    pub(super) const fn is_anywhere(&self) -> bool {
        !self.from_start && !self.to_end
    }

    /// Its places in the needle, as bits; it ends within the first 64 bytes.
    pub(super) const fn places(&self) -> u64 {
        match self.range.end - self.range.start {
            0 => 0,
            len => u64::MAX >> (64 - len) << self.range.start,
        }
    }
}
