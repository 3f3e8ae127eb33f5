//! The rules of Jaeger's JSON, field by field: what its clients, Grafana above all, rely on.
//!
//! Each function panics at the first rule that an answer breaks, naming the field.

use std::collections::BTreeSet;

use serde_json::Value;

/// Microseconds of the years 2001 to 2286: a time in other units lies outside.
const MICROS: std::ops::Range<i64> = 1_000_000_000_000_000..10_000_000_000_000_000;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

fn has_keys(value: &Value, expected: &[&str]) {
    assert_eq!(keys(value), expected.iter().copied().collect(), "{value}");
}

fn list<'a>(value: &'a Value, what: &str) -> &'a [Value] {
    value.as_array().unwrap_or_else(|| panic!("{what} is no list: {value}"))
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("{what} is no text: {value}"))
}

fn whole(value: &Value, what: &str) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{what} is no whole number: {value}"))
}

fn is_id(value: &Value, digits: usize) -> &str {
    let id = text(value, "id");
    assert_eq!(id.len(), digits, "{id}");
    assert!(id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert!(id.bytes().any(|b| b != b'0'), "{id}");
    id
}

/// The wrapping of a good answer; returns `data`.
pub(super) fn envelope(answer: &Value) -> &Value {
    has_keys(answer, &["data", "total", "limit", "offset", "errors"]);
    for number in ["total", "limit", "offset"] {
        assert!(whole(&answer[number], number) >= 0);
    }
    if !answer["errors"].is_null() {
        errors(&answer["errors"]);
    }
    assert!(!answer["data"].is_null(), "{answer}");
    &answer["data"]
}

fn errors(value: &Value) -> Vec<i64> {
    let errors = list(value, "errors");
    assert!(!errors.is_empty(), "an empty list says that something went wrong");
    errors
        .iter()
        .map(|error| {
            assert!(!text(&error["msg"], "msg").is_empty());
            let code = whole(&error["code"], "code");
            assert!((400..600).contains(&code), "{error}");
            code
        })
        .collect()
}

/// A refusal: no data, and one error with the status of the answer.
pub(super) fn refusal(status: u16, answer: &Value) {
    has_keys(answer, &["data", "total", "limit", "offset", "errors"]);
    assert!(answer["data"].is_null(), "{answer}");
    assert_eq!(errors(&answer["errors"]), [i64::from(status)]);
}

/// A refusal of version 3.
pub(super) fn v3_refusal(status: u16, answer: &Value) {
    has_keys(answer, &["error"]);
    has_keys(&answer["error"], &["httpCode", "message"]);
    assert_eq!(whole(&answer["error"]["httpCode"], "httpCode"), i64::from(status));
    assert!(!text(&answer["error"]["message"], "message").is_empty());
}

/// A trace of version 3: OTLP's JSON with ids in hexadecimal digits and nanoseconds as text; returns how many
/// spans it has.
pub(super) fn otlp(answer: &Value) -> usize {
    has_keys(answer, &["result"]);
    has_keys(&answer["result"], &["resourceSpans"]);
    let mut count = 0;
    for of_resource in list(&answer["result"]["resourceSpans"], "resourceSpans") {
        let attributes = list(&of_resource["resource"]["attributes"], "attributes");
        assert!(attributes.iter().any(|attribute| attribute["key"] == "service.name"));
        for scope in list(&of_resource["scopeSpans"], "scopeSpans") {
            for span in list(&scope["spans"], "spans") {
                is_id(&span["traceId"], 32);
                is_id(&span["spanId"], 16);
                let nanos = |name: &str| text(&span[name], name).parse::<u64>().unwrap();
                assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
                assert!((1..=5).contains(&whole(&span["kind"], "kind")));
                count += 1;
            }
        }
    }
    assert!(count > 0, "{answer}");
    count
}

/// A list of names, sorted, each once, with its length.
pub(super) fn names(answer: &Value) -> Vec<String> {
    let names: Vec<String> =
        list(envelope(answer), "data").iter().map(|name| text(name, "name").to_owned()).collect();
    assert_eq!(whole(&answer["total"], "total"), i64::try_from(names.len()).unwrap());
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    names
}

/// Calls between services; returns `parent>child=count`.
pub(super) fn dependencies(answer: &Value) -> Vec<String> {
    let shown = |call: &Value| {
        has_keys(call, &["parent", "child", "callCount"]);
        let count = whole(&call["callCount"], "callCount");
        assert!(count > 0);
        let (parent, child) = (text(&call["parent"], "parent"), text(&call["child"], "child"));
        assert_ne!(parent, child);
        format!("{parent}>{child}={count}")
    };
    list(envelope(answer), "data").iter().map(shown).collect()
}

/// Traces; returns their ids.
pub(super) fn traces(answer: &Value) -> Vec<String> {
    let ids: Vec<String> = list(envelope(answer), "data").iter().map(trace).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "a trace twice");
    ids
}

fn trace(trace: &Value) -> String {
    has_keys(trace, &["traceID", "spans", "processes", "warnings"]);
    let id = is_id(&trace["traceID"], 32).to_owned();
    warnings(&trace["warnings"]);
    let spans = list(&trace["spans"], "spans");
    assert!(!spans.is_empty(), "Grafana reads the first span without looking");
    let processes = trace["processes"].as_object().unwrap();
    for process in processes.values() {
        has_keys(process, &["serviceName", "tags"]);
        assert!(!text(&process["serviceName"], "serviceName").is_empty());
        tags(&process["tags"]);
    }
    let mut ids = BTreeSet::new();
    let mut used = BTreeSet::new();
    for span in spans {
        check_span(span, &id);
        assert!(ids.insert(span["spanID"].as_str().unwrap()), "a span twice: {span}");
        let process = text(&span["processID"], "processID");
        assert!(processes.contains_key(process), "{process}");
        used.insert(process);
    }
    assert_eq!(used.len(), processes.len(), "a process without spans");
    let starts: Vec<i64> = spans.iter().map(|span| span["startTime"].as_i64().unwrap()).collect();
    assert!(starts.is_sorted(), "the first span is the root: {starts:?}");
    id
}

fn check_span(span: &Value, trace_id: &str) {
    has_keys(
        span,
        &[
            "traceID",
            "spanID",
            "operationName",
            "flags",
            "references",
            "startTime",
            "duration",
            "tags",
            "logs",
            "processID",
            "warnings",
        ],
    );
    assert_eq!(span["traceID"], trace_id);
    let id = is_id(&span["spanID"], 16);
    assert!(!text(&span["operationName"], "operationName").is_empty());
    assert_eq!(whole(&span["flags"], "flags"), 1);
    let start = whole(&span["startTime"], "startTime");
    assert!(MICROS.contains(&start), "{start}");
    let duration = whole(&span["duration"], "duration");
    assert!((0..3_600_000_000).contains(&duration), "{duration}");
    let references = list(&span["references"], "references");
    assert!(references.len() <= 1);
    for reference in references {
        has_keys(reference, &["refType", "traceID", "spanID"]);
        assert_eq!(reference["refType"], "CHILD_OF");
        assert_eq!(reference["traceID"], trace_id);
        assert_ne!(is_id(&reference["spanID"], 16), id, "its own parent");
    }
    let names = tags(&span["tags"]);
    let value = |name: &str| {
        list(&span["tags"], "tags").iter().find(|tag| tag["key"] == name).map(|tag| tag["value"].clone())
    };
    let kind = value("span.kind").unwrap();
    assert!(["internal", "server", "client", "producer", "consumer"].contains(&kind.as_str().unwrap()));
    assert!(names.contains("otel.scope.name"));
    assert_eq!(names.contains("error"), value("otel.status_code") == Some("ERROR".into()), "{span}");
    if names.contains("error") {
        assert_eq!(value("error"), Some(true.into()), "Grafana looks for the truth value");
    }
    for log in list(&span["logs"], "logs") {
        has_keys(log, &["timestamp", "fields"]);
        let at = whole(&log["timestamp"], "timestamp");
        assert!((start - 2_000..=start + duration + 2_000).contains(&at), "{at} outside {start}+{duration}");
        assert!(tags(&log["fields"]).contains("event"));
    }
    warnings(&span["warnings"]);
}

/// Checks names, types and values; returns the names.
fn tags(value: &Value) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for tag in list(value, "tags") {
        has_keys(tag, &["key", "type", "value"]);
        let value = &tag["value"];
        let fits = match text(&tag["type"], "type") {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            "int64" => value.is_i64(),
            "float64" => value.is_number(),
            other => panic!("no type of Jaeger's: {other}"),
        };
        assert!(fits, "{tag}");
        assert!(names.insert(text(&tag["key"], "key")), "a tag twice: {tag}");
    }
    names
}

fn warnings(value: &Value) {
    if !value.is_null() {
        assert!(list(value, "warnings").iter().all(|warning| !text(warning, "warning").is_empty()));
    }
}
