//! Shapes as they are collected while a part is written: one key for each, by which it is found again.
//!
//! A key is the literal text, then end (u32) and slot (u32) of each literal but the last, then the number of slots (u32),
//! little-endian.

use std::ops::Range;

use super::Slot;
use super::bytes::ByteSet;

/// A shape being made, and where the text it is made of is cut.
#[derive(Debug, Default)]
pub(super) struct Making {
    key: Vec<u8>,
    slots: Vec<u8>,
    pub(super) cuts: Vec<(Range<usize>, Slot)>,
    from: usize,
}

/// A shape as it is being collected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collected<'a> {
    pub(super) text: &'a [u8],
    pub(super) slots: &'a [[u8; SLOT]],
}

const SLOT: usize = 8;

impl Making {
    pub(super) fn begin(&mut self) {
        self.key.clear();
        self.slots.clear();
        self.cuts.clear();
        self.from = 0;
    }

    /// Cuts out what lies at `span`, behind all that was cut out so far.
    pub(super) fn take(&mut self, text: &[u8], span: Range<usize>, slot: Slot) {
        self.key.extend_from_slice(&text[self.from..span.start]);
        self.slots.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        self.slots.extend_from_slice(&slot.code().to_le_bytes());
        self.from = span.end;
        self.cuts.push((span, slot));
    }

    /// The key of the shape.
    pub(super) fn end(&mut self, text: &[u8]) -> &[u8] {
        self.key.extend_from_slice(&text[self.from..]);
        self.key.extend_from_slice(&self.slots);
        self.key.extend_from_slice(&(self.cuts.len() as u32).to_le_bytes());
        &self.key
    }
}

impl<'a> Collected<'a> {
    /// Takes the key of a shape apart.
    pub(super) fn of(key: &'a [u8]) -> Self {
        let (rest, number) = key.split_last_chunk::<4>().expect("BUG: a shape without a number of slots");
        let slots = u32::from_le_bytes(*number) as usize;
        let (text, slots) = rest.split_at(rest.len() - slots * SLOT);
        Self { text, slots: slots.as_chunks().0 }
    }

    /// The bytes of the literals; all there are if two values touch.
    pub(super) fn bytes(self) -> ByteSet {
        let ends = || self.slots().map(|(end, _)| end);
        let touch = ends().zip(ends().skip(1)).any(|(end, next)| end == next);
        if touch { ByteSet::ALL } else { ByteSet::of(self.text) }
    }

    /// Adds the bytes with which a literal begins or ends beside a slot; all there are if two values touch.
    pub(super) fn add_boundary_to(self, set: &mut ByteSet) {
        let mut start = 0;
        for (at, (end, _)) in self.slots().enumerate() {
            let end = end as usize;
            if start < end {
                set.insert(self.text[end - 1]);
                if at > 0 {
                    set.insert(self.text[start]);
                }
            } else if at > 0 {
                set.add(ByteSet::ALL);
            }
            start = end;
        }
        if !self.slots.is_empty() {
            self.text.get(start).into_iter().for_each(|byte| set.insert(*byte));
        }
    }

    /// End of each literal but the last, and the slot after it.
    pub(super) fn slots(self) -> impl Iterator<Item = (u32, Slot)> {
        self.slots.iter().map(|[a, b, c, d, e, f, g, h]| {
            let code = u32::from_le_bytes([*e, *f, *g, *h]);
            let slot = if code & 1 == 0 { Slot::Column(code >> 1) } else { Slot::Pair(code >> 1) };
            (u32::from_le_bytes([*a, *b, *c, *d]), slot)
        })
    }
}
