use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::server;
use crate::Config;
use crate::exec::ExecError;

fn lines(answer: &Value) -> Vec<String> {
    answer["records"].as_array().unwrap().iter().map(|r| r["line"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_search_answers_records_and_how_complete_they_are() {
    let server = server(Config::default());
    let (status, answer) = server.json("/api/v1/search?query=level:error%20service:cart&limit=2").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["records"].as_array().unwrap().len(), 2);
    assert_eq!(
        answer["records"][0],
        json!({
            "timestamp": "1970-01-01T00:00:00.000001020Z",
            "line": "{\"msg\":\"order 20 paid\",\"status\":220}",
            "labels": { "service_name": "cart", "stream": "stdout" },
            "metadata": { "level": "error", "trace_id": "t2" },
        })
    );
    assert_eq!(answer["completeness"]["cut_by_limit"], true);
    assert!(answer["cursor"].is_string());
    assert!(answer["stats"]["lines_decoded"].as_u64() >= Some(2));
}

#[tokio::test]
async fn pages_by_cursor_give_every_record_once() {
    let server = server(Config::default());
    let mut given = Vec::new();
    let mut target = "/api/v1/search?query=paid&limit=7".to_owned();
    loop {
        let (status, answer) = server.json(&target).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        given.extend(lines(&answer));
        let Some(cursor) = answer["cursor"].as_str() else { break };
        target = format!("/api/v1/search?query=paid&limit=7&cursor={cursor}");
    }
    let (_, all) = server.json("/api/v1/search?query=paid&limit=100").await;
    assert_eq!(given, lines(&all));
    assert_eq!(given.len(), 30);
    assert_eq!(all["completeness"]["complete"], true);
}

#[tokio::test]
async fn counts_come_with_or_without_records() {
    let server = server(Config::default());
    let (_, answer) = server.json("/api/v1/search?query=paid&limit=0&count_by=level").await;
    assert_eq!(answer["records"], json!([]));
    assert_eq!(answer["counts"]["total"], 30);
    assert_eq!(answer["counts"]["series"][0], json!({ "value": "info", "total": 27, "counts": [27] }));
    let (_, answer) = server.json("/api/v1/search?limit=1&step=1s&start=0&end=2.0").await;
    assert_eq!(
        (answer["counts"]["start"].as_str(), lines(&answer).len()),
        (Some("1970-01-01T00:00:00.000000000Z"), 1)
    );
    assert_eq!(answer["counts"]["series"][0]["counts"], json!([30, 0]));
}

#[tokio::test]
async fn a_stream_has_every_hit_and_ends_with_a_summary() {
    let server = server(Config { max_limit: 1, ..Config::default() });
    let ndjson = [(header::ACCEPT, "application/x-ndjson")];
    let response =
        server.send(Method::GET, "/api/v1/search?query=paid&limit=0&direction=forward", &ndjson).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let rows: Vec<Value> = body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(rows.len(), 31);
    assert_eq!(rows[0]["timestamp"], "1970-01-01T00:00:00.000001000Z");
    assert_eq!(
        (rows[30]["summary"]["records"].as_u64(), &rows[30]["summary"]["cursor"]),
        (Some(30), &Value::Null)
    );
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = server(Config::default());
    for (target, kind, part) in [
        ("/api/v1/search?query=a%20AND", "bad_query", "a term is missing"),
        ("/api/v1/search?query=srvice:pay", "unknown_field", "`service`"),
        ("/api/v1/search?start=yesterday", "bad_time", "`yesterday`"),
        ("/api/v1/search?since=5y", "bad_time", "`since`"),
        ("/api/v1/search?start=now&end=now-1h", "bad_time", "empty"),
        ("/api/v1/search?start=1&since=1h", "bad_parameter", "not both"),
        ("/api/v1/search?sinec=1h", "bad_parameter", "sinec"),
        ("/api/v1/search?limit=x", "bad_parameter", "limit"),
        ("/api/v1/search?limit=5001", "bad_parameter", "query.max_limit"),
        ("/api/v1/search?limit=0", "bad_parameter", "x-ndjson"),
        ("/api/v1/search?direction=up", "bad_parameter", "`up`"),
        ("/api/v1/search?step=0", "bad_parameter", "step"),
        ("/api/v1/search?step=1ms&start=0&end=3600", "too_big", "query.max_series_points"),
        ("/api/v1/search?cursor=x", "bad_cursor", "cursor"),
        ("/api/v1/traces/%20", "bad_parameter", "empty"),
        ("/api/v1/tail?query=(", "bad_query", "never closed"),
    ] {
        let (status, body) = server.json(target).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some(kind)),
            "{target}: {body}"
        );
        assert!(body["message"].as_str().unwrap().contains(part), "{target}: {body}");
    }
    let (_, body) = server.json("/api/v1/search?query=a%20AND").await;
    assert_eq!((body["position"].as_u64(), body["pointer"].as_str()), (Some(5), Some("a AND\n     ^")));
}

#[tokio::test]
async fn a_trace_has_offsets_and_services() {
    let server = server(Config::default());
    let (status, trace) = server.json("/api/v1/traces/t2?limit=3").await;
    assert_eq!(status, StatusCode::OK, "{trace}");
    assert_eq!(trace["services"], json!(["cart", "pay"]));
    let offsets: Vec<u64> =
        trace["records"].as_array().unwrap().iter().map(|r| r["offset_ns"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [0, 3, 6]);
    let cursor = trace["cursor"].as_str().unwrap();
    let (_, next) = server.json(&format!("/api/v1/traces/t2?limit=100&cursor={cursor}")).await;
    assert_eq!(next["records"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn answers_are_compressed_when_asked() {
    let server = server(Config::default());
    let response = server.send(Method::GET, "/api/v1/search", &[(header::ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(body.starts_with(&[0x1f, 0x8b]));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_query_and_frees_its_place() {
    let server = server(Config { max_concurrent: 1, max_queued: 0, ..Config::default() });
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    let state = server.state.clone();
    let mut query = Box::pin(async move {
        state
            .run(move |_, context| {
                started.send(()).unwrap();
                let error = loop {
                    if let Err(error) = context.check() {
                        break error;
                    }
                    std::thread::yield_now();
                };
                ended.send(matches!(error, ExecError::Cancelled)).unwrap();
                Err::<(), _>(error)
            })
            .await
    });
    assert!(futures_util::poll!(&mut query).is_pending());
    has_started.await.unwrap();
    assert_eq!(server.json("/api/v1/search").await.1["error"], "busy");
    drop(query);
    assert!(has_ended.await.unwrap());
}

#[tokio::test]
async fn a_trace_has_its_waterfall_on_the_first_page() {
    let server = server(Config::default());
    let (_, first) = server.json("/api/v1/traces/t1?limit=2").await;
    let shown = &first["waterfall"];
    assert_eq!(shown["trace_id"], correlation::trace_id("t1").to_string());
    assert_eq!(shown["spans"].as_array().unwrap().len(), 2, "a visit of each service: {shown}");
    let cursor = first["cursor"].as_str().unwrap();
    let (_, second) = server.json(&format!("/api/v1/traces/t1?limit=2&cursor={cursor}")).await;
    assert!(second["waterfall"].is_null());
    // A word of the lines is no id of a trace.
    let (_, word) = server.json("/api/v1/traces/paid").await;
    assert!(word["waterfall"].is_null() && !word["records"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_trace_is_told_as_otlp_or_not_found() {
    let server = server(Config::default());
    let (status, document) = server.json("/api/v1/traces/t1?format=otlp").await;
    assert_eq!((status, document["resourceSpans"].as_array().unwrap().len()), (StatusCode::OK, 2));
    let (status, error) = server.json("/api/v1/traces/t7?format=otlp").await;
    assert_eq!((status, &error["error"]), (StatusCode::NOT_FOUND, &"unknown_trace".into()));
    assert_eq!(server.json("/api/v1/traces/t1?format=jaeger").await.0, StatusCode::BAD_REQUEST);
}
