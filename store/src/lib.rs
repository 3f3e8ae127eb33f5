//! Durable log storage: records in, blocks on disk, candidate blocks out.
//!
//! The invariant: a record accepted by [`Writer::append`] is on disk together with the cursors that
//! cover it, is visible to every later [`Reader::snapshot`], and is returned exactly once.
//!
//! This crate alone knows tantivy and rusqlite. It does not know query languages, HTTP or Docker.

mod ascii;
pub mod backup;
pub mod block;
mod catalog;
pub mod checkup;
pub mod config;
pub mod error;
pub mod exchange;
pub mod fields;
mod filter;
mod flush;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod head;
mod index;
mod indexer;
mod keeper;
pub mod level;
pub mod lifecycle;
mod lock;
mod merge;
mod metrics;
mod orphans;
mod part;
mod parts;
mod payload;
pub mod prune;
pub mod reader;
pub mod readings;
pub mod record;
mod recovery;
mod retention;
mod short_numbers;
pub mod spans;
mod state;
mod terms;
pub mod token;
pub mod verify;
pub mod writer;

/// Target of the `tracing` spans that tell of Binnacle's own work: exported where that is wished, never logged.
pub const WORK: &str = "binnacle::work";

pub use block::{Block, Lines, Pairs};
pub use config::{Config, RetentionConfig};
pub use error::StoreError;
pub use level::Level;
pub use metrics::shown;
pub use prune::{Prune, Text};
pub use reader::{BlockQuery, BlockRef, Candidates, Reader, Snapshot, Stats, StreamInfo, WindowStats};
pub use record::{Labels, Origin, Pair, Record, StreamId, TimeRange};
pub use spans::{SpanRow, StoredSpan, TraceBatch, TraceQuery, TraceRows};
pub use writer::{Batch, Committed, Container, CursorUpdate, Gap, GapReason, Loader, Position, Writer};
