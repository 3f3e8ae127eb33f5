//! The stored lines of a trace: those that hold its id, and those that hold a correlation id that leads to it.
//!
//! Ids lead from one to the next (a line may hold two), so lines are looked for in a few rounds. Each line is
//! taken once. Bounded in lines and in ids; what is left out is told by [`Lines::is_cut`].

use std::collections::BTreeSet;

use correlation::{Config, Trace, TraceId, assemble};
use store::config::Period;
use store::record::attribute;
use store::{Level, Origin, Pair, Reader, Record, TimeRange};

use super::ids::{Ids, notations};
use super::{CORRELATION_ID, text_of};
use crate::exec::question::Question;
use crate::exec::search::{Search, SearchRequest};
use crate::exec::select::Order;
use crate::filter::field::ValueTest;
use crate::filter::{FieldTest, Filter};
use crate::hit::LEVEL;
use crate::{Context, ExecError, Hit};

/// Ids followed for one trace: each is looked for in every block's filter.
const MAX_IDS: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    records: Vec<Record>,
    pub(super) is_cut: bool,
}

impl Lines {
    /// The lines that the ids lead to; `indexed` is what the span index has of the trace.
    pub(super) fn of(
        reader: &Reader,
        ids: &Ids,
        indexed: Option<&Trace>,
        config: &Config,
        context: &Context,
    ) -> Result<Self, ExecError> {
        let mut next: BTreeSet<String> = [ids.given.clone()].into();
        if ids.is_trace_id {
            next.extend(ids.traces.first().copied().into_iter().flat_map(notations));
        }
        if let Some(trace) = indexed {
            next.extend(notations(trace.id));
            next.extend(correlation_ids(trace));
        }
        // Trace id, then correlation ids; and a correlation id leads to trace ids first.
        let rounds = if ids.is_trace_id || indexed.is_some() { 2 } else { 3 };
        let mut lines = Self::default();
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut range = TimeRange::ALL;
        for _ in 0..rounds {
            let room = MAX_IDS.saturating_sub(known.len());
            lines.is_cut |= next.len() > room;
            let wanted: Vec<String> = std::mem::take(&mut next).into_iter().take(room).collect();
            if wanted.is_empty() {
                break;
            }
            let request = request(&wanted, &known, range);
            known.extend(wanted);
            let found = lines.take(reader, request, config.max_trace_lines, context)?;
            next = lines.records[found..].iter().flat_map(ids_of).filter(|id| !known.contains(id)).collect();
            range = lines.around(config);
        }
        Ok(lines)
    }

    /// The traces they tell of, by start.
    pub(super) fn assemble(&self, config: &Config) -> Vec<Trace> {
        assemble(&self.records, config)
    }

    /// Adds what a search finds; returns how many lines there were before.
    fn take(
        &mut self,
        reader: &Reader,
        request: SearchRequest,
        most: usize,
        context: &Context,
    ) -> Result<usize, ExecError> {
        let before = self.records.len();
        let mut search = Search::begin(reader, request, context)?;
        while search.more() {
            let room = most.saturating_sub(self.records.len());
            if room == 0 {
                self.is_cut = true;
                break;
            }
            self.records.extend(search.next_page(room, context)?.into_iter().map(record));
        }
        Ok(before)
    }

    /// The time in which lines can be of the same trace as those found: the assembler forgets an id afterwards.
    fn around(&self, config: &Config) -> TimeRange {
        let nanos = |period: Period| i64::try_from(period.0.as_nanos()).unwrap_or(i64::MAX);
        let reach =
            nanos(config.idle).saturating_add(nanos(config.late)).saturating_add(nanos(config.max_age));
        let times = || self.records.iter().map(|record| record.timestamp_ns);
        TimeRange {
            start_ns: times().min().unwrap_or(i64::MIN).saturating_sub(reach),
            end_ns: times().max().unwrap_or(i64::MAX).saturating_add(reach),
        }
    }
}

/// The lines of a trace: those with its id, and those that have a correlation id of it and no trace id.
pub(crate) fn filter(trace: &Trace) -> Filter {
    let has = |name, test| Filter::Field(FieldTest::new(name, 0, test));
    let by_trace = notations(trace.id).into_iter().map(|id| has(attribute::TRACE_ID, ValueTest::equals(&id)));
    let correlated = correlation_ids(trace)
        .iter()
        .map(|id| has(attribute::CORRELATION_ID, ValueTest::equals(id)))
        .collect();
    let of_no_trace = Filter::Not(Box::new(has(attribute::TRACE_ID, ValueTest::Exists)));
    let by_correlation = Filter::And(vec![Filter::Or(correlated), of_no_trace]);
    Filter::Or(by_trace.chain([by_correlation]).collect())
}

/// The correlation ids that the spans of a trace tell of, some at most.
fn correlation_ids(trace: &Trace) -> BTreeSet<String> {
    let logged = trace.spans.iter().filter_map(|span| text_of(&span.attributes, CORRELATION_ID));
    logged.map(str::to_owned).collect::<BTreeSet<String>>().into_iter().take(MAX_IDS).collect()
}

/// Lines with one of these ids and none of those that were looked for before.
fn request(wanted: &[String], known: &BTreeSet<String>, range: TimeRange) -> SearchRequest {
    let holds = |ids: &mut dyn Iterator<Item = &String>| {
        let tests = ids.flat_map(|id| {
            [attribute::TRACE_ID, attribute::CORRELATION_ID]
                .map(|name| Filter::Field(FieldTest::new(name, 0, ValueTest::equals(id))))
        });
        Filter::Or(tests.collect())
    };
    let mut filter = holds(&mut wanted.iter());
    if !known.is_empty() {
        filter = Filter::And(vec![filter, Filter::Not(Box::new(holds(&mut known.iter())))]);
    }
    SearchRequest {
        query: String::new(),
        question: Question::Filter(filter),
        range,
        order: Order::Forward,
        cursor: None,
    }
}

/// The ids by which further lines of its trace may be found.
fn ids_of(record: &Record) -> Vec<String> {
    let mut ids: Vec<String> =
        record.pair(attribute::CORRELATION_ID).map(str::to_owned).into_iter().collect();
    if let Some(id) = record.pair(attribute::TRACE_ID) {
        match TraceId::parse(id) {
            Some(id) => ids.extend(notations(id)),
            None => ids.push(id.to_owned()),
        }
    }
    ids
}

/// The record of a hit, as far as traces need it.
fn record(hit: Hit) -> Record {
    let level = hit.metadata(LEVEL).and_then(Level::from_name).unwrap_or_default();
    let pair = |(name, value): (String, String)| Pair {
        origin: Origin::Derived,
        name: name.into(),
        value: value.into(),
    };
    Record {
        timestamp_ns: hit.timestamp_ns,
        labels: hit.labels,
        line: hit.line.into(),
        level,
        pairs: hit.metadata.into_iter().map(pair).collect(),
    }
}
