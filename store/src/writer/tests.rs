//! The writer and its readers, end to end on a real folder.

use super::*;
use crate::{BlockQuery, Labels, Level, Prune, Record, TimeRange};

fn record(stream: &str, timestamp_ns: i64, line: &str) -> Record {
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
fn lines(reader: &Reader) -> Vec<String> {
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
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
    assert_eq!(writer.cursor("docker/1").unwrap(), Some(b"p2".to_vec()));
    assert_eq!(writer.cursors("docker/").unwrap().len(), 1);
    assert_eq!(writer.cursors("file/").unwrap(), []);
    let third = writer.append_blocking(batch(vec![record("a", 6, "w")], "p3")).unwrap();
    assert_eq!(third.commit, second.commit + 1);
    assert_eq!(lines(&writer.reader()).len(), 4);
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
