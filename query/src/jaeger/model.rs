//! Jaeger's JSON of version 1. Times and durations are microseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use correlation::otlp::SCOPE;
use correlation::{Attribute, Event, Resource, Span, Status, Trace, Value};
use serde::Serialize;
use serde_json::json;

/// What every answer of version 1 is wrapped in.
#[derive(Debug, Serialize)]
pub(super) struct Envelope<T> {
    pub(super) data: Option<T>,
    pub(super) total: usize,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) errors: Option<Vec<Fault>>,
}

impl<T> Envelope<T> {
    pub(super) const fn of(data: T) -> Self {
        Self { data: Some(data), total: 0, limit: 0, offset: 0, errors: None }
    }
}

impl<T> Envelope<Vec<T>> {
    /// A list with its length.
    pub(super) fn counted(data: Vec<T>) -> Self {
        let total = data.len();
        Self { total, ..Self::of(data) }
    }
}

/// An error.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) code: u16,
    pub(super) msg: String,
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JaegerTrace {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<JaegerSpan>,
    processes: BTreeMap<String, Process>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    /// 1: sampled.
    flags: u32,
    references: Vec<Reference>,
    start_time: i64,
    duration: i64,
    tags: Vec<Tag>,
    logs: Vec<Log>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Debug, Serialize)]
struct Tag {
    key: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Log {
    timestamp: i64,
    fields: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    tags: Vec<Tag>,
}

impl JaegerTrace {
    /// A trace, with what is to be said of it.
    pub(super) fn new(trace: &Trace, warnings: Vec<String>) -> Self {
        let mut resources: Vec<&Arc<Resource>> = Vec::new();
        let mut spans = Vec::with_capacity(trace.spans.len());
        for span in &trace.spans {
            let place = resources.iter().position(|known| *known == &span.resource).unwrap_or_else(|| {
                resources.push(&span.resource);
                resources.len() - 1
            });
            spans.push(jaeger_span(span, process_id(place)));
        }
        let processes = resources.iter().enumerate().map(|(place, resource)| {
            let tags = resource.attributes.iter().map(tag).collect();
            (process_id(place), Process { service_name: resource.service.to_string(), tags })
        });
        Self {
            trace_id: trace.id.to_string(),
            spans,
            processes: processes.collect(),
            warnings: (!warnings.is_empty()).then_some(warnings),
        }
    }
}

fn process_id(place: usize) -> String {
    format!("p{}", place + 1)
}

fn jaeger_span(span: &Span, process_id: String) -> JaegerSpan {
    let start_time = micros(span.start_ns);
    let reference = |parent| Reference {
        ref_type: "CHILD_OF",
        trace_id: span.trace_id.to_string(),
        span_id: format!("{parent}"),
    };
    JaegerSpan {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        operation_name: span.name.clone(),
        flags: 1,
        references: span.parent_id.map(reference).into_iter().collect(),
        start_time,
        // Ends where the next one may begin: rounding both keeps children within their parents.
        duration: micros(span.end_ns) - start_time,
        tags: tags(span),
        logs: span.events.iter().map(log).collect(),
        process_id,
        warnings: None,
    }
}

/// Jaeger's times have no sign.
const fn micros(ns: i64) -> i64 {
    let micros = ns.div_euclid(1_000);
    if micros < 0 { 0 } else { micros }
}

fn tags(span: &Span) -> Vec<Tag> {
    let mut tags = vec![text("span.kind", span.kind.name())];
    match &span.status {
        Status::Unset => {}
        Status::Ok => tags.push(text("otel.status_code", "OK")),
        Status::Error(message) => {
            // By `error` Grafana and Jaeger colour the span.
            tags.push(Tag { key: "error".to_owned(), kind: "bool", value: json!(true) });
            tags.push(text("otel.status_code", "ERROR"));
            tags.push(text("otel.status_description", message));
        }
    }
    tags.push(text("otel.scope.name", SCOPE));
    tags.extend(span.attributes.iter().map(tag));
    tags
}

fn text(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), kind: "string", value: json!(value) }
}

fn tag(attribute: &Attribute) -> Tag {
    let (kind, value) = match &attribute.value {
        Value::Bool(value) => ("bool", json!(value)),
        Value::Int(value) => ("int64", json!(value)),
        Value::Float(value) if value.is_finite() => ("float64", json!(value)),
        Value::Float(value) => ("string", json!(value.to_string())),
        Value::Text(value) => ("string", json!(value)),
    };
    Tag { key: attribute.name.to_string(), kind, value }
}

fn log(event: &Event) -> Log {
    let mut fields = vec![text("event", &event.name)];
    fields.extend(event.attributes.iter().map(tag));
    Log { timestamp: micros(event.time_ns), fields }
}
