//! Log queries: the lines that pass a pipeline, in order, up to a limit.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use store::block::BlockError;
use store::{Block, BlockRef, Candidates, Snapshot, TimeRange};

use super::ast::LogExpr;
pub use super::line_labels::Category;
use super::pipeline::{Pipeline, Scratch};
use super::select::{Rows, StreamSelection};
use crate::exec::page::{PageRequest, page};
use crate::exec::select::{Order, Select};
use crate::exec::{Context, ExecError};

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

/// Runs a pipeline on the rows of blocks.
struct PipelineSelect<'a> {
    pipeline: &'a Pipeline,
    selection: &'a StreamSelection,
}

impl Select for PipelineSelect<'_> {
    type Item = Entry;

    fn wants(&self, block: &BlockRef) -> bool {
        self.selection.includes(block.stream())
    }

    fn select(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        found: &mut dyn FnMut(usize, Entry) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        let rows = Rows::new(block, rows, Some(self.selection.requirements()))?;
        let mut rows: Box<dyn Iterator<Item = usize>> = match order {
            Order::Forward => rows.iter(),
            Order::Backward => Box::new(rows.iter().rev()),
        };
        let Some(mut row) = rows.next() else { return Ok(()) };
        let (timestamps, lines) = (block.timestamps()?, block.lines()?);
        let (levels, pairs) = (block.levels()?, block.pairs()?);
        let mut scratch = Scratch::default();
        loop {
            scratch.begin(block.labels(), levels[row], pairs.get(row), |_| true);
            let (ts_ns, line) = (timestamps[row], lines.get(row));
            if self.pipeline.run(&mut scratch, ts_ns, line)
                && found(row, Entry::new(&scratch, ts_ns, line)).is_break()
            {
                return Ok(());
            }
            match rows.next() {
                Some(next) => row = next,
                None => return Ok(()),
            }
        }
    }

    fn size(item: &Entry) -> usize {
        item.line.len() + item.labels.iter().map(|(_, n, v)| n.len() + v.len() + 40).sum::<usize>() + 64
    }
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
    let compiled = Pipeline::new(&request.log.stages, None)
        .and_then(|pipeline| Ok((pipeline, StreamSelection::new(&request.log, snapshot, request.range)?)));
    let (pipeline, selection) = match compiled {
        Ok(compiled) => compiled,
        Err(message) => return Ok(Err(message)),
    };
    let candidates = selection.candidates(snapshot)?;
    context.note_candidates(&candidates);
    let select = PipelineSelect { pipeline: &pipeline, selection: &selection };
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
    pub fn entry(&mut self, record: &store::Record) -> Option<Entry> {
        if !self.selector.is_match(&record.labels) {
            return None;
        }
        let labels = Arc::clone(&record.labels);
        let pairs = record.pairs.iter().map(|p| (p.origin, p.name.as_ref(), p.value.as_ref()));
        self.scratch.begin(&labels, record.level, pairs, |_| true);
        let passes = self.pipeline.run(&mut self.scratch, record.timestamp_ns, &record.line);
        passes.then(|| Entry::new(&self.scratch, record.timestamp_ns, &record.line))
    }
}
