//! A block: some thousand records of one stream, as columns, ordered by time (equal times in the order
//! of arrival). Blocks of the head live in memory; blocks of a part are decoded column by column when asked.

mod decode;
mod encode;
mod header;
mod holes;
mod lines;
mod merge;
mod pack;
mod pairs;
mod stored;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, OnceLock};

pub(crate) use encode::encode;
pub(crate) use header::{BlockMeta, FORMAT, Header, HeaderError};
pub(crate) use holes::values_beside_lines;
pub use lines::Lines;
pub(crate) use pack::{Packer, crc, unpack};
use pairs::Values;
pub use pairs::{NamedPairs, Pairs};
pub(crate) use stored::Stored;
pub(crate) use wire::{Input, Malformed, put_bytes, put_varint};

use crate::record::Labels;
use crate::{Level, Record, StreamId};

/// Most records of a block.
pub(crate) const BLOCK_RECORDS: usize = 8192;

/// Bytes of lines and pairs after which a block ends. A larger record makes a block of its own.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

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
    pairs: Pairs,
    /// Where columns not yet decoded are read from; `None` when all are in memory.
    stored: Option<Stored>,
}

impl Block {
    /// A block in memory. `records` are of one stream and in time order.
    pub(crate) fn from_records<'a>(
        stream: StreamId,
        labels: Arc<Labels>,
        records: impl Iterator<Item = &'a Record> + Clone,
    ) -> Self {
        let mut lines = Lines::default();
        records.clone().for_each(|record| lines.push(&record.line));
        Self::in_memory(
            (stream, labels),
            records.clone().map(|record| record.timestamp_ns).collect(),
            records.clone().map(|record| record.level).collect(),
            lines,
            Pairs::of_records(records),
        )
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
        decoded(&self.lines, self.stored.as_ref(), |stored| stored.lines(|i| self.pair_values(i)))
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

    /// Values of pair column `i`, which exists.
    fn pair_values(&self, i: usize) -> Result<&Values, BlockError> {
        let column = &self.pairs.columns()[i];
        decoded(&column.values, self.stored.as_ref(), |stored| stored.values(i))
    }

    fn decode_pairs(&self, name: Option<&str>) -> Result<(), BlockError> {
        for (i, column) in self.pairs.columns().iter().enumerate() {
            if name.is_none_or(|name| column.name.as_ref() == name) {
                self.pair_values(i)?;
            }
        }
        decoded(self.pairs.overflow_cell(), self.stored.as_ref(), Stored::overflow)?;
        Ok(())
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

/// How many of the leading `records` (of one stream, in time order) fill a block; at least one, if any.
pub(crate) fn next_block_len<'a>(records: impl Iterator<Item = &'a Record>) -> usize {
    block_len(records.map(|record| {
        let pairs: usize = record.pairs.iter().map(|p| p.name.len() + p.value.len()).sum();
        record.line.len() + pairs
    }))
}

/// How many records of these sizes in bytes fill a block.
fn block_len(sizes: impl Iterator<Item = usize>) -> usize {
    let (mut taken, mut bytes) = (0, 0);
    for size in sizes {
        bytes += size;
        if taken == BLOCK_RECORDS || (taken > 0 && bytes > BLOCK_BYTES) {
            break;
        }
        taken += 1;
    }
    taken
}
