//! Services on loopback calling each other for real; only their databases are missing here (`./test lab` has them).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::args::{Node, Role};
use crate::context::{CORRELATION_ID, TRACEPARENT};
use crate::frame::{self, Frame};
use crate::log::{Format, Logger};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A service whose calls to all others go to `upstream`.
fn service(role: Role, upstream: SocketAddr) -> (Arc<Frame>, Router) {
    let name = role.name();
    let node = Node { upstream: format!("http://{upstream}"), seed: Some(1) };
    let logger = Logger::new(name, Format::of(name));
    let frame =
        Arc::new(Frame::new(name, logger, &node, CancellationToken::new(), TaskTracker::new()).unwrap());
    let routes = super::routes(role, &frame).unwrap();
    let app = frame::app(&frame, routes);
    (frame, app)
}

/// Serves until the runtime of the test ends.
async fn serve(app: Router, tasks: &TaskTracker) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(frame::serve(listener, app, CancellationToken::new()));
    address
}

async fn ask(app: &Router, method: &str, path: &str, body: Value) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header(TRACEPARENT, format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .header(CORRELATION_ID, "c-1")
        .body(Body::from(if body.is_null() { String::new() } else { body.to_string() }))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// Stands for all services behind the checkout, and tells the headers that each call came with.
fn everybody(seen: mpsc::Sender<(String, HeaderMap)>) -> Router {
    async fn tell(
        State(seen): State<mpsc::Sender<(String, HeaderMap)>>,
        request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> axum::response::Response {
        let call = format!("{} {}", request.method(), request.uri().path());
        seen.send((call, request.headers().clone())).await.unwrap();
        next.run(request).await
    }
    Router::new()
        .route(
            "/carts/7",
            get(|| async { Json(json!([{"sku": 1003, "quantity": 2}])) }).delete(|| async { Json(()) }),
        )
        .route("/products/1003", get(|| async { Json(json!({"sku": 1003, "name": "rope", "cents": 250})) }))
        .route("/charges", post(|Json(charge): Json<Value>| async { Json(charge) }))
        .route("/orders", post(|Json(order): Json<Value>| async { Json(order) }))
        .layer(axum::middleware::from_fn_with_state(seen, tell))
}

#[tokio::test]
async fn a_checkout_passes_its_ids_on_to_everyone_it_calls() {
    let tasks = TaskTracker::new();
    let (seen, mut calls) = mpsc::channel(16);
    let upstream = serve(everybody(seen), &tasks).await;
    let (_frame, checkout) = service(Role::Checkout, upstream);

    let (status, headers, body) = ask(&checkout, "POST", "/checkouts", json!({"customer": 7})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(headers[CORRELATION_ID], "c-1");
    let order: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&order["cents"], &order["customer"]), (&json!(500), &json!(7)));

    for expected in ["GET /carts/7", "GET /products/1003", "POST /charges", "POST /orders", "DELETE /carts/7"]
    {
        let (call, headers) = calls.recv().await.unwrap();
        assert_eq!(call, expected);
        assert_eq!(headers[CORRELATION_ID], "c-1");
        let traceparent = headers[TRACEPARENT].to_str().unwrap();
        assert!(traceparent.starts_with(&format!("00-{TRACE}-")), "{traceparent}");
        assert!(
            !traceparent.contains("00f067aa0ba902b7"),
            "the caller's own span must be named: {traceparent}"
        );
    }
}

#[tokio::test]
async fn the_gateway_says_what_the_catalog_says() {
    let tasks = TaskTracker::new();
    let (_catalog, app) = service(Role::Catalog, nowhere());
    let (_gateway, gateway) = service(Role::Gateway, serve(app, &tasks).await);
    let (status, _, body) = ask(&gateway, "GET", "/products", Value::Null).await;
    assert_eq!((status, serde_json::from_str::<Vec<Value>>(&body).unwrap().len()), (StatusCode::OK, 60));
    let (status, _, body) = ask(&gateway, "GET", "/products/1060", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    let (status, ..) = ask(&gateway, "GET", "/orders/..%2F..%2Ffault", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_upstream_that_is_down_opens_the_circuit() {
    let (gateway, app) = service(Role::Gateway, nowhere());
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask(&app, "GET", "/products", Value::Null).await.0.as_u16());
    }
    // Three tries a request: the fifth failure falls into the second request.
    assert_eq!(statuses, [502, 503, 503]);
    let page = String::from_utf8(gateway.metrics.exposition().unwrap()).unwrap();
    for series in [
        "shop_circuit_open{upstream=\"catalog\",service=\"gateway\"} 1",
        "shop_calls_total{outcome=\"failed\",upstream=\"catalog\",service=\"gateway\"} 5",
        "http_requests_total{code=\"503\",method=\"GET\",route=\"/products\",service=\"gateway\"} 2",
    ] {
        assert!(page.contains(series), "{series}\n{page}");
    }
}

#[tokio::test]
async fn faults_break_the_service_but_not_its_health() {
    let (_frame, app) = service(Role::Catalog, nowhere());
    let (status, _, body) = ask(&app, "POST", "/fault", json!({"error_rate": 1.0})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(ask(&app, "GET", "/products", Value::Null).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(ask(&app, "GET", path, Value::Null).await.0, StatusCode::OK, "{path}");
    }
    assert_eq!(ask(&app, "DELETE", "/fault", Value::Null).await.0, StatusCode::OK);
    assert_eq!(ask(&app, "GET", "/products", Value::Null).await.0, StatusCode::OK);
}

#[tokio::test]
async fn faults_out_of_bounds_are_refused() {
    let (_frame, app) = service(Role::Catalog, nowhere());
    for change in [json!({"error_rate": 2}), json!({"latency_ms": 600_000}), json!({"latency": 1})] {
        let (status, ..) = ask(&app, "POST", "/fault", change.clone()).await;
        assert!(status.is_client_error(), "{change}: {status}");
    }
}

#[tokio::test]
async fn a_stopping_service_is_not_ready_and_ends_what_it_works_on() {
    let tasks = TaskTracker::new();
    let (frame, app) = service(Role::Catalog, nowhere());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tasks.spawn(frame::serve(listener, app.clone(), frame.stop.clone()));
    assert_eq!(ask(&app, "POST", "/fault", json!({"latency_ms": 300})).await.0, StatusCode::OK);

    let (_gateway, gateway) = service(Role::Gateway, address);
    let asking = tasks.spawn(async move { ask(&gateway, "GET", "/products", Value::Null).await.0 });
    tokio::time::sleep(Duration::from_millis(100)).await;
    frame.stop.cancel();
    assert_eq!(ask(&app, "GET", "/ready", Value::Null).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asking.await.unwrap(), StatusCode::OK);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn work_is_done_and_counted_though_the_caller_hangs_up() {
    let (frame, app) = service(Role::Catalog, nowhere());
    assert_eq!(ask(&app, "POST", "/fault", json!({"latency_ms": 100})).await.0, StatusCode::OK);
    let asking = ask(&app, "GET", "/products", Value::Null);
    assert!(tokio::time::timeout(Duration::from_millis(10), asking).await.is_err());
    // The leak's task ends with the service; then only the work is left to wait for.
    frame.stop.cancel();
    frame.tasks.close();
    frame.tasks.wait().await;
    assert_eq!(frame.metrics.requests.with_label_values(&["GET", "/products", "200"]).get(), 1);
}

#[tokio::test]
async fn payments_fail_as_the_bank_does() {
    let role = Role::Payment { declined: 1.0, silent: 0.0, slow: 0.0 };
    let (frame, app) = service(role, nowhere());
    let charge = json!({"order": "o-1", "customer": 7, "cents": 100});
    assert_eq!(ask(&app, "POST", "/charges", charge).await.0, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(frame.metrics.payments.with_label_values(&["declined"]).get(), 1);
}

#[tokio::test]
async fn the_pager_takes_what_alertmanager_posts() {
    let (frame, app) = service(Role::Pager, nowhere());
    // As Alertmanager 0.28 writes it, with fields that are not read here.
    let notification = json!({
        "version": "4", "groupKey": "{}:{alertname=\"CircuitOpen\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "pager", "groupLabels": {"alertname": "CircuitOpen"}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
        "alerts": [
            {"status": "firing", "labels": {"alertname": "CircuitOpen", "severity": "warning", "service": "checkout"},
             "annotations": {"summary": "checkout has stopped calling payment"}, "startsAt": "2026-11-21T11:17:15.967Z",
             "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "a1"},
            {"status": "resolved", "labels": {"alertname": "CircuitOpen"}, "annotations": {}},
        ],
    });
    let (status, _, _) = ask(&app, "POST", "/alerts", notification).await;
    assert_eq!(status, StatusCode::OK);
    let page = String::from_utf8(frame.metrics.exposition().unwrap()).unwrap();
    for status in ["firing", "resolved"] {
        let series =
            format!("shop_pages_total{{alert=\"CircuitOpen\",status=\"{status}\",service=\"pager\"}} 1");
        assert!(page.contains(&series), "{page}");
    }
    let (status, _, _) = ask(&app, "POST", "/alerts", json!({"alerts": "none"})).await;
    assert!(status.is_client_error(), "{status}");
}
