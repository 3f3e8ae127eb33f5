//! Lines in, shapes and columns out.
//!
//! The invariant: shapes, columns and pairs keep their numbers from one block of a part to the next, so that what blocks have
//! in common is stored once, in the part's dictionary.

use std::ops::Range;
use std::sync::Arc;

use super::again;
use super::bytes::ByteSet;
use super::collect::{Collected, Making};
use super::cut::{self, Kind};
use super::layout::{self, Layouts, Piece};
use super::names::Names;
use super::templates::Class;
use super::{Interner, Slot};
use crate::Origin;
use crate::block::Lines;
use crate::block::pairs::{Pairs, Values};
use crate::block::summary::Literals;
use crate::fields::Shape;

/// Fewer texts are not cut: what columns and shapes cost by themselves would not be won back.
const MIN_TEXTS: usize = 128;

/// Most shapes of a part, and bytes of them; texts of further ones are values as a whole.
const MAX_SHAPES: usize = 8192;
const MAX_SHAPE_BYTES: usize = 4 << 20;

/// Most pairs of a part.
const MAX_PAIR_NAMES: usize = 1024;

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
    /// Keys of shapes of all blocks.
    shapes: Interner,
    /// By shape: the bytes of its literals, all there are if two values touch; the last block that has it.
    known: Vec<(ByteSet, u32)>,
    /// Columns of all blocks.
    names: Names,
    layouts: Layouts,
    /// Pairs whose values were found in lines of any block.
    pairs: Vec<(Origin, Arc<str>)>,
    /// Number of the block.
    block: u32,
    /// The shape of each text of the block.
    codes: Vec<u16>,
    /// Shapes of the block, in the order in which they were met.
    used: Vec<u16>,
    /// Codes of shapes of the block made from fields, the one seen last first.
    recent: Vec<u16>,
    /// By name; those of the block before keep their memory.
    columns: Vec<Lines>,
    /// Texts of the block that are values as a whole.
    whole: usize,
    making: Making,
    pieces: Vec<Piece>,
}

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Texts {
    /// Lines, which may have fields.
    Lines,
    /// Running text of a field. It is cut without layouts: they take twice the time, and win next to nothing.
    Values,
}

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
        self.cut(lines, Texts::Lines, &varying)
    }

    /// The number of a pair; `None` if there are too many.
    fn pair_number(&mut self, origin: Origin, name: &Arc<str>) -> Option<u32> {
        let known = self.pairs.iter().position(|(o, n)| *o == origin && n == name);
        if known.is_none() && self.pairs.len() < MAX_PAIR_NAMES {
            self.pairs.push((origin, Arc::clone(name)));
            return Some(self.pairs.len() as u32 - 1);
        }
        known.map(|number| number as u32)
    }

    /// Cuts running text; `false` when that does not pay.
    pub(super) fn cut_text(&mut self, texts: &Lines) -> bool {
        self.cut(texts, Texts::Values, &[])
    }

    fn cut(&mut self, texts: &Lines, what: Texts, pairs: &[(u32, &Values)]) -> bool {
        if texts.len() < MIN_TEXTS || texts.len() > usize::from(u16::MAX) {
            return false;
        }
        if what == Texts::Lines {
            self.learn(texts);
        }
        self.begin();
        let before = (self.shapes.len(), self.names.len(), self.shapes.texts().line_bytes());
        let mut bytes = 0;
        for (i, text) in texts.iter().enumerate() {
            self.add(i, text, what, pairs);
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

    /// Learns layouts of plain lines.
    fn learn(&mut self, texts: &Lines) {
        if texts.len() < layout::MIN_TEXTS {
            return;
        }
        let step = texts.len().div_ceil(layout::SAMPLE);
        let is_running = |text: &&[u8]| Shape::detect(text) == Shape::Plain && !cut::is_path(text);
        let sample = (0..texts.len()).step_by(step).map(|i| texts.get(i)).filter(is_running);
        let Self { layouts, names, .. } = self;
        layouts.learn(sample, step, || names.place());
    }

    /// Whether the shapes added to so many bytes of them are worth having for so many bytes of text.
    fn pays(&self, before: usize, bytes: usize) -> bool {
        (self.shapes.texts().line_bytes() - before) * 3 <= bytes * 2
    }

    /// Begins another block.
    fn begin(&mut self) {
        self.block += 1;
        self.names.begin();
        self.codes.clear();
        self.used.clear();
        self.recent.clear();
        for column in &mut self.columns {
            // Blocks of one stream have the same columns, those of another have others.
            if column.is_empty() { *column = Lines::default() } else { column.clear() }
        }
        self.whole = 0;
    }

    fn add(&mut self, i: usize, text: &[u8], what: Texts, pairs: &[(u32, &Values)]) {
        if self.add_again(i, text, pairs) {
            return;
        }
        let by_fields = match what.shape(text) {
            Shape::Plain if cut::is_path(text) => {
                self.cut_by(text, (i, pairs), |value| cut::segments(text, value));
                false
            }
            Shape::Plain if what == Texts::Values => {
                self.cut_by(text, (i, pairs), |value| cut::values(text, value));
                false
            }
            Shape::Plain => {
                self.cut_pieces(i, text, pairs);
                false
            }
            shape => {
                self.cut_by(text, (i, pairs), |value| cut::fields(text, shape, value));
                true
            }
        };
        let is_full = self.shapes.texts().line_bytes() > MAX_SHAPE_BYTES;
        let max = if is_full { 0 } else { MAX_SHAPES };
        let Some(code) = self.shapes.number(self.making.end(text), max) else { return self.add_whole(text) };
        if by_fields && !self.recent.contains(&(code as u16)) {
            self.recent.truncate(RECENT - 1);
            self.recent.insert(0, code as u16);
        }
        self.add_values(text, code as u16);
    }

    /// Cuts out values by their kinds, as `cut` tells them.
    fn cut_by(
        &mut self,
        text: &[u8],
        (i, pairs): (usize, &[(u32, &Values)]),
        cut: impl FnOnce(&mut dyn FnMut(Range<usize>, Kind<'_>)),
    ) {
        let Self { names, making, .. } = self;
        let mut next = 0;
        making.begin();
        cut(&mut |span, kind| {
            let slot = pair_with(pairs, i, &text[span.clone()])
                .or_else(|| names.of_kind(kind, &mut next).map(Slot::Column));
            if let Some(slot) = slot {
                making.take(text, span, slot);
            }
        });
    }

    /// Cuts running text by its layout; values of none by their kinds.
    fn cut_pieces(&mut self, i: usize, text: &[u8], pairs: &[(u32, &Values)]) {
        let Self { names, making, pieces, layouts, .. } = self;
        let mut next = 0;
        making.begin();
        pieces.clear();
        cut::pieces(text, |span, kind| pieces.push((span, kind)));
        let layout = layouts.of(text, pieces);
        for (at, (span, kind)) in pieces.iter().enumerate() {
            let slot = pair_with(pairs, i, &text[span.clone()])
                .or_else(|| names.take(layout?[at]?).map(Slot::Column))
                .or_else(|| {
                    (*kind != Kind::Word).then(|| names.of_kind(*kind, &mut next).map(Slot::Column))?
                });
            if let Some(slot) = slot {
                making.take(text, span.clone(), slot);
            }
        }
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
            if again::cut(shape, text, &mut self.making.cuts) && self.making.cuts.iter().all(has_pair) {
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
        for (span, slot) in &self.making.cuts {
            if let Slot::Column(column) = slot {
                let value = &text[span.clone()];
                self.names.widen(*column, value);
                self.columns[*column as usize].push(value);
            }
        }
        self.add_code(code);
    }

    fn add_code(&mut self, code: u16) {
        self.codes.push(code);
        if usize::from(code) == self.known.len() {
            self.known.push((Collected::of(self.shapes.texts().get(usize::from(code))).bytes(), 0));
        }
        let (_, last) = &mut self.known[usize::from(code)];
        if *last != self.block {
            *last = self.block;
            self.used.push(code);
        }
    }

    /// A text of one shape too many: it is a value as a whole.
    fn add_whole(&mut self, text: &[u8]) {
        let column = self.names.whole();
        self.columns.resize_with(self.columns.len().max(self.names.len()), Lines::default);
        self.making.begin();
        self.making.take(text, 0..text.len(), Slot::Column(column));
        if let Some(code) = self.shapes.number(self.making.end(text), usize::from(u16::MAX)) {
            self.columns[column as usize].push(text);
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
        self.names.classes()
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

    /// The literals of the block, as a summary of it has them.
    pub(crate) fn literals(&self) -> Literals {
        let mut boundary = ByteSet::default();
        for code in &self.used {
            Collected::of(self.shapes.texts().get(usize::from(*code))).add_boundary_to(&mut boundary);
        }
        Literals { columns: 0..self.columns().count(), bytes: self.literal_bytes(), boundary }
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

impl Texts {
    fn shape(self, text: &[u8]) -> Shape {
        match self {
            Self::Lines => Shape::detect(text),
            Self::Values => Shape::Plain,
        }
    }
}
