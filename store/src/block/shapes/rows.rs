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
    pub(crate) fn with(len: usize, has: impl Fn(usize) -> bool) -> Self {
        let mut rows = Self::none(len);
        (0..len).filter(|row| has(*row)).for_each(|row| rows.insert(row));
        rows
    }

    pub(super) fn insert(&mut self, row: usize) {
        self.bits[row / 64] |= 1 << (row % 64);
    }

    /// Whether `row` is in the set.
    #[must_use]
    pub fn contains(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|bits| bits >> (row % 64) & 1 == 1)
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
