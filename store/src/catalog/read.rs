//! Reading the catalog, from the writer's process or another.
//!
//! What belongs together is read in one transaction ([`CatalogReader::consistent`]): a batch is either still
//! among the batches or already in the parts of the same view.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::{
    BatchRow, Failure, PartRow, StreamRow, WindowRow, checksum, connect, decode_labels, file_of, schema,
};
use crate::Level;
use crate::error::StoreError;
use crate::readings;
use crate::record::{StreamId, TimeRange};
use crate::spans;
use crate::writer::{Container, Gap, GapReason, Position};

/// A reading connection.
#[derive(Debug)]
pub(crate) struct CatalogReader {
    connection: Connection,
    fail: Failure,
}

impl CatalogReader {
    /// Opens the catalog of `dir` for reading.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_file(dir, &file_of(dir))
    }

    /// Opens what [`CatalogReader::copy_to`] has made.
    pub(crate) fn open_copy(path: &Path) -> Result<Self, StoreError> {
        Self::open_file(path, path)
    }

    /// Opens `path`; errors name it as the store in `dir`.
    fn open_file(dir: &Path, path: &Path) -> Result<Self, StoreError> {
        let fail = Failure { path: path.into() };
        let no_store = || StoreError::NoStore { dir: dir.display().to_string() };
        match std::fs::metadata(path) {
            // SQLite would delete the log of an empty file.
            Ok(found) if found.len() == 0 => return Err(no_store()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_store()),
            Err(error) => return Err(StoreError::io("open", path, error)),
        }
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fail.of("open"))?;
        let version = user_version(&connection).map_err(fail.of("open"))?;
        if version == 0 {
            // The writer has made the file and not yet the tables.
            return Err(no_store());
        }
        check_format(&connection, path, dir, &fail)?;
        Ok(Self { connection, fail })
    }

    /// The connection, for reading what is not this module's.
    pub(crate) fn into_parts(self) -> (Connection, Failure) {
        (self.connection, self.fail)
    }

    /// Changes when another connection commits; comparable within this reader only.
    pub(crate) fn data_version(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(self.fail.of("look for changes"))
    }

    /// Runs `read` on one unchanging state of the catalog.
    pub(crate) fn consistent<T>(
        &mut self,
        read: impl FnOnce(&View<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let fail = self.fail.of("read");
        let transaction = self.connection.transaction().map_err(&fail)?;
        let result = read(&View { connection: &transaction }).map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        Ok(result)
    }

    /// Writes all that is committed now to the new file `path`, without free pages, and syncs it. The writer
    /// goes on meanwhile.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let name = path.to_string_lossy();
        self.connection.execute("VACUUM INTO ?1", [&name]).map_err(self.fail.of("make a copy"))?;
        std::fs::File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|e| StoreError::io("sync", path, e))
    }

    /// The number that tells this data folder from others; `None` when an early version made it.
    pub(crate) fn store_id(&self) -> Result<Option<u64>, StoreError> {
        self.connection
            .query_row("SELECT value FROM settings WHERE name = 'store_id'", [], |row| row.get(0))
            .optional()
            .map_err(self.fail.of("read the settings"))
    }

    /// The position of `source`.
    pub(crate) fn cursor(&self, source: &str) -> Result<Position, StoreError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT * FROM cursors WHERE source = ?1")?
                .query_row([source], |row| Ok((row.get::<_, Option<Vec<u8>>>("position")?, is_whole(row)?)))
                .optional()
        };
        let Some((position, is_whole)) = read().map_err(self.fail.of("read a cursor"))? else {
            return Ok(Position::Unset);
        };
        Ok(match position {
            _ if !is_whole => Position::Damaged,
            Some(bytes) if bytes.is_empty() => Position::Damaged,
            Some(bytes) => Position::At(bytes),
            None => Position::Unset,
        })
    }

    /// The sources that begin with `prefix` and have a position, with it.
    pub(crate) fn cursors(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT source, position FROM cursors
                     WHERE position IS NOT NULL AND substr(source, 1, length(?1)) = ?1 ORDER BY source",
                )?
                .query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail.of("read cursors"))
    }

    /// Newest time covered, by source.
    pub(crate) fn coverage(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT source, covered_ns FROM cursors WHERE covered_ns IS NOT NULL ORDER BY source",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail.of("read the coverage"))
    }

    /// Gaps that overlap `range`, by time.
    pub(crate) fn gaps(&self, range: TimeRange) -> Result<Vec<Gap>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(&format!(
                    "SELECT {GAP_COLUMNS} FROM gaps WHERE to_ns >= ?1 AND from_ns < ?2 ORDER BY from_ns, id"
                ))?
                .query_map([range.start_ns, range.end_ns], gap_of)?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail.of("read the gaps"))
    }

    /// The container with this id.
    pub(crate) fn container(&self, id: &str) -> Result<Option<Container>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(&format!("SELECT {CONTAINER_COLUMNS} FROM containers WHERE id = ?1"))?
                .query_row([id], container_of)
                .optional()
        };
        read().map_err(self.fail.of("read a container"))
    }

    /// Every container, by creation.
    pub(crate) fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(&format!(
                    "SELECT {CONTAINER_COLUMNS} FROM containers ORDER BY created_ns, id"
                ))?
                .query_map([], container_of)?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.fail.of("read the containers"))
    }
}

/// One unchanging state of the catalog.
#[derive(Debug)]
pub(crate) struct View<'a> {
    connection: &'a Connection,
}

impl View<'_> {
    /// Changes when windows, parts or the ranges of streams do.
    pub(crate) fn generation(&self) -> rusqlite::Result<i64> {
        generation(self.connection)
    }

    /// Every window.
    pub(crate) fn windows(&self) -> rusqlite::Result<Vec<WindowRow>> {
        windows(self.connection)
    }

    /// Every part.
    pub(crate) fn parts(&self) -> rusqlite::Result<Vec<PartRow>> {
        parts(self.connection)
    }

    /// Times of readings that cannot be read.
    pub(crate) fn damaged_readings(&self) -> rusqlite::Result<Vec<i64>> {
        readings::damaged(self.connection)
    }

    /// What is wrong with spans, in words.
    pub(crate) fn damaged_spans(&self) -> rusqlite::Result<Vec<String>> {
        match user_version(self.connection)? < schema::FORMAT_WITH_SPAN_SETS {
            true => Ok(Vec::new()),
            false => spans::damage(self.connection),
        }
    }

    /// Streams with a higher number than `after`.
    pub(crate) fn streams_after(&self, after: StreamId) -> rusqlite::Result<Vec<StreamRow>> {
        streams_after(self.connection, after)
    }

    /// The lowest number of a batch that is still there.
    pub(crate) fn first_batch(&self) -> rusqlite::Result<Option<u64>> {
        self.connection.query_row("SELECT min(id) FROM batches", [], |row| row.get(0))
    }

    /// The highest number ever given to a batch.
    pub(crate) fn last_batch(&self) -> rusqlite::Result<u64> {
        let last: Option<u64> = self.connection.query_row(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = 'batches'",
            [],
            |row| row.get(0),
        )?;
        Ok(last.unwrap_or(0))
    }

    /// The highest number ever given to a part.
    pub(crate) fn last_part(&self) -> rusqlite::Result<u64> {
        let last: Option<u64> = self.connection.query_row(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = 'parts'",
            [],
            |row| row.get(0),
        )?;
        Ok(last.unwrap_or(0))
    }

    /// Number of rows in `table`.
    pub(crate) fn count(&self, table: &'static str) -> rusqlite::Result<u64> {
        self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
    }

    /// What SQLite finds wrong with the structure of the file, in its words.
    pub(crate) fn integrity(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
        let mut found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        found.retain(|what| what != "ok");
        let mut statement = self.connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found.push(format!("a row of `{}` belongs to nothing", row.get::<_, String>(0)?));
        }
        Ok(found)
    }

    /// Sources whose position was found damaged by a start, and not stored since.
    pub(crate) fn lost_positions(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement =
            self.connection.prepare("SELECT source FROM cursors WHERE position = x'' ORDER BY source")?;
        statement.query_map([], |row| row.get(0))?.collect()
    }

    /// Rows whose checksum does not fit, in words.
    pub(crate) fn wrong_rows(&self) -> rusqlite::Result<Vec<String>> {
        wrong_rows(self.connection)
    }

    /// Hands batches with a higher number than `after` to `each`, oldest first.
    pub(crate) fn each_batch_after(&self, after: u64, each: impl FnMut(BatchRow)) -> rusqlite::Result<()> {
        each_batch_after(self.connection, after, each)
    }
}

fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The format of the tables, when this version knows it.
pub(super) fn check_format(
    connection: &Connection,
    path: &Path,
    dir: &Path,
    fail: &Failure,
) -> Result<i64, StoreError> {
    let application: i64 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fail.of("open"))?;
    if application != schema::APPLICATION_ID {
        let what = format!("`{}` is not a catalog of binnacle", path.display());
        return Err(StoreError::Damaged { what });
    }
    let found = user_version(connection).map_err(fail.of("open"))?;
    if found > schema::FORMAT {
        return Err(StoreError::Newer { dir: dir.display().to_string(), found, known: schema::FORMAT });
    }
    Ok(found)
}

pub(super) fn generation(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT value FROM settings WHERE name = 'generation'")?
        .query_row([], |row| row.get(0))
}

pub(super) fn windows(connection: &Connection) -> rusqlite::Result<Vec<WindowRow>> {
    connection
        .prepare_cached("SELECT id, start_ns, end_ns FROM windows ORDER BY start_ns")?
        .query_map([], |row| Ok(WindowRow { id: row.get(0)?, start_ns: row.get(1)?, end_ns: row.get(2)? }))?
        .collect()
}

pub(super) fn parts(connection: &Connection) -> rusqlite::Result<Vec<PartRow>> {
    connection
        .prepare_cached(
            "SELECT id, window, bytes, records, line_bytes, blocks, small_blocks, min_ns, max_ns, min_seq,
                    end_seq, levels
             FROM parts ORDER BY min_seq",
        )?
        .query_map([], part_of)?
        .collect()
}

fn part_of(row: &Row<'_>) -> rusqlite::Result<PartRow> {
    let mut levels = [0; Level::COUNT];
    let counts: Vec<u8> = row.get(11)?;
    for (level, count) in levels.iter_mut().zip(counts.chunks_exact(8)) {
        *level = u64::from_le_bytes(count.try_into().unwrap_or_default());
    }
    Ok(PartRow {
        id: row.get(0)?,
        window: row.get(1)?,
        bytes: row.get(2)?,
        records: row.get(3)?,
        line_bytes: row.get(4)?,
        blocks: row.get(5)?,
        small_blocks: row.get(6)?,
        min_ns: row.get(7)?,
        max_ns: row.get(8)?,
        min_seq: row.get(9)?,
        end_seq: row.get(10)?,
        levels,
    })
}

pub(super) fn streams_after(connection: &Connection, after: StreamId) -> rusqlite::Result<Vec<StreamRow>> {
    let mut statement = connection
        .prepare_cached("SELECT id, labels, min_ns, max_ns FROM streams WHERE id > ?1 ORDER BY id")?;
    let rows = statement.query_map([after.0], |row| {
        let labels: Vec<u8> = row.get(1)?;
        Ok((StreamId(row.get(0)?), labels, row.get(2)?, row.get(3)?))
    })?;
    let mut streams = Vec::new();
    for row in rows {
        let (id, labels, min_ns, max_ns) = row?;
        let Some(labels) = decode_labels(&labels) else {
            tracing::error!(
                stream = id.0,
                "damaged labels in the catalog; the stream is left out of answers"
            );
            continue;
        };
        streams.push(StreamRow { id, labels: Arc::new(labels), min_ns, max_ns });
    }
    Ok(streams)
}

/// Whether a row of `cursors` is as it was written. Rows of an early format have no checksum.
fn is_whole(row: &Row<'_>) -> rusqlite::Result<bool> {
    let Ok(Some(stored)) = row.get::<_, Option<i64>>("checksum") else { return Ok(true) };
    let (source, position): (String, Option<Vec<u8>>) = (row.get("source")?, row.get("position")?);
    Ok(checksum::of_cursor(&source, position.as_deref(), row.get("covered_ns")?) == stored)
}

/// Sources whose row in `cursors` is not as it was written.
pub(super) fn damaged_positions(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT * FROM cursors ORDER BY source")?;
    let mut rows = statement.query([])?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        if !is_whole(row)? {
            damaged.push(row.get("source")?);
        }
    }
    Ok(damaged)
}

/// Rows whose checksum does not fit, in words. Those of an earlier format have none.
pub(super) fn wrong_rows(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let format = user_version(connection)?;
    let mut wrong = schema::wrong_settings(connection, format)?;
    if format < schema::FORMAT_WITH_CHECKSUMS {
        return Ok(wrong);
    }
    let mut check = |select: &str, name: &dyn Fn(&Row<'_>) -> rusqlite::Result<(String, i64)>| {
        let mut statement = connection.prepare(select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let stored: Option<i64> = row.get("checksum")?;
            match name(row) {
                Ok((_, checksum)) if stored.is_none_or(|stored| stored == checksum) => {}
                Ok((name, _)) => wrong.push(format!("checksum of {name}")),
                Err(error) => wrong.push(format!("a row cannot be read: {error}")),
            }
        }
        Ok::<_, rusqlite::Error>(())
    };
    check("SELECT * FROM streams", &|row| {
        let (id, labels): (u64, Vec<u8>) = (row.get("id")?, row.get("labels")?);
        let checksum = checksum::of_stream(id, &labels, row.get("min_ns")?, row.get("max_ns")?);
        Ok((format!("stream {id}"), checksum))
    })?;
    check("SELECT * FROM cursors", &|row| {
        let (source, position): (String, Option<Vec<u8>>) = (row.get("source")?, row.get("position")?);
        let checksum = checksum::of_cursor(&source, position.as_deref(), row.get("covered_ns")?);
        Ok((format!("the position of `{source}`"), checksum))
    })?;
    check(&format!("SELECT {GAP_COLUMNS}, checksum, id FROM gaps"), &|row| {
        Ok((format!("gap {}", row.get::<_, i64>("id")?), checksum::of_gap(&gap_of(row)?)))
    })?;
    check(&format!("SELECT {CONTAINER_COLUMNS}, checksum FROM containers"), &|row| {
        let container = container_of(row)?;
        Ok((format!("container `{}`", container.name), checksum::of_container(&container)))
    })?;
    Ok(wrong)
}

pub(super) fn each_batch_after(
    connection: &Connection,
    after: u64,
    mut each: impl FnMut(BatchRow),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT id, first_seq, records, min_ns, max_ns, checksum, payload FROM batches
         WHERE id > ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        each(BatchRow {
            id: row.get(0)?,
            first_seq: row.get(1)?,
            records: row.get(2)?,
            min_ns: row.get(3)?,
            max_ns: row.get(4)?,
            checksum: row.get(5)?,
            payload: row.get(6)?,
        });
    }
    Ok(())
}

/// What [`gap_of`] reads.
const GAP_COLUMNS: &str = "source, name, from_ns, to_ns, lines, reason";

fn gap_of(row: &Row<'_>) -> rusqlite::Result<Gap> {
    let reason: String = row.get(5)?;
    Ok(Gap {
        source: row.get(0)?,
        name: row.get(1)?,
        from_ns: row.get(2)?,
        to_ns: row.get(3)?,
        lines: row.get(4)?,
        reason: GapReason::from_name(&reason).unwrap_or(GapReason::Damaged),
    })
}

/// What [`container_of`] reads.
const CONTAINER_COLUMNS: &str =
    "id, name, image, service, project, state, created_ns, started_ns, finished_ns, exit_code, source";

fn container_of(row: &Row<'_>) -> rusqlite::Result<Container> {
    Ok(Container {
        id: row.get(0)?,
        name: row.get(1)?,
        image: row.get(2)?,
        service: row.get(3)?,
        project: row.get(4)?,
        state: row.get(5)?,
        created_ns: row.get(6)?,
        started_ns: row.get(7)?,
        finished_ns: row.get(8)?,
        exit_code: row.get(9)?,
        source: row.get(10)?,
    })
}
