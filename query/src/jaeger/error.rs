//! Errors in Jaeger's two shapes: `{"data":null,…,"errors":[{"code":404,"msg":"…"}]}`, and for version 3
//! `{"error":{"httpCode":404,"message":"…"}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::model::{Envelope, Fault};
use crate::ExecError;

/// An error as clients of version 1 see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JaegerError {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl JaegerError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The client's fault.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Never an empty answer: older versions of Grafana look at the first trace unseen.
    pub(super) fn trace_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "trace not found")
    }
}

impl From<ExecError> for JaegerError {
    fn from(error: ExecError) -> Self {
        let status = match &error {
            ExecError::Cancelled | ExecError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ExecError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            ExecError::TooManyBytes { .. } | ExecError::TooManyPoints { .. } | ExecError::Query(_) => {
                StatusCode::BAD_REQUEST
            }
            ExecError::Store(_) | ExecError::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for JaegerError {
    fn into_response(self) -> Response {
        let fault = Fault { code: self.status.as_u16(), msg: self.message, trace_id: None };
        let body = Envelope::<()> { data: None, total: 0, limit: 0, offset: 0, errors: Some(vec![fault]) };
        answer(self.status, Json(body))
    }
}

/// An error as clients of version 3 see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V3Error(JaegerError);

impl<E: Into<JaegerError>> From<E> for V3Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for V3Error {
    fn into_response(self) -> Response {
        let JaegerError { status, message } = self.0;
        answer(status, Json(json!({ "error": { "httpCode": status.as_u16(), "message": message } })))
    }
}

fn answer(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
