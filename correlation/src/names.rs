//! Names and values that every span repeats, allocated once.

use std::sync::{Arc, LazyLock};

use crate::hash::HashMap;

const KNOWN: [&str; 41] = [
    "span.kind",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
    "true",
    "200",
    "binnacle.inferred",
    "binnacle.lines",
    "binnacle.parent",
    "correlation_id",
    "error.type",
    "exception.stacktrace",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "log.severity",
    "url.path",
    "logged",
    "enclosing",
    "root",
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "critical",
    "fatal",
    "unknown",
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "_OTHER",
    "unset",
];

static SHARED: LazyLock<HashMap<&'static str, Arc<str>>> =
    LazyLock::new(|| KNOWN.into_iter().map(|name| (name, Arc::from(name))).collect());

/// The text, shared where it is a common one.
pub(crate) fn name(text: &str) -> Arc<str> {
    SHARED.get(text).cloned().unwrap_or_else(|| Arc::from(text))
}
