//! Searches in the store for events and lines.

use store::lifecycle::Event;
use store::{Reader, TimeRange};

use super::case::Timed;
use crate::exec::search::{Search, SearchRequest};
use crate::exec::select::Order;
use crate::filter::field::ValueTest;
use crate::filter::{FieldTest, Filter};
use crate::{Context, ExecError, Hit};

/// Events read for one answer, newest first: about 0.5 kB each.
const MAX_EVENTS: usize = 20_000;

/// The field `name` passes the test.
pub(super) fn field(name: &str, test: ValueTest) -> Filter {
    Filter::Field(FieldTest::new(name, 0, test))
}

/// The newest hits, by time.
pub(super) fn search(
    reader: &Reader,
    filter: Filter,
    range: TimeRange,
    limit: usize,
    context: &Context,
) -> Result<Vec<Hit>, ExecError> {
    let request = SearchRequest {
        query: String::new(),
        question: crate::exec::question::Question::Filter(filter),
        range,
        order: Order::Backward,
        cursor: None,
    };
    let mut search = Search::begin(reader, request, context)?;
    let mut hits = search.next_page(limit, context)?;
    while search.more() && hits.len() < limit {
        hits.extend(search.next_page(limit - hits.len(), context)?);
    }
    hits.reverse();
    Ok(hits)
}

/// Events by time, the newest when there are too many.
pub(super) fn events(
    reader: &Reader,
    filter: Filter,
    range: TimeRange,
    context: &Context,
) -> Result<Vec<Timed>, ExecError> {
    let hits = search(reader, filter, range, MAX_EVENTS, context)?;
    let timed = hits
        .into_iter()
        .filter_map(|hit| Some(Timed { at_ns: hit.timestamp_ns, event: Event::of_line(&hit.line)? }));
    Ok(timed.collect())
}
