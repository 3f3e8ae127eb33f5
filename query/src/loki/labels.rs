//! `labels`, `label/{name}/values`, `series`: stream labels only. Metadata among them would make Grafana
//! build selectors that match nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use store::{Labels, Snapshot, TimeRange};

use super::error::LokiError;
use super::json::{Body, answer};
use super::params::Params;
use crate::http::AppState;
use crate::logql::ast::Matcher;
use crate::logql::select::Selector;

/// Labels of the streams with records in `range` that one of the selectors matches; no selector matches all.
pub(super) fn matching(snapshot: &Snapshot, range: TimeRange, selectors: &[Selector]) -> Vec<Arc<Labels>> {
    let wanted = |labels: &Labels| selectors.is_empty() || selectors.iter().any(|s| s.is_match(labels));
    snapshot
        .streams()
        .iter()
        .filter(|stream| range.overlaps(stream.min_ns, stream.max_ns) && wanted(&stream.labels))
        .map(|stream| Arc::clone(&stream.labels))
        .collect()
}

/// [`matching`] off the async runtime.
pub(super) async fn find_streams(
    state: &AppState,
    range: TimeRange,
    matchers: &[Vec<Matcher>],
) -> Result<Vec<Arc<Labels>>, LokiError> {
    let selectors: Vec<Selector> =
        matchers.iter().map(|m| Selector::new(m)).collect::<Result<_, _>>().map_err(LokiError::bad)?;
    Ok(state.run(move |reader, _| Ok(matching(&reader.snapshot()?, range, &selectors))).await?)
}

/// Loki leaves an empty list away.
fn listed(values: &BTreeSet<&str>) -> Response {
    if values.is_empty() {
        return answer(&json!({"status": "success"}));
    }
    answer(&json!({"status": "success", "data": values}))
}

pub(super) async fn names(State(state): State<AppState>, params: Params) -> Result<Response, LokiError> {
    let streams = find_streams(&state, params.range()?, &[params.matchers()?]).await?;
    Ok(listed(&streams.iter().flat_map(|labels| labels.iter()).map(|(name, _)| name).collect()))
}

pub(super) async fn values(
    State(state): State<AppState>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, LokiError> {
    let streams = find_streams(&state, params.range()?, &[params.matchers()?]).await?;
    Ok(listed(&streams.iter().filter_map(|labels| labels.get(&name)).collect()))
}

pub(super) async fn series(State(state): State<AppState>, params: Params) -> Result<Response, LokiError> {
    let texts = params.all("match[]").chain(params.all("match"));
    let matchers = texts.map(crate::logql::parse_matchers).collect::<Result<Vec<_>, _>>()?;
    let streams: BTreeSet<Arc<Labels>> =
        find_streams(&state, params.range()?, &matchers).await?.into_iter().collect();
    let mut body = Body::default();
    body.raw("{\"status\":\"success\",\"data\":[");
    body.list(&streams, |body, labels| body.value(&crate::hit::LabelMap(labels)));
    body.raw("]}");
    Ok(body.into_response())
}
