//! The values of a column of text, in one buffer that is searched as a whole.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use memchr::memchr_iter;

use super::Rows;
use super::needle::{Needle, Part};
use crate::block::{Lines, Separated};

/// Texts with a line end after each; where each ends is found out when it is asked for.
#[derive(Debug)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    pub(super) len: usize,
    /// Known from the start where texts hold line ends themselves.
    ends: OnceLock<Vec<u32>>,
    /// How many texts have been looked for.
    looked: AtomicUsize,
}

/// So many texts are found by counting line ends; then it is worth noting where each is.
const FEW: usize = 16;
const FEWER: &str = "BUG: there are fewer texts";
/// Line ends are counted in so many bytes at once.
const STRIDE: usize = 512;

impl Texts {
    /// `bytes` are `len` texts without line ends, each followed by one.
    pub(super) const fn new(bytes: Vec<u8>, len: usize) -> Self {
        Self { bytes, len, ends: OnceLock::new(), looked: AtomicUsize::new(0) }
    }

    /// Bytes of memory once it is noted where each ends, about.
    pub(super) const fn memory(&self) -> usize {
        self.bytes.len() + 4 * self.len
    }

    pub(super) fn all(&self) -> Separated<'_> {
        let ends = || memchr_iter(b'\n', &self.bytes).map(|end| end as u32).collect();
        Separated { bytes: &self.bytes, ends: self.ends.get_or_init(ends) }
    }

    /// Text `i`.
    ///
    /// # Panics
    /// When there are not so many.
    #[inline]
    pub(super) fn get(&self, i: usize) -> &[u8] {
        if self.ends.get().is_none() && self.looked.fetch_add(1, Ordering::Relaxed) < FEW {
            return self.counted(i);
        }
        self.all().get(i)
    }

    /// Text `i`, found by counting.
    fn counted(&self, i: usize) -> &[u8] {
        // The text begins behind end number `left` from `start` on.
        let (mut start, mut left) = (0, i);
        for stride in self.bytes.chunks(STRIDE) {
            let ends = memchr_iter(b'\n', stride).count();
            if ends >= left {
                break;
            }
            left -= ends;
            start += stride.len();
        }
        if let Some(last) = left.checked_sub(1) {
            start += memchr_iter(b'\n', &self.bytes[start..]).nth(last).expect(FEWER) + 1;
        }
        let len = memchr::memchr(b'\n', &self.bytes[start..]).expect(FEWER);
        &self.bytes[start..start + len]
    }

    /// The texts that have `part` of the needle.
    pub(super) fn rows_with(&self, needle: &Needle, part: &Part) -> Rows {
        let finder = needle.finder(part).filter(|_| self.ends.get().is_none());
        match finder {
            Some(next) => self.rows_found(needle, part, next),
            None if part.is_anywhere() => needle.lines(self.all()),
            None => {
                let texts = self.all();
                Rows::with(self.len, |i| needle.has(part, texts.get(i)))
            }
        }
    }

    /// The same where no text holds a line end: these are counted from one occurrence to the next, which is
    /// cheaper than to note where each is.
    fn rows_found(
        &self,
        needle: &Needle,
        part: &Part,
        next: impl Fn(&[u8], usize) -> Option<Range<usize>>,
    ) -> Rows {
        let mut rows = Rows::none(self.len);
        if needle.has_line_end(part) {
            return rows;
        }
        let bytes = self.bytes.as_slice();
        let (mut from, mut row, mut counted) = (0, 0, 0);
        while let Some(hit) = next(bytes, from) {
            let begins = !part.from_start || hit.start == 0 || bytes[hit.start - 1] == b'\n';
            let ends = !part.to_end || bytes.get(hit.end) == Some(&b'\n');
            from = hit.start + 1;
            if begins && ends {
                row += memchr_iter(b'\n', &bytes[counted..hit.start]).count();
                counted = hit.start;
                rows.insert(row);
                let end = memchr::memchr(b'\n', &bytes[hit.end..]).unwrap_or(bytes.len() - hit.end);
                from = hit.end + end;
            }
        }
        rows
    }
}

impl From<Lines> for Texts {
    fn from(lines: Lines) -> Self {
        let len = lines.len();
        let (bytes, ends) = lines.into_parts();
        Self { bytes, len, ends: ends.into(), looked: AtomicUsize::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_found_as_if_looked_at_one_by_one(
            values in prop::collection::vec("[abC]{0,4}", 1..20),
            text in "[abc]{1,3}",
            (from_start, to_end) in any::<(bool, bool)>(),
            ignore_case in any::<bool>(),
        ) {
            let mut lines = Lines::default();
            values.iter().for_each(|value| lines.push(value.as_bytes()));
            let texts = Texts::new(lines.bytes().to_vec(), values.len());
            for i in (0..values.len()).rev() {
                prop_assert_eq!(texts.get(i), values[i].as_bytes());
            }
            let texts = Texts::new(lines.bytes().to_vec(), values.len());
            let needle = if ignore_case { Needle::ignoring_case(&text) } else { Needle::exact(text.as_bytes()) };
            for range in [0..text.len(), 0..text.len() - 1, 1..text.len()] {
                let whole = range.len() == text.len();
                let part = Part { range, from_start: from_start || !whole, to_end };
                let expected = Rows::with(values.len(), |i| needle.has(&part, values[i].as_bytes()));
                prop_assert_eq!(texts.rows_with(&needle, &part), expected, "{:?} {:?}", part, text);
            }
        }
    }
}
