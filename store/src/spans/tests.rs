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
        service: service.into(),
        operation: operation.to_owned(),
        kind: 2,
        start_ns,
        end_ns: start_ns + duration_ns,
        error: false,
        tags: vec![("id".into(), id.to_string().into()), ("all".into(), "yes".into())],
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
fn spans_that_cannot_be_stored_are_counted_as_a_failed_commit() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &Config::default(), &registry).unwrap();
    let catalog = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    catalog.execute_batch("ALTER TABLE span_sets RENAME TO gone").unwrap();
    let traces =
        vec![TraceRows { trace_id: [1; 16], whole: true, spans: vec![span(1, "shop", "pay", 0, 1)] }];
    let error = writer.store_traces_blocking(TraceBatch { traces, ..TraceBatch::default() }).unwrap_err();
    assert!(error.to_string().contains("span_sets (SQLite's code 1)"), "{error}");
    let families = registry.gather();
    let failures = families.iter().find(|f| f.name() == "binnacle_store_commit_failures_total").unwrap();
    assert_eq!(failures.get_metric()[0].get_counter().get_value(), 1.0);
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
    assert_eq!(writer.cursor("traces").unwrap(), crate::Position::At(b"1".to_vec()));
    assert_eq!(writer.reader().coverage().unwrap(), [], "it is no source of records");
}

#[test]
fn damaged_spans_are_left_out_and_counted_and_do_not_hold_up_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    for harm in ["content = zeroblob(30)", "heads = zeroblob(30)", "end_ns = end_ns + 1"] {
        let last = writer.reader().span_stats().unwrap().last_seq;
        store(&writer, 1, vec![span(1, "a", "x", 0, 1), span(2, "a", "x", 1, 1)]);
        store(&writer, 2, vec![span(3, "a", "x", 1, 1)]);
        raw.execute(&format!("UPDATE span_sets SET {harm} WHERE seq = {}", last + 1), []).unwrap();
        let page = writer.reader().spans_after(last, 10).unwrap();
        assert_eq!((page.damaged, page.up_to, page.spans.len()), (2, last + 3, 1), "{harm}");
        let damage = crate::verify::data(dir.path()).unwrap().damage;
        assert!(damage.iter().any(|what| what.contains("2 spans")), "{harm}: {damage:?}");
        let page = writer.reader().spans_after(last + 1, 10).unwrap();
        assert_eq!((page.damaged, page.spans.len()), (1, 1), "{harm}: what is left behind a place within");
        assert_eq!(
            writer.reader().spans_after(last + 3, 10).unwrap(),
            SpanPage { up_to: last + 3, ..SpanPage::default() }
        );
        assert_eq!(writer.reader().spans_of([1; 16]).unwrap(), []);
        assert_eq!(
            found(&writer.reader(), &TraceQuery { tags: tag("id", "1"), ..TraceQuery::default() }),
            [0; 0]
        );
        store(&writer, 1, vec![]);
        store(&writer, 2, vec![]);
        assert_eq!(writer.reader().span_stats().unwrap().spans, 0, "{harm}");
    }
}

#[test]
fn spans_beside_a_damaged_one_of_the_same_trace_are_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let spans = vec![span(1, "a", "x", 0, 1), span(2, "a", "x", 1, 1)];
    store(&writer, 1, spans.clone());
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    raw.execute("UPDATE span_sets SET heads = zeroblob(30)", []).unwrap();
    assert_eq!(store(&writer, 1, spans.clone()).written, 2);
    let back = writer.reader().spans_of([1; 16]).unwrap();
    assert_eq!(back.into_iter().map(|stored| stored.span).collect::<Vec<_>>(), spans);
}

#[test]
fn hashes_that_are_damaged_hide_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    store(&writer, 1, vec![span(1, "a", "x", 0, 1)]);
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    raw.execute("UPDATE span_filters SET hashes = zeroblob(4)", []).unwrap();
    store(&writer, 2, vec![span(2, "a", "x", 0, 1)]);
    for id in [1, 2] {
        let query = TraceQuery { tags: tag("id", &id.to_string()), ..TraceQuery::default() };
        assert_eq!(found(&writer.reader(), &query), [id]);
    }
}

#[test]
fn a_trace_of_many_spans_is_found_read_and_sent_whole() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let row =
        |i: u16| SpanRow { span_id: u64::from(i + 1).to_be_bytes(), ..span(1, "a", "x", i64::from(i), 1) };
    let spans: Vec<SpanRow> = (0..300).map(row).collect();
    store(&writer, 1, spans.clone());
    let reader = writer.reader();
    assert_eq!(reader.spans_of([1; 16]).unwrap().into_iter().map(|s| s.span).collect::<Vec<_>>(), spans);
    let (mut after, mut sent) = (0, Vec::new());
    loop {
        let page = reader.spans_after(after, 7).unwrap();
        if page.up_to == after {
            break;
        }
        after = page.up_to;
        sent.extend(page.spans.into_iter().map(|stored| stored.span));
    }
    assert_eq!(sent, spans);
    let last = TraceQuery { range: TimeRange { start_ns: 299, end_ns: 300 }, ..TraceQuery::default() };
    assert_eq!(found(&reader, &last), [1]);
}

#[test]
fn a_folder_of_the_format_before_gets_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    raw.execute_batch(
        "DROP TABLE span_sets; DROP TABLE span_groups; DROP TABLE span_filters; DROP TABLE span_operations;
         DROP TABLE span_services; DELETE FROM settings WHERE name = 'span_seq';
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

/// Makes a catalog without spans one of format 4.
pub(crate) const FORMAT_4: &str = "
DROP TABLE span_sets; DROP TABLE span_groups; DROP TABLE span_filters;
DELETE FROM settings WHERE name = 'span_seq';
ALTER TABLE span_operations ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE spans (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, trace_id BLOB NOT NULL, span_id BLOB NOT NULL, service INTEGER NOT NULL,
    operation INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, error INTEGER NOT NULL,
    checksum INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE span_tags (hash INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (hash, seq)) WITHOUT ROWID, STRICT;
PRAGMA user_version = 4;
";
const OPERATIONS: &str = "
INSERT INTO span_services VALUES (1, 'a'), (2, 'gone');
INSERT INTO span_operations (id, service, name, kind, spans) VALUES (1, 1, 'x', 2, 3), (2, 2, 'y', 2, 1);
";

#[test]
fn spans_of_format_4_are_kept_under_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let raw = rusqlite::Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    raw.execute_batch(FORMAT_4).unwrap();
    raw.execute_batch(OPERATIONS).unwrap();
    let spans = [(1, span(1, "a", "x", 5, 1)), (1, span(2, "a", "x", 6, 1)), (2, span(3, "a", "x", 7, 1))];
    for (seq, (trace, row)) in [10, 12, 13].into_iter().zip(&spans) {
        let content = encode::EncodedSpan::new(row.clone()).unwrap().raw;
        raw.execute(
            "INSERT INTO spans VALUES (?1, ?2, ?3, 1, 1, ?4, ?5, 0, ?6, ?7)",
            rusqlite::params![
                seq,
                [*trace as u8; 16],
                row.span_id,
                row.start_ns,
                row.end_ns,
                upgrade::checksum_of_row(row, &content),
                zstd::bulk::compress(&content, 1).unwrap(),
            ],
        )
        .unwrap();
    }
    let damaged = "INSERT INTO spans SELECT 20, trace_id, x'0909090909090909', 2, 2, 0, 1, 0, 7, content FROM spans WHERE seq = 10";
    raw.execute(damaged, []).unwrap();
    drop(raw);
    let writer = open(dir.path());
    let reader = writer.reader();
    let page = reader.spans_after(0, 10).unwrap();
    assert_eq!(page.spans.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [10, 12, 13]);
    assert_eq!(
        page.spans.iter().map(|stored| &stored.span).collect::<Vec<_>>(),
        spans.iter().map(|(_, row)| row).collect::<Vec<_>>()
    );
    assert_eq!(
        reader.span_stats().unwrap(),
        SpanStats { spans: 3, last_seq: 20, ..reader.span_stats().unwrap() }
    );
    assert_eq!(reader.span_services().unwrap(), ["a"]);
    assert_eq!(found(&reader, &TraceQuery { tags: tag("id", "3"), ..TraceQuery::default() }), [2]);
    assert_eq!(store(&writer, 2, vec![span(3, "a", "x", 7, 1)]).unchanged, 1);
    assert_eq!(
        store(&writer, 2, vec![span(3, "a", "x", 7, 2)]),
        StoredTraces { written: 1, ..StoredTraces::default() }
    );
    assert_eq!(reader.spans_of([2; 16]).unwrap()[0].seq, 21);
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
    query.service.as_ref().is_none_or(|service| **service == *span.service)
        && query.operation.as_ref().is_none_or(|operation| *operation == span.operation)
        && query
            .tags
            .iter()
            .all(|(name, value)| span.tags.iter().any(|tag| *tag.0 == **name && *tag.1 == **value))
        && query.min_duration_ns.is_none_or(|min| duration >= min)
        && query.max_duration_ns.is_none_or(|max| duration <= max)
        && query.range.contains(span.start_ns)
}

fn any_span() -> impl Strategy<Value = SpanRow> {
    (0..4_u8, "[ab]", "[xy]", 0..40_i64, 0..6_i64, proptest::collection::vec(("[mn]", "[01]"), 0..3))
        .prop_map(|(id, service, operation, start_ns, duration, tags)| SpanRow {
            tags: tags.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
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
