//! Spans as rows of the store's span index, and back.
//!
//! What a span can be found by (the tags) is every attribute of the span and of its resource, as text, besides
//! `span.kind` and, on failed spans, `error=true`, as Jaeger has them. What columns and tags do not hold is JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::spans::{MAX_SPAN_BYTES, Tag};
use store::{SpanRow, StoredSpan, TraceRows};

use crate::names::name;
use crate::span::{Attribute, Event, Kind, Resource, Span, SpanId, Status, Trace, TraceId, Value};

/// Longer values cannot be searched for.
const MAX_TAG_BYTES: usize = 1024;

/// What the columns and the tags do not hold.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    status: &'a Status,
    /// What the tags behind `span.kind` and `error` are: a letter for each attribute of the span, and of its resource.
    letters: [String; 2],
    /// Attributes too long to be tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    long: Vec<&'a Attribute>,
    events: &'a [Event],
}

/// The same, read back.
#[derive(Deserialize)]
struct OwnedBody {
    #[serde(default)]
    parent: Option<String>,
    status: Status,
    #[serde(default)]
    letters: Option<[String; 2]>,
    #[serde(default)]
    long: Vec<Attribute>,
    /// Before there were letters, all attributes were here.
    #[serde(default)]
    resource: Vec<Attribute>,
    #[serde(default)]
    attributes: Vec<Attribute>,
    events: Vec<Event>,
}

/// Stands for an attribute that is no tag.
const LONG: char = 'l';

/// No more than who called it.
#[derive(Deserialize)]
struct ParentAlone<'a> {
    #[serde(default, borrow)]
    parent: Option<&'a str>,
}

impl Trace {
    /// Its rows; `whole` when these are all spans it has.
    #[must_use]
    pub fn to_rows(&self, whole: bool) -> TraceRows {
        TraceRows { trace_id: self.id.0, whole, spans: self.spans.iter().map(Span::to_row).collect() }
    }

    /// The trace of rows, which are by start; `None` without any that can be read.
    #[must_use]
    pub fn of_rows(rows: &[StoredSpan]) -> Option<Self> {
        let mut resources: Vec<Arc<Resource>> = Vec::new();
        let mut spans = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(mut span) = Span::of_row(row) else { continue };
            match resources.iter().find(|known| **known == span.resource) {
                Some(known) => span.resource = Arc::clone(known),
                None => resources.push(Arc::clone(&span.resource)),
            }
            spans.push(span);
        }
        Some(Self { id: spans.first()?.trace_id, spans })
    }
}

impl Span {
    /// Its row. Events that do not fit are left out, the last first.
    #[must_use]
    pub fn to_row(&self) -> SpanRow {
        let tags = self.tags();
        let room = MAX_SPAN_BYTES.saturating_sub(tags.iter().map(|(n, v)| n.len() + v.len()).sum());
        let mut events = self.events.as_slice();
        let mut body = self.body(events);
        while body.len() > room && !events.is_empty() {
            events = &events[..events.len() / 2];
            body = self.body(events);
        }
        SpanRow {
            span_id: self.span_id.0,
            service: Arc::clone(&self.resource.service),
            operation: self.name.clone(),
            kind: self.kind.number(),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            error: matches!(self.status, Status::Error(_)),
            tags,
            body,
        }
    }

    fn body(&self, events: &[Event]) -> Vec<u8> {
        let letters = |attributes: &[Attribute]| attributes.iter().map(letter).collect();
        let all = self.attributes.iter().chain(&self.resource.attributes);
        let body = Body {
            parent: self.parent_id.map(|id| id.to_string()),
            status: &self.status,
            letters: [letters(&self.attributes), letters(&self.resource.attributes)],
            long: all.filter(|attribute| is_long(attribute)).collect(),
            events,
        };
        serde_json::to_vec(&body).expect("BUG: a span is not JSON")
    }

    fn tags(&self) -> Vec<Tag> {
        let mut tags = Vec::with_capacity(2 + self.attributes.len() + self.resource.attributes.len());
        tags.push((name("span.kind"), name(self.kind.name())));
        if matches!(self.status, Status::Error(_)) {
            tags.push((name("error"), name("true")));
        }
        for attribute in self.attributes.iter().chain(&self.resource.attributes) {
            if is_long(attribute) {
                continue;
            }
            let value = match &attribute.value {
                Value::Text(text) => Arc::clone(text),
                Value::Bool(true) => name("true"),
                other => other.to_string().into(),
            };
            tags.push((Arc::clone(&attribute.name), value));
        }
        tags
    }

    /// Who called the span of a row: a small part of the work of reading it.
    #[must_use]
    pub fn parent_of_row(row: &StoredSpan) -> Option<SpanId> {
        let body: ParentAlone<'_> = serde_json::from_slice(&row.span.body).ok()?;
        body.parent.and_then(SpanId::parse)
    }

    /// The span of a row; `None` when its body was written by a version that this one does not understand.
    #[must_use]
    pub fn of_row(row: &StoredSpan) -> Option<Self> {
        let mut body: OwnedBody = serde_json::from_slice(&row.span.body).ok()?;
        if let Some([own, of_resource]) = &body.letters {
            let first = 1 + usize::from(row.span.error);
            let (mut tags, mut long) = (row.span.tags.iter().skip(first), body.long.into_iter());
            body.attributes = attributes(own, &mut tags, &mut long)?;
            body.resource = attributes(of_resource, &mut tags, &mut long)?;
        }
        let service = Arc::clone(&row.span.service);
        Some(Self {
            trace_id: TraceId(row.trace_id),
            span_id: SpanId(row.span.span_id),
            parent_id: body.parent.as_deref().and_then(SpanId::parse),
            name: row.span.operation.clone(),
            kind: Kind::of_number(row.span.kind),
            start_ns: row.span.start_ns,
            end_ns: row.span.end_ns,
            status: body.status,
            resource: Arc::new(Resource { service, attributes: body.resource }),
            attributes: body.attributes,
            events: body.events,
        })
    }
}

/// Whether an attribute is too long to be a tag.
fn is_long(attribute: &Attribute) -> bool {
    matches!(&attribute.value, Value::Text(text) if text.len() > MAX_TAG_BYTES)
}

/// What the value of an attribute is.
fn letter(attribute: &Attribute) -> char {
    match &attribute.value {
        Value::Bool(_) => 'b',
        Value::Int(_) => 'i',
        Value::Float(_) => 'f',
        Value::Text(_) if is_long(attribute) => LONG,
        Value::Text(_) => 't',
    }
}

/// The attributes that letters stand for, of the next tags; `None` for letters that this version does not know.
fn attributes<'a>(
    letters: &str,
    tags: &mut impl Iterator<Item = &'a Tag>,
    long: &mut impl Iterator<Item = Attribute>,
) -> Option<Vec<Attribute>> {
    let mut attributes = Vec::with_capacity(letters.len());
    for letter in letters.chars() {
        if letter == LONG {
            attributes.push(long.next()?);
            continue;
        }
        let (name, value) = tags.next()?;
        let value = match letter {
            'b' => Value::Bool(value.parse().ok()?),
            'i' => Value::Int(value.parse().ok()?),
            'f' => Value::Float(value.parse().ok()?),
            't' => Value::Text(Arc::clone(value)),
            _ => return None,
        };
        attributes.push(Attribute { name: Arc::clone(name), value });
    }
    Some(attributes)
}

impl Kind {
    /// OTLP's number of it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Server => 2,
            Self::Client => 3,
            Self::Producer => 4,
            Self::Consumer => 5,
        }
    }

    /// The kind that has OTLP's number; any other number is not told.
    #[must_use]
    pub const fn of_number(number: u8) -> Self {
        match number {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }
}

impl std::fmt::Display for Value {
    /// As Jaeger's tags have it: no quotes around texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, value: Value) -> Attribute {
        Attribute { name: name.into(), value }
    }

    fn span() -> Span {
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            parent_id: Some(SpanId([3; 8])),
            name: "GET /orders/{id}".to_owned(),
            kind: Kind::Server,
            start_ns: 5,
            end_ns: 9,
            status: Status::Error("declined".to_owned()),
            resource: Arc::new(Resource {
                service: "web".into(),
                attributes: vec![attribute("container.name", Value::Text("shop-web-1".into()))],
            }),
            attributes: vec![
                attribute("http.response.status_code", Value::Int(500)),
                attribute("ratio", Value::Float(0.5)),
                attribute("binnacle.inferred", Value::Bool(true)),
                attribute("long", Value::Text("x".repeat(2000).into())),
            ],
            events: vec![Event {
                time_ns: 6,
                name: "declined".to_owned(),
                attributes: vec![attribute("log.severity", Value::Text("error".into()))],
            }],
        }
    }

    fn stored(span: SpanRow) -> StoredSpan {
        StoredSpan { seq: 1, trace_id: [1; 16], span }
    }

    #[test]
    fn a_span_reads_back_as_it_was() {
        let trace = Trace { id: TraceId([1; 16]), spans: vec![span()] };
        let rows: Vec<StoredSpan> = trace.to_rows(true).spans.into_iter().map(stored).collect();
        assert_eq!(Span::parent_of_row(&rows[0]), Some(SpanId([3; 8])));
        assert_eq!(Trace::of_rows(&rows), Some(trace));
        assert_eq!(Trace::of_rows(&[]), None);
    }

    #[test]
    fn a_body_of_the_version_before_is_read() {
        let mut row = span().to_row();
        row.body = br#"{"parent":"0303030303030303","status":{"error":"declined"},
            "resource":[{"name":"container.name","value":"shop-web-1"}],
            "attributes":[{"name":"http.response.status_code","value":500}],"events":[]}"#
            .to_vec();
        let back = Span::of_row(&stored(row)).unwrap();
        assert_eq!(back.attributes, [attribute("http.response.status_code", Value::Int(500))]);
        assert_eq!(back.resource.attributes, span().resource.attributes);
    }

    #[test]
    fn a_span_is_found_by_its_attributes_its_resource_and_its_outcome() {
        let tags: Vec<String> = span().to_row().tags.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            tags,
            [
                "span.kind=server",
                "error=true",
                "http.response.status_code=500",
                "ratio=0.5",
                "binnacle.inferred=true",
                "container.name=shop-web-1"
            ]
        );
    }

    #[test]
    fn a_span_that_is_too_large_loses_events_and_nothing_else() {
        let mut large = span();
        large.events = vec![Event { name: "y".repeat(10_000), ..large.events[0].clone() }; 300];
        let row = large.to_row();
        assert!(row.body.len() <= MAX_SPAN_BYTES);
        let back = Span::of_row(&stored(row)).unwrap();
        assert_eq!(back.events.len(), 75);
        assert_eq!(back.attributes, large.attributes);
    }
}
