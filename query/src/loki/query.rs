//! `query`, `query_range`, `format_query`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use store::{Candidates, TimeRange};

use super::error::LokiError;
use super::json::{self, Envelope};
use super::limits;
use super::params::{Params, now_ns};
use crate::exec::{Context, ExecError, Stats};
use crate::http::AppState;
use crate::logql::ast::{Expr, LogExpr, MetricExpr};
use crate::logql::eval::{Environment, EvalError, Evaluated, Steps, evaluate};
use crate::logql::logs::{self, LogRequest};

/// Lines given when the client does not say how many it wants.
const DEFAULT_LIMIT: usize = 100;

/// `X-Loki-Response-Encoding-Flags: categorize-labels`
pub(super) fn wants_categories(headers: &HeaderMap) -> bool {
    headers
        .get_all("x-loki-response-encoding-flags")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .any(|flags| flags.split(',').any(|flag| flag.trim() == "categorize-labels"))
}

pub(super) async fn instant(
    State(state): State<AppState>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let expr = params.expr()?;
    params.limit("limit", DEFAULT_LIMIT)?;
    params.order()?;
    let at = params.time_ns("time")?.unwrap_or_else(now_ns);
    let Expr::Metric(metric) = expr else {
        return Err(LokiError::bad(
            "log queries are not supported as an instant query type, please change your query to a range query type",
        ));
    };
    let steps = Steps::new(at, at, 0);
    let (value, stats) = run_metric(&state, metric.clone(), steps).await?;
    let categorize = wants_categories(&headers);
    let mut matrix = match value {
        Evaluated::Scalar(value) => {
            let envelope = Envelope { categorize, warnings: &[], stats: &stats, returned: 1 };
            return Ok(envelope.write("scalar", |body| json::scalar(body, at, value)).into_response());
        }
        Evaluated::Matrix(matrix) => matrix,
    };
    if !limits::is_sorted(&metric) {
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    let warnings =
        limits::cap_series(&mut matrix, state.config().loki.max_series, limits::takes_part(&headers))?;
    let envelope = Envelope { categorize, warnings: &warnings, stats: &stats, returned: matrix.len() };
    let points = matrix.iter().filter_map(|s| Some((&*s.labels, s.points.first()?.1)));
    Ok(envelope.write("vector", |body| json::vector(body, points, at)).into_response())
}

pub(super) async fn range(
    State(state): State<AppState>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let expr = params.expr()?;
    let range = params.range()?;
    let step_ns = params.step_ns(range)?;
    let limit = params.limit("limit", DEFAULT_LIMIT)?;
    let order = params.order()?;
    let interval_ns = params.interval_ns()?;
    limits::check_length(range, &state)?;
    match expr {
        Expr::Log(log) => {
            limits::check_entries(limit, &state)?;
            let request = LogRequest { log, range, limit, order, interval_ns };
            lines(&state, request, wants_categories(&headers)).await
        }
        Expr::Metric(metric) => series(&state, metric, range, step_ns, &headers).await,
    }
}

async fn lines(state: &AppState, request: LogRequest, categorize: bool) -> Result<Response, LokiError> {
    let found = state
        .run(move |reader, context| {
            let snapshot = reader.snapshot()?;
            let read = logs::read(&request, &snapshot, context)?;
            Ok(read.map(|(entries, candidates)| (entries, context.stats(&candidates), context.damaged())))
        })
        .await?;
    let (entries, stats, damaged) = found.map_err(LokiError::bad)?;
    let envelope = Envelope { categorize, warnings: &damaged, stats: &stats, returned: entries.len() };
    Ok(envelope.write("streams", |body| json::streams(body, &entries, categorize)).into_response())
}

async fn series(
    state: &AppState,
    metric: MetricExpr,
    range: TimeRange,
    step_ns: i64,
    headers: &HeaderMap,
) -> Result<Response, LokiError> {
    let (start_ns, end_ns) =
        if state.config().align_step { aligned(range, step_ns) } else { (range.start_ns, range.end_ns) };
    let steps = Steps::new(start_ns, end_ns, step_ns);
    let (value, stats) = run_metric(state, metric, steps).await?;
    let mut matrix = match value {
        Evaluated::Matrix(matrix) => matrix,
        Evaluated::Scalar(value) => {
            let points = (0..u32::try_from(steps.count()).unwrap_or(u32::MAX)).map(|k| (k, value)).collect();
            vec![crate::logql::eval::Series { labels: std::sync::Arc::default(), points }]
        }
    };
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    let warnings =
        limits::cap_series(&mut matrix, state.config().loki.max_series, limits::takes_part(headers))?;
    let categorize = wants_categories(headers);
    let envelope = Envelope { categorize, warnings: &warnings, stats: &stats, returned: matrix.len() };
    Ok(envelope.write("matrix", |body| json::matrix(body, &matrix, steps)).into_response())
}

/// Start and end moved outwards to multiples of the step.
fn aligned(range: TimeRange, step_ns: i64) -> (i64, i64) {
    let start_ns = range.start_ns.saturating_sub(range.start_ns.rem_euclid(step_ns));
    let rest = range.end_ns.rem_euclid(step_ns);
    let end_ns = if rest == 0 { range.end_ns } else { range.end_ns.saturating_add(step_ns - rest) };
    (start_ns, end_ns)
}

/// Evaluates a metric query off the async runtime.
pub(super) async fn run_metric(
    state: &AppState,
    metric: MetricExpr,
    steps: Steps,
) -> Result<(Evaluated, Stats), LokiError> {
    let max_series = state.config().loki.max_inner_series;
    let result = state
        .run(move |reader, context| {
            let snapshot = reader.snapshot()?;
            let env = Environment { snapshot: &snapshot, context, steps, max_series };
            match evaluate(&metric, &env) {
                Ok(value) => Ok(Ok((value, stats(context)))),
                Err(EvalError::Query(message)) => Ok(Err(message)),
                Err(EvalError::Exec(error)) => Err(error),
            }
        })
        .await?;
    result.map_err(LokiError::bad)
}

/// What a query used, of however many selectors.
fn stats(context: &Context) -> Stats {
    context.stats(&Candidates::default())
}

/// The lines of a log query, for answers made of them.
pub(super) async fn read_lines(
    state: &AppState,
    log: LogExpr,
    range: TimeRange,
    limit: usize,
) -> Result<Vec<logs::Entry>, LokiError> {
    let order = crate::exec::select::Order::Backward;
    let request = LogRequest { log, range, limit, order, interval_ns: 0 };
    let found: Result<Vec<logs::Entry>, String> = state
        .run(move |reader, context| -> Result<_, ExecError> {
            let snapshot = reader.snapshot()?;
            Ok(logs::read(&request, &snapshot, context)?.map(|(entries, _)| entries))
        })
        .await?;
    found.map_err(LokiError::bad)
}

pub(super) async fn format(params: Params) -> Response {
    match params.expr() {
        Ok(expr) => json::answer(&serde_json::json!({"status": "success", "data": expr.to_string()})),
        Err(error) => {
            let mut response = json::answer(&serde_json::json!({
                "status": "invalid-query",
                "error": error.to_string(),
            }));
            *response.status_mut() = axum::http::StatusCode::BAD_REQUEST;
            response
        }
    }
}
