//! The native HTTP API: `/health`, `/ready`, `/metrics` and `/api/v1/*`. docs/http-api.md is the user's page.
//!
//! Handlers only translate: parameters in, answers out. Work on data runs off the async runtime, behind the
//! gate, and ends when the client leaves.

mod error;
mod explain;
mod listing;
mod metrics;
mod observe;
mod openapi;
mod params;
mod runtime;
mod search;
mod state;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod trace;
mod why;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{Html, IntoResponse};
use axum::routing::{MethodRouter, get};
use tower_http::compression::CompressionLayer;

pub use error::ApiError;
pub use metrics::Metrics;
pub use runtime::{answer_on, runtime};
pub(crate) use search::NDJSON;
pub use state::{AppState, MetricsBody};
pub(crate) use trace::UNKNOWN_TRACE;

/// Every route and what answers it.
fn routes() -> Vec<(&'static str, MethodRouter<AppState>)> {
    vec![
        ("/", get(web_page)),
        ("/health", get(|| async { "ok\n" })),
        ("/ready", get(ready)),
        ("/metrics", get(metrics_text)),
        ("/api/v1/search", get(search::search)),
        ("/api/v1/export", get(search::export)),
        ("/api/v1/explain", get(explain::of_query)),
        ("/api/v1/tail", get(tail::tail)),
        ("/api/v1/traces/{id}", get(trace::trace)),
        ("/api/v1/why", get(why::of_all)),
        ("/api/v1/why/{container}", get(why::of_one)),
        ("/api/v1/containers", get(listing::containers)),
        ("/api/v1/labels", get(listing::labels)),
        ("/api/v1/stats", get(listing::stats)),
        ("/api/v1/openapi.json", get(openapi::document)),
    ]
}

/// The routes of this crate's native API, to be merged with others. It owns the answer to unknown paths.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for (path, handler) in routes() {
        router = router.route(path, handler.fallback(wrong_method));
    }
    for (path, handler) in crate::loki::routes().into_iter().chain(crate::jaeger::routes()) {
        router = router.route(path, handler);
    }
    router
        .fallback(unknown_path)
        .layer(CompressionLayer::new().gzip(true))
        .layer(middleware::from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

async fn web_page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

async fn ready(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    if state.is_ready() {
        return Ok("ready\n");
    }
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "not ready: the store is being opened, or the containers have not been listed yet",
    ))
}

async fn metrics_text(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (content_type, body) = state
        .metrics_body(accept)
        .map_err(|e| ApiError::internal(format!("cannot write the metrics: {e}")))?;
    Ok(([(header::CONTENT_TYPE, content_type)], body))
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at `{}`; the routes are listed at `/api/v1/openapi.json`", uri.path()),
    )
}

async fn wrong_method(method: axum::http::Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("`{}` answers GET, not {method}", uri.path()),
    )
}
