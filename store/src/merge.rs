//! Merges: parts that lie next to each other in the order of arrival become one.
//!
//! The invariant: order keys. A merge takes parts whose keys follow each other, never with keys between them that are
//! still in the head (a load goes past it), and packs together only blocks of a stream that follow each other, so records
//! of equal time keep their order of arrival. Full blocks are copied as they are.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::block::{self, Block, BlockError, BlockMeta};
use crate::catalog::{Installed, PartRow, WindowRow, part_file};
use crate::error::StoreError;
use crate::flush::{is_small, row_of};
use crate::keeper::Keeper;
use crate::orphans;
use crate::part::{AddError, Part, PartId, PartWriter, WrittenPart};
use crate::parts::{PartEntry, window_dir};
use crate::record::{StreamId, TimeRange};
use crate::state::WindowParts;
use crate::writer::lifecycle::Step;
use crate::writer::threads::Common;

/// Parts smaller than the bound are merged when as many of them follow each other. Small ones cost queries
/// more than they cost to merge; large ones, such as those of a full head (of service logs 4 MB), only to keep their number
/// down.
const TIERS: [(u64, usize); 3] = [(1 << 20, 8), (2 << 20, 8), (128 << 20, 32)];
/// Small blocks in parts that follow each other at which these are merged, however large.
const MAX_SMALL_BLOCKS: u64 = 20_000;
/// Fewest parts merged on account of their small blocks.
const MIN_PARTS_FOR_SMALL_BLOCKS: usize = 4;
/// Parts in one window at which the smallest neighbours are merged, however large.
const MAX_PARTS: usize = 128;
/// Most bytes of the parts of one merge.
const MAX_MERGE_BYTES: u64 = 1 << 30;
/// Records of one stream that are packed together at once, in full blocks: bounds a merge's memory.
const PACKED_BLOCKS: usize = 4;

/// Remembers what must not be tried again.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    /// Parts with damage: merging them would throw away what may still be saved by hand.
    damaged: HashSet<u64>,
}

/// A block to be merged.
struct Piece<'a> {
    part: &'a Arc<Part>,
    entry: &'a Arc<PartEntry>,
    number: u32,
    meta: &'a BlockMeta,
}

/// Why a merge came to nothing.
enum Failure {
    /// This part cannot be read.
    Source(u64, BlockError),
    Store(StoreError),
}

/// Does one merge if there is one to do; returns whether it did.
pub(crate) fn step(keeper: &mut Keeper) -> Result<bool, StoreError> {
    let (windows, in_head) = {
        let state = keeper.common.shared.lock();
        let in_head: Vec<u64> = state.head.iter().map(|commit| commit.first_seq).collect();
        (Arc::clone(&state.windows), in_head)
    };
    for entry in windows.values() {
        let Some(range) = keeper.merges.pick(&entry.parts, &in_head) else { continue };
        let started = Instant::now();
        let result = merge(&keeper.common, entry, &entry.parts[range.clone()]);
        keeper.common.metrics.merge_seconds.observe(started.elapsed().as_secs_f64());
        match result {
            Ok(true) => {
                for part in &entry.parts[range] {
                    keeper.trash.add_part(Arc::clone(part));
                }
            }
            Ok(false) => {}
            Err(Failure::Source(part, error)) => {
                keeper.merges.damaged.insert(part);
                keeper.common.metrics.damaged.inc();
                tracing::error!(%error, "a part cannot be merged, it stays as it is");
            }
            Err(Failure::Store(error)) => {
                keeper.common.metrics.merge_failures.inc();
                return Err(error);
            }
        }
        return Ok(true);
    }
    Ok(false)
}

impl Planner {
    /// Which of the parts of a window should become one. `in_head` has the first order key of each commit of the head,
    /// ascending.
    fn pick(&self, parts: &[Arc<PartEntry>], in_head: &[u64]) -> Option<Range<usize>> {
        let rows: Vec<&PartRow> = parts.iter().map(|part| &part.row).collect();
        for (max_bytes, min_parts) in TIERS {
            let fits = |row: &PartRow| row.bytes < max_bytes && !self.damaged.contains(&row.id);
            if let Some(run) = runs(&rows, in_head, fits).find(|run| run.len() >= min_parts) {
                return Some(run);
            }
        }
        let healthy = |row: &PartRow| row.bytes < MAX_MERGE_BYTES / 2 && !self.damaged.contains(&row.id);
        let many_small = |run: &Range<usize>| {
            let small: u64 = rows[run.clone()].iter().map(|row| row.small_blocks).sum();
            run.len() >= MIN_PARTS_FOR_SMALL_BLOCKS && small >= MAX_SMALL_BLOCKS
        };
        if let Some(run) = runs(&rows, in_head, healthy).find(many_small) {
            return Some(run);
        }
        if rows.len() < MAX_PARTS {
            return None;
        }
        let pairs = (1..rows.len()).map(|i| i - 1..i + 1);
        pairs
            .filter(|pair| rows[pair.clone()].iter().all(|row| !self.damaged.contains(&row.id)))
            .filter(|pair| follow(rows[pair.start], rows[pair.start + 1], in_head))
            .min_by_key(|pair| rows[pair.clone()].iter().map(|row| row.bytes).sum::<u64>())
    }
}

/// Whether no commit of the head lies between two neighbours. Its part will.
fn follow(left: &PartRow, right: &PartRow, in_head: &[u64]) -> bool {
    let next = in_head.partition_point(|seq| *seq < left.end_seq);
    in_head.get(next).is_none_or(|seq| *seq >= right.min_seq)
}

/// The longest ranges of neighbours that all fit and follow each other, none above [`MAX_MERGE_BYTES`].
fn runs<'a>(
    rows: &'a [&'a PartRow],
    in_head: &'a [u64],
    fits: impl Fn(&PartRow) -> bool + 'a,
) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < rows.len() && !fits(rows[at]) {
            at += 1;
        }
        let start = at;
        let mut bytes = 0;
        let joins = |at: usize, bytes: u64| {
            at == start
                || bytes + rows[at].bytes <= MAX_MERGE_BYTES && follow(rows[at - 1], rows[at], in_head)
        };
        while at < rows.len() && fits(rows[at]) && joins(at, bytes) {
            bytes += rows[at].bytes;
            at += 1;
        }
        (start < at).then_some(start..at)
    })
}

/// Merges `entries`, neighbours in a window. Returns false when they were deleted in the meantime.
fn merge(common: &Arc<Common>, window: &WindowParts, entries: &[Arc<PartEntry>]) -> Result<bool, Failure> {
    let mut parts = Vec::with_capacity(entries.len());
    for entry in entries {
        let part = Part::open(&entry.path).map_err(|error| Failure::Source(entry.row.id, error))?;
        if let Some(what) = part.salvaged() {
            let error = BlockError::Damaged {
                file: part.path().display().to_string(),
                block: 0,
                what: what.to_owned(),
            };
            return Err(Failure::Source(entry.row.id, error));
        }
        parts.push(Arc::new(part));
    }
    let window_row = &window.window;
    let id = common.next_part();
    let path = window_dir(&common.dir, window_row).join(part_file(id));
    let written = write(common, window_row, id, &path, entries, &parts)?;
    let seqs = entries.iter().map(|e| e.row.min_seq).min().unwrap_or(0)
        ..entries.iter().map(|e| e.row.end_seq).max().unwrap_or(0);
    let row = row_of(id, window_row.id, &written, seqs);
    let records: u64 = entries.iter().map(|entry| entry.row.records).sum();
    if row.records != records {
        orphans::remove(&path);
        let what = format!(
            "merging parts of `{}` gave {} records instead of {records}",
            path.display(),
            row.records
        );
        return Err(Failure::Store(StoreError::Damaged { what }));
    }
    let swapped =
        common.tenure.reached(Step::PartsWritten).and_then(|()| swap(common, window_row, row, entries));
    match &swapped {
        Ok(true) => common.fresh_words.add(window_row, id, written.words),
        Ok(false) => orphans::remove(&path),
        Err(_) => {}
    }
    swapped.map_err(Failure::Store)
}

fn write(
    common: &Common,
    window: &WindowRow,
    id: u64,
    path: &std::path::Path,
    entries: &[Arc<PartEntry>],
    parts: &[Arc<Part>],
) -> Result<WrittenPart, Failure> {
    let range = TimeRange { start_ns: window.start_ns, end_ns: window.end_ns };
    let mut writer = PartWriter::create(path, PartId(id), range).map_err(Failure::Store)?;
    for pieces in by_stream(entries, parts).into_values() {
        common.tenure.check().map_err(Failure::Store)?;
        for run in pack_runs(&pieces) {
            match &pieces[run] {
                [whole] => copy(&mut writer, whole)?,
                small => pack(&mut writer, small)?,
            }
        }
    }
    writer.finish().map_err(Failure::Store)
}

/// The blocks of each stream, by order key.
fn by_stream<'a>(
    entries: &'a [Arc<PartEntry>],
    parts: &'a [Arc<Part>],
) -> BTreeMap<StreamId, Vec<Piece<'a>>> {
    let mut streams: BTreeMap<StreamId, Vec<Piece<'_>>> = BTreeMap::new();
    for (entry, part) in entries.iter().zip(parts) {
        for (number, meta) in part.blocks().iter().enumerate() {
            let piece = Piece { part, entry, number: number as u32, meta };
            streams.entry(meta.stream).or_default().push(piece);
        }
    }
    for pieces in streams.values_mut() {
        pieces.sort_by_key(|piece| piece.meta.min_seq);
    }
    streams
}

/// Splits the blocks of a stream into ranges: one block to be copied, or several small ones to be packed.
fn pack_runs(pieces: &[Piece<'_>]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    for (i, piece) in pieces.iter().enumerate() {
        let small = is_small(piece.meta);
        let follows = i > 0 && is_small(pieces[i - 1].meta);
        let has_room =
            records < PACKED_BLOCKS * block::BLOCK_RECORDS && bytes < PACKED_BLOCKS * block::BLOCK_BYTES;
        match runs.last_mut() {
            Some(run) if small && follows && has_room => run.end = i + 1,
            _ => {
                runs.push(i..i + 1);
                (records, bytes) = (0, 0);
            }
        }
        records += piece.meta.records as usize;
        bytes += usize::try_from(piece.meta.line_bytes).unwrap_or(usize::MAX);
    }
    runs
}

fn copy(writer: &mut PartWriter, piece: &Piece<'_>) -> Result<(), Failure> {
    let raw = piece.part.read_raw(piece.number).map_err(|error| piece.failed(error))?;
    writer.add_raw(raw, piece.part).map_err(|error| match error {
        AddError::Source(error) => piece.failed(error),
        AddError::Store(error) => Failure::Store(error),
    })
}

fn pack(writer: &mut PartWriter, pieces: &[Piece<'_>]) -> Result<(), Failure> {
    let mut blocks = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let block = piece.part.read(piece.number).map_err(|error| piece.failed(error))?;
        // Damage is found here, where it still has the name of its part.
        let columns =
            [block.timestamps().err(), block.levels().err(), block.lines().err(), block.pairs().err()];
        if let Some(error) = columns.into_iter().flatten().next() {
            return Err(piece.failed(error));
        }
        blocks.push(block);
    }
    let Some(first) = pieces.first() else { return Ok(()) };
    let mut min_seq = first.meta.min_seq;
    for block in Block::merged(&blocks).map_err(|error| first.failed(error))? {
        writer.add(&block, min_seq).map_err(|error| Failure::Store(error.into()))?;
        min_seq += block.len() as u64;
    }
    Ok(())
}

impl Piece<'_> {
    fn failed(&self, error: BlockError) -> Failure {
        Failure::Source(self.entry.row.id, error)
    }
}

/// Puts the part `row` in the place of `entries`, unless they are no longer neighbours.
fn swap(
    common: &Arc<Common>,
    window: &WindowRow,
    row: PartRow,
    entries: &[Arc<PartEntry>],
) -> Result<bool, StoreError> {
    let replaced: Vec<u64> = entries.iter().map(|entry| entry.row.id).collect();
    let window = window.clone();
    let on_committer = Arc::clone(common);
    common.committer(move |committer| {
        let common = on_committer;
        let present = |state: &crate::state::State| {
            let parts = &state.windows.get(&window.start_ns)?.parts;
            let at = parts.iter().position(|part| part.row.id == replaced[0])?;
            let there = parts[at..].iter().take(replaced.len()).map(|part| part.row.id);
            there.eq(replaced.iter().copied()).then_some(at)
        };
        let Some(at) = present(&common.shared.lock()) else { return Ok(false) };
        let installed =
            Installed { parts: vec![row.clone()], replaced: replaced.clone(), ..Installed::default() };
        committer.catalog.install(&installed)?;
        common.tenure.reached(Step::PartsInstalled)?;
        let mut state = common.shared.lock();
        let merged = Arc::new(PartEntry::new(&common.dir, &window, row));
        if let Some(entry) = Arc::make_mut(&mut state.windows).get_mut(&window.start_ns) {
            entry.parts.splice(at..at + replaced.len(), [merged]);
        }
        common.metrics.observe_state(&state);
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u64, bytes: u64, small_blocks: u64) -> Arc<PartEntry> {
        let window = WindowRow { id: 1, start_ns: 0, end_ns: 1 };
        let row = PartRow {
            id,
            window: 1,
            bytes,
            records: 1,
            line_bytes: 1,
            blocks: 1,
            small_blocks,
            min_ns: 0,
            max_ns: 0,
            min_seq: id,
            end_seq: id + 1,
            levels: [0; crate::Level::COUNT],
        };
        Arc::new(PartEntry::new(std::path::Path::new("/"), &window, row))
    }

    fn parts(sizes: &[u64]) -> Vec<Arc<PartEntry>> {
        sizes.iter().enumerate().map(|(i, bytes)| part(i as u64, *bytes, 0)).collect()
    }

    #[test]
    fn small_neighbours_are_merged_and_large_parts_left_alone() {
        let planner = Planner::default();
        assert_eq!(planner.pick(&parts(&[1000; 7]), &[]), None);
        assert_eq!(planner.pick(&parts(&[1000; 8]), &[]), Some(0..8));
        assert_eq!(planner.pick(&parts(&[500 << 20, 1, 1, 1, 1, 500 << 20, 1, 1, 1, 1]), &[]), None);
        let mut sizes = vec![500 << 20];
        sizes.extend([3 << 19; 8]);
        assert_eq!(planner.pick(&parts(&sizes), &[]), Some(1..9));
        assert_eq!(planner.pick(&parts(&[4 << 20; 31]), &[]), None, "a full head makes parts like these");
        assert_eq!(planner.pick(&parts(&[20 << 20; 31]), &[]), None);
    }

    #[test]
    fn parts_with_records_of_the_head_between_them_wait_for_these() {
        let planner = Planner::default();
        // Keys of part `i` are `2 i..2 i + 1`: there is room for a commit behind each.
        let spaced: Vec<_> = (0..12).map(|i| part(2 * i, 1000, 0)).collect();
        assert_eq!(planner.pick(&spaced, &[]), Some(0..12));
        assert_eq!(planner.pick(&spaced, &[3, 100]), Some(2..12));
        assert_eq!(planner.pick(&spaced, &[9]), None);
        assert_eq!(planner.pick(&spaced, &[23]), Some(0..12));
    }

    #[test]
    fn damaged_parts_are_never_merged() {
        let planner = Planner { damaged: HashSet::from([4]) };
        assert_eq!(planner.pick(&parts(&[1000; 11]), &[]), None);
        assert_eq!(planner.pick(&parts(&[1000; 13]), &[]), Some(5..13));
    }

    #[test]
    fn many_small_blocks_and_many_parts_are_merged_whatever_their_size() {
        let planner = Planner::default();
        let small: Vec<_> = (0..4).map(|id| part(id, 200 << 20, MAX_SMALL_BLOCKS / 4)).collect();
        assert_eq!(planner.pick(&small, &[]), Some(0..4));
        let mut sizes = vec![600 << 20; MAX_PARTS];
        sizes[50] = 400 << 20;
        sizes[51] = 400 << 20;
        assert_eq!(planner.pick(&parts(&sizes), &[]), Some(50..52));
    }
}
