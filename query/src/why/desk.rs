//! One verdict: the cause of a death, its last lines, and who fell with it.

use std::collections::{BTreeMap, HashMap};

use store::lifecycle::{self, Action};
use store::{Level, Reader, TimeRange};

use super::case::{Case, Timed};
use super::gather::{AROUND_NS, SECOND_NS, place};
use super::lookup::{field, search};
use super::pattern::{Past, pattern};
use super::{Cause, Neighbour, Verdict, judge, usage};
use crate::filter::field::ValueTest;
use crate::filter::{Filter, LevelSet, LevelTest};
use crate::{Context, ExecError, Hit, time};

/// Lines looked through for the last ones and the last errors before a death.
const MAX_LINES: usize = 400;
const SHOWN_LINES: usize = 10;
const SHOWN_ERRORS: usize = 5;
/// A longer line is cut in the report.
const MAX_LINE_BYTES: usize = 4096;
/// Lines are looked for this long before the death, and a little after the last one: its last words may be late.
const LINES_BEFORE_NS: i64 = 600 * SECOND_NS;
const LINES_AFTER_NS: i64 = 2 * SECOND_NS;
/// Others that fail in these seconds may have failed of it, or of the same.
const NEIGHBOURS_BEFORE_NS: i64 = 5 * SECOND_NS;
const NEIGHBOURS_AFTER_NS: i64 = 10 * SECOND_NS;
const MAX_NEIGHBOURS: usize = 20;

/// What all verdicts of one answer are made from.
pub(super) struct Desk<'a> {
    pub(super) reader: &'a Reader,
    pub(super) context: &'a Context,
    pub(super) own: &'a [Timed],
    pub(super) everyone: &'a [Timed],
}

impl Desk<'_> {
    /// Causes of all deaths considered, by place, by time.
    pub(super) fn past(&self, deaths: &[&Timed]) -> HashMap<(String, String), Vec<Past>> {
        let mut past: HashMap<_, Vec<Past>> = HashMap::new();
        for death in deaths {
            let (own, others) = self.events_of(death);
            let opinion = judge::judge(&Case { death, own: &own, others: &others });
            let known = Past { at_ns: death.at_ns, cause: opinion.cause, exit_code: death.event.exit_code };
            past.entry(place(death)).or_default().push(known);
        }
        past
    }

    /// Events of the container, and of everyone else around its death.
    fn events_of(&self, death: &Timed) -> (Vec<Timed>, Vec<Timed>) {
        let id = &death.event.container_id;
        let is_near = |e: &&Timed| (e.at_ns - death.at_ns).abs() <= AROUND_NS;
        let own = self.own.iter().filter(|e| e.event.container_id == *id);
        let others = self.everyone.iter().filter(is_near).filter(|e| e.event.container_id != *id);
        (own.cloned().collect(), others.cloned().collect())
    }

    pub(super) fn verdict(&self, death: &Timed, past: &[Past]) -> Result<Verdict, ExecError> {
        let (own, others) = self.events_of(death);
        let opinion = judge::judge(&Case { death, own: &own, others: &others });
        let lines = self.lines(death, &own)?;
        let index = past.iter().rposition(|p| p.at_ns == death.at_ns);
        let details = death.event.death.as_ref();
        let is_error = |hit: &&Hit| {
            let level = hit.metadata(crate::hit::LEVEL).and_then(Level::from_name);
            level.is_some_and(|level| matches!(level, Level::Error | Level::Critical | Level::Fatal))
        };
        Ok(Verdict {
            at: time::rfc3339(death.at_ns),
            container: death.event.container.clone(),
            container_id: death.event.container_id.clone(),
            service: death.event.service.clone(),
            image: death.event.image.clone(),
            generation: death.event.generation.clone(),
            exit_code: death.event.exit_code,
            cause: opinion.cause,
            blame: opinion.blame.map(str::to_owned),
            summary: opinion.summary,
            confidence: (opinion.confidence * 100.0).round() / 100.0,
            evidence: opinion.evidence,
            ran_ms: details.and_then(|d| d.ran_ms),
            usage: details.and_then(usage::trend),
            last_errors: last(lines.iter().filter(is_error), SHOWN_ERRORS),
            last_lines: last(lines.iter(), SHOWN_LINES),
            pattern: index.and_then(|index| pattern(past, index)),
            also_failed: self.neighbours(death, &others, opinion.cause)?,
        })
    }

    /// Lines of the run that ended, by time.
    ///
    /// Ends part runs, not starts: Docker tells of an end when the last line is in the log, but of a start some time
    /// after the program may have written its first lines.
    fn lines(&self, death: &Timed, own: &[Timed]) -> Result<Vec<Hit>, ExecError> {
        let id = death.event.container_id.as_str();
        let filter = Filter::And(vec![
            Filter::Not(Box::new(field("stream", ValueTest::equals(lifecycle::STREAM)))),
            field("container", ValueTest::equals(&death.event.container)),
            field("container_id", ValueTest::equals(id)),
        ]);
        let times = |action| own.iter().filter(move |e| e.event.action == action).map(|e| e.at_ns);
        let before_ns = death.at_ns.saturating_sub(LINES_BEFORE_NS);
        let start_ns = times(Action::Die)
            .filter(|at_ns| *at_ns < death.at_ns)
            .fold(before_ns, |start_ns, end_ns| start_ns.max(end_ns + 1));
        let late_ns = death.at_ns.saturating_add(LINES_AFTER_NS);
        let runs_again = times(Action::Start).any(|at_ns| (death.at_ns..late_ns).contains(&at_ns));
        let end_ns = if runs_again { death.at_ns.saturating_add(1) } else { late_ns };
        search(self.reader, filter, TimeRange { start_ns, end_ns }, MAX_LINES, self.context)
    }

    /// Others that ended badly, became unhealthy or wrote errors in the same seconds.
    fn neighbours(&self, death: &Timed, others: &[Timed], cause: Cause) -> Result<Vec<Neighbour>, ExecError> {
        let (from, to) = (death.at_ns - NEIGHBOURS_BEFORE_NS, death.at_ns + NEIGHBOURS_AFTER_NS);
        let mut neighbours: Vec<Neighbour> = Vec::new();
        let mut add = |service: &str, what: String, at_ns: i64| {
            if neighbours.len() < MAX_NEIGHBOURS {
                let after_ms = (at_ns - death.at_ns) / 1_000_000;
                neighbours.push(Neighbour { service: service.to_owned(), what, after_ms });
            }
        };
        for timed in others.iter().filter(|e| (from..=to).contains(&e.at_ns)) {
            let event = &timed.event;
            let is_bad = match event.action {
                Action::Die => event.exit_code != Some(0),
                Action::StartFailed => true,
                Action::HealthStatus => event.health.as_deref() == Some("unhealthy"),
                _ => false,
            };
            if is_bad {
                add(&event.service, event.msg.clone(), timed.at_ns);
            }
        }
        // An orderly end drags nobody along; then errors elsewhere are somebody else's story.
        if matches!(cause, Cause::CleanExit | Cause::StartFailure) {
            return Ok(neighbours);
        }
        for (service, (count, first_ns)) in
            self.errors(death, TimeRange { start_ns: death.at_ns, end_ns: to })?
        {
            let plural = if count == 1 { "" } else { "s" };
            add(&service, format!("{count} error line{plural}"), first_ns);
        }
        Ok(neighbours)
    }

    /// Number and first time of other services' error lines.
    fn errors(&self, death: &Timed, range: TimeRange) -> Result<BTreeMap<String, (usize, i64)>, ExecError> {
        let errors = LevelSet::of([Level::Error, Level::Critical, Level::Fatal]);
        let filter = Filter::And(vec![
            Filter::Not(Box::new(field("stream", ValueTest::equals(lifecycle::STREAM)))),
            Filter::Not(Box::new(field("service_name", ValueTest::equals(&death.event.service)))),
            Filter::Level(LevelTest { wanted: errors, otherwise: None }),
        ]);
        let mut found = BTreeMap::new();
        for hit in search(self.reader, filter, range, MAX_LINES, self.context)? {
            let service = hit.labels.get("service_name").unwrap_or_default().to_owned();
            found.entry(service).or_insert((0, hit.timestamp_ns)).0 += 1;
        }
        Ok(found)
    }
}

/// The last of the hits, their lines cut.
fn last<'a>(hits: impl DoubleEndedIterator<Item = &'a Hit>, count: usize) -> Vec<Hit> {
    let mut last: Vec<Hit> = hits.rev().take(count).cloned().collect();
    for hit in &mut last {
        hit.line.truncate(MAX_LINE_BYTES);
    }
    last.reverse();
    last
}
