//! A block: some thousand records of one stream, as columns, ordered by time (equal times in the order
//! of arrival). Blocks of the head live in memory; blocks of a part are decoded column by column when asked.

use std::sync::Arc;

use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId};

/// The lines of a block, in one buffer.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// End of each line in `bytes`; each line is followed by one `\n` that is not part of it.
    ends: Vec<u32>,
}

impl Lines {
    /// Appends one line.
    ///
    /// # Panics
    /// When the block outgrows 4 GiB, which the writer's block size rules out.
    pub fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(u32::try_from(self.bytes.len()).expect("BUG: a block of over 4 GiB"));
        self.bytes.push(b'\n');
    }

    /// Line `i`, without the separator.
    ///
    /// # Panics
    /// When `i` is not less than [`Lines::len`].
    #[must_use]
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize + 1 };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// Number of lines.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All lines, each followed by `\n`: the buffer to scan for a substring at memory speed. A line may
    /// itself hold `\n`, so a hit counts only when it lies within one line ([`Lines::line_at`]).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Index of the line that holds byte `offset` of [`Lines::bytes`] (its separator counts as part of it).
    #[must_use]
    pub fn line_at(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| (*end as usize) < offset)
    }

    /// Byte range of line `i` within [`Lines::bytes`], without the separator.
    #[must_use]
    pub fn span(&self, i: usize) -> std::ops::Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize + 1 };
        start..self.ends[i] as usize
    }
}

/// The name-value pairs of a block's records.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    rows: Vec<Vec<Pair>>,
}

impl Pairs {
    /// The pairs of record `i`.
    pub fn get(&self, i: usize) -> impl Iterator<Item = (Origin, &str, &str)> {
        self.rows[i].iter().map(|p| (p.origin, p.name.as_ref(), p.value.as_ref()))
    }

    /// The value of pair `name` of record `i`, the sender's before our own.
    #[must_use]
    pub fn value(&self, i: usize, name: &str) -> Option<&str> {
        self.rows[i]
            .iter()
            .filter(|p| p.name.as_ref() == name)
            .min_by_key(|p| p.origin)
            .map(|p| p.value.as_ref())
    }
}

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
    timestamps: Vec<i64>,
    levels: Vec<Level>,
    lines: Lines,
    pairs: Pairs,
}

impl Block {
    /// A block in memory. `records` are of one stream and in time order.
    pub(crate) fn from_records<'a>(
        stream: StreamId,
        labels: Arc<Labels>,
        records: impl Iterator<Item = &'a Record>,
    ) -> Self {
        let mut block = Self {
            stream,
            labels,
            timestamps: Vec::new(),
            levels: Vec::new(),
            lines: Lines::default(),
            pairs: Pairs::default(),
        };
        for record in records {
            block.timestamps.push(record.timestamp_ns);
            block.levels.push(record.level);
            block.lines.push(&record.line);
            block.pairs.rows.push(record.pairs.clone());
        }
        block
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
        self.timestamps.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Nanoseconds since the epoch, ascending.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn timestamps(&self) -> Result<&[i64], BlockError> {
        Ok(&self.timestamps)
    }

    /// Severity of each record.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn levels(&self) -> Result<&[Level], BlockError> {
        Ok(&self.levels)
    }

    /// The lines.
    ///
    /// # Errors
    /// When the column cannot be read or is damaged.
    pub fn lines(&self) -> Result<&Lines, BlockError> {
        Ok(&self.lines)
    }

    /// The name-value pairs.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn pairs(&self) -> Result<&Pairs, BlockError> {
        Ok(&self.pairs)
    }
}
