//! Literals and values put together to the texts they were cut from.

use super::{Column, Shapes, Slot, hex};
use crate::block::Lines;
use crate::block::pairs::Values;
use crate::block::wire::Malformed;

/// The columns of a block, as far as the texts asked for need them.
#[derive(Debug)]
pub(crate) struct Resolved<'a> {
    /// By number.
    pub(crate) columns: Vec<Option<&'a Column>>,
    pub(crate) pairs: Vec<Option<&'a Values>>,
}

impl Resolved<'_> {
    /// Appends text `i` of `shapes`. All texts of the block together have `max` bytes at most: a damaged file must
    /// not make lines without end.
    pub(crate) fn append(
        &self,
        shapes: &Shapes,
        i: usize,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Malformed> {
        const MISSING: Malformed = Malformed("a value is missing");
        let start = out.len();
        let pieces = shapes.pieces(shapes.codes.get(i));
        for (at, piece) in pieces.iter().enumerate() {
            out.extend_from_slice(shapes.literal(piece));
            match piece.slot {
                None => {}
                Some(Slot::Pair(pair)) => {
                    let values = self.pairs.get(pair as usize).copied().flatten().ok_or(MISSING)?;
                    out.extend_from_slice(values.get(i).ok_or(MISSING)?.as_bytes());
                }
                Some(slot @ Slot::Column(column)) => {
                    let earlier = pieces[..at].iter().filter(|piece| piece.slot == Some(slot)).count();
                    let entry = shapes.first(column, i) + earlier;
                    let values = self.columns.get(shapes.base + column as usize).copied().flatten();
                    self.append_value(values.ok_or(MISSING)?, entry, out, max)?;
                }
            }
            if out.len() - start > max {
                return Err(Malformed("bytes of a line"));
            }
        }
        Ok(())
    }

    /// Appends value `entry` of a column; `max` as for texts.
    pub(crate) fn append_value(
        &self,
        column: &Column,
        entry: usize,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Malformed> {
        match column {
            Column::Constant { text, .. } => out.extend_from_slice(text),
            Column::Dictionary { texts, codes } => out.extend_from_slice(texts.get(codes.get(entry))),
            Column::Text(texts) => out.extend_from_slice(texts.all().get(entry)),
            Column::Hex { digits, bytes } => hex::append(&bytes[entry * digits / 2..][..digits / 2], out),
            Column::Uuid(bytes) => super::column::append_uuid(&bytes[entry * 16..][..16], out),
            Column::Numbers(numbers) => numbers.append(entry, out),
            Column::Stamps(stamps) => stamps.append(entry, out),
            Column::Shapes(shapes) => return self.append(shapes, entry, out, max),
        }
        Ok(())
    }

    /// All texts of `shapes`, which must come to `bytes` bytes.
    pub(crate) fn texts(&self, shapes: &Shapes, bytes: usize) -> Result<Lines, Malformed> {
        const WRONG: Malformed = Malformed("bytes of the lines");
        let mut lines = Lines::with_capacity(shapes.codes.len(), bytes);
        for i in 0..shapes.codes.len() {
            self.append(shapes, i, lines.buffer(), bytes)?;
            lines.end_line();
            if lines.line_bytes() > bytes {
                return Err(WRONG);
            }
        }
        if lines.line_bytes() == bytes { Ok(lines) } else { Err(WRONG) }
    }
}
