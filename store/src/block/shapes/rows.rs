//! Sets of rows.

/// A set of rows of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    bits: Vec<u64>,
    len: usize,
}

impl Rows {
    pub(crate) fn none(len: usize) -> Self {
        Self { bits: vec![0; len.div_ceil(64)], len }
    }

    /// Those of the first `len` rows for which `has` holds.
    #[must_use]
    pub fn with(len: usize, has: impl Fn(usize) -> bool) -> Self {
        // A word at once, without a branch for each row.
        let word = |first: usize| {
            (first..len.min(first + 64)).rev().fold(0, |word, row| word << 1 | u64::from(has(row)))
        };
        Self { bits: (0..len).step_by(64).map(word).collect(), len }
    }

    pub(super) fn insert(&mut self, row: usize) {
        self.bits[row / 64] |= 1 << (row % 64);
    }

    pub(crate) fn remove(&mut self, row: usize) {
        self.bits[row / 64] &= !(1 << (row % 64));
    }

    /// Whether `row` is in the set.
    #[must_use]
    pub fn contains(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|bits| bits >> (row % 64) & 1 == 1)
    }

    /// Only rows that are in `other` too stay.
    pub fn keep(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(bits, other)| *bits &= other);
    }

    /// Rows that are in `other` too go.
    pub fn leave_out(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(bits, other)| *bits &= !other);
    }

    /// Adds the rows of `other`, a set of rows of the same block.
    pub fn add(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(bits, other)| *bits |= other);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bits.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.bits.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

/// Which values of a column have what is looked for.
#[derive(Clone, Debug)]
pub(super) enum Hits {
    None,
    All,
    Some(Rows),
}

impl Hits {
    pub(super) fn of(rows: Rows) -> Self {
        match rows.count() {
            0 => Self::None,
            count if count == rows.len => Self::All,
            _ => Self::Some(rows),
        }
    }

    pub(super) fn contains(&self, i: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(rows) => rows.contains(i),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_and_cut() {
        let of = |n: usize| Rows::with(100, |row| row.is_multiple_of(n));
        let (mut both, mut either, mut first) = (of(2), of(2), of(2));
        first.leave_out(&of(3));
        assert!(first.iter().eq((0..100).filter(|i: &usize| i.is_multiple_of(2) && !i.is_multiple_of(3))));
        both.keep(&of(3));
        either.add(&of(3));
        assert_eq!(both.iter().collect::<Vec<_>>(), (0..100).step_by(6).collect::<Vec<_>>());
        let expected = (0..100).filter(|i: &usize| i.is_multiple_of(2) || i.is_multiple_of(3));
        assert!(either.iter().eq(expected));
        assert!(!both.is_empty() && Rows::none(100).is_empty() && !either.contains(100));
    }
}
