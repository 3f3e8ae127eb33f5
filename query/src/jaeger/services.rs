//! `services`, `services/{service}/operations` and `operations`.

use axum::Json;
use axum::extract::{Path, State};
use correlation::span::Kind;
use serde::Serialize;
use store::spans::Operation;

use super::error::JaegerError;
use super::model::Envelope;
use super::params::Params;
use crate::http::AppState;

type Names = Json<Envelope<Vec<String>>>;

pub(super) async fn services(State(state): State<AppState>) -> Result<Names, JaegerError> {
    Ok(Json(Envelope::counted(known_services(&state).await?)))
}

/// Services with spans, by name.
pub(super) async fn known_services(state: &AppState) -> Result<Vec<String>, JaegerError> {
    Ok(state.run(|reader, _| Ok(reader.span_services()?)).await?)
}

pub(super) async fn operations_of(
    State(state): State<AppState>,
    Path(service): Path<String>,
) -> Result<Names, JaegerError> {
    let mut names: Vec<String> =
        known_operations(&state, service).await?.into_iter().map(|operation| operation.name).collect();
    names.dedup(); // one name may have several kinds; they come by name
    Ok(Json(Envelope::counted(names)))
}

/// Operations of a service, by name and kind.
pub(super) async fn known_operations(
    state: &AppState,
    service: String,
) -> Result<Vec<Operation>, JaegerError> {
    Ok(state.run(move |reader, _| Ok(reader.span_operations(&service)?)).await?)
}

/// An operation with its kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownOperation {
    name: String,
    span_kind: &'static str,
}

/// The operations that `service` and `span_kind` ask for.
pub(super) async fn asked_operations(
    state: &AppState,
    params: &Params,
) -> Result<Vec<ShownOperation>, JaegerError> {
    let service = params.service()?;
    let kind = params.any_of(&["spanKind", "span_kind"]);
    let operations = known_operations(state, service).await?.into_iter();
    let shown = operations
        .map(|o| ShownOperation { name: o.name, span_kind: Kind::of_number(o.kind).name() })
        .filter(|operation| kind.is_none_or(|kind| kind.eq_ignore_ascii_case(operation.span_kind)));
    Ok(shown.collect())
}

pub(super) async fn operations(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Envelope<Vec<ShownOperation>>>, JaegerError> {
    Ok(Json(Envelope::counted(asked_operations(&state, &params).await?)))
}
