//! A line becomes a record: one pass over its fields for severity, ids and the line's own time.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use store::fields::{self, Reach, Shape, Value};
use store::record::attribute;
use store::{Labels, Level, Origin, Pair, Record};

use super::ids::{id, traceparent};
use super::names::{Names, Role};
use super::{level, time};
use crate::config::IngestConfig;
use crate::multiline::{RawLine, begins_trace};
use crate::redact::Redactor;

/// Ids stand in JSON at any depth up to this.
const REACH: Reach = Reach { depth: 4, arrays: false };
/// A longer text in a time field is no time.
const MAX_TIME_BYTES: usize = 64;

/// Most pairs that are derived from a line.
const DERIVED: usize = 6;

/// Name and value of a derived pair.
type Derived<'a> = (&'a Arc<str>, &'a str);

/// How a source wants its lines read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// The lines' format.
    pub format: Format,
    /// What becomes of the line's own time.
    pub line_time: LineTime,
    /// The level that the source itself states: the line is not asked then.
    pub level: Option<Level>,
}

impl Default for ParseOptions {
    /// Find the format out, keep the line's time.
    fn default() -> Self {
        Self { format: Format::Auto, line_time: LineTime::Keep, level: None }
    }
}

/// What becomes of the time that a line states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineTime {
    /// It is kept as [`attribute::LOGGED_AT`] where it differs: the source's own time is the record's.
    #[default]
    Keep,
    /// It is the record's time, where there is one that can be read.
    Use,
}

/// The format of a source's lines (label `binnacle.parse`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Judge each line by its beginning.
    #[default]
    Auto,
    /// JSON objects.
    Json,
    /// logfmt.
    Logfmt,
    /// Take the line as it is: no level, no ids.
    None,
}

impl Format {
    /// How `line` writes its fields; `None` when they are not to be read.
    fn shape(self, line: &[u8]) -> Option<Shape> {
        match self {
            Self::None => None,
            Self::Auto => Some(Shape::detect(line)),
            Self::Json => Some(Shape::Json),
            Self::Logfmt => Some(Shape::Logfmt),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "logfmt" => Ok(Self::Logfmt),
            "none" => Ok(Self::None),
            other => Err(format!("`{other}` is none of `auto`, `json`, `logfmt` and `none`")),
        }
    }
}

/// Makes records of lines. Cheap to share: it never changes.
#[derive(Debug)]
pub struct Enricher {
    detect_level: bool,
    names: Names,
    redactor: Redactor,
    attributes: Attributes,
}

/// The names of derived pairs, allocated once.
#[derive(Debug)]
struct Attributes {
    trace_id: Arc<str>,
    span_id: Arc<str>,
    parent_span_id: Arc<str>,
    correlation_id: Arc<str>,
    logged_at: Arc<str>,
    truncated: Arc<str>,
}

/// The best value seen so far for one meaning.
#[derive(Clone, Copy, Debug, Default)]
struct Slot<'a> {
    found: Option<(u16, &'a str)>,
}

impl<'a> Slot<'a> {
    /// Of fields of the same rank the first counts.
    fn offer(&mut self, rank: u16, value: Option<&'a str>) {
        if let Some(value) = value
            && self.found.is_none_or(|(best, _)| rank < best)
        {
            self.found = Some((rank, value));
        }
    }

    fn value(self) -> Option<&'a str> {
        self.found.map(|(_, value)| value)
    }
}

/// What the fields of a line state.
#[derive(Clone, Copy, Debug, Default)]
struct Stated<'a> {
    level: Option<(u16, Level)>,
    time: Slot<'a>,
    trace_id: Slot<'a>,
    span_id: Slot<'a>,
    parent_span_id: Slot<'a>,
    correlation_id: Slot<'a>,
    traceparent: Option<(&'a str, &'a str)>,
}

// === impl Stated ===

impl<'a> Stated<'a> {
    /// What `self` states, else what `other` does.
    fn or(self, other: Self) -> Self {
        let slot = |a: Slot<'a>, b: Slot<'a>| if a.found.is_some() { a } else { b };
        Self {
            level: self.level.or(other.level),
            time: slot(self.time, other.time),
            trace_id: slot(self.trace_id, other.trace_id),
            span_id: slot(self.span_id, other.span_id),
            parent_span_id: slot(self.parent_span_id, other.parent_span_id),
            correlation_id: slot(self.correlation_id, other.correlation_id),
            traceparent: self.traceparent.or(other.traceparent),
        }
    }
}

// === impl Enricher ===

impl Enricher {
    /// An enricher for this configuration, which lets `redactor` have the lines first.
    #[must_use]
    pub fn new(config: &IngestConfig, redactor: Redactor) -> Self {
        Self {
            detect_level: config.detect_level,
            names: Names::new(config),
            redactor,
            attributes: Attributes {
                trace_id: attribute::TRACE_ID.into(),
                span_id: attribute::SPAN_ID.into(),
                parent_span_id: attribute::PARENT_SPAN_ID.into(),
                correlation_id: attribute::CORRELATION_ID.into(),
                logged_at: attribute::LOGGED_AT.into(),
                truncated: attribute::TRUNCATED.into(),
            },
        }
    }

    /// The record of a line. `base_pairs` are what its source knows: they come first, and a pair of theirs
    /// goes before a derived one of the same name.
    #[must_use]
    pub fn record(
        &self,
        line: RawLine,
        labels: &Arc<Labels>,
        base_pairs: &[Pair],
        options: ParseOptions,
    ) -> Record {
        let cut = line.truncated_from.map(|bytes| bytes.to_string());
        let line = RawLine { line: self.redacted(line.line, options.format), ..line };
        let shape = options.format.shape(&line.line);
        let (mut level, mut timestamp_ns) = (Level::Unset, line.timestamp_ns);
        let mut derived = [None; DERIVED];
        if let Some(shape) = shape {
            let stated = self.by_source(base_pairs).or(self.stated(shape, &line.line));
            [derived[0], derived[1], derived[2], derived[3]] = self.derived_ids(&stated);
            match (options.line_time, stated.time.value()) {
                // A sender that took the record's time from the line has said it already.
                (LineTime::Keep, Some(time)) if time::parse(time.as_bytes()) == Some(timestamp_ns) => {}
                (LineTime::Keep, Some(time)) => derived[4] = Some((&self.attributes.logged_at, time)),
                (LineTime::Use, Some(time)) => {
                    timestamp_ns = time::parse(time.as_bytes()).unwrap_or(timestamp_ns)
                }
                (_, None) => {}
            }
            level = self.level(&stated, shape, &line.line, options.level);
        }
        derived[5] = cut.as_deref().map(|bytes| (&self.attributes.truncated, bytes));
        let pairs = with_derived(base_pairs, &derived);
        Record { timestamp_ns, labels: Arc::clone(labels), line: line.line, level, pairs }
    }

    /// The line as it may be stored: without what the rules of `ingest.redact` find in it.
    #[must_use]
    pub fn redacted(&self, line: Bytes, format: Format) -> Bytes {
        self.redactor.line(line, |line| self.ids(line, format.shape(line)))
    }

    /// The value of a pair as it may be stored. An id stays as it is.
    #[must_use]
    pub fn redacted_value(&self, name: &str, value: String) -> String {
        let is_id = self.names.meaning(name).is_some_and(|meaning| meaning.role.is_id());
        if is_id { value } else { self.redactor.value(value) }
    }

    /// Everything that a line of this shape gives as an id of whatever kind.
    fn ids(&self, line: &[u8], shape: Option<Shape>) -> HashSet<Vec<u8>> {
        let mut ids = HashSet::new();
        let Some(shape) = shape else { return ids };
        let mut note = |path: &str, value: Value<'_>| {
            let is_id = self.names.meaning(path).is_some_and(|meaning| meaning.role.is_id());
            if let Some(text) = value.plain().filter(|_| is_id) {
                ids.insert(text.to_vec());
            }
            ControlFlow::Continue(())
        };
        fields::for_each_within(line, shape, REACH, &mut note);
        if shape == Shape::Plain {
            fields::for_each_colon(line, note);
        }
        ids
    }

    /// The level that a label or a pair of structured metadata states; `None` for names that mean something else.
    #[must_use]
    pub fn level_of(&self, name: &str, value: &str) -> Option<Level> {
        let meaning = self.names.meaning(name)?;
        (meaning.role == Role::Level).then(|| level::of_field(name, value.as_bytes())).flatten()
    }

    /// Whether levels are looked for at all.
    #[must_use]
    pub const fn detects_level(&self) -> bool {
        self.detect_level
    }

    fn by_source<'a>(&self, pairs: &'a [Pair]) -> Stated<'a> {
        let mut stated = Stated::default();
        for pair in pairs.iter().filter(|pair| pair.origin == Origin::Given) {
            self.note(&mut stated, &pair.name, Value::Text(pair.value.as_bytes()));
        }
        stated
    }

    fn level(&self, stated: &Stated<'_>, shape: Shape, line: &[u8], by_source: Option<Level>) -> Level {
        if !self.detect_level {
            return Level::Unset;
        }
        let level = by_source.or(stated.level.map(|(_, level)| level));
        level.unwrap_or_else(|| level_of_text(shape, line))
    }

    fn derived_ids<'a>(&'a self, stated: &Stated<'a>) -> [Option<Derived<'a>>; 4] {
        let (parent_trace, parent_span) = stated.traceparent.unzip();
        let trace_id = stated.trace_id.value().or(parent_trace);
        let own_span = stated.span_id.value();
        // A `traceparent` beside a span id of its own names the caller's span, alone the only span there is.
        let (span_id, caller) = match own_span {
            Some(own) => (Some(own), parent_span.filter(|parent| *parent != own)),
            None => (parent_span, None),
        };
        let parent_span_id = stated.parent_span_id.value().or(caller);
        [
            (&self.attributes.trace_id, trace_id),
            (&self.attributes.span_id, span_id),
            (&self.attributes.parent_span_id, parent_span_id),
            (&self.attributes.correlation_id, stated.correlation_id.value()),
        ]
        .map(|(name, value)| value.map(|value| (name, value)))
    }

    fn stated<'a>(&self, shape: Shape, line: &'a [u8]) -> Stated<'a> {
        let mut stated = Stated::default();
        fields::for_each_within(line, shape, REACH, |path, value| {
            self.note(&mut stated, path, value);
            ControlFlow::Continue(())
        });
        if shape != Shape::Plain {
            return stated;
        }
        if let Some(time) = leading_time(line) {
            stated.time = Slot::default();
            stated.time.offer(0, std::str::from_utf8(time).ok());
        }
        fields::for_each_colon(line, |name, value| {
            if self.names.meaning(name).is_some_and(|meaning| meaning.role.is_id()) {
                self.note(&mut stated, name, value);
            }
            ControlFlow::Continue(())
        });
        stated
    }

    /// Takes note of a field if it means something.
    #[inline]
    fn note<'a>(&self, stated: &mut Stated<'a>, path: &str, value: Value<'a>) {
        let Some(meaning) = self.names.meaning(path) else { return };
        let Some(text) = value.plain() else { return };
        let rank = meaning.rank;
        match meaning.role {
            Role::Level => {
                if stated.level.is_none_or(|(best, _)| rank < best)
                    && let Some(level) = level::of_field(path, text)
                {
                    stated.level = Some((rank, level));
                }
            }
            Role::Time => {
                let time = Some(text).filter(|text| text.len() <= MAX_TIME_BYTES && time::is_likely(text));
                stated.time.offer(rank, time.and_then(|text| std::str::from_utf8(text).ok()));
            }
            Role::TraceId => stated.trace_id.offer(rank, id(text)),
            Role::SpanId => stated.span_id.offer(rank, id(text)),
            Role::ParentSpanId => stated.parent_span_id.offer(rank, id(text)),
            Role::CorrelationId => stated.correlation_id.offer(rank, id(text)),
            Role::Traceparent => stated.traceparent = stated.traceparent.or_else(|| traceparent(text)),
        }
    }
}

/// The time a text begins with, in brackets or not.
fn leading_time(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start();
    time::leading(line.strip_prefix(b"[").unwrap_or(line))
}

/// `base`, and the derived pairs whose names are not taken by it. Takes just the room they need: records lie in memory by the
/// hundred thousand, most with one pair or none.
fn with_derived(base: &[Pair], derived: &[Option<Derived<'_>>]) -> Vec<Pair> {
    let free = || derived.iter().flatten().filter(|(name, _)| base.iter().all(|pair| pair.name != **name));
    let mut pairs = Vec::with_capacity(base.len() + free().count());
    pairs.extend_from_slice(base);
    pairs.extend(free().map(|(name, value)| Pair {
        origin: Origin::Derived,
        name: Arc::clone(name),
        value: (*value).into(),
    }));
    pairs
}

/// The level of a line none of whose fields states one.
fn level_of_text(shape: Shape, line: &[u8]) -> Level {
    if shape == Shape::Access {
        return Level::Unknown; // the words in it are the client's, not the server's
    }
    let first = memchr::memchr(b'\n', line).map_or(line, |end| &line[..end]);
    if let Some(level) = level::of_text(first) {
        return level;
    }
    if first.len() == line.len() {
        return Level::Unknown;
    }
    if begins_trace(first) {
        return Level::Error;
    }
    level::of_text(&line[first.len()..]).unwrap_or(Level::Unknown)
}
