//! The writer and its readers, end to end on a real folder.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::config::{ByteSize, Limit, Period};
use crate::{BlockQuery, Labels, Level, Prune, Record, Text, TimeRange};

pub(super) fn record(stream: &str, timestamp_ns: i64, line: &str) -> Record {
    Record {
        timestamp_ns,
        labels: Arc::new(Labels::new([("container", stream)])),
        line: line.as_bytes().to_vec().into(),
        level: Level::Info,
        pairs: Vec::new(),
    }
}

fn batch(records: Vec<Record>, position: &str) -> Batch {
    let cursor = CursorUpdate {
        source: "docker/1".to_owned(),
        position: Some(position.as_bytes().to_vec()),
        covered_ns: Some(9),
    };
    Batch { records, cursors: vec![cursor], ..Batch::default() }
}

fn open(dir: &Path) -> Writer {
    Writer::open(dir, &Config::default(), &prometheus::Registry::new()).unwrap()
}

/// All lines of a reader, stream by stream, in order.
pub(super) fn lines(reader: &Reader) -> Vec<String> {
    lines_with(reader, &Prune::Any)
}

/// The same of the blocks that `prune` leaves.
pub(super) fn lines_with(reader: &Reader, prune: &Prune) -> Vec<String> {
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune };
    let found = reader.snapshot().unwrap().candidates(&query).unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    let mut lines = Vec::new();
    for block in &found.blocks {
        let opened = block.open().unwrap();
        let stream = block.labels().get("container").unwrap();
        for (i, ns) in opened.timestamps().unwrap().iter().enumerate() {
            let line = String::from_utf8_lossy(opened.lines().unwrap().get(i)).into_owned();
            lines.push((stream.to_owned(), *ns, block.min_seq() + i as u64, line));
        }
    }
    lines.sort();
    lines.into_iter().map(|(stream, ns, _, line)| format!("{stream} {ns} {line}")).collect()
}

#[test]
fn an_append_is_visible_at_once_and_after_reopening_with_its_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let first = writer.append_blocking(batch(vec![record("a", 5, "x"), record("b", 1, "y")], "p1")).unwrap();
    let second = writer.append_blocking(batch(vec![record("a", 5, "z")], "p2")).unwrap();
    assert_eq!(second.commit, first.commit + 1);
    let expected = ["a 5 x", "a 5 z", "b 1 y"];
    assert_eq!(lines(&writer.reader()), expected);
    drop(writer);

    let writer = open(dir.path());
    assert_eq!(lines(&writer.reader()), expected);
    assert_eq!(writer.cursor("docker/1").unwrap(), Position::At(b"p2".to_vec()));
    assert_eq!(writer.cursors("docker/").unwrap().len(), 1);
    assert_eq!(writer.cursors("file/").unwrap(), []);
    let third = writer.append_blocking(batch(vec![record("a", 6, "w")], "p3")).unwrap();
    assert_eq!(third.commit, second.commit + 1);
    assert_eq!(lines(&writer.reader()).len(), 4);
}

#[test]
fn the_catalogs_log_is_empty_after_an_orderly_end_even_when_it_was_being_copied() {
    // Nothing that compresses: enough of it that the copier is woken.
    let noise = |i: u64| (i * 8192..(i + 1) * 8192).flat_map(|n| xxh3_64(&n.to_le_bytes()).to_le_bytes());
    for round in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let writer = open(dir.path());
        let mut records: Vec<Record> = (0..64).map(|i| record("a", i, "")).collect();
        for (i, record) in records.iter_mut().enumerate() {
            record.line = noise(i as u64).collect::<Vec<u8>>().into();
        }
        writer.append_blocking(batch(records, "p1")).unwrap();
        drop(writer);
        let log = dir.path().join("catalog.db-wal");
        assert_eq!(std::fs::metadata(log).unwrap().len(), 0, "round {round}");
    }
}

#[test]
fn a_second_writer_is_refused_and_a_closed_one_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let refused = Writer::open(dir.path(), &Config::default(), &prometheus::Registry::new()).unwrap_err();
    assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
    block_on(writer.clone().close()).unwrap();
    let closed = writer.append_blocking(batch(vec![record("a", 1, "x")], "p")).unwrap_err();
    assert!(matches!(closed, StoreError::Closed), "{closed}");
    open(dir.path());
}

#[test]
fn a_reader_of_another_connection_follows_the_writer_and_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(StoreError::NoStore { .. })));
    let writer = open(dir.path());
    writer.append_blocking(batch(vec![record("a", 1, "x")], "p")).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(lines(&reader), ["a 1 x"]);
    let mut commits = reader.subscribe();
    let seen = *commits.borrow_and_update();
    writer.append_blocking(batch(vec![record("b", 2, "y")], "p")).unwrap();
    block_on(commits.changed()).unwrap();
    let new = reader.commits_after(seen, 100).unwrap();
    assert_eq!((new.missed, new.commits.len(), new.commits[0].1[0].line.as_ref()), (false, 1, &b"y"[..]));
    drop(writer);
    assert_eq!(lines(&reader), ["a 1 x", "b 2 y"]);
    let writer = open(dir.path());
    writer.append_blocking(batch(vec![record("b", 3, "z")], "p")).unwrap();
    assert_eq!(lines(&reader), ["a 1 x", "b 2 y", "b 3 z"]);
}

#[test]
fn a_damaged_batch_is_set_aside_with_a_gap_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.append_blocking(batch(vec![record("a", 10, "lost")], "p1")).unwrap();
    writer.append_blocking(batch(vec![record("a", 20, "kept")], "p2")).unwrap();
    drop(writer);
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog.execute("UPDATE batches SET payload = x'0102' WHERE id = 1", []).unwrap();
    drop(catalog);

    let writer = open(dir.path());
    assert_eq!(lines(&writer.reader()), ["a 20 kept"]);
    let gaps = writer.reader().gaps(TimeRange { start_ns: 0, end_ns: 15 }).unwrap();
    assert_eq!((gaps.len(), gaps[0].lines, gaps[0].reason), (1, Some(1), GapReason::Damaged));
    drop(writer);
    assert_eq!(open(dir.path()).reader().gaps(TimeRange::ALL).unwrap().len(), 1, "reported once");
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog.pragma_update(None, "user_version", 99).unwrap();
    for error in [
        Writer::open(dir.path(), &Config::default(), &prometheus::Registry::new()).unwrap_err(),
        Reader::open(dir.path()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("upgrade binnacle"), "{error}");
    }
    catalog.pragma_update(None, "user_version", 1).unwrap();
    catalog.pragma_update(None, "application_id", 7).unwrap();
    let error = Reader::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("is not a catalog of binnacle"), "{error}");
}

/// Files below the folder of windows whose names end in `suffix`.
fn files(dir: &Path, suffix: &str) -> usize {
    let windows = std::fs::read_dir(dir.join("windows")).unwrap().flatten();
    windows
        .flat_map(|window| std::fs::read_dir(window.path()).unwrap().flatten())
        .filter(|file| file.file_name().to_string_lossy().ends_with(suffix))
        .count()
}

#[test]
fn flushed_records_leave_the_catalog_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let hour = 3_600_000_000_000;
    writer
        .append_blocking(batch(
            vec![record("a", hour, "late"), record("a", 5, "x"), record("b", 1, "y")],
            "p",
        ))
        .unwrap();
    writer.flush_blocking().unwrap();
    writer.append_blocking(batch(vec![record("a", 5, "z"), record("a", 0, "w")], "p")).unwrap();
    let expected = ["a 0 w", "a 5 x", "a 5 z", "a 3600000000000 late", "b 1 y"];
    assert_eq!(lines(&writer.reader()), expected);
    assert_eq!(files(dir.path(), ".blk"), 2, "one part for each window");
    writer.flush_blocking().unwrap();
    assert_eq!(lines(&writer.reader()), expected);
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    let batches: i64 = catalog.query_row("SELECT count(*) FROM batches", [], |row| row.get(0)).unwrap();
    assert_eq!(batches, 0);
    let stats = writer.reader().stats().unwrap();
    assert_eq!((stats.records, stats.head_records, stats.streams, stats.line_bytes), (5, 0, 2, 8));
    assert_eq!(
        stats.windows.iter().map(|w| (w.start_ns, w.records)).collect::<Vec<_>>(),
        [(0, 4), (hour, 1)]
    );
    assert_eq!(stats.windows[0].level_counts[Level::Info as usize], 4);
    assert!(stats.part_bytes > 0 && stats.index_bytes > 0 && stats.catalog_bytes > 0);
    let free: i64 = catalog.query_row("PRAGMA freelist_count", [], |row| row.get(0)).unwrap();
    assert_eq!(free, 0, "what the batches took is given back");
    drop(writer);
    assert_eq!(lines(&open(dir.path()).reader()), expected);
}

#[test]
fn a_load_goes_straight_into_parts_and_keeps_the_order_among_appends() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config { flush_bytes: ByteSize(64 << 10), head_bytes: ByteSize(128 << 10), ..Config::default() };
    let writer = Writer::open(dir.path(), &config, &prometheus::Registry::new()).unwrap();
    writer.append_blocking(batch(vec![record("a", 5, "first")], "p")).unwrap();
    let mut expected = vec!["a 5 first".to_owned()];
    let mut loader = writer.loader();
    for i in 0..100 {
        loader.add(vec![record("a", 5, &format!("{i:0>4000}"))]).unwrap();
        expected.push(format!("a 5 {i:0>4000}"));
    }
    loader.finish().unwrap();
    writer.append_blocking(batch(vec![record("a", 5, "last")], "p")).unwrap();
    expected.push("a 5 last".to_owned());
    let follower = Reader::open(dir.path()).unwrap();
    assert_eq!(lines(&writer.reader()), expected, "in head and parts");
    assert_eq!(lines(&follower), expected);
    assert_eq!(writer.reader().stats().unwrap().head_records, 2);
    writer.flush_blocking().unwrap();
    assert_eq!(lines(&writer.reader()), expected, "in parts");
    assert_eq!(lines(&follower), expected);
    drop(writer);
    assert_eq!(lines(&open(dir.path()).reader()), expected);
}

#[test]
fn parts_are_not_merged_across_records_of_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let mut expected = Vec::new();
    let mut add = |i: usize| {
        let line = format!("line {i:02}");
        expected.push(format!("a 5 {line}"));
        vec![record("a", 5, &line)]
    };
    let load = |records: Vec<Record>| {
        let mut loader = writer.loader();
        loader.add(records).unwrap();
        loader.finish().unwrap();
    };
    (0..6).for_each(|i| load(add(i)));
    writer.append_blocking(batch(add(6), "p")).unwrap();
    (7..13).for_each(|i| load(add(i)));
    writer.inner.keeper.all().unwrap();
    let parts = || {
        let snapshot = writer.reader().snapshot().unwrap();
        let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
        snapshot.candidates(&query).unwrap().blocks.len()
    };
    assert_eq!(parts(), 12 + 1, "a block of each part, and the head");
    writer.flush_blocking().unwrap();
    assert_eq!(parts(), 1);
    assert_eq!(lines(&writer.reader()), expected);
    assert_eq!(lines(&Reader::open(dir.path()).unwrap()), expected);
}

#[test]
fn many_small_parts_are_merged_and_full_answers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let before = Reader::open(dir.path()).unwrap();
    let mut expected = Vec::new();
    for i in 0..20 {
        let line = format!("{i:02}");
        expected.push(format!("a 7 {line}"));
        writer.append_blocking(batch(vec![record("a", 7, &line)], "p")).unwrap();
        let held = writer.reader().snapshot().unwrap();
        writer.flush_blocking().unwrap();
        assert_eq!(held.streams().len(), 1);
        assert_eq!(lines(&before), expected);
    }
    assert_eq!(lines(&writer.reader()), expected);
    let snapshot = writer.reader().snapshot().unwrap();
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    assert!(snapshot.candidates(&query).unwrap().blocks.len() < 10, "blocks of a stream are packed together");
    drop(snapshot);
    drop(writer);
    drop(open(dir.path()));
    assert!(files(dir.path(), ".blk") < 10, "a start removes what was replaced");
}

#[test]
fn flushed_blocks_are_pruned_by_their_words_also_after_a_restart_and_a_lost_index() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    for (stream, line) in [("a", "payment declined"), ("b", "order shipped")] {
        writer.append_blocking(batch(vec![record(stream, 1, line)], "p")).unwrap();
    }
    let needle = Prune::Text(Text::substring("declined"));
    assert_eq!(lines_with(&writer.reader(), &needle), ["a 1 payment declined"], "in the head");
    writer.flush_blocking().unwrap();
    assert_eq!(lines_with(&writer.reader(), &needle), ["a 1 payment declined"]);
    assert_eq!(lines_with(&Reader::open(dir.path()).unwrap(), &needle), ["a 1 payment declined"]);
    drop(writer);
    let window = std::fs::read_dir(dir.path().join("windows")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(window.join("index")).unwrap();
    let writer = open(dir.path());
    writer.flush_blocking().unwrap();
    assert_eq!(lines_with(&writer.reader(), &needle), ["a 1 payment declined"], "the index is made again");
}

#[test]
fn a_missing_or_damaged_part_is_named_and_the_rest_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    for (ns, line) in [(1, "gone"), (2, "kept"), (3, "spoiled")] {
        writer.append_blocking(batch(vec![record("a", ns, line)], "p")).unwrap();
        writer.flush_blocking().unwrap();
    }
    drop(writer);
    let window = std::fs::read_dir(dir.path().join("windows")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(window.join("part-00000001.blk")).unwrap();
    std::fs::write(window.join("part-00000003.blk"), b"not a part").unwrap();
    let writer = open(dir.path());
    let snapshot = writer.reader().snapshot().unwrap();
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    let found = snapshot.candidates(&query).unwrap();
    assert_eq!((found.blocks.len(), found.damaged.len()), (1, 2), "{found:?}");
    assert!(found.damaged[0].contains("part-00000001.blk"), "{:?}", found.damaged);
    writer.append_blocking(batch(vec![record("a", 4, "new")], "p")).unwrap();
    writer.flush_blocking().unwrap();
}

#[test]
fn retention_by_size_keeps_the_newest_and_forgets_what_described_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { window: Period(Duration::from_secs(60)), ..Config::default() };
    let writer = Writer::open(dir.path(), &config, &prometheus::Registry::new()).unwrap();
    let gap = Gap {
        source: "docker/1".to_owned(),
        name: "a".to_owned(),
        from_ns: 1,
        to_ns: 2,
        lines: None,
        reason: GapReason::Rotated,
    };
    writer.append_blocking(Batch { gaps: vec![gap], ..Batch::default() }).unwrap();
    for minute in 0..10 {
        let line = format!("{minute}").repeat(1000);
        writer
            .append_blocking(batch(vec![record(&format!("s{minute}"), minute * 60_000_000_000, &line)], "p"))
            .unwrap();
    }
    writer.flush_blocking().unwrap();
    let snapshot = writer.reader().snapshot().unwrap();
    let part_bytes: u64 = snapshot.windows_for_test().map(|part| part.row.bytes).sum();
    let max_bytes = Limit(Some(ByteSize(part_bytes / 2)));
    writer.set_retention(RetentionConfig { max_bytes, ..RetentionConfig::keep_all() });
    writer.flush_blocking().unwrap();
    let left = lines(&writer.reader());
    assert!(left.len() >= 4 && left.len() <= 5, "{} of 10 windows are left", left.len());
    assert!(left.last().unwrap().starts_with("s9"));
    assert_eq!(writer.reader().gaps(TimeRange::ALL).unwrap(), []);
    assert_eq!(writer.reader().snapshot().unwrap().streams().len(), left.len());
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    assert_eq!(snapshot.candidates(&query).unwrap().blocks.len(), 10, "a snapshot keeps what it saw");
    writer.append_blocking(batch(vec![record("s0", 1, "again")], "p")).unwrap();
    assert_eq!(lines(&writer.reader()).len(), left.len() + 1, "a forgotten stream can come back");
}

#[test]
fn appends_are_refused_when_the_disk_is_below_the_floor_and_nothing_is_left_to_delete() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let min_free_bytes = Limit(Some(ByteSize(u64::MAX)));
    writer.set_retention(RetentionConfig { min_free_bytes, ..RetentionConfig::keep_all() });
    writer.flush_blocking().unwrap();
    let refused = writer.append_blocking(batch(vec![record("a", 1, "x")], "p")).unwrap_err().to_string();
    assert!(refused.contains("retention.min_free_bytes"), "{refused}");
    writer.set_retention(RetentionConfig::keep_all());
    writer.flush_blocking().unwrap();
    writer.append_blocking(batch(vec![record("a", 1, "x")], "p")).unwrap();
}

#[test]
fn the_free_space_is_told_also_where_no_floor_is_set() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &Config::default(), &registry).unwrap();
    writer.set_retention(RetentionConfig::keep_all());
    writer.flush_blocking().unwrap();
    let families = registry.gather();
    let free = families.iter().find(|family| family.name() == "binnacle_store_free_bytes").unwrap();
    assert!(free.get_metric()[0].get_gauge().get_value() > 0.0);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = Writer::open(&file, &Config::default(), &prometheus::Registry::new()).unwrap_err();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn appends_wait_for_blocks_when_the_head_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config { flush_bytes: ByteSize(64 << 10), head_bytes: ByteSize(128 << 10), ..Config::default() };
    let writer = Writer::open(dir.path(), &config, &prometheus::Registry::new()).unwrap();
    let line = "x".repeat(1000);
    for i in 0..20 {
        let records = (0..30).map(|k| record("a", i * 100 + k, &line)).collect();
        writer.append_blocking(batch(records, "p")).unwrap();
        assert!(writer.reader().snapshot().unwrap().head_memory_for_test() <= 160 << 10);
    }
    assert_eq!(lines(&writer.reader()).len(), 600);
}
