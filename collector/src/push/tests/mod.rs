//! Bodies of every notation become records or are refused; the routes themselves are in [`http`] and [`bulk`].

mod bulk;
mod http;
mod messages;

use proptest::prelude::*;
use prost::Message;
use store::{Level, Origin};

use super::*;
use crate::config::PushConfig;
use store::config::{ByteSize, Period};

const SECOND_NS: i64 = 1_000_000_000;

use messages::loki::{Entry as ProtoEntry, Pair as ProtoPair, PushRequest, Stream as ProtoStream, Timestamp};

fn builder(config: IngestConfig) -> Builder {
    let enricher = Arc::new(Enricher::new(&config, crate::Redactor::off()));
    Builder::new(config, enricher)
}

fn decoded(config: IngestConfig, format: Format, body: &[u8]) -> Result<Vec<Record>, PushError> {
    let decoded = parse(&builder(config), format, &Bytes::copy_from_slice(body))?;
    decoded.refused.map_or(Ok(decoded.records), |refused| Err(PushError::Lines(refused)))
}

fn loki_json(config: IngestConfig, body: &str) -> Result<Vec<Record>, PushError> {
    decoded(config, Format::LokiJson, body.as_bytes())
}

fn given(record: &Record) -> Vec<String> {
    let given = record.pairs.iter().filter(|pair| pair.origin == Origin::Given);
    given.map(|pair| format!("{}={}", pair.name, pair.value)).collect()
}

#[test]
fn loki_json_becomes_records() {
    let records = loki_json(
        IngestConfig::default(),
        r#"{"streams":[{"values":[["1700000000000000001","a \"b\"",{"k":"v","trace_id":"t1"}],["1700000000000000000","c"]],
            "stream":{"app":"shop","level":"warn"}}],"other":{}}"#,
    )
    .unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].timestamp_ns, 1_700_000_000 * SECOND_NS + 1);
    assert_eq!(&records[0].line[..], b"a \"b\"");
    assert_eq!(given(&records[0]), ["k=v", "trace_id=t1"]);
    assert_eq!(records[0].labels.to_string(), r#"{app="shop", level="warn", service_name="shop"}"#);
    assert_eq!((records[0].level, &records[1].line[..]), (Level::Warn, &b"c"[..]));
}

#[test]
fn loki_protobuf_means_what_its_json_means() {
    let message = PushRequest {
        streams: vec![ProtoStream {
            labels: r#"{app="shop",env="é\"x"}"#.into(),
            entries: vec![ProtoEntry {
                timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
                line: "level=error x".into(),
                metadata: vec![ProtoPair { name: "k".into(), value: "v".into() }],
            }],
            hash: 7,
        }],
    };
    let proto = decoded(IngestConfig::default(), Format::LokiProtobuf, &message.encode_to_vec()).unwrap();
    let json = loki_json(
        IngestConfig::default(),
        r#"{"streams":[{"stream":{"app":"shop","env":"é\"x"},"values":[["1700000000000000005","level=error x",{"k":"v"}]]}]}"#,
    );
    assert_eq!(proto, json.unwrap());
    assert_eq!(proto[0].level, Level::Error);
}

#[test]
fn services_and_levels_are_discovered_unless_switched_off() {
    let push = |config: IngestConfig, labels: &str, line: &str, metadata: &str| {
        let body = format!(r#"{{"streams":[{{"stream":{labels},"values":[["1","{line}",{metadata}]]}}]}}"#);
        loki_json(config, &body).unwrap().remove(0)
    };
    let on = IngestConfig::default;
    let service = |record: &Record| record.labels.get("service_name").map(str::to_owned);
    assert_eq!(service(&push(on(), r#"{"job":"j","container":"c"}"#, "x", "{}")).as_deref(), Some("c"));
    assert_eq!(service(&push(on(), r#"{"x":"y"}"#, "x", "{}")).as_deref(), Some("unknown_service"));
    assert_eq!(service(&push(on(), r#"{"app":"a","service_name":"s"}"#, "x", "{}")).as_deref(), Some("s"));
    assert_eq!(push(on(), r#"{"a":"b"}"#, "an error", r#"{"level":"debug"}"#).level, Level::Debug);
    assert_eq!(push(on(), r#"{"a":"b"}"#, "an error", "{}").level, Level::Error);
    let stated = push(on(), r#"{"a":"b","level":"error"}"#, "x", r#"{"detected_level":"info"}"#);
    assert_eq!((stated.level, given(&stated)), (Level::Info, vec![]));

    let off = IngestConfig { detect_level: false, discover_service_name: false, ..on() };
    let plain = push(off, r#"{"app":"a","level":"error"}"#, "an error", r#"{"detected_level":"info"}"#);
    assert_eq!((plain.level, service(&plain)), (Level::Unset, None));
    assert_eq!(given(&plain), ["detected_level=info"]);
}

#[test]
fn a_line_repeated_at_the_same_time_is_kept_once() {
    let records = loki_json(
        IngestConfig::default(),
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x"],["1","y"],["1","x"],["2","x"],["1","x"]]},
            {"stream":{"a":"c"},"values":[["1","x"]]}]}"#,
    );
    let lines: Vec<_> = records.unwrap().iter().map(|r| (r.timestamp_ns, r.line.clone())).collect();
    let expected = [(1, "x"), (1, "y"), (2, "x"), (1, "x")];
    assert_eq!(lines, expected.map(|(ns, line)| (ns, Bytes::from_static(line.as_bytes()))));
}

#[test]
fn wrong_requests_are_refused_with_their_reason() {
    let stream =
        |stream: &str, values: &str| format!(r#"{{"streams":[{{"stream":{stream},"values":{values}}}]}}"#);
    let many: Vec<String> = (0..40).map(|i| format!(r#""l{i}":"v""#)).collect();
    for (body, reason) in [
        (String::new(), "no push request"),
        ("{".to_owned(), "no push request"),
        (r#"{"streams":3}"#.to_owned(), "a list of streams"),
        (r#"{"streams":[]}"#.to_owned(), "at least one valid stream"),
        ("{}".to_owned(), "at least one valid stream"),
        (stream("{}", "[]"), "at least one label pair"),
        (stream(r#"{"a":""}"#, "[]"), "at least one label pair"),
        (stream(r#"{"a b":"c"}"#, "[]"), "`a b` is no name of a label"),
        (stream(r#"{"1a":"c"}"#, "[]"), "`1a` is no name of a label"),
        (stream(r#"{"a":"c","a":"d"}"#, "[]"), "has duplicate label name: 'a'"),
        (stream(r#"{"a":3}"#, "[]"), "a string"),
        (stream(&format!("{{{}}}", many.join(",")), "[]"), "max_labels"),
        (stream(&format!(r#"{{"a":"{}"}}"#, "x".repeat(3000)), "[]"), "max_label_value_bytes"),
        (stream(&format!(r#"{{"{}":"x"}}"#, "a".repeat(3000)), "[]"), "max_label_name_bytes"),
        (stream(r#"{"a":"b"}"#, r#"[["x","l"]]"#), "`x` is no time"),
        (stream(r#"{"a":"b"}"#, r#"[[1,"l"]]"#), "a string"),
        (stream(r#"{"a":"b"}"#, r#"[["1"]]"#), "invalid length"),
        (stream(r#"{"a":"b"}"#, r#"[["1","l",{"k":1}]]"#), "a string"),
        (stream(r#"{"a":"b"}"#, r#"[["1","l",{},4]]"#), "invalid length"),
        (stream(r#"{"a":"b"}"#, r#"[["1","l",{"k":"1","k":"2"}]]"#), "stands twice"),
        (stream(r#"{"a":"b"}"#, r#"[["1","l"]]"#) + "x", "trailing"),
    ] {
        let error = loki_json(IngestConfig::default(), &body).unwrap_err().to_string();
        assert!(error.contains(reason), "{body:.100}: {error}");
    }
}

#[test]
fn limits_of_entries_times_and_metadata_hold() {
    let push = |config: PushConfig, values: &str| {
        let config = IngestConfig { push: config, ..IngestConfig::default() };
        loki_json(config, &format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":{values}}}]}}"#))
    };
    let config = PushConfig { max_entries: 2, ..PushConfig::default() };
    assert!(push(config.clone(), r#"[["1","a"],["2","b"]]"#).is_ok());
    let error = push(config, r#"[["1","a"],["2","b"],["3","c"]]"#).unwrap_err();
    assert!(matches!(error, PushError::TooManyEntries(2)), "{error}");

    let config = PushConfig { max_hours: 2, ..PushConfig::default() };
    assert!(push(config.clone(), r#"[["1","a"],["3600000000000","b"],["2","c"]]"#).is_ok());
    let error = push(config, r#"[["-1","a"],["1","b"],["3600000000000","c"]]"#).unwrap_err();
    assert!(matches!(error, PushError::TooManyHours(2)), "{error}");

    let old = PushConfig { max_age: Some(Period(Duration::from_secs(60))), ..PushConfig::default() };
    assert!(push(old, r#"[["1","a"]]"#).unwrap_err().to_string().contains("max_age"));
    let far = PushConfig { max_future: Some(Period(Duration::from_secs(60))), ..PushConfig::default() };
    assert!(push(far, r#"[["9000000000000000000","a"]]"#).unwrap_err().to_string().contains("max_future"));
    let few = PushConfig { max_metadata_pairs: 1, ..PushConfig::default() };
    assert!(
        push(few, r#"[["1","a",{"b":"c","d":"e"}]]"#).unwrap_err().to_string().contains("max_metadata_pairs")
    );
    let small = PushConfig { max_metadata_bytes: ByteSize(3), ..PushConfig::default() };
    assert!(
        push(small, r#"[["1","a",{"b":"cde"}]]"#).unwrap_err().to_string().contains("max_metadata_bytes")
    );
}

#[test]
fn long_lines_are_cut_with_a_mark() {
    let config = IngestConfig { max_line_bytes: ByteSize(256), ..IngestConfig::default() };
    let body = format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[["1","{}"]]}}]}}"#, "x".repeat(300));
    let records = loki_json(config, &body).unwrap();
    assert_eq!((records[0].line.len(), records[0].pair("truncated")), (256, Some("300")));
}

#[test]
fn otlp_json_becomes_records_as_in_loki() {
    let body = r#"{"resourceLogs":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"cart"}},{"key":"service.instance.id","value":{"stringValue":"i1"}}]},
        "scopeLogs":[{"scope":{"name":"lib","version":"1"},"logRecords":[
          {"timeUnixNano":"1700000000000000000","severityNumber":17,"severityText":"ERROR","body":{"stringValue":"boom"},
           "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
           "attributes":[{"key":"http.status","value":{"intValue":"500"}},
             {"key":"a","value":{"kvlistValue":{"values":[{"key":"b","value":{"boolValue":true}}]}}}]},
          {"observedTimeUnixNano":1700000000000000001,"body":{"kvlistValue":{"values":[{"key":"x","value":{"intValue":1}}]}}}]}]}]}"#;
    let records = decoded(IngestConfig::default(), Format::OtlpJson, body.as_bytes()).unwrap();
    assert_eq!(records[0].labels.to_string(), r#"{service_name="cart"}"#);
    assert_eq!((records[0].level, &records[0].line[..]), (Level::Error, &b"boom"[..]));
    assert_eq!(records[0].pair("trace_id"), Some("5b8efff798038103d269b633813fc60c"));
    let expected = [
        "trace_id=5b8efff798038103d269b633813fc60c",
        "span_id=eee19b7ec3c1b174",
        "severity_text=ERROR",
        "severity_number=17",
        "http_status=500",
        "a_b=true",
        "service_instance_id=i1",
        "scope_name=lib",
        "scope_version=1",
    ];
    assert_eq!(given(&records[0]), expected);
    assert_eq!(
        (records[1].timestamp_ns, &records[1].line[..]),
        (1_700_000_000 * SECOND_NS + 1, &br#"{"x":1}"#[..])
    );
}

use messages::otlp::{Any, AnyValue, Export, KeyValue, List, Map};

fn key(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

fn export(attributes: Vec<KeyValue>, body: Any) -> Vec<u8> {
    let record = messages::otlp::Record {
        time_unix_nano: 1_700_000_000_000_000_000,
        severity_number: 9,
        body: Some(AnyValue { value: Some(body) }),
        attributes,
        trace_id: vec![0xab; 16],
    };
    let resource =
        messages::otlp::Resource { attributes: vec![key("service.name", Any::Text("cart".into()))] };
    Export {
        resource_logs: vec![messages::otlp::ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![messages::otlp::ScopeLogs { log_records: vec![record] }],
        }],
    }
    .encode_to_vec()
}

#[test]
fn otlp_protobuf_becomes_records_as_its_json() {
    let list = Any::List(List { values: vec![AnyValue { value: Some(Any::Int(-1)) }] });
    let map = Any::Map(Map { values: vec![key("b", Any::Int(7)), key("c", list.clone())] });
    let body = export(vec![key("a", map.clone()), key("d", list)], Any::Text("boom".into()));
    let records = decoded(IngestConfig::default(), Format::OtlpProtobuf, &body).unwrap();
    assert_eq!(&records[0].line[..], b"boom");
    assert_eq!((records[0].level, records[0].labels.get("service_name")), (Level::Info, Some("cart")));
    let trace = format!("trace_id={}", "ab".repeat(16));
    assert_eq!(given(&records[0]), [trace.as_str(), "severity_number=9", "a_b=7", "a_c=[-1]", "d=[-1]"]);
    let records = decoded(IngestConfig::default(), Format::OtlpProtobuf, &export(vec![], map)).unwrap();
    assert_eq!(&records[0].line[..], br#"{"b":7,"c":[-1]}"#);
}

#[test]
fn hostile_protobuf_is_refused_within_the_limits() {
    let config = || IngestConfig {
        push: PushConfig { max_entries: 10, ..PushConfig::default() },
        ..IngestConfig::default()
    };
    // Entries of two bytes each: the limit ends the request before they take memory.
    let stream = [&b"\x0a\x07{a=\"b\"}"[..], &b"\x12\x00".repeat(100_000)].concat();
    let mut body = vec![0x0a];
    prost::encode_length_delimiter(stream.len(), &mut body).unwrap();
    body.extend(stream);
    assert!(matches!(decoded(config(), Format::LokiProtobuf, &body), Err(PushError::TooManyEntries(10))));

    let mut deep = Any::Int(1);
    for _ in 0..50 {
        deep = Any::List(List { values: vec![AnyValue { value: Some(deep) }] });
    }
    let error = decoded(config(), Format::OtlpProtobuf, &export(vec![], deep)).unwrap_err().to_string();
    assert!(error.contains("nested deeper"), "{error}");

    for body in [&b"\xff"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"\x00\x00", b"\x0a\x02\x0a"] {
        for format in [Format::LokiProtobuf, Format::OtlpProtobuf] {
            assert!(decoded(config(), format, body).is_err(), "{body:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::LokiJson, Format::LokiProtobuf, Format::OtlpJson, Format::OtlpProtobuf] {
            let (Ok(_) | Err(_)) = decoded(IngestConfig::default(), format, &body);
        }
    }

    #[test]
    fn every_pushed_line_becomes_a_record_with_its_bytes(
        lines in proptest::collection::vec((any::<i64>(), ".{0,30}"), 1..20),
    ) {
        let values: Vec<_> = lines.iter().map(|(ns, line)| serde_json::json!([ns.to_string(), line])).collect();
        let body = serde_json::json!({"streams":[{"stream":{"a":"b"},"values":values}]}).to_string();
        let records = loki_json(IngestConfig::default(), &body).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let expected: Vec<_> = lines.into_iter().filter(|line| seen.insert(line.clone())).collect();
        let found: Vec<_> =
            records.iter().map(|r| (r.timestamp_ns, String::from_utf8(r.line.to_vec()).unwrap())).collect();
        prop_assert_eq!(found, expected);
    }
}
