//! How much of the shop's true call trees is found out from its lines: the figure of docs/traces.md.

use std::collections::HashMap;

use correlation::{Config, OpenTraces, Span, SpanId, Trace, TraceId, hashed};

use super::*;

const START_NS: i64 = 1_700_000_000_000_000_000;
/// Shops that run at the same time: about 280 requests a second.
const SHOPS: u64 = 40;
const SECONDS: i64 = 20;

/// Which ids the services log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logged {
    /// Trace, span and parent span, on every line.
    Spans,
    /// What the shop logs: some services have span ids, some only the correlation id.
    AsTheShopDoes,
    /// The correlation id, on every line.
    CorrelationOnly,
}

/// The lines of requests of all shops, by time. Continuation lines of stack traces are joined elsewhere.
fn lines() -> Vec<DemoLine> {
    let end_ns = START_NS + SECONDS * 1_000_000_000;
    let mut lines = Vec::new();
    for seed in 0..SHOPS {
        let shop = Traffic::new(seed, START_NS).take_while(|line| line.timestamp_ns < end_ns);
        lines.extend(shop.filter(|line| line.call.as_ref().is_some_and(|call| holds_id(&line.line, call))));
    }
    lines.sort_by_key(|line| line.timestamp_ns);
    lines
}

fn holds_id(line: &str, call: &CallRef) -> bool {
    line.contains(&call.request.trace_id) || line.contains(&call.request.correlation_id)
}

fn record(enricher: &Enricher, line: &DemoLine, call: &CallRef, logged: Logged) -> Record {
    let container = container(line.service, 0);
    let labels = Labels::new([("service_name", line.service.name()), ("container", &container.name)]);
    let raw =
        RawLine { timestamp_ns: line.timestamp_ns, line: line.line.clone().into(), truncated_from: None };
    let mut record = enricher.record(raw, &Arc::new(labels), &[], ParseOptions::default());
    let pair =
        |name: &str, value: &str| Pair { origin: Origin::Derived, name: name.into(), value: value.into() };
    let request = &call.request;
    record.pairs = match logged {
        Logged::AsTheShopDoes => record.pairs,
        Logged::CorrelationOnly => vec![pair(attribute::CORRELATION_ID, &request.correlation_id)],
        Logged::Spans => {
            let parent = call.call().parent.map_or("", |parent| &request.calls[parent].span_id);
            vec![
                pair(attribute::TRACE_ID, &request.trace_id),
                pair(attribute::SPAN_ID, &call.call().span_id),
                pair(attribute::PARENT_SPAN_ID, parent),
            ]
        }
    };
    record
}

/// Spans by trace, as they come out of a stream with all requests interleaved.
fn assembled(lines: &[DemoLine], logged: Logged) -> HashMap<TraceId, Vec<Span>> {
    let enricher = Enricher::new(&IngestConfig::default(), crate::Redactor::off());
    let mut open = OpenTraces::new(Config::default());
    let mut traces: Vec<Trace> = Vec::new();
    let mut next_close_ns = START_NS;
    for line in lines {
        let Some(call) = &line.call else { continue };
        traces.extend(open.observe(&record(&enricher, line, call, logged), line.timestamp_ns).traces);
        if line.timestamp_ns >= next_close_ns {
            traces.extend(open.close_idle(line.timestamp_ns).traces);
            next_close_ns = line.timestamp_ns + 1_000_000_000;
        }
    }
    traces.extend(open.close_all().traces);
    let mut spans: HashMap<TraceId, Vec<Span>> = HashMap::new();
    for trace in traces {
        spans.entry(trace.id).or_default().extend(trace.spans);
    }
    spans
}

/// Spans with the right service and parent, and how many there should be. No service is called twice in a
/// request, so services name the spans.
fn right(request: &Request, spans: &[Span]) -> (usize, usize) {
    let services: HashMap<SpanId, &str> =
        spans.iter().map(|span| (span.span_id, &*span.resource.service)).collect();
    let is_right = |call: &Call| {
        let mut own = spans.iter().filter(|span| *span.resource.service == *call.service.name());
        let (Some(span), None) = (own.next(), own.next()) else { return false };
        let parent = span.parent_id.map(|id| services.get(&id).copied().unwrap_or("nobody"));
        parent == call.parent.map(|parent| request.calls[parent].service.name())
    };
    let found = request.calls.iter().filter(|call| is_right(call)).count();
    (found, request.calls.len().max(spans.len()))
}

/// Percent of spans with the right service and parent.
fn figure(lines: &[DemoLine], logged: Logged) -> f64 {
    let spans = assembled(lines, logged);
    // A request counts when its last line is there: the gateway's.
    let ended = |line: &&DemoLine| line.service == Service::Gateway;
    let (mut requests, mut found, mut all) = (0, 0, 0);
    for line in lines.iter().filter(ended) {
        let Some(call) = &line.call else { continue };
        let id = match logged {
            Logged::CorrelationOnly => hashed(&call.request.correlation_id),
            _ => correlation::trace_id(&call.request.trace_id),
        };
        let (right, whole) = right(&call.request, spans.get(&id).map_or(&[], Vec::as_slice));
        (requests, found, all) = (requests + 1, found + right, all + whole);
    }
    assert!(requests > 3_000, "{requests} requests");
    let percent = 100.0 * f64::from(u32::try_from(found).unwrap()) / f64::from(u32::try_from(all).unwrap());
    eprintln!(
        "{logged:?}: {percent:.2} % of {all} spans of {requests} requests have the right service and parent"
    );
    percent
}

#[test]
fn true_call_trees_are_found_from_lines() {
    let lines = lines();
    assert!(figure(&lines, Logged::Spans) >= 99.0);
    assert!(figure(&lines, Logged::AsTheShopDoes) >= 99.0);
    assert!(figure(&lines, Logged::CorrelationOnly) >= 90.0);
}
