//! Which lines a regular expression without literals matches, told by literals and values alone.
//!
//! The invariant: a match is a run of bytes that [`Pattern::new`] was told of, and whether there is one depends on nothing
//! but these. Where none of them stands beside a value, a match lies within one literal or one value, so that each is looked
//! at by itself, and each distinct one once.

use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::Regex;

use super::bytes::ByteSet;
use super::rows::Hits;
use super::{Column, Resolved, Rows, Shapes, Slot, Table};
use crate::block::header::ColumnMeta;
use crate::block::pairs::Values;
use crate::block::wire::Malformed;
use crate::block::{Block, BlockError, Stored};

/// Tables of which it is remembered what matches: those of the parts that threads read at the time.
const MAX_ASKED: usize = 8;

/// A regular expression that looks at nothing beyond its match.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    bytes: ByteSet,
    required: Vec<ByteSet>,
    asked: Mutex<Vec<(Arc<Table>, Arc<Hits>)>>,
}

impl Pattern {
    /// `regex` matches no empty text and does not look around. `bytes` are those that its matches in ASCII text may have;
    /// each match has a byte of each set of `required`.
    #[must_use]
    pub fn new(regex: Regex, bytes: &[u8], required: &[Vec<u8>]) -> Self {
        let required = required.iter().map(|set| ByteSet::of(set)).collect();
        Self { regex, bytes: ByteSet::of(bytes), required, asked: Mutex::default() }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Whether a text of these bytes may have a match; unknown ones may be any.
    fn may_be_of(&self, bytes: Option<ByteSet>) -> bool {
        bytes.is_none_or(|bytes| self.required.iter().all(|set| set.meets(bytes)))
    }
}

impl Block {
    /// The rows whose lines the pattern matches; `None` where that takes a look at whole lines.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn rows_with_pattern(&self, pattern: &Pattern) -> Result<Option<Rows>, BlockError> {
        let are_ascii = self.stored.as_ref().is_some_and(Stored::has_ascii_lines);
        if !are_ascii || self.lines.get().is_some() {
            return Ok(None);
        }
        let Some(shapes) = self.shapes()? else { return Ok(None) };
        Matcher { block: self, pattern }.texts(shapes)
    }
}

struct Matcher<'a> {
    block: &'a Block,
    pattern: &'a Pattern,
}

impl Matcher<'_> {
    /// The texts with a match.
    fn texts(&self, shapes: &Shapes) -> Result<Option<Rows>, BlockError> {
        if self.pattern.bytes.meets(shapes.boundary_bytes()) {
            return Ok(None);
        }
        let mut rows = Rows::none(shapes.codes.len());
        // A match in a literal is one in all of them, too.
        if self.pattern.is_in(shapes.text()) {
            let has_match =
                |shape| shapes.pieces(shape).iter().any(|p| self.pattern.is_in(shapes.literal(p)));
            let found: Vec<bool> = (0..shapes.len()).map(has_match).collect();
            rows = Rows::with(shapes.codes.len(), |i| found[shapes.codes.get(i)]);
        }
        for (column, entries) in shapes.entries.iter().enumerate() {
            let number = shapes.base + column;
            if self.block.column_meta(number).map(ColumnMeta::entries) != Some(*entries) {
                return Err(self.block.malformed(Malformed("number of values")));
            }
            let Some(hits) = self.column(number)? else { return Ok(None) };
            shapes.add_texts_with(Slot::Column(column as u32), &hits, &mut rows);
        }
        let mut pairs: Vec<usize> = shapes.pairs().collect();
        pairs.sort_unstable();
        pairs.dedup();
        for pair in pairs {
            shapes.add_texts_with(Slot::Pair(pair as u32), &self.pair(pair)?, &mut rows);
        }
        Ok(Some(rows))
    }

    /// The values of column `number` with a match; `None` where one may span the values of nested shapes.
    fn column(&self, number: usize) -> Result<Option<Hits>, BlockError> {
        if !self.pattern.may_be_of(self.block.bytes_of(number)) {
            return Ok(Some(Hits::None));
        }
        if let Some(table) = self.block.table_of(number)? {
            let hits = self.of_table(&table)?;
            let Column::Shared { codes, .. } = self.block.column(number)? else {
                return Err(self.block.malformed(Malformed("table of a column")));
            };
            return Ok(Some(Hits::of(Rows::with(codes.len(), |i| hits.contains(codes[i] as usize)))));
        }
        match self.block.column(number)? {
            Column::Shapes(nested) => Ok(self.texts(nested)?.map(Hits::of)),
            column => self.of_values(column).map(Some),
        }
    }

    fn pair(&self, pair: usize) -> Result<Hits, BlockError> {
        if !self.pattern.may_be_of(self.block.bytes_of_pair(pair)) {
            return Ok(Hits::None);
        }
        if let Some((table, read)) = self.block.shared_pair(pair)? {
            let hits = self.of_table(&table)?;
            let mut rows = Rows::none(self.block.len());
            if !matches!(*hits, Hits::None) {
                read()?.for_each(|row, code| {
                    if hits.contains(code as usize) {
                        rows.insert(row);
                    }
                });
            }
            return Ok(Hits::of(rows));
        }
        let is_hit = |value: &str| self.pattern.is_in(value.as_bytes());
        Ok(match self.block.pair_values(pair)? {
            Values::Constant(value) if is_hit(value) => Hits::All,
            Values::Constant(_) => Hits::None,
            values => Hits::of(Rows::with(self.block.len(), |row| values.get(row).is_some_and(is_hit))),
        })
    }

    /// The values of a table with a match, looked at once for all blocks.
    fn of_table(&self, table: &Arc<Table>) -> Result<Arc<Hits>, BlockError> {
        let asked = || self.pattern.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hits)) = asked().iter().find(|(known, _)| Arc::ptr_eq(known, table)) {
            return Ok(Arc::clone(hits));
        }
        let hits = Arc::new(self.of_values(&table.values)?);
        let mut asked = asked();
        asked.truncate(MAX_ASKED - 1);
        asked.insert(0, (Arc::clone(table), Arc::clone(&hits)));
        Ok(hits)
    }

    /// Which of some values have a match; they are not shapes.
    fn of_values(&self, column: &Column) -> Result<Hits, BlockError> {
        match column {
            Column::Constant { text, .. } => {
                return Ok(if self.pattern.is_in(text) { Hits::All } else { Hits::None });
            }
            Column::Dictionary { texts, codes } => {
                let found: Vec<bool> = texts.iter().map(|text| self.pattern.is_in(text)).collect();
                return Ok(Hits::of(Rows::with(codes.len(), |i| found[codes.get(i)])));
            }
            Column::Text(texts) => {
                return Ok(Hits::of(Rows::with(column.len(), |i| self.pattern.is_in(texts.get(i)))));
            }
            _ => {}
        }
        let none = Resolved { columns: Vec::new(), pairs: Vec::new() };
        let mut rows = Rows::none(column.len());
        let mut text = Vec::new();
        for i in 0..column.len() {
            text.clear();
            let appended = none.append_value(column, i, &mut text, self.block.line_bytes());
            appended.map_err(|wrong| self.block.malformed(wrong))?;
            if self.pattern.is_in(&text) {
                rows.insert(i);
            }
        }
        Ok(Hits::of(rows))
    }
}
