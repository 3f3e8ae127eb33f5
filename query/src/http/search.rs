//! `GET /api/v1/search`: records, counts or both, as one JSON object or as a stream of JSON lines.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Record, TimeRange};

use super::error::ApiError;
use super::params::{Params, order, range};
use super::state::AppState;
use super::stream;
use crate::exec::completeness::Completeness;
use crate::exec::count::{CountRequest, Counts, Step, count};
use crate::exec::cursor::Cursor;
use crate::exec::question::Question;
use crate::exec::search::{Search, SearchRequest, UnknownField};
use crate::exec::select::Order;
use crate::exec::{Context, ExecError, Stats};
use crate::logql::ast::Expr;
use crate::{Hit, logql, search, time};

/// Content type of a stream of JSON lines.
pub(crate) const NDJSON: &str = "application/x-ndjson";
const DEFAULT_LIMIT: usize = 100;
const DEFAULT_TOP: usize = 20;

/// Parameters of a search.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SearchParams {
    query: String,
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    direction: Option<String>,
    cursor: Option<String>,
    count_by: Option<String>,
    step: Option<String>,
    count_top: Option<usize>,
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Answer {
    records: Vec<Hit>,
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    completeness: Completeness,
    stats: Stats,
}

pub(super) async fn search(
    State(state): State<AppState>,
    headers: HeaderMap,
    Params(params): Params<SearchParams>,
) -> Result<Response, ApiError> {
    let request = params.request()?;
    let counts = params.counts(&request, &state)?;
    if wants_ndjson(&headers) {
        if counts.is_some() {
            return Err(ApiError::bad_parameter(
                "counts come in JSON answers only; leave `count_by` and `step` away",
            ));
        }
        return stream::answer::<Hit>(state, request, params.limit.unwrap_or(DEFAULT_LIMIT)).await;
    }
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    let max = state.config().max_limit;
    if limit > max {
        return Err(ApiError::bad_parameter(format!(
            "wrong parameter `limit`: `{limit}` is more than {max}; take pages by `cursor`, ask for \
             `Accept: {NDJSON}`, or raise `query.max_limit`"
        )));
    }
    if limit == 0 && counts.is_none() {
        return Err(ApiError::bad_parameter(format!(
            "wrong parameter `limit`: `0`, for no limit, needs `Accept: {NDJSON}`"
        )));
    }
    let query = request.query.clone();
    let answer = state.run(move |reader, context| answer(reader, request, limit, counts, context)).await?;
    match answer {
        Ok(answer) => Ok(Json(answer).into_response()),
        Err(unknown) => Err(ApiError::unknown_field(&query, &unknown)),
    }
}

fn answer(
    reader: &store::Reader,
    request: SearchRequest,
    limit: usize,
    counts: Option<CountRequest>,
    context: &Context,
) -> Result<Result<Answer, UnknownField>, ExecError> {
    let counted = counts.map(|counts| count(reader, &counts, context)).transpose()?;
    let range = request.range;
    if limit == 0 {
        let (counts, stats) = counted.map_or_else(|| (None, Stats::default()), |(c, s)| (Some(c), s));
        let completeness = Completeness::of(reader, range, false, context)?;
        return Ok(Ok(Answer { records: Vec::new(), cursor: None, counts, completeness, stats }));
    }
    let mut search = Search::begin(reader, request, context)?;
    let records = search.next_page(limit, context)?;
    if let Some(unknown) = search.unknown_field(reader, context)? {
        return Ok(Err(unknown));
    }
    Ok(Ok(Answer {
        records,
        cursor: search.cursor(context)?.map(|cursor| cursor.encode()),
        counts: counted.map(|(counts, _)| counts),
        completeness: Completeness::of(reader, search.range(), search.more(), context)?,
        stats: search.stats(context),
    }))
}

pub(super) fn wants_ndjson(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).any(|v| v.contains(NDJSON))
}

/// Parameters of an export.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExportParams {
    query: String,
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
}

/// `GET /api/v1/export`: every record found, whole and oldest first, as lines that `binnacle ingest` reads back.
pub(super) async fn export(
    State(state): State<AppState>,
    Params(params): Params<ExportParams>,
) -> Result<Response, ApiError> {
    let request = SearchRequest {
        question: question(&params.query)?,
        range: range(params.start.as_deref(), params.end.as_deref(), params.since.as_deref())?,
        order: Order::Forward,
        cursor: None,
        query: params.query,
    };
    stream::answer::<Record>(state, request, 0).await
}

/// Reads a query in either language.
///
/// # Errors
/// When it is neither, or yields numbers instead of records.
pub(super) fn question(query: &str) -> Result<Question, ApiError> {
    if !logql::is_meant(query) {
        return Ok(Question::Filter(search::without_events(search::parse(query)?)));
    }
    match logql::parse(query) {
        Ok(Expr::Log(log)) => Ok(Question::LogQl(log)),
        Ok(Expr::Metric(_)) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_query",
            "this query yields numbers, not records: ask `/loki/api/v1/query` or `/loki/api/v1/query_range`",
        )),
        Err(error) => Err(ApiError::not_logql(query, &error)),
    }
}

impl SearchParams {
    fn request(&self) -> Result<SearchRequest, ApiError> {
        let order = order(self.direction.as_deref())?;
        let cursor = self.cursor.as_deref().map(Cursor::decode).transpose()?;
        if let Some(cursor) = &cursor {
            cursor.check(&self.query, order)?;
        }
        Ok(SearchRequest {
            question: question(&self.query)?,
            query: self.query.clone(),
            range: range(self.start.as_deref(), self.end.as_deref(), self.since.as_deref())?,
            order,
            cursor,
        })
    }

    fn counts(&self, request: &SearchRequest, state: &AppState) -> Result<Option<CountRequest>, ApiError> {
        if self.count_by.is_none() && self.step.is_none() {
            return Ok(None);
        }
        let step = match self.step.as_deref() {
            None => Step::Whole,
            Some("auto") => Step::Auto,
            Some(text) => match time::parse_duration(text) {
                Ok(width) if !width.is_zero() => Step::Width(width),
                Ok(_) => {
                    return Err(ApiError::bad_parameter(
                        "wrong parameter `step`: it must be longer than nothing",
                    ));
                }
                Err(e) => {
                    return Err(ApiError::bad_parameter(format!("wrong parameter `step`: {e}, or `auto`")));
                }
            },
        };
        let Question::Filter(filter) = &request.question else {
            return Err(ApiError::bad_parameter(
                "`count_by` and `step` go with the search syntax; in LogQL write `sum by (…) (count_over_time(…))` \
                 and ask `/loki/api/v1/query_range`",
            ));
        };
        let range: TimeRange = request.cursor.map_or(request.range, |cursor| cursor.range);
        Ok(Some(CountRequest {
            filter: filter.clone(),
            range,
            by: self.count_by.clone(),
            step,
            top: self.count_top.unwrap_or(DEFAULT_TOP),
            max_points: state.config().max_series_points,
        }))
    }
}
