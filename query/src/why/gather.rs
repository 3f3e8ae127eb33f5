//! From the store to a report: events, deaths, and what surrounds them.
//!
//! Bounded throughout: events, deaths and lines have limits, and each search runs under the query's own.

use store::lifecycle::{self, Action};
use store::{Reader, TimeRange};

use super::Report;
use super::case::Timed;
use super::desk::Desk;
use super::lookup::{events, field};
use crate::filter::Filter;
use crate::filter::field::ValueTest;
use crate::{Context, ExecError};

/// Deaths looked at for patterns, beyond those reported.
const PATTERN_DEATHS: usize = 100;
pub(super) const SECOND_NS: i64 = 1_000_000_000;
/// What leads to a death, and what follows from it, lies within this time.
pub(super) const AROUND_NS: i64 = 700 * SECOND_NS;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Name, service, or the beginning of the id of a container; empty for all.
    pub target: String,
    /// Time of the deaths.
    pub range: TimeRange,
    /// Most deaths to report, newest first.
    pub limit: usize,
}

/// Answers the question. Blocking.
///
/// # Errors
/// When the store cannot be read or the query may not go on.
pub fn why(reader: &Reader, question: &Question, context: &Context) -> Result<Report, ExecError> {
    let target = question.target.trim().trim_start_matches('/');
    let rows: Vec<_> = reader
        .containers()?
        .into_iter()
        .filter(|row| !target.is_empty() && is_meant(target, &row.name, &row.service, &row.id))
        .collect();
    let read = widened(question.range, 6 * AROUND_NS, AROUND_NS);
    let mut own = events(reader, target_filter(target), read, context)?;
    // The filter finds words; `web` is also a word of `web-2`.
    own.retain(|e| {
        target.is_empty() || is_meant(target, &e.event.container, &e.event.service, &e.event.container_id)
    });
    let deaths: Vec<&Timed> = own.iter().filter(|e| is_death(e)).collect();
    let asked: Vec<&Timed> =
        deaths.iter().rev().copied().filter(|e| question.range.contains(e.at_ns)).collect();
    let considered = asked.len().min(question.limit) + PATTERN_DEATHS;
    let considered: Vec<&Timed> =
        deaths.iter().copied().skip(deaths.len().saturating_sub(considered)).collect();
    let everyone = surroundings(reader, &considered, &own, target, context)?;

    let desk = Desk { reader, context, own: &own, everyone: &everyone };
    let past = desk.past(&considered);
    let mut reported = Vec::new();
    for death in asked.iter().take(question.limit) {
        reported.push(desk.verdict(death, past.get(&place(death)).map_or(&[], Vec::as_slice))?);
    }
    Ok(Report {
        target: target.to_owned(),
        known: target.is_empty() || !rows.is_empty() || !own.is_empty(),
        now: rows.iter().map(|row| format!("{} is {}", row.name, row.state)).collect(),
        more: asked.len() > reported.len(),
        deaths: reported,
    })
}

fn is_meant(target: &str, name: &str, service: &str, id: &str) -> bool {
    target == name || target == service || is_id_prefix(target) && id.starts_with(target)
}

/// Four digits are what people type of an id at least; fewer would meet names.
fn is_id_prefix(target: &str) -> bool {
    target.len() >= 4 && target.bytes().all(|b| b.is_ascii_hexdigit())
}

fn target_filter(target: &str) -> Filter {
    let is_event = field("stream", ValueTest::equals(lifecycle::STREAM));
    if target.is_empty() {
        return is_event;
    }
    let mut meant =
        vec![field("container", ValueTest::equals(target)), field("service_name", ValueTest::equals(target))];
    if is_id_prefix(target) {
        meant.push(field("container_id", ValueTest::prefix(target)));
    }
    Filter::And(vec![is_event, Filter::Or(meant)])
}

const fn widened(range: TimeRange, before_ns: i64, after_ns: i64) -> TimeRange {
    TimeRange {
        start_ns: range.start_ns.saturating_sub(before_ns),
        end_ns: range.end_ns.saturating_add(after_ns),
    }
}

const fn is_death(timed: &Timed) -> bool {
    matches!(timed.event.action, Action::Die | Action::StartFailed)
}

/// Deaths in one place repeat: recreated containers keep project and name.
pub(super) fn place(timed: &Timed) -> (String, String) {
    (timed.event.project.clone(), timed.event.container.clone())
}

/// Events of the containers with these ids, by time.
///
/// # Errors
/// When the store cannot be read or the query may not go on.
pub(crate) fn events_of(
    reader: &Reader,
    ids: &[&str],
    range: TimeRange,
    context: &Context,
) -> Result<Vec<Timed>, ExecError> {
    let is_one = ids.iter().map(|id| field("container_id", ValueTest::equals(id))).collect();
    let is_event = field("stream", ValueTest::equals(lifecycle::STREAM));
    events(reader, Filter::And(vec![is_event, Filter::Or(is_one)]), range, context)
}

/// Events of everyone around the deaths; those of all are there already when all were asked for.
fn surroundings(
    reader: &Reader,
    deaths: &[&Timed],
    own: &[Timed],
    target: &str,
    context: &Context,
) -> Result<Vec<Timed>, ExecError> {
    let (Some(first), Some(last)) = (deaths.first(), deaths.last()) else { return Ok(Vec::new()) };
    if target.is_empty() {
        return Ok(own.to_vec());
    }
    let range = TimeRange { start_ns: first.at_ns, end_ns: last.at_ns };
    events(reader, target_filter(""), widened(range, AROUND_NS, AROUND_NS), context)
}
