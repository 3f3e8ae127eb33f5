//! Rows of the catalog's tables, written within a transaction of the caller, each with its checksum where the table
//! has them.

use rusqlite::{CachedStatement, OptionalExtension as _, Transaction, named_params, params};

use super::read::generation;
use super::write::{Cleanup, Installed, NewBatch};
use super::{PartRow, StreamRow, checksum, encode_labels};
use crate::writer::{Batch, Container, CursorUpdate, Gap};

pub(super) fn store_all<'a>(
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

pub(super) fn update_cursors(
    transaction: &Transaction<'_>,
    cursors: &[CursorUpdate],
) -> rusqlite::Result<()> {
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

/// Makes a damaged row say that it was: an empty position, and no time.
pub(super) fn distrust_cursor(transaction: &Transaction<'_>, source: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE cursors SET position = x'', covered_ns = NULL WHERE source = ?1")?
        .execute([source])?;
    seal_cursor(transaction, source, Some(&[]), None)
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

pub(super) fn insert_gaps<'a>(
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

pub(super) fn insert_parts(transaction: &Transaction<'_>, installed: &Installed) -> rusqlite::Result<()> {
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
pub(super) fn advance_generation(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let next = generation(transaction)? + 1;
    transaction.execute("UPDATE settings SET value = ?1 WHERE name = 'generation'", [next])?;
    Ok(())
}

pub(super) fn delete_old(transaction: &Transaction<'_>, cleanup: &Cleanup<'_>) -> rusqlite::Result<()> {
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
