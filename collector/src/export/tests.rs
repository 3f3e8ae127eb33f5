//! The exporter against a receiver that refuses, stalls and complains.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use correlation::{Kind, Resource, SpanId, Status, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prometheus::Registry;
use prost::Message;

use super::*;

/// Names of the spans of each request.
type Requests = Arc<Mutex<Vec<Vec<String>>>>;

/// A receiver whose answer depends on the names of the spans.
async fn receiver(answer: fn(&[String]) -> (StatusCode, ExportTraceServiceResponse)) -> (String, Requests) {
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    let take = move |body: Bytes| {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let names: Vec<String> = scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect();
        let (status, response) = answer(&names);
        seen.lock().unwrap().push(names);
        async move { (status, response.encode_to_vec()) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/traces", post(take));
    drop(tokio_util::task::TaskTracker::new().spawn(async { axum::serve(listener, routes).await }));
    (url, requests)
}

fn exporter(url: &str) -> Exporter {
    let config = ExportConfig {
        endpoint: Some(url.to_owned()),
        compression: Compression::None,
        ..ExportConfig::default()
    };
    Exporter::new(&config, ExportMetrics::new(&Registry::new()).unwrap()).unwrap()
}

fn spans(names: &[&str]) -> Vec<Span> {
    let resource = Arc::new(Resource { service: "web".into(), attributes: Vec::new() });
    let span = |(i, name): (usize, &&str)| Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([u8::try_from(i).unwrap() + 1; 8]),
        parent_id: None,
        name: (*name).to_owned(),
        kind: Kind::Internal,
        start_ns: 1,
        end_ns: 2,
        status: Status::Unset,
        resource: Arc::clone(&resource),
        attributes: Vec::new(),
        events: Vec::new(),
    };
    names.iter().enumerate().map(span).collect()
}

#[tokio::test]
async fn a_span_that_is_refused_is_found_dropped_and_counted_and_the_others_arrive() {
    let (url, requests) = receiver(|names| {
        let is_bad = names.iter().any(|name| name == "bad");
        let status = if is_bad { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        (status, ExportTraceServiceResponse::default())
    })
    .await;
    let mut exporter = exporter(&url);
    let all = spans(&["a", "b", "c", "bad", "d", "e", "f"]);
    let mut done = 0;
    while done < all.len() {
        if let Attempt::Done(count) = exporter.send(&all[done..]).await {
            done += count;
        }
    }
    assert_eq!((exporter.metrics.sent_spans(), exporter.metrics.refused_spans()), (6, 1));
    let taken: Vec<String> = requests
        .lock()
        .unwrap()
        .iter()
        .filter(|names| !names.iter().any(|name| name == "bad"))
        .flatten()
        .cloned()
        .collect();
    assert_eq!(taken, ["a", "b", "c", "d", "e", "f"], "each once");
}

#[tokio::test]
async fn spans_that_the_receiver_did_not_keep_are_counted_and_not_sent_again() {
    let (url, requests) = receiver(|_| {
        let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() };
        (StatusCode::OK, ExportTraceServiceResponse { partial_success: Some(partial) })
    })
    .await;
    let mut exporter = exporter(&url);
    assert_eq!(exporter.send(&spans(&["a", "b", "c"])).await, Attempt::Done(3));
    assert_eq!((exporter.metrics.sent_spans(), exporter.metrics.refused_spans()), (1, 2));
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_token_loses_nothing_and_pauses_grow() {
    let (url, _requests) =
        receiver(|_| (StatusCode::UNAUTHORIZED, ExportTraceServiceResponse::default())).await;
    let mut exporter = exporter(&url);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let Attempt::Again(pause) = exporter.send(&spans(&["a"])).await else { panic!("taken") };
        pauses.push(pause);
    }
    assert!(pauses[0] < pauses[2] && pauses[5] >= PAUSE.1, "{pauses:?}");
    assert_eq!(exporter.metrics.refused_spans(), 0);
}
