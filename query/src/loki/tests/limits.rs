//! Each limit holds, and is answered as Loki answers it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use store::config::{ByteSize, Period};
use store::{Labels, Level};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Listening, Server, record, target};
use crate::Config;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server with `lines` lines of one stream, one each second.
fn server(config: Config, lines: i64) -> Server {
    let server = Server::new(config);
    load(&server, lines);
    server
}

fn load(server: &Server, lines: i64) {
    let labels = Arc::new(Labels::new([("app", "a")]));
    let line = |i: i64| record(&labels, i * 1_000_000_000, &format!("v={i}"), Vec::new(), Level::Unset);
    server.load((1..=lines).map(line).collect());
    server.writer.flush_blocking().unwrap();
}

/// Asks and expects to be refused with this status and part of the text.
async fn assert_refused(server: &Server, path: &str, params: &str, status: StatusCode, part: &str) {
    let (found, body) = server.get(&target(path, params), None).await;
    assert_eq!(found, status, "{params}: {body}");
    assert!(body.contains(part), "{params}: {body}");
}

#[tokio::test]
async fn too_many_series_are_refused_or_cut() {
    let mut config = Config::default();
    config.loki.max_series = 2;
    let server = server(config, 3);
    let path = target("/loki/api/v1/query", "query=count_over_time({app=\"a\"} | logfmt [1m]) & time=10");
    let (status, body) = server.get(&path, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("maximum number of series (2) reached for a single query"), "{body}");
    let (status, body) = server.get(&path, Some(("x-query-tags", "Source=grafana-lokiexplore-app"))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["data"]["result"].as_array().unwrap().len(), 2);
    assert_eq!(value["warnings"].as_array().unwrap().len(), 1);
    let fewer = "query=count_over_time({app=\"a\"} | logfmt | v<3 [1m]) & time=10";
    assert_eq!(server.get(&target("/loki/api/v1/query", fewer), None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn series_within_a_query_are_bounded() {
    let mut config = Config::default();
    config.loki.max_inner_series = 10;
    let server = server(config, 20);
    let (query, bad) = ("/loki/api/v1/query", StatusCode::BAD_REQUEST);
    let text = "needs more than 10 series or samples";
    assert_refused(
        &server,
        query,
        "query=sum(count_over_time({app=\"a\"} | logfmt [1m]) > 0) & time=20",
        bad,
        text,
    )
    .await;
}

#[tokio::test]
async fn entries_are_bounded() {
    let mut config = Config::default();
    config.loki.max_entries = 5;
    let server = server(config, 20);
    let path = "/loki/api/v1/query_range";
    let text = "max entries limit per query exceeded, limit > max_entries_limit_per_query (6 > 5)";
    let ask = |limit: usize| format!("query={{app=\"a\"}} & start=0 & end=100 & limit={limit}");
    assert_refused(&server, path, &ask(6), StatusCode::BAD_REQUEST, text).await;
    let (status, body) = server.get(&target(path, &ask(5)), None).await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, value["data"]["result"][0]["values"].as_array().unwrap().len()), (StatusCode::OK, 5));
    // Metric queries give no entries.
    let metric = "query=sum(count_over_time({app=\"a\"}[1m])) & start=0 & end=100 & step=60 & limit=6";
    assert_eq!(server.get(&target(path, metric), None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn bytes_read_are_bounded() {
    let server = server(Config { max_decoded_bytes: ByteSize(10), ..Config::default() }, 20);
    for query in ["{app=\"a\"} |= \"v\"", "sum(count_over_time({app=\"a\"} |= \"v\" [1m]))", "{app=\"a\"}"] {
        let params = format!("query={query} & start=0 & end=100 & step=10");
        let text = "the query would read too many bytes";
        assert_refused(&server, "/loki/api/v1/query_range", &params, StatusCode::BAD_REQUEST, text).await;
    }
    // The counts of blocks are no bytes.
    let counted = "query=sum(count_over_time({app=\"a\"}[1000s])) & start=0 & end=1000 & step=1000";
    assert_eq!(server.get(&target("/loki/api/v1/query_range", counted), None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn time_is_bounded() {
    let server = server(Config { timeout: Period(Duration::from_nanos(1)), ..Config::default() }, 20);
    let text = "request timed out, decrease the duration of the request or add more label matchers";
    for query in ["{app=\"a\"} |= \"v\"", "sum(count_over_time({app=\"a\"} |= \"v\" [1m]))"] {
        let params = format!("query={query} & start=0 & end=100 & step=10");
        assert_refused(&server, "/loki/api/v1/query_range", &params, StatusCode::GATEWAY_TIMEOUT, text).await;
    }
    let params = "query={app=\"a\"} & start=0 & end=100";
    assert_refused(&server, "/loki/api/v1/patterns", params, StatusCode::GATEWAY_TIMEOUT, text).await;
}

#[tokio::test]
async fn lengths_are_bounded() {
    let mut config = Config::default();
    config.loki.max_query_length = Period(Duration::from_secs(3600));
    let server = server(config, 1);
    let text = "the query time range exceeds the limit (query length: 1h1s, limit: 1h)";
    let params = "query={app=\"a\"} & start=0 & end=3601 & step=60";
    assert_refused(&server, "/loki/api/v1/query_range", params, StatusCode::BAD_REQUEST, text).await;
    assert_refused(&server, "/loki/api/v1/patterns", params, StatusCode::BAD_REQUEST, text).await;
    let within = "query={app=\"a\"} & start=0 & end=3600 & step=60";
    assert_eq!(server.get(&target("/loki/api/v1/query_range", within), None).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_beyond_those_that_run_and_wait_are_refused() {
    let server = server(Config { max_concurrent: 2, max_queued: 0, ..Config::default() }, 1);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let (begun, mut running) = tokio::sync::mpsc::channel(2);
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (state, released, begun) = (server.state.clone(), Arc::clone(&released), begun.clone());
        slow.spawn(async move {
            state
                .run(move |_, _| {
                    begun.blocking_send(()).unwrap();
                    released.lock().unwrap().recv().unwrap();
                    Ok(())
                })
                .await
        });
    }
    running.recv().await.unwrap();
    running.recv().await.unwrap();
    let params = "query={app=\"a\"} & start=0 & end=100";
    let text = "too many outstanding requests";
    assert_refused(&server, "/loki/api/v1/query_range", params, StatusCode::TOO_MANY_REQUESTS, text).await;
    release.send(()).unwrap();
    release.send(()).unwrap();
    while let Some(done) = slow.join_next().await {
        assert!(done.unwrap().is_ok());
    }
    assert_eq!(server.get(&target("/loki/api/v1/query_range", params), None).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_query() {
    let listening = Listening::new(Config { max_concurrent: 1, ..Config::default() }).await;
    load(&listening.server, 100_000);
    // More work than the test has patience for: every line is matched once for each of many operands.
    let heavy = vec!["sum(count_over_time({app=\"a\"} |~ \"[v=]+[0-9]+x\" [2d]))"; 200].join(" + ");
    let path = target("/loki/api/v1/query", &format!("query={heavy} & time=100000"));
    let mut client = TcpStream::connect(listening.address).await.unwrap();
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await.unwrap();
    let metric = |name, label| metric(&listening.server, name, label);
    until(|| metric("binnacle_queries_running", "") == 1.0).await;
    drop(client);
    until(|| metric("binnacle_queries_running", "") == 0.0).await;
    assert_eq!(metric("binnacle_queries_total", "cancelled"), 1.0);
    // The only seat is free again.
    let (status, body) = listening.server.get("/loki/api/v1/query?query=1&time=1", None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

/// The value of a metric that has this value of a label.
fn metric(server: &Server, name: &str, label: &str) -> f64 {
    let families = server.state.registry().gather();
    let series =
        families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
    let labelled =
        |m: &&prometheus::proto::Metric| label.is_empty() || m.get_label().iter().any(|l| l.value() == label);
    series.filter(labelled).map(|m| m.get_gauge().get_value() + m.get_counter().get_value()).sum()
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("nothing changes");
}
