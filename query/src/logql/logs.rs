//! Log queries: the lines that pass a pipeline, in order, up to a limit.

use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use store::block::BlockError;
use store::writer::StoreError;
use store::{Block, BlockRef, Candidates, Labels, Record, Snapshot, TimeRange};

use super::ast::LogExpr;
pub use super::line_labels::Category;
use super::pipeline::{DETECTED_LEVEL, Pipeline, Scratch};
use super::select::{StreamSelection, rows_that_may};
use crate::exec::page::{PageRequest, page};
use crate::exec::select::{Order, Select};
use crate::exec::{Context, ExecError};
use crate::hit::{Hit, LEVEL};

/// Most bytes of lines in one answer.
const MAX_BYTES: usize = 256 << 20;
/// Lines asked for at once while an `interval` thins them out.
const THINNED_PAGE: usize = 1_000;

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was logged.
    pub timestamp_ns: i64,
    /// As the stages left it.
    pub line: Vec<u8>,
    /// All its labels, by name.
    pub labels: Vec<(Category, Box<str>, Box<str>)>,
}

impl Entry {
    fn new(scratch: &Scratch, timestamp_ns: i64, line: &[u8]) -> Self {
        let mut labels = Vec::new();
        scratch.labels.for_each(|category, name, value| labels.push((category, name.into(), value.into())));
        labels.sort_by(|a: &(Category, Box<str>, Box<str>), b| a.1.cmp(&b.1));
        Self { timestamp_ns, line: scratch.line(line).to_vec(), labels }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct LogRequest {
    /// The query.
    pub log: LogExpr,
    /// Time range.
    pub range: TimeRange,
    /// Most lines.
    pub limit: usize,
    /// Newest or oldest first.
    pub order: Order,
    /// Least time between two lines of the answer; 0 gives all.
    pub interval_ns: i64,
}

/// A compiled log query: which lines of a block pass, and as what.
#[derive(Debug)]
pub(crate) struct CompiledLog {
    pipeline: Pipeline,
    selection: StreamSelection,
}

impl CompiledLog {
    /// Compiles `log` for the streams of `snapshot`.
    ///
    /// # Errors
    /// When it holds what cannot be compiled, which parsing has ruled out but for regular expressions that are too big.
    pub(crate) fn new(log: &LogExpr, snapshot: &Snapshot, range: TimeRange) -> Result<Self, String> {
        Ok(Self {
            pipeline: Pipeline::new(&log.stages, None)?,
            selection: StreamSelection::new(log, snapshot, range)?,
        })
    }

    /// The blocks that may hold a line of the answer. Blocking.
    pub(crate) fn candidates(&self, snapshot: &Snapshot) -> Result<Candidates, StoreError> {
        self.selection.candidates(snapshot)
    }

    pub(crate) const fn selection(&self) -> &StreamSelection {
        &self.selection
    }

    /// Calls `passed` for every line that passes, in `order`, with its row, time and bytes as stored.
    fn each(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        mut passed: impl FnMut(usize, &Scratch, i64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        let rows = rows_that_may(block, rows, Some(self.selection.requirements()))?;
        if rows.is_empty() {
            return Ok(());
        }
        let (timestamps, lines) = (block.timestamps()?, block.lines_of(&rows)?);
        let (levels, pairs) = (block.levels()?, block.pairs()?);
        let mut scratch = Scratch::default();
        for i in 0..rows.len() {
            let row = match order {
                Order::Forward => rows[i],
                Order::Backward => rows[rows.len() - 1 - i],
            };
            scratch.begin(block.labels(), levels[row], pairs.get(row), |_| true);
            let (ts_ns, line) = (timestamps[row], lines.get(row)?);
            if self.pipeline.run(&mut scratch, ts_ns, &line) && passed(row, &scratch, ts_ns, &line).is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

/// What is kept of a line that passes.
pub(crate) trait Kept: Send {
    /// Of a line of `stream` as the stages left it; `line` is what went in.
    fn of(scratch: &Scratch, stream: &Arc<Labels>, timestamp_ns: i64, line: &[u8]) -> Self;

    /// Bytes it occupies, about.
    fn size(&self) -> usize;
}

/// Lines with all their labels by category, as Loki's API shows them.
impl Kept for Entry {
    fn of(scratch: &Scratch, _: &Arc<Labels>, timestamp_ns: i64, line: &[u8]) -> Self {
        Self::new(scratch, timestamp_ns, line)
    }

    fn size(&self) -> usize {
        self.line.len() + self.labels.iter().map(|(_, n, v)| n.len() + v.len() + 40).sum::<usize>() + 64
    }
}

/// Lines as hits, as the native API shows them.
impl Kept for Hit {
    fn of(scratch: &Scratch, stream: &Arc<Labels>, timestamp_ns: i64, line: &[u8]) -> Self {
        hit_of(scratch, stream, timestamp_ns, line)
    }

    fn size(&self) -> usize {
        Self::size(self)
    }
}

/// Selects the lines of a query, and keeps a `T` of each.
#[derive(Debug)]
pub(crate) struct Passing<'a, T> {
    log: &'a CompiledLog,
    kept: PhantomData<fn() -> T>,
}

impl<'a, T> Passing<'a, T> {
    pub(crate) const fn new(log: &'a CompiledLog) -> Self {
        Self { log, kept: PhantomData }
    }
}

impl<T: Kept> Select for Passing<'_, T> {
    type Item = T;

    fn wants(&self, block: &BlockRef) -> bool {
        self.log.selection.includes(block.stream())
    }

    fn select(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        found: &mut dyn FnMut(usize, T) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        self.log.each(block, rows, order, |row, scratch, ts_ns, line| {
            found(row, T::of(scratch, block.labels(), ts_ns, line))
        })
    }

    fn size(item: &T) -> usize {
        item.size()
    }
}

/// The line as a hit: labels of the stream, and all others as metadata. The detected level has the name there
/// that it has in every hit, unless the line has a label of that name.
fn hit_of(scratch: &Scratch, stream: &Arc<Labels>, timestamp_ns: i64, line: &[u8]) -> Hit {
    let mut labels = Vec::new();
    let mut metadata: Vec<(String, String)> = Vec::new();
    scratch.labels.for_each(|category, name, value| match category {
        Category::Stream => labels.push((name, value)),
        _ => metadata.push((name.to_owned(), value.to_owned())),
    });
    if !metadata.iter().any(|(name, _)| name == LEVEL)
        && let Some((name, _)) = metadata.iter_mut().find(|(name, _)| name == DETECTED_LEVEL)
    {
        LEVEL.clone_into(name);
    }
    metadata.sort();
    let labels = if labels.len() == stream.iter().count() && labels.iter().copied().eq(stream.iter()) {
        Arc::clone(stream)
    } else {
        Arc::new(Labels::new(labels))
    };
    Hit { timestamp_ns, line: scratch.line(line).to_vec(), labels, metadata }
}

/// The lines of the answer, in order, and what was looked at. Blocking.
///
/// # Errors
/// When the query may not go on; the inner error is the query's own fault.
pub fn read(
    request: &LogRequest,
    snapshot: &Snapshot,
    context: &Context,
) -> Result<Result<(Vec<Entry>, Candidates), String>, ExecError> {
    let compiled = match CompiledLog::new(&request.log, snapshot, request.range) {
        Ok(compiled) => compiled,
        Err(message) => return Ok(Err(message)),
    };
    let candidates = compiled.candidates(snapshot)?;
    context.note_candidates(&candidates);
    let select = Passing::<Entry>::new(&compiled);
    let mut wanted = PageRequest {
        order: request.order,
        range: request.range,
        limit: if request.interval_ns > 0 { THINNED_PAGE } else { request.limit },
        max_bytes: MAX_BYTES,
        after: None,
    };
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let found = page(&candidates.blocks, &select, &wanted, context)?;
        wanted.after = found.rows.last().map(|(key, _)| *key);
        for (_, entry) in found.rows {
            let far = entries.last().is_none_or(|last| {
                entry.timestamp_ns.abs_diff(last.timestamp_ns) >= request.interval_ns.unsigned_abs()
            });
            if far && entries.len() < request.limit {
                entries.push(entry);
            }
        }
        if request.interval_ns == 0 || !found.more || wanted.after.is_none() || entries.len() >= request.limit
        {
            return Ok(Ok((entries, candidates)));
        }
    }
}

/// Runs a pipeline on records as they arrive.
#[derive(Debug)]
pub struct Follower {
    selector: super::select::Selector,
    pipeline: Pipeline,
    scratch: Scratch,
}

impl Follower {
    /// Compiles the query.
    ///
    /// # Errors
    /// When it holds what cannot be compiled, which parsing has ruled out.
    pub fn new(log: &LogExpr) -> Result<Self, String> {
        Ok(Self {
            selector: super::select::Selector::new(&log.matchers)?,
            pipeline: Pipeline::new(&log.stages, None)?,
            scratch: Scratch::default(),
        })
    }

    /// The line of the answer that a record makes, if any.
    pub fn entry(&mut self, record: &Record) -> Option<Entry> {
        self.passes(record).then(|| Entry::new(&self.scratch, record.timestamp_ns, &record.line))
    }

    /// [`Follower::entry`] as a hit.
    pub fn hit(&mut self, record: &Record) -> Option<Hit> {
        self.passes(record).then(|| hit_of(&self.scratch, &record.labels, record.timestamp_ns, &record.line))
    }

    fn passes(&mut self, record: &Record) -> bool {
        if !self.selector.is_match(&record.labels) {
            return false;
        }
        let pairs = record.pairs.iter().map(|p| (p.origin, p.name.as_ref(), p.value.as_ref()));
        self.scratch.begin(&record.labels, record.level, pairs, |_| true);
        self.pipeline.run(&mut self.scratch, record.timestamp_ns, &record.line)
    }
}
