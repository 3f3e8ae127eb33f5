//! A trace for people: who called whom, when, for how long, and what the request waited for.
//!
//! Times are nanoseconds since the first span began. A span's own time is that in which none of its children was
//! going on; its critical time is its share of the critical path (`critical`), so the critical times and the time
//! that is nobody's add up to the whole. The slowest hop is the span with the most critical time.

use std::collections::BTreeMap;

use correlation::{Span, Status, Value};
use serde::{Deserialize, Serialize};
use store::Reader;

use super::containers::{self, ContainerNote};
use super::critical::{Segment, path};
use super::tree::Tree;
use super::{Found, text_of};
use crate::{Context, ExecError, time};

/// Spans shown, callers before what they called; of more, the number is told.
const MAX_SPANS: usize = 2_000;
/// Stretches of the critical path shown, the first ones.
const MAX_STRETCHES: usize = 2_000;

/// A trace for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waterfall {
    /// W3C trace id.
    pub trace_id: String,
    /// When its first span began, RFC 3339.
    pub start: String,
    /// From the first start to the last end.
    pub duration_ns: i64,
    /// Its spans, callers before what they called.
    pub spans: Vec<Bar>,
    /// Spans not listed in `spans`.
    pub spans_omitted: usize,
    /// What the request waited for, by time.
    pub critical_path: Vec<Stretch>,
    /// Stretches not listed in `critical_path`.
    pub critical_path_omitted: usize,
    /// The span id of the slowest hop; `None` when the trace takes no time.
    pub slowest: Option<String>,
    /// Services by critical time, the slowest first.
    pub services: Vec<Share>,
    /// What its containers used about that time and what happened to them, where anything is known.
    #[serde(default)]
    pub containers: Vec<ContainerNote>,
    /// Other traces that the id asked for belongs to, the id being a correlation id.
    pub other_traces: Vec<String>,
    /// Whether some of its lines were not looked at, because there are more than `traces.max_trace_lines`.
    pub is_cut: bool,
}

/// One span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// W3C span id.
    pub span_id: String,
    /// Who called it, as far as known; it may be in no line and then is not among the spans.
    pub parent_id: Option<String>,
    /// How many callers are above it.
    pub depth: usize,
    /// Its service.
    pub service: String,
    /// `GET /orders/{id}`
    pub name: String,
    /// `server`, `client`, ...
    pub kind: String,
    /// Name of its container.
    pub container: Option<String>,
    /// Full id of its container.
    pub container_id: Option<String>,
    /// When it began.
    pub offset_ns: i64,
    /// How long it took.
    pub duration_ns: i64,
    /// Its own time.
    pub own_ns: i64,
    /// Its critical time.
    pub critical_ns: i64,
    /// Lines it was made of.
    pub lines: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether it failed and nothing that it called did: the failure began here.
    pub is_origin_of_error: bool,
    /// Whether its extent was concluded from lines, no line having told its span id.
    pub is_inferred: bool,
}

/// A stretch of the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The span it was spent in; `None` when none was going on.
    pub span_id: Option<String>,
    /// Its beginning.
    pub from_ns: i64,
    /// Its end.
    pub to_ns: i64,
}

/// What a service had to do with a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name.
    pub service: String,
    /// Its spans.
    pub spans: usize,
    /// Those that failed.
    pub errors: usize,
    /// Lines they were made of.
    pub lines: u64,
    /// Own time of its spans.
    pub own_ns: i64,
    /// Critical time of its spans.
    pub critical_ns: i64,
}

impl Waterfall {
    /// The waterfall of a trace, with what happened to its containers. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read or the query may not go on.
    pub(crate) fn read(reader: &Reader, found: &Found, context: &Context) -> Result<Self, ExecError> {
        let waterfall = Self::of(found);
        let containers = containers::notes(reader, found, &waterfall.spans, context)?;
        Ok(Self { containers, ..waterfall })
    }

    /// The waterfall of a trace.
    pub(crate) fn of(found: &Found) -> Self {
        let spans = found.trace.spans.as_slice();
        let tree = Tree::new(spans);
        let path = path(spans, &tree);
        let start_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
        let end_ns = spans.iter().map(|span| span.end_ns).max().unwrap_or(0);
        let mut critical = vec![0; spans.len()];
        for Segment { span, from_ns, to_ns } in &path {
            if let Some(place) = span {
                critical[*place] += to_ns - from_ns;
            }
        }
        let slowest =
            (0..spans.len()).rev().max_by_key(|place| critical[*place]).filter(|place| critical[*place] > 0);
        let mut bars: Vec<Bar> = tree
            .in_order()
            .into_iter()
            .map(|(place, depth)| Bar {
                depth,
                offset_ns: spans[place].start_ns - start_ns,
                own_ns: own_ns(spans, &tree, place),
                critical_ns: critical[place],
                is_origin_of_error: is_error(&spans[place])
                    && !tree.children(place).iter().any(|child| is_error(&spans[*child])),
                ..Bar::of(&spans[place])
            })
            .collect();
        let services = shares(&bars);
        let all_bars = bars.len();
        bars.truncate(MAX_SPANS);
        let id = |place: usize| spans[place].span_id.to_string();
        let stretch = |segment: &Segment| Stretch {
            span_id: segment.span.map(id),
            from_ns: segment.from_ns - start_ns,
            to_ns: segment.to_ns - start_ns,
        };
        Self {
            trace_id: found.trace.id.to_string(),
            start: time::rfc3339(start_ns),
            duration_ns: end_ns - start_ns,
            spans_omitted: all_bars - bars.len(),
            spans: bars,
            critical_path: path.iter().take(MAX_STRETCHES).map(stretch).collect(),
            critical_path_omitted: path.len().saturating_sub(MAX_STRETCHES),
            slowest: slowest.map(id),
            services,
            containers: Vec::new(),
            other_traces: found.others.iter().map(ToString::to_string).collect(),
            is_cut: found.is_cut,
        }
    }
}

impl Bar {
    /// What the span itself tells.
    fn of(span: &Span) -> Self {
        let value = |name: &str| span.attributes.iter().find(|a| &*a.name == name).map(|a| &a.value);
        let resource = |name| text_of(&span.resource.attributes, name).map(str::to_owned);
        let lines = match value("binnacle.lines") {
            Some(Value::Int(lines)) => u64::try_from(*lines).unwrap_or(0),
            _ => 0,
        };
        Self {
            span_id: span.span_id.to_string(),
            parent_id: span.parent_id.map(|id| id.to_string()),
            service: span.resource.service.to_string(),
            name: span.name.clone(),
            kind: span.kind.name().to_owned(),
            container: resource("container.name"),
            container_id: resource("container.id"),
            duration_ns: span.end_ns - span.start_ns,
            lines,
            error: match &span.status {
                Status::Error(message) => Some(message.clone()),
                Status::Unset | Status::Ok => None,
            },
            is_inferred: value("binnacle.inferred") == Some(&Value::Bool(true)),
            ..Self::default()
        }
    }
}

const fn is_error(span: &Span) -> bool {
    matches!(span.status, Status::Error(_))
}

/// The part of a span in which none of its children was going on.
fn own_ns(spans: &[Span], tree: &Tree, place: usize) -> i64 {
    let span = &spans[place];
    let mut own = 0;
    let mut covered_until = span.start_ns;
    for child in tree.children(place) {
        let child = &spans[*child];
        own += (child.start_ns.min(span.end_ns) - covered_until).max(0);
        covered_until = covered_until.max(child.end_ns);
    }
    own + (span.end_ns - covered_until).max(0)
}

fn shares(bars: &[Bar]) -> Vec<Share> {
    let mut by_service: BTreeMap<&str, Share> = BTreeMap::new();
    for bar in bars {
        let share = by_service.entry(&bar.service).or_default();
        share.spans += 1;
        share.errors += usize::from(bar.error.is_some());
        share.lines += bar.lines;
        share.own_ns += bar.own_ns;
        share.critical_ns += bar.critical_ns;
    }
    let named = |(service, share): (&str, Share)| Share { service: service.to_owned(), ..share };
    let mut shares: Vec<Share> = by_service.into_iter().map(named).collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.critical_ns));
    shares
}

#[cfg(test)]
mod tests {
    use correlation::Trace;
    use proptest::prelude::*;

    use super::super::tests::{Drawn, drawn};
    use super::*;

    fn waterfall(spans: Vec<Span>) -> Waterfall {
        let trace = Trace { id: correlation::hashed("drawn"), spans };
        Waterfall::of(&Found { trace, others: Vec::new(), is_cut: false })
    }

    const CALLS: &[Drawn<'_>] = &[
        ("gate", "", 0.0, 100.0),
        ("cart", "gate", 5.0, 25.0),
        ("pay", "gate", 30.0, 95.0),
        ("bank", "pay", 35.0, 90.0),
    ];

    #[test]
    fn the_slowest_hop_is_the_span_that_was_waited_for_longest() {
        let shown = waterfall(drawn(CALLS));
        let bars: Vec<(usize, &str, i64, i64)> = shown
            .spans
            .iter()
            .map(|b| (b.depth, &*b.name, b.own_ns / 1_000_000, b.critical_ns / 1_000_000))
            .collect();
        assert_eq!(bars, [(0, "gate", 15, 15), (1, "cart", 20, 20), (1, "pay", 10, 10), (2, "bank", 55, 55)]);
        assert_eq!(shown.slowest, Some(shown.spans[3].span_id.clone()));
        let services: Vec<&str> = shown.services.iter().map(|share| &*share.service).collect();
        assert_eq!(services, ["bank", "cart", "gate", "pay"]);
        assert_eq!((shown.duration_ns, shown.critical_path.len()), (100_000_000, 7));
        assert_eq!(waterfall(drawn(&[("a", "", 1.0, 1.0)])).slowest, None);
    }

    #[test]
    fn a_failure_began_where_nothing_that_was_called_failed() {
        let mut spans = drawn(CALLS);
        for place in [0, 2, 3] {
            spans[place].status = Status::Error(format!("error {place}"));
        }
        let shown = waterfall(spans);
        let origins: Vec<&str> =
            shown.spans.iter().filter(|bar| bar.is_origin_of_error).map(|bar| &*bar.name).collect();
        assert_eq!(origins, ["bank"]);
        assert_eq!(shown.spans[0].error.as_deref(), Some("error 0"));
    }

    #[test]
    fn a_large_trace_is_shown_in_part_and_says_so() {
        let spans: Vec<Span> = (0..3_000_u64)
            .map(|i| Span {
                span_id: correlation::SpanId((i + 1).to_be_bytes()),
                start_ns: i64::try_from(2 * i).unwrap(),
                end_ns: i64::try_from(2 * i + 1).unwrap(),
                ..drawn(&[("a", "", 0.0, 0.0)])[0].clone()
            })
            .collect();
        let shown = waterfall(spans);
        assert_eq!((shown.spans.len(), shown.spans_omitted, shown.services[0].spans), (2_000, 1_000, 3_000));
        assert_eq!(shown.critical_path.len() + shown.critical_path_omitted, 5_999);
    }

    proptest! {
        #[test]
        fn critical_times_add_up_to_the_whole(
            calls in proptest::collection::vec((0..12_usize, 0..50_i64, 0..50_i64), 1..12),
        ) {
            let mut spans: Vec<Span> = Vec::new();
            for (place, (parent, start, length)) in calls.iter().enumerate() {
                let id = |place: usize| correlation::SpanId([u8::try_from(place + 1).unwrap(); 8]);
                spans.push(Span {
                    span_id: id(place),
                    parent_id: Some(id(*parent)),
                    start_ns: start * 700_000,
                    end_ns: (start + length) * 700_000,
                    ..drawn(&[("a", "", 0.0, 0.0)])[0].clone()
                });
            }
            spans.sort_by_key(|span| (span.start_ns, span.span_id));
            let count = spans.len();
            let shown = waterfall(spans);
            prop_assert_eq!(shown.spans.len(), count);
            let nobodys: i64 = shown.critical_path.iter().filter(|s| s.span_id.is_none()).map(|s| s.to_ns - s.from_ns).sum();
            let critical: i64 = shown.spans.iter().map(|bar| bar.critical_ns).sum();
            prop_assert_eq!(critical + nobodys, shown.duration_ns);
            let mut at = 0;
            for stretch in &shown.critical_path {
                prop_assert_eq!(stretch.from_ns, at);
                at = stretch.to_ns;
                let Some(id) = &stretch.span_id else { continue };
                let bar = shown.spans.iter().find(|bar| bar.span_id == *id).unwrap();
                prop_assert!(bar.offset_ns <= stretch.from_ns && stretch.to_ns <= bar.offset_ns + bar.duration_ns);
            }
            prop_assert_eq!(at, shown.duration_ns);
            for bar in &shown.spans {
                prop_assert!((0..=bar.duration_ns).contains(&bar.own_ns) && bar.critical_ns <= bar.duration_ns);
            }
        }
    }
}
