//! `GET /api/v1/traces/{id}`: every line of one trace or correlation id, all containers, in time order, and the
//! waterfall of the trace.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::params::{Params, range};
use super::search::wants_ndjson;
use super::state::AppState;
use super::stream;
use crate::Hit;
use crate::exec::Stats;
use crate::exec::completeness::Completeness;
use crate::exec::cursor::Cursor;
use crate::exec::question::Question;
use crate::exec::search::{Search, SearchRequest, trace_request};
use crate::exec::select::Order;
use crate::filter::Filter;
use crate::time;
use crate::traces::waterfall::Waterfall;
use crate::traces::{self, Found};

const DEFAULT_LIMIT: usize = 1_000;
/// Kind of the error that no trace has the id.
pub(crate) const UNKNOWN_TRACE: &str = "unknown_trace";

/// Parameters of a trace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TraceParams {
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    format: Option<Format>,
}

/// What a trace is answered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// Its spans, as OTLP's JSON.
    Otlp,
}

/// A line of the trace.
#[derive(Debug, Serialize)]
struct TraceRecord {
    /// Nanoseconds since the first line of this answer.
    offset_ns: i64,
    #[serde(flatten)]
    hit: Hit,
}

#[derive(Debug, Serialize)]
struct Trace {
    id: String,
    start: Option<String>,
    duration_ns: i64,
    services: BTreeSet<String>,
    records: Vec<TraceRecord>,
    /// Only with the first page, and only when lines or the span index tell of a trace.
    waterfall: Option<Waterfall>,
    cursor: Option<String>,
    completeness: Completeness,
    stats: Stats,
}

pub(super) async fn trace(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Params(params): Params<TraceParams>,
) -> Result<Response, ApiError> {
    if params.format == Some(Format::Otlp) {
        return otlp(&state, id).await;
    }
    let mut request = params.request(&id)?;
    let found = find(&state, &id).await?;
    if let Some(found) = &found {
        request.question = with_lines_of(found, request.question);
    }
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if wants_ndjson(&headers) {
        return stream::answer::<crate::Hit>(state, request, limit).await;
    }
    let max = state.config().max_limit;
    if limit == 0 || limit > max {
        return Err(ApiError::bad_parameter(format!(
            "wrong parameter `limit`: `{limit}` is not between 1 and {max} (`query.max_limit`)"
        )));
    }
    let shown = found.filter(|_| request.cursor.is_none());
    let trace = state.run(move |reader, context| {
        let waterfall = shown.map(|found| Waterfall::read(reader, &found, context)).transpose()?;
        let mut search = Search::begin(reader, request, context)?;
        let hits = search.next_page(limit, context)?;
        let first_ns = hits.first().map(|hit| hit.timestamp_ns);
        let last_ns = hits.last().map(|hit| hit.timestamp_ns);
        let services =
            hits.iter().filter_map(|hit| hit.labels.get("service_name")).map(str::to_owned).collect();
        let offset = |ns: Option<i64>| ns.unwrap_or(0).saturating_sub(first_ns.unwrap_or(0));
        Ok(Trace {
            id,
            start: first_ns.map(time::rfc3339),
            duration_ns: offset(last_ns),
            services,
            records: hits
                .into_iter()
                .map(|hit| TraceRecord { offset_ns: offset(Some(hit.timestamp_ns)), hit })
                .collect(),
            waterfall,
            cursor: search.cursor(context)?.map(|cursor| cursor.encode()),
            completeness: Completeness::of(reader, search.range(), search.more(), context)?,
            stats: search.stats(context),
        })
    });
    Ok(Json(trace.await?).into_response())
}

async fn find(state: &AppState, id: &str) -> Result<Option<Found>, ApiError> {
    let config = state.config().traces.clone();
    let id = id.to_owned();
    Ok(state.run(move |reader, context| traces::find(reader, &id, &config, context)).await?)
}

/// The question for what holds the id asked for, and for the lines of the trace that do not hold it themselves.
fn with_lines_of(found: &Found, question: Question) -> Question {
    match question {
        Question::Filter(filter) => Question::Filter(Filter::Or(vec![filter, traces::filter(&found.trace)])),
        other @ Question::LogQl(_) => other,
    }
}

/// The spans of the trace as an OTLP document.
async fn otlp(state: &AppState, id: String) -> Result<Response, ApiError> {
    match find(state, &id).await? {
        Some(found) => Ok(Json(found.trace.to_otlp()).into_response()),
        None => {
            let message = format!("no line or span has the trace or correlation id `{id}`");
            Err(ApiError::new(StatusCode::NOT_FOUND, UNKNOWN_TRACE, message))
        }
    }
}

impl TraceParams {
    fn request(&self, id: &str) -> Result<SearchRequest, ApiError> {
        let range = range(self.start.as_deref(), self.end.as_deref(), self.since.as_deref())?;
        let mut request =
            trace_request(id, range).ok_or_else(|| ApiError::bad_parameter("the trace id is empty"))?;
        if let Some(cursor) = self.cursor.as_deref() {
            let cursor = Cursor::decode(cursor)?;
            cursor.check(&request.query, Order::Forward)?;
            request.cursor = Some(cursor);
        }
        Ok(request)
    }
}
