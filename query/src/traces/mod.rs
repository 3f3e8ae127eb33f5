//! Traces as every answer shows them: from the span index, or assembled here from the lines that are stored.
//!
//! The index knows a trace once it has closed. One that is still open, or was never indexed, is assembled from its
//! lines by the code that fills the index, so it has the same spans under the same ids either way.

pub mod containers;
mod critical;
mod ids;
mod lines;
pub mod resources;
#[cfg(test)]
mod tests;
mod tree;
pub mod waterfall;

use correlation::{Attribute, Config, Trace, TraceId, Value};
use store::{Reader, TraceQuery};

use crate::{Context, ExecError, time};
use ids::Ids;
use lines::Lines;
pub(crate) use lines::filter;

/// Name of the attribute that holds an id as logged.
pub(crate) const CORRELATION_ID: &str = "correlation_id";
/// Traces looked at that share one correlation id, the newest.
const MAX_SHARING: usize = 64;

/// A trace that was asked for by an id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) trace: Trace,
    /// Other traces that the id belongs to: a correlation id may be shared.
    pub(crate) others: Vec<TraceId>,
    /// Whether some of its lines could not be taken into account, because there are too many.
    pub(crate) is_cut: bool,
}

/// The trace of a trace id, which may be written short or in capitals, or of a correlation id as logged. Blocking.
///
/// # Errors
/// When the store cannot be read or the query may not go on.
pub(crate) fn find(
    reader: &Reader,
    id: &str,
    config: &Config,
    context: &Context,
) -> Result<Option<Found>, ExecError> {
    let ids = Ids::of(id);
    let (indexed, sharing) = from_index(reader, &ids)?;
    if let Some(trace) = indexed.as_ref().filter(|trace| is_settled(trace, config)) {
        return Ok(Some(Found { trace: trace.clone(), others: sharing, is_cut: false }));
    }
    let lines = Lines::of(reader, &ids, indexed.as_ref(), config, context)?;
    let mut assembled = lines.assemble(config);
    let wanted = indexed.as_ref().map(|trace| trace.id);
    let is_wanted = |trace: &Trace| wanted.is_none_or(|id| trace.id == id) && ids.is_asked_for(trace);
    // Of several, the newest: traces come by start.
    let best = assembled.iter().rposition(is_wanted);
    let mut trace = match best {
        Some(i) => assembled.swap_remove(i),
        None => return Ok(indexed.map(|trace| Found { trace, others: sharing, is_cut: lines.is_cut })),
    };
    if lines.is_cut {
        add_missing(&mut trace, indexed);
    }
    let mut others: Vec<TraceId> =
        assembled.iter().filter(|other| ids.is_asked_for(other)).map(|other| other.id).collect();
    others.extend(sharing);
    others.sort_unstable();
    others.dedup();
    others.retain(|other| *other != trace.id);
    Ok(Some(Found { trace, others, is_cut: lines.is_cut }))
}

/// The trace that the index has under one of the ids, and other traces that share the correlation id.
fn from_index(reader: &Reader, ids: &Ids) -> Result<(Option<Trace>, Vec<TraceId>), ExecError> {
    for id in &ids.traces {
        if let Some(trace) = Trace::of_rows(&reader.spans_of(id.0)?) {
            return Ok((Some(trace), Vec::new()));
        }
    }
    let query = TraceQuery {
        tags: vec![(CORRELATION_ID.to_owned(), ids.given.clone())],
        limit: MAX_SHARING,
        ..TraceQuery::default()
    };
    let mut sharing = reader.find_traces(&query)?.into_iter();
    let newest = match sharing.next() {
        Some(id) => Trace::of_rows(&reader.spans_of(id)?),
        None => None,
    };
    Ok((newest, sharing.map(TraceId).collect()))
}

/// Whether no line is expected to join a trace any more.
fn is_settled(trace: &Trace, config: &Config) -> bool {
    let nanos = |period: store::config::Period| i64::try_from(period.0.as_nanos()).unwrap_or(i64::MAX);
    let wait = nanos(config.idle).saturating_add(nanos(config.late)).saturating_add(nanos(config.max_age));
    let last = trace.spans.iter().map(|span| span.end_ns).max().unwrap_or(i64::MAX);
    last.saturating_add(wait) < time::now_ns()
}

/// Adds the spans that only the index has.
fn add_missing(trace: &mut Trace, indexed: Option<Trace>) {
    for span in indexed.into_iter().flat_map(|indexed| indexed.spans) {
        if trace.spans.iter().all(|known| known.span_id != span.span_id) {
            trace.spans.push(span);
        }
    }
    trace.spans.sort_by_key(|span| (span.start_ns, span.span_id));
}

/// The text that an attribute holds.
pub(crate) fn text_of<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| &*attribute.name == name).and_then(|attribute| {
        match &attribute.value {
            Value::Text(text) => Some(&**text),
            _ => None,
        }
    })
}
