//! A block: some thousand records of one stream, as columns, ordered by time (equal times in the order
//! of arrival). Blocks of the head live in memory; blocks of a part are decoded column by column when asked.

mod decode;
mod dense;
mod dictionary;
mod encode;
mod fill;
mod header;
mod holes;
mod line_shapes;
mod lines;
mod merge;
mod narrow;
mod pack;
mod pairs;
mod search;
mod shapes;
mod shared_codes;
mod slot_values;
mod some_lines;
mod stored;
mod summary;
mod wire;

use std::sync::{Arc, OnceLock};

pub(crate) use dictionary::{
    DictionaryHeader, EncodedDictionary, TemplatesOf, decode_table, decode_templates,
};
pub(crate) use encode::Encoder;
pub(crate) use fill::Filler;
#[cfg(test)]
pub(crate) use header::Packing;
pub(crate) use header::Role;
pub(crate) use header::{BlockMeta, ColumnMeta, FORMAT, Header, HeaderError};
pub(crate) use holes::values_beside_lines;
pub use line_shapes::{LineShapes, SlotId};
pub use lines::Lines;
pub(crate) use lines::Separated;
#[cfg(test)]
pub(crate) use pack::unpack_pieces;
pub(crate) use pack::{Piece, crc, unpack};
pub use pairs::{NamedPairs, Pairs};
use pairs::{PairCodes, Values};
pub(crate) use shapes::Table;
pub(crate) use shapes::TemplateNumbers;
pub(crate) use shapes::Templates;
use shapes::{ByteSet, Column, PackedHex, Shapes};
pub use shapes::{Needle, Pattern, Rows};
pub use shared_codes::{Dictionary, OneDictionary, Recoded, SharedCodes};
pub use slot_values::{CodedValues, NumberValues, SlotValues};
pub use some_lines::SomeLines;
pub(crate) use stored::{Stored, read_column};
pub(crate) use summary::{Phrase, Summary};
pub(crate) use wire::{Input, Malformed, put_bytes, put_varint};

use crate::record::Labels;
use crate::{Level, Pair, Record, StreamId};

/// Most records of a block.
pub(crate) const BLOCK_RECORDS: usize = 8192;

/// Bytes of lines and pairs after which a block ends. A larger record makes a block of its own.
pub(crate) const BLOCK_BYTES: usize = 2 << 20;

/// Most bytes of a record: its line, and the names and values of its pairs. The writer refuses more,
/// so that a block can always be read back within bounded memory.
pub const MAX_RECORD_BYTES: usize = 32 << 20;

/// Why a block, or one of its columns, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The bytes on disk are not what was written.
    #[error("damaged block {block} of `{file}`: {what}")]
    Damaged {
        /// Part file.
        file: String,
        /// Number of the block within the file.
        block: u32,
        /// What does not fit.
        what: String,
    },
    /// Written by a newer version.
    #[error("`{file}` has format {found}, this binnacle reads up to {known}: upgrade binnacle to read it")]
    Newer {
        /// Part file.
        file: String,
        /// Its format version.
        found: u32,
        /// The newest version this build reads.
        known: u32,
    },
    /// The operating system says no.
    #[error("cannot read `{file}`: {source}")]
    Io {
        /// Part file.
        file: String,
        /// The system's word.
        source: std::io::Error,
    },
}

/// Records of one stream in time order.
#[derive(Clone, Debug)]
pub struct Block {
    stream: StreamId,
    labels: Arc<Labels>,
    len: usize,
    timestamps: OnceLock<Vec<i64>>,
    levels: OnceLock<Vec<Level>>,
    lines: OnceLock<Lines>,
    /// The lines' shapes, if they are stored so, and the columns of the values.
    shapes: OnceLock<Option<Arc<Shapes>>>,
    columns: Vec<OnceLock<Arc<Column>>>,
    pairs: Pairs,
    /// Where columns not yet decoded are read from; `None` when all are in memory.
    stored: Option<Stored>,
}

impl Block {
    /// A block in memory. `records` are of one stream and in time order.
    pub(crate) fn from_records<'a>(
        stream: StreamId,
        labels: Arc<Labels>,
        records: impl Iterator<Item = &'a Record>,
    ) -> Self {
        let mut filler = Filler::default();
        records.for_each(|record| filler.push(record));
        filler.finish(stream, labels)
    }

    pub(crate) fn in_memory(
        (stream, labels): (StreamId, Arc<Labels>),
        timestamps: Vec<i64>,
        levels: Vec<Level>,
        lines: Lines,
        pairs: Pairs,
    ) -> Self {
        debug_assert!(timestamps.is_sorted(), "BUG: a block's records are not in time order");
        Self {
            stream,
            labels,
            len: timestamps.len(),
            timestamps: timestamps.into(),
            levels: levels.into(),
            lines: lines.into(),
            shapes: None.into(),
            columns: Vec::new(),
            pairs,
            stored: None,
        }
    }

    /// A block of a part, nothing of it read but its header.
    pub(crate) fn stored(meta: &BlockMeta, stored: Stored) -> Self {
        Self {
            stream: meta.stream,
            labels: Arc::clone(&meta.labels),
            len: meta.records as usize,
            timestamps: OnceLock::new(),
            levels: OnceLock::new(),
            lines: OnceLock::new(),
            shapes: OnceLock::new(),
            columns: vec![OnceLock::new(); stored.value_columns()],
            pairs: Pairs::undecoded(stored.pair_names()),
            stored: Some(stored),
        }
    }

    /// The stream all records belong to.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The stream's labels.
    #[must_use]
    pub const fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    /// Number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Nanoseconds since the epoch, ascending.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn timestamps(&self) -> Result<&[i64], BlockError> {
        Ok(decoded(&self.timestamps, self.stored.as_ref(), Stored::timestamps)?)
    }

    /// Severity of each record.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn levels(&self) -> Result<&[Level], BlockError> {
        Ok(decoded(&self.levels, self.stored.as_ref(), Stored::levels)?)
    }

    /// The lines.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn lines(&self) -> Result<&Lines, BlockError> {
        decoded(&self.lines, self.stored.as_ref(), |stored| match self.shapes()? {
            Some(shapes) => {
                let lines = self.resolved(shapes, None)?.texts(shapes, stored.line_bytes());
                lines.map_err(|wrong| self.malformed(wrong))
            }
            None => stored.lines(|i| self.pair_values(i)),
        })
    }

    /// The name-value pairs, all of them. Does not read the lines.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn pairs(&self) -> Result<&Pairs, BlockError> {
        self.decode_pairs(None)?;
        Ok(&self.pairs)
    }

    /// The pairs of one name; reads no other column.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn pairs_named<'a, 'n>(&'a self, name: &'n str) -> Result<NamedPairs<'a, 'n>, BlockError> {
        self.decode_pairs(Some(name))?;
        Ok(self.pairs.named(name))
    }

    /// The shapes of the lines; `None` where the lines are at hand, or are not stored so.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn line_shapes(&self) -> Result<Option<LineShapes<'_>>, BlockError> {
        if self.lines.get().is_some() {
            return Ok(None);
        }
        Ok(self.shapes()?.map(|shapes| LineShapes::new(self, shapes)))
    }

    /// The shapes of the lines, if they are stored so.
    fn shapes(&self) -> Result<Option<&Shapes>, BlockError> {
        let shapes = decoded(&self.shapes, self.stored.as_ref(), Stored::shapes)?;
        Ok(shapes.as_deref())
    }

    /// Value column `number`.
    fn column(&self, number: usize) -> Result<&Column, BlockError> {
        let missing = Malformed("a value column is missing");
        let cell = self.columns.get(number).ok_or_else(|| self.malformed(missing))?;
        let column = decoded(cell, self.stored.as_ref(), |stored| {
            let of_lines = self.shapes()?.filter(|shapes| shapes.columns().contains(&number));
            let timestamps = match of_lines {
                Some(_) if stored.needs_times(number) => Some(self.timestamps()?),
                _ => None,
            };
            stored.value_column(number, of_lines, timestamps)
        })?;
        Ok(column)
    }

    /// What is known of value column `number` without reading it.
    fn column_meta(&self, number: usize) -> Option<&ColumnMeta> {
        self.stored.as_ref()?.value_meta(number)
    }

    /// What is known of pair column `i` without reading it.
    fn pair_meta(&self, i: usize) -> Option<&ColumnMeta> {
        self.stored.as_ref()?.pair_meta(i)
    }

    /// Bytes that all lines of a stored block come to.
    fn line_bytes(&self) -> usize {
        self.stored.as_ref().map_or(usize::MAX, Stored::line_bytes)
    }

    /// The table that values of column `number` lie in, if they do.
    fn table_of(&self, number: usize) -> Result<Option<Arc<Table>>, BlockError> {
        match &self.stored {
            Some(stored) => stored.table_of_values(number),
            None => Ok(None),
        }
    }

    /// The table that values of pair column `i` lie in, if they do and have not been written out already, and a way to
    /// read which.
    #[expect(clippy::type_complexity, reason = "what is read depends on what the table says")]
    fn shared_pair(
        &self,
        i: usize,
    ) -> Result<Option<(Arc<Table>, impl FnOnce() -> Result<PairCodes, BlockError>)>, BlockError> {
        let Some(stored) = self.stored.as_ref().filter(|_| self.pairs.columns()[i].values.get().is_none())
        else {
            return Ok(None);
        };
        let Some(table) = stored.table_of_pair(i)? else { return Ok(None) };
        let read = Arc::clone(&table);
        Ok(Some((table, move || stored.pair_codes(i, &read))))
    }

    /// Calls `use_it` with the values of pair column `i` as they are stored, if that is hex digits and they have
    /// not been written out already.
    fn packed_pair<T>(
        &self,
        i: usize,
        use_it: impl FnOnce(Option<PackedHex<'_>>) -> Option<T>,
    ) -> Result<Option<T>, BlockError> {
        match &self.stored {
            Some(stored) if self.pairs.columns()[i].values.get().is_none() => stored.packed_pair(i, use_it),
            _ => Ok(None),
        }
    }

    /// Whether every byte of every value of pair column `i` is known to fit, without reading it.
    fn pair_has_only(&self, i: usize, fits: &dyn Fn(u8) -> bool) -> bool {
        let known = self.bytes_of_pair(i);
        known.is_some_and(|known| (0..=u8::MAX).all(|byte| !known.contains(byte) || fits(byte)))
    }

    /// Bytes that values of pair column `i` may have, as far as is known without reading it.
    fn bytes_of_pair(&self, i: usize) -> Option<ByteSet> {
        summary::bytes_of_pair(self.pair_meta(i)?)
    }

    fn malformed(&self, Malformed(what): Malformed) -> BlockError {
        self.stored.as_ref().expect("BUG: a block in memory is damaged").damaged(what)
    }

    /// Values of pair column `i`, which exists.
    fn pair_values(&self, i: usize) -> Result<&Values, BlockError> {
        let column = &self.pairs.columns()[i];
        decoded(&column.values, self.stored.as_ref(), |stored| {
            let needs_times = stored.pair_needs_times(i);
            stored.values(i, if needs_times { Some(self.timestamps()?) } else { None })
        })
    }

    fn decode_pairs(&self, name: Option<&str>) -> Result<(), BlockError> {
        for (i, column) in self.pairs.columns().iter().enumerate() {
            if name.is_none_or(|name| column.name.as_ref() == name) {
                self.pair_values(i)?;
            }
        }
        self.overflow()?;
        Ok(())
    }

    /// Pairs beyond the most columns, with the number of their record.
    fn overflow(&self) -> Result<&[(u32, Pair)], BlockError> {
        Ok(decoded(self.pairs.overflow_cell(), self.stored.as_ref(), Stored::overflow)?)
    }
}

/// The value of `cell`, read from the part the first time. A failure is not remembered: the next call
/// tries again.
fn decoded<'a, T>(
    cell: &'a OnceLock<T>,
    stored: Option<&Stored>,
    read: impl FnOnce(&Stored) -> Result<T, BlockError>,
) -> Result<&'a T, BlockError> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = read(stored.expect("BUG: a block in memory lacks a column"))?;
    Ok(cell.get_or_init(|| value))
}

/// How many records of these sizes in bytes fill a block.
fn block_len(sizes: impl Iterator<Item = usize>) -> usize {
    let (mut taken, mut bytes) = (0, 0);
    for size in sizes {
        bytes += size;
        if !fits(taken, bytes) {
            break;
        }
        taken += 1;
    }
    taken
}

/// Whether a block of so many records has room for one more, with which they have `bytes` in all.
const fn fits(taken: usize, bytes: usize) -> bool {
    taken == 0 || (taken < BLOCK_RECORDS && bytes <= BLOCK_BYTES)
}
