//! Several blocks of one stream become as few as possible.

use std::sync::Arc;

use super::pairs::Builder;
use super::{Block, BlockError, Lines, Pairs, block_len};
use crate::Level;

/// The decoded columns of one block, but for the timestamps.
struct Columns<'a> {
    levels: &'a [Level],
    lines: &'a Lines,
    pairs: &'a Pairs,
}

/// A record: its time, the number of its block, its number in the block.
type Place = (i64, u32, u32);

impl Block {
    /// The records of `blocks`, which are of one stream, in blocks of full size and in time order; records
    /// of equal time stay in the order of `blocks`. Holds all of it in memory.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub(crate) fn merged(blocks: &[Self]) -> Result<Vec<Self>, BlockError> {
        let Some(first) = blocks.first() else { return Ok(Vec::new()) };
        let mut columns = Vec::with_capacity(blocks.len());
        let mut order: Vec<Place> = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            columns.push(Columns { levels: block.levels()?, lines: block.lines()?, pairs: block.pairs()? });
            let timestamps = block.timestamps()?.iter().enumerate();
            order.extend(timestamps.map(|(i, ns)| (*ns, number as u32, i as u32)));
        }
        order.sort_by_key(|(ns, ..)| *ns);

        let mut merged = Vec::new();
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let sizes = rest.iter().map(|(_, block, i)| columns[*block as usize].size(*i as usize));
            let (taken, later) = rest.split_at(block_len(sizes));
            merged.push(gathered(first, &columns, taken));
            rest = later;
        }
        Ok(merged)
    }
}

impl Columns<'_> {
    /// Bytes of the line and the pairs of record `i`.
    fn size(&self, i: usize) -> usize {
        let pairs: usize = self.pairs.get(i).map(|(_, name, value)| name.len() + value.len()).sum();
        self.lines.span(i).len() + pairs
    }
}

/// A block of the stream of `like` with the given records.
fn gathered(like: &Block, columns: &[Columns<'_>], records: &[Place]) -> Block {
    let mut lines = Lines::default();
    let mut levels = Vec::with_capacity(records.len());
    let mut pairs = Builder::default();
    for (_, block, i) in records {
        let (from, i) = (&columns[*block as usize], *i as usize);
        lines.push(from.lines.get(i));
        levels.push(from.levels[i]);
        for (origin, name, value) in from.pairs.get(i) {
            pairs.add(origin, name, value);
        }
        pairs.end_record();
    }
    let timestamps = records.iter().map(|(ns, ..)| *ns).collect();
    let stream = (like.stream(), Arc::clone(like.labels()));
    Block::in_memory(stream, timestamps, levels, lines, pairs.finish())
}
