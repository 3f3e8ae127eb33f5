//! Parameters: of the query string, or of a form body, or both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::Method;
use store::TimeRange;

use super::error::LokiError;
use crate::exec::select::Order;
use crate::logql::{self, ast, units};

/// Longest query, bytes.
const MAX_QUERY_BYTES: usize = 131_072;
/// How far back requests without `start` and `since` look.
const DEFAULT_SINCE_NS: i64 = 3600 * units::SECOND;
/// Most steps of a range query.
const MAX_STEPS: i64 = 11_000;
/// Times of up to this many digits are seconds, longer ones nanoseconds.
const MAX_SECONDS_DIGITS: usize = 10;

/// All parameters, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = LokiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, LokiError> {
        let Query(mut all) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(|e| LokiError::bad(e.to_string()))?;
        let is_form = request
            .headers()
            .get(axum::http::header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
        if request.method() == Method::POST && is_form {
            let Form(body) = Form::<Vec<(String, String)>>::from_request(request, state)
                .await
                .map_err(|e| LokiError::bad(e.to_string()))?;
            all.extend(body);
        }
        Ok(Self(all))
    }
}

impl From<Vec<(String, String)>> for Params {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }
}

impl Params {
    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    /// The first value of `name`, when it is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All values of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// `query`, parsed.
    pub(super) fn expr(&self) -> Result<ast::Expr, LokiError> {
        let text = self.get("query").unwrap_or_default();
        if text.len() > MAX_QUERY_BYTES {
            return Err(LokiError::bad(format!(
                "parse error : input size too long ({} > {MAX_QUERY_BYTES})",
                text.len()
            )));
        }
        Ok(logql::parse(text)?)
    }

    /// The matchers of `query`; none when it is missing or `{}`.
    pub(super) fn matchers(&self) -> Result<Vec<ast::Matcher>, LokiError> {
        Ok(self.get("query").map(logql::parse_matchers).transpose()?.unwrap_or_default())
    }

    /// A time parameter.
    pub(super) fn time_ns(&self, name: &str) -> Result<Option<i64>, LokiError> {
        self.get(name)
            .map(|text| {
                parse_time(text)
                    .map_err(|e| LokiError::bad(format!("could not parse '{name}' parameter: {e}")))
            })
            .transpose()
    }

    /// `start`, `end` and `since`.
    pub(super) fn range(&self) -> Result<TimeRange, LokiError> {
        let now = now_ns();
        let end_ns = self.time_ns("end")?.unwrap_or(now);
        let since = match self.get("since") {
            Some(text) => units::parse_prometheus_duration(text)
                .map_err(|e| LokiError::bad(format!("could not parse 'since' parameter: {e}")))?,
            None => DEFAULT_SINCE_NS,
        };
        let start_ns = self.time_ns("start")?.unwrap_or_else(|| end_ns.min(now).saturating_sub(since));
        if end_ns < start_ns {
            return Err(LokiError::bad("end timestamp must not be before or equal to start time"));
        }
        Ok(TimeRange { start_ns, end_ns })
    }

    fn duration_ns(&self, name: &str) -> Result<Option<i64>, LokiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let invalid =
            || LokiError::bad(format!("cannot parse \"{text}\" to a valid duration (parameter '{name}')"));
        if let Ok(seconds) = units::parse_float(text) {
            let nanos = seconds * 1e9;
            if !nanos.is_finite() || nanos.abs() > 9e18 {
                return Err(invalid());
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked above")]
            return Ok(Some(nanos as i64));
        }
        units::parse_prometheus_duration(text).map(Some).map_err(|_| invalid())
    }

    /// `step`, by default one that gives about 250 of them.
    pub(super) fn step_ns(&self, range: TimeRange) -> Result<i64, LokiError> {
        let length = range.end_ns.saturating_sub(range.start_ns);
        let default = (length / units::SECOND / 250).max(1) * units::SECOND;
        let step = self.duration_ns("step")?.unwrap_or(default);
        if step <= 0 {
            return Err(LokiError::bad(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if length / step > MAX_STEPS {
            return Err(LokiError::bad(
                "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the \
                 step parameter",
            ));
        }
        Ok(step)
    }

    /// `interval`
    pub(super) fn interval_ns(&self) -> Result<i64, LokiError> {
        let interval = self.duration_ns("interval")?.unwrap_or(0);
        if interval < 0 {
            return Err(LokiError::bad("interval must be >= 0"));
        }
        Ok(interval)
    }

    /// A positive number.
    pub(super) fn limit(&self, name: &str, default: usize) -> Result<usize, LokiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number: i64 = text.parse().map_err(|_| {
            LokiError::bad(format!("could not parse '{name}' parameter: `{text}` is no number"))
        })?;
        match usize::try_from(number) {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(LokiError::bad("limit must be a positive value")),
        }
    }

    /// `direction`, newest first by default.
    pub(super) fn order(&self) -> Result<Order, LokiError> {
        match self.get("direction").map(str::to_ascii_lowercase).as_deref() {
            None | Some("backward") => Ok(Order::Backward),
            Some("forward") => Ok(Order::Forward),
            Some(other) => Err(LokiError::bad(format!("invalid direction '{other}'"))),
        }
    }
}

/// The present time.
pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Seconds (whole, up to ten digits, or with a fraction), nanoseconds, or RFC 3339.
fn parse_time(text: &str) -> Result<i64, String> {
    let invalid = || format!("`{text}` is no time: give seconds, nanoseconds or RFC 3339");
    if text.contains('.')
        && let Ok(seconds) = units::parse_float(text)
    {
        let millis = (seconds * 1e3).round();
        if millis.abs() > 9e12 {
            return Err(invalid());
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        return Ok(millis as i64 * 1_000_000);
    }
    if let Ok(number) = text.parse::<i64>() {
        return if text.len() <= MAX_SECONDS_DIGITS {
            number.checked_mul(units::SECOND).ok_or_else(invalid)
        } else {
            Ok(number)
        };
    }
    let timestamp: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    i64::try_from(timestamp.as_nanosecond()).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_four_notations() {
        for (text, ns) in [
            ("4000000000", 4_000_000_000_000_000_000),
            ("1500000000.5", 1_500_000_000_500_000_000),
            ("1500000000123456789", 1_500_000_000_123_456_789),
            ("2026-01-01T00:00:00.000Z", 1_767_225_600_000_000_000),
            ("2026-01-01T01:00:00+01:00", 1_767_225_600_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_time(text), Ok(ns), "{text}");
        }
        for bad in ["yesterday", "1e99.0", "2026-01-01"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_follow_since() {
        let params = Params::of(&[("end", "1000"), ("since", "5m")]);
        assert_eq!(
            params.range().unwrap(),
            TimeRange { start_ns: 700 * units::SECOND, end_ns: 1000 * units::SECOND }
        );
        let params = Params::of(&[("end", "1000"), ("start", "900"), ("since", "5m")]);
        assert_eq!(params.range().unwrap().start_ns, 900 * units::SECOND);
        assert!(Params::of(&[("end", "1"), ("start", "2")]).range().is_err());
    }

    #[test]
    fn steps_are_checked() {
        let range = TimeRange { start_ns: 0, end_ns: 1000 * units::SECOND };
        assert_eq!(Params::of(&[]).step_ns(range).unwrap(), 4 * units::SECOND);
        assert_eq!(Params::of(&[("step", "1500ms")]).step_ns(range).unwrap(), 1_500_000_000);
        assert_eq!(Params::of(&[("step", "0.5")]).step_ns(range).unwrap(), 500_000_000);
        for bad in ["0", "-1", "x", "10ms"] {
            assert!(Params::of(&[("step", bad)]).step_ns(range).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_and_directions_are_checked() {
        assert_eq!(Params::of(&[]).limit("limit", 100).unwrap(), 100);
        for bad in ["0", "-5", "x"] {
            assert!(Params::of(&[("limit", bad)]).limit("limit", 100).is_err(), "{bad}");
        }
        assert_eq!(Params::of(&[("direction", "FORWARD")]).order().unwrap(), Order::Forward);
        assert!(Params::of(&[("direction", "up")]).order().is_err());
    }
}
