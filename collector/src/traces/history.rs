//! Stored records with ids, by time, some seconds of them at once.

use std::sync::Arc;

use store::record::attribute;
use store::{Block, BlockQuery, BlockRef, Pair, Prune, Record, Snapshot, StoreError, TimeRange};

/// Log time read at once; bounds the memory it takes.
const SLICE_NS: i64 = 10_000_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct History {
    /// Blocks not yet read to their end.
    blocks: Vec<BlockRef>,
    next_ns: i64,
}

impl History {
    /// From `from_ns` to the latest record of the snapshot.
    pub(super) fn new(snapshot: &Snapshot, from_ns: i64) -> Result<Self, StoreError> {
        let range = TimeRange { start_ns: from_ns, end_ns: i64::MAX };
        let query = BlockQuery { range, streams: None, levels: None, prune: &Prune::Any };
        let found = snapshot.candidates(&query)?;
        for what in found.damaged {
            tracing::warn!(what, "traces lack the lines of something damaged");
        }
        Ok(Self { blocks: found.blocks, next_ns: from_ns })
    }

    /// The records of the next stretch of time by time, and its end; `None` after the last. Stretches without
    /// any block are passed over.
    pub(super) fn next_slice(&mut self) -> Option<(Vec<Record>, i64)> {
        let earliest_ns = self.blocks.iter().map(BlockRef::min_ns).min()?;
        let start_ns = self.next_ns.max(earliest_ns);
        let range = TimeRange { start_ns, end_ns: start_ns.saturating_add(SLICE_NS) };
        let mut records = Vec::new();
        for candidate in self.blocks.iter().filter(|block| range.overlaps(block.min_ns(), block.max_ns())) {
            let read = candidate.open().and_then(|block| take(&block, range, &mut records));
            if let Err(error) = read {
                tracing::warn!(%error, "traces lack the lines of a block");
            }
        }
        records.sort_by_key(|record| record.timestamp_ns);
        self.next_ns = range.end_ns;
        self.blocks.retain(|block| block.max_ns() >= range.end_ns);
        Some((records, range.end_ns))
    }
}

/// The records of a block that lie in the range and have an id.
fn take(block: &Block, range: TimeRange, records: &mut Vec<Record>) -> Result<(), store::block::BlockError> {
    let trace_ids = block.pairs_named(attribute::TRACE_ID)?;
    let correlation_ids = block.pairs_named(attribute::CORRELATION_ID)?;
    if trace_ids.is_empty() && correlation_ids.is_empty() {
        return Ok(());
    }
    for (i, timestamp_ns) in block.timestamps()?.iter().copied().enumerate() {
        let has_id = || trace_ids.value(i).or_else(|| correlation_ids.value(i)).is_some();
        if !range.contains(timestamp_ns) || !has_id() {
            continue;
        }
        let pairs = block.pairs()?.get(i).map(|(origin, name, value)| Pair {
            origin,
            name: name.into(),
            value: value.into(),
        });
        records.push(Record {
            timestamp_ns,
            labels: Arc::clone(block.labels()),
            line: block.lines()?.get(i).to_vec().into(),
            level: block.levels()?[i],
            pairs: pairs.collect(),
        });
    }
    Ok(())
}
