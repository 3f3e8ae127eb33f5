//! Lines in, shapes and columns out.
//!
//! The invariant: shapes, columns and pairs keep their numbers from one block of a part to the next, so that what blocks have
//! in common is stored once, in the part's dictionary.

use std::ops::Range;
use std::sync::Arc;

use super::again;
use super::bytes::ByteSet;
use super::cut::{self, Kind};
use super::templates::Class;
use super::{Interner, MAX_COLUMNS, Slot};
use crate::Origin;
use crate::block::Lines;
use crate::block::pairs::{Pairs, Values};

/// Fewer texts are not cut: what columns and shapes cost by themselves would not be won back.
const MIN_TEXTS: usize = 128;

/// Most shapes of a part, and bytes of them; texts of further ones are values as a whole.
const MAX_SHAPES: usize = 8192;
const MAX_SHAPE_BYTES: usize = 4 << 20;

/// Most names of columns of a part; values of further ones stay in the shapes.
const MAX_NAMES: usize = 1024;

/// Pairs whose values are looked for in the lines. They are found again only when they are long enough for
/// the reference to pay.
const MAX_PAIRS: usize = 4;
const MIN_PAIR_VALUE: usize = 8;

/// Shapes that a line is held against before its fields are read: those of the last lines.
const RECENT: usize = 8;

/// Texts after which cutting is given up when nearly each has a shape of its own, and that does not pay.
const TRIED: usize = 256;

/// Cuts texts into shapes and columns, block by block of a part.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// Literal text, then end and slot of each literal but the last, then the number of slots. Of all blocks.
    shapes: Interner,
    /// By shape: the bytes of its literals, all there are if two values touch; the last block that has it.
    known: Vec<(ByteSet, u32)>,
    /// Names of columns of all blocks, each with the last block that has it.
    names: Vec<(Name, u32)>,
    /// Pairs whose values were found in lines of any block.
    pairs: Vec<(Origin, Arc<str>)>,
    /// Number of the block.
    block: u32,
    /// The shape of each text of the block.
    codes: Vec<u16>,
    /// Shapes of the block, in the order in which they were met.
    used: Vec<u16>,
    /// Columns of the block.
    own: usize,
    /// Codes of shapes of the block made from fields, the one seen last first.
    recent: Vec<u16>,
    /// By name; further ones keep memory.
    columns: Vec<Lines>,
    /// Texts of the block that are values as a whole.
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
        for column in pairs.columns() {
            if let Some(values @ (Values::Each { .. } | Values::Shared { .. })) = column.values.get()
                && varying.len() < MAX_PAIRS
                && let Some(number) = self.pair_number(column.origin, &column.name)
            {
                varying.push((number, values));
            }
        }
        self.cut(lines, |text, value| cut::line(text, value), &varying)
    }

    /// The number of a pair; `None` if there are too many.
    fn pair_number(&mut self, origin: Origin, name: &Arc<str>) -> Option<u32> {
        let known = self.pairs.iter().position(|(o, n)| *o == origin && n == name);
        if known.is_none() && self.pairs.len() < MAX_NAMES {
            self.pairs.push((origin, Arc::clone(name)));
            return Some(self.pairs.len() as u32 - 1);
        }
        known.map(|number| number as u32)
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
        if texts.len() < MIN_TEXTS || texts.len() > usize::from(u16::MAX) {
            return false;
        }
        self.begin();
        let before = (self.shapes.len(), self.names.len(), self.shapes.texts().line_bytes());
        let mut bytes = 0;
        for (i, text) in texts.iter().enumerate() {
            self.add(i, text, &cut, pairs);
            bytes += text.len();
            let added = self.shapes.len() - before.0;
            if i == TRIED && added * 8 > TRIED * 7 && !self.pays(before.2, bytes) {
                break;
            }
        }
        if self.codes.len() == texts.len() && self.pays(before.2, bytes) && self.whole * 2 < texts.len() {
            return true;
        }
        self.shapes.truncate(before.0);
        self.known.truncate(before.0);
        self.names.truncate(before.1);
        false
    }

    /// Whether the shapes added to so many bytes of them are worth having for so many bytes of text.
    fn pays(&self, before: usize, bytes: usize) -> bool {
        (self.shapes.texts().line_bytes() - before) * 3 <= bytes * 2
    }

    /// Begins another block.
    fn begin(&mut self) {
        self.block += 1;
        self.codes.clear();
        self.used.clear();
        self.own = 0;
        self.recent.clear();
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
        let Self { names, own, block, key, slots, cuts, .. } = self;
        cut(text, &mut |span, kind| {
            let pair = pair_with(pairs, i, &text[span.clone()]);
            let Some(slot) = pair.or_else(|| column_of(names, (*block, &mut *own), &mut next, kind)) else {
                return;
            };
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
        let is_full = self.shapes.texts().line_bytes() > MAX_SHAPE_BYTES;
        let max = if is_full { 0 } else { MAX_SHAPES };
        let Some(code) = self.shapes.number(&self.key, max) else { return self.add_whole(text) };
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
        self.columns.resize_with(self.columns.len().max(self.names.len()), Lines::default);
        for (span, slot) in &self.cuts {
            if let Slot::Column(column) = slot {
                self.columns[*column as usize].push(&text[span.clone()]);
            }
        }
        self.add_code(code);
    }

    fn add_code(&mut self, code: u16) {
        self.codes.push(code);
        if usize::from(code) == self.known.len() {
            self.known.push((Collected::of(&self.key).bytes(), 0));
        }
        let (_, last) = &mut self.known[usize::from(code)];
        if *last != self.block {
            *last = self.block;
            self.used.push(code);
        }
    }

    /// A text of one shape too many: it is a value as a whole.
    fn add_whole(&mut self, text: &[u8]) {
        let known = self.names.iter().position(|(name, _)| *name == Name::Whole);
        let number = known.unwrap_or_else(|| {
            self.names.push((Name::Whole, 0));
            self.names.len() - 1
        });
        self.columns.resize_with(self.columns.len().max(self.names.len()), Lines::default);
        self.key.clear();
        self.key.extend_from_slice(&0_u32.to_le_bytes());
        self.key.extend_from_slice(&Slot::Column(number as u32).code().to_le_bytes());
        self.key.extend_from_slice(&1_u32.to_le_bytes());
        if let Some(code) = self.shapes.number(&self.key, usize::from(u16::MAX)) {
            self.columns[number].push(text);
            self.add_code(code as u16);
            self.whole += 1;
        }
    }

    /// Whether no block has shapes.
    pub(crate) fn is_empty(&self) -> bool {
        self.shapes.texts().is_empty()
    }

    /// Class of the values of each column of all blocks, by number.
    pub(super) fn classes(&self) -> impl ExactSizeIterator<Item = Class> {
        self.names.iter().map(|(name, _)| name.class())
    }

    /// The pairs of all blocks, by number.
    pub(super) fn pairs(&self) -> &[(Origin, Arc<str>)] {
        &self.pairs
    }

    /// The shapes of all blocks, by number.
    pub(super) fn shapes(&self) -> impl ExactSizeIterator<Item = Collected<'_>> + Clone {
        (0..self.shapes.len()).map(|number| Collected::of(self.shapes.texts().get(number)))
    }

    /// The shape of each text of the block.
    pub(super) fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// Numbers of the shapes of the block.
    pub(super) fn used(&self) -> &[u16] {
        &self.used
    }

    /// The columns of the block, each with its number.
    pub(super) fn columns(&self) -> impl Iterator<Item = (usize, &Lines)> {
        self.columns.iter().enumerate().filter(|(_, values)| !values.is_empty())
    }

    /// Bytes of all literals of the block; all there are if two values touch.
    pub(super) fn literal_bytes(&self) -> ByteSet {
        let mut set = ByteSet::default();
        self.used.iter().for_each(|code| set.add(self.known[usize::from(*code)].0));
        set
    }

    /// Calls `each` with every literal of every shape of the block.
    pub(crate) fn for_each_literal(&self, mut each: impl FnMut(&[u8])) {
        for shape in &self.used {
            let shape = Collected::of(self.shapes.texts().get(usize::from(*shape)));
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
        let mut counts = vec![0; self.shapes.len()];
        for shape in &self.used {
            let number = usize::from(*shape);
            counts[number] = Collected::of(self.shapes.texts().get(number)).slots().filter(is_it).count();
        }
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

/// The column for values of `kind`, which is most often the one after the last; `None` when there are too many, in all or
/// in the block, which has `own` so far.
fn column_of(
    names: &mut Vec<(Name, u32)>,
    (block, own): (u32, &mut usize),
    next: &mut usize,
    kind: Kind<'_>,
) -> Option<Slot> {
    let number = if names.get(*next).is_some_and(|(name, _)| name.is(kind)) {
        *next
    } else if let Some(number) = names.iter().position(|(name, _)| name.is(kind)) {
        number
    } else if names.len() < MAX_NAMES {
        names.push((Name::of(kind), 0));
        names.len() - 1
    } else {
        return None;
    };
    if names[number].1 != block {
        if *own == MAX_COLUMNS - 1 {
            return None;
        }
        *own += 1;
        names[number].1 = block;
    }
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

    /// What bytes a value may have.
    const fn class(&self) -> Class {
        match self {
            Self::Number | Self::LongNumber => Class::Decimal,
            Self::Hex(_) => Class::Hex,
            Self::Mixed => Class::Word,
            Self::Field(_) | Self::Stamp | Self::Segment(_) | Self::Whole => Class::Any,
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

    /// The bytes of the literals; all there are if two values touch.
    fn bytes(self) -> ByteSet {
        let ends = || self.slots().map(|(end, _)| end);
        let touch = ends().zip(ends().skip(1)).any(|(end, next)| end == next);
        if touch { ByteSet::ALL } else { ByteSet::of(self.text) }
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
