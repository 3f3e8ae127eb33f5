//! `traces`: the traces that have a span which fits, or those named by `traceID`.
//!
//! A search reads the span index alone, so a trace is found once it has closed. What it shows of a trace is all of
//! it, bounded by [`MAX_SPANS`] over the whole answer.

use axum::Json;
use axum::extract::State;
use correlation::Trace;
use store::Reader;

use super::error::JaegerError;
use super::model::{Envelope, Fault, JaegerTrace};
use super::params::Params;
use crate::http::AppState;
use crate::{Context, ExecError, traces};

/// Spans of one answer, about 2 kB each. The trace that goes beyond is the last, and says so.
const MAX_SPANS: usize = 50_000;

type Traces = Json<Envelope<Vec<JaegerTrace>>>;

pub(super) async fn search(State(state): State<AppState>, params: Params) -> Result<Traces, JaegerError> {
    let ids = params.trace_ids()?;
    if !ids.is_empty() {
        return named(&state, ids).await;
    }
    let query = params.trace_query()?;
    let found = state.run(move |reader, context| {
        let ids = reader.find_traces(&query)?;
        stored(reader, &ids, context)
    });
    Ok(Json(Envelope::of(found.await?)))
}

/// The traces of the index with these ids.
fn stored(reader: &Reader, ids: &[[u8; 16]], context: &Context) -> Result<Vec<JaegerTrace>, ExecError> {
    let mut shown = Vec::with_capacity(ids.len());
    let mut spans = 0;
    for (place, id) in ids.iter().enumerate() {
        context.check()?;
        // One that was deleted meanwhile has no spans, and is none.
        let Some(trace) = Trace::of_rows(&reader.spans_of(*id)?) else { continue };
        spans += trace.spans.len();
        let left_out = ids.len() - place - 1;
        if spans > MAX_SPANS && left_out > 0 {
            let warning = format!(
                "{left_out} more traces were found and left out, because the answer has {spans} spans; \
                 ask for a shorter time or a lower limit"
            );
            shown.push(JaegerTrace::new(&trace, vec![warning]));
            break;
        }
        shown.push(JaegerTrace::new(&trace, Vec::new()));
    }
    Ok(shown)
}

/// The traces named; those that are not known are errors beside the others.
async fn named(state: &AppState, ids: Vec<String>) -> Result<Traces, JaegerError> {
    let config = state.config().traces.clone();
    let found = state.run(move |reader, context| {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for id in ids {
            match traces::find(reader, &id, &config, context)? {
                Some(found) => known.push(super::trace::shown(&found)),
                None => unknown.push(id),
            }
        }
        Ok((known, unknown))
    });
    let (known, unknown) = found.await?;
    let fault = |id| Fault { code: 404, msg: "trace not found".to_owned(), trace_id: Some(id) };
    let errors: Vec<Fault> = unknown.into_iter().map(fault).collect();
    Ok(Json(Envelope { errors: (!errors.is_empty()).then_some(errors), ..Envelope::of(known) }))
}
