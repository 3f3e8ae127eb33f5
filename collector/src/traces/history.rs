//! Stored records with ids, by time, some seconds of them at once, and the traces they make.

use std::sync::Arc;

use correlation::{Closed, Config, OpenTraces};
use store::record::attribute;
use store::{Block, BlockQuery, BlockRef, Pair, Prune, Record, Snapshot, StoreError, TimeRange};

/// Log time read at once.
const SLICE_NS: i64 = 10_000_000_000;
/// Records read at once; of a busier stretch of time less is read. Lines of one and the same time stay together.
const MAX_RECORDS: usize = if cfg!(test) { 4 } else { 100_000 };

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    /// Blocks not yet read to their end.
    blocks: Vec<BlockRef>,
    next_ns: i64,
    end_ns: i64,
}

impl History {
    /// The records of the snapshot in this range.
    pub(crate) fn new(snapshot: &Snapshot, range: TimeRange) -> Result<Self, StoreError> {
        let query = BlockQuery { range, streams: None, levels: None, prune: &Prune::Any };
        let found = snapshot.candidates(&query)?;
        for what in found.damaged {
            tracing::warn!(what, "traces lack the lines of something damaged");
        }
        Ok(Self { blocks: found.blocks, next_ns: range.start_ns, end_ns: range.end_ns })
    }

    /// The records of the next stretch of time by time, and its end; `None` after the last. Stretches without
    /// any block are passed over.
    pub(crate) fn next_slice(&mut self) -> Option<(Vec<Record>, i64)> {
        let earliest_ns = self.blocks.iter().map(BlockRef::min_ns).min()?;
        let start_ns = self.next_ns.max(earliest_ns);
        let mut range = TimeRange { start_ns, end_ns: start_ns.saturating_add(SLICE_NS).min(self.end_ns) };
        let mut records = Vec::new();
        for candidate in &self.blocks {
            if !range.overlaps(candidate.min_ns(), candidate.max_ns()) {
                continue;
            }
            let read = candidate.open().and_then(|block| take(&block, range, &mut records));
            if let Err(error) = read {
                tracing::warn!(%error, "traces lack the lines of a block");
            }
            if records.len() > 2 * MAX_RECORDS {
                range.end_ns = cut(&mut records, range.end_ns);
            }
        }
        range.end_ns = cut(&mut records, range.end_ns);
        self.next_ns = range.end_ns;
        self.blocks.retain(|block| block.max_ns() >= range.end_ns && block.min_ns() < self.end_ns);
        if range.end_ns >= self.end_ns {
            self.blocks.clear();
        }
        Some((records, range.end_ns))
    }
}

/// Sorts by time and keeps the first [`MAX_RECORDS`], or all of one time where that is more. Returns the end of
/// what is kept.
fn cut(records: &mut Vec<Record>, end_ns: i64) -> i64 {
    records.sort_by_key(|record| record.timestamp_ns);
    let Some(limit_ns) = records.get(MAX_RECORDS).map(|record| record.timestamp_ns) else { return end_ns };
    let is_one_time = records.first().is_some_and(|first| first.timestamp_ns == limit_ns);
    let end_ns = if is_one_time { limit_ns.saturating_add(1) } else { limit_ns };
    records.truncate(records.partition_point(|record| record.timestamp_ns < end_ns));
    end_ns
}

/// The traces of the snapshot's records in `range`, handed to `store` a few at a time, each with the time up to
/// which all records were read. Of those that reach over its edges all that is in reach counts, so that they
/// are the same as they were when they were made.
///
/// # Errors
/// When the snapshot cannot be read, or `store` fails.
pub(crate) fn traces_of<E: From<StoreError>>(
    snapshot: &Snapshot,
    config: &Config,
    range: TimeRange,
    mut store: impl FnMut(Closed, i64) -> Result<(), E>,
) -> Result<(), E> {
    let reach_ns = i64::try_from(config.max_age.0.as_nanos()).unwrap_or(i64::MAX);
    let wide = TimeRange {
        start_ns: range.start_ns.saturating_sub(reach_ns),
        end_ns: range.end_ns.saturating_add(reach_ns),
    };
    let mut history = History::new(snapshot, wide)?;
    let mut open = OpenTraces::new(config.clone());
    let wanted = |mut closed: Closed| {
        closed.traces.retain(|trace| {
            trace.spans.iter().any(|span| span.end_ns >= range.start_ns && span.start_ns < range.end_ns)
        });
        closed
    };
    while let Some((records, up_to_ns)) = history.next_slice() {
        for record in &records {
            let let_go = open.observe(record, record.timestamp_ns);
            if !let_go.is_empty() {
                store(wanted(let_go), up_to_ns)?;
            }
        }
        store(wanted(open.close_idle(up_to_ns)), up_to_ns)?;
    }
    store(wanted(open.close_all()), range.end_ns)
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
