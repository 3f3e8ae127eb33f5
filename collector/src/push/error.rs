//! Why a push is refused, and how each protocol says so: Loki in plain text, OTLP with a status message.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use store::config::{ByteSize, Period};
use store::writer::StoreError;

use super::refused::Refused;
use super::timing::{self, Timing};
use super::{Format, wire};

/// Senders that are asked to come back do so after this many seconds.
const RETRY_AFTER_SECONDS: &str = "2";

/// Why a push is refused. Nothing of it is stored, but for [`PushError::Lines`].
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    /// The request is wrong and will be wrong again.
    #[error("{0}")]
    Bad(String),
    /// Some lines are wrong; all others of the request are stored.
    #[error("{0}")]
    Lines(Refused),
    #[error("error at least one valid stream is required for ingestion")]
    Empty,
    #[error("Content-Encoding \"{0}\" not supported; send gzip, deflate, snappy or none")]
    ContentEncoding(String),
    #[error("content type `{0}` is not supported; send application/json or application/x-protobuf")]
    MediaType(String),
    #[error("the body is larger than {limit} as sent (setting ingest.push.max_body_bytes)")]
    BodyTooLarge { limit: ByteSize },
    #[error("the body is larger than {limit} decompressed (setting ingest.push.max_decoded_bytes)")]
    DecodedTooLarge { limit: ByteSize },
    #[error("more than {0} lines in one request (setting ingest.push.max_entries)")]
    TooManyEntries(usize),
    #[error(
        "the lines of the request lie in more than {0} different hours; send them in the order of time, in smaller \
         requests (setting ingest.push.max_hours)"
    )]
    TooManyHours(usize),
    #[error("the body did not arrive within {}", Period(*.0))]
    BodyLate(Duration),
    #[error(
        "requests of {0} are being received already (settings ingest.push.max_concurrent, \
         ingest.push.max_body_bytes); try again"
    )]
    NoSpace(ByteSize),
    #[error("{0} requests are being stored already (setting ingest.push.max_concurrent); try again")]
    Busy(usize),
    #[error("the same request is being stored already; try again for its result")]
    InFlight,
    #[error("cannot store: {0}")]
    Store(#[from] StoreError),
    #[error("internal error: {0}")]
    Internal(String),
}

impl PushError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) | Self::Lines(_) | Self::ContentEncoding(_) => StatusCode::BAD_REQUEST,
            Self::Empty => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. }
            | Self::DecodedTooLarge { .. }
            | Self::TooManyEntries(_)
            | Self::TooManyHours(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyLate(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoSpace(_) | Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::InFlight | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn can_be_retried(&self) -> bool {
        matches!(self, Self::NoSpace(_) | Self::Busy(_) | Self::InFlight | Self::Store(_))
    }
}

/// What storing took; `None` when nothing had to be stored.
pub(super) type Answer = Result<Option<Timing>, PushError>;

/// Status of the answer to a Loki push.
pub(super) fn loki_status(answer: &Answer) -> StatusCode {
    answer.as_ref().map_or_else(PushError::status, |_| StatusCode::NO_CONTENT)
}

/// Loki's answer: 204, or the reason in plain text.
pub(super) fn loki_response(answer: Answer) -> Response {
    let status = loki_status(&answer);
    let error = match answer {
        Ok(timing) => return timed(response(status, None, Body::empty(), false), timing),
        Err(error) => error,
    };
    response(status, Some("text/plain; charset=utf-8"), format!("{error}\n").into(), error.can_be_retried())
}

/// Status of the answer to an OTLP export.
pub(super) fn otlp_status(answer: &Answer) -> StatusCode {
    match answer {
        // An export without records is valid there.
        Ok(_) | Err(PushError::Empty) => StatusCode::OK,
        Err(PushError::Lines(refused)) if refused.is_partial() => StatusCode::OK,
        Err(error) => error.status(),
    }
}

/// OTLP's answer in the notation of the request: an `ExportLogsServiceResponse`, which tells what was refused of a
/// request otherwise stored, or a `google.rpc.Status`.
pub(super) fn otlp_response(answer: Answer, format: Format) -> Response {
    let status = otlp_status(&answer);
    let json = format == Format::OtlpJson;
    let content_type = if json { "application/json" } else { "application/x-protobuf" };
    let timing = answer.as_ref().ok().copied().flatten();
    let (body, retry) = match answer {
        Ok(_) | Err(PushError::Empty) => (if json { b"{}".to_vec() } else { Vec::new() }, false),
        Err(PushError::Lines(refused)) if refused.is_partial() => (partial_success(&refused, json), false),
        Err(error) => {
            // Codes of gRPC: INVALID_ARGUMENT for what is wrong, UNAVAILABLE for what may be tried again.
            let (retry, message) = (error.can_be_retried(), error.to_string());
            let code = if retry { 14 } else { 3 };
            let body = match json {
                true => serde_json::json!({ "code": code, "message": message }).to_string().into_bytes(),
                false => wire::status_message(code, &message),
            };
            (body, retry)
        }
    };
    timed(response(status, Some(content_type), body.into(), retry), timing)
}

fn timed(mut response: Response, timing: Option<Timing>) -> Response {
    if let Some(value) = timing.and_then(|timing| timing.header()) {
        response.headers_mut().insert(timing::HEADER, value);
    }
    response
}

fn partial_success(refused: &Refused, json: bool) -> Vec<u8> {
    let (lines, message) = (refused.lines(), refused.to_string());
    if !json {
        return wire::partial_success(lines as u64, &message);
    }
    // JSON of protobuf writes numbers of 64 bits as text.
    let partial = serde_json::json!({ "rejectedLogRecords": lines.to_string(), "errorMessage": message });
    serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
}

fn response(status: StatusCode, content_type: Option<&'static str>, body: Body, retry: bool) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    response
}
