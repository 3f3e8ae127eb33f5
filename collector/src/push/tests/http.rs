//! The routes as clients use them, over a store in a scratch folder.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use prost::Message as _;
use store::Writer;
use store::config::ByteSize;
use tower::ServiceExt as _;

use super::export;
use super::messages::loki::{PushRequest, Stream as ProtoStream};
use super::messages::otlp::{Any, Export};
use crate::config::{IngestConfig, PushConfig};
use crate::parse::Enricher;
use crate::push::router;

pub(super) struct Server {
    router: Router,
    pub(super) writer: Writer,
    registry: prometheus::Registry,
    pub(super) dir: tempfile::TempDir,
}

pub(super) fn server(config: &IngestConfig) -> Server {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
    let router =
        router(writer.clone(), Arc::new(Enricher::new(config, crate::Redactor::off())), config, &registry)
            .unwrap();
    Server { router, writer, registry, dir }
}

impl Server {
    pub(super) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (StatusCode, String) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(super) fn stored(&self) -> u64 {
        let families = self.registry.gather();
        let lines = families.iter().filter(|family| family.name() == "binnacle_push_lines_total");
        lines.flat_map(|f| f.get_metric()).map(|m| m.get_counter().get_value() as u64).sum()
    }
}

pub(super) const LOKI: &str = "/loki/api/v1/push";
pub(super) const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const BODY: &str = r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x"],["2","y"]]}]}"#;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_push_is_answered_204_when_it_is_stored() {
    let server = server(&IngestConfig::default());
    assert_eq!(server.post(LOKI, &[JSON], BODY).await, (StatusCode::NO_CONTENT, String::new()));
    assert_eq!(server.stored(), 2);
    let zipped = gzip(BODY.replace('x', "z").as_bytes());
    let answer = server.post(LOKI, &[JSON, ("content-encoding", "gzip")], zipped).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT);
    assert_eq!(server.stored(), 4);
}

#[tokio::test]
async fn the_same_request_again_is_answered_204_and_stored_once() {
    let server = server(&IngestConfig::default());
    for _ in 0..3 {
        assert_eq!(server.post(LOKI, &[JSON], BODY).await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(server.stored(), 2);
}

#[tokio::test]
async fn a_refused_push_stores_nothing_and_says_why() {
    let server = server(&IngestConfig::default());
    let wrong = r#"{"streams":[{"stream":{},"values":[["1","x"]]}]}"#;
    let (status, text) = server.post(LOKI, &[JSON], wrong).await;
    let reason = "error at least one label pair is required per stream, total ignored: 1 out of 1";
    assert_eq!((status, text.trim()), (StatusCode::BAD_REQUEST, reason));
    let (status, _) = server.post(LOKI, &[JSON, ("content-encoding", "br")], BODY).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let proto =
        PushRequest { streams: vec![ProtoStream { labels: r#"{a="b"}"#.into(), entries: vec![], hash: 0 }] };
    let snappy = snap::raw::Encoder::new().compress_vec(&proto.encode_to_vec()).unwrap();
    assert_eq!(server.post(LOKI, &[], snappy).await.0, StatusCode::NO_CONTENT);
    let (status, _) = server.post(LOKI, &[], "no snappy").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = server.post("/otlp/v1/logs", &[("content-type", "text/plain")], "x").await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.stored(), 0);
}

#[tokio::test]
async fn bodies_over_the_limits_are_answered_413() {
    let push = PushConfig {
        max_body_bytes: ByteSize(2048),
        max_decoded_bytes: ByteSize(4096),
        ..PushConfig::default()
    };
    let server = server(&IngestConfig { push, ..IngestConfig::default() });
    let (status, text) = server.post(LOKI, &[JSON], "x".repeat(3000)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
    assert!(text.contains("max_body_bytes"), "{text}");
    let bomb = gzip(&vec![b' '; 1 << 20]);
    let (status, text) = server.post(LOKI, &[JSON, ("content-encoding", "gzip")], bomb).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
    assert!(text.contains("max_decoded_bytes"), "{text}");
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 14]).unwrap();
    assert_eq!(server.post(LOKI, &[], bomb).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn otlp_answers_in_the_notation_of_the_request() {
    let server = server(&IngestConfig::default());
    let (path, proto) = ("/otlp/v1/logs", ("content-type", "application/x-protobuf"));
    let body = export(vec![], Any::Text("x".into()));
    assert_eq!(server.post(path, &[proto], body).await, (StatusCode::OK, String::new()));
    assert_eq!(server.post(path, &[JSON], r#"{"resourceLogs":[]}"#).await, (StatusCode::OK, "{}".to_owned()));
    let (status, text) = server.post(path, &[JSON], "{").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["code"], 3);
    let (status, text) = server.post(path, &[proto], vec![0xff]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("no protobuf message"), "{text}");
}

#[tokio::test]
async fn otlp_tells_what_it_refused_of_a_request_that_it_stored() {
    let server = server(&IngestConfig::default());
    let (path, proto) = ("/otlp/v1/logs", ("content-type", "application/x-protobuf"));
    let record = |ns: &str| format!(r#"{{"timeUnixNano":"{ns}","body":{{"stringValue":"x"}}}}"#);
    let json =
        |records: &str| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    let (good, late) = (record("1700000000000000000"), record("9999999999999999999"));
    let reason = "the time `9999999999999999999` ns is out of range, total ignored: 1 out of";
    let (status, text) = server.post(path, &[JSON], json(&format!("{late},{good}"))).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1");
    assert_eq!(answer["partialSuccess"]["errorMessage"], format!("{reason} 2"));
    assert_eq!(server.stored(), 1);

    let (status, text) = server.post(path, &[JSON], json(&late)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains(&format!("{reason} 1")), "{text}");

    let mut request = Export::decode(export(vec![], Any::Text("y".into())).as_slice()).unwrap();
    let records = &mut request.resource_logs[0].scope_logs[0].log_records;
    records.push(records[0].clone());
    records[0].time_unix_nano = 9_999_999_999_999_999_999;
    let (status, text) = server.post(path, &[proto], request.encode_to_vec()).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let message = format!("{reason} 2");
    let length = char::from(u8::try_from(message.len()).unwrap());
    let whole = char::from(u8::try_from(message.len() + 4).unwrap());
    assert_eq!(text, format!("\n{whole}\u{8}\u{1}\u{12}{length}{message}"));
    assert_eq!(server.stored(), 2);
}

#[tokio::test]
async fn a_store_that_fails_is_answered_503_and_the_request_may_come_again() {
    let server = server(&IngestConfig::default());
    server.writer.clone().close().await.unwrap();
    for _ in 0..2 {
        let (status, text) = server.post(LOKI, &[JSON], BODY).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    }
    assert_eq!(server.stored(), 0);
}

/// A body whose sender never ends it.
fn endless(begin: &'static str) -> Body {
    use futures_util::StreamExt as _;
    let begun = futures_util::stream::once(async move { Ok::<_, std::io::Error>(begin) });
    Body::from_stream(begun.chain(futures_util::stream::pending()))
}

#[tokio::test]
async fn slow_senders_hold_up_nobody() {
    let server = Arc::new(server(&IngestConfig::default()));
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let server = Arc::clone(&server);
        slow.spawn(async move { server.post(LOKI, &[JSON], endless("{")).await });
    }
    for _ in 0..50 {
        tokio::task::yield_now().await; // now all of them have sent what they have
    }
    assert_eq!(server.post(LOKI, &[JSON], BODY).await.0, StatusCode::NO_CONTENT);
    assert_eq!(server.stored(), 2);
}

#[tokio::test]
async fn bodies_that_together_are_too_large_are_answered_429() {
    let push = PushConfig { max_body_bytes: ByteSize(8192), max_concurrent: 2, ..PushConfig::default() };
    let server = Arc::new(server(&IngestConfig { push, ..IngestConfig::default() }));
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let server = Arc::clone(&server);
        slow.spawn(async move { server.post(LOKI, &[JSON], endless("{")).await });
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let (status, text) = server.post(LOKI, &[JSON], BODY).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(text.contains("16KiB") && text.contains("max_body_bytes"), "{text}");
    slow.shutdown().await;
    assert_eq!(server.post(LOKI, &[JSON], BODY).await.0, StatusCode::NO_CONTENT);
}
