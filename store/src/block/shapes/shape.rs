//! The shapes of a block's texts, and which of them each text has.

use std::sync::OnceLock;

use super::bytes::ByteSet;
use super::forms::{Forms, Piece, Slot};
use super::rows::Hits;
use super::{Codes, MAX_COLUMNS, Rows, Templates};
use crate::block::wire::{Input, Malformed};

/// Texts as shapes; their columns lie elsewhere.
#[derive(Debug)]
pub(crate) struct Shapes {
    forms: Forms,
    pub(crate) codes: Codes,
    /// Number of the first column in the block.
    pub(crate) base: usize,
    /// Values of each column.
    pub(crate) entries: Vec<usize>,
    /// By column: the number of its first value of each text; empty where it is the text's own number.
    firsts: Vec<OnceLock<Vec<u32>>>,
    boundary_bytes: OnceLock<ByteSet>,
}

/// What bounds shapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Number of texts.
    pub(crate) texts: usize,
    /// Slots that all texts together may have.
    pub(crate) slots: usize,
    /// Value columns of the block.
    pub(crate) columns: usize,
}

impl Shapes {
    /// Reads shapes that lie in the block. `pairs` is the number of its pair columns.
    pub(crate) fn decode(raw: &[u8], limits: Limits, pairs: usize) -> Result<Self, Malformed> {
        let mut input = Input::new(raw);
        let (base, own) = columns(&mut input, limits)?;
        let number = input.len("number of shapes")?;
        if number > limits.texts.min(usize::from(u16::MAX)) {
            return Err(Malformed("number of shapes"));
        }
        let forms = Forms::decode(&mut input, number, own, pairs)?;
        let codes = Codes::decode(&mut input, number, limits.texts)?;
        Self::new(&input, forms, codes, (base, own), limits)
    }

    /// Reads shapes that are `used` of the templates of a dictionary. `pair` finds pair columns of the block.
    pub(crate) fn decode_templates(
        raw: &[u8],
        limits: Limits,
        used: &[u16],
        templates: &Templates,
        pair: impl Fn(u32) -> Option<u32>,
    ) -> Result<Self, Malformed> {
        let mut input = Input::new(raw);
        let (base, own) = columns(&mut input, limits)?;
        // By the dictionary's number: the column of the block.
        let mut numbers = vec![None; templates.columns()];
        let mut next = 0_usize;
        for column in 0..own as u32 {
            next = next.saturating_add(input.len("column of a dictionary")?);
            *numbers.get_mut(next).ok_or(Malformed("column of a dictionary"))? = Some(column);
            next += 1;
        }
        let forms = templates.forms().some(used, |slot| {
            let found = match slot {
                Slot::Column(column) => numbers[column as usize].map(Slot::Column),
                Slot::Pair(number) => pair(number).map(Slot::Pair),
            };
            found.ok_or(Malformed("slot of a template"))
        })?;
        let codes = Codes::decode_planes(&mut input, used.len(), limits.texts)?;
        Self::new(&input, forms, codes, (base, own), limits)
    }

    fn new(
        rest: &Input<'_>,
        forms: Forms,
        codes: Codes,
        (base, own): (usize, usize),
        limits: Limits,
    ) -> Result<Self, Malformed> {
        if !rest.is_empty() {
            return Err(Malformed("end of the shapes"));
        }
        let firsts = (0..own).map(|_| OnceLock::new()).collect();
        let mut shapes =
            Self { forms, codes, base, entries: vec![0; own], firsts, boundary_bytes: OnceLock::new() };
        shapes.count_entries(limits.slots)?;
        Ok(shapes)
    }

    fn count_entries(&mut self, max_slots: usize) -> Result<(), Malformed> {
        let mut texts = vec![0_usize; self.len()];
        self.codes.for_each(|_, shape| texts[shape] += 1);
        let mut slots = 0_usize;
        for (shape, texts) in texts.into_iter().enumerate() {
            let pieces = self.forms.pieces(shape);
            slots = slots.saturating_add((pieces.len() - 1).saturating_mul(texts));
            if slots > max_slots {
                return Err(Malformed("slots of the shapes"));
            }
            for piece in pieces {
                if let Some(Slot::Column(column)) = piece.slot {
                    self.entries[column as usize] += texts;
                }
            }
        }
        Ok(())
    }

    /// Number of shapes.
    pub(crate) const fn len(&self) -> usize {
        self.forms.len()
    }

    pub(crate) fn pieces(&self, shape: usize) -> &[Piece] {
        self.forms.pieces(shape)
    }

    pub(crate) fn literal(&self, piece: &Piece) -> &[u8] {
        self.forms.literal(piece)
    }

    /// The literals of all shapes, one after the other.
    pub(crate) fn text(&self) -> &[u8] {
        self.forms.text()
    }

    /// Bytes that begin or end a literal beside a slot.
    pub(crate) fn boundary_bytes(&self) -> ByteSet {
        *self.boundary_bytes.get_or_init(|| {
            let mut set = ByteSet::default();
            for shape in 0..self.len() {
                let pieces = self.pieces(shape);
                for (at, piece) in pieces.iter().enumerate() {
                    let literal = self.literal(piece);
                    if literal.is_empty() && at > 0 && at + 1 < pieces.len() {
                        (0..=u8::MAX).for_each(|byte| set.insert(byte)); // two values touch
                    }
                    literal.first().filter(|_| at > 0).into_iter().for_each(|byte| set.insert(*byte));
                    literal
                        .last()
                        .filter(|_| at + 1 < pieces.len())
                        .into_iter()
                        .for_each(|byte| set.insert(*byte));
                }
            }
            set
        })
    }

    /// The shape one of whose literals has these bytes of [`Shapes::text`].
    pub(super) fn shape_with(&self, start: usize, end: usize) -> Option<usize> {
        self.forms.with_literal(start, end)
    }

    /// Numbers of the pair columns that have values of the texts.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = usize> {
        self.forms.all_pieces().iter().filter_map(|piece| match piece.slot {
            Some(Slot::Pair(pair)) => Some(pair as usize),
            _ => None,
        })
    }

    /// Numbers of the columns in the block.
    pub(crate) fn columns(&self) -> std::ops::Range<usize> {
        self.base..self.base + self.entries.len()
    }

    /// Number of the first value of text `i` in `column`.
    #[inline]
    pub(crate) fn first(&self, column: u32, i: usize) -> usize {
        self.firsts_of(column).get(i).map_or(i, |first| *first as usize)
    }

    /// See [`Shapes::firsts`].
    pub(crate) fn firsts_of(&self, column: u32) -> &[u32] {
        self.firsts[column as usize].get_or_init(|| {
            let counts: Vec<u32> = (0..self.len()).map(|shape| self.num_slots(shape, column)).collect();
            if counts.iter().all(|count| *count == 1) {
                return Vec::new();
            }
            let mut next = 0;
            let mut firsts = Vec::with_capacity(self.codes.len());
            self.codes.for_each(|_, shape| {
                firsts.push(next);
                next += counts[shape];
            });
            firsts
        })
    }

    pub(super) fn num_slots(&self, shape: usize, column: u32) -> u32 {
        self.pieces(shape).iter().filter(|piece| piece.slot == Some(Slot::Column(column))).count() as u32
    }

    /// Adds the texts that have a value of `hits`, which are values of the column or pair in `slot`.
    pub(super) fn add_texts_with(&self, slot: Slot, hits: &Hits, rows: &mut Rows) {
        if matches!(hits, Hits::None) {
            return;
        }
        match slot {
            Slot::Column(column) => {
                let mut entry = 0;
                self.for_each_entry(column, |row| {
                    if hits.contains(entry) {
                        rows.insert(row);
                    }
                    entry += 1;
                });
            }
            Slot::Pair(_) => {
                let has = |shape| self.pieces(shape).iter().any(|piece| piece.slot == Some(slot));
                let has: Vec<bool> = (0..self.len()).map(has).collect();
                let found =
                    (0..self.codes.len()).filter(|row| has[self.codes.get(*row)] && hits.contains(*row));
                found.for_each(|row| rows.insert(row));
            }
        }
    }

    /// Calls `each` with the number of the text of each value of `column`.
    pub(crate) fn for_each_entry(&self, column: u32, mut each: impl FnMut(usize)) {
        let counts: Vec<u32> = (0..self.len()).map(|shape| self.num_slots(shape, column)).collect();
        self.codes.for_each(|i, shape| (0..counts[shape]).for_each(|_| each(i)));
    }
}

/// First and number of the columns of shapes.
fn columns(input: &mut Input<'_>, limits: Limits) -> Result<(usize, usize), Malformed> {
    let base = input.len("first column of shapes")?;
    let own = input.len("columns of shapes")?;
    if own > MAX_COLUMNS || base.checked_add(own).is_none_or(|end| end > limits.columns) {
        return Err(Malformed("columns of shapes"));
    }
    Ok((base, own))
}
