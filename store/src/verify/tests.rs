use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data;
use crate::writer::{Batch, Container, CursorUpdate, Gap, GapReason, Writer};
use crate::{Config, Labels, Level, Record};

fn seeded(i: i64) -> Record {
    Record {
        timestamp_ns: 1_700_000_000_000_000_000 + i,
        labels: Arc::new(Labels::new([("service_name", ["seeded", "sown"][i as usize % 2])])),
        line: format!("request {i} of 4bf92f3577b34da6a3ce929d0e0e{i:04x} failed").into_bytes().into(),
        level: Level::Error,
        pairs: Vec::new(),
    }
}

/// A folder with a part of two blocks, which make a group, an index, and a batch that is not yet in a part.
fn folder(dir: &Path) {
    let writer = Writer::open(dir, &Config::default(), &prometheus::Registry::new()).unwrap();
    for (round, flush) in [(0, true), (1, false)] {
        let record = |i: i64| seeded(round * 1_000 + i);
        writer
            .append_blocking(Batch { records: (0..300).map(record).collect(), ..Batch::default() })
            .unwrap();
        if flush {
            writer.flush_blocking().unwrap();
        }
    }
}

fn found(dir: &Path) -> Vec<String> {
    data(dir).unwrap().damage
}

fn only(dir: &Path, end: &str) -> PathBuf {
    let mut damage = Vec::new();
    let name = super::folder::files_below(dir, &mut damage).into_iter().find(|name| name.ends_with(end));
    dir.join(name.unwrap_or_else(|| panic!("no {end}")))
}

#[test]
fn every_flipped_byte_of_a_part_is_found() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    assert_eq!(found(dir.path()), Vec::<String>::new());
    let part = only(dir.path(), ".blk");
    let whole = fs::read(&part).unwrap();
    for at in (0..whole.len()).step_by(7).chain(whole.len() - 40..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        fs::write(&part, bytes).unwrap();
        let damage = found(dir.path());
        assert!(damage.iter().any(|what| what.contains("part-")), "byte {at} of {}: {damage:?}", whole.len());
    }
    fs::write(&part, &whole[..whole.len() - 1]).unwrap();
    assert!(!found(dir.path()).is_empty());
    fs::remove_file(&part).unwrap();
    assert!(found(dir.path()).iter().any(|what| what.contains("is missing")));
}

#[test]
fn damage_to_the_log_of_the_catalog_is_found() {
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let writer = Writer::open(live.path(), &Config::default(), &prometheus::Registry::new()).unwrap();
    writer.append_blocking(Batch { records: vec![seeded(0)], ..Batch::default() }).unwrap();
    // As a killed process leaves them.
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("catalog.db{suffix}");
        fs::copy(live.path().join(&name), dir.path().join(&name)).unwrap();
    }
    fs::create_dir(dir.path().join("windows")).unwrap();
    drop(writer);
    let log = only(dir.path(), "-wal");
    let whole = fs::read(&log).unwrap();
    assert!(whole.len() > 100);
    let index = only(dir.path(), "-shm");
    let known = fs::read(&index).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 60 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        fs::write(&log, bytes).unwrap();
        fs::write(&index, &known).unwrap();
        assert!(found(dir.path()).iter().any(|what| what.contains("-wal")), "byte {at} of {}", whole.len());
    }
    fs::write(&index, &known).unwrap();
    fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    assert!(found(dir.path()).iter().any(|what| what.contains("-wal")));
}

#[test]
fn changed_rows_of_the_catalog_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &Config::default(), &prometheus::Registry::new()).unwrap();
    let cursor = |covered_ns| CursorUpdate {
        source: "docker/1".to_owned(),
        position: Some(b"p1".to_vec()),
        covered_ns,
    };
    let gap = Gap {
        source: "docker/1".to_owned(),
        name: "web".to_owned(),
        from_ns: 1,
        to_ns: 2,
        lines: None,
        reason: GapReason::Rotated,
    };
    let container = Container {
        id: "1".to_owned(),
        name: "web".to_owned(),
        image: "shop".to_owned(),
        service: "web".to_owned(),
        project: String::new(),
        state: "running".to_owned(),
        created_ns: 1,
        started_ns: None,
        finished_ns: Some(3),
        exit_code: Some(0),
        source: "poll".to_owned(),
    };
    for covered_ns in [Some(5), None] {
        let coverage = vec![("docker/1".to_owned(), 7)];
        let (cursors, gaps) = (vec![cursor(covered_ns)], vec![gap.clone()]);
        let (records, containers) = (vec![seeded(0)], vec![container.clone()]);
        writer.append_blocking(Batch { records, cursors, gaps, containers, coverage }).unwrap();
    }
    writer.flush_blocking().unwrap();
    drop(writer);
    assert_eq!(found(dir.path()), Vec::<String>::new());
    for (change, back) in [
        ("cursors SET position = x'7032'", "cursors SET position = x'7031'"),
        ("cursors SET covered_ns = 6", "cursors SET covered_ns = 7"),
        ("gaps SET to_ns = 3", "gaps SET to_ns = 2"),
        ("gaps SET reason = 'removed'", "gaps SET reason = 'rotated'"),
        ("containers SET exit_code = 1", "containers SET exit_code = 0"),
        ("containers SET started_ns = 0", "containers SET started_ns = NULL"),
        ("streams SET max_ns = max_ns - 1", "streams SET max_ns = max_ns + 1"),
    ] {
        let update = |what: &str| {
            let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
            catalog.execute_batch(&format!("UPDATE {what}")).unwrap();
        };
        update(change);
        assert!(found(dir.path()).iter().any(|what| what.contains("checksum of")), "{change}");
        update(back);
        assert_eq!(found(dir.path()), Vec::<String>::new(), "{back}");
    }
}

#[test]
fn damaged_indexes_and_files_of_others_are_found() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    for end in [".term", ".idx", ".fast", "meta.json"] {
        let path = only(dir.path(), end);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[0] ^= 0x04;
        fs::write(&path, bytes).unwrap();
        assert!(found(dir.path()).iter().any(|what| what.contains("word index")), "{end}");
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(found(dir.path()), Vec::<String>::new());
    let window = only(dir.path(), ".blk").parent().unwrap().to_owned();
    for stray in [dir.path().join("notes.txt"), window.join("x.bin"), window.join("part-99999999.blk")] {
        fs::write(&stray, b"?").unwrap();
        assert!(found(dir.path()).iter().any(|what| what.contains("does not belong")), "{}", stray.display());
        fs::remove_file(&stray).unwrap();
    }
}
