//! Shapes as they are stored, and which of them each text has.

use std::sync::OnceLock;

use super::build::Builder;
use super::bytes::ByteSet;
use super::{Codes, MAX_COLUMNS};
use crate::block::wire::{Input, Malformed, put_varint};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The next value of a column of these shapes, counted from their first.
    Column(u32),
    /// The record's value of a pair column.
    Pair(u32),
}

/// A literal, and the slot after it; the last piece of a shape has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    start: u32,
    end: u32,
    pub(crate) slot: Option<Slot>,
}

/// Texts as shapes; their columns lie elsewhere.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// The literals of all shapes, one after the other.
    text: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where the pieces of each shape begin, and where the last one's end.
    starts: Vec<u32>,
    pub(crate) codes: Codes,
    /// Number of the first column in the block.
    pub(crate) base: usize,
    /// Values of each column.
    pub(crate) entries: Vec<usize>,
    /// By column: the number of its first value of each text; empty where it is the text's own number.
    firsts: Vec<OnceLock<Vec<u32>>>,
    boundary_bytes: OnceLock<ByteSet>,
}

impl Shapes {
    /// Reads shapes of `len` texts. `max_slots` bounds the slots of all texts together, `pairs` and `columns`
    /// the numbers that slots may name.
    pub(crate) fn decode(
        raw: &[u8],
        len: usize,
        max_slots: usize,
        pairs: usize,
        columns: usize,
    ) -> Result<Self, Malformed> {
        let mut input = Input::new(raw);
        let base = input.len("first column of shapes")?;
        let own = input.len("columns of shapes")?;
        if own > MAX_COLUMNS || base.checked_add(own).is_none_or(|end| end > columns) {
            return Err(Malformed("columns of shapes"));
        }
        let number = input.len("number of shapes")?;
        if number > len.min(usize::from(u16::MAX)) {
            return Err(Malformed("number of shapes"));
        }
        // Most of the bytes are literals: a piece takes a few of them.
        let (mut pieces, mut starts) =
            (Vec::with_capacity(input.rest().len() / 16), Vec::with_capacity(number + 1));
        let mut end = 0_u32;
        for _ in 0..number {
            starts.push(pieces.len() as u32);
            let slots = input.len("number of slots")?;
            for slot in 0..=slots {
                let start = end;
                let len = input.varint_u32("length of a literal")?;
                end = end.checked_add(len).ok_or(Malformed("length of a literal"))?;
                let slot = if slot < slots { Some(Slot::decode(&mut input, own, pairs)?) } else { None };
                pieces.push(Piece { start, end, slot });
            }
        }
        starts.push(pieces.len() as u32);
        let text = input.take(end as usize, "literals")?.to_vec();
        let codes = Codes::decode(&mut input, number, len)?;
        if !input.is_empty() {
            return Err(Malformed("end of the shapes"));
        }
        let firsts = (0..own).map(|_| OnceLock::new()).collect();
        let mut shapes = Self {
            text,
            pieces,
            starts,
            codes,
            base,
            entries: vec![0; own],
            firsts,
            boundary_bytes: OnceLock::new(),
        };
        shapes.count_entries(max_slots)?;
        Ok(shapes)
    }

    fn count_entries(&mut self, max_slots: usize) -> Result<(), Malformed> {
        let mut texts = vec![0_usize; self.len()];
        (0..self.codes.len()).for_each(|i| texts[self.codes.get(i)] += 1);
        let mut slots = 0_usize;
        for (shape, texts) in texts.into_iter().enumerate() {
            let of_shape = self.pieces(shape).len() - 1;
            slots = slots.saturating_add(of_shape.saturating_mul(texts));
            if slots > max_slots {
                return Err(Malformed("slots of the shapes"));
            }
            for at in self.starts[shape]..self.starts[shape + 1] {
                if let Some(Slot::Column(column)) = self.pieces[at as usize].slot {
                    self.entries[column as usize] += texts;
                }
            }
        }
        Ok(())
    }

    /// Number of shapes.
    pub(crate) const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn pieces(&self, shape: usize) -> &[Piece] {
        &self.pieces[self.starts[shape] as usize..self.starts[shape + 1] as usize]
    }

    /// The literals of a shape, one after the other.
    pub(super) fn text_of(&self, shape: usize) -> &[u8] {
        match self.pieces(shape) {
            [first, .., last] => &self.text[first.start as usize..last.end as usize],
            [only] => self.literal(only),
            [] => &[],
        }
    }

    pub(crate) fn literal(&self, piece: &Piece) -> &[u8] {
        &self.text[piece.start as usize..piece.end as usize]
    }

    /// The literals of all shapes, one after the other.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
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
        let at = self.pieces.partition_point(|piece| piece.end as usize <= start);
        let within = self.pieces.get(at)?.end as usize >= end;
        within.then(|| self.starts.partition_point(|first| *first as usize <= at) - 1)
    }

    /// Numbers of the pair columns that have values of the texts.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece.slot {
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
            for i in 0..self.codes.len() {
                firsts.push(next);
                next += counts[self.codes.get(i)];
            }
            firsts
        })
    }

    pub(super) fn num_slots(&self, shape: usize, column: u32) -> u32 {
        self.pieces(shape).iter().filter(|piece| piece.slot == Some(Slot::Column(column))).count() as u32
    }

    /// Calls `each` with the number of the text of each value of `column`.
    pub(crate) fn for_each_entry(&self, column: u32, mut each: impl FnMut(usize)) {
        let counts: Vec<u32> = (0..self.len()).map(|shape| self.num_slots(shape, column)).collect();
        for i in 0..self.codes.len() {
            (0..counts[self.codes.get(i)]).for_each(|_| each(i));
        }
    }
}

impl Slot {
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Column(number) => number << 1,
            Self::Pair(number) => number << 1 | 1,
        }
    }

    fn decode(input: &mut Input<'_>, columns: usize, pairs: usize) -> Result<Self, Malformed> {
        let code = input.varint_u32("slot")?;
        let (number, known) = (code >> 1, if code & 1 == 0 { columns } else { pairs });
        if number as usize >= known {
            return Err(Malformed("slot"));
        }
        Ok(if code & 1 == 0 { Self::Column(number) } else { Self::Pair(number) })
    }
}

/// Adds the number of slots of all texts, and the shapes themselves, to `out`.
pub(super) fn encode(builder: &Builder, base: usize, out: &mut Vec<u8>) {
    put_varint(out, base as u64);
    put_varint(out, builder.columns().len() as u64);
    put_varint(out, builder.len() as u64);
    for shape in builder.shapes() {
        let mut from = 0;
        put_varint(out, shape.slots.len() as u64);
        for (end, slot) in shape.slots() {
            put_varint(out, u64::from(end - from));
            put_varint(out, u64::from(slot.code()));
            from = end;
        }
        put_varint(out, shape.text.len() as u64 - u64::from(from));
    }
    builder.shapes().for_each(|shape| out.extend_from_slice(shape.text));
    Codes::encode(builder.codes(), builder.len(), out);
}
