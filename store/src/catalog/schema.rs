//! The catalog's tables and their version.

use rusqlite::Connection;

/// Version of the tables and of everything they point to. A newer one is refused on open.
pub(crate) const FORMAT: i64 = 1;

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

/// Makes the tables of a new catalog.
pub(super) fn create(connection: &mut Connection, window_ns: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO settings VALUES ('window_ns', ?1), ('generation', 0)", [window_ns])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}
