//! `dependencies`: which service called which, how often.
//!
//! Counted from the spans of the traces that have one in the time asked for: the newest [`MAX_TRACES`] of them.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::State;
use correlation::{SpanId, Trace};
use serde::Serialize;
use store::{Reader, TimeRange, TraceQuery};

use super::error::JaegerError;
use super::model::Envelope;
use super::params::Params;
use crate::http::AppState;
use crate::{Context, ExecError};

/// Traces looked at; they are read one by one, some ten thousand in a second.
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
        if let Some(trace) = Trace::of_rows(&reader.spans_of(id)?) {
            add(&trace, &mut calls);
        }
    }
    let dependency = |((parent, child), call_count)| Dependency { parent, child, call_count };
    Ok(calls.into_iter().map(dependency).collect())
}

/// A call is a span whose parent is another service's.
fn add(trace: &Trace, calls: &mut BTreeMap<(String, String), u64>) {
    let services: HashMap<SpanId, &str> =
        trace.spans.iter().map(|span| (span.span_id, &*span.resource.service)).collect();
    for span in &trace.spans {
        let child = &*span.resource.service;
        let parent = span.parent_id.and_then(|parent| services.get(&parent));
        if let Some(parent) = parent.filter(|parent| **parent != child) {
            *calls.entry(((*parent).to_owned(), child.to_owned())).or_default() += 1;
        }
    }
}
