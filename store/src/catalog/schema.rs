//! The catalog's tables and their version.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction};

use super::checksum;
use crate::spans;

/// Version of the tables and of everything they point to. A newer one is refused on open.
///
/// 1: the first; 2: with spans; 3: with checksums of rows; 4: with readings of containers; 5: with spans in sets;
/// 6: with a checksum of the folder's identity, and readings whose checksum covers their time.
pub(crate) const FORMAT: i64 = 6;

/// The first format with checksums of rows.
pub(super) const FORMAT_WITH_CHECKSUMS: i64 = 3;

/// The first format with spans in sets.
pub(super) const FORMAT_WITH_SPAN_SETS: i64 = 5;

/// The first format with a checksum of the folder's identity.
const FORMAT_WITH_IDENTITY: i64 = 6;

/// Marks the file as ours (`PRAGMA application_id`): "bncl".
pub(super) const APPLICATION_ID: i64 = 0x626e_636c;

/// Large payloads fill large pages with less overhead; small transactions still touch only a few.
pub(super) const PAGE_BYTES: i64 = 8192;

const TABLES: &str = "
CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labels BLOB NOT NULL UNIQUE,
    min_ns INTEGER NOT NULL,
    max_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_seq INTEGER NOT NULL,
    records INTEGER NOT NULL,
    min_ns INTEGER NOT NULL,
    max_ns INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE damaged_batches (
    id INTEGER PRIMARY KEY,
    records INTEGER NOT NULL,
    min_ns INTEGER NOT NULL,
    max_ns INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE cursors (
    source TEXT PRIMARY KEY,
    position BLOB,
    covered_ns INTEGER
) WITHOUT ROWID, STRICT;
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL,
    lines INTEGER,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX gaps_by_end ON gaps (to_ns);
CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    image TEXT NOT NULL,
    service TEXT NOT NULL,
    project TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    started_ns INTEGER,
    finished_ns INTEGER,
    exit_code INTEGER,
    source TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE windows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    start_ns INTEGER NOT NULL UNIQUE,
    end_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE parts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    window INTEGER NOT NULL REFERENCES windows (id),
    bytes INTEGER NOT NULL,
    records INTEGER NOT NULL,
    line_bytes INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    small_blocks INTEGER NOT NULL,
    min_ns INTEGER NOT NULL,
    max_ns INTEGER NOT NULL,
    min_seq INTEGER NOT NULL,
    end_seq INTEGER NOT NULL,
    levels BLOB NOT NULL
) STRICT;
CREATE INDEX parts_by_window ON parts (window);
";

/// The span index since format 5. Groups, filters and operations are derived from the sets.
const SPAN_TABLES: &str = "
CREATE TABLE span_services (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE span_operations (
    id INTEGER PRIMARY KEY,
    service INTEGER NOT NULL REFERENCES span_services (id),
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    UNIQUE (service, name, kind)
) STRICT;
";
const SPAN_SET_TABLES: &str = "
CREATE TABLE span_sets (
    seq INTEGER PRIMARY KEY,
    end_seq INTEGER NOT NULL,
    trace_id BLOB NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    heads BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX span_sets_by_trace ON span_sets (trace_id);
CREATE TABLE span_groups (
    id INTEGER PRIMARY KEY,
    min_ns INTEGER NOT NULL,
    max_ns INTEGER NOT NULL,
    max_duration_ns INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE span_filters (
    id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    hashes BLOB NOT NULL
) STRICT;
INSERT INTO settings VALUES ('span_seq', 0);
";

/// What format 3 added. Rows of before have no checksum until they change.
const CHECKSUMS: &str = "
ALTER TABLE streams ADD COLUMN checksum INTEGER;
ALTER TABLE cursors ADD COLUMN checksum INTEGER;
ALTER TABLE gaps ADD COLUMN checksum INTEGER;
ALTER TABLE containers ADD COLUMN checksum INTEGER;
";

/// What format 4 added.
const READING_TABLES: &str = "
CREATE TABLE readings (
    at_ns INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
";

/// Brings the tables of an older format up to date, in one transaction.
pub(super) fn upgrade(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found >= FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    if found < 2 {
        transaction.execute_batch(SPAN_TABLES)?;
    }
    if found < 3 {
        transaction.execute_batch(CHECKSUMS)?;
    }
    if found < 4 {
        transaction.execute_batch(READING_TABLES)?;
    }
    if found < FORMAT_WITH_SPAN_SETS {
        transaction.execute_batch(SPAN_SET_TABLES)?;
        if found >= 2 {
            spans::from_rows(&transaction)?;
        }
    }
    seal_identity(&transaction)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Makes the tables of a new catalog.
pub(super) fn create(connection: &mut Connection, window_ns: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(SPAN_TABLES)?;
    transaction.execute_batch(SPAN_SET_TABLES)?;
    transaction.execute_batch(CHECKSUMS)?;
    transaction.execute_batch(READING_TABLES)?;
    transaction.execute(
        "INSERT INTO settings VALUES ('window_ns', ?1), ('generation', 0), ('store_id', random() & ?2)",
        [window_ns, i64::MAX],
    )?;
    seal_identity(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Gives what never changes of the settings a checksum.
fn seal_identity(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    if let Some(identity) = checksum::of_identity(&settings(transaction)?) {
        transaction.execute("INSERT OR REPLACE INTO settings VALUES ('identity', ?1)", [identity])?;
    }
    Ok(())
}

/// What is wrong with the settings, in words.
pub(super) fn wrong_settings(connection: &Connection, format: i64) -> rusqlite::Result<Vec<String>> {
    let settings = settings(connection)?;
    let mut needed = vec!["window_ns", "generation"];
    if format >= FORMAT_WITH_SPAN_SETS {
        needed.push("span_seq");
    }
    let mut wrong: Vec<String> = needed
        .into_iter()
        .filter(|name| !settings.contains_key(*name))
        .map(|name| format!("the setting `{name}` is missing"))
        .collect();
    if format >= FORMAT_WITH_IDENTITY && checksum::of_identity(&settings) != settings.get("identity").copied()
    {
        wrong.push("checksum of the settings".to_owned());
    }
    Ok(wrong)
}

fn settings(connection: &Connection) -> rusqlite::Result<HashMap<String, i64>> {
    connection
        .prepare("SELECT name, value FROM settings")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
