//! Records in, blocks in memory out.
//!
//! The invariant: each record is looked at once. By then neither it nor what it points to is in a cache, so that some are
//! asked for ahead, all at once.

use std::sync::Arc;

use super::pairs::Builder;
use super::{Block, Lines, fits};
use crate::record::Labels;
use crate::{Level, Record, StreamId};

/// Records that are asked for together: memory answers some ten requests at a time.
const AHEAD: usize = 16;
/// Most bytes of each line that are: all together stay in the first cache.
const MAX_AHEAD: usize = 1024;
const CACHE_LINE: usize = 64;

/// A block that is being filled. The next one can have its memory: see [`Filler::reuse`].
#[derive(Debug, Default)]
pub(crate) struct Filler {
    timestamps: Vec<i64>,
    levels: Vec<Level>,
    lines: Lines,
    pairs: Builder,
}

impl Filler {
    /// Takes as many of the leading `records`, which are of one stream and in time order, as fill a block: at least one,
    /// if any. Returns their number.
    pub(crate) fn fill<'a>(&mut self, records: impl Iterator<Item = &'a Record> + Clone) -> usize {
        let mut ahead = records.clone();
        let (mut taken, mut bytes) = (0, 0);
        for record in records {
            if taken % AHEAD == 0 {
                look_at(ahead.by_ref().take(AHEAD));
            }
            let pairs: usize = record.pairs.iter().map(|p| p.name.len() + p.value.len()).sum();
            bytes += record.line.len() + pairs;
            if !fits(taken, bytes) {
                break;
            }
            self.push(record);
            taken += 1;
        }
        taken
    }

    /// Takes one more record.
    pub(super) fn push(&mut self, record: &Record) {
        self.timestamps.push(record.timestamp_ns);
        self.levels.push(record.level);
        self.lines.push(&record.line);
        record.pairs.iter().for_each(|pair| self.pairs.add_pair(pair));
        self.pairs.end_record();
    }

    /// The block of what was taken since the last one.
    pub(crate) fn finish(&mut self, stream: StreamId, labels: Arc<Labels>) -> Block {
        let Self { timestamps, levels, lines, pairs } = std::mem::take(self);
        Block::in_memory((stream, labels), timestamps, levels, lines, pairs.finish())
    }

    /// Has the memory of a block that nobody needs any more for the next one.
    pub(crate) fn reuse(&mut self, mut block: Block) {
        self.timestamps = block.timestamps.take().unwrap_or_default();
        self.levels = block.levels.take().unwrap_or_default();
        self.lines = block.lines.take().unwrap_or_default();
        self.timestamps.clear();
        self.levels.clear();
        self.lines.clear();
    }
}

/// Brings records, their lines and pairs into a cache: looking at all of them takes as long as at one.
fn look_at<'a>(records: impl Iterator<Item = &'a Record>) {
    let look = |seen: u8, bytes: &[u8]| bytes.iter().step_by(CACHE_LINE).fold(seen, |seen, byte| seen ^ byte);
    let seen = records.fold(0, |seen, record| {
        let seen = record.pairs.first().map_or(seen, |pair| look(seen, pair.value.as_bytes()));
        look(seen, &record.line[..record.line.len().min(MAX_AHEAD)]) ^ record.level as u8
    });
    std::hint::black_box(seen);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::block::{BLOCK_BYTES, BLOCK_RECORDS};
    use crate::{Origin, Pair};

    fn record(line: Vec<u8>, value: &str) -> Record {
        let pairs = vec![Pair { origin: Origin::Given, name: "p".into(), value: value.into() }];
        Record { timestamp_ns: 7, labels: Arc::default(), line: Bytes::from(line), level: Level::Info, pairs }
    }

    #[test]
    fn a_block_ends_at_its_most_records_or_bytes_and_has_one_record_at_least() {
        for (len, records, expected) in [
            (1, BLOCK_RECORDS + 1, BLOCK_RECORDS),
            (1, 3, 3),
            (BLOCK_BYTES / 2 - 2, 3, 2),
            (BLOCK_BYTES / 2 - 1, 3, 1),
            (BLOCK_BYTES * 2, 3, 1),
            (1, 0, 0),
        ] {
            let records = vec![record(vec![b'x'; len], "v"); records];
            assert_eq!(Filler::default().fill(records.iter()), expected, "lines of {len} bytes");
        }
    }

    #[test]
    fn a_block_has_nothing_of_the_one_whose_memory_it_has() {
        let mut filler = Filler::default();
        let records = [record(b"one".to_vec(), "1"), record(b"two".to_vec(), "2")];
        assert_eq!(filler.fill(records.iter()), 2);
        let first = filler.finish(StreamId(1), Arc::default());
        filler.reuse(first);
        assert_eq!(filler.fill(records[1..].iter()), 1);
        let second = filler.finish(StreamId(1), Arc::default());
        assert_eq!(second.len(), 1);
        assert_eq!((second.timestamps().unwrap().len(), second.levels().unwrap().len()), (1, 1));
        assert_eq!(second.lines().unwrap().iter().collect::<Vec<_>>(), [b"two"]);
        assert_eq!(second.pairs().unwrap().get(0).collect::<Vec<_>>(), [(Origin::Given, "p", "2")]);
    }
}
