//! Traces of stored records, through restarts.

use std::path::Path;
use std::sync::Arc;

use correlation::hashed;
use prometheus::Registry;
use store::config::Period;
use store::{Batch, Labels, Level, Origin, Pair, TimeRange};

use super::*;

fn open(dir: &Path) -> Writer {
    Writer::open(dir, &store::Config::default(), &Registry::new()).unwrap()
}

fn maker(writer: &Writer, idle_ms: u64) -> Maker {
    let config = Config { idle: Period(Duration::from_millis(idle_ms)), ..Config::default() };
    Maker::new(config, writer.clone(), TraceMetrics::new(&Registry::new()))
}

/// One look, and one after everything that is complete has become so.
fn work(maker: &mut Maker) {
    maker.work(&CancellationToken::new()).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    maker.work(&CancellationToken::new()).unwrap();
}

fn log(writer: &Writer, service: &str, id: &str, line: &str) {
    let record = Record {
        timestamp_ns: now_ns(),
        labels: Arc::new(Labels::new([("service_name", service)])),
        line: line.as_bytes().to_vec().into(),
        level: Level::Info,
        pairs: vec![Pair {
            origin: Origin::Derived,
            name: attribute::CORRELATION_ID.into(),
            value: id.into(),
        }],
    };
    writer.append_blocking(Batch { records: vec![record], ..Batch::default() }).unwrap();
}

fn services(writer: &Writer, id: &str) -> Vec<String> {
    let spans = writer.reader().spans_of(hashed(id).0).unwrap();
    spans.into_iter().map(|span| span.span.service.to_string()).collect()
}

#[test]
fn a_trace_that_was_open_at_the_end_is_whole_after_the_next_start_and_stored_once() {
    for is_flushed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let writer = open(dir.path());
        let mut before = maker(&writer, 3_600_000);
        log(&writer, "web", "r-1", "request begins");
        work(&mut before);
        log(&writer, "cart", "r-1", "read after the last position");
        assert_eq!(services(&writer, "r-1"), Vec::<String>::new(), "open");
        drop(before);
        if is_flushed {
            writer.flush_blocking().unwrap();
        }
        drop(writer);

        let writer = open(dir.path());
        log(&writer, "db", "r-1", "logged before traces were made again");
        work(&mut maker(&writer, 1));
        assert_eq!(services(&writer, "r-1"), ["web", "cart", "db"]);
        let last = writer.reader().span_stats().unwrap().last_seq;

        work(&mut maker(&writer, 1));
        assert_eq!(
            writer.reader().span_stats().unwrap().last_seq,
            last,
            "the same spans are not stored again"
        );
    }
}

#[test]
fn a_late_line_adds_to_its_trace() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let mut maker = maker(&writer, 1);
    log(&writer, "web", "r-1", "GET /a");
    work(&mut maker);
    assert_eq!(services(&writer, "r-1"), ["web"]);
    log(&writer, "mail", "r-1", "sent");
    work(&mut maker);
    assert_eq!(services(&writer, "r-1"), ["web", "mail"]);
}

#[test]
fn history_is_read_by_time_and_what_has_no_id_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    for (service, second) in [("a", 1), ("b", 500_000), ("c", 3), ("d", 2)] {
        let pair = Pair { origin: Origin::Given, name: attribute::TRACE_ID.into(), value: "ab".into() };
        let record = Record {
            timestamp_ns: second * 1_000_000_000,
            labels: Arc::new(Labels::new([("service_name", service)])),
            line: "x".into(),
            level: Level::Info,
            pairs: if service == "d" { Vec::new() } else { vec![pair] },
        };
        writer.append_blocking(Batch { records: vec![record], ..Batch::default() }).unwrap();
    }
    writer.flush_blocking().unwrap();
    let mut history = History::new(&writer.reader().snapshot().unwrap(), TimeRange::ALL).unwrap();
    let mut slices = Vec::new();
    while let Some((records, _)) = history.next_slice() {
        slices.push(records.iter().map(|r| r.timestamp_ns / 1_000_000_000).collect::<Vec<_>>());
    }
    assert_eq!(slices, [vec![1, 3], vec![500_000]]);
}

#[test]
fn much_of_one_time_is_read_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let times = [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    let record = |second: i64| Record {
        timestamp_ns: second * 1_000_000,
        labels: Arc::new(Labels::new([("service_name", "a")])),
        line: "x".into(),
        level: Level::Info,
        pairs: vec![Pair { origin: Origin::Given, name: attribute::TRACE_ID.into(), value: "ab".into() }],
    };
    let records = times.iter().map(|second| record(*second)).collect();
    writer.append_blocking(Batch { records, ..Batch::default() }).unwrap();
    let range = TimeRange { start_ns: 0, end_ns: 10_000_000 };
    let mut history = History::new(&writer.reader().snapshot().unwrap(), range).unwrap();
    let mut slices = Vec::new();
    while let Some((records, _)) = history.next_slice() {
        slices.push(records.len());
    }
    assert_eq!(slices, [6, 4, 4, 1], "of the first time at once, four each, none after the end");
}

#[test]
fn an_ingest_leaves_its_traces_to_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    work(&mut maker(&writer, 1));
    let lines = r#"{"time":"2026-11-01T10:00:00Z","msg":"old","correlation_id":"r-1"}"#;
    let options = crate::ingest::Options {
        labels: vec![("service_name".to_owned(), "web".to_owned())],
        label_fields: Vec::new(),
    };
    let config = crate::IngestConfig::default();
    crate::ingest::into_store(lines.as_bytes(), &writer, &config, &options, |_| {}).unwrap();
    assert!(ingested::range(&writer).unwrap().is_some());
    writer.flush_blocking().unwrap();
    drop(writer);

    let writer = open(dir.path());
    assert_eq!(services(&writer, "r-1"), Vec::<String>::new());
    work(&mut maker(&writer, 1));
    assert_eq!(services(&writer, "r-1"), ["web"]);
    assert_eq!(ingested::range(&writer).unwrap(), None, "done once");
}
