//! From log lines to distributed traces.
//!
//! Pure: records in, spans out, no clock and no input or output. The collector exports and indexes what comes
//! out, a query shows it; both use this code, so a trace looks the same wherever it is seen.

pub mod span;
mod stored;

pub use span::{Attribute, Event, Kind, Resource, Span, SpanId, Status, Trace, TraceId, Value};
