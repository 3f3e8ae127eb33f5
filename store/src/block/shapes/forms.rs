//! The forms that texts have: literals, and slots between them. What blocks and dictionaries of parts store alike.

use super::collect::Collected;
use crate::block::wire::{Input, Malformed, put_varint};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The next value of a column: in a block counted from the first of its shapes, in a dictionary from the first it has.
    Column(u32),
    /// The record's value of a pair column.
    Pair(u32),
}

/// A literal, and the slot after it; the last piece of a form has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    start: u32,
    end: u32,
    pub(crate) slot: Option<Slot>,
}

/// Forms, by number.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    /// The literals of all forms, one after the other.
    text: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where the pieces of each form begin.
    starts: Vec<u32>,
}

impl Forms {
    /// Reads `number` forms, whose slots name one of `columns` columns and of `pairs` pairs.
    pub(super) fn decode(
        input: &mut Input<'_>,
        number: usize,
        columns: usize,
        pairs: usize,
    ) -> Result<Self, Malformed> {
        // Most of the bytes are literals: a piece takes a few of them.
        let mut forms = Self::with_capacity(number.min(input.rest().len()), input.rest().len() / 16);
        let mut end = 0_u32;
        for _ in 0..number {
            forms.starts.push(forms.pieces.len() as u32);
            let slots = input.len("number of slots")?;
            for slot in 0..=slots {
                let start = end;
                let len = input.varint_u32("length of a literal")?;
                end = end.checked_add(len).ok_or(Malformed("length of a literal"))?;
                let slot = if slot < slots { Some(Slot::decode(input, columns, pairs)?) } else { None };
                forms.pieces.push(Piece { start, end, slot });
            }
        }
        forms.text = input.take(end as usize, "literals")?.to_vec();
        Ok(forms)
    }

    fn with_capacity(forms: usize, pieces: usize) -> Self {
        Self { text: Vec::new(), pieces: Vec::with_capacity(pieces), starts: Vec::with_capacity(forms) }
    }

    /// Those of these numbers, their slots as `slot` has them.
    pub(super) fn some(
        &self,
        numbers: &[u16],
        mut slot: impl FnMut(Slot) -> Result<Slot, Malformed>,
    ) -> Result<Self, Malformed> {
        // Most blocks have a good part of all forms: room for that is taken at once.
        let mut some = Self::with_capacity(numbers.len(), self.pieces.len().min(numbers.len() * 16));
        some.text.reserve(self.text.len().min(numbers.len() * 128));
        for number in numbers {
            let number = usize::from(*number);
            if number >= self.len() {
                return Err(Malformed("number of a template"));
            }
            some.starts.push(some.pieces.len() as u32);
            let pieces = self.pieces(number);
            let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { continue };
            let (from, to) = (first.start, some.text.len() as u32);
            some.text.extend_from_slice(&self.text[from as usize..last.end as usize]);
            for piece in pieces {
                let slot = match piece.slot {
                    Some(of_dictionary) => Some(slot(of_dictionary)?),
                    None => None,
                };
                some.pieces.push(Piece { start: piece.start - from + to, end: piece.end - from + to, slot });
            }
        }
        Ok(some)
    }

    /// Number of forms.
    pub(crate) const fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn pieces(&self, form: usize) -> &[Piece] {
        let end = self.starts.get(form + 1).map_or(self.pieces.len(), |start| *start as usize);
        &self.pieces[self.starts[form] as usize..end]
    }

    /// The pieces of all forms.
    pub(super) fn all_pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn literal(&self, piece: &Piece) -> &[u8] {
        &self.text[piece.start as usize..piece.end as usize]
    }

    /// The literals of all forms, one after the other.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The form one of whose literals has these bytes of [`Forms::text`].
    pub(super) fn with_literal(&self, start: usize, end: usize) -> Option<usize> {
        let at = self.pieces.partition_point(|piece| piece.end as usize <= start);
        let within = self.pieces.get(at)?.end as usize >= end;
        within.then(|| self.starts.partition_point(|first| *first as usize <= at) - 1)
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

/// Appends forms to `out`, as [`Forms::decode`] reads them.
pub(super) fn encode<'a>(forms: impl Iterator<Item = Collected<'a>> + Clone, out: &mut Vec<u8>) {
    for form in forms.clone() {
        let mut from = 0;
        put_varint(out, form.slots.len() as u64);
        for (end, slot) in form.slots() {
            put_varint(out, u64::from(end - from));
            put_varint(out, u64::from(slot.code()));
            from = end;
        }
        put_varint(out, form.text.len() as u64 - u64::from(from));
    }
    forms.for_each(|form| out.extend_from_slice(form.text));
}
