//! From log lines to distributed traces.
//!
//! Pure: records in, spans out, no clock and no input or output. The collector exports and indexes what comes
//! out, a query shows it; both use this code, so a trace looks the same wherever it is seen.
//!
//! [`assemble`] makes the traces of records that are all at hand; [`OpenTraces`] makes them of a stream of
//! records, bounded in memory. docs/traces.md is the user's page.

mod assemble;
mod build;
mod config;
pub mod duration;
mod hash;
mod key;
mod line;
mod names;
mod open;
pub mod otlp;
mod parent;
pub mod request;
pub mod route;
mod source;
pub mod span;
mod stored;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod visit;
mod words;

pub use assemble::assemble;
pub use config::Config;
pub use key::{hashed, trace_id};
pub use open::{Closed, Counters, OpenTraces};
pub use span::{Attribute, Event, Kind, Resource, Span, SpanId, Status, Trace, TraceId, Value};
