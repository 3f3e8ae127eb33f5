//! Errors as answers: `{"error":"<kind>","message":"…"}`, with `position` where a query is wrong.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::exec::ExecError;
use crate::exec::cursor::CursorError;
use crate::exec::search::UnknownField;
use crate::logql;
use crate::search::SyntaxError;

/// An error as the client sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// Its kind, for programs.
    error: &'static str,
    /// What is wrong and what helps, for people.
    message: String,
    /// Characters of the query before the mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// The query with a caret under the mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

impl ApiError {
    /// An error of this status and kind.
    #[must_use]
    pub fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), position: None, pointer: None }
    }

    /// A parameter is wrong.
    #[must_use]
    pub fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", message)
    }

    /// It is our fault.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// A field of `query` that no record has.
    #[must_use]
    pub fn unknown_field(query: &str, field: &UnknownField) -> Self {
        let at =
            SyntaxError { query: query.to_owned(), position: field.position, message: field.to_string() };
        Self {
            position: Some(field.position),
            pointer: Some(at.pointer()),
            ..Self::new(StatusCode::BAD_REQUEST, "unknown_field", field.to_string())
        }
    }
}

impl From<SyntaxError> for ApiError {
    fn from(error: SyntaxError) -> Self {
        Self {
            position: Some(error.position),
            pointer: Some(error.pointer()),
            ..Self::new(StatusCode::BAD_REQUEST, "bad_query", error.to_string())
        }
    }
}

impl ApiError {
    /// `query` is not LogQL.
    #[must_use]
    pub fn not_logql(query: &str, error: &logql::ParseError) -> Self {
        let at = error.offset(query);
        let pointer = at.map(|position| {
            SyntaxError { query: query.to_owned(), position, message: String::new() }.pointer()
        });
        Self { position: at, pointer, ..Self::new(StatusCode::BAD_REQUEST, "bad_query", error.to_string()) }
    }
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_cursor", error.to_string())
    }
}

impl From<ExecError> for ApiError {
    fn from(error: ExecError) -> Self {
        let (status, kind) = match &error {
            ExecError::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "cancelled"),
            ExecError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            ExecError::TooManyBytes { .. } | ExecError::TooManyPoints { .. } => {
                (StatusCode::BAD_REQUEST, "too_big")
            }
            ExecError::Query(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            ExecError::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ExecError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
            ExecError::Panicked(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, kind, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
