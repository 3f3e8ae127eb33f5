//! `dependencies`: which service called which, how often.
//!
//! Counted from the spans of the traces that have one in the time asked for: the newest [`MAX_TRACES`] of them.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::State;
use correlation::{Span, SpanId};
use serde::Serialize;
use store::{Reader, StoredSpan, TimeRange, TraceQuery};

use super::error::JaegerError;
use super::model::Envelope;
use super::params::Params;
use crate::http::AppState;
use crate::{Context, ExecError};

/// Traces looked at: of their spans all that is read is who made them and who called them.
const MAX_TRACES: usize = 10_000;

/// Calls from one service to another.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    parent: String,
    child: String,
    call_count: u64,
}

pub(super) async fn dependencies(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Envelope<Vec<Dependency>>>, JaegerError> {
    let range = params.dependency_range()?;
    let counted = state.run(move |reader, context| count(reader, range, context));
    Ok(Json(Envelope::of(counted.await?)))
}

fn count(reader: &Reader, range: TimeRange, context: &Context) -> Result<Vec<Dependency>, ExecError> {
    let query = TraceQuery { range, limit: MAX_TRACES, ..TraceQuery::default() };
    let mut calls: BTreeMap<(String, String), u64> = BTreeMap::new();
    for id in reader.find_traces(&query)? {
        context.check()?;
        add(&reader.spans_of(id)?, &mut calls);
    }
    let dependency = |((parent, child), call_count)| Dependency { parent, child, call_count };
    Ok(calls.into_iter().map(dependency).collect())
}

/// A call is a span whose parent is another service's.
fn add(spans: &[StoredSpan], calls: &mut BTreeMap<(String, String), u64>) {
    let services: HashMap<SpanId, &str> =
        spans.iter().map(|row| (SpanId(row.span.span_id), &*row.span.service)).collect();
    for row in spans {
        let child = &*row.span.service;
        let parent = Span::parent_of_row(row).and_then(|parent| services.get(&parent));
        if let Some(parent) = parent.filter(|parent| **parent != child) {
            *calls.entry(((*parent).to_owned(), child.to_owned())).or_default() += 1;
        }
    }
}
