//! The services' logs: one line a happening on standard output, in the format that is the service's own.
//!
//! Formats differ on purpose, as they do where a stack has grown: JSON, logfmt, plain text, and plain text with
//! stack traces. All carry the request's ids, so that one search finds it everywhere.

use std::io::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Failure;

/// How a service writes its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// `2026-11-21 11:17:15.967 ERROR message (key: value)`.
    Text,
    /// Plain text with a stack trace under each error.
    StackTraces,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes the lines of one service.
#[derive(Clone, Debug)]
pub(crate) struct Logger {
    service: &'static str,
    format: Format,
}

/// A line before it has a format.
struct Entry<'a> {
    at: Timestamp,
    level: Level,
    context: Option<&'a Context>,
    message: &'a str,
    fields: &'a [(&'a str, Value)],
    failure: Option<&'a Failure>,
}

// === impl Format ===

impl Format {
    /// The format of a service.
    pub(crate) fn of(service: &str) -> Self {
        match service {
            "catalog" => Self::Logfmt,
            "orders" => Self::Text,
            "checkout" => Self::StackTraces,
            _ => Self::Json,
        }
    }

    fn render(self, service: &str, entry: &Entry<'_>) -> String {
        match self {
            Self::Json => json(service, entry),
            Self::Logfmt => logfmt(service, entry),
            Self::Text => text(entry),
            Self::StackTraces => stack_traces(entry),
        }
    }
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

// === impl Logger ===

impl Logger {
    pub(crate) const fn new(service: &'static str, format: Format) -> Self {
        Self { service, format }
    }

    /// A line about the service itself.
    pub(crate) fn plain(&self, level: Level, message: &str, fields: &[(&str, Value)]) {
        self.write(&Entry { at: Timestamp::now(), level, context: None, message, fields, failure: None });
    }

    /// A line about a request.
    pub(crate) fn request(&self, level: Level, context: &Context, message: &str, fields: &[(&str, Value)]) {
        let context = Some(context);
        self.write(&Entry { at: Timestamp::now(), level, context, message, fields, failure: None });
    }

    /// An error of a request, with its causes.
    pub(crate) fn failure(&self, context: &Context, message: &str, failure: &Failure) {
        let failure = Some(failure);
        let entry = Entry {
            at: Timestamp::now(),
            level: Level::Error,
            context: Some(context),
            message,
            fields: &[],
            failure,
        };
        self.write(&entry);
    }

    fn write(&self, entry: &Entry<'_>) {
        let mut line = self.format.render(self.service, entry);
        line.push('\n');
        // Nobody is left to tell when standard output is closed; the service goes on.
        drop(std::io::stdout().lock().write_all(line.as_bytes()));
    }
}

// === formats ===

fn json(service: &str, entry: &Entry<'_>) -> String {
    let mut object = Map::new();
    object.insert("time".to_owned(), format!("{:.3}", entry.at).into());
    object.insert("level".to_owned(), entry.level.word().into());
    object.insert("service".to_owned(), service.into());
    object.insert("msg".to_owned(), entry.message.into());
    for (name, value) in pairs(entry) {
        object.insert(name.to_owned(), value);
    }
    Value::Object(object).to_string()
}

fn logfmt(service: &str, entry: &Entry<'_>) -> String {
    let mut line = format!("ts={:.3} level={} service={service} msg=", entry.at, entry.level.word());
    push_logfmt_value(&mut line, entry.message);
    for (name, value) in pairs(entry) {
        line.push(' ');
        line.push_str(name);
        line.push('=');
        push_logfmt_value(&mut line, &words(&value));
    }
    line
}

/// As it is where a reader can tell its end, else quoted as JSON.
fn push_logfmt_value(line: &mut String, value: &str) {
    let is_bare = !value.is_empty()
        && value
            .chars()
            .all(|char| !char.is_whitespace() && !char.is_control() && !matches!(char, '"' | '='));
    if is_bare {
        line.push_str(value);
    } else {
        line.push_str(&Value::from(value).to_string());
    }
}

fn text(entry: &Entry<'_>) -> String {
    let mut line = format!("{} {:5} {}", clock(entry.at), entry.level.word().to_uppercase(), entry.message);
    push_in_brackets(&mut line, &pairs(entry));
    line
}

fn stack_traces(entry: &Entry<'_>) -> String {
    let level = entry.level.word().to_uppercase();
    let mut line = format!("{} {level:5} [shop.checkout] {}", clock(entry.at), entry.message);
    push_in_brackets(&mut line, &pairs(&Entry { failure: None, ..*entry }));
    if let Some(failure) = entry.failure {
        line.push('\n');
        line.push_str(&failure.stack_trace());
    }
    line
}

fn push_in_brackets(line: &mut String, pairs: &[(&str, Value)]) {
    for (at, (name, value)) in pairs.iter().enumerate() {
        let before = if at == 0 { " (" } else { ", " };
        line.push_str(&format!("{before}{name}={}", words(value).replace(['\n', '\r'], " ")));
    }
    if !pairs.is_empty() {
        line.push(')');
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Ids first, then what the caller has to say, then what went wrong.
fn pairs<'a>(entry: &Entry<'a>) -> Vec<(&'a str, Value)> {
    let mut pairs = Vec::new();
    if let Some(context) = entry.context {
        pairs.push(("correlation_id", context.correlation_id.as_str().into()));
        pairs.push(("trace_id", context.trace_id.as_str().into()));
        pairs.push(("span_id", context.span_id.as_str().into()));
        if let Some(parent) = &context.parent_span_id {
            pairs.push(("parent_span_id", parent.as_str().into()));
        }
    }
    pairs.extend(entry.fields.iter().map(|(name, value)| (*name, value.clone())));
    if let Some(failure) = entry.failure {
        pairs.push(("error", failure.to_string().into()));
    }
    pairs
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: Format, message: &str, fields: &[(&str, Value)], failure: Option<&Failure>) -> String {
        let context = Context {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            parent_span_id: None,
            correlation_id: "c-1".to_owned(),
        };
        let at = "2026-11-21T11:17:15.967Z".parse().unwrap();
        let entry = Entry { at, level: Level::Error, context: Some(&context), message, fields, failure };
        format.render("cart", &entry)
    }

    #[test]
    fn each_format_names_the_request() {
        let ids = "correlation_id=c-1, trace_id=4bf92f3577b34da6a3ce929d0e0e4736, span_id=00f067aa0ba902b7";
        let fields = [("status", Value::from(500)), ("path", Value::from("/a b"))];
        assert_eq!(
            render(Format::Text, "went wrong", &fields, None),
            format!("2026-11-21 11:17:15.967 ERROR went wrong ({ids}, status=500, path=/a b)")
        );
        assert_eq!(
            render(Format::Logfmt, "went wrong", &fields, None),
            "ts=2026-11-21T11:17:15.967Z level=error service=cart msg=\"went wrong\" correlation_id=c-1 \
             trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 status=500 path=\"/a b\""
        );
        let object: Value = serde_json::from_str(&render(Format::Json, "went wrong", &fields, None)).unwrap();
        assert_eq!(object["correlation_id"], "c-1");
        assert_eq!(object["status"], 500);
        assert_eq!(object["time"], "2026-11-21T11:17:15.967Z");
    }

    #[test]
    fn a_line_stays_one_line_whatever_it_is_told() {
        let fields = [("path", Value::from("/a\nlevel=fatal \"x\""))];
        for format in [Format::Json, Format::Logfmt, Format::Text, Format::StackTraces] {
            let line = render(format, "ok", &fields, None);
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }

    #[test]
    fn errors_have_a_stack_trace_where_the_format_says_so() {
        let failure = Failure::upstream("payment", "no answer within 3000 ms");
        let line = render(Format::StackTraces, "cannot place the order", &[], Some(&failure));
        let lines: Vec<&str> = line.lines().collect();
        assert!(
            lines[0].contains("ERROR [shop.checkout] cannot place the order (correlation_id=c-1"),
            "{line}"
        );
        assert_eq!(lines[1], "shop.UpstreamException: payment: no answer within 3000 ms");
        assert!(lines[2].starts_with("\tat shop.log.") && lines[2].contains("log.rs:"), "{line}");
        assert!(render(Format::Json, "x", &[], Some(&failure)).contains("no answer within 3000 ms"));
    }
}
