//! The span index on a real folder: what is stored is found, and only that.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::config::{ByteSize, Limit};
use crate::{Batch, Config, Labels, Level, Reader, Record, RetentionConfig, Writer};

fn open(dir: &Path) -> Writer {
    Writer::open(dir, &Config::default(), &prometheus::Registry::new()).unwrap()
}

fn span(id: u8, service: &str, operation: &str, start_ns: i64, duration_ns: i64) -> SpanRow {
    SpanRow {
        span_id: [id; 8],
        service: service.to_owned(),
        operation: operation.to_owned(),
        kind: 2,
        start_ns,
        end_ns: start_ns + duration_ns,
        error: false,
        tags: vec![("id".to_owned(), id.to_string()), ("all".to_owned(), "yes".to_owned())],
        body: format!("body {id}").into_bytes(),
    }
}

fn store(writer: &Writer, trace: u8, spans: Vec<SpanRow>) -> StoredTraces {
    let traces = vec![TraceRows { trace_id: [trace; 16], whole: true, spans }];
    writer.store_traces_blocking(TraceBatch { traces, ..TraceBatch::default() }).unwrap()
}

fn found(reader: &Reader, query: &TraceQuery) -> Vec<u8> {
    reader.find_traces(query).unwrap().iter().map(|id| id[0]).collect()
}

fn tag(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[test]
fn a_trace_reads_back_from_another_process_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let other = Reader::open(dir.path()).unwrap();
    let spans = vec![span(1, "web", "GET /", 10, 50), span(2, "db", "select", 20, 5)];
    assert_eq!(store(&writer, 7, spans.clone()).written, 2);
    for reader in [writer.reader(), other] {
        let back = reader.spans_of([7; 16]).unwrap();
        assert_eq!(back.iter().map(|s| s.span.clone()).collect::<Vec<_>>(), spans);
        assert_eq!(back.iter().map(|s| s.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(reader.span_services().unwrap(), ["db", "web"]);
        assert_eq!(reader.span_operations("web").unwrap(), [Operation { name: "GET /".to_owned(), kind: 2 }]);
        assert_eq!(reader.spans_of([8; 16]).unwrap(), []);
    }
    drop(writer);
    assert_eq!(open(dir.path()).reader().spans_of([7; 16]).unwrap().len(), 2);
}

#[test]
fn only_what_changed_takes_a_new_sequence_number() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let reader = writer.reader();
    store(&writer, 1, vec![span(1, "a", "x", 0, 1), span(2, "a", "x", 1, 1), span(3, "b", "y", 2, 1)]);
    let changed = span(2, "a", "x", 1, 9);
    let done = store(&writer, 1, vec![span(1, "a", "x", 0, 1), changed.clone(), changed.clone()]);
    assert_eq!(done, StoredTraces { written: 1, unchanged: 1, removed: 1 });
    let page = reader.spans_after(3, 10).unwrap();
    assert_eq!(page.up_to, 4);
    assert_eq!(page.spans, [StoredSpan { seq: 4, trace_id: [1; 16], span: changed }]);
    assert_eq!(reader.spans_after(4, 10).unwrap(), SpanPage { up_to: 4, ..SpanPage::default() });
    assert_eq!(reader.span_services().unwrap(), ["a"], "a service goes with its last span");
    assert_eq!(found(&reader, &TraceQuery { tags: tag("id", "3"), ..TraceQuery::default() }), [0; 0]);
    assert_eq!(reader.span_stats().unwrap().spans, 2);
}

#[test]
fn part_of_a_trace_leaves_the_rest_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    store(&writer, 1, vec![span(1, "a", "x", 0, 1), span(2, "a", "x", 1, 1)]);
    let part = TraceRows { trace_id: [1; 16], whole: false, spans: vec![span(3, "a", "x", 2, 1)] };
    let done =
        writer.store_traces_blocking(TraceBatch { traces: vec![part], ..TraceBatch::default() }).unwrap();
    assert_eq!(done, StoredTraces { written: 1, ..StoredTraces::default() });
    assert_eq!(writer.reader().spans_of([1; 16]).unwrap().len(), 3);
    let gone = vec![([1; 16], [2; 8]), ([1; 16], [9; 8])];
    let done = writer.store_traces_blocking(TraceBatch { gone, ..TraceBatch::default() }).unwrap();
    assert_eq!(done, StoredTraces { removed: 1, ..StoredTraces::default() });
    assert_eq!(writer.reader().spans_of([1; 16]).unwrap().len(), 2);
}

#[test]
fn the_position_is_stored_with_the_traces_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let cursor = |at: &[u8]| CursorUpdate {
        source: "traces".to_owned(),
        position: Some(at.to_vec()),
        covered_ns: None,
    };
    let batch = TraceBatch { cursors: vec![cursor(b"1")], ..TraceBatch::default() };
    writer.store_traces_blocking(batch).unwrap();
    let huge = SpanRow { body: vec![0; MAX_SPAN_BYTES], ..span(1, "a", "x", 0, 1) };
    let traces = vec![TraceRows { trace_id: [1; 16], whole: true, spans: vec![huge] }];
    let refused = writer
        .store_traces_blocking(TraceBatch { traces, cursors: vec![cursor(b"2")], ..TraceBatch::default() })
        .unwrap_err();
    assert!(refused.to_string().contains("above the limit"), "{refused}");
    assert_eq!(writer.cursor("traces").unwrap(), Some(b"1".to_vec()));
    assert_eq!(writer.reader().coverage().unwrap(), [], "it is no source of records");
}

#[test]
fn a_damaged_span_is_left_out_and_named_and_does_not_hold_up_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    store(&writer, 1, vec![span(1, "a", "x", 0, 1), span(2, "a", "x", 1, 1)]);
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    raw.execute("UPDATE spans SET content = zeroblob(30) WHERE seq = 1", []).unwrap();
    let page = writer.reader().spans_after(0, 10).unwrap();
    assert_eq!((page.damaged, page.up_to, page.spans.len()), (1, 2, 1));
    assert_eq!(store(&writer, 1, vec![]).removed, 2);
    assert_eq!(writer.reader().span_stats().unwrap().spans, 0);
}

#[test]
fn a_folder_of_the_format_before_gets_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    raw.execute_batch(
        "DROP TABLE spans; DROP TABLE span_tags; DROP TABLE span_operations; DROP TABLE span_services;
         ALTER TABLE streams DROP COLUMN checksum; ALTER TABLE cursors DROP COLUMN checksum;
         ALTER TABLE gaps DROP COLUMN checksum; ALTER TABLE containers DROP COLUMN checksum;
         DROP TABLE readings; PRAGMA user_version = 1;",
    )
    .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.span_services().unwrap(), Vec::<String>::new());
    assert_eq!(found(&reader, &TraceQuery::default()), [0; 0]);
    assert_eq!(reader.span_stats().unwrap(), SpanStats::default());
    let writer = open(dir.path());
    store(&writer, 3, vec![span(1, "a", "x", 0, 1)]);
    assert_eq!(found(&reader, &TraceQuery::default()), [3]);
}

#[test]
fn spans_go_with_the_records_of_their_time_and_above_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let hour = 3_600_000_000_000;
    let record = Record {
        timestamp_ns: 5 * hour,
        labels: std::sync::Arc::new(Labels::new([("a", "b")])),
        line: "x".into(),
        level: Level::Info,
        pairs: Vec::new(),
    };
    writer.append_blocking(Batch { records: vec![record], ..Batch::default() }).unwrap();
    store(&writer, 1, vec![span(1, "old", "x", hour, 1)]);
    // Moved back by the duration that its line tells: it is as old as the line.
    store(&writer, 2, vec![span(1, "new", "x", 5 * hour - 10, 10)]);
    writer.flush_blocking().unwrap();
    assert_eq!(writer.reader().span_services().unwrap(), ["new"]);

    for trace in 10..200 {
        let noise: Vec<u8> = (0..1200_u32)
            .flat_map(|i| xxh3_64(&[&[trace], &i.to_le_bytes()[..]].concat()).to_le_bytes())
            .collect();
        let row = SpanRow { body: noise, ..span(1, "new", "x", 5 * hour + i64::from(trace), 1) };
        store(&writer, trace, vec![row]);
    }
    let before = writer.reader().span_stats().unwrap();
    let max_span_bytes = Limit(Some(ByteSize(1 << 20)));
    assert!(before.bytes > 1 << 20, "{before:?}");
    writer.set_retention(RetentionConfig { max_span_bytes, ..RetentionConfig::keep_all() });
    writer.flush_blocking().unwrap();
    let after = writer.reader().span_stats().unwrap();
    assert!(after.bytes <= 1 << 20, "{after:?}");
    assert_eq!(after.last_seq, before.last_seq, "numbers are not given twice");
}

/// What a query says of one span.
fn fits(span: &SpanRow, query: &TraceQuery) -> bool {
    let duration = span.end_ns - span.start_ns;
    query.service.as_ref().is_none_or(|service| *service == span.service)
        && query.operation.as_ref().is_none_or(|operation| *operation == span.operation)
        && query.tags.iter().all(|tag| span.tags.contains(tag))
        && query.min_duration_ns.is_none_or(|min| duration >= min)
        && query.max_duration_ns.is_none_or(|max| duration <= max)
        && query.range.contains(span.start_ns)
}

fn any_span() -> impl Strategy<Value = SpanRow> {
    (0..4_u8, "[ab]", "[xy]", 0..40_i64, 0..6_i64, proptest::collection::vec(("[mn]", "[01]"), 0..3))
        .prop_map(|(id, service, operation, start_ns, duration, tags)| SpanRow {
            tags,
            ..span(id, &service, &operation, start_ns, duration)
        })
}

fn any_query() -> impl Strategy<Value = TraceQuery> {
    let optional = |text: &'static str| proptest::option::of(text.prop_map(String::from));
    (
        optional("[abc]"),
        optional("[xyz]"),
        proptest::collection::vec(("[mn]", "[012]"), 0..3),
        proptest::option::of(0..6_i64),
        proptest::option::of(0..6_i64),
        (0..40_i64, 0..40_i64),
        1..6_usize,
    )
        .prop_map(|(service, operation, tags, min, max, (from, length), limit)| TraceQuery {
            service,
            operation,
            tags,
            min_duration_ns: min,
            max_duration_ns: max,
            range: TimeRange { start_ns: from, end_ns: from + length },
            limit,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_going_through_all_spans_finds(
        traces in proptest::collection::vec((0..8_u8, proptest::collection::vec(any_span(), 0..4)), 1..20),
        queries in proptest::collection::vec(any_query(), 40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let writer = open(dir.path());
        let reader = writer.reader();
        let mut model: BTreeMap<u8, Vec<SpanRow>> = BTreeMap::new();
        for (trace, spans) in traces {
            store(&writer, trace, spans.clone());
            let mut distinct: Vec<SpanRow> = Vec::new();
            for span in spans {
                if distinct.iter().all(|other| other.span_id != span.span_id) {
                    distinct.push(span);
                }
            }
            model.insert(trace, distinct);
        }
        prop_assert_eq!(reader.span_stats().unwrap().spans as usize, model.values().map(Vec::len).sum::<usize>());
        for query in queries {
            let newest = |spans: &Vec<SpanRow>| {
                spans.iter().filter(|span| fits(span, &query)).map(|span| span.start_ns).max()
            };
            let mut expected: Vec<(i64, u8)> =
                model.iter().filter_map(|(trace, spans)| Some((newest(spans)?, *trace))).collect();
            expected.sort_unstable();
            let expected_starts: Vec<i64> = expected.iter().rev().take(query.limit).map(|(at, _)| *at).collect();
            let found = found(&reader, &query);
            let starts: Vec<i64> = found.iter().map(|trace| newest(&model[trace]).unwrap_or(-1)).collect();
            prop_assert_eq!(starts, expected_starts, "{:?}", query);
        }
    }
}
