//! Folders whose catalog was harmed while no process had them open.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::verify;
use crate::writer::{Batch, CursorUpdate, Position, Writer};
use crate::{Config, GapReason, Labels, Level, Record, StoreError, TimeRange};

fn open(dir: &Path) -> Result<Writer, StoreError> {
    Writer::open(dir, &Config::default(), &prometheus::Registry::new())
}

fn batch(from: i64) -> Batch {
    let record = |i: i64| Record {
        timestamp_ns: 1_700_000_000_000_000_000 + i,
        labels: Arc::new(Labels::new([("service_name", "harmed")])),
        line: format!("line {i}").into_bytes().into(),
        level: Level::Info,
        pairs: Vec::new(),
    };
    Batch { records: (from..from + 100).map(record).collect(), ..Batch::default() }
}

/// A folder as a killed process leaves it: a part, and batches in the catalog's log.
fn killed(dir: &Path) {
    let live = tempfile::tempdir().unwrap();
    let writer = open(live.path()).unwrap();
    writer.append_blocking(batch(0)).unwrap();
    writer.flush_blocking().unwrap();
    for round in 1..20 {
        writer.append_blocking(batch(round * 100)).unwrap();
    }
    copy(live.path(), dir);
}

/// Copies what is in a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

fn harm(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn commits_that_are_lost_with_the_log_are_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    harm(&dir.path().join("catalog.db-wal"), |bytes| {
        let at = bytes.len() - 50_000;
        bytes[at] ^= 0x10;
    });
    let (writer, damaged) = open_and_count(dir.path());
    let gaps = writer.reader().gaps(TimeRange::ALL).unwrap();
    assert_eq!((gaps.len(), gaps[0].reason), (1, GapReason::Damaged));
    assert!(damaged > 0.0);
    drop(writer);
    let writer = open(dir.path()).unwrap();
    assert_eq!(writer.reader().gaps(TimeRange::ALL).unwrap().len(), 1, "reported once");
}

/// Opens a folder; returns also what it counts as damaged.
fn open_and_count(dir: &Path) -> (Writer, f64) {
    let registry = prometheus::Registry::new();
    let writer = Writer::open(dir, &Config::default(), &registry).unwrap();
    let families = registry.gather();
    let damaged = families.iter().find(|family| family.name() == "binnacle_store_damaged_total").unwrap();
    (writer, damaged.get_metric()[0].get_counter().get_value())
}

#[test]
fn a_changed_row_is_counted_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    assert_eq!(open_and_count(dir.path()).1, 0.0);
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog.execute_batch("UPDATE streams SET max_ns = max_ns + 1").unwrap();
    drop(catalog);
    assert_eq!(open_and_count(dir.path()).1, 1.0);
}

#[test]
fn a_damaged_position_is_unknown_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let cursor = |source: &str| CursorUpdate {
        source: source.to_owned(),
        position: Some(b"5".to_vec()),
        covered_ns: Some(5),
    };
    let cursors = ["a", "b", "c"].map(cursor).to_vec();
    let writer = open(dir.path()).unwrap();
    writer.append_blocking(Batch { cursors, ..Batch::default() }).unwrap();
    drop(writer);
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog.execute_batch("UPDATE cursors SET position = x'36' WHERE source = 'a'").unwrap();
    catalog.execute_batch("UPDATE cursors SET covered_ns = 6 WHERE source = 'b'").unwrap();
    for _ in 0..2 {
        let writer = open(dir.path()).unwrap();
        let positions = ["a", "b", "c", "d"].map(|source| writer.cursor(source).unwrap());
        let expected = [Position::Damaged, Position::Damaged, Position::At(b"5".to_vec()), Position::Unset];
        assert_eq!(positions, expected);
        assert_eq!(writer.reader().coverage().unwrap(), [("c".to_owned(), 5)]);
    }
    let report = verify::data(dir.path()).unwrap();
    assert_eq!((report.damage.len(), report.notes.len()), (0, 2), "{report:?}");
    let writer = open(dir.path()).unwrap();
    // Harmed while it is open: not believed either.
    catalog.execute_batch("UPDATE cursors SET position = x'36' WHERE source = 'c'").unwrap();
    assert_eq!(writer.cursor("c").unwrap(), Position::Damaged);
    writer.append_blocking(Batch { cursors: vec![cursor("a")], ..Batch::default() }).unwrap();
    assert_eq!(writer.cursor("a").unwrap(), Position::At(b"5".to_vec()));
}

#[test]
fn parts_that_a_damaged_catalog_does_not_know_are_kept() {
    for harmed in [false, true] {
        let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let writer = open(live.path()).unwrap();
        writer.append_blocking(batch(0)).unwrap();
        writer.append_blocking(batch(100)).unwrap();
        copy(live.path(), dir.path());
        writer.flush_blocking().unwrap();
        copy(&live.path().join("windows"), &dir.path().join("windows"));
        if harmed {
            harm(&dir.path().join("catalog.db-wal"), |bytes| {
                let at = bytes.len() - 5_000;
                bytes[at] ^= 0x10;
            });
        }
        drop(open(dir.path()).unwrap());
        let is_left =
            |folder: &str| dir.path().join(folder).read_dir().is_ok_and(|mut left| left.next().is_some());
        assert_eq!((is_left("windows"), is_left("set-aside/windows")), (false, harmed));
    }
}

#[test]
fn records_without_a_catalog_refuse_the_start_and_stay() {
    for emptied in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        killed(dir.path());
        let catalog = dir.path().join("catalog.db");
        if emptied {
            fs::write(&catalog, b"").unwrap()
        } else {
            fs::remove_file(&catalog).unwrap()
        }
        let before = verify::data(dir.path()).unwrap();
        assert!(before.parts > 0 && !before.damage.is_empty(), "{before:?}");
        for _ in 0..2 {
            let error = open(dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::NoCatalog { .. }), "{error}");
        }
        fs::remove_file(dir.path().join("catalog.db-wal")).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("restore a backup"), "{error}");
        assert_eq!(verify::data(dir.path()).unwrap().parts, before.parts);
    }
}

#[test]
fn what_a_killed_process_had_not_committed_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    assert_eq!(verify::data(dir.path()).unwrap().damage, Vec::<String>::new());
    for torn in [24, 1000, 8192 + 24] {
        let trial = tempfile::tempdir().unwrap();
        copy(dir.path(), trial.path());
        harm(&trial.path().join("catalog.db-wal"), |bytes| {
            let first = bytes[32..32 + torn].to_vec();
            bytes.extend(first);
        });
        assert_eq!(verify::data(trial.path()).unwrap().damage, Vec::<String>::new(), "{torn} bytes");
        let writer = open(trial.path()).unwrap();
        assert_eq!(writer.reader().gaps(TimeRange::ALL).unwrap(), []);
    }
}
