//! The time that lines of an ingest lie in of which nobody has made traces yet.
//!
//! An ingest makes no traces itself: it would take twice as long. It stores the range in the transactions of its
//! records, and the next `run` or `collect` makes the traces.

use serde::{Deserialize, Serialize};
use store::{CursorUpdate, Position, Record, StoreError, TimeRange, Writer};

use super::has_id;

/// Key of the range in the store.
const SOURCE: &str = "traces/ingested";

/// The first and the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    first_ns: i64,
    last_ns: i64,
}

/// The range of an ingest, growing with its records.
#[derive(Debug)]
pub(crate) struct Ingested(Option<Range>);

impl Ingested {
    /// What earlier ingests left behind.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn open(writer: &Writer) -> Result<Self, StoreError> {
        Ok(Self(read(writer)?))
    }

    /// Takes records in; what is to be stored with them if they change the range.
    pub(crate) fn add(&mut self, records: &[Record]) -> Option<CursorUpdate> {
        let before = self.0;
        for record in records.iter().filter(|record| has_id(record)) {
            let at = record.timestamp_ns;
            let range = self.0.get_or_insert(Range { first_ns: at, last_ns: at });
            *range = Range { first_ns: range.first_ns.min(at), last_ns: range.last_ns.max(at) };
        }
        (self.0 != before).then(|| cursor(self.0))
    }
}

/// The range that is left to do.
///
/// # Errors
/// When the catalog cannot be read.
pub(crate) fn range(writer: &Writer) -> Result<Option<TimeRange>, StoreError> {
    let range = read(writer)?;
    Ok(range.map(|range| TimeRange { start_ns: range.first_ns, end_ns: range.last_ns.saturating_add(1) }))
}

/// Nothing is left to do.
pub(crate) fn nothing() -> CursorUpdate {
    cursor(None)
}

fn read(writer: &Writer) -> Result<Option<Range>, StoreError> {
    let range = match writer.cursor(SOURCE)? {
        Position::Unset => return Ok(None),
        Position::At(bytes) => serde_json::from_slice(&bytes).ok(),
        Position::Damaged => None,
    };
    // What was left to do is not known: all of it is. Traces that are there already are not stored again.
    Ok(Some(range.unwrap_or(Range { first_ns: i64::MIN, last_ns: i64::MAX })))
}

fn cursor(range: Option<Range>) -> CursorUpdate {
    let position = range.map(|range| serde_json::to_vec(&range).expect("BUG: a range is not JSON"));
    CursorUpdate { source: SOURCE.to_owned(), position, covered_ns: None }
}
