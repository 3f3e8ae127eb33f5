//! Where a text occurs in lines that lie in columns, without putting the lines together.
//!
//! An occurrence lies within a literal, within a value, or spans both. What begins or ends a literal beside a
//! slot is a *boundary byte*: a needle without any cannot span. One that may span is laid against each shape:
//! wherever its literals fit, what is left over are conditions on values (ends with, is, begins with), so
//! that the answer is exact. Each distinct value is looked at once.

use std::collections::HashMap;

use super::bytes::ByteSet;
use super::column::code;
use super::fit::{Condition, Fit};
use super::needle::{Needle, Part};
use super::number::Format;
use super::rows::Hits;
use super::{Column, PackedHex, Resolved, Rows, Shapes, Slot, hex};
use crate::block::header::ColumnMeta;
use crate::block::pairs::Values;
use crate::block::wire::Malformed;
use crate::block::{Block, BlockError, Lines, encode};

/// Finds one needle in one block.
pub(crate) struct Finder<'a> {
    block: &'a Block,
    needle: &'a Needle,
    /// What columns and, beyond them, pairs have been asked.
    known: HashMap<(usize, Part), Hits>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(block: &'a Block, needle: &'a Needle) -> Self {
        Self { block, needle, known: HashMap::new() }
    }

    /// The rows whose lines hold the needle.
    pub(crate) fn rows(&mut self, shapes: &Shapes) -> Result<Rows, BlockError> {
        let whole = Part { range: 0..self.needle.bytes.len(), from_start: false, to_end: false };
        let len = shapes.codes.len();
        Ok(match self.texts(shapes, &whole)? {
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

    fn texts(&mut self, shapes: &Shapes, part: &Part) -> Result<Hits, BlockError> {
        let anchored = !part.is_anywhere();
        let literal = if anchored { Vec::new() } else { self.shapes_with(shapes) };
        let set = shapes.boundary_bytes();
        let is_boundary = |byte: &u8| {
            set.contains(*byte) || (self.needle.ignores_case() && set.contains(byte.to_ascii_uppercase()))
        };
        let mut ways: Vec<Vec<Vec<Condition>>> = vec![Vec::new(); shapes.len()];
        if anchored || self.needle.bytes.iter().any(is_boundary) {
            for (shape, ways) in ways.iter_mut().enumerate() {
                let pieces = shapes.pieces(shape);
                let mut fit = Fit { needle: self.needle, part, shapes, pieces, ways, tried: 0 };
                if fit.all().is_none() {
                    return self.put_together(shapes, part);
                }
            }
        }
        if !anchored {
            self.add_whole(shapes, part, &mut ways)?;
        }
        self.matching(shapes, &literal, &ways)
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

    /// Adds that a value holds the needle wholly.
    fn add_whole(
        &mut self,
        shapes: &Shapes,
        part: &Part,
        ways: &mut [Vec<Vec<Condition>>],
    ) -> Result<(), BlockError> {
        let mut holds = Vec::with_capacity(shapes.entries.len());
        for column in 0..shapes.entries.len() as u32 {
            holds.push(!matches!(self.values(shapes, Slot::Column(column), part)?, Hits::None));
        }
        if !holds.contains(&true) && shapes.pairs().next().is_none() {
            return Ok(());
        }
        for (shape, ways) in ways.iter_mut().enumerate() {
            for (at, piece) in shapes.pieces(shape).iter().enumerate() {
                let may_hold = match piece.slot {
                    None => false,
                    Some(Slot::Column(column)) => holds[column as usize],
                    Some(slot @ Slot::Pair(_)) => !matches!(self.values(shapes, slot, part)?, Hits::None),
                };
                if may_hold {
                    ways.push(vec![(at, part.clone())]);
                }
            }
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
        let mut tests: Vec<Vec<Vec<(Slot, usize, Hits)>>> = vec![Vec::new(); shapes.len()];
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
        let mut rows = Rows::none(shapes.codes.len());
        for i in 0..shapes.codes.len() {
            let shape = shapes.codes.get(i);
            let holds = |(slot, earlier, hits): &(Slot, usize, Hits)| match slot {
                Slot::Pair(_) => hits.contains(i),
                Slot::Column(column) => hits.contains(shapes.first(*column, i) + earlier),
            };
            if always[shape] || tests[shape].iter().any(|test| test.iter().all(holds)) {
                rows.insert(i);
            }
        }
        Ok(Hits::of(rows))
    }

    /// Which values of the column in `slot` have `part`.
    fn values(&mut self, shapes: &Shapes, slot: Slot, part: &Part) -> Result<&Hits, BlockError> {
        let number = match slot {
            Slot::Column(column) => shapes.base + column as usize,
            Slot::Pair(pair) => super::MAX_COLUMNS * (super::MAX_COLUMNS + 1) + pair as usize,
        };
        let key = (number, part.clone());
        if let Slot::Column(column) = slot
            && self.block.column_meta(number).map(ColumnMeta::entries)
                != Some(shapes.entries[column as usize])
        {
            return Err(self.block.malformed(Malformed("number of values")));
        }
        if !self.known.contains_key(&key) {
            let hits = match slot {
                Slot::Column(_) => self.column(number, part)?,
                Slot::Pair(pair) => self.pair(pair as usize, part)?,
            };
            self.known.insert(key.clone(), hits);
        }
        Ok(&self.known[&key])
    }

    fn pair(&self, pair: usize, part: &Part) -> Result<Hits, BlockError> {
        let is_bytewise = self.needle.is_bytewise(true);
        if is_bytewise
            && !self.block.pair_meta(pair).is_none_or(|meta| pair_may_hold(meta, self.needle, part))
        {
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
            Values::Each { .. } => {}
        }
        let has = |row: usize| values.get(row).is_some_and(|value| self.needle.has(part, value.as_bytes()));
        Ok(Hits::of(Rows::with(self.block.len(), has)))
    }

    fn column(&mut self, number: usize, part: &Part) -> Result<Hits, BlockError> {
        if !self.block.column_meta(number).is_none_or(|meta| may_hold(meta, self.needle, part)) {
            return Ok(Hits::None);
        }
        let column = self.block.column(number)?;
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
            Column::Shapes(shapes) => return self.texts(shapes, part),
            Column::Text(texts) if anywhere && self.needle.find(texts.bytes(), 0).is_none() => {
                return Ok(Hits::None);
            }
            Column::Text(texts) if anywhere => Some(self.needle.lines(texts.all())),
            Column::Hex { digits, bytes } if anywhere => {
                PackedHex { digits: *digits, bytes }.rows_with(&self.needle.bytes)
            }
            Column::Numbers(numbers) if anywhere => numbers.rows_with(&self.needle.bytes),
            Column::Stamps(stamps) if anywhere => stamps.rows_with(&self.needle.bytes),
            Column::Text(_)
            | Column::Hex { .. }
            | Column::Numbers(_)
            | Column::Stamps(_)
            | Column::Uuid(_) => None,
        };
        match rows {
            Some(rows) => Ok(Hits::of(rows)),
            None => self.written_out(column, part),
        }
    }

    /// The same by writing every value out.
    fn written_out(&self, column: &Column, part: &Part) -> Result<Hits, BlockError> {
        let none = Resolved { columns: Vec::new(), pairs: Vec::new() };
        let line_bytes = self.block.line_bytes();
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
        let resolved = self.block.resolved(shapes)?;
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

/// Whether a value of this column may have `part`, as far as its parameters tell.
fn may_hold(meta: &ColumnMeta, needle: &Needle, part: &Part) -> bool {
    let piece = &needle.bytes[part.range.clone()];
    let all = |fits: &dyn Fn(u8) -> bool| all_bytes(needle, piece, fits);
    match meta.encoding {
        code::TEXT | code::TEXT_LENGTHS => match ByteSet::decode(&meta.params) {
            Ok(set) => all(&|byte| set.contains(byte)),
            Err(_) => true,
        },
        code::HEX => all(&hex::is_digit),
        code::UUID => piece.len() <= 36 && all(&is_uuid_byte),
        code::STAMPS => {
            let other = |byte| matches!(byte, b'-' | b':' | b'.' | b',' | b'+' | b'T' | b'Z' | b' ');
            piece.len() <= 35 && all(&|byte: u8| byte.is_ascii_digit() || other(byte))
        }
        code::NUMBERS => match Format::decode(&meta.params) {
            Ok((format, _, max)) => {
                let fits = |byte: u8| byte.is_ascii_digit() || byte == b'.' || format.prefix.contains(&byte);
                piece.len() <= format.longest(max) && all(&fits)
            }
            Err(_) => true,
        },
        _ => true,
    }
}

/// The same of a pair column.
fn pair_may_hold(meta: &ColumnMeta, needle: &Needle, part: &Part) -> bool {
    let piece = &needle.bytes[part.range.clone()];
    match meta.encoding {
        encode::code::PAIR_HEX => all_bytes(needle, piece, &hex::is_digit),
        encode::code::PAIR_UUID => piece.len() <= 36 && all_bytes(needle, piece, &is_uuid_byte),
        _ => true,
    }
}

/// Whether `fits` holds for each byte of a piece of the needle, in one of its cases.
fn all_bytes(needle: &Needle, piece: &[u8], fits: &dyn Fn(u8) -> bool) -> bool {
    piece.iter().all(|byte| fits(*byte) || (needle.ignores_case() && fits(byte.to_ascii_uppercase())))
}

const fn is_uuid_byte(byte: u8) -> bool {
    hex::is_digit(byte) || byte == b'-'
}
