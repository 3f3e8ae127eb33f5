//! What a query reads and why: its plan by selector, and what was decoded when it ran.

use serde::Serialize;
use store::{BlockRef, Candidates, Prune, Reader, TimeRange};

use crate::exec::page::PageRequest;
use crate::exec::question::{Question, Reads};
use crate::exec::search::MAX_PAGE_BYTES;
use crate::exec::select::Order;
use crate::exec::{Context, ExecError};
use crate::logql::ast::{MetricExpr, RangeAggregation};
use crate::logql::eval::{Environment, EvalError, Steps, evaluate};
use crate::time;

/// A query that is to be explained.
#[derive(Clone, Debug)]
pub enum Explained {
    /// Records: the newest `limit` in a time range.
    Records {
        /// Which.
        question: Box<Question>,
        /// When.
        range: TimeRange,
        /// How many.
        limit: usize,
    },
    /// Numbers at steps.
    Metric {
        /// The query.
        expr: Box<MetricExpr>,
        /// The steps.
        steps: Steps,
        /// Most series within the query.
        max_series: usize,
    },
}

/// The plan of a query, and what it took to run it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What each selector reads, in the order written.
    pub reads: Vec<Read>,
    /// What was decoded. Less than planned when the limit was reached early or the counts of blocks sufficed.
    pub decoded: Decoded,
}

/// What a query decoded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Decoded {
    /// Blocks read.
    pub blocks: usize,
    /// Lines in them.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// Time taken.
    pub seconds: f64,
}

/// What one selector and its stages read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    /// The selector and its stages in canonical form; `None` in the search syntax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// First time inside.
    pub start: String,
    /// First time after.
    pub end: String,
    /// Streams selected.
    pub streams: usize,
    /// What every line of the answer holds, in words; empty when nothing is known.
    pub required: String,
    /// Windows of the time range.
    pub windows: usize,
    /// Windows outside of it.
    pub windows_outside: usize,
    /// Blocks of these windows, and of records not yet in a window, that are of other streams or times.
    pub dropped_by_stream_or_time: usize,
    /// Blocks ruled out by their level counts.
    pub dropped_by_level: usize,
    /// Blocks ruled out by the word index, or by the templates that their messages are made of.
    pub dropped_by_words: usize,
    /// Blocks ruled out by the id filters.
    pub dropped_by_ids: usize,
    /// Blocks kept.
    pub blocks: usize,
    /// Lines in them.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// What could not be read.
    pub damaged: Vec<String>,
}

/// Plans a query and runs it once. Blocking.
///
/// # Errors
/// When the query cannot be compiled or may not go on, or the store cannot be read.
pub fn explain(explained: &Explained, reader: &Reader, context: &Context) -> Result<Explanation, EvalError> {
    let snapshot = reader.snapshot().map_err(ExecError::from)?;
    let plan = |question: &Question, range: TimeRange| -> Result<(Reads, Candidates, Read), ExecError> {
        context.check()?;
        let reads = Reads::new(question, &snapshot, range)?;
        let found = reads.candidates(&snapshot, range)?;
        let read = described(question, range, &reads, &found);
        Ok((reads, found, read))
    };
    let mut described = Vec::new();
    match explained {
        Explained::Records { question, range, limit } => {
            let (reads, found, read) = plan(question, *range)?;
            described.push(read);
            let request = PageRequest {
                order: Order::Backward,
                range: *range,
                limit: *limit,
                max_bytes: MAX_PAGE_BYTES,
                after: None,
            };
            reads.page(&found.blocks, &request, context)?;
        }
        Explained::Metric { expr, steps, max_series } => {
            let mut ranges = Vec::new();
            collect(expr, &mut ranges);
            for aggregation in ranges {
                let span = steps.span(aggregation.range_ns, aggregation.offset_ns);
                described.push(plan(&Question::LogQl(aggregation.log.clone()), span)?.2);
            }
            let env = Environment { snapshot: &snapshot, context, steps: *steps, max_series: *max_series };
            evaluate(expr, &env)?;
        }
    }
    let used = context.stats(&Candidates::default());
    let decoded = Decoded {
        blocks: used.blocks_decoded,
        lines: used.lines_decoded,
        bytes: used.bytes_decoded,
        seconds: used.seconds,
    };
    Ok(Explanation { reads: described, decoded })
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

fn described(question: &Question, range: TimeRange, reads: &Reads, found: &Candidates) -> Read {
    let log = match question {
        Question::Filter(_) => None,
        Question::LogQl(log) => Some(log.to_string()),
    };
    Read {
        log,
        start: time::rfc3339(range.start_ns),
        end: time::rfc3339(range.end_ns),
        streams: reads.num_streams(),
        required: in_words(&reads.prune(range)),
        windows: found.windows,
        windows_outside: found.windows_outside,
        dropped_by_stream_or_time: found.outside,
        dropped_by_level: found.dropped_by_level,
        dropped_by_words: found.dropped_by_words,
        dropped_by_ids: found.dropped_by_ids,
        blocks: found.blocks.len(),
        lines: found.blocks.iter().map(|block| block.len() as u64).sum(),
        bytes: found.blocks.iter().map(BlockRef::line_bytes).sum(),
        damaged: found.damaged.clone(),
    }
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
