//! `GET /api/v1/why/{container}`: why it died; `GET /api/v1/why`: why everything died that did.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::params::{Params, range};
use super::state::AppState;
use crate::exec::completeness::Completeness;
use crate::why::{self, Question, Report};

/// Deaths reported without `limit`: of one container, and of everything.
const DEFAULT_LIMIT: usize = 5;
const DEFAULT_LIMIT_OF_ALL: usize = 50;
/// Each costs two searches.
const MAX_LIMIT: usize = 200;
/// What is looked through when nothing is named.
const DEFAULT_SINCE_OF_ALL: &str = "1h";

/// Parameters of a verdict.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WhyParams {
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    report: Report,
    completeness: Completeness,
}

pub(super) async fn of_one(
    State(state): State<AppState>,
    Path(container): Path<String>,
    Params(params): Params<WhyParams>,
) -> Result<Json<Answer>, ApiError> {
    answer(&state, &params, container).await
}

pub(super) async fn of_all(
    State(state): State<AppState>,
    Params(mut params): Params<WhyParams>,
) -> Result<Json<Answer>, ApiError> {
    if params.start.is_none() && params.since.is_none() {
        params.since = Some(DEFAULT_SINCE_OF_ALL.to_owned());
    }
    answer(&state, &params, String::new()).await
}

async fn answer(state: &AppState, params: &WhyParams, target: String) -> Result<Json<Answer>, ApiError> {
    let default = if target.is_empty() { DEFAULT_LIMIT_OF_ALL } else { DEFAULT_LIMIT };
    let limit = params.limit.unwrap_or(default);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let message = format!("wrong parameter `limit`: `{limit}` is not between 1 and {MAX_LIMIT}");
        return Err(ApiError::bad_parameter(message));
    }
    let range = range(params.start.as_deref(), params.end.as_deref(), params.since.as_deref())?;
    let question = Question { target, range, limit };
    let name = question.target.clone();
    let answer = state.run(move |reader, context| {
        let report = why::why(reader, &question, context)?;
        let completeness = Completeness::of(reader, range, report.more, context)?;
        Ok(Answer { report, completeness })
    });
    let answer = answer.await?;
    if !answer.report.known {
        let message = format!("no container, service or id `{name}` is known; see `/api/v1/containers`");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_container", message));
    }
    Ok(Json(answer))
}
