//! Where a text occurs in lines that lie in columns, without putting the lines together.
//!
//! An occurrence lies within a literal, within a value, or spans both. What begins or ends a literal beside a
//! slot is a *boundary byte*: a needle without any cannot span. One that may span is laid against each shape:
//! wherever its literals fit, what is left over are conditions on values (ends with, is, begins with), so
//! that the answer is exact. Each distinct value is looked at once.

use std::collections::{BTreeMap, BTreeSet};

use super::column::code;
use super::fit::{Condition, Fit};
use super::needle::{Needle, Part};
use super::rows::Hits;
use super::{Column, Outline, PackedHex, Resolved, Rows, Shapes, Slot};
use crate::block::header::ColumnMeta;
use crate::block::pairs::Values;
use crate::block::wire::Malformed;
use crate::block::{Block, BlockError, Lines, TemplatesOf};

/// Most bytes that the values of a table come to when they are written out.
const MAX_TABLE_TEXT: usize = 64 << 20;

/// Which shapes texts with a needle may have, as far as templates tell.
#[derive(Debug)]
pub(crate) enum Likely {
    Unknown,
    None,
    /// By shape.
    Some(Vec<bool>),
}

impl Likely {
    /// By shape, where some are ruled out.
    pub(crate) fn of_shapes(&self) -> Option<&[bool]> {
        match self {
            Self::Some(likely) => Some(likely),
            Self::Unknown | Self::None => None,
        }
    }
}

/// A slot, the number of slots of the same column before it in its shape, and which values of the column fit.
type Test = (Slot, usize, Hits);

/// The texts that fit a test, if each text has one value of its column.
fn texts_that_fit<'a>(shapes: &Shapes, (slot, _, hits): &'a Test) -> Option<&'a Rows> {
    let is_one_each = match slot {
        Slot::Pair(_) => true,
        Slot::Column(column) => shapes.firsts_of(*column).is_empty(),
    };
    match hits {
        Hits::Some(rows) if is_one_each => Some(rows),
        _ => None,
    }
}

/// Finds one needle in one block.
pub(crate) struct Finder<'a> {
    pub(super) block: &'a Block,
    pub(super) needle: &'a Needle,
    /// What columns and, beyond them, pairs have been asked.
    known: BTreeMap<(usize, Part), Hits>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(block: &'a Block, needle: &'a Needle) -> Self {
        Self { block, needle, known: BTreeMap::new() }
    }

    /// The rows whose lines hold the needle; `likely` are the shapes that may make one, if that is known.
    pub(crate) fn rows(&mut self, shapes: &Shapes, likely: Option<&[bool]>) -> Result<Rows, BlockError> {
        let whole = Part { range: 0..self.needle.bytes.len(), from_start: false, to_end: false };
        let len = shapes.codes.len();
        Ok(match self.texts(shapes, &whole, likely)? {
            Hits::None => Rows::none(len),
            Hits::All => Rows::with(len, |_| true),
            Hits::Some(rows) => rows,
        })
    }

    /// The rows that have a pair whose value holds the needle.
    pub(crate) fn pair_rows(&self) -> Result<Rows, BlockError> {
        let whole = Part { range: 0..self.needle.bytes.len(), from_start: false, to_end: false };
        let len = self.block.len();
        let mut rows = Rows::none(len);
        for pair in 0..self.block.pairs.columns().len() {
            match self.pair(pair, &whole)? {
                Hits::None => {}
                Hits::All => return Ok(Rows::with(len, |_| true)),
                Hits::Some(found) => rows.add(&found),
            }
        }
        for (row, pair) in self.block.overflow()? {
            if self.needle.has(&whole, pair.value.as_bytes()) {
                rows.insert(*row as usize);
            }
        }
        Ok(rows)
    }

    /// The texts with `part` of the needle; `likely` are the shapes that may make one, if that is known.
    fn texts(&mut self, shapes: &Shapes, part: &Part, likely: Option<&[bool]>) -> Result<Hits, BlockError> {
        let anchored = !part.is_anywhere();
        let literal = if anchored { Vec::new() } else { self.shapes_with(shapes) };
        let mut ways: Vec<Vec<Vec<Condition>>> = vec![Vec::new(); shapes.len()];
        if anchored || likely.is_some() || self.may_span(shapes) {
            let may_hold = self.places_by_column(shapes);
            for (shape, ways) in ways.iter_mut().enumerate() {
                if likely.and_then(|likely| likely.get(shape)) == Some(&false) {
                    continue;
                }
                let pieces = shapes.pieces(shape);
                let mut fit =
                    Fit { needle: self.needle, part, shapes, pieces, may_hold: &may_hold, ways, tried: 0 };
                if fit.all().is_none() {
                    return self.put_together(shapes, part);
                }
            }
        }
        let spanning = self.matching(shapes, &literal, &ways)?;
        if anchored || matches!(spanning, Hits::All) {
            return Ok(spanning);
        }
        let mut rows = match spanning {
            Hits::Some(rows) => rows,
            _ => Rows::none(shapes.codes.len()),
        };
        self.add_whole(shapes, part, &mut rows)?;
        Ok(Hits::of(rows))
    }

    /// Whether the needle has a byte with which a literal begins or ends beside a slot.
    fn may_span(&self, shapes: &Shapes) -> bool {
        let set = shapes.boundary_bytes();
        let is_boundary = |byte: &u8| {
            set.contains(*byte) || (self.needle.ignores_case() && set.contains(byte.to_ascii_uppercase()))
        };
        self.needle.bytes.iter().any(is_boundary)
    }

    /// Whether each shape has the needle in one of its literals.
    fn shapes_with(&self, shapes: &Shapes) -> Vec<bool> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(hit) = self.needle.find(shapes.text(), from) {
            found.resize(shapes.len(), false);
            if let Some(shape) = shapes.shape_with(hit.start, hit.end) {
                found[shape] = true;
            }
            from = hit.start + 1;
        }
        found
    }

    /// Adds the texts of which a value holds the part.
    fn add_whole(&mut self, shapes: &Shapes, part: &Part, rows: &mut Rows) -> Result<(), BlockError> {
        for column in 0..shapes.entries.len() as u32 {
            let slot = Slot::Column(column);
            shapes.add_texts_with(slot, self.values(shapes, slot, part)?, rows);
        }
        for pair in shapes.pairs().collect::<BTreeSet<_>>() {
            let slot = Slot::Pair(pair as u32);
            shapes.add_texts_with(slot, self.values(shapes, slot, part)?, rows);
        }
        Ok(())
    }

    /// The texts of which one of the ways of their shape holds.
    fn matching(
        &mut self,
        shapes: &Shapes,
        literal: &[bool],
        ways: &[Vec<Vec<Condition>>],
    ) -> Result<Hits, BlockError> {
        // Ask the columns before the texts: most needles are in none of them.
        let mut always: Vec<bool> = (0..shapes.len()).map(|s| literal.get(s).is_some_and(|l| *l)).collect();
        let mut tests: Vec<Vec<Vec<Test>>> = vec![Vec::new(); shapes.len()];
        for (shape, ways) in ways.iter().enumerate() {
            let pieces = shapes.pieces(shape);
            'ways: for way in ways {
                if always[shape] {
                    break;
                }
                let mut test = Vec::new();
                for (at, part) in way {
                    let Some(slot) = pieces[*at].slot else { continue };
                    match self.values(shapes, slot, part)? {
                        Hits::None => continue 'ways,
                        Hits::All => {}
                        hits @ Hits::Some(_) => {
                            let earlier = pieces[..*at].iter().filter(|p| p.slot == Some(slot)).count();
                            test.push((slot, earlier, hits.clone()));
                        }
                    }
                }
                if test.is_empty() {
                    always[shape] = true;
                }
                tests[shape].push(test);
            }
        }
        if tests.iter().all(Vec::is_empty) {
            if !always.contains(&true) {
                return Ok(Hits::None);
            }
            if !always.contains(&false) {
                return Ok(Hits::All);
            }
        }
        let holds = |i: usize, test: &[Test]| {
            test.iter().all(|(slot, earlier, hits)| match slot {
                Slot::Pair(_) => hits.contains(i),
                Slot::Column(column) => hits.contains(shapes.first(*column, i) + earlier),
            })
        };
        let mut rows = Rows::none(shapes.codes.len());
        // Shapes of which every text has to be looked at; of the others those alone that have a value as it should be.
        let mut each = always.clone();
        for (shape, tests) in tests.iter().enumerate().filter(|(shape, _)| !always[*shape]) {
            for test in tests {
                match test.iter().find_map(|test| texts_that_fit(shapes, test)) {
                    Some(fit) => fit
                        .iter()
                        .filter(|i| shapes.codes.get(*i) == shape && holds(*i, test))
                        .for_each(|i| rows.insert(i)),
                    None => each[shape] = true,
                }
            }
        }
        if each.contains(&true) {
            shapes.codes.for_each(|i, shape| {
                if each[shape] && (always[shape] || tests[shape].iter().any(|test| holds(i, test))) {
                    rows.insert(i);
                }
            });
        }
        Ok(Hits::of(rows))
    }

    /// Which values of the column in `slot` have `part`.
    fn values(&mut self, shapes: &Shapes, slot: Slot, part: &Part) -> Result<&Hits, BlockError> {
        let number = match slot {
            Slot::Column(column) => shapes.base + column as usize,
            Slot::Pair(pair) => super::MAX_COLUMNS * (super::MAX_COLUMNS + 1) + pair as usize,
        };
        if let Slot::Column(column) = slot
            && self.block.column_meta(number).map(ColumnMeta::entries)
                != Some(shapes.entries[column as usize])
        {
            return Err(self.block.malformed(Malformed("number of values")));
        }
        self.remembered(number, part, |finder| match slot {
            Slot::Column(_) => finder.column(number, part),
            Slot::Pair(pair) => finder.pair(pair as usize, part),
        })
    }

    /// What is known of a column and a part, found by `find` the first time.
    pub(super) fn remembered(
        &mut self,
        number: usize,
        part: &Part,
        find: impl FnOnce(&mut Self) -> Result<Hits, BlockError>,
    ) -> Result<&Hits, BlockError> {
        let key = (number, part.clone());
        if !self.known.contains_key(&key) {
            let hits = find(self)?;
            self.known.insert(key.clone(), hits);
        }
        Ok(&self.known[&key])
    }

    fn pair(&self, pair: usize, part: &Part) -> Result<Hits, BlockError> {
        let is_bytewise = self.needle.is_bytewise(true);
        if is_bytewise && !self.block.pair_meta(pair).is_none_or(|meta| self.pair_may_hold(meta, part)) {
            return Ok(Hits::None);
        }
        if part.is_anywhere()
            && is_bytewise
            && PackedHex::can_find(&self.needle.bytes)
            && let Some(rows) =
                self.block.packed_pair(pair, |packed| packed.and_then(|p| p.rows_with(&self.needle.bytes)))?
        {
            return Ok(Hits::of(rows));
        }
        if let Some((table, read)) = self.block.shared_pair(pair)? {
            let hits = table.hits(self.needle, part, |values| self.of_values(values, part))?;
            if matches!(*hits, Hits::None) {
                return Ok(Hits::None);
            }
            let mut rows = Rows::none(self.block.len());
            read()?.for_each(|row, code| {
                if hits.contains(code as usize) {
                    rows.insert(row);
                }
            });
            return Ok(Hits::of(rows));
        }
        let values = self.block.pair_values(pair)?;
        match values {
            Values::Constant(value) => {
                return Ok(if self.needle.has(part, value.as_bytes()) { Hits::All } else { Hits::None });
            }
            Values::Each { text, .. }
                if part.is_anywhere() && self.needle.find(text.as_bytes(), 0).is_none() =>
            {
                return Ok(Hits::None);
            }
            Values::Each { .. } | Values::Shared { .. } => {}
        }
        let has = |row: usize| values.get(row).is_some_and(|value| self.needle.has(part, value.as_bytes()));
        Ok(Hits::of(Rows::with(self.block.len(), has)))
    }

    /// Which values of column `number` have `part`.
    pub(super) fn column(&mut self, number: usize, part: &Part) -> Result<Hits, BlockError> {
        if let Some(meta) = self.block.column_meta(number)
            && (!self.may_hold(meta, number, part) || self.is_in_no_value(meta, number, part)?)
        {
            return Ok(Hits::None);
        }
        let anywhere = part.is_anywhere();
        let likely = if anywhere { self.templates_that_may_hold(number)? } else { Likely::Unknown };
        if matches!(likely, Likely::None) {
            return Ok(Hits::None);
        }
        if let Some(table) = self.block.table_of(number)? {
            let hits = table.hits(self.needle, part, |values| self.of_values(values, part))?;
            if matches!(*hits, Hits::None) {
                return Ok(Hits::None);
            }
            let Column::Shared { codes, .. } = self.block.column(number)? else {
                return Err(self.block.malformed(Malformed("table of a column")));
            };
            return Ok(Hits::of(Rows::with(codes.len(), |i| hits.contains(codes[i] as usize))));
        }
        match self.block.column(number)? {
            Column::Shapes(shapes) => self.texts(shapes, part, likely.of_shapes()),
            column => self.of_values(column, part),
        }
    }

    /// Which of some values have `part`; they are not shapes.
    fn of_values(&self, column: &Column, part: &Part) -> Result<Hits, BlockError> {
        let anywhere = part.is_anywhere();
        let rows = match column {
            Column::Constant { text, .. } => {
                return Ok(if self.needle.has(part, text) { Hits::All } else { Hits::None });
            }
            Column::Dictionary { texts, codes } => {
                let found: Vec<bool> = texts.iter().map(|text| self.needle.has(part, text)).collect();
                if !found.contains(&true) {
                    return Ok(Hits::None);
                }
                Some(Rows::with(codes.len(), |i| found[codes.get(i)]))
            }
            Column::Text(texts) => Some(texts.rows_with(self.needle, part)),
            Column::Hex { digits, bytes } if anywhere => {
                PackedHex { digits: *digits, bytes }.rows_with(&self.needle.bytes)
            }
            Column::Numbers(numbers) if anywhere => numbers.rows_with(&self.needle.bytes),
            Column::Numbers(numbers) => {
                numbers.rows_at(&self.needle.bytes[part.range.clone()], part.from_start, part.to_end)
            }
            Column::Stamps(stamps) if anywhere => stamps.rows_with(&self.needle.bytes),
            Column::Hex { .. } | Column::Stamps(_) | Column::Uuid(_) => None,
            Column::Shapes(_) | Column::Shared { .. } => {
                return Err(self.block.malformed(Malformed("encoding of values")));
            }
        };
        match rows {
            Some(rows) => Ok(Hits::of(rows)),
            None => self.written_out(column, part),
        }
    }

    /// Whether texts of each shape of column `number` may hold the needle, as far as templates tell without a look at the
    /// column.
    fn templates_that_may_hold(&self, number: usize) -> Result<Likely, BlockError> {
        let Some(stored) = &self.block.stored else { return Ok(Likely::Unknown) };
        let meta = self.block.column_meta(number).filter(|meta| meta.encoding == code::SHARED_SHAPES);
        let Some(meta) = meta else { return Ok(Likely::Unknown) };
        let list = Outline::list(meta).map_err(|wrong| self.block.malformed(wrong))?;
        stored.likely(TemplatesOf::Texts, list, self.needle)
    }

    /// The same by writing every value out.
    fn written_out(&self, column: &Column, part: &Part) -> Result<Hits, BlockError> {
        let none = Resolved { columns: Vec::new(), pairs: Vec::new() };
        let line_bytes = self.block.line_bytes().max(MAX_TABLE_TEXT);
        let mut texts = Lines::default();
        for i in 0..column.len() {
            none.append_value(column, i, texts.buffer(), line_bytes)
                .map_err(|wrong| self.block.malformed(wrong))?;
            texts.end_line();
            if texts.line_bytes() > line_bytes {
                return Err(self.block.malformed(Malformed("bytes of the values")));
            }
        }
        let texts = texts.separated();
        let rows = if part.is_anywhere() {
            self.needle.lines(texts)
        } else {
            Rows::with(texts.len(), |i| self.needle.has(part, texts.get(i)))
        };
        Ok(Hits::of(rows))
    }

    /// The same by putting every text together.
    fn put_together(&self, shapes: &Shapes, part: &Part) -> Result<Hits, BlockError> {
        let resolved = self.block.resolved(shapes, None)?;
        let mut rows = Rows::none(shapes.codes.len());
        let mut text = Vec::new();
        for i in 0..shapes.codes.len() {
            text.clear();
            let appended = resolved.append(shapes, i, &mut text, self.block.line_bytes());
            appended.map_err(|wrong| self.block.malformed(wrong))?;
            if self.needle.has(part, &text) {
                rows.insert(i);
            }
        }
        Ok(Hits::of(rows))
    }
}
