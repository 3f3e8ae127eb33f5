//! `GET /api/v1/explain`: what a query reads, and what was decoded when it ran.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use store::TimeRange;

use super::error::ApiError;
use super::params::{Params, range};
use super::search::question;
use super::state::AppState;
use crate::exec::ExecError;
use crate::explain::{Explained, Explanation, explain};
use crate::logql::ast::Expr;
use crate::logql::eval::{EvalError, Steps};
use crate::{logql, time};

const DEFAULT_LIMIT: usize = 100;
/// Most steps of a metric query, as in Loki's API.
const MAX_STEPS: usize = 11_000;

/// Parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExplainParams {
    query: String,
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
    /// Of a query for records: how many newest ones are wanted.
    limit: Option<usize>,
    /// Of a metric query: the distance of its steps; without it there is one, at the end.
    step: Option<String>,
}

pub(super) async fn of_query(
    State(state): State<AppState>,
    Params(params): Params<ExplainParams>,
) -> Result<Json<Explanation>, ApiError> {
    let explained = params.explained(&state)?;
    let explained = state.run(move |reader, context| match explain(&explained, reader, context) {
        Ok(explanation) => Ok(explanation),
        Err(EvalError::Query(message)) => Err(ExecError::Query(message)),
        Err(EvalError::Exec(error)) => Err(error),
    });
    Ok(Json(explained.await?))
}

impl ExplainParams {
    fn explained(&self, state: &AppState) -> Result<Explained, ApiError> {
        let range = range(self.start.as_deref(), self.end.as_deref(), self.since.as_deref())?;
        if logql::is_meant(&self.query)
            && let Ok(Expr::Metric(expr)) = logql::parse(&self.query)
        {
            let max_series = state.config().loki.max_inner_series;
            return Ok(Explained::Metric { expr: Box::new(expr), steps: self.steps(range)?, max_series });
        }
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT).min(state.config().max_limit).max(1);
        Ok(Explained::Records { question: Box::new(question(&self.query)?), range, limit })
    }

    /// The steps of a metric query, from `start` to `end`, or just its end.
    fn steps(&self, range: TimeRange) -> Result<Steps, ApiError> {
        let end_ns = if self.end.is_none() { time::now_ns() } else { range.end_ns };
        let Some(step) = &self.step else { return Ok(Steps::new(end_ns, end_ns, 0)) };
        let step = time::parse_duration(step)
            .map_err(|e| ApiError::bad_parameter(format!("wrong parameter `step`: {e}")))?;
        let step_ns = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
        let has_start = self.start.is_some() || self.since.is_some();
        let steps = Steps::new(if has_start { range.start_ns } else { end_ns }, end_ns, step_ns);
        if step_ns == 0 || steps.count() > MAX_STEPS {
            return Err(ApiError::bad_parameter(format!(
                "wrong parameter `step`: it must give 1 to {MAX_STEPS} steps between `start` and `end`"
            )));
        }
        Ok(steps)
    }
}
