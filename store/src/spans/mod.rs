//! The span index: spans made from records, to be searched and to be exported.
//!
//! Spans are derived data in the catalog, stored in one transaction with the position of whoever made them.
//! Each change of a span takes the next sequence number, and a span that is given again unchanged keeps its own.
//! So going through the spans by sequence number finds every change once, and a sequence number is all that an
//! exporter has to remember.
//!
//! Spans of a trace that are stored together are one row, a set; what many sets may be searched by is kept once for
//! all of them, a group. So storing a trace writes two small rows whatever number of spans and tags it has.
//!
//! This module does not know what a span is made of: [`SpanRow::body`] is the caller's, the fields beside it
//! are what can be searched.

mod encode;
mod groups;
mod operations;
mod read;
mod retention;
mod search;
mod set;
mod unsent;
mod upgrade;
mod verify;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use groups::total_bytes;
pub(crate) use read::SpanReader;
pub(crate) use retention::enforce;
pub(crate) use set::Compressor;
pub(crate) use unsent::Unsent;
pub(crate) use upgrade::from_rows;
pub(crate) use verify::damage;
pub(crate) use write::{EncodedTrace, delete_before, delete_oldest, remove, store_traces};

use std::sync::Arc;

use crate::record::TimeRange;
use crate::writer::CursorUpdate;

/// Most bytes of one span: its tags and its body. Larger ones are refused.
pub const MAX_SPAN_BYTES: usize = 1 << 20;

/// Something that a span can be found by: a name and a value.
pub type Tag = (Arc<str>, Arc<str>);

/// A span as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRow {
    /// W3C span id, unique in its trace.
    pub span_id: [u8; 8],
    /// Who made it.
    pub service: Arc<str>,
    /// Its name.
    pub operation: String,
    /// Which side of a call, in OTLP's numbers (1 internal ... 5 consumer).
    pub kind: u8,
    /// When it began.
    pub start_ns: i64,
    /// When it ended, not before it began.
    pub end_ns: i64,
    /// Whether it failed.
    pub error: bool,
    /// What it can be found by, beside the above.
    pub tags: Vec<Tag>,
    /// The rest of it, in the caller's notation.
    pub body: Vec<u8>,
}

/// Spans of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRows {
    /// W3C trace id.
    pub trace_id: [u8; 16],
    /// Whether these are all it has: stored spans that are not among them are removed.
    pub whole: bool,
    /// Its spans; of two with the same id the first counts.
    pub spans: Vec<SpanRow>,
}

/// Traces to be stored together.
#[derive(Clone, Debug, Default)]
pub struct TraceBatch {
    /// What is to be stored of each.
    pub traces: Vec<TraceRows>,
    /// Spans to be removed: trace id and span id.
    pub gone: Vec<([u8; 16], [u8; 8])>,
    /// Positions to be stored in the same transaction.
    pub cursors: Vec<CursorUpdate>,
}

/// What became of a [`TraceBatch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredTraces {
    /// Spans that are new or changed.
    pub written: u64,
    /// Spans that were stored already, just so.
    pub unchanged: u64,
    /// Spans that their trace has no longer.
    pub removed: u64,
}

/// A span read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSpan {
    /// Its sequence number.
    pub seq: u64,
    /// The trace it belongs to.
    pub trace_id: [u8; 16],
    /// The span.
    pub span: SpanRow,
}

/// Spans by sequence number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanPage {
    /// The spans that can be read, by sequence number.
    pub spans: Vec<StoredSpan>,
    /// The number to go on after.
    pub up_to: u64,
    /// Spans among them that are damaged and left out.
    pub damaged: u64,
}

/// An operation of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// Which side of a call, as [`SpanRow::kind`].
    pub kind: u8,
}

/// How much the span index holds, and how far it has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanStats {
    /// Spans.
    pub spans: u64,
    /// Bytes they take, about.
    pub bytes: u64,
    /// The highest sequence number ever given.
    pub last_seq: u64,
}

/// Which traces to find: those with a span of which all of this is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceQuery {
    /// Made by this service.
    pub service: Option<String>,
    /// With this name.
    pub operation: Option<String>,
    /// With all of these tags.
    pub tags: Vec<(String, String)>,
    /// Took at least this long.
    pub min_duration_ns: Option<i64>,
    /// Took at most this long.
    pub max_duration_ns: Option<i64>,
    /// Began within.
    pub range: TimeRange,
    /// Most traces to be found.
    pub limit: usize,
}

impl Default for TraceQuery {
    fn default() -> Self {
        Self {
            service: None,
            operation: None,
            tags: Vec::new(),
            min_duration_ns: None,
            max_duration_ns: None,
            range: TimeRange::ALL,
            limit: 20,
        }
    }
}

/// Says that the span of this number, or the set that begins with it, is damaged.
fn damaged(seq: u64) {
    tracing::error!(seq, "damaged spans left out");
}
