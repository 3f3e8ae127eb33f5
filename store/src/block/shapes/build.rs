//! Lines in, shapes and columns out.

use std::ops::Range;

use super::again;
use super::cut::{self, Kind};
use super::{Interner, MAX_COLUMNS, Slot};
use crate::block::Lines;
use crate::block::pairs::{Pairs, Values};

/// Fewer texts are not cut: what columns and shapes cost by themselves would not be won back.
const MIN_TEXTS: usize = 128;

/// Most shapes; texts of further ones are values as a whole.
const MAX_SHAPES: usize = 4096;

/// Pairs whose values are looked for in the lines. They are found again only when they are long enough for
/// the reference to pay.
const MAX_PAIRS: usize = 4;
const MIN_PAIR_VALUE: usize = 8;

/// Shapes that a line is held against before its fields are read: those of the last lines.
const RECENT: usize = 8;

/// Texts after which cutting is given up when nearly each has a shape of its own, and that does not pay.
const TRIED: usize = 256;

/// Cuts texts into shapes and columns. Keeps its memory from one block to the next.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// Literal text, then end and slot of each literal but the last, then the number of slots.
    shapes: Interner,
    codes: Vec<u16>,
    /// Codes of shapes made from fields, the one seen last first.
    recent: Vec<u16>,
    names: Vec<Name>,
    /// By name; further ones keep memory.
    columns: Vec<Lines>,
    /// Texts that are values as a whole.
    whole: usize,
    key: Vec<u8>,
    slots: Vec<u8>,
    cuts: Vec<(Range<usize>, Slot)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    Field(Box<str>),
    Number,
    LongNumber,
    Hex(usize),
    Stamp,
    Mixed,
    Segment(usize),
    Whole,
}

/// A shape as it is being collected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collected<'a> {
    pub(super) text: &'a [u8],
    pub(super) slots: &'a [[u8; SLOT]],
}

const SLOT: usize = 8;

impl Builder {
    /// Cuts the lines of a block; `false` when that does not pay.
    pub(crate) fn cut_lines(&mut self, lines: &Lines, pairs: &Pairs) -> bool {
        let mut varying = Vec::new();
        for (i, column) in pairs.columns().iter().enumerate() {
            if let Some(values @ Values::Each { .. }) = column.values.get()
                && varying.len() < MAX_PAIRS
            {
                varying.push((i as u32, values));
            }
        }
        self.cut(lines, |text, value| cut::line(text, value), &varying)
    }

    /// Cuts running text; `false` when that does not pay.
    pub(super) fn cut_text(&mut self, texts: &Lines) -> bool {
        self.cut(texts, |text, value| cut::text(text, value), &[])
    }

    fn cut(
        &mut self,
        texts: &Lines,
        cut: impl Fn(&[u8], &mut dyn FnMut(Range<usize>, Kind<'_>)),
        pairs: &[(u32, &Values)],
    ) -> bool {
        self.clear();
        if texts.len() < MIN_TEXTS || texts.len() > usize::from(u16::MAX) {
            return false;
        }
        let mut bytes = 0;
        for (i, text) in texts.iter().enumerate() {
            self.add(i, text, &cut, pairs);
            bytes += text.len();
            if i == TRIED && self.shapes.len() * 8 > TRIED * 7 && !self.pays(bytes) {
                return false;
            }
        }
        self.pays(bytes) && self.whole * 2 < texts.len()
    }

    /// Whether the shapes are worth having for so many bytes of text.
    fn pays(&self, bytes: usize) -> bool {
        self.shapes.texts().line_bytes() * 3 <= bytes * 2
    }

    fn clear(&mut self) {
        self.shapes.clear();
        self.codes.clear();
        self.recent.clear();
        self.names.clear();
        self.columns.iter_mut().for_each(Lines::clear);
        self.whole = 0;
    }

    fn add(
        &mut self,
        i: usize,
        text: &[u8],
        cut: &impl Fn(&[u8], &mut dyn FnMut(Range<usize>, Kind<'_>)),
        pairs: &[(u32, &Values)],
    ) {
        if self.add_again(i, text, pairs) {
            return;
        }
        self.key.clear();
        self.slots.clear();
        self.cuts.clear();
        let (mut from, mut next) = (0, 0);
        let mut by_fields = true;
        let Self { names, columns, key, slots, cuts, .. } = self;
        cut(text, &mut |span, kind| {
            let pair = pair_with(pairs, i, &text[span.clone()]);
            let Some(slot) = pair.or_else(|| column_of(names, columns, &mut next, kind)) else { return };
            by_fields &= matches!(kind, Kind::Field(_));
            key.extend_from_slice(&text[from..span.start]);
            slots.extend_from_slice(&(key.len() as u32).to_le_bytes());
            slots.extend_from_slice(&slot.code().to_le_bytes());
            from = span.end;
            cuts.push((span, slot));
        });
        key.extend_from_slice(&text[from..]);
        key.extend_from_slice(slots);
        key.extend_from_slice(&(cuts.len() as u32).to_le_bytes());
        let Some(code) = self.shapes.number(&self.key, MAX_SHAPES) else { return self.add_whole(text) };
        if by_fields && !self.recent.contains(&(code as u16)) {
            self.recent.truncate(RECENT - 1);
            self.recent.insert(0, code as u16);
        }
        self.add_values(text, code as u16);
    }

    /// Adds a text of a shape that was seen not long ago; false when it is of none.
    fn add_again(&mut self, i: usize, text: &[u8], pairs: &[(u32, &Values)]) -> bool {
        for at in 0..self.recent.len() {
            let code = self.recent[at];
            let shape = Collected::of(self.shapes.texts().get(usize::from(code)));
            let has_pair = |(span, slot): &(Range<usize>, Slot)| match slot {
                Slot::Pair(_) => pair_with(pairs, i, &text[span.clone()]) == Some(*slot),
                Slot::Column(_) => true,
            };
            if again::cut(shape, text, &mut self.cuts) && self.cuts.iter().all(has_pair) {
                self.recent[..=at].rotate_right(1);
                self.add_values(text, code);
                return true;
            }
        }
        false
    }

    /// Adds what was cut out of a text of this shape.
    fn add_values(&mut self, text: &[u8], code: u16) {
        for (span, slot) in &self.cuts {
            if let Slot::Column(column) = slot {
                self.columns[*column as usize].push(&text[span.clone()]);
            }
        }
        self.codes.push(code);
    }

    /// A text of one shape too many: it is a value as a whole.
    fn add_whole(&mut self, text: &[u8]) {
        let Self { names, columns, .. } = self;
        let number = names.iter().position(|name| *name == Name::Whole).unwrap_or_else(|| {
            names.push(Name::Whole);
            columns.resize_with(columns.len().max(names.len()), Lines::default);
            names.len() - 1
        });
        self.key.clear();
        self.key.extend_from_slice(&0_u32.to_le_bytes());
        self.key.extend_from_slice(&Slot::Column(number as u32).code().to_le_bytes());
        self.key.extend_from_slice(&1_u32.to_le_bytes());
        if let Some(code) = self.shapes.number(&self.key, MAX_SHAPES + 1) {
            self.columns[number].push(text);
            self.codes.push(code as u16);
            self.whole += 1;
        }
    }

    /// Number of shapes.
    pub(super) const fn len(&self) -> usize {
        self.shapes.len()
    }

    pub(super) fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// The columns, by number.
    pub(crate) fn columns(&self) -> &[Lines] {
        &self.columns[..self.names.len()]
    }

    /// The shapes, by code.
    pub(super) fn shapes(&self) -> impl Iterator<Item = Collected<'_>> {
        self.shapes.texts().iter().map(Collected::of)
    }

    /// Calls `each` with every literal of every shape.
    pub(crate) fn for_each_literal(&self, mut each: impl FnMut(&[u8])) {
        for shape in self.shapes() {
            let mut from = 0;
            for (end, _) in shape.slots() {
                each(&shape.text[from..end as usize]);
                from = end as usize;
            }
            each(&shape.text[from..]);
        }
    }

    /// Calls `each` with the number of the text of each value of column `column`.
    pub(super) fn for_each_entry(&self, column: usize, mut each: impl FnMut(usize)) {
        let is_it = |(_, slot): &(u32, Slot)| *slot == Slot::Column(column as u32);
        let counts: Vec<usize> = self.shapes().map(|shape| shape.slots().filter(is_it).count()).collect();
        for (i, code) in self.codes.iter().enumerate() {
            (0..counts[usize::from(*code)]).for_each(|_| each(i));
        }
    }
}

/// The pair column that has `value` for record `i`.
fn pair_with(pairs: &[(u32, &Values)], i: usize, value: &[u8]) -> Option<Slot> {
    if value.len() < MIN_PAIR_VALUE {
        return None;
    }
    let is_it = |(_, values): &&(u32, &Values)| values.get(i).is_some_and(|v| v.as_bytes() == value);
    pairs.iter().find(is_it).map(|(pair, _)| Slot::Pair(*pair))
}

/// The column for values of `kind`, which is most often the one after the last; `None` when there are too many.
fn column_of(
    names: &mut Vec<Name>,
    columns: &mut Vec<Lines>,
    next: &mut usize,
    kind: Kind<'_>,
) -> Option<Slot> {
    let number = if names.get(*next).is_some_and(|name| name.is(kind)) {
        *next
    } else if let Some(number) = names.iter().position(|name| name.is(kind)) {
        number
    } else if names.len() < MAX_COLUMNS - 1 {
        names.push(Name::of(kind));
        columns.resize_with(columns.len().max(names.len()), Lines::default);
        names.len() - 1
    } else {
        return None;
    };
    *next = number + 1;
    Some(Slot::Column(number as u32))
}

impl Name {
    fn of(kind: Kind<'_>) -> Self {
        match kind {
            Kind::Field(path) => Self::Field(path.into()),
            Kind::Number => Self::Number,
            Kind::LongNumber => Self::LongNumber,
            Kind::Hex(digits) => Self::Hex(digits),
            Kind::Stamp => Self::Stamp,
            Kind::Mixed => Self::Mixed,
            Kind::Segment(number) => Self::Segment(number),
        }
    }

    fn is(&self, kind: Kind<'_>) -> bool {
        match (self, kind) {
            (Self::Field(path), Kind::Field(other)) => path.as_ref() == other,
            (Self::Hex(digits), Kind::Hex(other)) => *digits == other,
            (Self::Segment(number), Kind::Segment(other)) => *number == other,
            (Self::Number, Kind::Number)
            | (Self::LongNumber, Kind::LongNumber)
            | (Self::Stamp, Kind::Stamp)
            | (Self::Mixed, Kind::Mixed) => true,
            _ => false,
        }
    }
}

impl<'a> Collected<'a> {
    /// Takes the key of a shape apart.
    fn of(key: &'a [u8]) -> Self {
        let (rest, number) = key.split_last_chunk::<4>().expect("BUG: a shape without a number of slots");
        let slots = u32::from_le_bytes(*number) as usize;
        let (text, slots) = rest.split_at(rest.len() - slots * SLOT);
        Self { text, slots: slots.as_chunks().0 }
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
