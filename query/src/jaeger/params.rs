//! Parameters of the API. Unknown ones are passed over: Jaeger's clients send some that nobody reads.

use std::ops::ControlFlow;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use correlation::otlp::SCOPE;
use store::fields::{self, Shape};
use store::{TimeRange, TraceQuery};

use super::error::JaegerError;
use crate::logql::units::{SECOND, parse_go_duration, parse_prometheus_duration};
use crate::time;

/// How many traces a search finds when it does not say.
const DEFAULT_LIMIT: usize = 100;
/// The most that Jaeger's own page asks for.
const MAX_LIMIT: usize = 1_500;
/// Traces asked for by id at once.
const MAX_IDS: usize = 100;
/// How far back a search looks when it does not say.
const DEFAULT_LOOKBACK_NS: i64 = 2 * 24 * 3600 * SECOND;
const MICRO: i64 = 1_000;
const MILLI: i64 = 1_000_000;

/// All parameters, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = JaegerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, JaegerError> {
        match Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
            Ok(Query(all)) => Ok(Self(all)),
            Err(rejection) => Err(JaegerError::bad(rejection.body_text())),
        }
    }
}

impl Params {
    /// The first value of `name`, when it is not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The first value of the first of these names that has one.
    pub(super) fn any_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let has_name = move |(key, value): &&(String, String)| key == name && !value.is_empty();
        self.0.iter().filter(has_name).map(|(_, value)| value.as_str())
    }

    /// `service`, which must be there.
    pub(super) fn service(&self) -> Result<String, JaegerError> {
        let service =
            self.get("service").ok_or_else(|| JaegerError::bad("parameter `service` is required"))?;
        Ok(service.to_owned())
    }

    /// The ids of `traceID`, which ask for these traces and nothing else.
    pub(super) fn trace_ids(&self) -> Result<Vec<String>, JaegerError> {
        let ids: Vec<String> = self.all("traceID").map(str::to_owned).collect();
        if ids.len() > MAX_IDS {
            return Err(JaegerError::bad(format!("{} ids in `traceID` are more than {MAX_IDS}", ids.len())));
        }
        Ok(ids)
    }

    /// What a search asks for; times are microseconds.
    pub(super) fn trace_query(&self) -> Result<TraceQuery, JaegerError> {
        let query = TraceQuery {
            service: Some(self.service()?),
            operation: self.get("operation").map(str::to_owned),
            tags: self.tags()?,
            min_duration_ns: self.duration_ns("minDuration")?,
            max_duration_ns: self.duration_ns("maxDuration")?,
            range: self.range()?,
            limit: self.limit()?,
        };
        if let (Some(min), Some(max)) = (query.min_duration_ns, query.max_duration_ns)
            && min > max
        {
            return Err(JaegerError::bad("`maxDuration` is shorter than `minDuration`"));
        }
        Ok(query)
    }

    /// `end` and `start` or `lookback`: the end of Jaeger's range is inside it.
    fn range(&self) -> Result<TimeRange, JaegerError> {
        let end_ns = self.time_ns("end", MICRO)?.unwrap_or_else(time::now_ns);
        let start_ns = match self.time_ns("start", MICRO)? {
            Some(start_ns) => start_ns,
            None => end_ns.saturating_sub(self.lookback_ns()?),
        };
        if start_ns > end_ns {
            return Err(JaegerError::bad("`start` is later than `end`"));
        }
        Ok(TimeRange { start_ns, end_ns: end_ns.saturating_add(MICRO) })
    }

    fn lookback_ns(&self) -> Result<i64, JaegerError> {
        match self.get("lookback") {
            // Jaeger's page means `start` by `custom`.
            None | Some("custom") => Ok(DEFAULT_LOOKBACK_NS),
            Some(text) => parse_prometheus_duration(text)
                .or_else(|_| parse_go_duration(text))
                .map_err(|e| JaegerError::bad(format!("wrong parameter `lookback`: {e}"))),
        }
    }

    /// `endTs` and `lookback` of dependencies: milliseconds.
    pub(super) fn dependency_range(&self) -> Result<TimeRange, JaegerError> {
        let end_ns = self.time_ns("endTs", MILLI)?.unwrap_or_else(time::now_ns);
        let lookback_ns = self.time_ns("lookback", MILLI)?.unwrap_or(DEFAULT_LOOKBACK_NS);
        Ok(TimeRange { start_ns: end_ns.saturating_sub(lookback_ns), end_ns: end_ns.saturating_add(MILLI) })
    }

    /// A whole number of units, as nanoseconds.
    fn time_ns(&self, name: &str, unit_ns: i64) -> Result<Option<i64>, JaegerError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(time) => Ok(Some(i64::try_from(time).unwrap_or(i64::MAX).saturating_mul(unit_ns))),
            Err(_) => {
                let unit = if unit_ns == MICRO { "microseconds" } else { "milliseconds" };
                Err(JaegerError::bad(format!("wrong parameter `{name}`: `{text}` is no number of {unit}")))
            }
        }
    }

    fn duration_ns(&self, name: &str) -> Result<Option<i64>, JaegerError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = |why: &str| JaegerError::bad(format!("wrong parameter `{name}`: {why}"));
        match parse_go_duration(text) {
            Ok(duration) if duration < 0 => Err(wrong(&format!("`{text}` is negative"))),
            Ok(duration) => Ok(Some(duration)),
            Err(why) => Err(wrong(&why)),
        }
    }

    fn limit(&self) -> Result<usize, JaegerError> {
        let Some(text) = self.any_of(&["limit", "query.num_traces"]) else { return Ok(DEFAULT_LIMIT) };
        match text.parse() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
            _ => {
                let message = format!("wrong parameter `limit`: `{text}` is not between 1 and {MAX_LIMIT}");
                Err(JaegerError::bad(message))
            }
        }
    }

    /// `tag=name:value`, and `tags` as a JSON object or as logfmt.
    fn tags(&self) -> Result<Vec<(String, String)>, JaegerError> {
        let mut tags = Vec::new();
        for text in self.all("tag") {
            let (name, value) = text.split_once(':').ok_or_else(|| {
                JaegerError::bad(format!("wrong parameter `tag`: `{text}` is not `name:value`"))
            })?;
            tags.push((name.to_owned(), value.to_owned()));
        }
        for text in self.all("tags") {
            if text.trim_start().starts_with('{') {
                tags.extend(json_tags(text)?);
            } else {
                tags.extend(logfmt_tags(text)?);
            }
        }
        Ok(tags.into_iter().filter_map(indexed).collect())
    }
}

fn json_tags(text: &str) -> Result<Vec<(String, String)>, JaegerError> {
    let wrong = |why: String| JaegerError::bad(format!("wrong parameter `tags`: {why}"));
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
    let mut tags = Vec::with_capacity(object.len());
    for (name, value) in object {
        let value = match value {
            serde_json::Value::String(text) => text,
            plain @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => plain.to_string(),
            _ => return Err(wrong(format!("the value of `{name}` is neither text, number nor truth value"))),
        };
        tags.push((name, value));
    }
    Ok(tags)
}

fn logfmt_tags(text: &str) -> Result<Vec<(String, String)>, JaegerError> {
    let mut tags = Vec::new();
    fields::for_each(text.as_bytes(), Shape::Logfmt, |name, value| {
        tags.push((name.to_owned(), value.text().into_owned()));
        ControlFlow::Continue(())
    });
    if tags.is_empty() {
        let message =
            format!("wrong parameter `tags`: `{text}` is neither a JSON object nor `name=value` pairs");
        return Err(JaegerError::bad(message));
    }
    Ok(tags)
}

/// The tag by which the index knows what spans show; `None` for what is true of every span.
fn indexed((name, value): (String, String)) -> Option<(String, String)> {
    match (name.as_str(), value.as_str()) {
        ("otel.scope.name", SCOPE) => None,
        ("otel.status_code", "ERROR" | "error") => Some(("error".to_owned(), "true".to_owned())),
        _ => Some((name, value)),
    }
}
