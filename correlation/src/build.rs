//! A span from its lines: name, kind, status, attributes, events.

use std::sync::Arc;

use store::Level;

use crate::line::{Http, Line, Mark};
use crate::names::name;
use crate::parent::Found;
use crate::request;
use crate::route;
use crate::span::{Attribute, Event, Kind, Span, SpanId, Status, TraceId, Value};
use crate::text;

/// Longest name of a span.
const MAX_NAME_BYTES: usize = 200;

/// What a span is made of.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) span_id: SpanId,
    pub(crate) is_inferred: bool,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// By time, never empty.
    pub(crate) lines: Vec<&'a Line>,
}

/// What the spans of a trace have in common.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) trace_id: TraceId,
    /// The one correlation id that its lines hold.
    pub(crate) correlation_id: Option<Arc<str>>,
    pub(crate) max_events: usize,
}

impl Draft<'_> {
    /// The span; `None` only for one without lines.
    pub(crate) fn span(&self, shared: &Shared, parent: Option<(SpanId, Found)>) -> Option<Span> {
        let first = self.lines.first()?;
        let kind = self.kind();
        let http = self.http(kind);
        let status = self.status(kind, http.and_then(|(http, _)| http.status));
        let route = http.map(|(http, path)| (http, route::template(path, http.is_template)));
        Some(Span {
            trace_id: shared.trace_id,
            span_id: self.span_id,
            parent_id: parent.map(|(id, _)| id),
            name: self.name(route.as_ref()),
            kind,
            start_ns: self.start_ns,
            end_ns: self.end_ns.max(self.start_ns),
            status,
            resource: Arc::clone(&first.source.resource),
            attributes: self.attributes(shared, parent.map(|(_, found)| found), route),
            events: self.events(shared.max_events),
        })
    }

    /// As the lines say: logged, else server where the service answered a request.
    fn kind(&self) -> Kind {
        let serves = |line: &&&Line| line.http.is_some() && matches!(line.mark, Mark::Start | Mark::Answer);
        let stated = || self.lines.iter().filter_map(|line| line.kind);
        if self.is_inferred && self.lines.iter().any(|line| serves(&line)) {
            return Kind::Server;
        }
        let all_stated = self.lines.iter().all(|line| line.kind.is_some());
        match stated().next() {
            Some(kind) if all_stated || !self.is_inferred => kind,
            _ if self.lines.iter().any(|line| serves(&line)) => Kind::Server,
            _ => Kind::Internal,
        }
    }

    /// What is known of the request: of the line that tells most, completed from the others. With its path.
    fn http(&self, kind: Kind) -> Option<(Http, &str)> {
        let is_client = kind == Kind::Client;
        let of_kind = |line: &&&Line| (line.kind == Some(Kind::Client)) == is_client;
        let told =
            || self.lines.iter().filter(of_kind).filter_map(|line| Some((line.http?, line.words.path())));
        let (mut http, path) = told().max_by_key(|(http, _)| (http.is_template, http.status.is_some()))?;
        http.status = http.status.or_else(|| told().find_map(|(other, _)| other.status));
        Some((http, path))
    }

    /// Method and route, else operation, else logger, else what the first line says.
    fn name(&self, http: Option<&(Http, String)>) -> String {
        let mut made = match http {
            Some((http, route)) => format!("{} {route}", method_name(http)),
            None => {
                let first = |of: fn(&Line) -> Option<&str>| self.lines.iter().find_map(|line| of(line));
                first(|line| line.words.operation())
                    .or_else(|| first(|line| line.words.logger()))
                    .map(str::to_owned)
                    .or_else(|| {
                        self.lines
                            .iter()
                            .map(|l| text::shape(l.words.message()))
                            .find(|shape| !shape.is_empty())
                    })
                    .unwrap_or_else(|| "log lines".to_owned())
            }
        };
        made.truncate(text::floor(&made, MAX_NAME_BYTES));
        made
    }

    fn status(&self, kind: Kind, answer: Option<u16>) -> Status {
        let failed = answer.is_some_and(|status| status >= 500);
        let worst = self.lines.iter().filter(|line| line.is_error()).min_by_key(|line| {
            let is_logged = matches!(line.level, Level::Error | Level::Critical | Level::Fatal);
            (!is_logged, line.ts_ns, line.order)
        });
        match worst.or_else(|| self.lines.last().filter(|_| failed && kind == Kind::Client)) {
            Some(line) => Status::Error(line.words.message().to_owned()),
            None => Status::Unset,
        }
    }

    fn attributes(
        &self,
        shared: &Shared,
        parent: Option<Found>,
        http: Option<(Http, String)>,
    ) -> Vec<Attribute> {
        let mut attributes = Vec::with_capacity(8);
        let mut add = |key: &'static str, value: Value| attributes.push(Attribute { name: name(key), value });
        if self.is_inferred {
            add("binnacle.inferred", Value::Bool(true));
        }
        add("binnacle.lines", Value::Int(i64::try_from(self.lines.len()).unwrap_or(i64::MAX)));
        if let Some(found) = parent {
            add("binnacle.parent", Value::Text(name(found.name())));
        }
        let own_id = || self.lines.iter().find_map(|line| line.words.id()).map(Arc::from);
        if let Some(id) = shared.correlation_id.clone().or_else(own_id) {
            add("correlation_id", Value::Text(id));
        }
        if let Some((http, route)) = http {
            let status = http.status.filter(|status| *status >= 500);
            if let Some(status) = status {
                add("error.type", Value::Text(status.to_string().into()));
            }
            add("http.request.method", Value::Text(name(method_attribute(&http))));
            if let Some(status) = http.status {
                add("http.response.status_code", Value::Int(i64::from(status)));
            }
            add("http.route", Value::Text(route.into()));
            let path = self.lines.iter().find(|line| line.http.is_some_and(|http| !http.is_template));
            if let Some(line) = path {
                add("url.path", Value::Text(Arc::from(line.words.path())));
            }
        }
        attributes
    }

    /// The lines as events; when they are too many, errors before others and earlier before later ones.
    fn events(&self, most: usize) -> Vec<Event> {
        let mut lines: Vec<&Line> = self.lines.clone();
        if lines.len() > most {
            lines.sort_by_key(|line| (!line.is_error(), line.ts_ns, line.order));
            lines.truncate(most);
            lines.sort_by_key(|line| (line.ts_ns, line.order));
        }
        lines.into_iter().map(event).collect()
    }
}

fn event(line: &Line) -> Event {
    let severity = line.level.name();
    // Most events have one; a vector that grows takes room for four.
    let mut attributes = Vec::with_capacity(usize::from(severity.is_some()));
    if let Some(rest) = line.words.rest() {
        let value = Value::Text(Arc::from(rest));
        attributes.push(Attribute { name: name("exception.stacktrace"), value });
    }
    if let Some(level) = severity {
        attributes.push(Attribute { name: name("log.severity"), value: Value::Text(name(level)) });
    }
    Event { time_ns: line.ts_ns, name: line.words.message().to_owned(), attributes }
}

/// The method in a span's name.
fn method_name(http: &Http) -> &'static str {
    if http.method == request::OTHER { "HTTP" } else { http.method }
}

/// The method as an attribute.
fn method_attribute(http: &Http) -> &'static str {
    if http.method == request::OTHER { "_OTHER" } else { http.method }
}
