//! Parameters of requests, all from the query string. An unknown name is an error: a misspelt `since` must not
//! search everything.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use store::TimeRange;

use super::error::ApiError;
use crate::exec::select::Order;
use crate::time;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|rejection| {
            let text = rejection.body_text();
            let reason = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
            ApiError::bad_parameter(format!("wrong parameter: {reason}"))
        })
    }
}

/// The time range that `start`, `end` and `since` mean; without any, all of time.
pub(super) fn range(
    start: Option<&str>,
    end: Option<&str>,
    since: Option<&str>,
) -> Result<TimeRange, ApiError> {
    let now = time::now_ns();
    let read = |name: &str, text: &str| {
        time::parse(text, now).map_err(|e| {
            ApiError::new(
                axum::http::StatusCode::BAD_REQUEST,
                "bad_time",
                format!("wrong parameter `{name}`: {e}"),
            )
        })
    };
    let end_ns = end.map(|text| read("end", text)).transpose()?.unwrap_or(TimeRange::ALL.end_ns);
    let start_ns = match (start, since) {
        (Some(_), Some(_)) => return Err(ApiError::bad_parameter("give `start` or `since`, not both")),
        (Some(text), None) => read("start", text)?,
        (None, Some(text)) => {
            let length: store::config::Period = text.parse().map_err(|e: String| {
                ApiError::new(
                    axum::http::StatusCode::BAD_REQUEST,
                    "bad_time",
                    format!("wrong parameter `since`: {e}"),
                )
            })?;
            let until = if end.is_some() { end_ns } else { now };
            until.saturating_sub(i64::try_from(length.0.as_nanos()).unwrap_or(i64::MAX))
        }
        (None, None) => TimeRange::ALL.start_ns,
    };
    if start_ns >= end_ns {
        return Err(ApiError::new(
            axum::http::StatusCode::BAD_REQUEST,
            "bad_time",
            format!(
                "the time range is empty: it starts at {} and ends at {}",
                time::rfc3339(start_ns),
                time::rfc3339(end_ns)
            ),
        ));
    }
    Ok(TimeRange { start_ns, end_ns })
}

/// The order that `direction` means.
pub(super) fn order(direction: Option<&str>) -> Result<Order, ApiError> {
    match direction.map(str::to_ascii_lowercase).as_deref() {
        None | Some("backward") => Ok(Order::Backward),
        Some("forward") => Ok(Order::Forward),
        Some(other) => Err(ApiError::bad_parameter(format!(
            "wrong parameter `direction`: `{other}` is neither `backward` (newest first) nor `forward`"
        ))),
    }
}
