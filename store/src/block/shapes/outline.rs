//! What is known of nested shapes without reading them: whether a needle can touch their literals at all.

use std::ops::Range;

use super::bytes::ByteSet;
use super::column::code;
use super::needle::{Needle, Part};
use super::{Builder, MAX_COLUMNS, used};
use crate::block::header::ColumnMeta;
use crate::block::wire::{Input, Malformed, put_varint};

/// The parameters of a column of shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Numbers of the columns that have the values.
    pub(super) columns: Range<usize>,
    /// Bytes of the literals; all there are if two values touch.
    pub(super) literals: ByteSet,
}

impl Outline {
    /// Of the shapes whose first column is number `base`.
    pub(super) fn of(builder: &Builder, base: usize) -> Self {
        let columns = base..base + builder.columns().count();
        Self { columns, literals: builder.literal_bytes() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.literals.encode();
        put_varint(&mut out, self.columns.start as u64);
        put_varint(&mut out, self.columns.len() as u64);
        out
    }

    /// What is known of a column of shapes; `None` for older blocks, which do not tell.
    pub(super) fn of_column(meta: &ColumnMeta) -> Result<Option<Self>, Malformed> {
        if meta.params.is_empty() {
            return Ok(None);
        }
        let mut input = Input::new(&meta.params);
        let outline = Self::decode(&mut input)?;
        if meta.encoding == code::SHAPES && !input.is_empty() {
            return Err(Malformed("parameters of shapes"));
        }
        Ok(Some(outline))
    }

    /// The templates that a column of shapes has, by their number in the dictionary.
    pub(super) fn templates(meta: &ColumnMeta) -> Result<Vec<u16>, Malformed> {
        used::decode(Self::list(meta)?)
    }

    /// The same as they are written.
    pub(crate) fn list(meta: &ColumnMeta) -> Result<Input<'_>, Malformed> {
        let mut input = Input::new(&meta.params);
        Self::decode(&mut input)?;
        Ok(input)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let literals = ByteSet::decode(input.take(ByteSet::LEN, "bytes of the literals")?)?;
        let start = input.len("first column of shapes")?;
        let own = input.len("columns of shapes")?;
        match start.checked_add(own) {
            Some(end) if own <= MAX_COLUMNS => Ok(Self { columns: start..end, literals }),
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
        let meta = |encoding, params: &[u8]| ColumnMeta {
            role: crate::block::Role::Values(1),
            encoding,
            params: params.to_vec(),
            packing: crate::block::Packing::Plain,
            raw_len: 0,
            stored_len: 0,
            crc: 0,
        };
        assert_eq!(Outline::of_column(&meta(code::SHAPES, &params)), Ok(Some(outline.clone())));
        assert_eq!(Outline::of_column(&meta(code::SHAPES, &[])), Ok(None));
        for len in 1..params.len() {
            assert!(Outline::of_column(&meta(code::SHAPES, &params[..len])).is_err());
        }
        let mut shared = params;
        used::encode(&[2, 70, 71], &mut shared);
        assert_eq!(Outline::templates(&meta(code::SHARED_SHAPES, &shared)), Ok(vec![2, 70, 71]));
        assert_eq!(Outline::of_column(&meta(code::SHARED_SHAPES, &shared)), Ok(Some(outline.clone())));
        let part = |range: Range<usize>| Part { range, from_start: false, to_end: false };
        let needle = Needle::exact(b"took 17");
        assert!(outline.is_within_values(&needle, &part(5..7)));
        assert!(!outline.is_within_values(&needle, &part(4..7)));
    }
}
