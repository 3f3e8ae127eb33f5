//! Spans as OTLP has them: the messages of OpenTelemetry's protocol.
//!
//! The one definition of it: what is exported and what `--otlp` prints are the same messages, as protobuf or as
//! JSON.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceMessage;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as SpanMessage, Status as StatusMessage, TracesData, span, status,
};

use crate::span::{Attribute, Event, Resource, Span, Status, Trace, Value};

/// Name of the instrumentation scope of every span that was made from lines.
pub const SCOPE: &str = "binnacle";

/// Spans by the resource that made them, resources in the order in which they come first.
pub fn resource_spans<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<ResourceSpans> {
    let mut groups: Vec<(&Resource, Vec<SpanMessage>)> = Vec::new();
    for span in spans {
        let message = span_message(span);
        match groups.iter_mut().find(|(resource, _)| *resource == &*span.resource) {
            Some((_, messages)) => messages.push(message),
            None => groups.push((&span.resource, vec![message])),
        }
    }
    groups.into_iter().map(|(resource, spans)| of_resource(resource, spans)).collect()
}

impl Trace {
    /// The trace as an OTLP document; through serde it is OTLP's JSON.
    #[must_use]
    pub fn to_otlp(&self) -> TracesData {
        TracesData { resource_spans: resource_spans(&self.spans) }
    }
}

fn of_resource(resource: &Resource, spans: Vec<SpanMessage>) -> ResourceSpans {
    let service = key_value("service.name", any_value::Value::StringValue(resource.service.to_string()));
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(ResourceMessage {
            attributes: std::iter::once(service).chain(resource.attributes.iter().map(attribute)).collect(),
            ..ResourceMessage::default()
        }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn span_message(span: &Span) -> SpanMessage {
    SpanMessage {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: span.parent_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: i32::from(span.kind.number()),
        start_time_unix_nano: time(span.start_ns),
        end_time_unix_nano: time(span.end_ns),
        attributes: span.attributes.iter().map(attribute).collect(),
        events: span.events.iter().map(event).collect(),
        status: Some(status_message(&span.status)),
        ..SpanMessage::default()
    }
}

fn event(event: &Event) -> span::Event {
    span::Event {
        time_unix_nano: time(event.time_ns),
        name: event.name.clone(),
        attributes: event.attributes.iter().map(attribute).collect(),
        ..span::Event::default()
    }
}

fn status_message(status: &Status) -> StatusMessage {
    let (code, message) = match status {
        Status::Unset => (status::StatusCode::Unset, String::new()),
        Status::Ok => (status::StatusCode::Ok, String::new()),
        Status::Error(message) => (status::StatusCode::Error, message.clone()),
    };
    StatusMessage { code: code.into(), message }
}

fn attribute(attribute: &Attribute) -> KeyValue {
    let value = match &attribute.value {
        Value::Bool(value) => any_value::Value::BoolValue(*value),
        Value::Int(value) => any_value::Value::IntValue(*value),
        Value::Float(value) => any_value::Value::DoubleValue(*value),
        Value::Text(value) => any_value::Value::StringValue(value.to_string()),
    };
    key_value(&attribute.name, value)
}

fn key_value(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// OTLP has no time before 1970.
fn time(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::span::{Kind, SpanId, TraceId};

    fn span(id: u8, parent: Option<u8>, service: &str) -> Span {
        Span {
            trace_id: TraceId([0xab; 16]),
            span_id: SpanId([id; 8]),
            parent_id: parent.map(|id| SpanId([id; 8])),
            name: "GET /orders/{id}".to_owned(),
            kind: Kind::Server,
            start_ns: 1_700_000_000_000_000_001,
            end_ns: 1_700_000_000_000_000_009,
            status: Status::Unset,
            resource: Arc::new(Resource {
                service: service.into(),
                attributes: vec![Attribute {
                    name: "container.name".into(),
                    value: Value::Text("c-1".into()),
                }],
            }),
            attributes: Vec::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn a_trace_is_otlp_json() {
        let mut child = span(2, Some(1), "cart");
        child.status = Status::Error("declined".to_owned());
        child.attributes = vec![
            Attribute { name: "binnacle.inferred".into(), value: Value::Bool(true) },
            Attribute { name: "http.response.status_code".into(), value: Value::Int(500) },
            Attribute { name: "ratio".into(), value: Value::Float(0.5) },
        ];
        child.events = vec![Event {
            time_ns: 1_700_000_000_000_000_005,
            name: "card declined".to_owned(),
            attributes: vec![Attribute { name: "log.severity".into(), value: Value::Text("error".into()) }],
        }];
        let trace = Trace { id: TraceId([0xab; 16]), spans: vec![span(1, None, "web"), child] };
        let json = serde_json::to_value(trace.to_otlp()).unwrap();
        let cart = &json["resourceSpans"][1];
        assert_eq!(
            cart["resource"]["attributes"],
            json!([
                {"key": "service.name", "value": {"stringValue": "cart"}},
                {"key": "container.name", "value": {"stringValue": "c-1"}},
            ])
        );
        let span = &cart["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "abababababababababababababababab");
        assert_eq!(
            (&span["spanId"], &span["parentSpanId"]),
            (&json!("0202020202020202"), &json!("0101010101010101"))
        );
        assert_eq!(span["startTimeUnixNano"], "1700000000000000001");
        assert_eq!(span["kind"], 2);
        assert_eq!(span["status"], json!({"code": 2, "message": "declined"}));
        assert_eq!(
            span["attributes"][1],
            json!({"key": "http.response.status_code", "value": {"intValue": "500"}})
        );
        assert_eq!(span["events"][0]["name"], "card declined");
        assert_eq!(serde_json::from_value::<TracesData>(json).unwrap(), trace.to_otlp(), "and back");
    }

    #[test]
    fn spans_of_one_resource_are_told_together() {
        let spans = [span(1, None, "web"), span(2, Some(1), "cart"), span(3, Some(1), "web")];
        let told: Vec<usize> = resource_spans(&spans).iter().map(|r| r.scope_spans[0].spans.len()).collect();
        assert_eq!(told, [2, 1]);
    }
}
