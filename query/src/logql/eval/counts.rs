//! Lines counted by code, and which codes have any.
//!
//! The invariant: a code is listed once exactly if it has lines. Codes come in no order, so that whether one is new is
//! anybody's guess: it is listed without a branch, at the end of a list that only grows past codes that are new.

use std::ops::Range;

use store::block::SharedCodes;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By code.
    lines: Vec<u32>,
    /// Codes that have lines, then one place more than there are codes.
    counted: Vec<u32>,
    /// Number of codes that have lines.
    len: usize,
}

impl Counts {
    /// For codes less than `codes`.
    pub(super) fn of(codes: usize) -> Self {
        let mut counts = Self::default();
        counts.reserve(codes);
        counts
    }

    /// Makes room for codes less than `codes`.
    pub(super) fn reserve(&mut self, codes: usize) {
        if codes > self.lines.len() || self.counted.is_empty() {
            self.lines.resize(codes, 0);
            self.counted.resize(codes + 1, 0);
        }
    }

    /// All codes are less.
    pub(super) const fn max_codes(&self) -> usize {
        self.lines.len()
    }

    /// Number of codes that have lines.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Lines of a code.
    #[inline]
    pub(super) fn lines(&self, code: usize) -> u32 {
        self.lines[code]
    }

    /// Code number `at` of those that have lines, in the order in which they were met.
    pub(super) fn code(&self, at: usize) -> usize {
        self.counted[at] as usize
    }

    /// Counts lines of a code; one at least.
    #[inline]
    pub(super) fn add(&mut self, code: usize, lines: u32) {
        let count = &mut self.lines[code];
        self.counted[self.len] = code as u32;
        self.len += usize::from(*count == 0);
        *count += lines;
    }

    /// Counts lines of a block, each of which has a code: see [`SharedCodes::for_each`].
    pub(super) fn add_lines(&mut self, codes: &SharedCodes<'_>, rows: Range<usize>) {
        let (lines, counted, mut len) = (&mut *self.lines, &mut *self.counted, self.len);
        codes.for_each(rows, |code| {
            let count = &mut lines[code];
            counted[len] = code as u32;
            len += usize::from(*count == 0);
            *count += 1;
        });
        self.len = len;
    }

    /// Forgets all lines.
    pub(super) fn clear(&mut self) {
        for code in &self.counted[..self.len] {
            self.lines[*code as usize] = 0;
        }
        self.len = 0;
    }

    /// Offers the lines of each code to `takes`, and forgets those that are taken.
    pub(super) fn offer(&mut self, mut takes: impl FnMut(usize, u32) -> bool) {
        let mut left = 0;
        for at in 0..self.len {
            let code = self.counted[at];
            let lines = &mut self.lines[code as usize];
            if takes(code as usize, *lines) {
                *lines = 0;
            } else {
                self.counted[left] = code;
                left += 1;
            }
        }
        self.len = left;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn listed(counts: &Counts) -> BTreeMap<usize, u32> {
        let codes = (0..counts.len()).map(|at| counts.code(at));
        let listed: BTreeMap<_, _> = codes.map(|code| (code, counts.lines(code))).collect();
        assert_eq!(listed.len(), counts.len(), "a code is listed twice");
        let all = (0..counts.max_codes()).map(|code| (code, counts.lines(code)));
        assert!(all.filter(|(_, lines)| *lines > 0).eq(listed.clone()), "a code with lines is not listed");
        listed
    }

    proptest! {
        #[test]
        fn what_has_lines_is_listed_once(
            steps in prop::collection::vec(prop::collection::vec((0..9_usize, 1..4_u32), 0..20), 0..5),
            taken in prop::collection::vec(any::<bool>(), 9),
        ) {
            let (mut counts, mut model) = (Counts::of(3), BTreeMap::new());
            for (round, step) in steps.iter().enumerate() {
                counts.reserve(9);
                for (code, lines) in step {
                    counts.add(*code, *lines);
                    *model.entry(*code).or_insert(0) += lines;
                }
                prop_assert_eq!(&listed(&counts), &model);
                if round % 2 == 0 {
                    counts.offer(|code, lines| { assert_eq!(lines, model[&code]); taken[code] });
                    model.retain(|code, _| !taken[*code]);
                } else {
                    counts.clear();
                    model.clear();
                }
                prop_assert_eq!(&listed(&counts), &model);
            }
        }
    }
}
