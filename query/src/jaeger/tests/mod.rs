//! The API called in process, every answer held against the rules of [`checker`].

mod checker;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use store::{Batch, Labels, Level, Origin, Pair, Record, TraceBatch, Writer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Config;
use crate::http::{AppState, router};

const SECOND: i64 = 1_000_000_000;
/// The first request's first line.
const START: i64 = 1_700_000_000 * SECOND;
/// A trace id as B3 writes it.
const SHORT: &str = "a3ce929d0e0e4736";

struct Server {
    writer: Writer,
    router: Router,
    _dir: tempfile::TempDir,
}

fn line(service: &str, at_ns: i64, level: Level, pairs: &[(&str, &str)], text: &str) -> Record {
    let labels = Labels::new([("service_name", service), ("container", &format!("shop-{service}-1"))]);
    let pair = |(name, value): &(&str, &str)| Pair {
        origin: Origin::Derived,
        name: (*name).into(),
        value: (*value).into(),
    };
    Record {
        timestamp_ns: at_ns,
        labels: Arc::new(labels),
        line: text.to_owned().into(),
        level,
        pairs: pairs.iter().map(pair).collect(),
    }
}

/// A request: `web` calls `cart`, which answers after `cart_ms`, or fails.
fn request(id: &str, at_ns: i64, cart_ms: i64, fails: bool) -> Vec<Record> {
    let ids = [("correlation_id", id)];
    let ms = 1_000_000;
    let (level, status) = if fails { (Level::Error, 503) } else { (Level::Info, 200) };
    let answer =
        |path: &str| format!(r#"{{"method":"GET","path":"{path}","status":{status},"msg":"answered"}}"#);
    let begin = |path: &str| format!(r#"{{"method":"GET","path":"{path}","msg":"request received"}}"#);
    vec![
        line("web", at_ns, Level::Info, &ids, &begin("/checkout/7")),
        line("cart/v2", at_ns + ms, Level::Info, &ids, &begin("/cart/7")),
        line("cart/v2", at_ns + (1 + cart_ms) * ms, level, &ids, &answer("/cart/7")),
        line("web", at_ns + (2 + cart_ms) * ms, level, &ids, &answer("/checkout/7")),
    ]
}

impl Server {
    /// Three requests in the index: one in a second, one that fails, one that is slow; and one with trace ids.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
        let (_, ready) = watch::channel(true);
        let state =
            AppState::new(writer.reader(), Config::default(), registry, ready, CancellationToken::new())
                .unwrap();
        let server = Self { writer, router: router(state), _dir: dir };
        server.index(&request("r-1", START, 10, false));
        server.index(&request("r-2", START + 10 * SECOND, 20, true));
        server.index(&request("r-3", START + 20 * SECOND, 300, false));
        let ids = [("trace_id", SHORT), ("span_id", "00f067aa0ba902b7")];
        server.index(&[line("web", START + 30 * SECOND, Level::Info, &ids, "order placed")]);
        server
    }

    /// Stores lines.
    fn load(&self, records: &[Record]) {
        self.writer.append_blocking(Batch { records: records.to_vec(), ..Batch::default() }).unwrap();
    }

    /// Stores lines and the spans they tell of.
    fn index(&self, records: &[Record]) {
        self.load(records);
        let traces = correlation::assemble(records, &correlation::Config::default());
        let traces = traces.iter().map(|trace| trace.to_rows(true)).collect();
        self.writer.store_traces_blocking(TraceBatch { traces, ..TraceBatch::default() }).unwrap();
    }

    async fn send(&self, method: Method, target: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{target}: {e}: {body:?}")))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, &format!("/jaeger/api/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn refused(&self, path: &str) -> (u16, String) {
        let (status, body) = self.send(Method::GET, &format!("/jaeger/api/{path}")).await;
        checker::refusal(status, &body);
        (status, body["errors"][0]["msg"].as_str().unwrap().to_owned())
    }

    /// The correlation ids of the traces that a search finds.
    async fn found(&self, parameters: &str) -> Vec<String> {
        let answer = self.get(&format!("traces?{parameters}")).await;
        checker::traces(&answer);
        let id = |trace: &Value| {
            let tags = trace["spans"][0]["tags"].as_array().unwrap();
            let id = tags.iter().find(|tag| tag["key"] == "correlation_id");
            id.map_or_else(|| trace["traceID"].as_str().unwrap(), |tag| tag["value"].as_str().unwrap())
                .to_owned()
        };
        answer["data"].as_array().unwrap().iter().map(id).collect()
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// All of the stored time, in microseconds.
fn times() -> String {
    format!("start={}&end={}", START / 1_000, (START + 60 * SECOND) / 1_000)
}

#[tokio::test]
async fn services_and_operations_are_listed() {
    let server = Server::new();
    assert_eq!(checker::names(&server.get("services").await), ["cart/v2", "web"]);
    let operations = server.get("services/cart%2Fv2/operations").await;
    assert_eq!(checker::names(&operations), ["GET /cart/{id}"]);
    assert_eq!(checker::names(&server.get("services/nobody/operations").await), [""; 0]);
    let kinds = server.get("operations?service=web&spanKind=server").await;
    assert_eq!(
        checker::envelope(&kinds),
        &serde_json::json!([{ "name": "GET /checkout/{id}", "spanKind": "server" }])
    );
    assert_eq!(server.refused("operations").await.0, 400);
}

#[tokio::test]
async fn version_3_lists_the_same() {
    let server = Server::new();
    assert_eq!(server.get("v3/services").await, serde_json::json!({ "services": ["cart/v2", "web"] }));
    let operations = server.get("v3/operations?service=web&span_kind=SERVER").await;
    let expected =
        serde_json::json!({ "operations": [{ "name": "GET /checkout/{id}", "spanKind": "server" }] });
    assert_eq!(operations, expected);
    let (status, body) = server.send(Method::GET, "/jaeger/api/v3/operations").await;
    checker::v3_refusal(status, &body);
    assert_eq!(status, 400);
    let (status, body) = server.send(Method::POST, "/jaeger/api/v3/services").await;
    checker::v3_refusal(status, &body);
    assert_eq!(status, 405);
}

#[tokio::test]
async fn version_3_shows_a_trace_in_otlp() {
    let server = Server::new();
    let answer = server.get("v3/traces/r-2?start_time=2030-01-01T00%3A00%3A00Z").await;
    assert_eq!(checker::otlp(&answer), 2);
    for id in ["4bf92f3577b34da6a3ce929d0e0e4736", "r-9"] {
        let (status, body) = server.send(Method::GET, &format!("/jaeger/api/v3/traces/{id}")).await;
        checker::v3_refusal(status, &body);
        assert_eq!((status, &body["error"]["message"]), (404, &"trace not found".into()));
    }
}

#[tokio::test]
async fn a_search_finds_the_newest_first_and_no_more_than_asked_for() {
    let server = Server::new();
    let times = times();
    assert_eq!(server.found(&format!("service=cart%2Fv2&{times}")).await, ["r-3", "r-2", "r-1"]);
    assert_eq!(server.found(&format!("service=cart%2Fv2&limit=2&{times}")).await, ["r-3", "r-2"]);
    assert_eq!(server.found(&format!("service=nobody&{times}")).await, [""; 0]);
    let operation = encoded("GET /checkout/{id}");
    assert_eq!(server.found(&format!("service=web&operation={operation}&limit=1&{times}")).await, ["r-3"]);
    assert_eq!(server.found(&format!("service=cart%2Fv2&operation={operation}&{times}")).await, [""; 0]);
    // Empty parameters are as if they were not there.
    assert_eq!(
        server.found(&format!("service=web&operation=&tags=&minDuration=&limit=1&{times}")).await.len(),
        1
    );
}

#[tokio::test]
async fn a_search_keeps_to_its_time() {
    let server = Server::new();
    let between = |from: i64, to: i64| {
        format!("service=cart%2Fv2&start={}&end={}", (START + from) / 1_000, (START + to) / 1_000)
    };
    assert_eq!(server.found(&between(10 * SECOND, 20 * SECOND)).await, ["r-2"]);
    // The span begins a millisecond after the request, and the end is inside.
    assert_eq!(server.found(&between(10 * SECOND + 1_000_000, 10 * SECOND + 1_000_000)).await, ["r-2"]);
    assert_eq!(server.found(&between(10 * SECOND + 1_001_000, 20 * SECOND)).await, [""; 0]);
    // Nobody said when: the last two days, in which there is nothing.
    assert_eq!(server.found("service=web").await, [""; 0]);
    let end = (START + 15 * SECOND) / 1_000;
    assert_eq!(server.found(&format!("service=cart%2Fv2&end={end}&lookback=6s")).await, ["r-2"]);
    assert_eq!(server.found(&format!("service=cart%2Fv2&end={end}&lookback=1d")).await, ["r-2", "r-1"]);
}

#[tokio::test]
async fn a_search_by_duration_and_tags_looks_at_single_spans() {
    let server = Server::new();
    for (parameters, expected) in [
        ("minDuration=100ms", &["r-3"][..]),
        ("minDuration=15ms&maxDuration=0.1s", &["r-2"]),
        ("maxDuration=10ms", &["r-1"]),
        ("minDuration=300ms", &["r-3"]),
        ("minDuration=300001us", &[]),
        (r#"tags={"error":"true"}"#, &["r-2"]),
        (r#"tags={"error":true,"http.response.status_code":503}"#, &["r-2"]),
        (r#"tags={"correlation_id":"r-1"}"#, &["r-1"]),
        (r#"tags={"correlation_id":"r-1","error":"true"}"#, &[]),
        ("tags=correlation_id=r-3 span.kind=server", &["r-3"]),
        (r#"tags=container.name="shop-cart/v2-1" error=true"#, &["r-2"]),
        ("tag=error:true&tag=url.path:/cart/7", &["r-2"]),
        (r#"tags={"otel.status_code":"ERROR","otel.scope.name":"binnacle"}"#, &["r-2"]),
        (r#"tags={"url.path":"/checkout/7"}"#, &[]),
    ] {
        let encoded: Vec<String> = parameters
            .split('&')
            .map(|parameter| parameter.split_once('=').unwrap())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let found = server.found(&format!("service=cart%2Fv2&{}&{}", encoded.join("&"), times())).await;
        assert_eq!(found, expected, "{parameters}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::new();
    for (parameters, named) in [
        ("", "`service`"),
        ("service=", "`service`"),
        ("service=web&limit=0", "`limit`"),
        ("service=web&limit=-1", "`limit`"),
        ("service=web&limit=1501", "1500"),
        ("service=web&start=now", "`start`"),
        ("service=web&end=2026-01-01", "microseconds"),
        ("service=web&start=5&end=4", "later"),
        ("service=web&minDuration=5", "missing unit"),
        ("service=web&maxDuration=-5s", "negative"),
        ("service=web&minDuration=2s&maxDuration=1s", "`maxDuration`"),
        ("service=web&tags=%7Berror", "`tags`"),
        ("service=web&tags=%7B%22a%22%3A%5B%5D%7D", "`a`"),
        ("service=web&tags=word", "JSON"),
        ("service=web&tag=word", "`name:value`"),
        ("service=web&lookback=soon", "`lookback`"),
    ] {
        let (status, message) = server.refused(&format!("traces?{parameters}")).await;
        assert_eq!(status, 400, "{parameters}");
        assert!(message.contains(named), "{parameters}: {message}");
    }
    assert_eq!(server.refused("dependencies?endTs=x").await.0, 400);
}

#[tokio::test]
async fn a_trace_is_shown_by_every_way_of_writing_its_id() {
    let server = Server::new();
    let long = format!("0000000000000000{SHORT}");
    for id in [SHORT.to_owned(), long.clone(), SHORT.to_uppercase(), format!("0{SHORT}")] {
        let answer = server.get(&format!("traces/{id}")).await;
        assert_eq!(checker::traces(&answer), [long.as_str()], "{id}");
    }
    // Grafana gives its times in milliseconds; they say nothing.
    let answer = server.get(&format!("traces/{SHORT}?start=1&end=1700000000000")).await;
    assert_eq!(checker::traces(&answer), [long]);
    let hashed = correlation::hashed("r-2").to_string();
    for id in ["r-2", &hashed] {
        let answer = server.get(&format!("traces/{id}")).await;
        assert_eq!(checker::traces(&answer), [hashed.as_str()]);
        let spans = answer["data"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[1]["references"][0]["spanID"], spans[0]["spanID"]);
        assert_eq!((&spans[0]["duration"], &spans[1]["duration"]), (&22_000.into(), &20_000.into()));
        assert_eq!(spans[1]["startTime"], (START + 10 * SECOND) / 1_000 + 1_000);
    }
}

#[tokio::test]
async fn an_unknown_trace_is_not_found_and_never_empty() {
    let server = Server::new();
    for id in ["4bf92f3577b34da6a3ce929d0e0e4736", "1", "r-4", "%20", &"f".repeat(33), "%C3%BC", "a%2Fb"] {
        let (status, message) = server.refused(&format!("traces/{id}")).await;
        assert_eq!((status, message.as_str()), (404, "trace not found"), "{id}");
    }
    assert_eq!(server.refused("nothing").await.0, 404);
    let (status, body) = server.send(Method::POST, "/jaeger/api/traces").await;
    checker::refusal(status, &body);
    assert_eq!(status, 405);
}

#[tokio::test]
async fn traces_are_shown_by_a_list_of_ids() {
    let server = Server::new();
    let answer = server.get(&format!("traces?traceID={SHORT}&traceID=r-1&traceID=abc")).await;
    assert_eq!(checker::traces(&answer).len(), 2);
    assert_eq!(
        answer["errors"],
        serde_json::json!([{ "code": 404, "msg": "trace not found", "traceID": "abc" }])
    );
    let many = "traceID=1&".repeat(101);
    assert_eq!(server.refused(&format!("traces?{many}")).await.0, 400);
}

#[tokio::test]
async fn a_trace_that_is_not_indexed_is_made_of_its_lines() {
    let server = Server::new();
    let now = crate::time::now_ns();
    server.load(&request("open-1", now, 5, false));
    let answer = server.get("traces/open-1").await;
    assert_eq!(checker::traces(&answer), [correlation::hashed("open-1").to_string()]);
    assert_eq!(answer["data"][0]["spans"].as_array().unwrap().len(), 2);
    assert_eq!(
        server.refused(&format!("traces/{}", correlation::hashed("open-1"))).await.0,
        404,
        "nobody knows its name"
    );
}

#[tokio::test]
async fn calls_between_services_are_counted_in_milliseconds() {
    let server = Server::new();
    let at = |ns: i64| (START + ns) / 1_000_000;
    let answer = server.get(&format!("dependencies?endTs={}&lookback=60000", at(60 * SECOND))).await;
    assert_eq!(checker::dependencies(&answer), ["web>cart/v2=3"]);
    let answer = server.get(&format!("dependencies?endTs={}&lookback=5000", at(12 * SECOND))).await;
    assert_eq!(checker::dependencies(&answer), ["web>cart/v2=1"]);
    assert_eq!(checker::dependencies(&server.get("dependencies").await), [""; 0]);
}
