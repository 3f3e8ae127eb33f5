//! Lines as the shapes they are stored in, for those who can tell from a shape what all its lines say.
//!
//! The invariant: the literals of a line's shape with the values of its slots between them are the line. What a
//! value is made of is often known without reading it, so that a parser may trust a shape it has parsed once.

use super::shapes::{Column, Resolved, Slot, is_number};
use super::slot_values::{Entries, SlotValues, Source};
use super::wire::Malformed;
use super::{Block, BlockError, Shapes};

/// The shapes of a block's lines.
#[derive(Clone, Copy, Debug)]
pub struct LineShapes<'a> {
    block: &'a Block,
    shapes: &'a Shapes,
}

/// Where in a shape a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId {
    slot: Slot,
    /// Slots of the same column before it in the shape.
    earlier: usize,
}

impl<'a> LineShapes<'a> {
    pub(super) const fn new(block: &'a Block, shapes: &'a Shapes) -> Self {
        Self { block, shapes }
    }

    /// Number of shapes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of line `row`.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    #[must_use]
    pub fn of_row(&self, row: usize) -> usize {
        self.shapes.codes.get(row)
    }

    /// The literals of a shape, each with the slot after it; the last has none.
    ///
    /// # Panics
    /// When `shape` is not less than [`LineShapes::len`].
    pub fn pieces(&self, shape: usize) -> impl Iterator<Item = (&'a [u8], Option<SlotId>)> {
        let (shapes, pieces) = (self.shapes, self.shapes.pieces(shape));
        pieces.iter().enumerate().map(move |(at, piece)| {
            let id = piece.slot.map(|slot| SlotId {
                slot,
                earlier: pieces[..at].iter().filter(|piece| piece.slot == Some(slot)).count(),
            });
            (shapes.literal(piece), id)
        })
    }

    /// Whether every byte of every value that may stand in the slot is known to fit. Reads no column of many
    /// distinct values.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn has_only(&self, id: SlotId, fits: impl Fn(u8) -> bool) -> Result<bool, BlockError> {
        match id.slot {
            Slot::Pair(pair) => Ok(self.block.pair_has_only(pair as usize, &fits)),
            Slot::Column(column) => self.column_has_only(self.shapes.base + column as usize, &fits),
        }
    }

    fn column_has_only(&self, number: usize, fits: &dyn Fn(u8) -> bool) -> Result<bool, BlockError> {
        if let Some(known) = self.block.bytes_of(number) {
            return Ok((0..=u8::MAX).all(|byte| !known.contains(byte) || fits(byte)));
        }
        let all = |text: &[u8]| text.iter().all(|byte| fits(*byte));
        match self.block.column(number)? {
            Column::Constant { text, .. } => Ok(all(text)),
            Column::Dictionary { texts, .. } => Ok(texts.iter().all(all)),
            Column::Shapes(nested) => {
                let mut known = all(nested.text());
                for number in nested.columns() {
                    known = known && self.column_has_only(number, fits)?;
                }
                Ok(known)
            }
            _ => Ok(false),
        }
    }

    /// Whether every value that may stand in the slot is known to be a number in decimal digits: `17`, `-3`, `0.50`.
    /// Reads no column of many distinct values.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn has_numbers(&self, id: SlotId) -> Result<bool, BlockError> {
        let Slot::Column(column) = id.slot else { return Ok(false) };
        let number = self.shapes.base + column as usize;
        if let Some(known) = self.block.column_meta(number).and_then(Column::are_numbers) {
            return Ok(known);
        }
        Ok(match self.block.column(number)? {
            Column::Constant { text, .. } => is_number(text),
            Column::Dictionary { texts, .. } => texts.iter().all(is_number),
            _ => false,
        })
    }

    /// The values that stand in the slot.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn values(&self, id: SlotId) -> Result<SlotValues<'a>, BlockError> {
        let none = Resolved { columns: Vec::new(), pairs: Vec::new() };
        let (source, resolved) = match id.slot {
            Slot::Pair(pair) => (Source::Pair(self.block.pair_values(pair as usize)?), none),
            Slot::Column(own) => {
                let column = self.block.column(self.shapes.base + own as usize)?;
                if column.len() != self.shapes.entries[own as usize] {
                    return Err(self.block.malformed(Malformed("number of values")));
                }
                let resolved = if let Column::Shapes(nested) = column {
                    self.block.resolved(nested, None)?
                } else {
                    none
                };
                (Source::Column(column, Entries::of(self.shapes, own, id.earlier)), resolved)
            }
        };
        Ok(SlotValues::new(self.block, source, resolved))
    }
}
