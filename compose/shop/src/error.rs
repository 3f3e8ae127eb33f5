//! What can go wrong in a request, and the answer that follows from it.
//!
//! A failure knows the places in the code that it passed, from its origin up: services that print stack traces
//! print these.

use std::fmt;
use std::panic::Location;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request could not be done.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    places: Vec<&'static Location<'static>>,
}

/// What a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request makes no sense.
    Invalid,
    /// What is asked for does not exist.
    NotFound,
    /// It was refused for good: asking again changes nothing.
    Declined,
    /// A service that was called failed.
    Upstream,
    /// A service that was called did not answer in time.
    Timeout,
    /// The circuit breaker is open: nobody was called.
    Rejected,
    /// The database failed.
    Database,
    /// Broken on purpose.
    Injected,
}

impl Kind {
    /// The HTTP status that says so.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Rejected | Self::Database => StatusCode::SERVICE_UNAVAILABLE,
            Self::Injected => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The class of exception under which stack traces show it.
    const fn class(self) -> &'static str {
        match self {
            Self::Invalid => "shop.InvalidRequestException",
            Self::NotFound => "shop.NotFoundException",
            Self::Declined => "shop.DeclinedException",
            Self::Upstream => "shop.UpstreamException",
            Self::Timeout => "shop.TimeoutException",
            Self::Rejected => "shop.CircuitOpenException",
            Self::Database => "shop.DatabaseException",
            Self::Injected => "shop.InjectedException",
        }
    }
}

// === impl Failure ===

impl Failure {
    #[track_caller]
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), places: vec![Location::caller()] }
    }

    /// A service that was called failed.
    #[track_caller]
    pub(crate) fn upstream(upstream: &str, message: impl std::fmt::Display) -> Self {
        Self::new(Kind::Upstream, format!("{upstream}: {message}"))
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether asking again may help.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Upstream | Kind::Timeout)
    }

    /// The same failure, seen from one call further up.
    #[track_caller]
    pub(crate) fn passed(mut self) -> Self {
        self.places.push(Location::caller());
        self
    }

    /// The failure and the places it passed, as the JVM prints them.
    pub(crate) fn stack_trace(&self) -> String {
        let mut text = format!("{}: {}", self.kind.class(), self.message);
        for place in &self.places {
            let file = place.file().rsplit('/').next().unwrap_or_default();
            let module = file.trim_end_matches(".rs");
            text.push_str(&format!("\n\tat shop.{module}.call({file}:{})", place.line()));
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut response = (status, Json(json!({ "error": self.message }))).into_response();
        // The frame logs it together with the request it belongs to.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_trace_begins_where_the_failure_began() {
        let failure = Failure::new(Kind::Timeout, "payment: no answer within 3000 ms").passed();
        let trace = failure.stack_trace();
        let lines: Vec<&str> = trace.lines().collect();
        assert_eq!(lines[0], "shop.TimeoutException: payment: no answer within 3000 ms");
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("\tat shop.error.call(error.rs:"), "{trace}");
    }

    #[test]
    fn only_failures_of_others_are_worth_another_try() {
        for (kind, is_transient) in [
            (Kind::Upstream, true),
            (Kind::Timeout, true),
            (Kind::Rejected, false),
            (Kind::Declined, false),
            (Kind::Invalid, false),
        ] {
            assert_eq!(Failure::new(kind, "x").is_transient(), is_transient, "{kind:?}");
        }
    }
}
