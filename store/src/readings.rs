//! Readings of containers' counters, kept beside the records: what a container used while a request was in it.
//!
//! One row holds one round, the readings of all containers at one moment, as one zstd frame
//! (docs/on-disk-format.md). A round that is damaged is left out and named in the log. Kept for
//! `retention.max_reading_age`, the newest [`MAX_BYTES`] of them.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};
use xxhash_rust::xxh3::Xxh3;

use crate::config::RetentionConfig;
use crate::error::StoreError;
use crate::keeper::Keeper;
use crate::payload::{self, put_bytes, put_varint, take_bytes, take_varint};
use crate::record::TimeRange;

/// Rounds that take more go, the oldest first: a day of two hundred containers, read every ten seconds.
pub const MAX_BYTES: u64 = 64 << 20;
/// Digits of a container's id that are kept: Docker's short form.
pub const ID_DIGITS: usize = 12;
const ZSTD_LEVEL: i32 = 3;
/// Largest round: a hundred thousand containers.
const MAX_ROUND_BYTES: usize = 8 << 20;
/// Rounds deleted in one transaction: some milliseconds, in which records wait to be stored.
const STEP: usize = 500;
/// Rounds read for one answer.
const MAX_ROUNDS: usize = 2_000;

/// One container's counters at one moment. Counters are since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The first [`ID_DIGITS`] digits of its id.
    pub container_id: String,
    /// Processor time used, nanoseconds.
    pub cpu_ns: u64,
    /// The most it may use, thousandths of a CPU; 0 for no limit.
    pub cpu_limit_millis: u64,
    /// Scheduler periods in which it ran under a limit.
    pub periods: u64,
    /// Of these, those in which it was throttled.
    pub throttled_periods: u64,
    /// Memory it holds (the working set), bytes.
    pub memory_bytes: u64,
    /// The limit in force, bytes; 0 for none.
    pub memory_limit_bytes: u64,
}

/// The readings of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// When, nanoseconds since the epoch.
    pub at_ns: i64,
    /// One for each running container.
    pub readings: Vec<Reading>,
}

impl Round {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut raw = Vec::new();
        put_varint(&mut raw, self.readings.len() as u64);
        for reading in &self.readings {
            put_bytes(&mut raw, short(&reading.container_id).as_bytes());
            for value in reading.numbers() {
                put_varint(&mut raw, value);
            }
        }
        zstd::bulk::compress(&raw, ZSTD_LEVEL)
            .map_err(|e| StoreError::io("compress", Path::new("readings of containers"), e))
    }

    /// `None` for content that is damaged.
    pub(crate) fn decode(at_ns: i64, content: &[u8]) -> Option<Self> {
        let raw = zstd::bulk::decompress(content, MAX_ROUND_BYTES).ok()?;
        let mut rest = raw.as_slice();
        let count = take_varint(&mut rest)?;
        let mut readings = Vec::new();
        for _ in 0..count {
            let container_id = std::str::from_utf8(take_bytes(&mut rest)?).ok()?.to_owned();
            let mut number = || take_varint(&mut rest);
            readings.push(Reading {
                container_id,
                cpu_ns: number()?,
                cpu_limit_millis: number()?,
                periods: number()?,
                throttled_periods: number()?,
                memory_bytes: number()?,
                memory_limit_bytes: number()?,
            });
        }
        rest.is_empty().then_some(Self { at_ns, readings })
    }
}

impl Reading {
    /// In the order in which they are stored.
    const fn numbers(&self) -> [u64; 6] {
        [
            self.cpu_ns,
            self.cpu_limit_millis,
            self.periods,
            self.throttled_periods,
            self.memory_bytes,
            self.memory_limit_bytes,
        ]
    }
}

/// The part of a container's id under which its readings are stored.
#[must_use]
pub fn short(container_id: &str) -> &str {
    container_id.get(..ID_DIGITS).unwrap_or(container_id)
}

/// The checksum of a row.
fn checksum(at_ns: i64, content: &[u8]) -> i64 {
    let mut sum = Xxh3::default();
    sum.update(&at_ns.to_le_bytes());
    sum.update(content);
    sum.digest().cast_signed()
}

/// Stores a round; another of the same moment is replaced.
pub(crate) fn put(transaction: &Transaction<'_>, at_ns: i64, content: &[u8]) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO readings (at_ns, checksum, content) VALUES (?1, ?2, ?3)")?
        .execute(params![at_ns, checksum(at_ns, content), content])?;
    Ok(())
}

/// The readings of these containers in a time range by time, the first rounds when there are more than
/// [`MAX_ROUNDS`].
pub(crate) fn read(
    connection: &Connection,
    range: TimeRange,
    containers: &[&str],
) -> rusqlite::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    each(connection, range, MAX_ROUNDS, |at_ns, round| match round {
        Some(mut round) => {
            let is_wanted = |id: &str| containers.iter().any(|wanted| short(wanted) == id);
            round.readings.retain(|reading| is_wanted(&reading.container_id));
            rounds.push(round);
        }
        None => tracing::error!(at_ns, "damaged readings of containers left out"),
    })?;
    Ok(rounds)
}

/// The times of all rounds that are damaged.
pub(crate) fn damaged(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut damaged = Vec::new();
    each(connection, TimeRange::ALL, usize::MAX >> 1, |at_ns, round| {
        if round.is_none() {
            damaged.push(at_ns);
        }
    })?;
    Ok(damaged)
}

/// Hands over the rounds in a time range by time, at most `max`; `None` for one that is damaged. A catalog of an
/// older format has none.
fn each(
    connection: &Connection,
    range: TimeRange,
    max: usize,
    mut take: impl FnMut(i64, Option<Round>),
) -> rusqlite::Result<()> {
    let tables: i64 = connection
        .prepare_cached("SELECT count(*) FROM sqlite_schema WHERE name = 'readings'")?
        .query_row([], |row| row.get(0))?;
    if tables == 0 {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "SELECT at_ns, checksum, content FROM readings
         WHERE at_ns >= ?1 AND at_ns < ?2 ORDER BY at_ns LIMIT ?3",
    )?;
    let mut rows = statement.query(params![range.start_ns, range.end_ns, max])?;
    while let Some(row) = rows.next()? {
        let (at_ns, expected): (i64, i64) = (row.get(0)?, row.get(1)?);
        let content = row.get_ref(2)?.as_blob()?;
        // Before format 6 of the catalog the time had no part in it.
        let is_whole = [checksum(at_ns, content), payload::checksum(content)].contains(&expected);
        take(at_ns, Round::decode(at_ns, content).filter(|_| is_whole));
    }
    Ok(())
}

/// Deletes rounds that are too old, and the oldest of those that take too much.
pub(crate) fn enforce(keeper: &Keeper, config: &RetentionConfig) -> Result<(), StoreError> {
    let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    let max_age_ns = i64::try_from(config.max_reading_age.0.as_nanos()).unwrap_or(i64::MAX);
    let cutoff_ns = now_ns.saturating_sub(max_age_ns);
    loop {
        keeper.common.tenure.check()?;
        let deleted = keeper.common.committer(move |committer| {
            committer.catalog.change_spans("delete old readings", |t| delete(t, cutoff_ns, MAX_BYTES))
        })?;
        if deleted == 0 {
            return Ok(());
        }
    }
}

/// Deletes up to [`STEP`] of the oldest rounds: those before `cutoff_ns`, or while all take more than `max_bytes`.
/// Returns how many.
fn delete(transaction: &Transaction<'_>, cutoff_ns: i64, max_bytes: u64) -> rusqlite::Result<usize> {
    let total: u64 = transaction
        .prepare_cached("SELECT coalesce(sum(length(content)), 0) FROM readings")?
        .query_row([], |row| row.get(0))?;
    let mut excess = total.saturating_sub(max_bytes);
    let mut last_ns = None;
    {
        let mut statement = transaction
            .prepare_cached("SELECT at_ns, length(content) FROM readings ORDER BY at_ns LIMIT ?1")?;
        let mut rows = statement.query([STEP])?;
        while let Some(row) = rows.next()? {
            let (at_ns, bytes): (i64, u64) = (row.get(0)?, row.get(1)?);
            if at_ns >= cutoff_ns && excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            last_ns = Some(at_ns);
        }
    }
    let Some(last_ns) = last_ns else { return Ok(0) };
    transaction.prepare_cached("DELETE FROM readings WHERE at_ns <= ?1")?.execute([last_ns])
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::{Config, Reader, Writer};

    fn round(at_ns: i64) -> Round {
        let reading = |digit: &str, cpu_ns| Reading {
            container_id: digit.repeat(ID_DIGITS),
            cpu_ns,
            cpu_limit_millis: 1_500,
            periods: 10,
            throttled_periods: 3,
            memory_bytes: 5 << 20,
            memory_limit_bytes: u64::MAX,
        };
        Round { at_ns, readings: vec![reading("a", 7), reading("b", u64::MAX)] }
    }

    #[test]
    fn readings_of_one_process_are_read_by_another_and_damage_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path(), &Config::default(), &Registry::new()).unwrap();
        for at_ns in [30, 10, 20] {
            writer.store_readings_blocking(&round(at_ns)).unwrap();
        }
        let long_id = Reading { container_id: "c".repeat(64), ..Reading::default() };
        writer.store_readings_blocking(&Round { at_ns: 40, readings: vec![long_id] }).unwrap();
        let reader = Reader::open(dir.path()).unwrap();
        let ids = ["a", "b", "c"].map(|digit| digit.repeat(64));
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let read = |start_ns, end_ns| reader.readings(TimeRange { start_ns, end_ns }, &ids).unwrap();
        assert_eq!(read(10, 30), [round(10), round(20)]);
        assert_eq!(read(40, 41)[0].readings[0].container_id, "c".repeat(12));
        let one = reader.readings(TimeRange::ALL, &ids[1..2]).unwrap();
        assert_eq!((one.len(), &one[0].readings), (4, &round(10).readings[1..].to_vec()));
        let catalog = Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
        catalog
            .execute("UPDATE readings SET content = zeroblob(length(content)) WHERE at_ns = 20", [])
            .unwrap();
        assert_eq!(read(10, 31), [round(10), round(30)]);
        let damage = crate::verify::data(dir.path()).unwrap().damage;
        assert!(damage.iter().any(|what| what.contains("readings")), "{damage:?}");
    }

    #[test]
    fn a_folder_of_the_format_before_gets_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Writer::open(dir.path(), &Config::default(), &Registry::new()).unwrap();
        drop(open());
        let catalog = Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
        catalog.execute_batch(crate::spans::tests::FORMAT_4).unwrap();
        catalog.execute_batch("DROP TABLE readings; PRAGMA user_version = 3;").unwrap();
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.readings(TimeRange::ALL, &[]).unwrap(), []);
        assert!(crate::verify::data(dir.path()).unwrap().damage.is_empty());
        open().store_readings_blocking(&round(5)).unwrap();
        assert_eq!(reader.readings(TimeRange::ALL, &["aaaaaaaaaaaa", "bbbbbbbbbbbb"]).unwrap(), [round(5)]);
    }

    #[test]
    fn a_backup_brings_them_back() {
        let dir = tempfile::tempdir().unwrap();
        let (data, target, restored) =
            (dir.path().join("data"), dir.path().join("backup"), dir.path().join("restored"));
        let writer = Writer::open(&data, &Config::default(), &Registry::new()).unwrap();
        writer.store_readings_blocking(&round(10)).unwrap();
        writer.store_readings_blocking(&round(20)).unwrap();
        crate::backup::to_folder(&data, &target, &mut |_| {}).unwrap();
        let mut archive = Vec::new();
        crate::backup::to_archive(&data, &mut archive, &mut |_| {}).unwrap();
        for from in
            [crate::backup::From::Folder(&target), crate::backup::From::Archive(Box::new(archive.as_slice()))]
        {
            crate::backup::restore(from, &restored, true, false, &mut |_| {}).unwrap();
            let ids = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"];
            let back = Reader::open(&restored).unwrap().readings(TimeRange::ALL, &ids).unwrap();
            assert_eq!(back, [round(10), round(20)]);
        }
    }

    #[test]
    fn the_oldest_go_first_by_age_and_by_size() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE readings (at_ns INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, content BLOB NOT NULL)",
            )
            .unwrap();
        let transaction = connection.transaction().unwrap();
        for at_ns in 0..10 {
            put(&transaction, at_ns, &[0; 100]).unwrap();
        }
        let left = || -> (i64, i64) {
            let sql = "SELECT min(at_ns), count(*) FROM readings";
            transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        assert_eq!(delete(&transaction, 3, 10_000).unwrap(), 3);
        assert_eq!(left(), (3, 7));
        assert_eq!(delete(&transaction, 3, 450).unwrap(), 3);
        assert_eq!((delete(&transaction, 3, 450).unwrap(), left()), (0, (6, 4)));
    }
}
