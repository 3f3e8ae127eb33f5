//! Traces that are being told: lines go in as they come, traces come out when nothing more is expected.
//!
//! Lines that share an id are held together, and so are ids that a line links; a trace is built only when it
//! closes. It is remembered for a while: a late line opens it again, and what the line changes comes out again,
//! under the same ids. Bounded in traces and bytes: what does not fit is let go early, never dropped.
//!
//! The clock is the caller's: `now_ns` never goes back, in nanoseconds.

mod group;
mod groups;
mod lines;

use std::collections::BTreeMap;

use store::Record;

use crate::assemble::traces_of;
use crate::config::Config;
use crate::hash::HashMap;
use crate::line::{Line, LineReader};
use crate::span::{Span, SpanId, Trace, TraceId};
use groups::{Groups, Number};
use lines::Lines;

/// When a bound is reached, a tenth is let go at once: finding the quietest traces takes a look at all.
const LET_GO: usize = 10;

/// What closing traces made known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Closed {
    /// Spans that are new or changed, by trace; a span known by its id is replaced.
    pub traces: Vec<Trace>,
    /// Spans that came out before and are no more, because late lines showed another picture: they are
    /// another trace's now, or part of another span.
    pub gone: Vec<(TraceId, SpanId)>,
}

impl Closed {
    /// Whether nothing is known anew.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.traces.is_empty() && self.gone.is_empty()
    }
}

/// What has been done so far, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines taken in that hold an id.
    pub lines: u64,
    /// Times a trace was complete.
    pub closed: u64,
    /// Times a late line opened one again.
    pub reopened: u64,
    /// Traces let go before they were complete, for want of room (`max_traces`, `max_bytes`).
    pub let_go: u64,
    /// Traces cut because they had too many lines (`max_trace_lines`).
    pub cut: u64,
    /// Traces held that are not complete.
    pub open: usize,
    /// Complete traces that are remembered for late lines.
    pub remembered: usize,
    /// Bytes held.
    pub bytes: usize,
}

/// The traces of a stream of records.
#[derive(Debug)]
pub struct OpenTraces {
    config: Config,
    reader: LineReader,
    groups: Groups,
    lines: Lines,
    /// Which group holds the lines of an id.
    by_key: HashMap<TraceId, Number>,
    /// How many groups are open.
    open: usize,
    bytes: usize,
    counters: Counters,
}

impl OpenTraces {
    /// None yet, under this configuration, which must be valid.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            reader: LineReader::new(&config),
            config,
            groups: Groups::default(),
            lines: Lines::default(),
            by_key: HashMap::default(),
            open: 0,
            bytes: 0,
            counters: Counters::default(),
        }
    }

    /// Takes in a record. What must be let go for it comes out; mostly nothing.
    #[must_use]
    pub fn observe(&mut self, record: &Record, now_ns: i64) -> Closed {
        let mut closed = Closed::default();
        let Some(line) = self.reader.read(record) else { return closed };
        self.counters.lines += 1;
        let number = self.group_of(&line);
        let Some(group) = self.groups.get_mut(number) else { return closed };
        if group.reopen(now_ns, &self.lines, &self.config) {
            self.counters.reopened += 1;
            self.open += 1;
        }
        self.bytes += group.push(line, &mut self.lines, now_ns);
        let is_full = group.lines().len() >= self.config.max_trace_lines;
        self.groups.note(number, &self.config);
        if is_full {
            self.counters.cut += 1;
            self.forget(number, &mut closed);
        }
        let max_bytes = usize::try_from(self.config.max_bytes.0).unwrap_or(usize::MAX);
        if self.open > self.config.max_traces || self.bytes > max_bytes {
            self.make_room(max_bytes, &mut closed);
        }
        closed
    }

    /// The traces that are complete at `now_ns`, or held open for too long.
    #[must_use]
    pub fn close_idle(&mut self, now_ns: i64) -> Closed {
        let mut closed = Closed::default();
        for number in self.groups.due(now_ns) {
            let Some(group) = self.groups.get_mut(number) else { continue };
            if !group.is_open() {
                self.forget(number, &mut closed);
                continue;
            }
            self.counters.closed += 1;
            group.close(&self.lines, &self.config, &mut closed);
            self.open -= 1;
            if self.config.late.0.is_zero() {
                self.forget(number, &mut closed);
            } else {
                self.groups.note(number, &self.config);
            }
        }
        closed
    }

    /// Everything that is still open, complete or not: the end of the stream.
    #[must_use]
    pub fn close_all(&mut self) -> Closed {
        let mut closed = Closed::default();
        for number in self.groups.due(i64::MAX) {
            self.forget(number, &mut closed);
        }
        closed
    }

    /// Time of the oldest line of the traces that are open: who begins again there misses none of their lines.
    #[must_use]
    pub fn oldest_open_ns(&self) -> Option<i64> {
        self.groups.oldest_open_ns()
    }

    /// What has been done so far, and what is held now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let remembered = self.groups.len() - self.open;
        Counters { open: self.open, remembered, bytes: self.bytes, ..self.counters }
    }

    /// The group of a line's ids, of both groups if it links two.
    fn group_of(&mut self, line: &Line) -> Number {
        let (mut number, mut has_new_key) = (None, false);
        for key in line.keys.iter() {
            let Some(&own) = self.by_key.get(&key) else {
                has_new_key = true;
                continue;
            };
            match number {
                Some(other) if other != own => {
                    number = Some(self.merge(own, other));
                }
                _ => number = Some(own),
            }
        }
        if let Some(number) = number.filter(|_| !has_new_key) {
            return number; // so are nearly all lines
        }
        let number = number.unwrap_or_else(|| {
            self.open += 1;
            self.groups.insert()
        });
        for key in line.keys.iter() {
            if self.by_key.insert(key, number).is_none()
                && let Some(group) = self.groups.get_mut(number)
            {
                self.bytes += group.add_key(key);
            }
        }
        number
    }

    /// Puts the smaller of two groups into the other. Returns the number that stays.
    fn merge(&mut self, a: Number, b: Number) -> Number {
        let size = |number: Number| self.groups.get(number).map_or(0, |group| group.lines().len());
        let (stays, goes) = if size(a) >= size(b) { (a, b) } else { (b, a) };
        let Some(mut gone) = self.groups.remove(goes) else { return stays };
        for key in gone.keys() {
            self.by_key.insert(*key, stays);
        }
        self.open -= usize::from(gone.is_open());
        if let Some(group) = self.groups.get_mut(stays) {
            self.open += usize::from(!group.is_open());
            // What either has told must be compared with what both tell together.
            group.reopen_for_merge(&self.lines, &self.config);
            gone.reopen_for_merge(&self.lines, &self.config);
            group.absorb(gone);
            self.groups.note(stays, &self.config);
        }
        stays
    }

    /// Lets a group go, closing it first where it is open.
    fn forget(&mut self, number: Number, closed: &mut Closed) {
        let Some(mut group) = self.groups.remove(number) else { return };
        if group.is_open() {
            group.close(&self.lines, &self.config, closed);
            self.open -= 1;
        }
        for key in group.keys() {
            self.by_key.remove(key);
        }
        self.lines.remove(group.lines());
        self.bytes = self.bytes.saturating_sub(group.bytes());
    }

    /// Lets groups go until a tenth is free: the remembered, which only take memory, before the open, the quietest
    /// first.
    fn make_room(&mut self, max_bytes: usize, closed: &mut Closed) {
        let mut order: Vec<(bool, i64, Number)> = self
            .groups
            .iter()
            .map(|(number, group)| (group.is_open(), group.last_seen_ns(), number))
            .collect();
        order.sort_unstable();
        let (most, most_bytes) = (
            self.config.max_traces - self.config.max_traces.div_ceil(LET_GO),
            max_bytes - max_bytes / LET_GO,
        );
        for (is_open, _, number) in order {
            let needs_bytes = self.bytes > most_bytes;
            if self.open <= most && !needs_bytes {
                return;
            }
            if !is_open && !needs_bytes {
                continue;
            }
            self.counters.let_go += u64::from(is_open);
            self.forget(number, closed);
        }
    }
}

/// What `now` tells that `before` did not, added to `closed`.
fn add_changes(before: &[Span], now: Vec<Trace>, closed: &mut Closed) {
    let old: BTreeMap<(TraceId, SpanId), &Span> =
        before.iter().map(|span| ((span.trace_id, span.span_id), span)).collect();
    let mut gone = old.clone();
    for mut trace in now {
        for span in &trace.spans {
            gone.remove(&(span.trace_id, span.span_id));
        }
        trace.spans.retain(|span| old.get(&(span.trace_id, span.span_id)) != Some(&span));
        if !trace.spans.is_empty() {
            closed.traces.push(trace);
        }
    }
    closed.gone.extend(gone.into_keys());
}

/// The spans that lines tell of.
fn spans_of(lines: Vec<&Line>, config: &Config) -> Vec<Span> {
    traces_of(lines, config).into_iter().flat_map(|trace| trace.spans).collect()
}
