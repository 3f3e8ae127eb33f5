//! `traces/{id}`: one trace, whether it is in the index or only its lines are stored.
//!
//! `start` and `end` are no filter: Grafana sends them in milliseconds where Jaeger has microseconds.

use axum::Json;
use axum::extract::{Path, State};

use super::error::JaegerError;
use super::model::{Envelope, JaegerTrace};
use crate::http::AppState;
use crate::traces::{self, Found};

pub(super) async fn trace(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Envelope<Vec<JaegerTrace>>>, JaegerError> {
    let found = find(&state, id).await?;
    Ok(Json(Envelope::of(vec![shown(&found)])))
}

/// The trace of an id.
///
/// # Errors
/// With 404 when it is not known.
pub(super) async fn find(state: &AppState, id: String) -> Result<Found, JaegerError> {
    let config = state.config().traces.clone();
    let found = state.run(move |reader, context| traces::find(reader, &id, &config, context));
    found.await?.ok_or_else(JaegerError::trace_not_found)
}

/// A trace with what is to be said of it.
pub(super) fn shown(found: &Found) -> JaegerTrace {
    let mut warnings = Vec::new();
    if found.is_cut {
        let text = "the trace has more lines than `traces.max_trace_lines`; what they tell is not shown";
        warnings.push(text.to_owned());
    }
    if !found.others.is_empty() {
        warnings.push(format!("{} other traces have this id too", found.others.len()));
    }
    JaegerTrace::new(&found.trace, warnings)
}
