//! Queries end when they must, read no more than they must, and say what they left out.

use std::time::Duration;

use store::config::{ByteSize, Period};
use store::{Batch, CursorUpdate, Gap, GapReason, Level, TimeRange};
use tokio_util::sync::CancellationToken;

use super::{Data, context, hits, record, request};
use crate::Config;
use crate::exec::completeness::Completeness;
use crate::exec::search::{Search, trace_request};
use crate::exec::select::Order;
use crate::exec::{Context, ExecError};

fn lines(count: i64) -> Vec<store::Record> {
    (0..count)
        .map(|i| record(&format!("s{}", i % 5), i, &format!("line {i} of the log"), Level::Info, &[]))
        .collect()
}

fn ends_with(config: &Config, cancel: CancellationToken) -> ExecError {
    let data = Data::of([lines(100)]);
    let context = Context::new(config, cancel);
    let begun = Search::begin(&data.reader(), request("line", TimeRange::ALL, Order::Backward), &context);
    match begun.and_then(|mut search| search.next_page(10, &context)) {
        Ok(hits) => panic!("answered with {} hits", hits.len()),
        Err(error) => error,
    }
}

#[test]
fn a_query_ends_when_cancelled_out_of_time_or_out_of_bytes() {
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    assert!(matches!(ends_with(&Config::default(), cancelled), ExecError::Cancelled));
    let short = Config { timeout: Period(Duration::ZERO), ..Config::default() };
    assert!(matches!(ends_with(&short, CancellationToken::new()), ExecError::Timeout { .. }));
    let small = Config { max_decoded_bytes: ByteSize(10), ..Config::default() };
    let error = ends_with(&small, CancellationToken::new());
    assert!(error.to_string().contains("query.max_decoded_bytes"), "{error}");
}

#[test]
fn the_answer_tells_coverage_and_gaps_inside_the_range() {
    let data = Data::of([lines(10)]);
    let gap = |from_ns, to_ns| Gap {
        source: "docker/1".to_owned(),
        name: "web".to_owned(),
        from_ns,
        to_ns,
        lines: None,
        reason: GapReason::Rotated,
    };
    let batch = Batch {
        cursors: vec![CursorUpdate {
            source: "docker/1".to_owned(),
            position: Some(vec![1]),
            covered_ns: Some(9),
        }],
        gaps: vec![gap(3, 5), gap(100, 200)],
        ..Batch::default()
    };
    data.writer.append_blocking(batch).unwrap();
    let range = TimeRange { start_ns: 0, end_ns: 50 };
    let told = Completeness::of(&data.reader(), range, false, &context()).unwrap();
    assert_eq!(told.gaps.len(), 1);
    assert_eq!(
        (told.gaps[0].reason, told.gaps[0].from.as_str()),
        ("rotated", "1970-01-01T00:00:00.000000003Z")
    );
    assert_eq!(told.covered_until["docker/1"], "1970-01-01T00:00:00.000000009Z");
    assert!(!told.complete);
    let later = TimeRange { start_ns: 6, end_ns: 50 };
    assert!(Completeness::of(&data.reader(), later, false, &context()).unwrap().complete);
    assert!(!Completeness::of(&data.reader(), later, true, &context()).unwrap().complete);
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_similar_ones() {
    let line = r#"{"order_id":7,"user":{"name":"x"}}"#;
    let data = Data::of([vec![record("shop", 1, line, Level::Info, &[("trace_id", "ab")])]]);
    let unknown = |query: &str, range: TimeRange| {
        let context = context();
        let mut search =
            Search::begin(&data.reader(), request(query, range, Order::Backward), &context).unwrap();
        search.next_page(10, &context).unwrap();
        search.unknown_field(&data.reader(), &context).unwrap()
    };
    let found = unknown("é oder_id:7", TimeRange::ALL).unwrap();
    assert_eq!((found.name.as_str(), found.position), ("oder_id", 2));
    assert!(found.similar.contains(&"order_id".to_owned()), "{found}");
    for known in [
        "order_id:8",
        "user.name:y",
        "trace_id:zz",
        "service:other",
        "container:x OR order_id:7",
        "nothing",
        "level:warn",
    ] {
        assert_eq!(unknown(known, TimeRange::ALL), None, "{known}");
    }
    assert_eq!(
        unknown("oder_id:7", TimeRange { start_ns: 50, end_ns: 60 }),
        None,
        "nothing is known of an empty range"
    );
}

#[test]
fn a_trace_is_every_line_of_its_id_in_time_order() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let data = Data::of([vec![
        record("web", 3, "no id in the line", Level::Info, &[("trace_id", id)]),
        record(
            "pay",
            1,
            "no id either",
            Level::Info,
            &[("correlation_id", "4BF92F3577B34DA6A3CE929D0E0E4736")],
        ),
        record("db", 2, &format!("slow query trace={id};"), Level::Warn, &[]),
        record("db", 4, &format!("another {id}0"), Level::Warn, &[]),
        record("db", 5, "nothing", Level::Warn, &[("trace_id", "other")]),
    ]]);
    let context = context();
    let mut search =
        Search::begin(&data.reader(), trace_request(id, TimeRange::ALL).unwrap(), &context).unwrap();
    let found: Vec<i64> =
        search.next_page(10, &context).unwrap().iter().map(|hit| hit.timestamp_ns).collect();
    assert_eq!(found, [1, 2, 3]);
    assert!(trace_request(" ", TimeRange::ALL).is_none());
}

#[test]
fn an_empty_store_answers_nothing_and_is_complete() {
    let data = Data::of([]);
    assert_eq!(hits(&data.reader(), "anything level:error", TimeRange::ALL, Order::Backward), []);
    assert!(Completeness::of(&data.reader(), TimeRange::ALL, false, &context()).unwrap().complete);
}

#[test]
fn a_rare_field_is_known_however_far_back_it_is() {
    let mut records = lines(1_000);
    records[3].line = br#"{"retries":3}"#[..].into();
    let data = Data::of([vec![], records]);
    let context = context();
    let mut search =
        Search::begin(&data.reader(), request("retries:4", TimeRange::ALL, Order::Backward), &context)
            .unwrap();
    search.next_page(1, &context).unwrap();
    assert_eq!(search.unknown_field(&data.reader(), &context).unwrap(), None);
}

#[test]
fn a_needle_is_found_by_reading_its_block_alone() {
    let mut records = lines(1_000);
    records[500].line = b"order 4bf92f3577b34da6 declined"[..].into();
    let data = Data::of([vec![], records]);
    for query in ["4bf92f3577b34da6", "declined", "order -paid"] {
        let context = context();
        let mut search =
            Search::begin(&data.reader(), request(query, TimeRange::ALL, Order::Backward), &context).unwrap();
        assert_eq!(search.next_page(10, &context).unwrap().len(), 1, "{query}");
        let stats = search.stats(&context);
        assert_eq!((stats.blocks_considered, stats.blocks_decoded), (5, 1), "{query}");
    }
}
