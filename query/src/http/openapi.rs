//! `GET /api/v1/openapi.json`. The document is written by hand; tests hold it against the routes and parameters.

use axum::http::header;
use axum::response::IntoResponse;

/// The OpenAPI document of the native API.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
