//! The rules of [`shape`](super::shape) hold for odd queries and lines, and wrong documents break them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use store::{Labels, Level};

use super::shape::{Answer, Asked, check, check_frame};
use super::{CATEGORIZED, Server, record, target};
use crate::Config;

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
        "sort_desc(sum by (q) (count_over_time({app=\"a\"} | logfmt [10s])))",
        "vector(1) / 0",
        "1",
        "topk(1, count_over_time({app=\"a\"} | logfmt [10s]))",
    ];
    for query in queries {
        for flag in [None, Some(CATEGORIZED)] {
            let range = format!("query={query} & start=0 & end=20 & step=1500ms");
            let (status, body) = server.get(&target("/loki/api/v1/query_range", &range), flag).await;
            assert_eq!(status, StatusCode::OK, "{query}: {body}");
            let instant = target("/loki/api/v1/query", &format!("query={query} & time=10"));
            let (status, _) = server.get(&instant, flag).await;
            assert_eq!(status == StatusCode::BAD_REQUEST, query.starts_with('{'), "{query}");
        }
    }
}

#[test]
fn documents_that_break_a_rule_are_found() {
    let result = |data: &str| format!("{{\"status\":\"success\",\"data\":{data}}}");
    let streams = |values: &str| {
        result(&format!(
            "{{\"resultType\":\"streams\",\"result\":[{{\"stream\":{{\"a\":\"b\"}},\"values\":[{values}]}}]}}"
        ))
    };
    let series = |series: &str| result(&format!("{{\"resultType\":\"vector\",\"result\":[{series}]}}"));
    let query = "/loki/api/v1/query_range";
    let wrong = [
        (query, "not JSON".to_owned(), "no object"),
        (query, result("{\"result\":[],\"resultType\":\"streams\"}"), "comes after"),
        (query, result("{\"resultType\":\"streams\",\"result\":null}"), "no list"),
        (
            query,
            result("{\"resultType\":\"streams\",\"resultType\":\"streams\",\"result\":[]}"),
            "stands twice",
        ),
        (
            query,
            result("{\"resultType\":\"streams\",\"encodingFlags\":[\"categorize-labels\"],\"result\":[]}"),
            "nobody asked",
        ),
        (query, streams(r#"["1","x",{}]"#), "3 parts"),
        (query, streams(r#"[1,"x"]"#), "no string"),
        (query, streams(r#"["1.5","x"]"#), "nanoseconds"),
        (query, streams(r#"["1","x"],["2","x"]"#), "order asked for"),
        (query, streams(""), "without lines"),
        (query, streams(r#"["1","x"]"#).replace("\"b\"", "1"), "no string"),
        (query, series(r#"{"metric":{},"value":["1","1"]}"#), "seconds"),
        (query, series(r#"{"metric":{},"value":[1.2345,"1"]}"#), "milliseconds"),
        (query, series(r#"{"metric":{},"value":[1,1]}"#), "no string"),
        (query, series(r#"{"metric":{},"value":[1,"1e9"]}"#), "the value `1e9`"),
        (query, series(r#"{"metric":{},"value":[1,"inf"]}"#), "the value `inf`"),
        (query, series(r#"{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]}"#), "comes twice"),
        (
            query,
            series(r#"{"metric":{"b":"1"},"value":[1,"1"]},{"metric":{"a":"1"},"value":[1,"1"]}"#),
            "order of their labels",
        ),
        (
            query,
            result(r#"{"resultType":"matrix","result":[{"metric":{},"values":[[2,"1"],[1,"1"]]}]}"#),
            "order of time",
        ),
        (
            query,
            result(r#"{"resultType":"matrix","result":[],"stats":{"summary":{"subqueries":0.5}}}"#),
            "no whole number",
        ),
        ("/loki/api/v1/labels", r#"{"status":"success","data":[]}"#.to_owned(), "left away"),
        ("/loki/api/v1/label/a/values", r#"{"status":"success","data":["b","a"]}"#.to_owned(), "not sorted"),
        ("/loki/api/v1/series", r#"{"status":"success","data":null}"#.to_owned(), "no list"),
        (
            "/loki/api/v1/index/stats",
            r#"{"streams":1,"chunks":1,"bytes":1.0,"entries":1}"#.to_owned(),
            "whole number",
        ),
        (
            "/loki/api/v1/detected_labels",
            r#"{"detectedLabels":[{"label":"a","cardinality":0}]}"#.to_owned(),
            "without values",
        ),
        (
            "/loki/api/v1/detected_fields",
            r#"{"fields":[{"label":"a","type":"int","cardinality":1,"parsers":[]}],"limit":1}"#.to_owned(),
            "told by `null`",
        ),
        (
            "/loki/api/v1/detected_fields",
            r#"{"fields":[{"label":"a","type":"number","cardinality":1,"parsers":null}],"limit":1}"#
                .to_owned(),
            "of type",
        ),
        ("/loki/api/v1/detected_field/a/values", r#"{"values":[1],"limit":1}"#.to_owned(), "no string"),
        (
            "/loki/api/v1/patterns",
            r#"{"status":"success","data":[{"pattern":"x","samples":[[2,1],[1,1]]}]}"#.to_owned(),
            "samples at",
        ),
        ("/loki/api/v1/drilldown-limits", r#"{"limits":{},"version":"3"}"#.to_owned(), "is missing"),
        ("/loki/api/v1/unheard", "{}".to_owned(), "no rules"),
    ];
    let json = |body: &str| Answer {
        status: StatusCode::OK,
        content_type: "application/json; charset=UTF-8".to_owned(),
        nosniff: false,
        body: format!("{body}\n"),
    };
    for (path, body, reason) in wrong {
        let error = check(&Asked::new(path, false), &json(&body)).expect_err(&body);
        assert!(error.contains(reason), "{body}: {error}");
    }
    let good = json(&streams(r#"["2","x"],["1","x"]"#));
    assert_eq!(check(&Asked::new(query, false), &good), Ok(()));
    let error = check(&Asked::new(query, true), &good).unwrap_err();
    assert!(error.contains("no `encodingFlags`"), "{error}");
    for answer in [
        Answer { content_type: "text/plain".to_owned(), ..good.clone() },
        Answer { body: good.body.trim().to_owned(), ..good.clone() },
        Answer { status: StatusCode::BAD_REQUEST, ..good },
    ] {
        assert!(check(&Asked::new(query, false), &answer).is_err(), "{answer:?}");
    }
    for (frame, categorize) in [
        (r#"{"streams":null}"#, false),
        (r#"{"streams":[]}"#, true),
        (r#"{"streams":[{"stream":{},"values":[["2","b"],["1","a"]]}]}"#, false),
        (r#"{"streams":[],"dropped_entries":[{"labels":{},"timestamp":1}]}"#, false),
    ] {
        assert!(check_frame(frame, categorize).is_err(), "{frame}");
    }
}

#[tokio::test]
async fn errors_are_plain_text() {
    let (status, body) = server().get("/loki/api/v1/query?query=sum(", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.starts_with("parse error at line 1, col 5"), "{body}");
}

#[tokio::test]
async fn forms_are_read_like_query_strings() {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/loki/api/v1/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("query=vector%281%29&time=7"))
        .unwrap();
    let (status, body) = server().ask(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("[7,\"1\"]"), "{body}");
}

#[tokio::test]
async fn answers_are_compressed_on_demand() {
    let request = Request::get(target("/loki/api/v1/query_range", "query={app=\"a\"} & start=0 & end=20"))
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    assert_eq!(server().send(request).await.headers()[header::CONTENT_ENCODING], "gzip");
}
