//! The head: committed records that are not yet in parts, in memory.
//!
//! A commit never changes once it is published; a head is a list of commits, so a snapshot is a clone of the
//! list. Records of one commit carry consecutive order keys from `first_seq`.

mod terms;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use memchr::memmem::Finder;

use crate::block::Block;
use crate::hash::PointerHasher;
use crate::prune::Plan;
use crate::record::{Labels, Record, StreamId};
use crate::terms::Collector;
use crate::writer::budget::Share;
use crate::{Batch, Level, Prune};
use terms::LazyTerms;

/// Records of one stream that a query gets as one block, from which on another is begun.
const BLOCK_RECORDS: usize = 8192;
/// Line bytes of one stream that a query gets as one block, from which on another is begun.
const BLOCK_BYTES: u64 = 1 << 20;

/// Memory that a record takes besides its line and pairs.
const RECORD_BYTES: usize = size_of::<Record>();
/// Memory that a pair takes besides its texts, which records often share; counted in full, to be on the safe
/// side of the limit.
const PAIR_BYTES: usize = size_of::<crate::Pair>();

/// Records of one commit.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Number of the batch in the catalog.
    pub(crate) id: u64,
    pub(crate) first_seq: u64,
    /// In the order of arrival.
    pub(crate) records: Arc<Vec<Record>>,
    /// Indexes into `records`, stream by stream, in the order of arrival.
    pub(crate) order: Vec<u32>,
    pub(crate) groups: Vec<Group>,
    line_bytes: u64,
    /// Terms of all records; those of a large commit are by group.
    terms: LazyTerms,
    /// Memory of the records ([`memory_of`]).
    pub(crate) memory: usize,
    /// What the appends took from the writer's budget, to be given back when the commit leaves the head.
    pub(crate) share: Share,
    /// When it was made, or read after a restart.
    pub(crate) since: Instant,
}

/// The records of one stream in a commit.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) stream: StreamId,
    /// Range in [`Commit::order`].
    start: u32,
    end: u32,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) line_bytes: u64,
    pub(crate) levels: [u32; Level::COUNT],
    terms: LazyTerms,
}

impl Commit {
    /// Groups `records`; `streams` has the stream of each.
    pub(crate) fn new(id: u64, first_seq: u64, records: Vec<Record>, streams: &[StreamId]) -> Self {
        let mut slots: HashMap<u64, u32, BuildHasherDefault<PointerHasher>> = HashMap::default();
        let mut groups: Vec<Group> = Vec::new();
        let mut slot_of = Vec::with_capacity(records.len());
        for (record, stream) in records.iter().zip(streams) {
            let slot = *slots.entry(stream.0).or_insert_with(|| {
                groups.push(Group::empty(*stream));
                groups.len() as u32 - 1
            });
            groups[slot as usize].count(record);
            slot_of.push(slot);
        }
        let order = arrange(&mut groups, &slot_of);
        let memory = records.iter().map(memory_of).sum();
        let line_bytes = groups.iter().map(|group| group.line_bytes).sum();
        Self {
            id,
            first_seq,
            records: Arc::new(records),
            order,
            groups,
            line_bytes,
            terms: LazyTerms::default(),
            memory,
            share: Share::default(),
            since: Instant::now(),
        }
    }

    /// The records of a group, in the order of arrival.
    pub(crate) fn of_group(&self, group: &Group) -> impl Iterator<Item = &Record> {
        self.order[group.start as usize..group.end as usize].iter().map(|i| &self.records[*i as usize])
    }

    /// Order key after that of the last record.
    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + self.records.len() as u64
    }

    /// Whether some record of a group may fulfil `prune`, for which `plan` was made: first by the terms, then by looking
    /// at the records themselves.
    fn may_hold(&self, group: &Group, prune: &Prune, plan: &Plan, collector: &mut Collector) -> bool {
        let (whole, part) = (self.line_bytes, group.line_bytes);
        let by_terms = if whole < terms::LARGE_BYTES {
            self.terms.may_hold(plan, self.records.iter(), whole, part, collector)
        } else {
            group.terms.may_hold(plan, self.of_group(group), part, part, collector)
        };
        by_terms && holds(&|| self.of_group(group), prune)
    }

    /// Line bytes of all records.
    pub(crate) const fn line_bytes(&self) -> u64 {
        self.line_bytes
    }
}

impl Group {
    fn empty(stream: StreamId) -> Self {
        Self {
            stream,
            start: 0,
            end: 0,
            min_ns: i64::MAX,
            max_ns: i64::MIN,
            line_bytes: 0,
            levels: [0; Level::COUNT],
            terms: LazyTerms::default(),
        }
    }

    fn count(&mut self, record: &Record) {
        self.end += 1;
        self.min_ns = self.min_ns.min(record.timestamp_ns);
        self.max_ns = self.max_ns.max(record.timestamp_ns);
        self.line_bytes += record.line.len() as u64;
        self.levels[record.level as usize] += 1;
    }

    pub(crate) const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Gives each group, so far with its count in `end`, its range; returns the records' indexes in that order.
fn arrange(groups: &mut [Group], slot_of: &[u32]) -> Vec<u32> {
    let mut at = 0;
    for group in &mut *groups {
        group.start = at;
        at += group.end;
        group.end = group.start;
    }
    let mut order = vec![0; slot_of.len()];
    for (i, slot) in slot_of.iter().enumerate() {
        let group = &mut groups[*slot as usize];
        order[group.end as usize] = i as u32;
        group.end += 1;
    }
    order
}

/// Memory a record takes in the head, as `store.head_bytes` counts it.
pub(crate) fn memory_of(record: &Record) -> usize {
    let pairs: usize = record.pairs.iter().map(|p| PAIR_BYTES + p.name.len() + p.value.len()).sum();
    RECORD_BYTES + record.line.len() + pairs
}

/// Memory a batch takes in the head.
pub(crate) fn memory_of_batch(batch: &Batch) -> usize {
    batch.records.iter().map(memory_of).sum()
}

/// Some records of one stream in the head, to be read as a block.
#[derive(Debug)]
pub(crate) struct HeadBlock {
    pub(crate) stream: StreamId,
    pub(crate) labels: Arc<Labels>,
    /// Commits, oldest first, and the stream's group in each.
    pieces: Vec<(Arc<Commit>, usize)>,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) records: usize,
    pub(crate) line_bytes: u64,
    pub(crate) levels: [u32; Level::COUNT],
    block: OnceLock<Arc<Block>>,
}

impl HeadBlock {
    fn new(stream: StreamId, labels: Arc<Labels>) -> Self {
        Self {
            stream,
            labels,
            pieces: Vec::new(),
            min_ns: i64::MAX,
            max_ns: i64::MIN,
            records: 0,
            line_bytes: 0,
            levels: [0; Level::COUNT],
            block: OnceLock::new(),
        }
    }

    fn add(&mut self, commit: &Arc<Commit>, index: usize) {
        let group = &commit.groups[index];
        self.min_ns = self.min_ns.min(group.min_ns);
        self.max_ns = self.max_ns.max(group.max_ns);
        self.records += group.len();
        self.line_bytes += group.line_bytes;
        for (sum, count) in self.levels.iter_mut().zip(group.levels) {
            *sum += count;
        }
        self.pieces.push((Arc::clone(commit), index));
    }

    const fn is_full(&self) -> bool {
        self.records >= BLOCK_RECORDS || self.line_bytes >= BLOCK_BYTES
    }

    /// Order key of the first record.
    pub(crate) fn min_seq(&self) -> u64 {
        self.pieces.first().map_or(0, |(commit, _)| commit.first_seq)
    }

    /// The records, in the order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.pieces.iter().flat_map(|(commit, index)| commit.of_group(&commit.groups[*index]))
    }

    /// Whether some record may fulfil `prune`, for which `plan` was made. `collector` is scratch.
    pub(crate) fn may_hold(&self, prune: &Prune, plan: &Plan, collector: &mut Collector) -> bool {
        *prune == Prune::Any
            || self
                .pieces
                .iter()
                .any(|(commit, index)| commit.may_hold(&commit.groups[*index], prune, plan, collector))
    }

    /// The records as a block, made when first asked for.
    pub(crate) fn block(&self) -> Arc<Block> {
        let block = self.block.get_or_init(|| {
            let mut records: Vec<&Record> = self.iter().collect();
            records.sort_by_key(|record| record.timestamp_ns);
            Arc::new(Block::from_records(self.stream, Arc::clone(&self.labels), records.into_iter()))
        });
        Arc::clone(block)
    }
}

/// Whether some of `records` may fulfil `prune`, by their texts.
fn holds<'a, I: Iterator<Item = &'a Record>>(records: &impl Fn() -> I, prune: &Prune) -> bool {
    match prune {
        Prune::Any => true,
        // Letters of other scripts fold to ASCII ones and back; the query engine knows how.
        Prune::Text(text) if text.ignore_case => true,
        Prune::Text(text) => {
            let finder = Finder::new(&text.bytes);
            let found = |bytes: &[u8]| finder.find(bytes).is_some();
            records().any(|r| found(&r.line) || r.pairs.iter().any(|p| found(p.value.as_bytes())))
        }
        Prune::Pair { name, value } => records()
            .any(|record| record.pairs.iter().any(|p| p.name.as_ref() == name && p.value.as_ref() == value)),
        Prune::And(all) => all.iter().all(|prune| holds(records, prune)),
        Prune::Or(some) => some.iter().any(|prune| holds(records, prune)),
    }
}

/// The records of `commits` whose streams are `wanted`, as blocks. Blocks of a stream are in the order of
/// arrival and own disjoint ranges of order keys.
pub(crate) fn blocks_of<'a>(
    commits: impl Iterator<Item = &'a Arc<Commit>>,
    wanted: impl Fn(StreamId) -> bool,
) -> Vec<HeadBlock> {
    let mut done = Vec::new();
    let mut open: HashMap<u64, HeadBlock, BuildHasherDefault<PointerHasher>> = HashMap::default();
    let mut end_seq = None;
    for commit in commits {
        if end_seq.is_some_and(|end| end != commit.first_seq) {
            // The keys between belong to a part, so no block may reach across.
            done.extend(open.drain().map(|(_, block)| block));
        }
        end_seq = Some(commit.end_seq());
        for (index, group) in commit.groups.iter().enumerate() {
            if !wanted(group.stream) {
                continue;
            }
            let block = open.entry(group.stream.0).or_insert_with(|| {
                let labels = commit.of_group(group).next().map(|record| Arc::clone(&record.labels));
                HeadBlock::new(group.stream, labels.unwrap_or_default())
            });
            block.add(commit, index);
            if block.is_full()
                && let Some(full) = open.remove(&group.stream.0)
            {
                done.push(full);
            }
        }
    }
    done.extend(open.into_values());
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(timestamp_ns: i64, line: &str) -> Record {
        Record {
            timestamp_ns,
            labels: Arc::default(),
            line: line.as_bytes().to_vec().into(),
            level: Level::Info,
            pairs: Vec::new(),
        }
    }

    #[test]
    fn head_blocks_are_in_time_order_and_equal_times_in_order_of_arrival() {
        let first = vec![record(5, "a"), record(9, "other"), record(1, "b")];
        let first = Commit::new(1, 0, first, &[StreamId(1), StreamId(2), StreamId(1)]);
        let second = Commit::new(2, 3, vec![record(5, "c"), record(0, "d")], &[StreamId(1); 2]);
        let commits = [Arc::new(first), Arc::new(second)];
        let blocks = blocks_of(commits.iter(), |stream| stream == StreamId(1));
        assert_eq!(blocks.len(), 1);
        let (head, block) = (&blocks[0], blocks[0].block());
        assert_eq!((head.min_ns, head.max_ns, head.records, head.min_seq()), (0, 5, 4, 0));
        assert_eq!(head.levels[Level::Info as usize], 4);
        let lines: Vec<&[u8]> = (0..4).map(|i| block.lines().unwrap().get(i)).collect();
        assert_eq!(lines, [b"d", b"b", b"a", b"c"]);
    }
}
