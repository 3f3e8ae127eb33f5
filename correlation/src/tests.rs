//! Whole traces from records, and what every input keeps to.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use store::record::attribute;
use store::{Labels, Level, Origin, Pair, Record};

use crate::{Closed, Config, OpenTraces, Span, Status, Trace, TraceId, Value, assemble, hashed};

const MS: i64 = 1_000_000;
const S: i64 = 1_000 * MS;

/// A record of a service's container.
pub(crate) fn record(service: &str, timestamp_ns: i64, line: &str, pairs: &[(&str, &str)]) -> Record {
    let pair =
        |name: &str, value: &str| Pair { origin: Origin::Derived, name: name.into(), value: value.into() };
    let container = format!("shop-{service}-1");
    let labels = [
        ("host", "h1"),
        ("compose_project", "shop"),
        ("service_name", service),
        ("container", &container),
        ("stream", "stdout"),
    ];
    let mut pairs: Vec<Pair> = pairs.iter().map(|(name, value)| pair(name, value)).collect();
    pairs.push(pair(attribute::CONTAINER_ID, &format!("{service:x<64}")));
    Record {
        timestamp_ns,
        labels: Arc::new(Labels::new(labels)),
        line: Bytes::copy_from_slice(line.as_bytes()),
        level: if line.contains("rror") { Level::Error } else { Level::Info },
        pairs,
    }
}

fn traces(records: &[Record]) -> Vec<Trace> {
    assemble(records, &Config::default())
}

fn span<'a>(trace: &'a Trace, service: &str) -> &'a Span {
    trace.spans.iter().find(|span| &*span.resource.service == service).unwrap()
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|a| &*a.name == name).map(|a| &a.value)
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ORDER: &str = "6c1d8f0e-1111-4222-8333-944455556666";

/// A request through four services: two log span ids, two only the correlation id.
fn shop() -> Vec<Record> {
    let (trace, order) = (("trace_id", TRACE), ("correlation_id", ORDER));
    let answer = r#"{"method":"POST","path":"/checkout/17","status":502,"duration_ms":100,"msg":"upstream failed: error"}"#;
    vec![
        record("gateway", 100 * MS, answer, &[trace, order, ("span_id", "00000000000000aa")]),
        record("checkout", 10 * MS, "INFO shop.Checkout - placing order for customer 7", &[order]),
        record(
            "checkout",
            90 * MS,
            "ERROR shop.Checkout - cannot place order: error\n\tat Checkout.java:3",
            &[order],
        ),
        record("cart", 15 * MS, r#"{"msg":"GET /cart received"}"#, &[order]),
        record("cart", 18 * MS, r#"{"msg":"cart read","duration_ms":3}"#, &[order]),
        record(
            "payment",
            80 * MS,
            "declined took=50ms",
            &[trace, ("span_id", "bb"), ("parent_span_id", "cc")],
        ),
    ]
}

#[test]
fn a_request_becomes_a_tree_whatever_its_services_log() {
    let traces = traces(&shop());
    assert_eq!(traces.len(), 1, "the gateway's line links both ids");
    let trace = &traces[0];
    assert_eq!(trace.id.to_string(), TRACE);
    let of = |service| span(trace, service);
    let services: Vec<&str> = trace.spans.iter().map(|span| &*span.resource.service).collect();
    assert_eq!(services, ["gateway", "checkout", "cart", "payment"]);
    assert_eq!(of("gateway").parent_id, None);
    assert_eq!(of("checkout").parent_id, Some(of("gateway").span_id));
    assert_eq!(of("cart").parent_id, Some(of("checkout").span_id));
    assert_eq!(of("payment").parent_id, Some(of("checkout").span_id), "the visit has the id its callee logs");
    assert_eq!(of("checkout").span_id.to_string(), "00000000000000cc");

    let gateway = of("gateway");
    assert_eq!((&*gateway.name, gateway.kind.name()), ("POST /checkout/{id}", "server"));
    assert_eq!((gateway.start_ns, gateway.end_ns), (0, 100 * MS));
    assert_eq!(gateway.status, Status::Error("upstream failed: error".to_owned()));
    for (name, value) in [
        ("http.request.method", text("POST")),
        ("http.route", text("/checkout/{id}")),
        ("url.path", text("/checkout/17")),
        ("http.response.status_code", Value::Int(502)),
        ("error.type", text("502")),
        ("correlation_id", text(ORDER)),
    ] {
        assert_eq!(attribute(gateway, name), Some(&value), "{name}");
    }
    assert_eq!(attribute(gateway, "binnacle.inferred"), None);
    assert_eq!(attribute(gateway, "binnacle.parent"), None);
    assert_eq!(attribute(of("payment"), "binnacle.parent"), Some(&text("logged")));
    assert_eq!(attribute(of("payment"), "correlation_id"), Some(&text(ORDER)), "the trace's only one");
    assert_eq!(of("payment").start_ns, 30 * MS);

    let checkout = of("checkout");
    assert_eq!(checkout.name, "shop.Checkout");
    assert_eq!(attribute(checkout, "binnacle.inferred"), Some(&Value::Bool(true)));
    assert_eq!(attribute(checkout, "binnacle.parent"), Some(&text("enclosing")));
    assert_eq!(checkout.status, Status::Error("cannot place order: error".to_owned()));
    assert_eq!(checkout.events[1].attributes[0].value, text("\tat Checkout.java:3"));
    assert_eq!(of("cart").name, "GET /cart");
    let resource: Vec<&str> = checkout.resource.attributes.iter().map(|a| &*a.name).collect();
    assert_eq!(resource, ["container.id", "container.name", "host.name", "service.namespace"]);
}

#[test]
fn a_correlation_id_alone_makes_a_trace_of_its_hash() {
    let records: Vec<Record> = shop().into_iter().filter(|r| r.pair(attribute::TRACE_ID).is_none()).collect();
    let traces = traces(&records);
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0].id, hashed(ORDER));
    assert_eq!(attribute(&traces[0].spans[0], "correlation_id"), Some(&text(ORDER)));
}

#[test]
fn a_service_that_logs_its_callers_span_is_called_by_it() {
    let ids = [("trace_id", TRACE), ("span_id", "aa")];
    let traces = traces(&[
        record("gateway", 100 * MS, "answered took=100ms", &ids),
        record("cart", 50 * MS, "read", &ids),
    ]);
    let (gateway, cart) = (span(&traces[0], "gateway"), span(&traces[0], "cart"));
    assert_eq!(
        (gateway.span_id.to_string().as_str(), cart.parent_id),
        ("00000000000000aa", Some(gateway.span_id))
    );
}

#[test]
fn a_correlation_id_of_two_traces_goes_with_the_nearer() {
    let other = "00000000000000000000000000000001";
    let linked = |trace, ms: i64| {
        record("web", ms * MS, "answered", &[("trace_id", trace), ("correlation_id", ORDER)])
    };
    let lone = |ms: i64| record("cart", ms * MS, "read", &[("correlation_id", ORDER)]);
    let traces = traces(&[linked(TRACE, 10), linked(other, 500), lone(12), lone(490)]);
    let counts: Vec<(String, usize)> = traces.iter().map(|t| (t.id.to_string(), t.spans.len())).collect();
    assert_eq!(counts, [(TRACE.to_owned(), 2), (other.to_owned(), 2)]);
}

#[test]
fn events_are_bounded_and_errors_stay() {
    let config = Config { max_span_events: 3, ..Config::default() };
    let records: Vec<Record> = (0..10)
        .map(|i| record("web", i, if i == 8 { "an error" } else { "fine" }, &[("correlation_id", "a")]))
        .collect();
    let span = &assemble(&records, &config)[0].spans[0];
    let times: Vec<i64> = span.events.iter().map(|event| event.time_ns).collect();
    assert_eq!(times, [0, 1, 8]);
    assert_eq!(attribute(span, "binnacle.lines"), Some(&Value::Int(10)));
}

// === open traces ===

/// Feeds records, each a millisecond after the one before.
fn feed(open: &mut OpenTraces, records: &[Record], from_ns: i64) -> Closed {
    let mut closed = Closed::default();
    for (i, record) in (0..).zip(records) {
        let more = open.observe(record, from_ns + i * MS);
        closed.traces.extend(more.traces);
        closed.gone.extend(more.gone);
    }
    closed
}

#[test]
fn a_trace_closes_when_it_is_idle() {
    let mut open = OpenTraces::new(Config::default());
    assert!(feed(&mut open, &shop(), 0).is_empty());
    assert_eq!(open.oldest_open_ns(), Some(10 * MS));
    assert!(open.close_idle(9 * S).is_empty());
    let closed = open.close_idle(11 * S);
    assert_eq!((closed.traces, closed.gone), (traces(&shop()), Vec::new()));
    assert_eq!(open.oldest_open_ns(), None);
    assert!(open.close_idle(12 * S).is_empty(), "told once");
}

#[test]
fn a_late_line_tells_again_what_it_changes_and_only_that() {
    let mut open = OpenTraces::new(Config::default());
    let late = record("payment", 85 * MS, "retried", &[("trace_id", TRACE), ("span_id", "bb")]);
    assert!(feed(&mut open, &shop(), 0).is_empty());
    assert_eq!(open.close_idle(11 * S).traces.len(), 1);
    assert!(open.observe(&late, 12 * S).is_empty());
    let closed = open.close_idle(23 * S);
    let changed: Vec<&str> =
        closed.traces.iter().flat_map(|t| &t.spans).map(|s| &*s.resource.service).collect();
    assert_eq!((changed, closed.gone), (vec!["payment"], Vec::new()));
    assert_eq!(open.counters().reopened, 1);
}

#[test]
fn a_line_that_links_ids_late_moves_spans_to_the_trace() {
    let mut open = OpenTraces::new(Config::default());
    let (linking, lone): (Vec<Record>, Vec<Record>) =
        shop().into_iter().partition(|r| r.pair(attribute::TRACE_ID).is_some());
    assert!(feed(&mut open, &lone, 0).is_empty());
    let before = open.close_idle(11 * S);
    assert_eq!(before.traces[0].id, hashed(ORDER));
    assert!(feed(&mut open, &linking, 12 * S).is_empty());
    let after = open.close_idle(23 * S);
    assert_eq!(after.traces, traces(&shop()));
    let gone: Vec<TraceId> = after.gone.iter().map(|(trace, _)| *trace).collect();
    assert_eq!(gone, vec![hashed(ORDER); before.traces[0].spans.len()]);
}

#[test]
fn a_trace_that_goes_on_is_told_in_parts() {
    let config = Config::default();
    let mut open = OpenTraces::new(config);
    let mut told = 0;
    for second in 0..700 {
        let line = record("worker", second * S, "working", &[("correlation_id", "job")]);
        assert!(open.observe(&line, second * S).is_empty());
        told += open.close_idle(second * S).traces.len();
    }
    assert_eq!(told, 2, "every five minutes");
}

#[test]
fn traces_and_bytes_are_bounded_and_nothing_is_dropped() {
    let config = Config { max_traces: 50, max_bytes: store::config::ByteSize(1 << 20), ..Config::default() };
    let mut open = OpenTraces::new(config);
    let mut lines = 0;
    let count = |closed: Closed| -> usize {
        closed.traces.iter().flat_map(|trace| &trace.spans).map(|span| span.events.len()).sum()
    };
    for i in 0..5_000 {
        let line = record("web", i, &"x".repeat(400), &[("correlation_id", &format!("id-{}", i % 1_000))]);
        lines += count(open.observe(&line, i));
        assert!(open.counters().open <= 50 && open.counters().bytes <= 1 << 20);
    }
    assert_eq!(lines + count(open.close_all()), 5_000);
    let counters = open.counters();
    assert!(counters.let_go > 4_000);
    assert_eq!((counters.bytes, counters.open, counters.remembered), (0, 0, 0));
}

#[test]
fn remembered_traces_leave_room_for_open_ones() {
    let mut open = OpenTraces::new(Config { max_traces: 50, ..Config::default() });
    for second in 0..100 {
        for request in 0..10 {
            let id = format!("{second}-{request}");
            let line = record("web", second * S, "GET /a", &[("correlation_id", &id)]);
            assert!(open.observe(&line, second * S).is_empty(), "let go early");
        }
        assert!(open.close_idle(second * S + 10 * S).traces.len() <= 10);
    }
    let counters = open.counters();
    assert_eq!((counters.let_go, counters.open, counters.remembered), (0, 0, 1_000));
}

#[test]
fn a_trace_with_too_many_lines_is_cut() {
    let mut open = OpenTraces::new(Config { max_trace_lines: 100, ..Config::default() });
    let mut spans = 0;
    for i in 0..1_000 {
        let line = record("web", i, "x", &[("correlation_id", "a")]);
        spans += open.observe(&line, i).traces.len();
        assert!(open.counters().bytes < 200_000);
    }
    assert_eq!((spans, open.counters().cut), (10, 10));
}

// === properties ===

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("incoming request".to_owned()),
        Just("GET /a received".to_owned()),
        Just(r#"{"method":"GET","path":"/a/17","status":200,"duration_ms":5}"#.to_owned()),
        Just(r#"{"method":"GET","path":"/a/17","status":500}"#.to_owned()),
        Just("request completed".to_owned()),
        Just("done took=8ms".to_owned()),
        Just("an error\n\tat x".to_owned()),
        "\\PC{0,40}",
    ]
}

/// Few ids, services and times, so that lines meet.
fn any_record() -> impl Strategy<Value = Record> {
    let id = |name: &'static str, ids: &'static [&'static str]| {
        prop::option::of(prop::sample::select(ids)).prop_map(move |id| id.map(|id| (name, id)))
    };
    let ids = (
        id("trace_id", &[TRACE, "1", "2", "not hex"]),
        id("correlation_id", &["a", "b", TRACE]),
        id("span_id", &["1", "2", "3", "x y"]),
        id("parent_span_id", &["1", "2", "3", "9"]),
    );
    (prop::sample::select(&["web", "cart", "db"][..]), 0..60_i64, any_line(), ids).prop_map(
        |(service, ms, line, (a, b, c, d))| {
            let pairs: Vec<(&str, &str)> = [a, b, c, d].into_iter().flatten().collect();
            record(service, ms * MS, &line, &pairs)
        },
    )
}

fn by_id(mut traces: Vec<Trace>) -> Vec<Trace> {
    traces.sort_by_key(|trace| trace.id);
    traces
}

proptest! {
    #[test]
    fn the_order_of_lines_makes_no_difference(
        (records, shuffled) in prop::collection::vec(any_record(), 0..24)
            .prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle()))
    ) {
        prop_assert_eq!(traces(&records), traces(&shuffled));
    }

    #[test]
    fn a_stream_makes_the_traces_that_all_at_once_makes(records in prop::collection::vec(any_record(), 0..24)) {
        let mut open = OpenTraces::new(Config::default());
        let closed = feed(&mut open, &records, 0);
        prop_assert!(closed.is_empty());
        prop_assert_eq!(by_id(open.close_all().traces), by_id(traces(&records)));
    }

    /// Whatever closes in between, who replaces spans by their ids and removes those gone has the same in the end.
    #[test]
    fn what_is_told_in_parts_adds_up(records in prop::collection::vec((any_record(), any::<bool>()), 0..24)) {
        let mut open = OpenTraces::new(Config::default());
        let mut known = std::collections::BTreeMap::new();
        let mut now_ns = 0;
        let mut learn = |closed: Closed| {
            for id in closed.gone {
                known.remove(&id);
            }
            for span in closed.traces.into_iter().flat_map(|trace| trace.spans) {
                known.insert((span.trace_id, span.span_id), span);
            }
        };
        for (record, close) in &records {
            learn(open.observe(record, now_ns));
            if *close {
                now_ns += 11 * S;
                learn(open.close_idle(now_ns));
            }
        }
        learn(open.close_all());
        // Late lines join for two minutes: longer than the 24 closings may take is beyond what is promised.
        if now_ns < 120 * S {
            let records: Vec<Record> = records.into_iter().map(|(record, _)| record).collect();
            let all = traces(&records).into_iter().flat_map(|trace| trace.spans);
            let expected = all.map(|span| ((span.trace_id, span.span_id), span)).collect();
            prop_assert_eq!(known, expected);
        }
    }

    #[test]
    fn spans_keep_to_what_their_types_promise(records in prop::collection::vec(any_record(), 0..40)) {
        let with_ids = records.iter().filter(|r| crate::key::Keys::of(&crate::key::Ids::of(r)).is_some()).count();
        let traces = traces(&records);
        let mut lines = 0;
        for trace in &traces {
            prop_assert!(!trace.spans.is_empty());
            prop_assert!(trace.spans.is_sorted_by_key(|span| (span.start_ns, span.span_id)));
            let ids: std::collections::HashSet<_> = trace.spans.iter().map(|span| span.span_id).collect();
            prop_assert_eq!(ids.len(), trace.spans.len());
            for span in &trace.spans {
                prop_assert!(span.start_ns <= span.end_ns && span.trace_id == trace.id);
                prop_assert!(span.attributes.is_sorted_by_key(|attribute| attribute.name.clone()));
                prop_assert!(!span.name.is_empty());
                lines += span.events.len();
            }
        }
        prop_assert_eq!(lines, with_ids, "every line in one span");
    }

    #[test]
    fn hostile_records_are_no_panic(
        lines in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), any::<i64>(), "\\PC{0,300}", "\\PC{0,20}"), 0..12)
    ) {
        let records: Vec<Record> = lines
            .into_iter()
            .map(|(line, timestamp_ns, id, span)| Record {
                line: line.into(),
                ..record("web", timestamp_ns, "", &[("trace_id", id.as_str()), ("span_id", &span)])
            })
            .collect();
        let mut open = OpenTraces::new(Config::default());
        let _ = feed(&mut open, &records, i64::MAX - 60 * S);
        prop_assert_eq!(by_id(open.close_all().traces), by_id(traces(&records)));
    }
}

#[test]
fn a_duration_field_of_an_own_name_moves_the_start_back_in_its_unit() {
    let line = r#"{"method":"GET","path":"/cart","status":200,"cost":250,"msg":"request completed"}"#;
    let records = [record("cart", 10 * S, line, &[("correlation_id", ORDER)])];
    for (unit, duration_ns) in [("ms", 250 * MS), ("us", MS / 4), ("ns", 250)] {
        let unit = serde_json::from_value(unit.into()).unwrap();
        let config = Config { duration_units: [("cost".to_owned(), unit)].into(), ..Config::default() };
        let made = assemble(&records, &config);
        assert_eq!(span(&made[0], "cart").start_ns, 10 * S - duration_ns);
        let mut open = OpenTraces::new(config);
        assert!(open.observe(&records[0], 10 * S).is_empty());
        assert_eq!(open.close_all().traces, made);
    }
    assert_eq!(span(&traces(&records)[0], "cart").start_ns, 10 * S, "no duration without a unit");
}
