//! A hundred thousand lines in one request: what is answered with 204 is in the store, line by line and after a
//! restart; what is refused is not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use prost::Message as _;
use store::config::{ByteSize, Period};
use store::{BlockQuery, Prune, Reader, TimeRange, Writer};

use super::http::{JSON, LOKI, Server, gzip, server};
use super::messages::loki::{Entry, PushRequest, Stream, Timestamp};
use crate::config::{IngestConfig, PushConfig};

const LINES: usize = 100_000;
const STREAMS: usize = 7;
const FIRST_NS: i64 = 1_700_000_000_000_000_000;

/// Labels of the stream, time, bytes.
type Line = (String, i64, Vec<u8>);

/// Lines of several streams, out of order, with one of a hundred sent twice, far apart.
fn lines() -> Vec<Line> {
    let line = |i: usize| {
        // 7919 is prime to the number of lines: a walk over all of them in a scattered order.
        let place = i * 7919 % LINES;
        let text = format!("request {place} took {} ms, \"ok\"\té", place % 977);
        (format!("s{}", place % STREAMS), FIRST_NS + place as i64 * 1_000, text.into_bytes())
    };
    let repeated = (0..LINES / 100).map(|i| line(i * 99));
    (0..LINES - LINES / 100).map(line).chain(repeated).collect()
}

fn streams(lines: &[Line]) -> BTreeMap<&str, Vec<&Line>> {
    let mut streams: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        streams.entry(&line.0).or_default().push(line);
    }
    streams
}

fn json(lines: &[Line]) -> Vec<u8> {
    let streams: Vec<_> = streams(lines)
        .into_iter()
        .map(|(name, lines)| {
            let value = |line: &&Line| serde_json::json!([line.1.to_string(), str::from_utf8(&line.2).unwrap()]);
            serde_json::json!({"stream": {"service_name": name}, "values": lines.iter().map(value).collect::<Vec<_>>()})
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string().into_bytes()
}

fn protobuf(lines: &[Line]) -> Vec<u8> {
    let entry = |line: &&Line| Entry {
        timestamp: Some(Timestamp {
            seconds: line.1.div_euclid(1_000_000_000),
            nanos: i32::try_from(line.1.rem_euclid(1_000_000_000)).unwrap(),
        }),
        line: line.2.clone(),
        metadata: Vec::new(),
    };
    let streams = streams(lines).into_iter().map(|(name, lines)| Stream {
        labels: format!("{{service_name={name:?}}}"),
        entries: lines.iter().map(entry).collect(),
        hash: 0,
    });
    let message = PushRequest { streams: streams.collect() };
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const DEFLATE: (&str, &str) = ("content-encoding", "deflate");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

/// Every line in the store, in no order.
fn stored(reader: &Reader) -> Vec<Line> {
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    let mut found = Vec::new();
    for block in &reader.snapshot().unwrap().candidates(&query).unwrap().blocks {
        let service = block.labels().get("service_name").unwrap_or_default().to_owned();
        let block = block.open().unwrap();
        let (times, lines) = (block.timestamps().unwrap(), block.lines().unwrap());
        found.extend(
            times.iter().enumerate().map(|(row, ns)| (service.clone(), *ns, lines.get(row).to_vec())),
        );
    }
    found
}

fn assert_stored_once(reader: &Reader, sent: &[Line]) {
    let expected: BTreeSet<&Line> = sent.iter().collect();
    let mut found = stored(reader);
    found.sort();
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().eq(expected), "some line differs");
}

#[tokio::test]
async fn a_hundred_thousand_lines_are_stored_exactly_in_every_encoding() {
    let lines = lines();
    let (json, protobuf) = (json(&lines), protobuf(&lines));
    for (name, headers, body) in [
        ("json", vec![JSON], json.clone()),
        ("json, gzip", vec![JSON, GZIP], gzip(&json)),
        ("json, deflate", vec![JSON, DEFLATE], deflate(&json)),
        ("protobuf", vec![PROTOBUF], protobuf.clone()),
        ("protobuf, said to be snappy", vec![PROTOBUF, SNAPPY], protobuf.clone()),
        ("protobuf, gzip", vec![PROTOBUF, GZIP], gzip(&protobuf)),
    ] {
        let server = server(&IngestConfig::default());
        let (status, text) = server.post(LOKI, &headers, body).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{name}: {text}");
        assert_eq!(server.stored() as usize, LINES - LINES / 100, "{name}");
        assert_stored_once(&server.writer.reader(), &lines);
        reopened_still_holds(server, &lines).await;
    }
}

/// The store as the next process finds it.
async fn reopened_still_holds(server: Server, lines: &[Line]) {
    let Server { writer, dir, .. } = server;
    writer.close().await.unwrap();
    let registry = prometheus::Registry::new();
    let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
    assert_stored_once(&writer.reader(), lines);
}

/// Lines may be as old as the first one, and ten minutes ahead of the clock.
fn with_bounds_of_time() -> IngestConfig {
    let age_of_the_first = SystemTime::now()
        .duration_since(UNIX_EPOCH + Duration::from_nanos(FIRST_NS.cast_unsigned()))
        .unwrap();
    let push = PushConfig {
        max_age: Some(Period(age_of_the_first + Duration::from_secs(86_400))),
        max_future: Some(Period(Duration::from_secs(600))),
        ..PushConfig::default()
    };
    IngestConfig { push, ..IngestConfig::default() }
}

/// Times beyond these bounds, and what is said of them.
const WRONG_TIMES: [(i64, &str); 2] = [
    (1_600_000_000_000_000_000, "has timestamp too old: 2020-09-13T12:26:40Z"),
    (9_000_000_000_000_000_000, "has timestamp too new: 2255-03-14"),
];

#[tokio::test]
async fn wrong_lines_and_streams_are_refused_alone_and_counted() {
    let lines = lines();
    let long = "v".repeat(5000);
    let wrong_labels = [
        (r#"{"a b":"c"}"#.to_owned(), "error parsing labels '{a b=\"c\"}' with error"),
        ("{}".to_owned(), "error at least one label pair is required per stream"),
        (r#"{"a":"b","a":"c"}"#.to_owned(), "has duplicate label name: 'a'"),
        (format!(r#"{{"a":"{long}"}}"#), "has label value too long: 'vvv"),
        (format!(r#"{{"{long}":"a"}}"#), "has label name too long: 'vvv"),
    ];
    let mut more: Vec<String> = wrong_labels
        .iter()
        .map(|(labels, _)| {
            format!(r#"{{"stream":{labels},"values":[["{FIRST_NS}","x"],["{FIRST_NS}","y"]]}}"#)
        })
        .collect();
    more.extend(WRONG_TIMES.map(|(ns, _)| format!(r#"{{"stream":{{"a":"b"}},"values":[["{ns}","x"]]}}"#)));
    let body = String::from_utf8(json(&lines)).unwrap();
    let body = body.replacen("]}]}", &format!("]}},{}]}}", more.join(",")), 1);
    let server = server(&with_bounds_of_time());
    // Sent again, because the answer was lost: the same answer, and nothing is stored twice.
    for _ in 0..2 {
        let (status, text) = server.post(LOKI, &[JSON], body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        for (_, reason) in &wrong_labels {
            assert!(text.contains(reason), "{reason}: {text}");
        }
        for (_, reason) in WRONG_TIMES {
            assert!(text.contains(reason), "{reason}: {text}");
        }
        let total = LINES + wrong_labels.len() * 2 + WRONG_TIMES.len();
        assert!(text.ends_with(&format!("total ignored: {} out of {total}\n", total - LINES)), "{text}");
        assert_stored_once(&server.writer.reader(), &lines);
    }
    reopened_still_holds(server, &lines).await;
}

#[tokio::test]
async fn wrong_lines_of_protobuf_are_refused_alone_and_counted() {
    let good = lines();
    let mut all = good.clone();
    all.extend(WRONG_TIMES.map(|(ns, _)| ("s0".to_owned(), ns, b"x".to_vec())));
    let server = server(&with_bounds_of_time());
    let (status, text) = server.post(LOKI, &[PROTOBUF], protobuf(&all)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    for (_, reason) in WRONG_TIMES {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert!(text.ends_with(&format!("total ignored: 2 out of {}\n", LINES + 2)), "{text}");
    assert_stored_once(&server.writer.reader(), &good);
    reopened_still_holds(server, &good).await;
}

#[tokio::test]
async fn a_request_that_cannot_be_read_to_its_end_is_refused_whole() {
    let lines = lines();
    let body = String::from_utf8(json(&lines)).unwrap();
    let with = |stream: &str| body.replacen("]}]}", &format!("]}},{stream}]}}"), 1);
    let refused = [
        (
            with(r#"{"stream":{"a":"b"},"values":[["99999999999999999999","x"]]}"#),
            "`99999999999999999999` is no time",
        ),
        (with(r#"{"stream":{"a":"b"},"values":[["-",""]]}"#), "`-` is no time"),
        (body.get(..body.len() - 1).unwrap().to_owned(), "no push request"),
        (body.clone() + "}", "no push request"),
    ];
    let server = server(&IngestConfig::default());
    for (refused, reason) in refused {
        assert!(refused.len() + 1 >= body.len(), "{reason}: the rest of the request is missing");
        let (status, text) = server.post(LOKI, &[JSON], refused).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{reason}: {text}");
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert_eq!(stored(&server.writer.reader()), []);
    assert_eq!(server.post(LOKI, &[JSON], body).await.0, StatusCode::NO_CONTENT);
    assert_stored_once(&server.writer.reader(), &lines);
}

#[tokio::test]
async fn damaged_bodies_are_refused_whole() {
    let lines = lines();
    let (json, protobuf) = (json(&lines), protobuf(&lines));
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 9].to_vec();
    let mut no_text = json.clone();
    *no_text.iter_mut().rev().find(|b| **b == b'k').unwrap() = 0xff;
    let mut wrong_sum = gzip(&json);
    let checksum = wrong_sum.len() - 5;
    wrong_sum[checksum] ^= 1;
    let server = server(&IngestConfig::default());
    for (name, headers, body) in [
        ("json, cut", vec![JSON], cut(&json)),
        ("json, no text", vec![JSON], no_text),
        ("json, gzip, cut", vec![JSON, GZIP], cut(&gzip(&json))),
        ("json, gzip, wrong checksum", vec![JSON, GZIP], wrong_sum),
        ("json, deflate, cut", vec![JSON, DEFLATE], cut(&deflate(&json))),
        ("json that is said to be gzip", vec![JSON, GZIP], json.clone()),
        ("protobuf, cut", vec![PROTOBUF], cut(&protobuf)),
        ("protobuf, gzip, cut inside", vec![PROTOBUF, GZIP], gzip(&cut(&protobuf))),
        ("json that is said to be protobuf", vec![PROTOBUF], json.clone()),
        ("nothing", vec![PROTOBUF], Vec::new()),
    ] {
        let (status, text) = server.post(LOKI, &headers, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {text}");
        assert!(text.len() > 10, "{name}: {text}");
    }
    assert_eq!(stored(&server.writer.reader()), []);
}

#[tokio::test]
async fn bombs_and_giants_are_answered_413_without_being_unpacked() {
    let push = PushConfig {
        max_body_bytes: ByteSize(4 << 20),
        max_decoded_bytes: ByteSize(8 << 20),
        max_entries: LINES - 1,
        ..PushConfig::default()
    };
    let server = server(&IngestConfig { push, ..IngestConfig::default() });
    let zeros = vec![0; 64 << 20];
    let lines = lines();
    for (name, headers, body, setting) in [
        ("gzip bomb", vec![JSON, GZIP], gzip(&zeros), "max_decoded_bytes"),
        ("deflate bomb", vec![JSON, DEFLATE], deflate(&zeros), "max_decoded_bytes"),
        ("gzip in gzip", vec![PROTOBUF, GZIP], gzip(&gzip(&zeros)), "no snappy block"),
        ("gzip bomb around snappy", vec![PROTOBUF, GZIP], gzip(&snap_of(&zeros)), "max_decoded_bytes"),
        ("snappy bomb", vec![PROTOBUF], snap_of(&zeros), "max_decoded_bytes"),
        (
            "snappy that claims 4 GiB",
            vec![PROTOBUF],
            vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0],
            "max_decoded_bytes",
        ),
        ("a body too large", vec![JSON], zeros[..5 << 20].to_vec(), "max_body_bytes"),
        ("a line too many", vec![PROTOBUF], protobuf(&lines), "max_entries"),
    ] {
        let (status, text) = server.post(LOKI, &headers, body).await;
        let expected =
            if setting.starts_with("max") { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        assert_eq!(status, expected, "{name}: {text}");
        assert!(text.contains(setting), "{name}: {text}");
    }
    assert_eq!(stored(&server.writer.reader()), []);
}

fn snap_of(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

#[tokio::test]
async fn bytes_that_are_no_text_are_stored_as_they_came() {
    let lines: Vec<Line> = (0..256)
        .map(|i| ("bytes".to_owned(), FIRST_NS + i, vec![b'a', u8::try_from(i).unwrap(), 0, 0xff]))
        .collect();
    let server = server(&IngestConfig::default());
    assert_eq!(server.post(LOKI, &[PROTOBUF], protobuf(&lines)).await.0, StatusCode::NO_CONTENT);
    assert_stored_once(&server.writer.reader(), &lines);
}

#[tokio::test]
async fn half_surrogate_pairs_become_replacement_characters() {
    let server = server(&IngestConfig::default());
    let body = r#"{"streams":[{"stream":{"service_name":"s"},"values":[["1","\ud800é\udc80\u0000x"],["2","\ud83d\ude00"]]}]}"#;
    assert_eq!(server.post(LOKI, &[JSON], body).await.0, StatusCode::NO_CONTENT);
    let line = |ns, text: &str| ("s".to_owned(), ns, text.as_bytes().to_vec());
    assert_stored_once(&server.writer.reader(), &[line(1, "\u{fffd}é\u{fffd}\0x"), line(2, "😀")]);
}
