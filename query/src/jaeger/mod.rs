//! Jaeger's query API under `/jaeger/api`, for clients made for Jaeger: Grafana's data source above all.
//!
//! What is odd about it is theirs: microseconds in searches but milliseconds in dependencies, tags as JSON in a
//! parameter, 404 for a trace that is not known. Every trace in an answer has at least one span, because Grafana's
//! plugin ends on one that has none.

mod dependencies;
mod error;
mod model;
mod params;
mod search;
mod services;
#[cfg(test)]
mod tests;
mod trace;
mod v3;

use axum::http::{Method, StatusCode, Uri};
use axum::routing::{MethodRouter, any, get};

use crate::http::AppState;
use error::{JaegerError, V3Error};

/// Every route of the API and what answers it.
pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<AppState>)> {
    let v1 = |handler: MethodRouter<AppState>| handler.fallback(wrong_method);
    let v3 = |handler: MethodRouter<AppState>| handler.fallback(wrong_v3_method);
    vec![
        ("/jaeger/api/services", v1(get(services::services))),
        ("/jaeger/api/services/{service}/operations", v1(get(services::operations_of))),
        ("/jaeger/api/operations", v1(get(services::operations))),
        ("/jaeger/api/traces", v1(get(search::search))),
        ("/jaeger/api/traces/{id}", v1(get(trace::trace))),
        ("/jaeger/api/dependencies", v1(get(dependencies::dependencies))),
        ("/jaeger/api/v3/services", v3(get(v3::services))),
        ("/jaeger/api/v3/operations", v3(get(v3::operations))),
        ("/jaeger/api/v3/traces/{id}", v3(get(v3::trace))),
        ("/jaeger/api/{*rest}", any(unknown_path)),
    ]
}

async fn unknown_path(uri: Uri) -> JaegerError {
    JaegerError::new(StatusCode::NOT_FOUND, format!("there is nothing at `{}`", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> JaegerError {
    let message = format!("`{}` answers GET, not {method}", uri.path());
    JaegerError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

async fn wrong_v3_method(method: Method, uri: Uri) -> V3Error {
    wrong_method(method, uri).await.into()
}
