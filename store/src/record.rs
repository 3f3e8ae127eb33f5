//! What is stored: a line, when and where it was logged, and what is known about it.
//!
//! Times are nanoseconds since the Unix epoch, UTC. A line is the bytes as logged, without its line end.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Nanoseconds since the Unix epoch in the half-open range `[start_ns, end_ns)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub start_ns: i64,
    /// First nanosecond after.
    pub end_ns: i64,
}

impl TimeRange {
    /// All of time, except its very last nanosecond.
    pub const ALL: Self = Self { start_ns: i64::MIN, end_ns: i64::MAX };

    /// Whether `ts_ns` lies inside.
    #[must_use]
    pub const fn contains(self, ts_ns: i64) -> bool {
        self.start_ns <= ts_ns && ts_ns < self.end_ns
    }

    /// Whether some instant of the closed range `[min_ns, max_ns]` lies inside.
    #[must_use]
    pub const fn overlaps(self, min_ns: i64, max_ns: i64) -> bool {
        min_ns < self.end_ns && max_ns >= self.start_ns
    }
}

/// The catalog's number of a stream: stable within one data folder, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The labels of a stream: sorted by name, each name once, no empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Sorts by name, keeps the first of equal names, drops empty values.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self(pairs.into_boxed_slice())
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok().map(|i| self.0[i].1.as_ref())
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }

    /// Number of labels.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Labels {
    /// `{a="1", b="2"}`, values with Rust's escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// Who gave a record's name-value pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The sender: Loki's structured metadata, OTLP attributes.
    Given,
    /// Binnacle: `trace_id` found in the line, `container_id`, `image`, ... (see [`attribute`]).
    Derived,
}

/// One name-value pair of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Who gave it.
    pub origin: Origin,
    /// Name as shown in answers.
    pub name: Arc<str>,
    /// Value.
    pub value: Arc<str>,
}

/// Names of the pairs that Binnacle itself derives.
pub mod attribute {
    /// W3C trace id, or the id as logged under one of the configured names.
    pub const TRACE_ID: &str = "trace_id";
    /// Span id as logged.
    pub const SPAN_ID: &str = "span_id";
    /// Parent span id as logged.
    pub const PARENT_SPAN_ID: &str = "parent_span_id";
    /// Correlation or request id as logged.
    pub const CORRELATION_ID: &str = "correlation_id";
    /// Full id of the container.
    pub const CONTAINER_ID: &str = "container_id";
    /// Image the container was made from, as named by the user.
    pub const IMAGE: &str = "image";
    /// The line's own timestamp, as logged.
    pub const LOGGED_AT: &str = "logged_at";
    /// Original length in bytes of a line that was cut.
    pub const TRUNCATED: &str = "truncated";
}

/// One log record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was logged: Docker's time, or the sender's.
    pub timestamp_ns: i64,
    /// Labels of its stream, shared by the stream's records.
    pub labels: Arc<Labels>,
    /// Bytes as logged, without the line end; any bytes, multi-line records hold `\n`.
    pub line: Bytes,
    /// Severity.
    pub level: Level,
    /// Everything else known about it; names may repeat only across origins.
    pub pairs: Vec<Pair>,
}

use crate::Level;

impl Record {
    /// The value of the pair `name`, the sender's before our own.
    #[must_use]
    pub fn pair(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .filter(|p| p.name.as_ref() == name)
            .min_by_key(|p| p.origin)
            .map(|p| p.value.as_ref())
    }
}
