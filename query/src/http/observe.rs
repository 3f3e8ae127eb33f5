//! Logs and counts every request, in one place.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::state::AppState;

/// Route of the requests that match none, so that probing cannot make metrics grow.
const UNKNOWN_ROUTE: &str = "unknown";

pub(super) async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = match route.as_ref().map(MatchedPath::as_str) {
        // Asked every few seconds, and no question.
        None | Some("/metrics" | "/health" | "/ready") => next.run(request).await,
        Some(route) => {
            let work = tracing::info_span!(target: store::WORK, "query", http.route = route);
            next.run(request).instrument(work).await
        }
    };
    let took = started.elapsed();
    let status = response.status();
    let route = route.as_ref().map_or(UNKNOWN_ROUTE, MatchedPath::as_str);
    state.metrics().request_done(route, method.as_str(), status.as_u16(), took);
    // 503 says "not now" on purpose: while starting, or when too many ask.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(%method, %uri, status = status.as_u16(), took_ms = took.as_millis(), "request failed");
    } else {
        tracing::debug!(%method, %uri, status = status.as_u16(), took_ms = took.as_millis(), "request answered");
    }
    response
}
