//! The catalog: one SQLite file that says what is stored, and holds what is not yet in blocks.
//!
//! The invariant: every change is one transaction, synced to disk before it returns. A batch of records, the
//! cursors that cover it and its gaps are one row set of one transaction; so are the parts that replace
//! batches and the deletion of these batches. docs/on-disk-format.md describes the tables.

mod checksum;
mod log;
mod read;
mod rows;
mod schema;
pub(crate) mod wal;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::StoreError;
use crate::record::{Labels, StreamId};

pub(crate) use log::LogCopier;
pub(crate) use read::{CatalogReader, View};
pub(crate) use write::{CatalogWriter, Cleanup, Dropped, Installed, NewBatch};

/// Name of the catalog's file within the data folder.
pub(crate) const FILE: &str = "catalog.db";

/// How long to wait for another connection's lock. Readers never hold up the writer in WAL mode; this only
/// covers the short exclusive locks of opening and recovery.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A window: a stretch of log time whose parts lie in one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WindowRow {
    /// Number, never reused.
    pub(crate) id: i64,
    pub(crate) start_ns: i64,
    /// First nanosecond after.
    pub(crate) end_ns: i64,
}

impl WindowRow {
    /// Name of its folder: the start for people, the number to tell a window from one that was deleted.
    pub(crate) fn folder(&self) -> String {
        let start = jiff::Timestamp::from_nanosecond(i128::from(self.start_ns)).unwrap_or_default();
        format!("{}-{}", start.strftime("%Y%m%dT%H%M%SZ"), self.id)
    }
}

/// A part file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartRow {
    /// Number, never reused; also names the file.
    pub(crate) id: u64,
    pub(crate) window: i64,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) line_bytes: u64,
    pub(crate) blocks: u64,
    /// Blocks that a merge would pack together.
    pub(crate) small_blocks: u64,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
    /// The order keys of its records lie in `min_seq..end_seq`; disjoint from other parts of the window.
    pub(crate) min_seq: u64,
    pub(crate) end_seq: u64,
    /// Number of records by level code.
    pub(crate) levels: [u64; crate::Level::COUNT],
}

impl PartRow {
    /// Name of its file.
    pub(crate) fn file(&self) -> String {
        part_file(self.id)
    }
}

/// Name of the file of part `id`.
pub(crate) fn part_file(id: u64) -> String {
    format!("part-{id:08}.blk")
}

/// A batch as stored: some records that are not yet in a part.
#[derive(Clone, Debug)]
pub(crate) struct BatchRow {
    pub(crate) id: u64,
    /// Order key of its first record; the others follow one by one.
    pub(crate) first_seq: u64,
    pub(crate) records: u64,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) checksum: i64,
    pub(crate) payload: Vec<u8>,
}

/// A stream as stored.
#[derive(Clone, Debug)]
pub(crate) struct StreamRow {
    pub(crate) id: StreamId,
    pub(crate) labels: Arc<Labels>,
    /// Time range of its records in parts; empty (`min_ns > max_ns`) when it has none yet.
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
}

/// Turns SQLite's errors into the store's, with the action that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    path: Arc<Path>,
}

impl Failure {
    pub(crate) fn of(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
        let path = self.path.display().to_string();
        move |source| {
            let path = path.clone();
            match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => StoreError::DiskFull { action, path },
                _ => {
                    let code = source.sqlite_error().map(|error| error.extended_code);
                    StoreError::Catalog { action, path, code, source: Arc::new(source) }
                }
            }
        }
    }
}

/// Where the catalog of a data folder is.
pub(crate) fn file_of(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A container whose root is read-only has no folder for the files in which SQLite would note what a statement
    // changes, and without one a statement fails that changes more than 16 pages, as the insert of a span does now and
    // then in a catalog of some 50 MB. What our statements change and sort fits into memory.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Labels as stored: names and values in order, each with its length.
fn encode_labels(labels: &Labels) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels.iter() {
        crate::payload::put_bytes(&mut out, name.as_bytes());
        crate::payload::put_bytes(&mut out, value.as_bytes());
    }
    out
}

/// The labels written by [`encode_labels`], `None` when the bytes are something else.
fn decode_labels(mut bytes: &[u8]) -> Option<Labels> {
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let name = std::str::from_utf8(crate::payload::take_bytes(&mut bytes)?).ok()?;
        let value = std::str::from_utf8(crate::payload::take_bytes(&mut bytes)?).ok()?;
        pairs.push((name, value));
    }
    Some(Labels::new(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_wants_a_folder_for_temporary_files() {
        let dir = tempfile::tempdir().unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(&file_of(dir.path()), flags).unwrap();
        let place: i64 = connection.query_row("PRAGMA temp_store", [], |row| row.get(0)).unwrap();
        assert_eq!(place, 2, "2 is memory: https://sqlite.org/pragma.html#pragma_temp_store");
    }
}
