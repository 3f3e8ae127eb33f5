//! Copying the catalog's write-ahead log into its file, beside the writer.
//!
//! The invariant: only what a transaction has committed is copied, and the log keeps it until the file is synced. The next
//! transaction after a log that is copied whole begins it anew; with a connection of its own, copying and its syncs
//! are nothing that a transaction waits for.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{Failure, connect, file_of};
use crate::error::StoreError;

/// A connection that does nothing but copy the log.
#[derive(Debug)]
pub(crate) struct LogCopier {
    connection: Connection,
    fail: Failure,
}

/// How far the log has been copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Pages in the log.
    pub(crate) pages: i64,
    /// Those of them that are in the file.
    pub(crate) copied: i64,
}

impl Copied {
    pub(crate) const fn is_all(self) -> bool {
        self.copied >= self.pages
    }
}

impl LogCopier {
    /// Opens the catalog of `dir`, which a writer has open.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = file_of(dir);
        let fail = Failure { path: path.as_path().into() };
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fail.of("open"))?;
        super::write::share_log(&connection).map_err(fail.of("set up"))?;
        Ok(Self { connection, fail })
    }

    /// Copies what is in the log and no reader needs there.
    pub(crate) fn copy(&self) -> Result<Copied, StoreError> {
        copy_log(&self.connection).map_err(self.fail.of("copy the log of"))
    }

    /// Copies all of the log and leaves it empty, unless a reader needs it.
    pub(crate) fn empty(&self) -> Result<(), StoreError> {
        empty_log(&self.connection).map_err(self.fail.of("copy the log of"))
    }
}

/// Copies what is in the log and no reader needs there; leaves it to whoever is copying already.
pub(super) fn copy_log(connection: &Connection) -> rusqlite::Result<Copied> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(Copied { pages: row.get(1)?, copied: row.get(2)? })
    })
}

/// Copies all of the log and leaves it empty; not while a reader needs it or anyone else copies it.
pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}

#[cfg(test)]
mod tests {
    use super::super::CatalogWriter;
    use super::*;

    #[test]
    fn what_is_committed_is_copied_beside_an_open_transaction_and_the_log_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = CatalogWriter::open(dir.path(), 1).unwrap();
        let copier = LogCopier::open(dir.path()).unwrap();
        let mut change = |copies: bool| {
            let change = |transaction: &rusqlite::Transaction<'_>| {
                transaction.execute("UPDATE settings SET value = value + 1 WHERE name = 'span_seq'", [])?;
                Ok(copies.then(|| copier.copy().unwrap()))
            };
            writer.change_spans("test", change).unwrap()
        };
        let beside = change(true).unwrap();
        assert!(beside.pages > 0 && beside.is_all(), "{beside:?}");
        assert!(copier.copy().unwrap().is_all());
        change(false);
        let anew = copier.copy().unwrap();
        assert!(anew.pages < beside.pages && anew.is_all(), "{anew:?} after {beside:?}");
    }
}
