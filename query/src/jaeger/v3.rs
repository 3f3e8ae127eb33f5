//! Version 3 of the API, as far as Grafana uses it: services, operations and one trace, in OTLP's JSON.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::error::V3Error;
use super::params::Params;
use super::services::{asked_operations, known_services};
use super::trace::find;
use crate::http::AppState;

pub(super) async fn services(State(state): State<AppState>) -> Result<Json<Value>, V3Error> {
    Ok(Json(json!({ "services": known_services(&state).await? })))
}

pub(super) async fn operations(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Value>, V3Error> {
    Ok(Json(json!({ "operations": asked_operations(&state, &params).await? })))
}

pub(super) async fn trace(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, V3Error> {
    Ok(Json(json!({ "result": find(&state, id).await?.trace.to_otlp() })))
}
