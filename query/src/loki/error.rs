//! Errors as Loki gives them: plain text.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::exec::ExecError;
use crate::logql::ParseError;
use crate::logql::eval::EvalError;

/// An error as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LokiError {
    status: StatusCode,
    message: String,
}

impl LokiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The client's fault.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl std::fmt::Display for LokiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ParseError> for LokiError {
    fn from(error: ParseError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<EvalError> for LokiError {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Query(message) => Self::bad(message),
            EvalError::Exec(error) => error.into(),
        }
    }
}

impl From<ExecError> for LokiError {
    /// Grafana acts on some of these words: it retries after `timed out` and stops at `too many bytes`.
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Query(message) => Self::bad(message),
            ExecError::Cancelled => Self::new(
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
                "the request was cancelled by the client",
            ),
            ExecError::Timeout { .. } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "request timed out, decrease the duration of the request or add more label matchers (prefer exact \
                 match over regex match) to reduce the amount of data processed",
            ),
            ExecError::TooManyBytes { limit } => Self::bad(format!(
                "the query would read too many bytes (limit: {}). Consider adding more specific stream selectors, \
                 reduce the time range of the query, or raise `query.max_decoded_bytes`",
                store::config::ByteSize(limit)
            )),
            ExecError::TooManyPoints { limit, hint } => Self::bad(format!(
                "the query needs more than {limit} series or samples: {hint}, or raise `query.loki.max_inner_series`"
            )),
            ExecError::Busy { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, format!("too many outstanding requests: {error}"))
            }
            ExecError::Store(_) | ExecError::Panicked(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}

impl IntoResponse for LokiError {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (self.status, headers, format!("{}\n", self.message)).into_response()
    }
}
