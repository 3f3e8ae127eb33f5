//! Traces found by an id, in the index, among lines, and in both.

use std::sync::Arc;

use correlation::span::{Kind, Status};
use correlation::{Resource, Span, SpanId, hashed};
use store::{Level, Record, TraceBatch};

use super::*;
use crate::exec::tests::{Data, context, record};

const SECOND: i64 = 1_000_000_000;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A span: its name, which is its service too, its parent's name, start and end in milliseconds.
pub(super) type Drawn<'a> = (&'a str, &'a str, f64, f64);

/// Spans by start.
pub(super) fn drawn(drawing: &[Drawn<'_>]) -> Vec<Span> {
    let id = |name: &str| {
        let mut id = [0; 8];
        id[..name.len()].copy_from_slice(name.as_bytes());
        SpanId(id)
    };
    let ns = |ms: f64| (ms * 1e6) as i64;
    let span = |(name, parent, from, to): &Drawn<'_>| Span {
        trace_id: hashed("drawn"),
        span_id: id(name),
        parent_id: (!parent.is_empty()).then(|| id(parent)),
        name: (*name).to_owned(),
        kind: Kind::Server,
        start_ns: ns(*from),
        end_ns: ns(*to),
        status: Status::Unset,
        resource: Arc::new(Resource { service: (*name).into(), attributes: Vec::new() }),
        attributes: Vec::new(),
        events: Vec::new(),
    };
    drawing.iter().map(span).collect()
}

fn logged(service: &str, at_ns: i64, pairs: &[(&str, &str)]) -> Record {
    record(service, at_ns, "a line", Level::Info, pairs)
}

fn index(data: &Data, records: &[Record]) {
    let traces = correlation::assemble(records, &Config::default());
    let traces = traces.iter().map(|trace| trace.to_rows(true)).collect();
    data.writer.store_traces_blocking(TraceBatch { traces, ..TraceBatch::default() }).unwrap();
}

fn found(data: &Data, id: &str, config: &Config) -> Option<Found> {
    find(&data.reader(), id, config, &context()).unwrap()
}

fn services(trace: &Trace) -> Vec<&str> {
    trace.spans.iter().map(|span| &*span.resource.service).collect()
}

#[test]
fn lines_that_hold_only_the_correlation_id_of_a_trace_belong_to_it() {
    let now = time::now_ns();
    let data = Data::of([vec![
        logged("web", now, &[("trace_id", TRACE), ("correlation_id", "r-1")]),
        logged("cart", now + 10, &[("correlation_id", "r-1")]),
        logged("pay", now + 20, &[("trace_id", TRACE)]),
        logged("other", now + 30, &[("correlation_id", "r-2")]),
    ]]);
    for id in [TRACE, "r-1"] {
        let found = found(&data, id, &Config::default()).unwrap();
        assert_eq!(found.trace.id.to_string(), TRACE);
        assert_eq!(services(&found.trace), ["web", "cart", "pay"], "{id}");
        assert_eq!((found.others, found.is_cut), (vec![], false));
    }
    assert_eq!(found(&data, "r-3", &Config::default()), None);
}

#[test]
fn a_trace_that_goes_on_is_shown_with_the_lines_that_are_not_indexed_yet() {
    let now = time::now_ns();
    let first = vec![logged("web", now, &[("correlation_id", "r-1")])];
    let data = Data::of([first.clone()]);
    index(&data, &first);
    data.append(vec![logged("cart", now + 10, &[("correlation_id", "r-1")])]);
    for id in ["r-1".to_owned(), hashed("r-1").to_string()] {
        assert_eq!(services(&found(&data, &id, &Config::default()).unwrap().trace), ["web", "cart"]);
    }
}

#[test]
fn a_closed_trace_outlives_its_lines() {
    let lines = vec![logged("web", SECOND, &[("correlation_id", "r-1")])];
    let data = Data::of([]);
    index(&data, &lines);
    let found = found(&data, "r-1", &Config::default()).unwrap();
    assert_eq!((services(&found.trace), found.trace.id), (vec!["web"], hashed("r-1")));
}

#[test]
fn of_traces_that_share_a_correlation_id_the_newest_is_shown_and_the_others_are_named() {
    let now = time::now_ns();
    let other = "5".repeat(32);
    let lines = vec![
        logged("web", now, &[("trace_id", TRACE), ("correlation_id", "session")]),
        logged("web", now + SECOND, &[("trace_id", &other), ("correlation_id", "session")]),
    ];
    let data = Data::of([lines.clone()]);
    let expect = |found: Option<Found>| {
        let found = found.unwrap();
        assert_eq!(found.trace.id.to_string(), other);
        assert_eq!(found.others, [TraceId::parse(TRACE).unwrap()]);
    };
    expect(found(&data, "session", &Config::default()));
    index(&data, &lines);
    expect(found(&data, "session", &Config::default()));
    assert_eq!(found(&data, TRACE, &Config::default()).unwrap().others, []);
}

#[test]
fn a_trace_with_too_many_lines_says_so_and_keeps_what_the_index_has() {
    let now = time::now_ns();
    let lines: Vec<Record> =
        (0..6).map(|i| logged(&format!("s{i}"), now + i, &[("correlation_id", "r-1")])).collect();
    let data = Data::of([lines.clone()]);
    let config = Config { max_trace_lines: 4, ..Config::default() };
    let cut = found(&data, "r-1", &config).unwrap();
    assert_eq!((services(&cut.trace), cut.is_cut), (vec!["s0", "s1", "s2", "s3"], true));
    index(&data, &lines);
    let whole = found(&data, "r-1", &config).unwrap();
    assert_eq!((whole.trace.spans.len(), whole.is_cut), (6, true));
}
