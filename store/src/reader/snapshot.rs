//! What was committed at one moment, and which of its blocks may answer a query.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Inner, StreamInfo};
use crate::block::{Block, BlockError, BlockMeta};
use crate::head::{self, Commit, HeadBlock};
use crate::parts::{PartEntry, index_dir};
use crate::prune::{Plan, Verdict, WordHits};
use crate::record::{Labels, StreamId, TimeRange};
use crate::state::Windows;
use crate::terms::Collector;
use crate::writer::StoreError;
use crate::{Level, Prune};

/// Which blocks a query wants.
#[derive(Clone, Debug)]
pub struct BlockQuery<'a> {
    /// Time range; a block qualifies when some of its records may lie inside.
    pub range: TimeRange,
    /// Streams, `None` for all.
    pub streams: Option<&'a HashSet<StreamId>>,
    /// Levels of which a block must hold at least one, `None` for any.
    pub levels: Option<&'a [Level]>,
    /// What every matching record fulfils.
    pub prune: &'a Prune,
}

/// Blocks that may hold an answer, and how many were ruled out by what.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// The blocks, by earliest time.
    pub blocks: Vec<BlockRef>,
    /// Windows that overlap the time range.
    pub windows: usize,
    /// Windows that do not.
    pub windows_outside: usize,
    /// Blocks of those windows, and of records not yet in one, that are of other streams or times.
    pub outside: usize,
    /// Blocks whose streams and times qualified.
    pub considered: usize,
    /// Of these, dropped by level counts.
    pub dropped_by_level: usize,
    /// Of these, dropped by the word index, the templates of their messages or, in the head, their terms.
    pub dropped_by_words: usize,
    /// Of these, dropped by the id filters.
    pub dropped_by_ids: usize,
    /// What could not be read, in words; their records are missing from the answer.
    pub damaged: Vec<String>,
}

/// A block that has not been read yet.
#[derive(Clone, Debug)]
pub struct BlockRef {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Head(Arc<HeadBlock>),
    Part { part: Arc<PartEntry>, number: u32, meta: BlockMeta, inner: Arc<Inner> },
}

impl BlockRef {
    /// Stream of all its records.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        match &self.place {
            Place::Head(block) => block.stream,
            Place::Part { meta, .. } => meta.stream,
        }
    }

    /// Labels of the stream.
    #[must_use]
    pub fn labels(&self) -> &Arc<Labels> {
        match &self.place {
            Place::Head(block) => &block.labels,
            Place::Part { meta, .. } => &meta.labels,
        }
    }

    /// Time of the earliest record.
    #[must_use]
    pub fn min_ns(&self) -> i64 {
        match &self.place {
            Place::Head(block) => block.min_ns,
            Place::Part { meta, .. } => meta.min_ns,
        }
    }

    /// Time of the latest record.
    #[must_use]
    pub fn max_ns(&self) -> i64 {
        match &self.place {
            Place::Head(block) => block.max_ns,
            Place::Part { meta, .. } => meta.max_ns,
        }
    }

    /// Order key of the first record; record `i` has this plus `i`. Of two records of a stream with equal
    /// times, the one with the lower key was logged first. Keys hold within one snapshot.
    #[must_use]
    pub fn min_seq(&self) -> u64 {
        match &self.place {
            Place::Head(block) => block.min_seq(),
            Place::Part { meta, .. } => meta.min_seq,
        }
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.place {
            Place::Head(block) => block.records,
            Place::Part { meta, .. } => meta.records as usize,
        }
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its lines, without line ends.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        match &self.place {
            Place::Head(block) => block.line_bytes,
            Place::Part { meta, .. } => meta.line_bytes,
        }
    }

    /// Number of records by level code.
    #[must_use]
    pub fn level_counts(&self) -> [u32; Level::COUNT] {
        match &self.place {
            Place::Head(block) => block.levels,
            Place::Part { meta, .. } => meta.level_counts,
        }
    }

    /// Opens the block; columns are decoded when first asked for. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read or the block is damaged.
    pub fn open(&self) -> Result<Arc<Block>, BlockError> {
        match &self.place {
            Place::Head(block) => Ok(block.block()),
            Place::Part { part, number, inner, .. } => {
                Ok(Arc::new(part.part(&inner.open_parts)?.read(*number)?))
            }
        }
    }
}

/// What the blocks of a window are held against.
struct Search<'a> {
    query: &'a BlockQuery<'a>,
    plan: &'a Plan,
    words: &'a WordHits<'a>,
}

/// Everything committed at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) streams: Arc<Vec<StreamInfo>>,
    pub(super) windows: Arc<Windows>,
    pub(super) head: Vec<Arc<Commit>>,
    pub(super) damaged: Arc<Vec<String>>,
    pub(super) last_commit: u64,
    pub(super) inner: Arc<Inner>,
}

impl Snapshot {
    /// Number of the latest commit whose records are in it.
    #[must_use]
    pub const fn last_commit(&self) -> u64 {
        self.last_commit
    }

    /// Every stream, by id.
    #[must_use]
    pub fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    /// The blocks that may hold a match. Blocking: reads index files.
    ///
    /// # Errors
    /// When the catalog cannot be read; what is merely damaged is named in [`Candidates::damaged`].
    pub fn candidates(&self, query: &BlockQuery<'_>) -> Result<Candidates, StoreError> {
        let mut found = Candidates { damaged: self.damaged.as_ref().clone(), ..Candidates::default() };
        let plan = Plan::new(query.prune);
        for entry in self.windows.values() {
            if !query.range.overlaps(entry.window.start_ns, entry.window.end_ns - 1) {
                found.windows_outside += 1;
                continue;
            }
            found.windows += 1;
            let index = if plan.keeps_all() {
                None
            } else {
                self.inner.words.open(&index_dir(&self.inner.dir, &entry.window))
            };
            let words = index.as_ref().and_then(|index| plan.words(index).ok());
            let search = Search { query, plan: &plan, words: &words.unwrap_or_else(WordHits::unknown) };
            for part in &entry.parts {
                self.add_part(&search, part, &mut found);
            }
        }
        self.add_head(query, &plan, &mut found);
        found.blocks.sort_by_key(|block| (block.min_ns(), block.min_seq()));
        Ok(found)
    }

    fn add_part(&self, search: &Search<'_>, entry: &Arc<PartEntry>, found: &mut Candidates) {
        let query = search.query;
        if !query.range.overlaps(entry.row.min_ns, entry.row.max_ns) {
            return;
        }
        let part = match entry.part(&self.inner.open_parts) {
            Ok(part) => part,
            Err(error) => return found.damaged.push(error.to_string()),
        };
        found.damaged.extend(part.salvaged().map(str::to_owned));
        let mut judge = search.plan.judge(&part, search.words, &self.inner.filters);
        for (number, meta) in part.blocks().iter().enumerate() {
            if !query.wants(meta.stream, meta.min_ns, meta.max_ns) {
                found.outside += 1;
                continue;
            }
            found.considered += 1;
            if !query.wants_levels(&meta.level_counts) {
                found.dropped_by_level += 1;
                continue;
            }
            if !search.plan.keeps_all() {
                match judge.verdict(number as u32) {
                    Verdict::Keep => {}
                    Verdict::DroppedByWords => {
                        found.dropped_by_words += 1;
                        continue;
                    }
                    Verdict::DroppedByIds => {
                        found.dropped_by_ids += 1;
                        continue;
                    }
                }
            }
            let (part, inner) = (Arc::clone(entry), Arc::clone(&self.inner));
            let place = Place::Part { part, number: number as u32, meta: meta.clone(), inner };
            found.blocks.push(BlockRef { place });
        }
    }

    fn add_head(&self, query: &BlockQuery<'_>, plan: &Plan, found: &mut Candidates) {
        let mut collector = Collector::default();
        let wanted = |stream: StreamId| query.streams.is_none_or(|streams| streams.contains(&stream));
        for block in head::blocks_of(self.head.iter(), wanted) {
            if !query.wants(block.stream, block.min_ns, block.max_ns) {
                found.outside += 1;
                continue;
            }
            found.considered += 1;
            if !query.wants_levels(&block.levels) {
                found.dropped_by_level += 1;
            } else if !block.may_hold(query.prune, plan, &mut collector) {
                found.dropped_by_words += 1;
            } else {
                found.blocks.push(BlockRef { place: Place::Head(Arc::new(block)) });
            }
        }
    }
}

#[cfg(test)]
impl Snapshot {
    pub(crate) fn windows_for_test(&self) -> impl Iterator<Item = &Arc<PartEntry>> {
        self.windows.values().flat_map(|window| &window.parts)
    }

    pub(crate) fn head_memory_for_test(&self) -> usize {
        self.head.iter().map(|commit| commit.memory).sum()
    }
}

impl BlockQuery<'_> {
    fn wants(&self, stream: StreamId, min_ns: i64, max_ns: i64) -> bool {
        self.range.overlaps(min_ns, max_ns) && self.streams.is_none_or(|streams| streams.contains(&stream))
    }

    fn wants_levels(&self, counts: &[u32; Level::COUNT]) -> bool {
        self.levels.is_none_or(|levels| levels.iter().any(|level| counts[*level as usize] > 0))
    }
}
