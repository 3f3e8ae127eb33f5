//! Lines as services write them, and what is known about them afterwards.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use store::record::attribute;
use store::{Labels, Level, Origin, Pair, Record};

use super::*;
use crate::config::IngestConfig;
use crate::multiline::RawLine;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn record_of(config: &IngestConfig, line: &[u8], base: &[Pair], options: ParseOptions) -> Record {
    let raw = RawLine { timestamp_ns: 7, line: Bytes::copy_from_slice(line), truncated_from: None };
    Enricher::new(config, crate::Redactor::off()).record(raw, &Arc::new(Labels::default()), base, options)
}

fn record(line: &str) -> Record {
    record_of(&IngestConfig::default(), line.as_bytes(), &[], ParseOptions::default())
}

/// Derived pairs as `name=value`.
fn pairs(record: &Record) -> Vec<String> {
    record.pairs.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect()
}

#[test]
fn json_lines_give_level_ids_and_time() {
    let line = format!(
        r#"{{"timestamp":"2024-01-01T10:00:00Z","level":"warn","msg":"error in words","trace_id":"{TRACE}","span_id":"{SPAN}","parent_span_id":"p1","request_id":"r-1","correlation_id":"c-1"}}"#
    );
    let record = record(&line);
    assert_eq!((record.level, record.timestamp_ns), (Level::Warn, 7));
    assert_eq!(&record.line[..], line.as_bytes());
    let expected = [
        format!("trace_id={TRACE}"),
        format!("span_id={SPAN}"),
        "parent_span_id=p1".to_owned(),
        "correlation_id=c-1".to_owned(),
        "logged_at=2024-01-01T10:00:00Z".to_owned(),
    ];
    assert_eq!(pairs(&record), expected);
}

#[test]
fn ids_are_found_under_every_usual_name_and_depth() {
    for (line, expected) in [
        (r#"{"traceId":"t1","spanId":"s1"}"#, vec!["trace_id=t1", "span_id=s1"]),
        (r#"{"trace.id":"t1"}"#, vec!["trace_id=t1"]),
        (r#"{"trace":{"id":"t1"},"span":{"id":"s1"}}"#, vec!["trace_id=t1", "span_id=s1"]),
        (r#"{"otelTraceID":"t1"}"#, vec!["trace_id=t1"]),
        (r#"{"dd":{"trace_id":"12","span_id":"13"}}"#, vec!["trace_id=12", "span_id=13"]),
        (r#"{"dd.trace_id":12}"#, vec!["trace_id=12"]),
        (r#"{"a":{"b":{"c":{"trace_id":"t1"}}}}"#, vec!["trace_id=t1"]),
        (r#"{"a":{"b":{"c":{"d":{"trace_id":"t1"}}}}}"#, vec![]),
        (r#"{"headers":{"X-B3-TraceId":"t1"}}"#, vec!["trace_id=t1"]),
        (r#"{"req":{"id":"r1"}}"#, vec!["correlation_id=r1"]),
        (r#"{"reqId":"r1"}"#, vec!["correlation_id=r1"]),
        (r#"{"requestId":"r1","correlationId":"c1"}"#, vec!["correlation_id=c1"]),
        ("level=info trace_id=t1 req_id=r1", vec!["trace_id=t1", "correlation_id=r1"]),
        ("handled (traceId=t1, request_id=\"r1\")", vec!["trace_id=t1", "correlation_id=r1"]),
        ("handled trace_id: t1, x-request-id: r1.", vec!["trace_id=t1", "correlation_id=r1"]),
        (r#"gateway | {"trace_id":"t1"}"#, vec!["trace_id=t1"]),
        (r#"{"trace_id":"","span_id":null,"request_id":"-"}"#, vec![]),
        (r#"{"trace_id":"has blanks in it"}"#, vec![]),
    ] {
        assert_eq!(pairs(&record(line)), expected, "{line}");
    }
}

#[test]
fn traceparent_is_taken_apart_in_every_shape() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let (trace, span) = (format!("trace_id={TRACE}"), format!("span_id={SPAN}"));
    for line in [
        format!(r#"{{"http":{{"headers":{{"traceparent":"{parent}"}}}}}}"#),
        format!("level=info traceparent={parent}"),
        format!("got traceparent={parent}, going on"),
        format!("got traceparent: {parent}"),
    ] {
        assert_eq!(pairs(&record(&line)), [trace.clone(), span.clone()], "{line}");
    }
    let own = format!(r#"{{"traceparent":"{parent}","span_id":"aa"}}"#);
    assert_eq!(pairs(&record(&own)), [trace, "span_id=aa".to_owned(), format!("parent_span_id={SPAN}")]);
}

#[test]
fn envoy_request_ids_are_correlation_ids() {
    let line =
        r#"[2024-01-01T10:00:00.123Z] "GET /x HTTP/1.1" 200 - 0 17 5 4 "-" "ua" "6c1d" "shop" "10.0.0.3:80""#;
    assert_eq!(pairs(&record(line)), ["correlation_id=6c1d", "logged_at=2024-01-01T10:00:00.123Z"]);
}

#[test]
fn the_time_of_the_line_is_kept_as_logged() {
    for (line, time) in [
        ("2024-01-01 10:00:00,123 - main - INFO - x", Some("2024-01-01 10:00:00,123")),
        ("[2024-01-01T10:00:00Z] x", Some("2024-01-01T10:00:00Z")),
        (r#"{"ts":1704103200.25}"#, Some("1704103200.25")),
        ("ts=2024-01-01T10:00:00Z level=info", Some("2024-01-01T10:00:00Z")),
        (
            r#"1.2.3.4 - - [01/Jan/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
            Some("01/Jan/2024:10:00:00 +0000"),
        ),
        (r#"{"time":"12ms","ts":"2024-01-01T10:00:00Z"}"#, Some("2024-01-01T10:00:00Z")),
        ("time=12 x=y", None),
        ("ready", None),
    ] {
        assert_eq!(record(line).pair(attribute::LOGGED_AT), time, "{line}");
        let used = ParseOptions { line_time: LineTime::Use, ..ParseOptions::default() };
        let bare = record_of(&IngestConfig::default(), line.as_bytes(), &[], used);
        assert_eq!(
            (bare.pair(attribute::LOGGED_AT), bare.timestamp_ns == 7),
            (None, time.is_none()),
            "{line}"
        );
    }
    let same = RawLine {
        timestamp_ns: 1_704_103_200_000_000_000,
        line: Bytes::from_static(b"ts=2024-01-01T10:00:00Z"),
        truncated_from: None,
    };
    let enricher = Enricher::new(&IngestConfig::default(), crate::Redactor::off());
    assert_eq!(enricher.record(same, &Arc::default(), &[], ParseOptions::default()).pairs, []);
    let used = ParseOptions { line_time: LineTime::Use, ..ParseOptions::default() };
    let time_of = |line: &[u8]| record_of(&IngestConfig::default(), line, &[], used).timestamp_ns;
    assert_eq!(time_of(br#"{"time":"2024-01-01T10:00:00Z"}"#), 1_704_103_200_000_000_000);
    assert_eq!(time_of(b"2024-01-01T10:00:00Z x"), 1_704_103_200_000_000_000);
    assert_eq!(time_of(br#"{"time":"soon"}"#), 7);
}

#[test]
fn levels_come_from_fields_before_words() {
    for (line, level) in [
        (r#"{"level":30,"msg":"error"}"#, Level::Info),
        (r#"{"log":{"level":"ERROR"},"message":"info"}"#, Level::Error),
        (r#"{"log.level":"debug"}"#, Level::Debug),
        (r#"{"severity":"CRITICAL"}"#, Level::Critical),
        (r#"{"@l":"Warning","@m":"x"}"#, Level::Warn),
        (r#"{"t":{"$date":"2024"},"s":"I","c":"NETWORK"}"#, Level::Info),
        (r#"{"levelname":"FATAL"}"#, Level::Fatal),
        (r#"{"level":"loud","msg":"debug"}"#, Level::Debug),
        (r#"{"ctx":{"level":"error"},"msg":"x"}"#, Level::Error), // by the word: no field states one
        (r#"{"msg":"x"}"#, Level::Unknown),
        ("msg=\"an error\" lvl=trace", Level::Trace),
        ("event='x' level='error'", Level::Error),
        ("2024-01-01 10:00:00 app level=warn an error", Level::Warn),
        ("2024-01-01 10:00:00 WARN an error", Level::Warn),
        (
            r#"1.2.3.4 - - [01/Jan/2024:10:00:00 +0000] "GET /error HTTP/1.1" 500 1 "-" "error""#,
            Level::Unknown,
        ),
        ("plain", Level::Unknown),
        ("", Level::Unknown),
    ] {
        assert_eq!(record(line).level, level, "{line}");
    }
}

/// Lines and the level Loki detects in them, when `BINNACLE_LOGQL_CASES` names a folder with such cases.
#[test]
fn levels_are_those_loki_detects() {
    let Some(folder) = std::env::var_os("BINNACLE_LOGQL_CASES") else { return };
    let path = std::path::Path::new(&folder).join("detected-level.json");
    let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| record(case["line"].as_str().unwrap()).level.name() != case["level"].as_str())
        .map(|case| format!("{case}: {:?}", record(case["line"].as_str().unwrap()).level))
        .collect();
    assert!(
        !cases.is_empty() && wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_stack_trace_is_an_error_unless_its_first_line_says_otherwise() {
    for (line, level) in [
        ("java.lang.IllegalStateException: x\n\tat info.A.b(C.java:1)", Level::Error),
        ("2024-01-01 10:00:00 WARN x\njava.lang.Error: y", Level::Warn),
        ("Traceback (most recent call last):\n  debug()", Level::Error),
        ("first\nsecond info", Level::Info),
    ] {
        assert_eq!(record(line).level, level, "{line}");
    }
}

#[test]
fn switches_are_obeyed() {
    let off = IngestConfig { detect_level: false, ..IngestConfig::default() };
    let line = br#"{"level":"error","trace_id":"t1"}"#;
    let found = record_of(&off, line, &[], ParseOptions::default());
    assert_eq!((found.level, pairs(&found)), (Level::Unset, vec!["trace_id=t1".to_owned()]));

    let none = ParseOptions { format: Format::None, ..ParseOptions::default() };
    let found = record_of(&IngestConfig::default(), line, &[], none);
    assert_eq!((found.level, found.pairs.len()), (Level::Unset, 0));

    let renamed = IngestConfig { trace_id_fields: vec!["tid".into()], ..IngestConfig::default() };
    let found = record_of(&renamed, br#"{"TID":"t1","trace_id":"t2"}"#, &[], ParseOptions::default());
    assert_eq!(pairs(&found), ["trace_id=t1"]);

    let json = ParseOptions { format: Format::Json, ..ParseOptions::default() };
    let found = record_of(&IngestConfig::default(), b"trace_id=t1", &[], json);
    assert_eq!(found.pairs, []);
}

#[test]
fn pairs_of_the_source_come_first_and_win() {
    let given =
        |name: &str, value: &str| Pair { origin: Origin::Given, name: name.into(), value: value.into() };
    let base = [given("trace_id", "given"), given("requestId", "r9"), given("level", "debug")];
    let found =
        record_of(&IngestConfig::default(), br#"{"trace_id":"t1","x":1}"#, &base, ParseOptions::default());
    assert_eq!(pairs(&found), ["trace_id=given", "requestId=r9", "level=debug", "correlation_id=r9"]);
    assert_eq!(found.level, Level::Debug);
}

#[test]
fn a_cut_line_tells_its_length() {
    let raw = RawLine { timestamp_ns: 7, line: Bytes::from_static(b"x"), truncated_from: Some(99) };
    let enricher = Enricher::new(&IngestConfig::default(), crate::Redactor::off());
    let found = enricher.record(raw, &Arc::new(Labels::default()), &[], ParseOptions::default());
    assert_eq!(found.pair(attribute::TRUNCATED), Some("99"));
}

#[test]
fn hostile_lines_of_a_mebibyte_are_read() {
    for line in [
        b"{\"a\":".repeat(200_000),
        b"{\"trace_id\":\"x".repeat(80_000),
        b"trace_id:\"".repeat(100_000),
        b"trace_id='".repeat(100_000),
        b"=".repeat(1 << 20),
        b":".repeat(1 << 20),
        b"\xff".repeat(1 << 20),
        b"\0".repeat(1 << 20),
        b"[".repeat(1 << 20),
        b"error-".repeat(170_000),
        b"a:\"\\".repeat(250_000),
        [b"{\"trace_id\":\"".to_vec(), b"a".repeat(1 << 20), b"\"}".to_vec()].concat(),
    ] {
        let found = record_of(&IngestConfig::default(), &line, &[], ParseOptions::default());
        assert!(found.pairs.iter().all(|pair| pair.value.len() <= 128));
        assert_eq!(found.line.len(), line.len());
    }
}

/// The trace id by a tree of `serde_json` and the plain rule: the first field of the best name.
fn trace_id_by_tree(tree: &serde_json::Value) -> Option<String> {
    fn visit(path: &str, depth: usize, value: &serde_json::Value, found: &mut Vec<(String, String)>) {
        match value {
            serde_json::Value::Object(members) if depth < 4 => {
                for (name, value) in members {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    visit(&path, depth + 1, value, found);
                }
            }
            serde_json::Value::String(text)
                if text.chars().all(|c| c.is_ascii_alphanumeric()) && !text.is_empty() =>
            {
                found.push((path.to_owned(), text.clone()));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    visit("", 0, tree, &mut found);
    ["trace_id", "traceid", "trace.id"].iter().find_map(|name| {
        let end = format!(".{name}");
        found
            .iter()
            .find(|(path, _)| path.to_lowercase() == *name || path.to_lowercase().ends_with(&end))
            .map(|(_, value)| value.clone())
    })
}

fn tree_with_ids() -> impl Strategy<Value = serde_json::Value> {
    let name =
        prop::sample::select(vec!["trace_id", "traceId", "trace.id", "id", "trace", "a", "ctx", "b.c"]);
    let leaf = prop_oneof!["[a-f1-9]{1,8}", "[a-z] [a-z]"].prop_map(serde_json::Value::from);
    let value = leaf.prop_recursive(6, 40, 5, move |inner| {
        proptest::collection::btree_map(name.clone(), inner, 0..5).prop_map(|members| {
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
    });
    proptest::collection::btree_map("[a-d]|trace_id|ctx", value, 0..5)
        .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into())
}

proptest! {
    #[test]
    fn trace_ids_equal_those_found_in_a_tree(tree in tree_with_ids()) {
        let line = serde_json::to_string(&tree).unwrap();
        let expected = trace_id_by_tree(&tree);
        let found = record(&line);
        prop_assert_eq!(found.pair(attribute::TRACE_ID), expected.as_deref(), "{}", line);
    }

    #[test]
    fn any_line_keeps_its_bytes_and_no_pair_is_named_twice(
        line in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[{}\"\\\\:=, a-e_\\[\\]0-9\u{1b}TZ-]{0,80}".prop_map(String::into_bytes),
        ],
    ) {
        let found = record_of(&IngestConfig::default(), &line, &[], ParseOptions::default());
        prop_assert_eq!(&found.line[..], &line[..]);
        let mut names: Vec<_> = found.pairs.iter().map(|pair| pair.name.clone()).collect();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), found.pairs.len());
    }
}

#[test]
fn fields_of_searches_are_those_of_records() {
    let line = br#"{"ctx":{"trace_id":"t1"}}"#;
    let mut seen = Vec::new();
    store::fields::for_each(line, store::fields::Shape::Json, |path, value| {
        seen.push((path.to_owned(), value.text().into_owned()));
        ControlFlow::Continue(())
    });
    assert_eq!(seen, [("ctx.trace_id".to_owned(), "t1".to_owned())]);
}
