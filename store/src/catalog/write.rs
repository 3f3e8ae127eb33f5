//! The catalog's one writing connection.
//!
//! Each method is one transaction: when it fails, nothing of it is stored.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction};

use super::log::{Copied, copy_log, empty_log};
use super::rows::{
    advance_generation, delete_old, distrust_cursor, insert_gaps, insert_parts, store_all, update_cursors,
};
use super::{BatchRow, Failure, PartRow, StreamRow, WindowRow, connect, file_of, read, schema};
use crate::error::StoreError;
use crate::orphans;
use crate::record::StreamId;
use crate::spans::{self, EncodedTrace, StoredTraces};
use crate::writer::{Batch, CursorUpdate, Gap};

/// Pages (8 KiB each) put into the write-ahead log, about, at which it is copied into the file: 2 MiB.
const CHECKPOINT_PAGES: usize = 256;
/// Pages of the log at which a transaction itself must copy it: 16 MiB.
const MAX_LOG_PAGES: i64 = 2000;
/// Pages that a transaction puts there besides its payloads, about.
const PAGES_PER_COMMIT: usize = 4;
/// Pages that a change of spans puts there, about: rows, their indexes, groups.
const PAGES_PER_CHANGE: usize = 32;
/// The write-ahead log is cut to this size when it starts over.
const WAL_LIMIT_BYTES: i64 = 16 << 20;
/// SQLite's page cache, in KiB.
const CACHE_KIB: i64 = 8 << 10;

/// The writing side of the catalog.
#[derive(Debug)]
pub(crate) struct CatalogWriter {
    connection: Connection,
    fail: Failure,
    /// Pages put into the log since it was last to be copied into the file, about.
    log_pages: usize,
}

/// One payload of records, ready to be stored.
#[derive(Debug)]
pub(crate) struct NewBatch {
    pub(crate) first_seq: u64,
    pub(crate) records: u64,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) checksum: i64,
    pub(crate) payload: Vec<u8>,
}

/// Parts that take the place of batches or of older parts.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// Windows that begin with these parts.
    pub(crate) windows: Vec<WindowRow>,
    pub(crate) parts: Vec<PartRow>,
    /// Batches up to this one are in the parts now.
    pub(crate) up_to_batch: Option<u64>,
    /// Parts whose records are in the new parts now.
    pub(crate) replaced: Vec<u64>,
    /// Streams whose records reach further now: earliest and latest time.
    pub(crate) streams: Vec<(StreamId, i64, i64)>,
}

/// What retention deletes.
#[derive(Debug)]
pub(crate) struct Dropped {
    /// Numbers of windows.
    pub(crate) windows: Vec<i64>,
    /// Numbers of parts in other windows.
    pub(crate) parts: Vec<u64>,
}

/// What retention found to be without data.
#[derive(Debug)]
pub(crate) struct Cleanup<'a> {
    /// Gaps, containers and forgotten sources that ended before this are of no use any more.
    pub(crate) before_ns: i64,
    /// Streams without a record.
    pub(crate) streams: &'a [StreamId],
}

impl CatalogWriter {
    /// Opens the catalog of `dir`, or makes one with windows of `window_ns`.
    pub(crate) fn open(dir: &Path, window_ns: i64) -> Result<Self, StoreError> {
        let path = file_of(dir);
        let fail = Failure { path: path.as_path().into() };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = connect(&path, flags).map_err(fail.of("open"))?;
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(fail.of("open"))?;
        let format =
            if tables > 0 { Some(read::check_format(&connection, &path, dir, &fail)?) } else { None };
        if tables == 0 && orphans::has_parts(dir) {
            return Err(StoreError::NoCatalog { path: path.display().to_string() });
        }
        configure(&connection, tables == 0).map_err(fail.of("set up"))?;
        match format {
            Some(found) => schema::upgrade(&mut connection, found).map_err(fail.of("upgrade the tables"))?,
            None => schema::create(&mut connection, window_ns).map_err(fail.of("make the tables"))?,
        }
        Ok(Self { connection, fail, log_pages: 0 })
    }

    /// Length of this folder's windows.
    pub(crate) fn window_ns(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("SELECT value FROM settings WHERE name = 'window_ns'", [], |row| row.get(0))
            .map_err(self.fail.of("read the settings"))
    }

    /// Every stream, by id, and the highest id ever given.
    pub(crate) fn streams(&self) -> Result<(Vec<StreamRow>, u64), StoreError> {
        let fail = self.fail.of("read the streams");
        let streams = read::streams_after(&self.connection, StreamId(0)).map_err(&fail)?;
        Ok((streams, self.highest_id("streams").map_err(fail)?))
    }

    /// Every window and part.
    pub(crate) fn windows_and_parts(&self) -> Result<(Vec<WindowRow>, Vec<PartRow>), StoreError> {
        let fail = self.fail.of("read the parts");
        Ok((read::windows(&self.connection).map_err(&fail)?, read::parts(&self.connection).map_err(&fail)?))
    }

    /// The highest numbers ever given to a window and to a part.
    pub(crate) fn highest_window_and_part(&self) -> Result<(i64, u64), StoreError> {
        let fail = self.fail.of("read the parts");
        let window = self.highest_id("windows").map_err(&fail)?;
        Ok((i64::try_from(window).unwrap_or(i64::MAX), self.highest_id("parts").map_err(fail)?))
    }

    /// The highest number ever given to a batch.
    pub(crate) fn highest_batch(&self) -> Result<u64, StoreError> {
        self.highest_id("batches").map_err(self.fail.of("read the batches"))
    }

    /// Rows whose checksum does not fit, in words.
    pub(crate) fn wrong_rows(&self) -> Result<Vec<String>, StoreError> {
        read::wrong_rows(&self.connection).map_err(self.fail.of("check the rows"))
    }

    /// Takes back what rows of `cursors` say that are not as they were written, so that nobody goes by them.
    pub(crate) fn distrust_damaged_positions(&mut self) -> Result<(), StoreError> {
        let fail = self.fail.of("take back damaged positions");
        let damaged = read::damaged_positions(&self.connection).map_err(&fail)?;
        if damaged.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction().map_err(&fail)?;
        for source in &damaged {
            distrust_cursor(&transaction, source).map_err(&fail)?;
        }
        transaction.commit().map_err(&fail)
    }

    /// Hands every stored batch to `each`, oldest first.
    pub(crate) fn each_batch(&self, each: impl FnMut(BatchRow)) -> Result<(), StoreError> {
        read::each_batch_after(&self.connection, 0, each).map_err(self.fail.of("read the batches"))
    }

    fn highest_id(&self, table: &str) -> rusqlite::Result<u64> {
        let seq: Option<u64> = self.connection.query_row(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = ?1",
            [table],
            |row| row.get(0),
        )?;
        Ok(seq.unwrap_or(0))
    }

    /// Stores payloads and everything else that `appends` hold. Returns the number of each payload.
    pub(crate) fn commit<'a>(
        &mut self,
        streams: &[StreamRow],
        payloads: &[NewBatch],
        appends: impl Iterator<Item = &'a Batch>,
    ) -> Result<Vec<u64>, StoreError> {
        let fail = self.fail.of("store records");
        let transaction = self.connection.transaction().map_err(&fail)?;
        let ids = store_all(&transaction, streams, payloads, appends).map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        let page = usize::try_from(schema::PAGE_BYTES).unwrap_or(usize::MAX);
        self.log_pages += PAGES_PER_COMMIT;
        self.log_pages += payloads.iter().map(|batch| batch.payload.len().div_ceil(page)).sum::<usize>();
        Ok(ids)
    }

    /// Whether so much has been put into the log since this last said so that it should be copied into the file.
    pub(crate) const fn log_is_due(&mut self) -> bool {
        let is_due = self.log_pages >= CHECKPOINT_PAGES;
        if is_due {
            self.log_pages = 0;
        }
        is_due
    }

    /// Copies the log into the file while nothing is put into it: for one that [`super::LogCopier`] cannot copy whole, since
    /// transactions come one after the other. It takes a sync or two.
    pub(crate) fn copy_log(&mut self) -> Result<Copied, StoreError> {
        copy_log(&self.connection).map_err(self.fail.of("copy the log of"))
    }

    /// Puts new parts in the place of the batches or parts whose records they hold.
    pub(crate) fn install(&mut self, installed: &Installed) -> Result<(), StoreError> {
        let fail = self.fail.of("store parts");
        let transaction = self.connection.transaction().map_err(&fail)?;
        insert_parts(&transaction, installed).map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        self.log_pages += PAGES_PER_COMMIT;
        Ok(())
    }

    /// Forgets windows with their parts, and single parts.
    pub(crate) fn drop_data(&mut self, dropped: &Dropped) -> Result<(), StoreError> {
        let fail = self.fail.of("delete old records");
        let transaction = self.connection.transaction().map_err(&fail)?;
        for window in &dropped.windows {
            transaction.execute("DELETE FROM parts WHERE window = ?1", [window]).map_err(&fail)?;
            transaction.execute("DELETE FROM windows WHERE id = ?1", [window]).map_err(&fail)?;
        }
        for part in &dropped.parts {
            transaction.execute("DELETE FROM parts WHERE id = ?1", [part]).map_err(&fail)?;
        }
        advance_generation(&transaction).map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// Deletes what only described data that is gone.
    pub(crate) fn clean_up(&mut self, cleanup: &Cleanup<'_>) -> Result<(), StoreError> {
        let fail = self.fail.of("delete old entries");
        let transaction = self.connection.transaction().map_err(&fail)?;
        delete_old(&transaction, cleanup).map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// Stores traces with the positions of whoever made them.
    pub(crate) fn store_traces(
        &mut self,
        traces: Vec<EncodedTrace>,
        gone: &[([u8; 16], [u8; 8])],
        cursors: &[CursorUpdate],
    ) -> Result<StoredTraces, StoreError> {
        self.change_spans("store spans", |transaction| {
            update_cursors(transaction, cursors)?;
            // First: a span that moves to another trace may be told of in both lists.
            let removed = spans::remove(transaction, gone)?;
            let stored = spans::store_traces(transaction, traces)?;
            Ok(StoredTraces { removed: stored.removed + removed, ..stored })
        })
    }

    /// Makes a change to the tables of the span index or of readings.
    pub(crate) fn change_spans<T>(
        &mut self,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let fail = self.fail.of(action);
        let transaction = self.connection.transaction().map_err(&fail)?;
        let changed = change(&transaction).map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        self.log_pages += PAGES_PER_CHANGE;
        Ok(changed)
    }

    /// Sets a batch that cannot be read aside, with a gap in its place.
    pub(crate) fn quarantine(&mut self, batch: u64, gap: Option<&Gap>) -> Result<(), StoreError> {
        let fail = self.fail.of("set a damaged batch aside");
        let transaction = self.connection.transaction().map_err(&fail)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO damaged_batches (id, records, min_ns, max_ns, payload)
                 SELECT id, records, min_ns, max_ns, payload FROM batches WHERE id = ?1",
                [batch],
            )
            .map_err(&fail)?;
        transaction.execute("DELETE FROM batches WHERE id = ?1", [batch]).map_err(&fail)?;
        insert_gaps(&transaction, gap.into_iter()).map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// Gives the space of deleted batches back to the disk.
    pub(crate) fn shrink(&mut self) -> Result<(), StoreError> {
        let fail = self.fail.of("shrink");
        give_back_free_pages(&self.connection).map_err(&fail)?;
        empty_log(&self.connection).map_err(fail)
    }
}

fn configure(connection: &Connection, new: bool) -> rusqlite::Result<()> {
    if new {
        connection.pragma_update(None, "page_size", schema::PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", MAX_LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    share_log(connection)
}

/// Settings of every connection that puts something into the log or copies it.
pub(super) fn share_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A reader that may not write to the folder can open the catalog only while the log's files exist, so
    // they stay when the writer ends.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

fn give_back_free_pages(connection: &Connection) -> rusqlite::Result<()> {
    // Each step frees one page.
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}
