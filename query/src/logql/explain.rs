//! What a query would read: its plan, without running it.

use serde::Serialize;
use store::{BlockRef, Prune, Snapshot, TimeRange};

use super::ast::{Expr, LogExpr, MetricExpr, RangeAggregation};
use super::eval::{EvalError, Steps};
use super::select::StreamSelection;
use crate::exec::{Context, ExecError};

/// The plan of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The query in canonical form.
    pub query: String,
    /// What each of its selectors reads, in the order written.
    pub reads: Vec<Read>,
}

/// What one selector and its stages read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    /// The selector and its stages.
    pub log: String,
    /// Time range, nanoseconds, end excluded.
    pub start_ns: i64,
    /// See `start_ns`.
    pub end_ns: i64,
    /// Streams selected.
    pub streams: usize,
    /// Text that every line of the answer holds, in words; empty when nothing is known.
    pub required: String,
    /// Blocks of these streams and times.
    pub blocks: usize,
    /// Of these, ruled out by their level counts.
    pub dropped_by_level: usize,
    /// Of these, ruled out by the word index.
    pub dropped_by_words: usize,
    /// Of these, ruled out by the id filters.
    pub dropped_by_ids: usize,
    /// Blocks that may be read; fewer when a limit or the counts of blocks suffice.
    pub blocks_left: usize,
    /// Lines in them.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// What could not be read.
    pub damaged: Vec<String>,
}

/// Plans `expr`: a log query over `range`, a metric query at `steps`. Blocking.
///
/// # Errors
/// When the query cannot be compiled, or the store cannot be read.
pub fn explain(
    expr: &Expr,
    range: TimeRange,
    steps: Steps,
    snapshot: &Snapshot,
    context: &Context,
) -> Result<Explanation, EvalError> {
    let mut reads = Vec::new();
    match expr {
        Expr::Log(log) => reads.push(read(log, range, snapshot, context)?),
        Expr::Metric(metric) => {
            let mut ranges = Vec::new();
            collect(metric, &mut ranges);
            for aggregation in ranges {
                let span = steps.span(aggregation.range_ns, aggregation.offset_ns);
                reads.push(read(&aggregation.log, span, snapshot, context)?);
            }
        }
    }
    Ok(Explanation { query: expr.to_string(), reads })
}

fn collect<'a>(metric: &'a MetricExpr, found: &mut Vec<&'a RangeAggregation>) {
    match metric {
        MetricExpr::Range(range) => found.push(range),
        MetricExpr::Vector(vector) => collect(&vector.inner, found),
        MetricExpr::Binary(binary) => {
            collect(&binary.left, found);
            collect(&binary.right, found);
        }
        MetricExpr::LabelReplace(replace) => collect(&replace.inner, found),
        MetricExpr::Literal(_) | MetricExpr::Scalar(_) => {}
    }
}

fn read(log: &LogExpr, range: TimeRange, snapshot: &Snapshot, context: &Context) -> Result<Read, EvalError> {
    context.check()?;
    let selection = StreamSelection::new(log, snapshot, range).map_err(EvalError::Query)?;
    let found = selection.candidates(snapshot).map_err(ExecError::from)?;
    Ok(Read {
        log: log.to_string(),
        start_ns: range.start_ns,
        end_ns: range.end_ns,
        streams: selection.num_streams(),
        required: in_words(&selection.requirements().prune()),
        blocks: found.considered,
        dropped_by_level: found.dropped_by_level,
        dropped_by_words: found.dropped_by_words,
        dropped_by_ids: found.dropped_by_ids,
        blocks_left: found.blocks.len(),
        lines: found.blocks.iter().map(|block| block.len() as u64).sum(),
        bytes: found.blocks.iter().map(BlockRef::line_bytes).sum(),
        damaged: found.damaged,
    })
}

fn in_words(prune: &Prune) -> String {
    let list = |parts: &[Prune], word: &str| {
        let parts: Vec<String> = parts.iter().map(in_words).collect();
        format!("({})", parts.join(word))
    };
    match prune {
        Prune::Any => String::new(),
        Prune::Text(text) => format!("\"{}\"", text.bytes.escape_ascii()),
        Prune::Pair { name, value } => format!("{name}={value:?}"),
        Prune::And(parts) => list(parts, " and "),
        Prune::Or(parts) => list(parts, " or "),
    }
}
