//! The collector's own small port: `/health`, `/ready` and `/metrics`, for a process that answers no queries.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;

use crate::exposition::Exposition;

#[derive(Clone)]
struct Admin {
    exposition: Exposition,
    ready: watch::Receiver<bool>,
}

/// The routes. `/ready` answers 503 until `ready` is true.
pub fn router(exposition: Exposition, ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(is_ready))
        .route("/metrics", get(metrics))
        .with_state(Admin { exposition, ready })
}

async fn is_ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if *admin.ready.borrow() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the containers have not been listed yet\n")
    }
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (content_type, body) = admin.exposition.render(accept);
    ([(header::CONTENT_TYPE, content_type)], body)
}
