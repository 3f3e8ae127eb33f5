//! The API called in process: scenarios from text files, and rules that every answer must keep.

mod shape;
mod tail;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use serde_json::Value;
use store::{Batch, Labels, Level, Origin, Pair, Record, Writer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Config;
use crate::http::{AppState, router};

/// A store with its API.
pub(super) struct Server {
    writer: Writer,
    router: axum::Router,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(super) fn new(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
        let (_, ready) = watch::channel(true);
        let state =
            AppState::new(writer.reader(), config, registry, ready, CancellationToken::new()).unwrap();
        Self { writer, router: router(state), _dir: dir }
    }

    pub(super) fn load(&self, records: Vec<Record>) {
        self.writer.append_blocking(Batch { records, ..Batch::default() }).unwrap();
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// `GET target`, with one header if there is one.
    pub(super) async fn get(&self, target: &str, header: Option<(&str, &str)>) -> (StatusCode, String) {
        let mut request = Request::builder().method(Method::GET).uri(target);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        text(self.send(request.body(Body::empty()).unwrap()).await).await
    }
}

pub(super) async fn text(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(super) fn record(labels: &Arc<Labels>, ts_ns: i64, line: &str, pairs: Vec<Pair>, level: Level) -> Record {
    Record { timestamp_ns: ts_ns, labels: Arc::clone(labels), line: line.to_owned().into(), level, pairs }
}

/// Encodes the parameters as written in a scenario: `name=value` separated by ` & `.
pub(super) fn target(path: &str, params: &str) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    let pairs: Vec<String> = params
        .split(" & ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

/// One record of a scenario: `<seconds> <labels> <line as JSON string> [<given pairs>] [level=<level>] [derived=<pairs>]`.
fn parse_record(line: &str) -> Record {
    let (seconds, rest) = line.split_once(' ').unwrap();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let labels = values.next().unwrap().unwrap();
    let text = values.next().unwrap().unwrap();
    let mut pairs = Vec::new();
    let mut level = Level::Unset;
    for (origin, extra) in [Origin::Given, Origin::Derived].into_iter().zip(values) {
        for (name, value) in extra.unwrap().as_object().unwrap() {
            let value = value.as_str().unwrap();
            match name.as_str() {
                "!level" => level = Level::from_name(value).unwrap(),
                _ => pairs.push(Pair { origin, name: name.as_str().into(), value: value.into() }),
            }
        }
    }
    let labels = labels.as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap()));
    let labels = Arc::new(Labels::new(labels));
    let ts_ns = (seconds.parse::<f64>().unwrap() * 1e9).round() as i64;
    record(&labels, ts_ns, text.as_str().unwrap(), pairs, level)
}

/// Takes `data.stats` away: it differs from run to run.
fn without_stats(text: &str) -> String {
    match text.split_once(",\"stats\":{") {
        Some((result, _)) => format!("{result}}}}}"),
        None => text.trim_end().to_owned(),
    }
}

/// Runs a scenario: `load` and `flush` blocks, then `get` with what is expected, exactly but for the stats.
async fn run(name: &str, scenario: &str) {
    let server = Server::new(Config::default());
    let mut lines = scenario.lines().enumerate().peekable();
    let mut checks = 0;
    while let Some((number, line)) = lines.next() {
        let place = format!("{name}:{}", number + 1);
        if line.is_empty() || line.starts_with('#') {
        } else if line == "load" {
            let mut records = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("  ")) {
                records.push(parse_record(line.trim()));
            }
            server.load(records);
        } else if line == "flush" {
            server.writer.flush_blocking().unwrap();
        } else if let Some(request) = line.strip_prefix("get ") {
            let (request, categorize) = match request.strip_prefix("categorized ") {
                Some(request) => (request, Some(("x-loki-response-encoding-flags", "categorize-labels"))),
                None => (request, None),
            };
            let (path, params) = request.split_once(' ').unwrap_or((request, ""));
            let (status, body) = server.get(&target(path, params), categorize).await;
            let (_, expected) = lines.next().unwrap();
            match expected.strip_prefix("status ") {
                Some(expected) => {
                    let (code, part) = expected.split_once(' ').unwrap_or((expected, ""));
                    assert_eq!(status.as_str(), code, "{place}: {body}");
                    assert!(body.contains(part), "{place}: {body}");
                }
                None => {
                    assert_eq!(status, StatusCode::OK, "{place}: {body}");
                    assert_eq!(without_stats(&body), expected, "{place}");
                }
            }
            checks += 1;
        } else {
            panic!("{place}: cannot read `{line}`");
        }
    }
    assert!(checks > 0, "{name} checks nothing");
}

#[tokio::test]
async fn scenarios_give_what_they_say() {
    for (name, scenario) in [
        ("lines.txt", include_str!("../../../tests/data/loki/lines.txt")),
        ("metrics.txt", include_str!("../../../tests/data/loki/metrics.txt")),
        ("drilldown.txt", include_str!("../../../tests/data/loki/drilldown.txt")),
        ("patterns.txt", include_str!("../../../tests/data/loki/patterns.txt")),
    ] {
        run(name, scenario).await;
    }
}
