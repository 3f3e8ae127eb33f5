//! Lines in, traces out: the one piece of code behind exported, indexed and shown spans.
//!
//! The result depends on the set of lines only, not on their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::Record;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::build::{Draft, Shared};
use crate::config::{Config, nanos};
use crate::hash::{HashMap, HashSet};
use crate::line::{Line, LineReader};
use crate::parent::{self, Node};
use crate::span::{SpanId, Trace, TraceId};
use crate::visit;

/// How far outside a logged span a line of the same service without a span id may be to belong to it.
const SLACK_NS: i64 = 2_000_000;

/// The traces that these records tell of, by start: one for each trace id, one for each correlation id that no
/// record links to a trace id. Records without any id are passed over.
///
/// For queries: give it all records of a trace, those that hold only its correlation id included.
#[must_use]
pub fn assemble(records: &[Record], config: &Config) -> Vec<Trace> {
    let mut reader = LineReader::new(config);
    let lines: Vec<Line> = records.iter().filter_map(|record| reader.read(record)).collect();
    traces_of(lines.iter().collect(), config)
}

/// The traces of lines, by start.
pub(crate) fn traces_of(mut lines: Vec<&Line>, config: &Config) -> Vec<Trace> {
    lines.sort_by_key(|line| (line.ts_ns, line.order, line.span_id, line.parent_id));
    let mut traces: Vec<Trace> =
        by_trace(&lines).into_iter().filter_map(|(id, lines)| trace(id, &lines, config)).collect();
    traces.sort_by_key(|trace| (trace.spans.first().map(|span| span.start_ns), trace.id));
    traces
}

/// The lines of each trace. Lines that hold only a correlation id belong to the trace it is linked with; when
/// there are several, to the one that is nearest in time.
fn by_trace<'a>(sorted: &[&'a Line]) -> BTreeMap<TraceId, Vec<&'a Line>> {
    let mut links: HashMap<TraceId, BTreeMap<TraceId, (i64, i64)>> = HashMap::default();
    for line in sorted {
        if let (Some(trace), Some(correlation)) = (line.keys.trace, line.keys.correlation) {
            let times =
                links.entry(correlation).or_default().entry(trace).or_insert((line.ts_ns, line.ts_ns));
            times.1 = line.ts_ns; // lines come by time
        }
    }
    let mut traces: BTreeMap<TraceId, Vec<&Line>> = BTreeMap::new();
    for line in sorted {
        let linked = line
            .keys
            .correlation
            .and_then(|id| links.get(&id))
            .and_then(|traces| nearest(traces, line.ts_ns));
        if let Some(id) = line.keys.trace.or(linked).or(line.keys.correlation) {
            traces.entry(id).or_default().push(line);
        }
    }
    traces
}

/// The trace that was, or was last, or will next be about at a time.
fn nearest(traces: &BTreeMap<TraceId, (i64, i64)>, ts_ns: i64) -> Option<TraceId> {
    let distance = |(from, to): &(i64, i64)| from.saturating_sub(ts_ns).max(ts_ns.saturating_sub(*to)).max(0);
    traces.iter().min_by_key(|(id, times)| (distance(times), **id)).map(|(id, _)| *id)
}

/// The trace of lines that are by time; `None` for none.
fn trace(id: TraceId, lines: &[&Line], config: &Config) -> Option<Trace> {
    let mut drafts = drafts(id, lines, nanos(config.visit_gap));
    let mut nodes: Vec<Node> = drafts.iter().filter_map(node).collect();
    parent::adopt_ids(&mut nodes);
    let parents = parent::parents(&nodes);
    let mut ids = lines.iter().filter_map(|line| line.words.id());
    let first_id = ids.next();
    let only_id = first_id.filter(|first| ids.all(|id| id == *first));
    let shared =
        Shared { trace_id: id, correlation_id: only_id.map(Arc::from), max_events: config.max_span_events };
    for (draft, node) in drafts.iter_mut().zip(&nodes) {
        draft.span_id = node.id;
    }
    let mut spans: Vec<_> =
        drafts.iter().zip(parents).filter_map(|(draft, parent)| draft.span(&shared, parent)).collect();
    spans.sort_by_key(|span| (span.start_ns, span.span_id));
    (!spans.is_empty()).then_some(Trace { id, spans })
}

/// One span for each logged span id, and one for each visit of a service among the other lines.
fn drafts<'a>(id: TraceId, lines: &[&'a Line], gap_ns: i64) -> Vec<Draft<'a>> {
    let mut logged: BTreeMap<SpanId, BTreeMap<u64, Vec<&Line>>> = BTreeMap::new();
    let mut others: BTreeMap<u64, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        match line.span_id {
            Some(span_id) => {
                logged.entry(span_id).or_default().entry(line.source.key).or_default().push(line);
            }
            None => others.entry(line.source.key).or_default().push(line),
        }
    }
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for (span_id, by_source) in logged {
        let mut shared: Vec<(u64, Draft<'_>)> =
            by_source.into_iter().map(|(source, lines)| (source, draft(span_id, false, lines))).collect();
        // Services that know only their caller's span log its id: the span is of the first that does.
        shared.sort_by_key(|(source, draft)| (draft.start_ns, -draft.end_ns, *source));
        let mut shared = shared.into_iter();
        drafts.extend(shared.next().map(|(_, own)| own));
        for (source, called) in shared {
            others.entry(source).or_default().extend(called.lines);
        }
    }
    let mut known: HashSet<SpanId> = drafts.iter().map(|draft| draft.span_id).collect();
    for (source, mut lines) in others {
        lines.sort_by_key(|line| (line.ts_ns, line.order));
        let lines = without_those_of_spans(lines, &mut drafts);
        for visit in visit::split(&lines, gap_ns) {
            let Some(first) = visit.first() else { continue };
            let span_id = free_id(id, source, first.ts_ns, &known);
            known.insert(span_id);
            drafts.push(draft(span_id, true, visit));
        }
    }
    drafts
}

fn draft(span_id: SpanId, is_inferred: bool, lines: Vec<&Line>) -> Draft<'_> {
    let (start_ns, end_ns) = visit::extent(&lines);
    Draft { span_id, is_inferred, start_ns, end_ns, lines }
}

/// Gives lines of a service to its logged spans, where they lie within one: the smallest. Returns the others.
fn without_those_of_spans<'a>(lines: Vec<&'a Line>, drafts: &mut [Draft<'a>]) -> Vec<&'a Line> {
    let Some(source) = lines.first().map(|line| line.source.key) else { return lines };
    let mut own: Vec<&mut Draft<'_>> = drafts
        .iter_mut()
        .filter(|draft| !draft.is_inferred && draft.lines.first().is_some_and(|l| l.source.key == source))
        .collect();
    // The first that holds a line is the smallest.
    own.sort_by_key(|draft| (draft.end_ns - draft.start_ns, draft.span_id));
    own.truncate(MAX_SPANS_TRIED);
    let mut rest = Vec::new();
    for line in lines {
        let holds = |draft: &&mut &mut Draft<'_>| {
            line.ts_ns >= draft.start_ns.saturating_sub(SLACK_NS)
                && line.ts_ns <= draft.end_ns.saturating_add(SLACK_NS)
        };
        match own.iter_mut().find(holds) {
            Some(draft) => {
                let place = draft.lines.partition_point(|l| (l.ts_ns, l.order) <= (line.ts_ns, line.order));
                draft.lines.insert(place, line);
            }
            None => rest.push(line),
        }
    }
    rest
}

/// Logged spans of one service among which the one that holds a line is looked for.
const MAX_SPANS_TRIED: usize = 256;

/// The id of a visit: made from trace, service, container and its first line's time. Other ids of the trace are
/// stepped around.
fn free_id(trace: TraceId, source: u64, first_ns: i64, known: &HashSet<SpanId>) -> SpanId {
    let mut seed = 0;
    loop {
        let mut text = [0; 32];
        text[..16].copy_from_slice(&trace.0);
        text[16..24].copy_from_slice(&source.to_be_bytes());
        text[24..].copy_from_slice(&first_ns.to_be_bytes());
        let id = SpanId(xxh3_64_with_seed(&text, seed).max(1).to_be_bytes());
        if !known.contains(&id) {
            return id;
        }
        seed += 1;
    }
}

fn node(draft: &Draft<'_>) -> Option<Node> {
    let parent = |line: &Line| match draft.is_inferred {
        true => line.span_id.or(line.parent_id), // of the caller
        false => line.parent_id,
    };
    Some(Node {
        id: draft.span_id,
        logged_parent: draft
            .lines
            .iter()
            .find_map(|line| parent(line))
            .filter(|parent| *parent != draft.span_id),
        is_inferred: draft.is_inferred,
        service: Arc::clone(&draft.lines.first()?.source.resource.service),
        start_ns: draft.start_ns,
        end_ns: draft.end_ns,
    })
}
