//! What the columns of a block cannot hold, told without reading them: by their parameters alone.

use super::bytes::ByteSet;
use super::column::code;
use super::find::Finder;
use super::needle::{Needle, Part};
use super::number::Format;
use super::rows::Hits;
use super::{Column, Outline, Shapes, bytes_of_stamps, hex};
use crate::block::header::ColumnMeta;
use crate::block::wire::Malformed;
use crate::block::{Block, BlockError, encode};

impl Block {
    /// Bytes that values of column `number` may have, as far as is known without reading it.
    pub(in crate::block) fn bytes_of(&self, number: usize) -> Option<ByteSet> {
        let meta = self.column_meta(number)?;
        if !Column::is_of_shapes(meta) {
            return Column::bytes_of(meta);
        }
        let outline = Outline::of_column(meta).ok()??;
        let mut set = outline.literals;
        for nested in outline.columns {
            set.add(Column::bytes_of(self.column_meta(nested)?)?);
        }
        Some(set)
    }
}

impl Finder<'_> {
    /// Whether a value of column `number` may have `part`, as far as is known without reading it.
    pub(super) fn may_hold(&self, meta: &ColumnMeta, number: usize, part: &Part) -> bool {
        let piece = &self.needle.bytes[part.range.clone()];
        if let Some(set) = self.block.bytes_of(number)
            && !all_bytes(self.needle, piece, &|byte| set.contains(byte))
        {
            return false;
        }
        match meta.encoding {
            code::UUID => piece.len() <= 36,
            code::STAMPS => piece.len() <= 35,
            code::NUMBERS | code::DENSE_NUMBERS => Format::decode(&meta.params)
                .map_or(true, |(format, _, max)| piece.len() <= format.longest(max)),
            _ => true,
        }
    }

    /// The same of a pair column.
    pub(super) fn pair_may_hold(&self, meta: &ColumnMeta, part: &Part) -> bool {
        let piece = &self.needle.bytes[part.range.clone()];
        match meta.encoding {
            encode::code::PAIR_HEX => all_bytes(self.needle, piece, &hex::is_digit),
            encode::code::PAIR_UUID => piece.len() <= 36 && all_bytes(self.needle, piece, &is_uuid_byte),
            encode::code::PAIR_SHARED => ByteSet::decode(meta.params.get(..ByteSet::LEN).unwrap_or_default())
                .map_or(true, |set| all_bytes(self.needle, piece, &|byte| set.contains(byte))),
            encode::code::PAIR_STAMPS => {
                let set = bytes_of_stamps(&meta.params);
                piece.len() <= 35 && all_bytes(self.needle, piece, &|byte| set.contains(byte))
            }
            _ => true,
        }
    }

    /// Whether `part` could only lie within a value of nested shapes, and lies in none. They need not be read then.
    pub(super) fn is_in_no_value(
        &mut self,
        meta: &ColumnMeta,
        number: usize,
        part: &Part,
    ) -> Result<bool, BlockError> {
        if !Column::is_of_shapes(meta) {
            return Ok(false);
        }
        let outline = Outline::of_column(meta).map_err(|wrong| self.block.malformed(wrong))?;
        let Some(outline) = outline.filter(|outline| outline.is_within_values(self.needle, part)) else {
            return Ok(false);
        };
        if outline.columns.start <= number {
            return Err(self.block.malformed(Malformed("columns of nested shapes")));
        }
        for nested in outline.columns {
            let hits = self.remembered(nested, part, |finder| finder.column(nested, part))?;
            if !matches!(hits, Hits::None) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// By column of `shapes`: where in the needle a byte stands that its values may have.
    pub(super) fn places_by_column(&self, shapes: &Shapes) -> Vec<u64> {
        if !self.needle.has_places() {
            return Vec::new();
        }
        let places = |number: usize| match self.block.bytes_of(number) {
            Some(set) => self.needle.places_of(set),
            None => u64::MAX,
        };
        shapes.columns().map(places).collect()
    }
}

/// Whether `fits` holds for each byte of a piece of the needle, in one of its cases.
fn all_bytes(needle: &Needle, piece: &[u8], fits: &dyn Fn(u8) -> bool) -> bool {
    piece.iter().all(|byte| fits(*byte) || (needle.ignores_case() && fits(byte.to_ascii_uppercase())))
}

const fn is_uuid_byte(byte: u8) -> bool {
    hex::is_digit(byte) || byte == b'-'
}
