//! The routes, called in process.

mod openapi;
mod queries;
mod tails;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, Method, Request, StatusCode};
use serde_json::Value;
use store::Level;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{AppState, router};
use crate::Config;
use crate::exec::tests::{Data, record};

pub(super) struct Server {
    pub(super) data: Data,
    pub(super) router: Router,
    pub(super) state: AppState,
    ready: watch::Sender<bool>,
}

pub(super) fn server(config: Config) -> Server {
    let lines = (0..30).map(|i| {
        let line = format!(r#"{{"msg":"order {i} paid","status":{}}}"#, 200 + i);
        let level = if i % 10 == 0 { Level::Error } else { Level::Info };
        record(
            ["cart", "pay"][i % 2],
            1_000 + i as i64,
            &line,
            level,
            &[("trace_id", &format!("t{}", i % 3))],
        )
    });
    let data = Data::of([lines.collect()]);
    let (ready, is_ready) = watch::channel(false);
    let state =
        AppState::new(data.reader(), config, prometheus::Registry::new(), is_ready, CancellationToken::new())
            .unwrap();
    Server { data, router: router(state.clone()), state, ready }
}

impl Server {
    pub(super) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(HeaderName, &str)],
    ) -> axum::response::Response {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(super) async fn text(&self, target: &str) -> (StatusCode, String) {
        let response = self.send(Method::GET, target, &[]).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn json(&self, target: &str) -> (StatusCode, Value) {
        let (status, text) = self.text(target).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{target}: {e}: {text}")))
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_are_told() {
    let server = server(Config::default());
    assert_eq!(server.text("/health").await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(server.json("/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    server.ready.send_replace(true);
    assert_eq!(server.text("/ready").await.0, StatusCode::OK);
    server.json("/api/v1/search?query=order").await;
    let (_, metrics) = server.text("/metrics").await;
    for expected in [
        "# HELP binnacle_queries_total ",
        "binnacle_queries_total{outcome=\"ok\"} 1",
        "binnacle_queries_running 0",
        "binnacle_api_requests_total{method=\"GET\",route=\"/ready\",status=\"503\"} 1",
    ] {
        assert!(metrics.contains(expected), "{expected} in {metrics}");
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_answered_as_json() {
    let server = server(Config::default());
    let (status, body) = server.json("/api/v1/nothing").await;
    assert_eq!((status, body["error"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    let response = server.send(Method::DELETE, "/api/v1/search", &[]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"], "method_not_allowed");
}

#[tokio::test]
async fn containers_labels_and_stats_are_listed() {
    let server = server(Config::default());
    assert_eq!(server.json("/api/v1/containers").await.1, serde_json::json!({ "containers": [] }));
    let (_, labels) = server.json("/api/v1/labels").await;
    assert_eq!(labels["streams"], 2);
    assert_eq!(
        labels["labels"][0],
        serde_json::json!({ "name": "service_name", "values": ["cart", "pay"], "values_omitted": 0 })
    );
    let (_, stats) = server.json("/api/v1/stats").await;
    assert_eq!((stats["records"].as_u64(), stats["levels"]["error"].as_u64()), (Some(30), Some(3)));
    let (_, none) = server.json("/api/v1/labels?start=now").await;
    assert_eq!(none["streams"], 0);
}
