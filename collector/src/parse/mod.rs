//! From the bytes of a line to a record: severity, ids, the line's own time. Pure.
//!
//! This runs on every line: one pass over its fields, and nothing is allocated but for what is found.
//! Fields themselves are read by [`store::fields`], which searches use too.

mod enrich;
mod ids;
mod level;
mod names;
#[cfg(test)]
mod tests;
mod time;

pub use enrich::{Enricher, Format, LineTime, ParseOptions};
pub(crate) use level::of_otel_number as level_of_otel_number;
pub(crate) use names::MAX_FIELD_NAME_BYTES;
