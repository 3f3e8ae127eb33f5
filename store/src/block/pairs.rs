//! The name-value pairs of a block's records, as one column per origin and name.
//!
//! Every column has one entry per record of the block. A sender can invent names without end, so a block
//! has at most [`MAX_COLUMNS`] of them; pairs of further names are kept row by row, in `overflow`.

use std::sync::{Arc, OnceLock};

use super::Table;
use crate::{Origin, Pair};

/// Columns per block. Each costs 4 bytes per record once decoded; OTLP senders use some 30 names.
pub(crate) const MAX_COLUMNS: usize = 128;

/// The values of one column.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// Every record has this value.
    Constant(Arc<str>),
    /// Each record its own, or none.
    Each {
        /// Bit `i % 64` of word `i / 64` says whether record `i` has a value; `None`: all have.
        present: Option<Vec<u64>>,
        /// End of each record's value in `text`.
        ends: Vec<u32>,
        /// The values, one after the other.
        text: String,
    },
    /// Each record its own of a table, whose texts are written out.
    Shared {
        table: Arc<Table>,
        /// By record; [`ABSENT`]: it has none.
        codes: Vec<u32>,
    },
}

/// Stands for no value.
pub(crate) const ABSENT: u32 = u32::MAX;

impl Values {
    pub(crate) fn get(&self, i: usize) -> Option<&str> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Each { present, ends, text } => {
                if present.as_ref().is_some_and(|bits| bits[i / 64] >> (i % 64) & 1 == 0) {
                    return None;
                }
                let start = if i == 0 { 0 } else { ends[i - 1] as usize };
                text.get(start..ends[i] as usize)
            }
            Self::Shared { table, codes } => match codes[i] {
                ABSENT => None,
                code => table.text(code as usize),
            },
        }
    }
}

/// Which value of a table each record has, or none.
#[derive(Debug)]
pub(crate) struct PairCodes {
    /// As in [`Values::Each`].
    pub(crate) present: Option<Vec<u64>>,
    /// Of the records that have a value.
    pub(crate) codes: Vec<u32>,
    pub(crate) records: usize,
}

impl PairCodes {
    pub(crate) fn is_present(&self, i: usize) -> bool {
        self.present.as_ref().is_none_or(|bits| bits[i / 64] >> (i % 64) & 1 == 1)
    }

    /// Calls `each` with every record that has a value, and the value's number.
    pub(crate) fn for_each(&self, mut each: impl FnMut(usize, u32)) {
        let records = (0..self.records).filter(|i| self.is_present(*i));
        records.zip(&self.codes).for_each(|(record, code)| each(record, *code));
    }
}

/// A column that may not have been decoded yet.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) origin: Origin,
    pub(crate) name: Arc<str>,
    pub(crate) values: OnceLock<Values>,
}

/// A pair of a name beyond [`MAX_COLUMNS`], and the number of its record.
pub(crate) type Overflow = Vec<(u32, Pair)>;

/// The name-value pairs of a block's records.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// By origin and name.
    columns: Vec<Column>,
    /// By record.
    overflow: OnceLock<Overflow>,
}

impl Pairs {
    /// Columns whose values are still to be decoded.
    pub(crate) fn undecoded(names: impl Iterator<Item = (Origin, Arc<str>)>) -> Self {
        let columns = names.map(|(origin, name)| Column { origin, name, values: OnceLock::new() }).collect();
        Self { columns, overflow: OnceLock::new() }
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Calls `each` with the values of all records that are decoded, name by name; a constant once.
    pub(crate) fn for_each_value<'a>(&'a self, mut each: impl FnMut(&'a str)) {
        for values in self.columns.iter().filter_map(|column| column.values.get()) {
            match values {
                Values::Constant(value) => each(value),
                Values::Each { ends, .. } => {
                    (0..ends.len()).filter_map(|i| values.get(i)).for_each(&mut each);
                }
                Values::Shared { codes, .. } => {
                    (0..codes.len()).filter_map(|i| values.get(i)).for_each(&mut each);
                }
            }
        }
        self.overflow().iter().for_each(|(_, pair)| each(&pair.value));
    }

    pub(crate) const fn overflow_cell(&self) -> &OnceLock<Overflow> {
        &self.overflow
    }

    pub(crate) fn overflow(&self) -> &[(u32, Pair)] {
        self.overflow.get().map_or(&[], Vec::as_slice)
    }

    /// The overflowing pairs of record `i`.
    fn overflow_of(&self, i: usize) -> &[(u32, Pair)] {
        let overflow = self.overflow();
        let start = overflow.partition_point(|(record, _)| (*record as usize) < i);
        let len = overflow[start..].partition_point(|(record, _)| *record as usize == i);
        &overflow[start..start + len]
    }

    /// The pairs of record `i`: the sender's before our own.
    pub fn get(&self, i: usize) -> impl Iterator<Item = (Origin, &str, &str)> {
        let columns = self.columns.iter().filter_map(move |column| {
            let value = column.values.get()?.get(i)?;
            Some((column.origin, column.name.as_ref(), value))
        });
        let overflow = self.overflow_of(i).iter().map(|(_, p)| (p.origin, p.name.as_ref(), p.value.as_ref()));
        columns.chain(overflow)
    }

    /// The value of pair `name` of record `i`, the sender's before our own.
    #[must_use]
    pub fn value(&self, i: usize, name: &str) -> Option<&str> {
        self.named(name).value(i)
    }

    /// All values of the pair `name`: cheaper than [`Pairs::value`] for many records.
    #[must_use]
    pub fn named<'a, 'n>(&'a self, name: &'n str) -> NamedPairs<'a, 'n> {
        let of = |origin| {
            let at =
                self.columns.binary_search_by(|c| (c.origin, c.name.as_ref()).cmp(&(origin, name))).ok()?;
            self.columns[at].values.get()
        };
        NamedPairs { pairs: self, name, given: of(Origin::Given), derived: of(Origin::Derived) }
    }
}

/// The values of the pairs of one name in a block.
#[derive(Clone, Copy, Debug)]
pub struct NamedPairs<'a, 'n> {
    pairs: &'a Pairs,
    name: &'n str,
    given: Option<&'a Values>,
    derived: Option<&'a Values>,
}

impl<'a> NamedPairs<'a, '_> {
    /// The value of record `i`, the sender's before our own.
    #[must_use]
    pub fn value(&self, i: usize) -> Option<&'a str> {
        let column = |values: Option<&'a Values>| values.and_then(|v| v.get(i));
        if self.pairs.overflow().is_empty() {
            return column(self.given).or_else(|| column(self.derived));
        }
        let overflow = |origin| {
            let mut pairs = self.pairs.overflow_of(i).iter().map(|(_, p)| p);
            pairs.find(|p| p.origin == origin && p.name.as_ref() == self.name).map(|p| p.value.as_ref())
        };
        column(self.given)
            .or_else(|| overflow(Origin::Given))
            .or_else(|| column(self.derived))
            .or_else(|| overflow(Origin::Derived))
    }

    /// Whether no record of the block has the pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let overflow = self.pairs.overflow();
        self.given.is_none()
            && self.derived.is_none()
            && !overflow.iter().any(|(_, p)| p.name.as_ref() == self.name)
    }
}

/// Builds the columns record by record.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    columns: Vec<Growing>,
    overflow: Overflow,
    /// Records ended so far.
    records: usize,
    /// Column expected next: senders give the same names in the same order.
    next: usize,
}

#[derive(Debug)]
struct Growing {
    origin: Origin,
    name: Arc<str>,
    /// Records this column has an entry for.
    len: usize,
    values: Values,
}

impl Builder {
    /// Adds a pair to the current record; of pairs with equal origin and name the first counts.
    pub(crate) fn add(&mut self, origin: Origin, name: &str, value: &str) {
        self.add_named(origin, name, || name.into(), value);
    }

    /// The same for a pair whose name other records have too.
    pub(crate) fn add_pair(&mut self, Pair { origin, name, value }: &Pair) {
        self.add_named(*origin, name, || Arc::clone(name), value);
    }

    fn add_named(&mut self, origin: Origin, name: &str, shared_name: impl FnOnce() -> Arc<str>, value: &str) {
        let is_it = |c: &Growing| {
            c.origin == origin && (std::ptr::eq(c.name.as_ref(), name) || c.name.as_ref() == name)
        };
        let at = if self.columns.get(self.next).is_some_and(is_it) {
            Some(self.next)
        } else {
            self.columns.iter().position(is_it)
        };
        match at {
            Some(at) => {
                self.columns[at].push(self.records, value);
                self.next = at + 1;
            }
            None if self.columns.len() < MAX_COLUMNS => {
                self.columns.push(Growing::new(origin, shared_name(), self.records, value));
            }
            None => {
                let pair = Pair { origin, name: shared_name(), value: value.into() };
                self.overflow.push((self.records as u32, pair));
            }
        }
    }

    pub(crate) const fn end_record(&mut self) {
        self.records += 1;
        self.next = 0;
    }

    pub(crate) fn finish(mut self) -> Pairs {
        self.columns.sort_by(|a, b| (a.origin, &a.name).cmp(&(b.origin, &b.name)));
        let columns = self
            .columns
            .into_iter()
            .map(|mut column| {
                column.pad(self.records);
                Column { origin: column.origin, name: column.name, values: column.values.into() }
            })
            .collect();
        let mut overflow = self.overflow;
        overflow.sort_by(|a, b| (a.0, a.1.origin, &a.1.name).cmp(&(b.0, b.1.origin, &b.1.name)));
        overflow.dedup_by(|b, a| (a.0, a.1.origin, &a.1.name) == (b.0, b.1.origin, &b.1.name));
        Pairs { columns, overflow: overflow.into() }
    }
}

impl Growing {
    fn new(origin: Origin, name: Arc<str>, record: usize, value: &str) -> Self {
        let values = Values::Constant(value.into());
        if record == 0 {
            return Self { origin, name, len: 1, values };
        }
        let none = Values::Each { present: Some(Vec::new()), ends: Vec::new(), text: String::new() };
        let mut column = Self { origin, name, len: 0, values: none };
        column.push(record, value);
        column
    }

    fn push(&mut self, record: usize, value: &str) {
        if record < self.len {
            return; // this record has the pair already
        }
        if let Values::Constant(constant) = &self.values
            && record == self.len
            && constant.as_ref() == value
        {
            self.len += 1;
            return;
        }
        self.pad(record);
        self.spread();
        if let Values::Each { present, ends, text } = &mut self.values {
            text.push_str(value);
            ends.push(text.len() as u32);
            set(present, record);
        }
        self.len += 1;
    }

    /// Gives the records from `len` up to `records` no value.
    fn pad(&mut self, records: usize) {
        if self.len == records {
            return;
        }
        self.spread();
        if let Values::Each { present, ends, text } = &mut self.values {
            if present.is_none() {
                let mut bits = Some(Vec::new());
                (0..self.len).for_each(|i| set(&mut bits, i));
                *present = bits;
            }
            ends.resize(records, text.len() as u32);
            if let Some(bits) = present {
                bits.resize(records.div_ceil(64), 0);
            }
        }
        self.len = records;
    }

    /// Writes a constant out, as it is about to end being one.
    fn spread(&mut self) {
        if let Values::Constant(value) = &self.values {
            let ends = (1..=self.len).map(|i| (i * value.len()) as u32).collect();
            self.values = Values::Each { present: None, ends, text: value.repeat(self.len) };
        }
    }
}

fn set(present: &mut Option<Vec<u64>>, i: usize) {
    if let Some(bits) = present {
        if bits.len() <= i / 64 {
            bits.resize(i / 64 + 1, 0);
        }
        bits[i / 64] |= 1 << (i % 64);
    }
}
