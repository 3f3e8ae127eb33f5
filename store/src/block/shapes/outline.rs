//! What is known of nested shapes without reading them: whether a needle can touch their literals at all.

use std::ops::Range;

use super::bytes::ByteSet;
use super::needle::{Needle, Part};
use super::{Builder, MAX_COLUMNS};
use crate::block::wire::{Input, Malformed, put_varint};

/// The parameters of a column of shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// Numbers of the columns that have the values.
    pub(super) columns: Range<usize>,
    /// Bytes of the literals; all there are if two values touch.
    pub(super) literals: ByteSet,
}

impl Outline {
    /// Of the shapes whose first column is number `base`.
    pub(super) fn of(builder: &Builder, base: usize) -> Self {
        let mut literals = ByteSet::default();
        for shape in builder.shapes() {
            shape.text.iter().for_each(|byte| literals.insert(*byte));
            let ends: Vec<u32> = shape.slots().map(|(end, _)| end).collect();
            if ends.windows(2).any(|ends| ends[0] == ends[1]) {
                (0..=u8::MAX).for_each(|byte| literals.insert(byte));
            }
        }
        Self { columns: base..base + builder.columns().len(), literals }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.literals.encode();
        put_varint(&mut out, self.columns.start as u64);
        put_varint(&mut out, self.columns.len() as u64);
        out
    }

    /// Reads parameters; `None` for those of older blocks, which have none.
    pub(super) fn decode(params: &[u8]) -> Result<Option<Self>, Malformed> {
        if params.is_empty() {
            return Ok(None);
        }
        let mut input = Input::new(params);
        let literals = ByteSet::decode(input.take(ByteSet::LEN, "bytes of the literals")?)?;
        let start = input.len("first column of shapes")?;
        let own = input.len("columns of shapes")?;
        match start.checked_add(own) {
            Some(end) if own <= MAX_COLUMNS && input.is_empty() => {
                Ok(Some(Self { columns: start..end, literals }))
            }
            _ => Err(Malformed("columns of shapes")),
        }
    }

    /// Whether an occurrence of `part` can only lie within one value, since no literal has any of its bytes.
    pub(super) fn is_within_values(&self, needle: &Needle, part: &Part) -> bool {
        let piece = &needle.bytes[part.range.clone()];
        let in_literals = |byte: &u8| {
            self.literals.contains(*byte)
                || (needle.ignores_case() && self.literals.contains(byte.to_ascii_uppercase()))
        };
        !piece.is_empty() && !piece.iter().any(in_literals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_read_back_and_older_blocks_have_none() {
        let outline = Outline { columns: 3..7, literals: ByteSet::of(b"took ms") };
        let params = outline.encode();
        assert_eq!(Outline::decode(&params), Ok(Some(outline.clone())));
        assert_eq!(Outline::decode(&[]), Ok(None));
        for len in 1..params.len() {
            assert!(Outline::decode(&params[..len]).is_err());
        }
        let part = |range: Range<usize>| Part { range, from_start: false, to_end: false };
        let needle = Needle::exact(b"took 17");
        assert!(outline.is_within_values(&needle, &part(5..7)));
        assert!(!outline.is_within_values(&needle, &part(4..7)));
    }
}
