//! The values of one slot of a shape: as text, as codes of the few texts there are, or as numbers.
//!
//! The invariant: whichever way a value is read, it is the same value. Codes and numbers say it without its text being
//! written out, so that lines can be counted and measured by what their columns hold.

use super::pairs::Values;
use super::shapes::{Codes, Column, Numbers, Resolved};
use super::wire::Malformed;
use super::{Block, BlockError, Lines, Shapes, SharedCodes};

/// Whole numbers below are held by a floating-point number as they are.
const MAX_EXACT: u64 = 1 << 53;
/// Powers of ten that a floating-point number holds as they are.
const POWERS_OF_TEN: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];

/// Values that stand in one slot of a shape.
#[derive(Debug)]
pub struct SlotValues<'a> {
    block: &'a Block,
    source: Source<'a>,
    /// The columns of nested shapes.
    resolved: Resolved<'a>,
}

#[derive(Debug)]
pub(super) enum Source<'a> {
    Pair(&'a Values),
    Column(&'a Column, Entries<'a>),
}

/// Which value of a column stands in the slot of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    /// By line; empty where the value has the line's own number.
    firsts: &'a [u32],
    /// Values of the column before the slot's, in the same line.
    earlier: usize,
}

/// Values told by the codes of their texts.
#[derive(Clone, Copy, Debug)]
pub struct CodedValues<'a> {
    entries: Entries<'a>,
    texts: Texts<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Texts<'a> {
    One(&'a [u8]),
    Few(&'a Lines, &'a Codes),
}

/// Values that are numbers in decimal digits.
#[derive(Clone, Copy, Debug)]
pub struct NumberValues<'a> {
    entries: Entries<'a>,
    numbers: &'a Numbers,
    /// What a number is to be divided by; below zero for negative ones.
    divisor: f64,
}

// === impl Entries ===

impl<'a> Entries<'a> {
    pub(super) fn of(shapes: &'a Shapes, column: u32, earlier: usize) -> Self {
        Self { firsts: shapes.firsts_of(column), earlier }
    }

    /// Whether each line has the value with its own number.
    pub(super) const fn are_rows(self) -> bool {
        self.firsts.is_empty() && self.earlier == 0
    }

    #[inline]
    pub(super) fn of_row(self, row: usize) -> usize {
        self.firsts.get(row).map_or(row, |first| *first as usize) + self.earlier
    }
}

// === impl SlotValues ===

impl<'a> SlotValues<'a> {
    pub(super) const fn new(block: &'a Block, source: Source<'a>, resolved: Resolved<'a>) -> Self {
        Self { block, source, resolved }
    }

    /// The value of line `row`, which must be of the shape; `buffer` is used where it has to be written out.
    ///
    /// # Errors
    /// When the block is damaged.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    #[inline]
    pub fn get<'b>(&'b self, row: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], BlockError> {
        let missing = || self.block.malformed(Malformed("a value is missing"));
        match &self.source {
            Source::Pair(values) => values.get(row).map(str::as_bytes).ok_or_else(missing),
            Source::Column(column, entries) => {
                let entry = entries.of_row(row);
                if let Some(text) = column.text(entry) {
                    return Ok(text);
                }
                buffer.clear();
                let appended = self.resolved.append_value(column, entry, buffer, self.block.line_bytes());
                appended.map_err(|wrong| self.block.malformed(wrong))?;
                Ok(buffer)
            }
        }
    }

    /// The values as codes, where few texts are known to be all there are.
    #[must_use]
    pub fn coded(&self) -> Option<CodedValues<'a>> {
        let (texts, entries) = match self.source {
            Source::Pair(Values::Constant(text)) => {
                (Texts::One(text.as_bytes()), Entries { firsts: &[], earlier: 0 })
            }
            Source::Column(Column::Constant { text, .. }, entries) => (Texts::One(text), entries),
            Source::Column(Column::Dictionary { texts, codes }, entries) => {
                (Texts::Few(texts, codes), entries)
            }
            _ => return None,
        };
        Some(CodedValues { entries, texts })
    }

    /// The values as codes that other blocks may share.
    #[must_use]
    pub fn shared_codes(&self) -> Option<SharedCodes<'a>> {
        match self.source {
            Source::Column(column, entries) => SharedCodes::of(column, entries),
            Source::Pair(_) => None,
        }
    }

    /// The values as numbers, where all are digits with at most a point among them and a `-` before them.
    #[must_use]
    pub fn numbers(&self) -> Option<NumberValues<'a>> {
        let Source::Column(Column::Numbers(numbers), entries) = self.source else { return None };
        let divisor = *POWERS_OF_TEN.get(numbers.format.decimals)?;
        let divisor = match numbers.format.prefix.as_slice() {
            b"" => divisor,
            b"-" => -divisor,
            _ => return None,
        };
        // Such numbers are read from their texts.
        let is_exact = numbers.values.iter().all(|value| *value < MAX_EXACT);
        is_exact.then_some(NumberValues { entries, numbers, divisor })
    }
}

// === impl CodedValues ===

impl<'a> CodedValues<'a> {
    /// Number of distinct texts; codes are less.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.texts {
            Texts::One(_) => 1,
            Texts::Few(texts, _) => texts.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text with this code.
    ///
    /// # Panics
    /// When `code` is not less than [`CodedValues::len`].
    #[must_use]
    pub fn text(&self, code: usize) -> &'a [u8] {
        match self.texts {
            Texts::One(text) => text,
            Texts::Few(texts, _) => texts.get(code),
        }
    }

    /// The code of the value of line `row`, which must be of the shape.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    #[must_use]
    #[inline]
    pub fn code(&self, row: usize) -> usize {
        match self.texts {
            Texts::One(_) => 0,
            Texts::Few(_, codes) => codes.get(self.entries.of_row(row)),
        }
    }
}

// === impl NumberValues ===

impl NumberValues<'_> {
    /// The value of line `row`, which must be of the shape: what reading its text gives, to the last bit.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    #[must_use]
    #[inline]
    pub fn get(&self, row: usize) -> f64 {
        // Both are exact, so that their quotient is rounded once, to the number nearest to the text.
        #[expect(clippy::cast_precision_loss, reason = "less than 2^53")]
        let digits = self.numbers.values[self.entries.of_row(row)] as f64;
        digits / self.divisor
    }
}
