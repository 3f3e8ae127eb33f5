//! The catalog's one writing connection.
//!
//! Each method is one transaction: when it fails, nothing of it is stored.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{
    CachedStatement, Connection, OpenFlags, OptionalExtension as _, Transaction, named_params, params,
};

use super::read::{self, generation};
use super::{
    BatchRow, Failure, PartRow, StreamRow, WindowRow, checksum, connect, encode_labels, file_of, schema,
};
use crate::error::StoreError;
use crate::orphans;
use crate::record::StreamId;
use crate::spans::{self, EncodedTrace, StoredTraces};
use crate::writer::{Batch, Container, CursorUpdate, Gap};

/// Pages (8 KiB each) put into the write-ahead log, about, at which [`CatalogWriter::checkpoint_if_due`] copies it into
/// the file: 2 MiB, which an append that comes meanwhile waits for.
const CHECKPOINT_PAGES: usize = 256;
/// Pages of the log at which a transaction itself must copy it: 16 MiB.
const MAX_LOG_PAGES: i64 = 2000;
/// Pages that a commit puts there besides its payloads, about.
const PAGES_PER_COMMIT: usize = 4;
/// The write-ahead log is cut to this size when it starts over.
const WAL_LIMIT_BYTES: i64 = 16 << 20;
/// SQLite's page cache, in KiB.
const CACHE_KIB: i64 = 8 << 10;

/// The writing side of the catalog.
#[derive(Debug)]
pub(crate) struct CatalogWriter {
    connection: Connection,
    fail: Failure,
    /// Pages of commits since the log was last copied into the file, about.
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

    /// Copies the write-ahead log into the file if there is much in it. For when nobody waits: it takes a sync.
    pub(crate) fn checkpoint_if_due(&mut self) -> Result<(), StoreError> {
        if self.log_pages < CHECKPOINT_PAGES {
            return Ok(());
        }
        self.log_pages = 0;
        let fail = self.fail.of("copy the log of");
        // Waits for no reader: what one still needs is copied another time.
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(fail)
    }

    /// Puts new parts in the place of the batches or parts whose records they hold.
    pub(crate) fn install(&mut self, installed: &Installed) -> Result<(), StoreError> {
        let fail = self.fail.of("store parts");
        let transaction = self.connection.transaction().map_err(&fail)?;
        insert_parts(&transaction, installed).map_err(&fail)?;
        transaction.commit().map_err(&fail)
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
        traces: &[EncodedTrace],
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
        // A reader in the middle of a transaction keeps the log from being cut; it is cut another time.
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(fail)
    }
}

fn configure(connection: &Connection, new: bool) -> rusqlite::Result<()> {
    if new {
        connection.pragma_update(None, "page_size", schema::PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", MAX_LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
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

fn store_all<'a>(
    transaction: &Transaction<'_>,
    streams: &[StreamRow],
    payloads: &[NewBatch],
    appends: impl Iterator<Item = &'a Batch>,
) -> rusqlite::Result<Vec<u64>> {
    for stream in streams {
        let labels = encode_labels(&stream.labels);
        let checksum = checksum::of_stream(stream.id.0, &labels, stream.min_ns, stream.max_ns);
        transaction
            .prepare_cached(
                "INSERT INTO streams (id, labels, min_ns, max_ns, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![stream.id.0, labels, stream.min_ns, stream.max_ns, checksum])?;
    }
    let mut ids = Vec::with_capacity(payloads.len());
    for batch in payloads {
        transaction
            .prepare_cached(
                "INSERT INTO batches (first_seq, records, min_ns, max_ns, checksum, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                batch.first_seq,
                batch.records,
                batch.min_ns,
                batch.max_ns,
                batch.checksum,
                batch.payload
            ])?;
        ids.push(u64::try_from(transaction.last_insert_rowid()).unwrap_or(0));
    }
    for append in appends {
        update_cursors(transaction, &append.cursors)?;
        insert_gaps(transaction, append.gaps.iter())?;
        update_containers(transaction, &append.containers)?;
        update_coverage(transaction, &append.coverage)?;
    }
    Ok(ids)
}

fn update_coverage(transaction: &Transaction<'_>, coverage: &[(String, i64)]) -> rusqlite::Result<()> {
    for (source, covered_ns) in coverage {
        let changed: Option<(Option<Vec<u8>>, Option<i64>)> = transaction
            .prepare_cached(
                "UPDATE cursors SET covered_ns = max(coalesce(covered_ns, ?2), ?2) WHERE source = ?1
                 RETURNING position, covered_ns",
            )?
            .query_row(params![source, covered_ns], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((position, covered_ns)) = changed {
            seal_cursor(transaction, source, position.as_deref(), covered_ns)?;
        }
    }
    Ok(())
}

fn update_cursors(transaction: &Transaction<'_>, cursors: &[CursorUpdate]) -> rusqlite::Result<()> {
    for cursor in cursors {
        // Coverage outlives a forgotten position, so that answers still say how far the source was read.
        let (position, covered_ns): (Option<Vec<u8>>, Option<i64>) = transaction
            .prepare_cached(
                "INSERT INTO cursors (source, position, covered_ns) VALUES (?1, ?2, ?3)
                 ON CONFLICT (source) DO UPDATE SET
                     position = excluded.position, covered_ns = coalesce(excluded.covered_ns, covered_ns)
                 RETURNING position, covered_ns",
            )?
            .query_row(params![cursor.source, cursor.position, cursor.covered_ns], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        seal_cursor(transaction, &cursor.source, position.as_deref(), covered_ns)?;
        if cursor.position.is_none() {
            transaction
                .prepare_cached("DELETE FROM cursors WHERE source = ?1 AND covered_ns IS NULL")?
                .execute([&cursor.source])?;
        }
    }
    Ok(())
}

/// Gives a row that has just changed its checksum.
fn seal_cursor(
    transaction: &Transaction<'_>,
    source: &str,
    position: Option<&[u8]>,
    covered_ns: Option<i64>,
) -> rusqlite::Result<()> {
    let checksum = checksum::of_cursor(source, position, covered_ns);
    transaction
        .prepare_cached("UPDATE cursors SET checksum = ?2 WHERE source = ?1")?
        .execute(params![source, checksum])?;
    Ok(())
}

fn insert_gaps<'a>(
    transaction: &Transaction<'_>,
    gaps: impl Iterator<Item = &'a Gap>,
) -> rusqlite::Result<()> {
    for gap in gaps {
        transaction
            .prepare_cached(
                "INSERT INTO gaps (source, name, from_ns, to_ns, lines, reason, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                gap.source,
                gap.name,
                gap.from_ns,
                gap.to_ns,
                gap.lines,
                gap.reason.name(),
                checksum::of_gap(gap),
            ])?;
    }
    Ok(())
}

fn update_containers(transaction: &Transaction<'_>, containers: &[Container]) -> rusqlite::Result<()> {
    for container in containers {
        let mut statement: CachedStatement<'_> = transaction.prepare_cached(
            "INSERT OR REPLACE INTO containers
                 (id, name, image, service, project, state, created_ns, started_ns, finished_ns, exit_code, source,
                  checksum)
             VALUES (:id, :name, :image, :service, :project, :state, :created, :started, :finished, :exit, :source,
                     :checksum)",
        )?;
        statement.execute(named_params! {
            ":id": container.id,
            ":name": container.name,
            ":image": container.image,
            ":service": container.service,
            ":project": container.project,
            ":state": container.state,
            ":created": container.created_ns,
            ":started": container.started_ns,
            ":finished": container.finished_ns,
            ":exit": container.exit_code,
            ":source": container.source,
            ":checksum": checksum::of_container(container),
        })?;
    }
    Ok(())
}

fn insert_parts(transaction: &Transaction<'_>, installed: &Installed) -> rusqlite::Result<()> {
    for window in &installed.windows {
        transaction.execute(
            "INSERT INTO windows (id, start_ns, end_ns) VALUES (?1, ?2, ?3)",
            params![window.id, window.start_ns, window.end_ns],
        )?;
    }
    for part in &installed.parts {
        insert_part(transaction, part)?;
    }
    for part in &installed.replaced {
        transaction.execute("DELETE FROM parts WHERE id = ?1", [part])?;
    }
    if let Some(batch) = installed.up_to_batch {
        transaction.execute("DELETE FROM batches WHERE id <= ?1", [batch])?;
    }
    for (stream, min_ns, max_ns) in &installed.streams {
        let row = transaction
            .prepare_cached(
                "UPDATE streams SET min_ns = min(min_ns, ?2), max_ns = max(max_ns, ?3) WHERE id = ?1
                 RETURNING labels, min_ns, max_ns",
            )?
            .query_row(params![stream.0, min_ns, max_ns], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((labels, min_ns, max_ns)): Option<(Vec<u8>, i64, i64)> = row else { continue };
        transaction
            .prepare_cached("UPDATE streams SET checksum = ?2 WHERE id = ?1")?
            .execute(params![stream.0, checksum::of_stream(stream.0, &labels, min_ns, max_ns)])?;
    }
    advance_generation(transaction)
}

fn insert_part(transaction: &Transaction<'_>, part: &PartRow) -> rusqlite::Result<()> {
    let levels: Vec<u8> = part.levels.iter().flat_map(|count| count.to_le_bytes()).collect();
    transaction
        .prepare_cached(
            "INSERT INTO parts (id, window, bytes, records, line_bytes, blocks, small_blocks, min_ns, max_ns,
                                min_seq, end_seq, levels)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            part.id,
            part.window,
            part.bytes,
            part.records,
            part.line_bytes,
            part.blocks,
            part.small_blocks,
            part.min_ns,
            part.max_ns,
            part.min_seq,
            part.end_seq,
            levels,
        ])?;
    Ok(())
}

/// Tells readers of other processes that windows, parts or streams are no longer what they read.
fn advance_generation(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let next = generation(transaction)? + 1;
    transaction.execute("UPDATE settings SET value = ?1 WHERE name = 'generation'", [next])?;
    Ok(())
}

fn delete_old(transaction: &Transaction<'_>, cleanup: &Cleanup<'_>) -> rusqlite::Result<()> {
    let before_ns = cleanup.before_ns;
    transaction.execute("DELETE FROM gaps WHERE to_ns < ?1", [before_ns])?;
    transaction.execute("DELETE FROM cursors WHERE position IS NULL AND covered_ns < ?1", [before_ns])?;
    transaction.execute(
        "DELETE FROM containers
         WHERE state = 'removed' AND max(created_ns, coalesce(finished_ns, created_ns)) < ?1",
        [before_ns],
    )?;
    transaction.execute("DELETE FROM damaged_batches WHERE max_ns < ?1", [before_ns])?;
    for stream in cleanup.streams {
        transaction.prepare_cached("DELETE FROM streams WHERE id = ?1")?.execute([stream.0])?;
    }
    advance_generation(transaction)
}
