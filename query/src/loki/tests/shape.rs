//! Rules that every query result keeps, whatever the query: Grafana's streaming reader and logcli rely on them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::Value;
use store::{Labels, Level};

use super::{Server, record, target, text};
use crate::Config;

/// Checks one successful query result.
fn check_shape(body: &str, categorize: bool) {
    assert!(body.ends_with('\n'), "{body}");
    let result_at = body.find("\"result\":").unwrap();
    assert!(body.find("\"resultType\":").unwrap() < result_at, "{body}");
    assert_eq!(body.find("\"encodingFlags\":").is_some_and(|at| at < result_at), categorize, "{body}");
    let value: Value = serde_json::from_str(body).unwrap();
    assert_eq!(value["status"], "success");
    let data = &value["data"];
    check_stats(&data["stats"]);
    if data["resultType"] == "scalar" {
        return check_point(&data["result"]);
    }
    let results = data["result"].as_array().expect("`result` is an array, never null");
    for item in results {
        match data["resultType"].as_str().unwrap() {
            "streams" => {
                check_labels(&item["stream"]);
                for line in item["values"].as_array().unwrap() {
                    check_line(line.as_array().unwrap(), categorize);
                }
            }
            "matrix" => {
                check_labels(&item["metric"]);
                item["values"].as_array().unwrap().iter().for_each(check_point);
            }
            "vector" => {
                check_labels(&item["metric"]);
                check_point(&item["value"]);
            }
            other => panic!("unknown result type {other}"),
        }
    }
}

fn check_labels(labels: &Value) {
    assert!(labels.as_object().unwrap().values().all(Value::is_string), "{labels}");
}

fn check_line(line: &[Value], categorize: bool) {
    assert_eq!(line.len(), if categorize { 3 } else { 2 });
    assert!(line[0].as_str().unwrap().parse::<i64>().is_ok() && line[1].is_string());
    for (key, labels) in line.get(2).and_then(Value::as_object).into_iter().flatten() {
        assert!(["structuredMetadata", "parsed"].contains(&key.as_str()), "{key}");
        check_labels(labels);
    }
}

fn check_point(point: &Value) {
    let point = point.as_array().unwrap();
    assert!(point.len() == 2 && point[0].is_number(), "{point:?}");
    let value = point[1].as_str().unwrap();
    assert!(["NaN", "+Inf", "-Inf"].contains(&value) || !value.contains(['e', 'i', 'n']), "{value}");
}

/// logcli refuses a whole number that is written with a fraction.
fn check_stats(stats: &Value) {
    for (name, value) in stats["summary"].as_object().unwrap() {
        assert!(value.is_u64() || ["execTime", "queueTime"].contains(&name.as_str()), "{name}: {value}");
    }
}

fn server() -> Server {
    let server = Server::new(Config::default());
    let labels = Arc::new(Labels::new([("app", "a")]));
    let lines =
        ["{\"v\":1.5,\"q\":\"x\\\"y\"}", "v=2 q=\"\u{1f600}\"", "not \u{0} text", "", "v=NaN", "v=Inf"];
    let records = lines
        .iter()
        .zip(1..)
        .map(|(line, i)| record(&labels, i * 1_000_000_000, line, Vec::new(), Level::Info));
    server.load(records.collect());
    server
}

#[tokio::test]
async fn every_result_keeps_the_rules() {
    let server = server();
    let queries = [
        "{app=\"a\"}",
        "{app=\"a\"} | json",
        "{app=\"a\"} | logfmt | line_format `{{.v}}`",
        "{app=\"none\"}",
        "rate({app=\"a\"}[5s])",
        "sum(max_over_time({app=\"a\"} | logfmt | unwrap v [5s])) by (app)",
        "vector(1) / 0",
        "1",
        "topk(1, count_over_time({app=\"a\"} | logfmt [10s]))",
    ];
    for query in queries {
        for flag in [None, Some(("x-loki-response-encoding-flags", "categorize-labels"))] {
            let path = target(
                "/loki/api/v1/query_range",
                &format!("query={query} & start=0 & end=20 & step=1500ms"),
            );
            let (status, body) = server.get(&path, flag).await;
            assert_eq!(status, StatusCode::OK, "{query}: {body}");
            check_shape(&body, flag.is_some());
            let (status, body) =
                server.get(&target("/loki/api/v1/query", &format!("query={query} & time=10")), flag).await;
            match query.starts_with('{') {
                true => assert_eq!(status, StatusCode::BAD_REQUEST),
                false => check_shape(&body, flag.is_some()),
            }
        }
    }
}

#[tokio::test]
async fn errors_are_plain_text() {
    let server = server();
    let request = Request::get("/loki/api/v1/query?query=sum(").body(Body::empty()).unwrap();
    let response = server.send(request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let (_, body) = text(response).await;
    assert!(body.starts_with("parse error at line 1, col 5"), "{body}");
}

#[tokio::test]
async fn forms_are_read_like_query_strings() {
    let server = server();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/loki/api/v1/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("query=vector%281%29&time=7"))
        .unwrap();
    let (status, body) = text(server.send(request).await).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("[7,\"1\"]"), "{body}");
}

#[tokio::test]
async fn answers_are_compressed_on_demand() {
    let server = server();
    let request = Request::get(target("/loki/api/v1/query_range", "query={app=\"a\"} & start=0 & end=20"))
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.send(request).await.headers()[header::CONTENT_ENCODING], "gzip");
}

#[tokio::test]
async fn too_many_series_are_refused_or_cut() {
    let mut config = Config::default();
    config.loki.max_series = 2;
    let server = Server::new(config);
    let labels = Arc::new(Labels::new([("app", "a")]));
    let records =
        (1..=3).map(|i| record(&labels, i * 1_000_000_000, &format!("v={i}"), Vec::new(), Level::Unset));
    server.load(records.collect());
    let path = target("/loki/api/v1/query", "query=count_over_time({app=\"a\"} | logfmt [1m]) & time=10");
    let (status, body) = server.get(&path, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("maximum number of series (2) reached for a single query"), "{body}");
    let (status, body) = server.get(&path, Some(("x-query-tags", "Source=grafana-lokiexplore-app"))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["data"]["result"].as_array().unwrap().len(), 2);
    assert_eq!(value["warnings"].as_array().unwrap().len(), 1);
}
