//! A block's columns as they lie in a part file, and their decoding.

use std::sync::Arc;

use super::header::{ColumnMeta, Header, Packing, Role};
use super::pairs::{Overflow, Values};
use super::wire::Malformed;
use super::{BlockError, Lines, decode, holes, pack};
use crate::part::PartFile;
use crate::{Level, Origin};

/// Where the columns of one block lie.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    file: Arc<PartFile>,
    /// Number of the block in the file.
    number: u32,
    records: usize,
    line_bytes: usize,
    columns: Vec<(u64, ColumnMeta)>,
}

impl Stored {
    /// `columns_at` is the place in the file of the first column of `header`.
    pub(crate) fn new(file: Arc<PartFile>, number: u32, header: Header, mut columns_at: u64) -> Self {
        let mut columns = Vec::with_capacity(header.columns.len());
        for column in header.columns {
            let at = columns_at;
            columns_at += u64::from(column.stored_len);
            columns.push((at, column));
        }
        let (records, line_bytes) = (header.meta.records as usize, header.meta.line_bytes as usize);
        Self { file, number, records, line_bytes, columns }
    }

    /// Origin and name of each pair column, in order.
    pub(crate) fn pair_names(&self) -> impl Iterator<Item = (Origin, Arc<str>)> {
        self.columns.iter().filter_map(|(_, column)| match &column.role {
            Role::Pair(origin, name) => Some((*origin, Arc::clone(name))),
            _ => None,
        })
    }

    pub(crate) fn timestamps(&self) -> Result<Vec<i64>, BlockError> {
        self.required(&Role::Timestamps, |column, raw| decode::timestamps(column, &raw, self.records))
    }

    pub(crate) fn levels(&self) -> Result<Vec<Level>, BlockError> {
        self.required(&Role::Levels, |column, raw| decode::levels(column, &raw, self.records))
    }

    /// The lines; `values` gives those of a pair column, by number.
    pub(crate) fn lines<'a>(
        &self,
        values: impl Fn(usize) -> Result<&'a Values, BlockError>,
    ) -> Result<Lines, BlockError> {
        let lengths = match self.column(&Role::LineLengths) {
            Some(at) => Some(self.decode(at, |column, raw| decode::lengths(column, &raw, self.records))?),
            None => None,
        };
        let (lines, params) = self.required(&Role::Lines, |column, raw| {
            let lines = decode::lines(column, raw, lengths.as_deref(), self.records)?;
            Ok((lines, holes::decode(&column.params, self.pair_names().count())?))
        })?;
        let mut filling = Vec::with_capacity(params.len());
        for hole in params {
            filling.push((hole, values(hole.column)?));
        }
        let malformed = |Malformed(what)| self.damaged(what);
        if filling.is_empty() {
            let fits = lines.line_bytes() == self.line_bytes;
            return if fits { Ok(lines) } else { Err(self.damaged("bytes of the lines")) };
        }
        holes::fill(&lines, &filling, self.line_bytes).map_err(malformed)
    }

    /// Values of the `i`th pair column.
    pub(crate) fn values(&self, i: usize) -> Result<Values, BlockError> {
        let mut pairs =
            (0..self.columns.len()).filter(|at| matches!(self.columns[*at].1.role, Role::Pair(..)));
        match pairs.nth(i) {
            Some(at) => self.decode(at, |column, raw| decode::values(column, &raw, self.records)),
            None => Err(self.damaged("a pair column is missing")),
        }
    }

    pub(crate) fn overflow(&self) -> Result<Overflow, BlockError> {
        match self.column(&Role::Overflow) {
            Some(at) => self.decode(at, |column, raw| decode::overflow(column, &raw, self.records)),
            None => Ok(Overflow::new()),
        }
    }

    fn column(&self, role: &Role) -> Option<usize> {
        self.columns.iter().position(|(_, column)| column.role == *role)
    }

    fn required<T>(
        &self,
        role: &Role,
        decode: impl FnOnce(&ColumnMeta, Vec<u8>) -> Result<T, Malformed>,
    ) -> Result<T, BlockError> {
        let at = self.column(role).ok_or_else(|| self.damaged("a column is missing"))?;
        self.decode(at, decode)
    }

    fn decode<T>(
        &self,
        at: usize,
        decode: impl FnOnce(&ColumnMeta, Vec<u8>) -> Result<T, Malformed>,
    ) -> Result<T, BlockError> {
        let (place, column) = &self.columns[at];
        let stored = self.file.read(*place, column.stored_len as usize, self.number)?;
        if pack::crc(&stored) != column.crc {
            return Err(self.damaged(&format!("checksum of {:?}", column.role)));
        }
        let raw_len = column.raw_len as usize;
        let raw = match column.packing {
            Packing::Zstd => pack::unpack(&stored, raw_len),
            Packing::Plain if stored.len() == raw_len => Ok(stored),
            Packing::Plain => Err(Malformed("length of a column")),
        };
        raw.and_then(|raw| decode(column, raw)).map_err(|Malformed(what)| self.damaged(what))
    }

    fn damaged(&self, what: &str) -> BlockError {
        self.file.damaged(self.number, what)
    }
}
