//! Values that blocks of a part have in common, each once in a table of the part's dictionary: the writer's side.
//!
//! The invariant: a value keeps its number. What ids and paths cost is mostly their first occurrence; after that a number
//! of two or three bytes stands for each.

use std::sync::Arc;

use super::choose::Encoded;
use super::intern::Hash;
use super::{Interner, plain_table};
use crate::Origin;
use crate::block::wire::put_varint;

/// Values after which a table is given up when less than one in [`PER_KNOWN`] was known before.
const TRIED: usize = 1 << 14;
const PER_KNOWN: usize = 16;
/// Most values of a table, and bytes of them; of all tables together. Columns with further values are stored as they are.
const MAX_VALUES: usize = 1 << 18;
const MAX_TABLE_BYTES: usize = 8 << 20;
const MAX_BYTES: usize = 16 << 20;
const MAX_TABLES: usize = 64;
/// Values that are looked up together: a table is too large for the caches.
const AHEAD: usize = 32;

/// Whose values a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TableOf {
    Pair(Origin, Arc<str>),
    /// A column of lines, by its number in the part.
    Column(usize),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    tables: Vec<Table>,
    /// Of all values.
    bytes: usize,
    /// Tables that blocks refer to.
    used: u32,
}

#[derive(Debug)]
struct Table {
    of: TableOf,
    texts: Interner,
    tried: usize,
    known: usize,
    /// In the dictionary; `None` as long as no block refers to it.
    number: Option<u32>,
}

/// A column as numbers of a table.
#[derive(Debug)]
pub(crate) struct Coded {
    /// The table.
    pub(crate) table: u32,
    /// The numbers, as [`super::decode_codes`] reads them.
    pub(crate) raw: Vec<u8>,
}

impl Tables {
    /// The numbers of `values`; `None` where a table does not pay, or is full. With `always`, it is taken to pay.
    pub(crate) fn code<'a>(
        &mut self,
        of: TableOf,
        mut values: impl Iterator<Item = &'a [u8]>,
        always: bool,
    ) -> Option<Coded> {
        let at = match self.tables.iter().position(|table| table.of == of) {
            Some(at) => at,
            None if self.tables.len() == MAX_TABLES => return None,
            None => {
                let texts = Interner::default();
                self.tables.push(Table { of, texts, tried: 0, known: 0, number: None });
                self.tables.len() - 1
            }
        };
        let Self { tables, bytes, used } = self;
        let table = &mut tables[at];
        if !always && table.tried > TRIED && table.known * PER_KNOWN < table.tried {
            return None;
        }
        let mut codes = Vec::with_capacity(values.size_hint().0);
        let mut batch: Vec<(&[u8], Hash)> = Vec::with_capacity(AHEAD);
        loop {
            batch.clear();
            batch.extend(values.by_ref().take(AHEAD).map(|value| (value, Interner::hash(value))));
            if batch.is_empty() {
                break;
            }
            table.texts.look_ahead(batch.iter().map(|(_, hash)| *hash));
            for (value, hash) in &batch {
                let (len, before) = (table.texts.len(), table.texts.texts().bytes().len());
                let is_full = before + value.len() > MAX_TABLE_BYTES || *bytes + value.len() > MAX_BYTES;
                codes.push(table.texts.number_of(value, *hash, if is_full { 0 } else { MAX_VALUES })?);
                *bytes += table.texts.texts().bytes().len() - before;
                table.tried += 1;
                table.known += usize::from(table.texts.len() == len);
            }
        }
        let number = *table.number.get_or_insert_with(|| {
            *used += 1;
            *used - 1
        });
        Some(Coded { table: number, raw: encode(&codes) })
    }

    /// Each table that blocks refer to, by number.
    pub(crate) fn encode(&self) -> Vec<Encoded> {
        let mut used: Vec<&Table> = self.tables.iter().filter(|table| table.number.is_some()).collect();
        used.sort_by_key(|table| table.number);
        used.into_iter().map(|table| plain_table(table.texts.texts())).collect()
    }
}

/// The lowest number, bytes of the others' difference to it, then these: lowest bytes of all first.
fn encode(codes: &[u32]) -> Vec<u8> {
    let min = codes.iter().copied().min().unwrap_or(0);
    let max = codes.iter().copied().max().unwrap_or(0);
    let width = (max - min).checked_ilog2().map_or(0, |bits| bits as usize / 8 + 1);
    let mut raw = Vec::with_capacity(codes.len() * width + 8);
    put_varint(&mut raw, u64::from(min));
    raw.push(width as u8);
    for place in 0..width {
        raw.extend(codes.iter().map(|code| ((code - min) >> (8 * place)) as u8));
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(tables: &mut Tables, column: usize, values: &[String]) -> Option<u32> {
        let coded = tables.code(TableOf::Column(column), values.iter().map(String::as_bytes), false)?;
        Some(coded.table)
    }

    #[test]
    fn a_table_is_given_up_when_its_values_are_never_met_again() {
        let mut tables = Tables::default();
        let values = |from: usize| -> Vec<String> { (from..from + 4096).map(|i| format!("v{i}")).collect() };
        for round in 0..5 {
            assert_eq!(codes(&mut tables, 7, &values(round * 4096)), Some(0), "{round}");
            assert_eq!(codes(&mut tables, 8, &values(0)), Some(1), "{round}");
        }
        assert_eq!(codes(&mut tables, 7, &values(0)), None);
        assert_eq!(codes(&mut tables, 8, &values(0)), Some(1));
        assert_eq!(tables.encode().iter().map(|table| table.entries).collect::<Vec<_>>(), [5 * 4096, 4096]);
    }

    #[test]
    fn a_full_table_takes_known_values_alone() {
        let mut tables = Tables::default();
        let large = |i: usize| format!("{i:04}").repeat(25_000);
        let known: Vec<String> = (0..83).map(large).collect();
        assert_eq!(codes(&mut tables, 1, &known), Some(0));
        assert_eq!(codes(&mut tables, 1, &[large(1), large(100)]), None);
        assert_eq!(codes(&mut tables, 1, &known), Some(0));
        assert_eq!(codes(&mut tables, 2, &known), Some(1));
        assert_eq!(codes(&mut tables, 3, &known), None, "all tables together are full");
    }

    #[test]
    fn numbers_read_back_whatever_their_range() {
        for range in [5..6, 0..256, 3..300, 70_000..140_000_u32] {
            let kinds = range.end as usize;
            let codes: Vec<u32> = range.rev().step_by(3).collect();
            let raw = encode(&codes);
            let read = |raw: &[u8], kinds| {
                super::super::decode_codes(&mut crate::block::Input::new(raw), codes.len(), kinds)
            };
            assert_eq!(read(&raw, kinds), Ok(codes.clone()));
            assert!(read(&raw, kinds - 1).is_err());
            assert!(read(&raw[..raw.len() - 1], kinds).is_err());
        }
    }
}
