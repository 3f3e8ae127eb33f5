//! `GET /api/v1/traces/{id}`: every line of one trace or correlation id, all containers, in time order.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
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
use crate::exec::search::{Search, SearchRequest, trace_request};
use crate::exec::select::Order;
use crate::time;

const DEFAULT_LIMIT: usize = 1_000;

/// Parameters of a trace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TraceParams {
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
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
    let request = params.request(&id)?;
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
    let trace = state.run(move |reader, context| {
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
            cursor: search.cursor(context)?.map(|cursor| cursor.encode()),
            completeness: Completeness::of(reader, search.range(), search.more(), context)?,
            stats: search.stats(context),
        })
    });
    Ok(Json(trace.await?).into_response())
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
