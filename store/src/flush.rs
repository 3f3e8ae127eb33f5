//! The flusher: turns the oldest commits of the head into parts, one for each window they touch.
//!
//! The invariant: a flush takes all commits up to some number. Its parts enter the catalog in the transaction
//! that deletes the batches of these commits, then they take the commits' place in memory under one lock.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::Level;
use crate::block::{self, BlockMeta, Filler};
use crate::catalog::{Installed, PartRow, WindowRow};
use crate::config::Config;
use crate::error::StoreError;
use crate::head::Commit;
use crate::orphans;
use crate::part::{PartId, PartWriter, WrittenPart};
use crate::parts::{PartEntry, WINDOWS_DIR, window_dir};
use crate::record::{Record, StreamId, TimeRange};
use crate::state::{State, WindowParts};
use crate::terms::BlockWords;
use crate::writer::committer::Committer;
use crate::writer::lifecycle::{Request, Step, next_request};
use crate::writer::threads::Common;

/// How often to look at the age of the head.
const TICK: Duration = Duration::from_secs(1);
/// Commits in the head at which blocks are built, however little they hold: snapshots copy the list.
const MAX_HEAD_COMMITS: usize = 8192;
/// How long to wait after a failed flush.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Flusher {
    common: Arc<Common>,
    config: Config,
    window_ns: i64,
}

/// A record and its time, so that they can be sorted without another look at the record.
type Dated<'a> = (i64, &'a Record);

/// The sorted records of one stream that lie in one window.
struct Run<'a> {
    stream: StreamId,
    records: &'a [Dated<'a>],
    /// Order key of the first.
    min_seq: u64,
}

/// Parts on disk that the catalog does not have yet.
#[derive(Default)]
struct Built {
    installed: Installed,
    windows: HashMap<i64, WindowRow>,
    /// Words of each part.
    words: Vec<Vec<BlockWords>>,
    files: Vec<PathBuf>,
}

impl Flusher {
    pub(crate) const fn new(common: Arc<Common>, config: Config, window_ns: i64) -> Self {
        Self { common, config, window_ns }
    }

    /// Works until the writer ends.
    pub(crate) fn run(self, requests: &Receiver<Request>) {
        let mut failed: Option<Instant> = None;
        while let Some(request) = next_request(requests, TICK, &self.common.tenure) {
            // Whoever no longer waits for an answer does not want it.
            match request {
                Request::Wake => {
                    if failed.is_none_or(|at| at.elapsed() >= RETRY_INTERVAL) && self.is_due() {
                        failed = self.flush().is_err().then(Instant::now);
                    }
                }
                Request::All(reply) => drop(reply.send(self.flush_all())),
                Request::Load(load) => {
                    let result = self.load(load.records);
                    self.common.budget.give_back(load.share);
                    drop(load.reply.send(result));
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let state = self.common.shared.lock();
        let Some(oldest) = state.head.front() else { return false };
        state.head_memory() as u64 >= self.config.flush_bytes.0
            || state.head.len() >= MAX_HEAD_COMMITS
            || oldest.since.elapsed() >= self.config.flush_age.0
            || self.common.budget.is_wanted()
    }

    fn flush_all(&self) -> Result<(), StoreError> {
        let last = self.common.shared.lock().last_commit;
        while self.common.shared.lock().head.front().is_some_and(|commit| commit.id <= last) {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the commits of the head into parts, up to the first gap in their order keys, which a load has
    /// left: its part owns these keys.
    fn flush(&self) -> Result<(), StoreError> {
        let mut commits: Vec<Arc<Commit>> = self.common.shared.lock().head.iter().cloned().collect();
        if let Some(gap) = commits.windows(2).position(|pair| pair[0].end_seq() != pair[1].first_seq) {
            commits.truncate(gap + 1);
        }
        if commits.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let result = self.flush_commits(&commits);
        self.common.metrics.flush_seconds.observe(started.elapsed().as_secs_f64());
        match &result {
            Ok(()) => self.common.budget.set_trouble(None),
            Err(StoreError::Closed) => {}
            Err(error) => {
                self.common.metrics.flush_failures.inc();
                self.common.budget.set_trouble(Some(error.to_string().into()));
                tracing::error!(%error, "blocks cannot be written; the records stay in the catalog and it is tried again");
            }
        }
        result
    }

    fn flush_commits(&self, commits: &[Arc<Commit>]) -> Result<(), StoreError> {
        let _work =
            tracing::info_span!(target: crate::WORK, "build blocks", commits = commits.len()).entered();
        let mut built = Built::default();
        if let Err(error) = self.build(commits, &mut built) {
            for file in &built.files {
                orphans::remove(file);
            }
            return Err(error);
        }
        self.common.tenure.reached(Step::PartsWritten)?;
        // When this fails, the files stay until the next start: it is the catalog's to say whether it has them.
        self.install(commits.last().map(|commit| commit.id), &mut built)?;
        self.common.keeper.wake();
        Ok(())
    }

    /// Puts records into parts that never were in the head.
    fn load(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let started = Instant::now();
        let commit = self.common.committer(move |committer| committer.prepare_load(records))?;
        let mut built = Built::default();
        if let Err(error) = self.build(&[Arc::new(commit)], &mut built) {
            for file in &built.files {
                orphans::remove(file);
            }
            return Err(error);
        }
        built.installed.up_to_batch = None;
        self.common.tenure.reached(Step::PartsWritten)?;
        self.install(None, &mut built)?;
        self.common.keeper.wake();
        self.common.metrics.flush_seconds.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    fn build(&self, commits: &[Arc<Commit>], built: &mut Built) -> Result<(), StoreError> {
        let by_stream = sorted_by_stream(commits);
        let first_seq = commits.first().map_or(0, |commit| commit.first_seq);
        let end_seq = commits.iter().map(|commit| commit.end_seq()).max().unwrap_or(first_seq);
        let mut by_window: BTreeMap<i64, Vec<Run<'_>>> = BTreeMap::new();
        for (stream, records) in &by_stream {
            if let (Some((first_ns, _)), Some((last_ns, _))) = (records.first(), records.last()) {
                built.installed.streams.push((*stream, *first_ns, *last_ns));
            }
            let mut rest = records.as_slice();
            while let Some((first_ns, _)) = rest.first() {
                let start_ns = window_start(*first_ns, self.window_ns);
                let len = rest.partition_point(|(ns, _)| window_start(*ns, self.window_ns) == start_ns);
                let min_seq = first_seq + (records.len() - rest.len()) as u64;
                let (run, later) = rest.split_at(len);
                by_window.entry(start_ns).or_default().push(Run { stream: *stream, records: run, min_seq });
                rest = later;
            }
        }
        let mut filler = Filler::default();
        for (start_ns, runs) in by_window {
            self.build_part(start_ns, &runs, first_seq..end_seq, &mut filler, built)?;
        }
        built.installed.up_to_batch = commits.last().map(|commit| commit.id);
        Ok(())
    }

    fn build_part(
        &self,
        start_ns: i64,
        runs: &[Run<'_>],
        seqs: std::ops::Range<u64>,
        filler: &mut Filler,
        built: &mut Built,
    ) -> Result<(), StoreError> {
        let window = self.window_at(start_ns, built)?;
        let id = self.common.next_part();
        let path = window_dir(&self.common.dir, &window).join(crate::catalog::part_file(id));
        let range = TimeRange { start_ns: window.start_ns, end_ns: window.end_ns };
        let mut writer = PartWriter::create(&path, PartId(id), range)?;
        for run in runs {
            self.common.tenure.check()?;
            add_run(&mut writer, run, filler)?;
        }
        let written = writer.finish()?;
        built.files.push(path);
        built.installed.parts.push(row_of(id, window.id, &written, seqs));
        built.words.push(written.words);
        built.windows.insert(window.start_ns, window);
        Ok(())
    }

    /// The window that begins at `start_ns`; its folder is there.
    fn window_at(&self, start_ns: i64, built: &mut Built) -> Result<WindowRow, StoreError> {
        let known = self.common.shared.lock().windows.get(&start_ns).map(|entry| entry.window.clone());
        if let Some(window) = known {
            return Ok(window);
        }
        let end_ns = start_ns.saturating_add(self.window_ns);
        let window = WindowRow { id: self.common.next_window(), start_ns, end_ns };
        let folder = window_dir(&self.common.dir, &window);
        std::fs::create_dir_all(&folder).map_err(|e| StoreError::io("make folder", &folder, e))?;
        sync_dir(&self.common.dir.join(WINDOWS_DIR))?;
        built.installed.windows.push(window.clone());
        Ok(window)
    }

    /// Puts the parts in the place of the commits up to `last`.
    fn install(&self, last: Option<u64>, built: &mut Built) -> Result<(), StoreError> {
        let installed = std::mem::take(&mut built.installed);
        let windows = std::mem::take(&mut built.windows);
        let common = Arc::clone(&self.common);
        let parts = installed.parts.len();
        let words = std::mem::take(&mut built.words);
        let forgotten = self.common.committer(move |committer: &mut Committer| {
            committer.catalog.install(&installed)?;
            common.tenure.reached(Step::PartsInstalled)?;
            let mut state = common.shared.lock();
            for (row, words) in installed.parts.into_iter().zip(words) {
                if let Some(window) = windows.values().find(|window| window.id == row.window) {
                    common.fresh_words.add(window, row.id, words);
                    add_part(&mut state, &common.dir, window, row);
                }
            }
            let left = state.leave_head(last.unwrap_or(0));
            common.metrics.observe_state(&state);
            drop(state);
            common.budget.give_back(left.share);
            Ok(left.forgotten)
        })?;
        drop(forgotten); // here, where nobody waits
        tracing::debug!(up_to = last, parts, "flushed");
        Ok(())
    }
}

/// Start of the window of `window_ns` that holds `ts_ns`.
fn window_start(ts_ns: i64, window_ns: i64) -> i64 {
    ts_ns.saturating_sub(ts_ns.rem_euclid(window_ns))
}

/// Each stream's records by time, equal times in the order of arrival.
fn sorted_by_stream(commits: &[Arc<Commit>]) -> BTreeMap<StreamId, Vec<Dated<'_>>> {
    let mut lens: BTreeMap<StreamId, usize> = BTreeMap::new();
    for group in commits.iter().flat_map(|commit| &commit.groups) {
        *lens.entry(group.stream).or_default() += group.len();
    }
    let with_room = |(stream, len)| (stream, Vec::with_capacity(len));
    let mut by_stream: BTreeMap<StreamId, Vec<Dated<'_>>> = lens.into_iter().map(with_room).collect();
    for commit in commits {
        for group in &commit.groups {
            let records = commit.of_group(group).map(|record| (record.timestamp_ns, record));
            by_stream.entry(group.stream).or_default().extend(records);
        }
    }
    for records in by_stream.values_mut() {
        records.sort_by_key(|(ns, _)| *ns);
    }
    by_stream
}

fn add_run(writer: &mut PartWriter, run: &Run<'_>, filler: &mut Filler) -> Result<(), StoreError> {
    let mut rest = run.records;
    let mut min_seq = run.min_seq;
    while let Some((_, first)) = rest.first() {
        let taken = filler.fill(rest.iter().map(|(_, record)| *record));
        let block = filler.finish(run.stream, Arc::clone(&first.labels));
        writer.add(&block, min_seq)?;
        filler.reuse(block);
        min_seq += taken as u64;
        rest = &rest[taken..];
    }
    Ok(())
}

/// The catalog's row of a new part.
pub(crate) fn row_of(id: u64, window: i64, written: &WrittenPart, seqs: std::ops::Range<u64>) -> PartRow {
    let blocks = &written.blocks;
    let mut levels = [0; Level::COUNT];
    for block in blocks {
        for (sum, count) in levels.iter_mut().zip(block.level_counts) {
            *sum += u64::from(count);
        }
    }
    PartRow {
        id,
        window,
        bytes: written.bytes,
        records: blocks.iter().map(|block| u64::from(block.records)).sum(),
        line_bytes: blocks.iter().map(|block| block.line_bytes).sum(),
        blocks: blocks.len() as u64,
        small_blocks: blocks.iter().filter(|block| is_small(block)).count() as u64,
        min_ns: blocks.iter().map(|block| block.min_ns).min().unwrap_or(i64::MAX),
        max_ns: blocks.iter().map(|block| block.max_ns).max().unwrap_or(i64::MIN),
        min_seq: seqs.start,
        end_seq: seqs.end,
        levels,
    }
}

/// Whether a merge should pack the block together with its neighbours.
pub(crate) fn is_small(block: &BlockMeta) -> bool {
    (block.records as usize) < block::BLOCK_RECORDS / 2 && block.line_bytes < block::BLOCK_BYTES as u64 / 4
}

/// Adds a part to the state.
fn add_part(state: &mut State, dir: &Path, window: &WindowRow, row: PartRow) {
    let part = Arc::new(PartEntry::new(dir, window, row));
    let entry = Arc::make_mut(&mut state.windows)
        .entry(window.start_ns)
        .or_insert_with(|| WindowParts { window: window.clone(), parts: Vec::new() });
    let at = entry.parts.partition_point(|other| other.row.min_seq < part.row.min_seq);
    entry.parts.insert(at, part);
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    std::fs::File::open(dir).and_then(|file| file.sync_all()).map_err(|e| StoreError::io("sync", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_at_multiples_of_their_length_also_before_1970() {
        for (ts, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10), (i64::MIN, i64::MIN)] {
            assert_eq!(window_start(ts, 10), start, "{ts}");
        }
    }
}
